//! Dead letters and checkpoints of a pipeline: listed, shown, edited, forgotten, tried again.

use axum::body::Body;
use bytes::Bytes;
use engine::RedriveError;
use http::StatusCode;
use model::id::PipelineId;
use model::store::{Letter, LetterFilter, LetterId, LetterState, MOST_ROWS, Purge};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Answer, Call, json as answer, query};
use super::{id, missing};
use crate::rescue::{self, Problem};

/// Dead letters on a page, if nothing else is asked for.
const PAGE: usize = 50;
/// Most on a page.
const MAX_PAGE: usize = 500;
/// Bytes of a record in a list.
const SHOWN: usize = 1_024;
/// Bytes of a request to try again.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of a record that somebody edits.
const MAX_RECORD: usize = 16 * 1024 * 1024;
/// Most that are named in one request.
const MAX_IDS: usize = 1_000;

/// What is to be tried again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RedriveForm {
    stage: Option<String>,
    ids: Vec<i64>,
}

/// `GET /api/v1/pipelines/{id}/checkpoints`.
pub(in crate::routes) async fn checkpoints(call: &Call) -> Answer {
    let pipeline = id(call)?;
    let found = call.app.engine.checkpoints(pipeline).await;
    let found = found.map_err(|e| rescue::durable(&e))?;
    known(call, found.is_empty())?;
    let shown = found.iter().map(|c| {
        let sinks: Value = serde_json::from_str(&c.sinks).unwrap_or_default();
        let sinks = sinks.get("sinks").cloned().unwrap_or_else(|| json!({}));
        json!({
            "name": c.name,
            "cursor": c.cursor,
            "sinks": sinks,
            "run": c.run,
            "records": c.records,
            "at_ms": c.at,
        })
    });
    let shown: Vec<Value> = shown.collect();
    Ok(answer(json!({ "checkpoints": shown }).to_string()))
}

/// `DELETE /api/v1/pipelines/{id}/checkpoints/{n}`: the next run begins anew.
pub(in crate::routes) async fn forget_checkpoint(call: &Call) -> Answer {
    let pipeline = id(call)?;
    let gone = call
        .app
        .engine
        .remove_checkpoint(pipeline, call.also.clone());
    if !gone.await.map_err(|e| rescue::durable(&e))? {
        let message = format!("pipeline {} has no checkpoint {:?}", call.id, call.also);
        return Err(Problem::not_found("checkpoint_not_found", message));
    }
    let message = format!(
        "checkpoint {} of pipeline {} is forgotten",
        call.also, call.id
    );
    Ok(answer(json!({ "message": message }).to_string()))
}

/// `GET /api/v1/pipelines/{id}/dead-letters`, in the order they came. `next` of a page is `after` of the one after it.
pub(in crate::routes) async fn list(call: &Call) -> Answer {
    let limit = query::limit(call, PAGE, MAX_PAGE)?;
    let filter = LetterFilter {
        stage: query::one(call, "stage"),
        state: state(call)?,
        after: query::one(call, "after").map(|t| number(&t)).transpose()?,
        ..LetterFilter::of(id(call)?)
    };
    let most = u32::try_from(limit.saturating_add(1)).unwrap_or(MOST_ROWS);
    let found = call.app.engine.letters(filter, most).await;
    let mut found = found.map_err(|e| rescue::durable(&e))?;
    known(call, found.is_empty())?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|l| l.id);
    let waiting = call.app.engine.letters_waiting(id(call)?).await;
    let waiting = waiting.map_err(|e| rescue::durable(&e))?;
    let letters: Vec<Value> = found.iter().map(summary).collect();
    let body = json!({"letters": letters, "next": next, "waiting": waiting});
    Ok(answer(body.to_string()))
}

/// `GET /api/v1/pipelines/{id}/dead-letters/{n}`.
pub(in crate::routes) async fn get(call: &Call) -> Answer {
    let letter = find(call).await?;
    Ok(answer(whole(&letter).to_string()))
}

