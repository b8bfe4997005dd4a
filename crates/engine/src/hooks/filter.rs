//! The points `inlet` and `outlet`: what hooks see of a filter's call, and what they may change.

use std::sync::Arc;

use model::chat::{Direction, FilterMessage};
use model::error::{Fault, StageError};
use model::exchange::Cause;
use model::hooks::Point;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::step;
use crate::Engine;
use crate::slot::Slot;

/// What counts of a context that comes back.
#[derive(Deserialize)]
pub(super) struct Changed<'a> {
    #[serde(borrow)]
    pub(super) body: &'a RawValue,
    #[serde(borrow)]
    pub(super) user: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) metadata: Option<&'a RawValue>,
}

impl<'a> Changed<'a> {
    /// Reads what hooks made of a context; `slot` is named where that does not fit.
    pub(super) fn read(point: Point, slot: &Slot, context: &'a str) -> Result<Self, StageError> {
        let wrong =
            |what: String| unfit(point, slot, format!("the context after the hooks: {what}"));
        let read: Self = serde_json::from_str(context).map_err(|e| wrong(words(&e)))?;
        if read.body.get().starts_with('{') {
            Ok(read)
        } else {
            Err(wrong("body: an object is needed".into()))
        }
    }
}

/// What serde says, without the names of our types.
pub(super) fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(", expected struct ") {
        Some((what, _)) => format!("{what}; an object is needed"),
        None => text,
    }
}

/// Hooks left something that does not fit.
pub(super) fn unfit(point: Point, slot: &Slot, what: String) -> StageError {
    StageError {
        plugin: slot.face.load().about.plugin_ref(),
        fault: Fault::Hook {
            point: point.name().into(),
            fault: Box::new(Fault::Internal(what)),
        },
    }
}

/// JSON text of an optional document.
pub(super) fn or_null(json: Option<&String>) -> &str {
    json.map_or("null", String::as_str)
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Deserialize)]
struct Filtered<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Engine {
    /// Runs a filter with the hooks at `inlet` or `outlet` around it.
    pub(crate) async fn filter_with_hooks(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        direction: Direction,
        message: FilterMessage,
    ) -> Result<String, StageError> {
        let point = match direction {
            Direction::Inlet => Point::Inlet,
            Direction::Outlet => Point::Outlet,
        };
        let context = format!(
            r#"{{"plugin":{},"model":{},"user":{},"metadata":{},"body":{}}}"#,
            quoted(slot.id.as_str()),
            message.model.as_deref().map_or("null".into(), quoted),
            or_null(message.user.as_ref()),
            or_null(message.metadata.as_ref()),
            message.body,
        );
        let (engine, filter) = (Arc::clone(self), Arc::clone(slot));
        let step = step(move |context: String, cause| async move {
            let changed = Changed::read(point, &filter, &context)?;
            let text = |raw: &RawValue| raw.get().to_owned();
            let message = FilterMessage {
                body: text(changed.body),
                user: changed.user.map(text),
                metadata: changed.metadata.map(text),
                model: message.model,
            };
            let body = engine
                .run_filter(&filter, direction, message, cause)
                .await?;
            Ok(format!(r#"{{"body":{body}}}"#))
        });
        let result = self.step(point, Cause::default(), context, step).await?;
        let result: Filtered<'_> = serde_json::from_str(&result).map_err(|e| {
            unfit(
                point,
                slot,
                format!("the result after the hooks: {}", words(&e)),
            )
        })?;
        Ok(result.body.get().to_owned())
    }
}
