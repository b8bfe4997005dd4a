//! The newest records of a pipeline: those that went to its sinks last, and those that go there now, as server-sent events or over a WebSocket.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::IntoResponse;
use model::events::EventBus;
use serde_json::{Value, json};

use super::super::{Answer, Call, events, json as answer, query};
use super::{id, missing};
use crate::connection::Phase;
use crate::socket;
use crate::sse::listen::{HEARTBEAT, Listener};

/// Records, if nothing else is asked for.
const RECENT: usize = 20;
/// Most records.
const MAX_RECENT: usize = 1_000;

/// `GET /api/v1/pipelines/{id}/recent`, the newest first.
pub(in crate::routes) fn recent(call: &Call) -> Answer {
    let limit = query::limit(call, RECENT, MAX_RECENT)?;
    let id = id(call)?;
    let engine = &call.app.engine;
    engine.pipeline(&id).ok_or_else(|| missing(&call.id))?;
    let recent = engine.recent(&id, limit).into_iter();
    let shown = recent.map(|r| json!({"run_id": r.run, "time_ms": r.time_ms, "record": r.record}));
    let shown: Vec<Value> = shown.collect();
    Ok(answer(json!({ "records": shown }).to_string()))
}

/// `GET /api/v1/pipelines/{id}/live`: follows what goes to its sinks, after the last event the client has seen, or from now on. A client that asks to upgrade gets a WebSocket.
pub(in crate::routes) async fn live(mut call: Call) -> Answer {
    let id = id(&call)?;
    let engine = &call.app.engine;
    engine.pipeline(&id).ok_or_else(|| missing(&call.id))?;
    let bus = engine.live(&id);
    let since = events::since(&call, bus.first(), bus.last())?;
    let turn = events::turn(&call)?;
    let closing = call.app.closing.subscribe();
    if !call.head.headers.contains_key(http::header::UPGRADE) {
        let listener = Listener::new(bus, [].into(), since, HEARTBEAT, closing, turn);
        return Ok(events::stream(Body::new(listener.dropped_when_slow())));
    }
    let phase = call.head.extensions.get::<Phase>().cloned();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut call.head, &()).await;
    Ok(match upgrade {
        Err(refused) => refused.into_response(),
        Ok(upgrade) => socket::open(upgrade, async move |socket| {
            // Its time-outs are those of requests while it is open.
            let _serving = phase.as_ref().map(Phase::serve);
            socket::follow(socket, bus, since, closing).await;
            drop(turn);
        }),
    })
}