/// `PUT /api/v1/pipelines/{id}/dead-letters/{n}`: the record to try in place of the original; `null` goes back to that.
pub(in crate::routes) async fn edit(call: Call, body: Body) -> Answer {
    let letter = find(&call).await?;
    let held = call.read_up_to(MAX_RECORD, body).await?;
    let given: Value = serde_json::from_slice(&held.bytes)
        .map_err(|e| Problem::bad_request(format!("a record is one JSON document: {e}")))?;
    let record = (!given.is_null()).then(|| Bytes::copy_from_slice(held.bytes.trim_ascii()));
    let edited = call.app.engine.edit_letter(letter.id, record).await;
    if !edited.map_err(|e| rescue::durable(&e))? {
        return Err(busy(&call));
    }
    let letter = find(&call).await?;
    Ok(answer(whole(&letter).to_string()))
}

/// `DELETE /api/v1/pipelines/{id}/dead-letters/{n}`.
pub(in crate::routes) async fn forget(call: &Call) -> Answer {
    let letter = find(call).await?;
    let purge = Purge {
        id: Some(letter.id),
        ..all(id(call)?)
    };
    let gone = call.app.engine.purge_letters(purge).await;
    if gone.map_err(|e| rescue::durable(&e))? == 0 {
        return Err(busy(call));
    }
    let message = format!("dead letter {} is forgotten", call.also);
    Ok(answer(json!({ "message": message }).to_string()))
}

/// `DELETE /api/v1/pipelines/{id}/dead-letters`: all that fit.
pub(in crate::routes) async fn purge(call: &Call) -> Answer {
    let before = query::one(call, "before").map(|text| engine::moment(&text));
    let before = before.transpose();
    let before = before.map_err(|e| Problem::bad_request(format!("before: {e}")))?;
    let purge = Purge {
        stage: query::one(call, "stage"),
        state: state(call)?,
        before,
        ..all(id(call)?)
    };
    let gone = call.app.engine.purge_letters(purge).await;
    let gone = gone.map_err(|e| rescue::durable(&e))?;
    Ok(answer(json!({ "forgotten": gone }).to_string()))
}

fn all(pipeline: PipelineId) -> Purge {
    Purge {
        pipeline,
        id: None,
        stage: None,
        state: None,
        before: None,
        keep: None,
    }
}

/// `POST /api/v1/pipelines/{id}/dead-letters/redrive`.
pub(in crate::routes) async fn redrive(call: Call, body: Body) -> Answer {
    let pipeline = id(&call)?;
    let held = call.read_up_to(MAX_BODY, body).await?;
    let form: RedriveForm = match held.bytes.trim_ascii() {
        [] => RedriveForm::default(),
        text => serde_json::from_slice(text).map_err(|e| Problem::unfit(e.to_string()))?,
    };
    if form.ids.len() > MAX_IDS {
        let number = form.ids.len();
        let message = format!("ids: {number} were given; at most {MAX_IDS} are allowed");
        return Err(Problem::unfit(message));
    }
    let ids: Vec<_> = form.ids.into_iter().map(LetterId).collect();
    let started = call
        .app
        .engine
        .redrive(&pipeline, form.stage.as_deref(), &ids);
    let runs = started.await.map_err(|e| refused(&e))?;
    let mut response = answer(json!({ "runs": runs }).to_string());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn refused(error: &RedriveError) -> Problem {
    match error {
        RedriveError::NotKept => Problem::new(StatusCode::CONFLICT, "not_kept", error.to_string()),
        RedriveError::Letter(what) => Problem::not_found("dead_letter_not_found", what.clone()),
        RedriveError::Submit(e) => rescue::submit(e),
        RedriveError::Store(e) => rescue::durable(e),
    }
}

async fn find(call: &Call) -> Result<Letter, Problem> {
    let pipeline = id(call)?;
    let found = call.app.engine.letter(&pipeline, number(&call.also)?).await;
    let found = found.map_err(|e| rescue::durable(&e))?;
    found.ok_or_else(|| {
        let message = format!("pipeline {pipeline} has no dead letter {:?}", call.also);
        Problem::not_found("dead_letter_not_found", message)
    })
}

fn number(text: &str) -> Result<LetterId, Problem> {
    let number = text.parse().ok().filter(|n: &i64| *n >= 0);
    number.map(LetterId).ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        Problem::not_found(
            "dead_letter_not_found",
            format!("{text:?} is no number of a dead letter"),
        )
    })
}

