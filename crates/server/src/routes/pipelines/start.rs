//! Starting runs of a pipeline: what is asked for is read strictly, and waited for where that is wanted.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use engine::{Backfill, Trigger, Which};
use http::StatusCode;
use model::run::RunId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::{Answer, Call, json as answer, runs};
use super::{id, locate};
use crate::rescue::{self, Problem};

/// Bytes of a request for a run.
const MAX_BODY: usize = 1024 * 1024;
/// How long a request with `wait` is held at most. A run that takes longer is answered as one that was not waited for.
const WAIT: Duration = Duration::from_secs(60);
/// Most records shown after each stage.
const MAX_PREVIEW: u32 = 100;
/// Rows of a preview where `true` stands for a number.
const PREVIEW: u32 = 10;
/// Most bytes of an `Idempotency-Key`.
const MAX_KEY: usize = 255;
/// Most windows of a backfill at once.
const MAX_PARALLEL: usize = 64;

/// What a run is asked for with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RunForm {
    parameters: Map<String, Value>,
    window: Option<String>,
    limit: Option<u64>,
    dry_run: bool,
    preview: Option<Preview>,
    wait: bool,
}

/// `true`, or how many rows.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "true, false or a number of rows")]
enum Preview {
    Plain(bool),
    Rows(u32),
}

/// What a backfill is asked for with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackfillForm {
    from: String,
    to: String,
    #[serde(default)]
    parallel: Option<NonZeroUsize>,
    #[serde(default = "yes")]
    stop_on_error: bool,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

/// `POST /api/v1/pipelines/{id}/runs`.
pub(in crate::routes) async fn run(call: Call, body: Body) -> Answer {
    let pipeline = id(&call)?;
    let form: RunForm = form(&call, body).await?.unwrap_or_default();
    if form.limit == Some(0) {
        return Err(Problem::unfit("limit: 0 was given; at least 1 is needed"));
    }
    let trigger = Trigger {
        parameters: form.parameters,
        window: form.window,
        limit: form.limit,
        preview: rows(form.preview.as_ref())?,
        dry_run: form.dry_run,
        key: key(&call)?,
        ..Trigger::of(Which::Named(pipeline))
    };
    let run = call.app.engine.submit(trigger).await;
    let run = run.map_err(|e| rescue::submit(&e))?;
    if form.wait {
        let over = tokio::time::timeout(WAIT, call.app.engine.finished(&run)).await;
        if let Ok(Some(record)) = over {
            return Ok(answer(runs::view::whole(&record).to_string()));
        }
    }
    accepted(&call, &run).await
}

/// The `Idempotency-Key`: the same one gets the same run.
fn key(call: &Call) -> Result<Option<String>, Problem> {
    let Some(given) = call.head.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let good = |text: &&str| (1..=MAX_KEY).contains(&text.len());
    let key = given.to_str().ok().filter(good).ok_or_else(|| {
        Problem::bad_request(format!(
            "Idempotency-Key: 1 to {MAX_KEY} visible ASCII characters are needed"
        ))
    })?;
    Ok(Some(key.to_owned()))
}

/// `POST /api/v1/pipelines/{id}/backfill`.
pub(in crate::routes) async fn backfill(call: Call, body: Body) -> Answer {
    let pipeline = id(&call)?;
    let form: Option<BackfillForm> = form(&call, body).await?;
    let form = form.ok_or_else(|| {
        Problem::unfit("from, to: nothing was given; the first and the last window are needed")
    })?;
    let parallel = form.parallel.unwrap_or(NonZeroUsize::MIN);
    if parallel.get() > MAX_PARALLEL {
        return Err(Problem::unfit(format!(
            "parallel: {parallel} was given; 1 to {MAX_PARALLEL} are allowed"
        )));
    }
    let backfill = Backfill {
        pipeline,
        from: form.from,
        to: form.to,
        parallel,
        stop_on_error: form.stop_on_error,
        parameters: form.parameters,
        dry_run: form.dry_run,
    };
    let run = call.app.engine.backfill(&backfill).await;
    accepted(&call, &run.map_err(|e| rescue::backfill(&e))?).await
}

fn rows(preview: Option<&Preview>) -> Result<Option<u32>, Problem> {
    match preview {
        None | Some(Preview::Plain(false)) => Ok(None),
        Some(Preview::Plain(true)) => Ok(Some(PREVIEW)),
        Some(Preview::Rows(rows)) if (1..=MAX_PREVIEW).contains(rows) => Ok(Some(*rows)),
        Some(Preview::Rows(rows)) => Err(Problem::unfit(format!(
            "preview: {rows} was given; 1 to {MAX_PREVIEW} rows, or true, are allowed"
        ))),
    }
}

/// The body; none where there is none.
pub(super) async fn form<T: DeserializeOwned>(
    call: &Call,
    body: Body,
) -> Result<Option<T>, Problem> {
    let held = call.read_up_to(MAX_BODY, body).await?;
    if held.bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Depth and shape first, so that both are told in the same words everywhere.
    crate::json::Fields::parse(&held.bytes, call.app.config.limits.max_json_depth)?;
    let form = serde_json::from_slice(&held.bytes);
    form.map(Some).map_err(|e| Problem::unfit(e.to_string()))
}

/// The run is on its way.
pub(super) async fn accepted(call: &Call, run: &RunId) -> Answer {
    let record = call.app.engine.find_run(run).await;
    let record = record.map_err(|e| rescue::durable(&e))?;
    let record = record.ok_or_else(|| runs::missing(run.as_str()))?;
    let mut response: Response = answer(runs::view::whole(&record).to_string());
    *response.status_mut() = StatusCode::ACCEPTED;
    locate(&mut response, &format!("/api/v1/runs/{run}"));
    Ok(response)
}
