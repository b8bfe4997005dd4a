//! The plugins, one by one, with all that is known of them. How that looks is `view`'s and `grants`' business.

mod grants;
mod view;

use engine::{ManageError, PluginStatus, SyncReport};
use serde_json::{Value, json};

use super::{Answer, Call, json as answer, query};
use crate::rescue::{self, Problem};

/// `GET /api/v1/plugins`.
pub(crate) fn list(call: &Call) -> axum::response::Response {
    let all: Vec<Value> = call
        .app
        .engine
        .plugins()
        .iter()
        .map(view::summary)
        .collect();
    answer(json!({ "plugins": all }).to_string())
}

/// `GET /api/v1/plugins/{id}`.
pub(crate) fn get(call: &Call) -> Answer {
    let status = find(call)?;
    Ok(answer(view::whole(&status, &call.app.config).to_string()))
}

/// `DELETE /api/v1/plugins/{id}`; with `?force=true` also if others need it.
pub(crate) async fn delete(call: &Call) -> Answer {
    let force = query::flag(call, "force")?;
    let result = call.app.engine.delete(&call.id, force).await;
    result.map_err(|e| rescue::manage(&e))?;
    Ok(answer(
        json!({"message": format!("plugin {} is deleted", call.id)}).to_string(),
    ))
}

/// `POST /api/v1/plugins/{id}/reload`.
pub(crate) async fn reload(call: &Call) -> Answer {
    after(call, call.app.engine.reload(&call.id).await)
}

/// `POST /api/v1/plugins/{id}/start`.
pub(crate) async fn start(call: &Call) -> Answer {
    after(call, call.app.engine.start(&call.id).await)
}

/// `POST /api/v1/plugins/{id}/stop`; with `?force=true` also if others need it.
pub(crate) async fn stop(call: &Call) -> Answer {
    let force = query::flag(call, "force")?;
    after(call, call.app.engine.stop(&call.id, force).await)
}

/// `POST /api/v1/reload`.
pub(crate) async fn reload_all(call: &Call) -> Answer {
    let report = call.app.engine.reload_all().await;
    if let Some(error) = &report.error {
        return Err(rescue::manage(&ManageError::Store(error.clone())));
    }
    let body = json!({
        "loaded": report.loaded,
        "failed": failures(&report),
        "removed": report.removed,
        "unchanged": report.unchanged,
    });
    Ok(answer(body.to_string()))
}

/// Files that did not load, and why.
pub(crate) fn failures(report: &SyncReport) -> Value {
    let one = |(file, error): &(_, model::error::LoadError)| json!({"file": file, "code": error.code(), "message": error.to_string()});
    report.failed.iter().map(one).collect()
}

/// `GET /api/v1/plugins/{id}/grants`.
pub(crate) fn grants(call: &Call) -> Answer {
    Ok(answer(grants::view(&find(call)?).to_string()))
}

/// `GET /api/v1/plugins/{id}/limits`.
pub(crate) fn limits(call: &Call) -> Answer {
    let limits = view::limits(&find(call)?, &call.app.config);
    Ok(answer(json!({ "limits": limits }).to_string()))
}

/// `GET /api/v1/plugins/{id}/faults`.
pub(crate) fn faults(call: &Call) -> Answer {
    let faults = view::faults(&find(call)?.faults);
    Ok(answer(json!({ "faults": faults }).to_string()))
}

fn find(call: &Call) -> Result<PluginStatus, Problem> {
    let found = call.app.engine.plugin(&call.id);
    found.ok_or_else(|| rescue::manage(&ManageError::NotFound(call.id.clone())))
}

fn after(call: &Call, result: Result<(), ManageError>) -> Answer {
    result.map_err(|e| rescue::manage(&e))?;
    get(call)
}
