//! How a plugin looks in answers: alone, and in the list of all.

use engine::{DependencyStatus, FaultRecord, PluginStatus, Reason};
use model::limits::Limit;
use serde_json::{Map, Value, json};

use super::grants;
use crate::app::millis;
use crate::config::ServerConfig;

/// A plugin in the list of all.
pub(super) fn summary(p: &PluginStatus) -> Value {
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
        "restarts": {
            "policy": p.restarts.policy,
            "count": p.restarts.count,
            "next_at_ms": p.restarts.next_at.map(millis),
        },
        "valves": p.valves,
        "last_load_error": p.last_load_error.as_ref().map(reason),
        "models_error": p.models_error.as_ref().map(reason),
        "calls": {"total": p.calls.total, "failed": p.calls.failed, "in_flight": p.calls.in_flight},
        "faults": faults(&p.faults),
    })
}

/// A plugin alone: the same, and all the rest.
pub(super) fn whole(p: &PluginStatus, config: &ServerConfig) -> Value {
    let about = p.about.as_deref();
    let mut all = match summary(p) {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let (u, settings) = (&p.usage, p.settings.as_deref());
    let rest = [
        ("manifest", json!(about.map(|a| &a.manifest))),
        ("roles", json!(about.map(|a| &a.roles))),
        ("digest", json!(about.map(|a| &*a.digest))),
        ("size", json!(about.map(|a| a.size))),
        ("notes", json!(p.notes)),
        ("track", json!(about.map(|a| &a.track))),
        ("reuse", json!(settings.map(|s| s.reuse))),
        ("dependencies", dependencies(p)),
        ("dependants", json!(p.dependants)),
        ("overflow", json!(settings.map(|s| s.overflow))),
        (
            "waiting",
            json!({
                "events": p.waiting.events,
                "events_dropped": p.waiting.events_dropped,
                "casts": p.waiting.casts,
            }),
        ),
        ("grants", grants::view(p)),
        ("limits", limits(p, config)),
        (
            "usage",
            json!({
                "fuel": u.fuel,
                "cpu_us": u.cpu_us,
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

/// What it depends on, and whether that is there.
fn dependencies(p: &PluginStatus) -> Value {
    let one = |d: &DependencyStatus| {
        json!({
            "id": d.id,
            "range": d.range,
            "optional": d.optional,
            "version": d.version,
            "state": d.state,
        })
    };
    p.dependencies.iter().map(one).collect()
}

/// Every limit: its value, and what it could be.
pub(super) fn limits(p: &PluginStatus, config: &ServerConfig) -> Value {
    let values = p.settings.as_deref().map(|s| &s.limits);
    let one = |limit: &Limit| {
        let spec = limit.spec();
        json!({
            "name": spec.name,
            "unit": spec.unit,
            "value": values.and_then(|v| bound(v.get(*limit))),
            "default": bound(config.defaults.get(*limit)),
            "ceiling": bound(config.ceilings.get(*limit)),
        })
    };
    Limit::ALL.iter().map(one).collect()
}

/// The value of a limit; none where there is no limit.
fn bound(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

/// The last faults.
pub(super) fn faults(faults: &[FaultRecord]) -> Value {
    let one = |f: &FaultRecord| json!({"at_ms": millis(f.at), "call": f.call, "code": f.code, "message": f.message});
    faults.iter().map(one).collect()
}

fn reason(r: &Reason) -> Value {
    json!({"code": r.code, "message": r.message, "at_ms": millis(r.at)})
}
