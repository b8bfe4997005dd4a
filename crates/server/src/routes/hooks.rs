//! Hook points and the hooks there, as the engine resolved them.

use engine::{HookStatus, PointStatus};
use serde_json::{Value, json};

use super::{Answer, Call, json as answer};
use crate::rescue::Problem;

/// `GET /api/v1/hooks`.
pub(super) fn list(call: &Call) -> axum::response::Response {
    let points: Vec<Value> = call.app.engine.hooks().iter().map(summary).collect();
    answer(json!({ "points": points }).to_string())
}

/// `GET /api/v1/hooks/{point}`.
pub(super) fn get(call: &Call) -> Answer {
    let points = call.app.engine.hooks();
    let Some(point) = points.iter().find(|p| p.name == call.id) else {
        let names: Vec<_> = points.iter().map(|p| p.name.as_str()).collect();
        let message = format!(
            "there is no hook point {:?}; there are: {}",
            call.id,
            names.join(", ")
        );
        return Err(Problem::not_found("point_not_found", message));
    };
    let mut whole = summary(point);
    if let Value::Object(fields) = &mut whole {
        fields.insert("context".into(), json!(point.context));
        fields.insert("result".into(), json!(point.result));
    }
    Ok(answer(whole.to_string()))
}

fn summary(point: &PointStatus) -> Value {
    let hooks: Vec<Value> = point.hooks.iter().map(hook).collect();
    json!({
        "point": point.name,
        "what": point.what,
        "defined_by": point.defined_by,
        "fires": point.fires,
        "modes": point.modes,
        "hooks": hooks,
    })
}

fn hook(hook: &HookStatus) -> Value {
    json!({
        "plugin": hook.plugin,
        "version": hook.version,
        "mode": hook.mode,
        "priority": hook.priority,
        "on_failure": hook.on_failure,
        "active": hook.beaten_by.is_none(),
        "beaten_by": hook.beaten_by,
    })
}
