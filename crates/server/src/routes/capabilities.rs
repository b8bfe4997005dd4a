//! What started plugins provide to others, and who is preferred.

use engine::{CapabilityStatus, ProviderStatus};
use serde_json::{Value, json};

use super::{Answer, Call, json as answer, query};
use crate::rescue::Problem;

/// `GET /api/v1/capabilities`; with `?type=` only providers of this type.
pub(super) fn list(call: &Call) -> Answer {
    let kind = query::one(call, "type");
    let all = call.app.engine.capabilities();
    let views = all.iter().filter_map(|c| view(c, kind.as_deref()));
    let views: Vec<Value> = views.collect();
    Ok(answer(json!({ "capabilities": views }).to_string()))
}

/// `GET /api/v1/capabilities/{name}`.
pub(super) fn get(call: &Call) -> Answer {
    let kind = query::one(call, "type");
    let found = call.app.engine.capability(&call.id);
    let view = found.and_then(|c| view(&c, kind.as_deref()));
    match view {
        Some(view) => Ok(answer(view.to_string())),
        None => {
            let message = format!("no started plugin provides {:?}", call.id);
            Err(Problem::not_found("capability_not_found", message))
        }
    }
}

/// A capability and those of its providers that have this type; none where none has.
fn view(capability: &CapabilityStatus, kind: Option<&str>) -> Option<Value> {
    let fits = |p: &&ProviderStatus| kind.is_none() || p.kind.as_deref() == kind;
    let providers: Vec<Value> = capability
        .providers
        .iter()
        .filter(fits)
        .map(provider)
        .collect();
    (!providers.is_empty()).then(|| json!({"name": capability.name, "providers": providers}))
}

fn provider(p: &ProviderStatus) -> Value {
    json!({
        "plugin": p.plugin,
        "version": p.version,
        "type": p.kind,
        "options": p.options,
        "preferred": p.preferred,
    })
}
