//! Runs: listed, shown, cancelled, followed. How they look is `view`'s business.

pub(super) mod view;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::id::PipelineId;
use model::run::{RunId, RunRecord, RunState};
use model::store::RunFilter;
use serde_json::{Value, json};

use super::{Answer, Call, events, json as answer, query};
use crate::rescue::{self, Problem};
use crate::sse::follow::Following;
use crate::sse::listen::HEARTBEAT;

/// Runs on a page, if nothing else is asked for.
const PAGE: usize = 50;
/// Most runs on a page.
const MAX_PAGE: usize = 500;
const NDJSON: &str = "application/x-ndjson";

/// `GET /api/v1/runs`, the newest first. `next` of a page is the `cursor` of the one after it.
pub(super) async fn list(call: &Call) -> Answer {
    let limit = query::limit(call, PAGE, MAX_PAGE)?;
    let filter = RunFilter {
        pipeline: parsed(call, "pipeline", |t| {
            PipelineId::new(t).map_err(|e| e.to_string())
        })?,
        state: parsed(call, "state", state)?,
        parent: parsed(call, "parent", str::parse)?,
        before: parsed(call, "cursor", str::parse)?,
    };
    let listed = call.app.engine.list_runs(&filter, limit.saturating_add(1));
    let mut found = listed.await.map_err(|e| rescue::durable(&e))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|r| r.id.clone());
    let runs: Vec<Value> = found.iter().map(view::summary).collect();
    Ok(answer(json!({"runs": runs, "next": next}).to_string()))
}

fn parsed<T>(
    call: &Call,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Problem> {
    let given = query::one(call, name).map(|text| parse(&text));
    given
        .transpose()
        .map_err(|e| Problem::bad_request(format!("{name}: {e}")))
}

fn state(text: &str) -> Result<RunState, String> {
    RunState::by_name(text).ok_or_else(|| {
        let names = RunState::ALL.map(RunState::as_str).join(", ");
        format!("{text:?} was given; one of {names} is needed")
    })
}

/// `GET /api/v1/runs/{id}`.
pub(super) async fn get(call: &Call) -> Answer {
    let run = find(call).await?;
    let attempts = call.app.engine.attempts(&run.id).await;
    let attempts = attempts.map_err(|e| rescue::durable(&e))?;
    Ok(answer(view::with_attempts(&run, &attempts).to_string()))
}

/// `POST /api/v1/runs/{id}/cancel`. It is over soon after.
pub(super) async fn cancel(call: &Call) -> Answer {
    let record = find(call).await?;
    let cancelled = call.app.engine.cancel_anywhere(&record.id).await;
    if cancelled.map_err(|e| rescue::durable(&e))? != Some(true) {
        let state = find(call).await.map_or(record.state, |r| r.state);
        let message = format!("run {} is over already: {}", record.id, state.as_str());
        return Err(Problem::new(StatusCode::CONFLICT, "run_over", message));
    }
    let mut response = answer(view::whole(&find(call).await?).to_string());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// `GET /api/v1/runs/{id}/events`: follows a run to its end.
pub(super) async fn follow(call: &Call) -> Answer {
    let record = find(call).await?;
    let Some(follow) = call.app.engine.follow_run(&record.id) else {
        return ended(&record);
    };
    let turn = events::turn(call)?;
    let closing = call.app.closing.subscribe();
    let body = Following::new(follow, view::event, HEARTBEAT, closing, turn);
    Ok(events::stream(Body::new(body)))
}

/// The stream of a run that is not under way here.
fn ended(record: &RunRecord) -> Answer {
    if record.state.is_over() {
        return Ok(events::stream(Body::from(view::event(record))));
    }
    let message = format!(
        "run {} is {}, and not on this server; GET /api/v1/runs/{} shows how it stands",
        record.id,
        record.state.as_str(),
        record.id
    );
    Err(Problem::new(StatusCode::CONFLICT, "run_elsewhere", message))
}

/// `GET /api/v1/runs/{id}/rejects`: the first records that stages rejected, one a line where NDJSON is asked for.
pub(super) async fn rejects(call: &Call) -> Answer {
    let record = find(call).await?;
    // Of one that is no longer in memory, only the file has them.
    let found = call.app.engine.rejects(&record.id).unwrap_or_default();
    if !wants_ndjson(&call.head.headers) {
        let total: u64 = record.stages.iter().map(|s| s.rejected).sum();
        let body = json!({"rejects": found, "total": total, "file": record.rejects_file});
        return Ok(answer(body.to_string()));
    }
    let lines: String = found.iter().map(|r| format!("{}\n", json!(r))).collect();
    let mut response = Response::new(lines.into());
    let kind = HeaderValue::from_static(NDJSON);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn wants_ndjson(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter();
    let mut ranges = accepted
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    ranges.any(|range| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(NDJSON)
    })
}

/// `GET /api/v1/runs/{id}/preview`: the first records after each stage.
pub(super) async fn preview(call: &Call) -> Answer {
    let record = find(call).await?;
    let stages = call
        .app
        .engine
        .preview(&record.id)
        .ok_or_else(|| no_preview(&record.id))?;
    let body = json!({"state": record.state, "stages": stages});
    Ok(answer(body.to_string()))
}

async fn find(call: &Call) -> Result<RunRecord, Problem> {
    let id = call.id.parse::<RunId>();
    let id = id.map_err(|e| Problem::not_found("run_not_found", e))?;
    let found = call.app.engine.find_run(&id).await;
    let found = found.map_err(|e| rescue::durable(&e))?;
    found.ok_or_else(|| missing(&call.id))
}

fn no_preview(id: &RunId) -> Problem {
    let message = format!("run {id} is no longer in memory, and previews are kept nowhere else");
    Problem::not_found("preview_not_found", message)
}

/// There is no such run, or not any more.
pub(super) fn missing(id: &str) -> Problem {
    Problem::not_found(
        "run_not_found",
        format!("there is no run {id}, or it is forgotten by now"),
    )
}
