//! How pipelines look: never with what references in a spec stand for, only as they are written.

use std::time::SystemTime;

use engine::schedule::next_ticks;
use engine::spec::Problem as SpecProblem;
use engine::{Engine, Listed, PipelineVersion, RunFilter, SpecError};
use model::pipeline::{Pace, Parameter, Pipeline, Status, TriggerSpec, Work};
use model::run::RunRecord;
use serde_json::{Map, Value, json};

use crate::app::millis;
use crate::rescue;

/// A pipeline in the list of all.
pub(super) fn summary(listed: &Listed, engine: &Engine) -> Value {
    let registered = listed.registered.as_ref();
    let pipeline = registered.map(|r| &*r.pipeline);
    let state = match (&listed.registered, &listed.failure) {
        (Some(_), None) => "registered",
        (Some(_), Some(_)) => "outdated",
        (None, _) => "failed",
    };
    json!({
        "id": listed.id,
        "state": state,
        "reason": listed.failure.as_ref().map(reason),
        "file": listed.file,
        "name": pipeline.map(|p| &p.name),
        "description": pipeline.map(|p| &p.description),
        "tags": pipeline.map_or(&[][..], |p| &p.tags),
        "status": pipeline.map(|p| p.status),
        "kind": pipeline.map(|p| kind(&p.work)),
        "trigger": pipeline.map(|p| trigger(&p.trigger)),
        "version": registered.map(|r| r.version),
        "registered_at_ms": registered.map(|r| millis(r.at)),
        "last_run": pipeline.and_then(|p| last_run(p, engine)),
    })
}

/// How many of the ticks to come are shown.
const TICKS: usize = 5;

/// A pipeline alone: the same, its spec, and when its trigger is due next.
pub(super) fn whole(listed: &Listed, engine: &Engine, now: SystemTime) -> Value {
    let mut all = match summary(listed, engine) {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let registered = listed.registered.as_ref();
    let parameters = registered.map_or(&[][..], |r| &r.pipeline.parameters);
    let parameters: Vec<Value> = parameters.iter().map(parameter).collect();
    all.insert("parameters".into(), parameters.into());
    let ticks = registered.map_or(Vec::new(), |r| ticks(&r.pipeline, now));
    all.insert("next_ticks_ms".into(), ticks.into());
    all.insert("source".into(), json!(registered.map(|r| &*r.source)));
    all.into()
}

fn reason(error: &SpecError) -> Value {
    let (code, message) = rescue::of_spec(error);
    let problems = match error {
        SpecError::Invalid(found) => problems(found),
        _ => Value::Array(Vec::new()),
    };
    json!({"code": code, "message": message, "problems": problems})
}

/// What is wrong with a spec, one by one.
pub(super) fn problems(found: &[SpecProblem]) -> Value {
    rescue::problems(found)
}

fn kind(work: &Work) -> &'static str {
    match work {
        Work::Flow(_) => "flow",
        Work::Sequential { .. } => "sequential",
        Work::Parallel { .. } => "parallel",
        Work::Conditional { .. } => "conditional",
        Work::Retry { .. } => "retry",
    }
}

fn trigger(trigger: &TriggerSpec) -> Value {
    match trigger {
        TriggerSpec::Manual => json!({"type": "manual"}),
        TriggerSpec::Interval(interval) => {
            let (mode, overlap) = match interval.pace {
                Pace::FixedDelay => ("fixed_delay", None),
                Pace::FixedRate(overlap) => ("fixed_rate", Some(overlap)),
            };
            json!({
                "type": "interval",
                "seconds": interval.every.as_secs_f64(),
                "mode": mode,
                "overlap": overlap,
                "jitter_seconds": interval.jitter.as_secs_f64(),
            })
        }
        TriggerSpec::Cron(cron) => json!({
            "type": "cron",
            "cron": cron.expression,
            "zone": cron.zone,
            "missed": cron.missed,
            "overlap": cron.overlap,
            "jitter_seconds": cron.jitter.as_secs_f64(),
        }),
        TriggerSpec::Webhook(webhook) => json!({
            "type": "webhook",
            "scheme": webhook.scheme,
            "requests": webhook.rate.requests,
            "per_seconds": webhook.rate.per.as_secs_f64(),
            "max_bytes": webhook.max_bytes,
        }),
        TriggerSpec::After(after) => {
            json!({"type": "after", "pipeline": after.pipeline, "on": after.on})
        }
    }
}

/// When a crontab line is due next. Other triggers have no times that are known from the spec alone.
fn ticks(pipeline: &Pipeline, now: SystemTime) -> Vec<u64> {
    let is_line = matches!(pipeline.trigger, TriggerSpec::Cron(_));
    if !is_line || pipeline.status == Status::Paused {
        return Vec::new();
    }
    let ticks = next_ticks(&pipeline.trigger, now, TICKS).unwrap_or_default();
    ticks.into_iter().map(millis).collect()
}

fn parameter(parameter: &Parameter) -> Value {
    let Parameter {
        name,
        schema,
        default,
    } = parameter;
    json!({"name": name, "schema": schema, "required": default.is_none(), "default": default})
}

fn last_run(pipeline: &Pipeline, engine: &Engine) -> Option<Value> {
    let filter = RunFilter {
        pipeline: Some(pipeline.id.clone()),
        ..RunFilter::default()
    };
    let RunRecord {
        id,
        state,
        submitted_at,
        ended_at,
        ..
    } = engine.runs(&filter, 1).pop()?;
    Some(json!({"id": id, "state": state, "submitted_at": submitted_at, "ended_at": ended_at}))
}

/// A version in the list of all.
pub(super) fn version(version: &PipelineVersion, now: Option<u64>) -> Value {
    json!({
        "version": version.version,
        "current": now == Some(version.version),
        "registered_at_ms": version.at.map(millis),
        "bytes": version.source.len(),
    })
}
