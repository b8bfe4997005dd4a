//! Runs: listed, shown, cancelled, followed. How they look is `view`'s business.

pub(super) mod view;

use axum::body::Body;
use axum::response::Response;
use engine::RunFilter;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::id::PipelineId;
use model::run::{RunId, RunRecord, RunState};
use serde_json::{Value, json};

use super::{Answer, Call, events, json as answer, query};
use crate::rescue::Problem;
use crate::sse::follow::Following;
use crate::sse::listen::HEARTBEAT;

/// Runs on a page, if nothing else is asked for.
const PAGE: usize = 50;
/// Most runs on a page.
const MAX_PAGE: usize = 500;
const NDJSON: &str = "application/x-ndjson";

/// `GET /api/v1/runs`, the newest first. `next` of a page is the `cursor` of the one after it.
pub(super) fn list(call: &Call) -> Answer {
    let limit = limit(call)?;
    let filter = RunFilter {
        pipeline: parsed(call, "pipeline", |t| {
            PipelineId::new(t).map_err(|e| e.to_string())
        })?,
        state: parsed(call, "state", state)?,
        parent: parsed(call, "parent", str::parse)?,
        before: parsed(call, "cursor", str::parse)?,
    };
    let mut found = call.app.engine.runs(&filter, limit.saturating_add(1));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|r| r.id.clone());
    let runs: Vec<Value> = found.iter().map(view::summary).collect();
    Ok(answer(json!({"runs": runs, "next": next}).to_string()))
}

fn limit(call: &Call) -> Result<usize, Problem> {
    let Some(text) = query::one(call, "limit") else {
        return Ok(PAGE);
    };
    let limit = text.parse().ok().filter(|n| (1..=MAX_PAGE).contains(n));
    limit.ok_or_else(|| {
        Problem::bad_request(format!(
            "limit: {text:?} was given; 1 to {MAX_PAGE} is needed"
        ))
    })
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
pub(super) fn get(call: &Call) -> Answer {
    Ok(answer(view::whole(&find(call)?).to_string()))
}

/// `POST /api/v1/runs/{id}/cancel`. It is over soon after.
pub(super) fn cancel(call: &Call) -> Answer {
    let record = find(call)?;
    if call.app.engine.cancel(&record.id) != Some(true) {
        let state = call
            .app
            .engine
            .run(&record.id)
            .map_or(record.state, |r| r.state);
        let message = format!("run {} is over already: {}", record.id, state.as_str());
        return Err(Problem::new(StatusCode::CONFLICT, "run_over", message));
    }
    let mut response = answer(view::whole(&find(call)?).to_string());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// `GET /api/v1/runs/{id}/events`: follows a run to its end.
pub(super) fn follow(call: &Call) -> Answer {
    let record = find(call)?;
    let follow = call
        .app
        .engine
        .follow_run(&record.id)
        .ok_or_else(|| missing(&call.id))?;
    let turn = events::turn(call)?;
    let closing = call.app.closing.subscribe();
    let body = Following::new(follow, view::event, HEARTBEAT, closing, turn);
    Ok(events::stream(Body::new(body)))
}

/// `GET /api/v1/runs/{id}/rejects`: the first records that stages rejected, one a line where NDJSON is asked for.
pub(super) fn rejects(call: &Call) -> Answer {
    let record = find(call)?;
    let found = call
        .app
        .engine
        .rejects(&record.id)
        .ok_or_else(|| missing(&call.id))?;
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
pub(super) fn preview(call: &Call) -> Answer {
    let record = find(call)?;
    let stages = call
        .app
        .engine
        .preview(&record.id)
        .ok_or_else(|| missing(&call.id))?;
    let body = json!({"state": record.state, "stages": stages});
    Ok(answer(body.to_string()))
}

fn find(call: &Call) -> Result<RunRecord, Problem> {
    let id = call.id.parse::<RunId>();
    let id = id.map_err(|e| Problem::not_found("run_not_found", e))?;
    call.app.engine.run(&id).ok_or_else(|| missing(&call.id))
}

/// There is no such run, or not any more.
pub(super) fn missing(id: &str) -> Problem {
    Problem::not_found(
        "run_not_found",
        format!("there is no run {id}, or it is forgotten by now"),
    )
}
