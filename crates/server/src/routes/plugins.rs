//! The plugins, one by one, with all that is known of them.

use engine::{FaultRecord, ManageError, PluginStatus, Reason, SyncReport};
use model::grants::Capability;
use model::limits::Limit;
use serde_json::{Map, Value, json};

use super::{Answer, Call, json as answer};
use crate::app::since_epoch;
use crate::config::ServerConfig;
use crate::rescue::{self, Problem};

/// `GET /api/v1/plugins`.
pub(crate) fn list(call: &Call) -> axum::response::Response {
    let all: Vec<Value> = call.app.engine.plugins().iter().map(summary).collect();
    answer(json!({ "plugins": all }).to_string())
}

/// `GET /api/v1/plugins/{id}`.
pub(crate) fn get(call: &Call) -> Answer {
    let status = find(call)?;
    Ok(answer(whole(&status, &call.app.config).to_string()))
}

/// `DELETE /api/v1/plugins/{id}`.
pub(crate) async fn delete(call: &Call) -> Answer {
    let result = call.app.engine.delete(&call.id).await;
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

/// `POST /api/v1/plugins/{id}/stop`.
pub(crate) async fn stop(call: &Call) -> Answer {
    after(call, call.app.engine.stop(&call.id).await)
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
    Ok(answer(grants_of(&find(call)?).to_string()))
}

/// `GET /api/v1/plugins/{id}/limits`.
pub(crate) fn limits(call: &Call) -> Answer {
    let limits = limits_of(&find(call)?, &call.app.config);
    Ok(answer(json!({ "limits": limits }).to_string()))
}

/// `GET /api/v1/plugins/{id}/faults`.
pub(crate) fn faults(call: &Call) -> Answer {
    let faults = faults_of(&find(call)?.faults);
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

/// A plugin in the list of all.
fn summary(p: &PluginStatus) -> Value {
    let about = p.about.as_deref();
    json!({
        "id": p.id,
        "file": p.file,
        "origin": p.origin,
        "state": p.state,
        "reason": p.reason.as_ref().map(reason),
        "kind": p.kind,
        "name": about.map(|a| &a.manifest.name),
        "version": about.map(|a| &a.manifest.version),
        "generation": p.generation,
        "loaded_at_ms": p.loaded_at.map(millis),
        "quarantined_until_ms": p.quarantined_until.map(millis),
        "valves": p.valves,
        "last_load_error": p.last_load_error.as_ref().map(reason),
        "models_error": p.models_error.as_ref().map(reason),
        "calls": {"total": p.calls.total, "failed": p.calls.failed, "in_flight": p.calls.in_flight},
        "faults": faults_of(&p.faults),
    })
}

/// A plugin alone: the same, and all the rest.
fn whole(p: &PluginStatus, config: &ServerConfig) -> Value {
    let about = p.about.as_deref();
    let mut all = match summary(p) {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let u = &p.usage;
    let rest = [
        ("manifest", json!(about.map(|a| &a.manifest))),
        ("roles", json!(about.map(|a| &a.roles))),
        ("digest", json!(about.map(|a| &*a.digest))),
        ("size", json!(about.map(|a| a.size))),
        ("notes", json!(about.map(|a| &a.notes))),
        ("reuse", json!(p.settings.as_ref().map(|s| s.reuse))),
        ("grants", grants_of(p)),
        ("limits", limits_of(p, config)),
        (
            "usage",
            json!({
                "fuel": u.fuel,
                "memory_high_water": u.memory_high_water,
                "instances": u.instances,
                "idle_instances": u.idle_instances,
                "instances_made": u.instances_made,
                "host_calls": u.host_calls,
                "http_requests": u.http_requests,
                "bytes_in": u.bytes_in,
                "bytes_out": u.bytes_out,
                "log_lines": u.log_lines,
                "log_dropped": u.log_dropped,
                "denials": u.denials,
            }),
        ),
    ];
    all.extend(rest.map(|(key, value)| (key.to_owned(), value)));
    all.into()
}

/// What it asks for by importing it, and what it has.
fn grants_of(p: &PluginStatus) -> Value {
    let about = p.about.as_deref();
    let asked = about.map(|a| a.asks.iter().map(|c| c.name()).collect::<Vec<_>>());
    let missing = about.zip(p.settings.as_deref()).map(|(about, settings)| {
        let missing = about
            .asks
            .iter()
            .filter(|c: &&Capability| !settings.grants.has(**c));
        missing
            .map(|c| json!({"capability": c.name(), "to_grant": c.example()}))
            .collect::<Vec<_>>()
    });
    json!({
        "asked": asked,
        "granted": p.settings.as_deref().map(|s| &s.grants),
        "missing": missing,
    })
}

fn limits_of(p: &PluginStatus, config: &ServerConfig) -> Value {
    let values = p.settings.as_deref().map(|s| &s.limits);
    let one = |limit: &Limit| {
        let spec = limit.spec();
        json!({
            "name": spec.name,
            "unit": spec.unit,
            "value": values.map(|v| v.get(*limit)),
            "default": config.defaults.get(*limit),
            "ceiling": config.ceilings.get(*limit),
        })
    };
    Limit::ALL.iter().map(one).collect()
}

fn faults_of(faults: &[FaultRecord]) -> Value {
    let one = |f: &FaultRecord| json!({"at_ms": millis(f.at), "call": f.call, "code": f.code, "message": f.message});
    faults.iter().map(one).collect()
}

fn reason(r: &Reason) -> Value {
    json!({"code": r.code, "message": r.message, "at_ms": millis(r.at)})
}

/// Milliseconds since 1970-01-01 UTC.
fn millis(at: std::time::SystemTime) -> u64 {
    u64::try_from(since_epoch(at).as_millis()).unwrap_or(u64::MAX)
}
