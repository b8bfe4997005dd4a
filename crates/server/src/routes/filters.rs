//! One plugin's inlet and outlet, as Open WebUI calls them: for every listed id, filters or not.

use axum::body::Body;
use engine::{Kind, Target};
use http::StatusCode;
use model::chat::Direction;
use serde_json::Value;

use super::{Answer, Call, json};
use crate::app::App;
use crate::context::Spoken;
use crate::form::{self, FilterForm};
use crate::json::Fields;
use crate::rescue::{self, Problem};
use crate::strict::{decode, pydantic};

/// `POST /{id}/filter/inlet`.
pub(crate) async fn inlet(call: Call, body: Body) -> Answer {
    run(call, body, Direction::Inlet).await
}

/// `POST /{id}/filter/outlet`.
pub(crate) async fn outlet(call: Call, body: Body) -> Answer {
    run(call, body, Direction::Outlet).await
}

async fn run(call: Call, body: Body, direction: Direction) -> Answer {
    let held = call.read(body).await?;
    if call.strict {
        let body = pydantic::early(decode::decode(&call.head.headers, &held.bytes))?;
        let body = pydantic::required(body)?;
        pydantic::filter_form(&body)?;
        return filter(&call, body.to_string().as_bytes(), direction).await;
    }
    filter(&call, &held.bytes, direction).await
}

async fn filter(call: &Call, bytes: &[u8], direction: Direction) -> Answer {
    let app = &call.app;
    let fields = Fields::parse(bytes, app.config.limits.max_json_depth)?;
    let form = FilterForm::read(&fields)?;
    let target = target(call, &form)?;
    let body = app.engine.filter(&target, direction, form.message()).await;
    let body = body.map_err(|e| {
        let problem = rescue::stage(&e);
        if call.strict && !problem.is_ours() {
            // The reference has one status for whatever a hook raises.
            problem.with_status(StatusCode::INTERNAL_SERVER_ERROR)
        } else {
            problem
        }
    })?;
    if direction == Direction::Inlet {
        remember(app, &form, &body);
    }
    if !call.strict {
        return Ok(json(body));
    }
    match serde_json::from_str::<Value>(&body) {
        Ok(value) => Ok(json(value.to_string())),
        Err(_) => Err(Problem::bare()),
    }
}

/// The plugin an id stands for. Strict mode knows no bare manifold, and takes a manifold's model only if the body names one too.
fn target(call: &Call, form: &FilterForm<'_>) -> Result<Target, Problem> {
    let (app, id) = (&call.app, call.id.as_str());
    let missing = || Problem::not_found("filter_not_found", format!("Filter {id} not found"));
    let target = app.engine.find_filter(id).ok_or_else(missing)?;
    if !call.strict {
        return Ok(target);
    }
    let names_manifold = || {
        let model = form.model.as_deref()?;
        app.engine.find_model(model)?.sub().map(|_| ())
    };
    if target.sub().is_some() {
        return names_manifold().map(|()| target).ok_or_else(Problem::bare);
    }
    let plugin = app.engine.plugin(target.plugin_id().as_str());
    match plugin {
        Some(p) if p.kind == Kind::Manifold => Err(missing()),
        _ => Ok(target),
    }
}

/// Keeps what the inlet was told of the conversation for the chat that follows. Its last user message is the one the filter
/// returned; the one it was given serves as well, since another filter's answer may not be used.
fn remember(app: &App, form: &FilterForm<'_>, returned: &str) {
    let (Some(metadata), Some(model)) = (form.metadata(), form.model.as_deref()) else {
        return;
    };
    let user = form.user_id().unwrap_or_default();
    let keep = |last: &str| {
        app.conversations.remember(
            Spoken {
                user: &user,
                model,
                last,
            },
            metadata,
        );
    };
    let given = form.last();
    if let Some(last) = given {
        keep(last);
    }
    if returned != form.body.get()
        && let Ok(body) = serde_json::from_str(returned)
        && let Some(last) = form::last_in(body).filter(|last| Some(*last) != given)
    {
        keep(last);
    }
}
