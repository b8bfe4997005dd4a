//! `GET /api/v1/events`: follows the bus. Which topics, and since when; how events look on the wire is `sse::listen`'s business.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use model::events::TopicPattern;
use tokio::sync::OwnedSemaphorePermit;

use super::{Answer, Call, query};
use crate::rescue::Problem;
use crate::sse::listen::{HEARTBEAT, Listener, Since};

/// Most patterns of topics a listener may give.
const MAX_TOPICS: usize = 100;

/// Opens a stream of events: those of the topics asked for, after the last one the client has seen, or from now on.
pub(super) fn events(call: &Call) -> Answer {
    let topics = topics(call)?;
    let bus = Arc::clone(call.app.engine.bus());
    let since = since(call, call.app.first_event, bus.last())?;
    let turn = turn(call)?;
    let closing = call.app.closing.subscribe();
    let listener = Listener::new(bus, topics, since, HEARTBEAT, closing, turn);
    Ok(stream(Body::new(listener)))
}

/// After the last event the client has seen, or from now on. Ids of this bus come after `first`, the last is `newest`.
pub(super) fn since(call: &Call, first: u64, newest: u64) -> Result<Since, Problem> {
    Ok(match last_seen(call)? {
        None => Since::After(newest),
        // From another server, one before this one or one yet to come.
        Some(id) if id < first => Since::Lost(first),
        Some(id) if id > newest => Since::Lost(newest),
        Some(id) => Since::After(id),
    })
}

/// A turn to follow something; there are so many at once.
///
/// # Errors
/// 503 when all are taken.
pub(super) fn turn(call: &Call) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&call.app.listeners)
        .try_acquire_owned()
        .map_err(|_| {
            let most = call.app.config.limits.max_listeners;
            let message =
                format!("{most} clients follow the events already; max_listeners allows no more");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "too_many_listeners", message).retry_after(5)
        })
}

/// The answer that streams events.
pub(super) fn stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Asks proxies not to collect events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn topics(call: &Call) -> Result<Arc<[TopicPattern]>, Problem> {
    let patterns: Vec<_> = query::all(call, "topic")
        .take(MAX_TOPICS + 1)
        .map(|text| TopicPattern::new(&text))
        .collect::<Result<_, _>>()
        .map_err(|e| Problem::bad_request(format!("topic: {e}")))?;
    if patterns.len() > MAX_TOPICS {
        return Err(Problem::bad_request(format!(
            "topic: at most {MAX_TOPICS} may be given"
        )));
    }
    Ok(patterns.into())
}

/// The id of the last event the client has seen: by the header that a browser sends when it connects again, else by the query.
fn last_seen(call: &Call) -> Result<Option<u64>, Problem> {
    let header = call.head.headers.get("last-event-id");
    let header = header.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let (place, given) = match header.filter(|v| !v.is_empty()) {
        Some(given) => ("Last-Event-ID", given),
        None => match query::one(call, "last_event_id") {
            Some(given) => ("last_event_id", given),
            None => return Ok(None),
        },
    };
    let id = given.parse().map_err(|_| {
        Problem::bad_request(format!(
            "{place}: {given:?} was given; the id of an event, a whole number, is needed"
        ))
    })?;
    Ok(Some(id))
}
