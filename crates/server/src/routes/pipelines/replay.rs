//! Replays: what was kept goes through a pipeline again; with `dry_run`, only what would come out otherwise is said.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use engine::Replay;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::{Answer, Call, json as answer};
use super::id;
use super::start::{accepted, form};
use crate::rescue::{self, Problem};

/// How long a diff may take.
const WAIT: Duration = Duration::from_secs(600);

/// What a replay is asked for with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReplayForm {
    from: Option<String>,
    until: Option<String>,
    version: Option<u64>,
    sinks: Option<BTreeSet<String>>,
    into: Option<Vec<Value>>,
    parameters: Map<String, Value>,
    window: Option<String>,
    dry_run: bool,
    against: Option<u64>,
}

/// `POST /api/v1/pipelines/{id}/replay`.
pub(in crate::routes) async fn replay(call: Call, body: Body) -> Answer {
    let pipeline = id(&call)?;
    let form: ReplayForm = form(&call, body).await?.unwrap_or_default();
    if form.against.is_some() && !form.dry_run {
        return Err(Problem::unfit("against: it goes with `dry_run` only"));
    }
    let replay = Replay {
        pipeline,
        from: moment("from", form.from.as_deref())?,
        until: moment("until", form.until.as_deref())?,
        version: form.version,
        sinks: form.sinks,
        into: form.into.map(Value::Array),
        parameters: form.parameters,
        window: form.window,
    };
    let engine = &call.app.engine;
    if !form.dry_run {
        let run = engine.replay(&replay).await;
        return accepted(&call, &run.map_err(|e| rescue::replay(&e))?).await;
    }
    let diff = tokio::time::timeout(WAIT, engine.replay_diff(&replay, form.against));
    let diff = diff.await.map_err(|_| {
        let said = format!(
            "the diff took longer than {} s; narrow the span with `from` and `until`",
            WAIT.as_secs()
        );
        Problem::new(
            http::StatusCode::UNPROCESSABLE_ENTITY,
            "replay_too_large",
            said,
        )
    })?;
    let diff = diff.map_err(|e| rescue::replay(&e))?;
    Ok(answer(json!(diff).to_string()))
}

/// A moment, or the beginning of a day, month and so on.
fn moment(name: &str, text: Option<&str>) -> Result<Option<SystemTime>, Problem> {
    let at = text.map(engine::timescope::beginning).transpose();
    at.map_err(|e| Problem::unfit(format!("{name}: {e}")))
}