fn state(call: &Call) -> Result<Option<LetterState>, Problem> {
    let Some(text) = query::one(call, "state") else {
        return Ok(None);
    };
    LetterState::by_name(&text).map(Some).ok_or_else(|| {
        let names = LetterState::ALL.map(LetterState::as_str).join(", ");
        Problem::bad_request(format!(
            "state: {text:?} was given; one of {names} is needed"
        ))
    })
}

/// It is being tried, or was delivered.
fn busy(call: &Call) -> Problem {
    let message = format!(
        "dead letter {} does not wait: it is being tried again, or was delivered",
        call.also
    );
    Problem::new(StatusCode::CONFLICT, "dead_letter_busy", message)
}

/// Of a pipeline that is gone there may still be something; of one that never was there is nothing.
fn known(call: &Call, nothing: bool) -> Result<(), Problem> {
    if nothing && call.app.config.pipelines.find(&call.id).is_none() {
        return Err(missing(&call.id));
    }
    Ok(())
}

fn summary(letter: &Letter) -> Value {
    let record = &letter.new.original;
    let (start, _) = record.split_at(record.len().min(SHOWN));
    let more = [
        ("record", String::from_utf8_lossy(start).into()),
        ("cut", (start.len() < record.len()).into()),
    ];
    with(about(letter), more)
}

fn about(letter: &Letter) -> Value {
    json!({
        "id": letter.id,
        "stage": letter.new.stage,
        "number": letter.new.number,
        "reason": letter.new.reason,
        "undelivered": letter.new.undelivered,
        "attempts": letter.new.attempts,
        "state": letter.state,
        "run": letter.new.run,
        "at_ms": letter.new.at,
        "bytes": letter.new.original.len(),
        "edited": letter.edited.is_some(),
    })
}

/// All of it: records as texts, or in Base64 where they are none.
fn whole(letter: &Letter) -> Value {
    let (text, base64) = engine::text_or_base64(&letter.new.original);
    let edited = letter.edited.as_deref().map(engine::text_or_base64);
    let more = [
        ("record", text.into()),
        ("base64", base64.into()),
        ("edited_record", edited.and_then(|(text, _)| text).into()),
    ];
    with(about(letter), more)
}

/// What of a pipeline's delivery is shown with it: its open circuits, and what waits.
pub(super) async fn delivery(
    call: &Call,
    pipeline: &PipelineId,
) -> Result<[(&'static str, Value); 2], Problem> {
    let circuits = call.app.engine.circuits(pipeline).await;
    let circuits = circuits.map_err(|e| rescue::durable(&e))?;
    let circuits = circuits.iter().map(|c| {
        json!({
            "sink": c.sink,
            "state": if c.again.is_some() { "open" } else { "half_open" },
            "letters": c.letters,
            "since_ms": c.since,
            "attempts": c.attempts,
            "again_at_ms": c.again,
            "run": c.run,
        })
    });
    let circuits: Vec<Value> = circuits.collect();
    let waiting = call.app.engine.letters_waiting(pipeline.clone()).await;
    let waiting = waiting.map_err(|e| rescue::durable(&e))?;
    Ok([
        ("circuits", circuits.into()),
        ("dead_letters", json!(waiting)),
    ])
}

/// Puts more into an object.
pub(super) fn with(
    mut object: Value,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
    object
}
