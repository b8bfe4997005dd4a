//! Deleting and reloading, as the Open WebUI contract has them, and what adding and uploading answer too.

use axum::body::Body;
use axum::response::Response;
use engine::{Installed, ManageError};
use serde_json::{Value, json};

use super::{Answer, Call, json as answer};
use crate::json::{self as text, Fields};
use crate::rescue::{self, Problem};
use crate::strict::{decode, pydantic};

/// `POST /pipelines/reload`.
pub(crate) async fn reload(call: &Call) -> Answer {
    let report = call.app.engine.reload_all().await;
    if let Some(error) = &report.error {
        return Err(rescue::manage(&ManageError::Store(error.clone())));
    }
    let message = "Pipelines reloaded successfully.";
    let body = if call.strict || report.failed.is_empty() {
        json!({ "message": message })
    } else {
        json!({"message": message, "failed": super::plugins::failures(&report)})
    };
    Ok(answer(body.to_string()))
}

/// `DELETE /pipelines/delete`.
pub(crate) async fn delete(call: Call, body: Body) -> Answer {
    let id = one_field(&call, body, "id").await?;
    match call.app.engine.delete(&id, false).await {
        Ok(()) => Ok(done(&format!("Pipeline {id} deleted successfully"))),
        Err(ManageError::NotFound(_)) if call.strict => Err(Problem::bare()),
        Err(error) => Err(rescue::manage(&error)),
    }
}

/// The text of the body's one field; in strict mode the key is checked between the two kinds of errors.
pub(super) async fn one_field(
    call: &Call,
    body: Body,
    name: &'static str,
) -> Result<String, Problem> {
    let held = call.read(body).await?;
    if call.strict {
        let body = pydantic::early(decode::decode(&call.head.headers, &held.bytes))?;
        call.check_key()?;
        return pydantic::text_field(&pydantic::required(body)?, name);
    }
    let fields = Fields::parse(&held.bytes, call.app.config.limits.max_json_depth)?;
    let value = fields.get(name);
    value
        .and_then(text::string)
        .map(|t| t.into_owned())
        .ok_or_else(|| {
            Problem::unfit(match value {
                None => format!("{name}: nothing was given; a string is needed"),
                Some(other) => format!(
                    "{name}: {} was given; a string is needed",
                    text::kind(other)
                ),
            })
        })
}

pub(super) fn view(installed: &Installed) -> Value {
    json!({
        "id": installed.id,
        "version": installed.version,
        "file": installed.file,
        "replaced": installed.replaced,
    })
}

pub(super) fn done(detail: &str) -> Response {
    answer(json!({"status": true, "detail": detail}).to_string())
}

pub(super) fn done_with(detail: &str, installed: &Installed) -> Response {
    let body = json!({"status": true, "detail": detail, "plugin": view(installed)});
    answer(body.to_string())
}
