//! How pipelines look: never with what references in a spec stand for, only as they are written.

use std::time::SystemTime;

use engine::schedule::next_ticks;
use engine::spec::Problem as SpecProblem;
use engine::{Engine, Listed, PipelineVersion, SpecError};
use model::pipeline::{Pace, Parameter, Pipeline, Status, TriggerSpec, Work};
use model::run::RunRecord;
use model::store::{Condition, Failure};
use serde_json::{Map, Value, json};

use crate::app::millis;
use crate::rescue;

/// A pipeline in the list of all.
///
/// # Errors
/// The store did not answer.
pub(super) async fn summary(listed: &Listed, engine: &Engine) -> Result<Value, Failure> {
    let registered = listed.registered.as_ref();
    let pipeline = registered.map(|r| &*r.pipeline);
    let state = match (&listed.registered, &listed.failure) {
        (Some(_), None) => "registered",
        (Some(_), Some(_)) => "outdated",
        (None, _) => "failed",
    };
    let condition = pipeline.and_then(|p| engine.condition(&p.id));
    let last_run = match pipeline {
        Some(pipeline) => engine.last_run(&pipeline.id).await?,
        None => None,
    };
    Ok(json!({
        "id": listed.id,
        "state": state,
        "reason": listed.failure.as_ref().map(reason),
        "file": listed.file,
        "name": pipeline.map(|p| &p.name),
        "description": pipeline.map(|p| &p.description),
        "tags": pipeline.map_or(&[][..], |p| &p.tags),
        "status": pipeline.map(|p| status(p, condition.as_ref())),
        "error": condition.as_ref().and_then(error),
        "kind": pipeline.map(|p| kind(&p.work)),
        "trigger": pipeline.map(|p| trigger(&p.trigger)),
        "version": registered.map(|r| r.version),
        "registered_at_ms": registered.map(|r| millis(r.at)),
        "last_run": last_run.as_ref().map(last),
    }))
}

/// Paused, by its spec or by somebody; in error, since its last run failed; or active.
fn status(pipeline: &Pipeline, condition: Option<&Condition>) -> &'static str {
    let paused = condition.is_some_and(|c| c.paused);
    if paused || pipeline.status == Status::Paused {
        "paused"
    } else if condition.is_some_and(|c| c.error.is_some()) {
        "error"
    } else {
        "active"
    }
}

fn error(condition: &Condition) -> Option<Value> {
    let message = condition.error.as_ref()?;
    Some(json!({"message": message, "since_ms": condition.error_since}))
}

/// How many of the ticks to come are shown.
const TICKS: usize = 5;

/// A pipeline alone: the same, its spec, and when its trigger is due next.
///
/// # Errors
/// The store did not answer.
pub(super) async fn whole(
    listed: &Listed,
    engine: &Engine,
    now: SystemTime,
) -> Result<Value, Failure> {
    let mut all = match summary(listed, engine).await? {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let registered = listed.registered.as_ref();
    let parameters = registered.map_or(&[][..], |r| &r.pipeline.parameters);
    let parameters: Vec<Value> = parameters.iter().map(parameter).collect();
    all.insert("parameters".into(), parameters.into());
    let active = registered.filter(|_| all.get("status").is_some_and(|s| s != "paused"));
    let ticks = active.map_or(Vec::new(), |r| ticks(&r.pipeline, now));
    all.insert("next_ticks_ms".into(), ticks.into());
    all.insert("source".into(), json!(registered.map(|r| &*r.source)));
    Ok(all.into())
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
    if !is_line {
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

fn last(run: &RunRecord) -> Value {
    json!({"id": run.id, "state": run.state, "submitted_at": run.submitted_at, "ended_at": run.ended_at})
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
