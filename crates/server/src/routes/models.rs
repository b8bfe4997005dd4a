//! What is on offer: models and filters as Open WebUI wants them listed.

use axum::response::Response;
use engine::{Kind, ListedModel, PluginState};
use serde_json::{Value, json};

use super::{Call, json};

/// `GET /models`.
pub(crate) async fn models(call: &Call) -> Response {
    let created = call.app.unix_now();
    let listed = call.app.engine.models().await;
    let data: Vec<Value> = listed.iter().map(|m| model(m, created)).collect();
    // `pipelines` is how Open WebUI tells this server from another.
    json(json!({"data": data, "object": "list", "pipelines": true}).to_string())
}

fn model(m: &ListedModel, created: u64) -> Value {
    let pipeline = if m.kind == Kind::Filter {
        // Open WebUI fails on a filter without these two.
        json!({
            "type": m.kind.as_str(),
            "pipelines": m.pipelines.as_deref().unwrap_or_default(),
            "priority": m.priority.unwrap_or(0),
            "valves": m.valves,
        })
    } else {
        json!({"type": m.kind.as_str(), "valves": m.valves})
    };
    json!({
        "id": m.id,
        "name": m.name,
        "object": "model",
        "created": created,
        "owned_by": "openai",
        "pipeline": pipeline,
    })
}

/// `GET /pipelines`: each loaded plugin once, by the stem of its file's name.
pub(crate) fn pipelines(call: &Call) -> Response {
    let data: Vec<Value> = call
        .app
        .engine
        .plugins()
        .iter()
        .filter(|p| p.kind != Kind::Other)
        .filter(|p| p.state != PluginState::Failed && !p.state.is_loading())
        .filter_map(|p| {
            let id = p.id.as_ref()?;
            Some(json!({
                "id": id,
                "name": p.file.stem(),
                "type": p.kind.as_str(),
                "valves": p.valves,
            }))
        })
        .collect();
    json(json!({ "data": data }).to_string())
}
