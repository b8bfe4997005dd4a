//! Events over a WebSocket: each a text of JSON, as server-sent events have it in their data. What a client sends is not read, but for its goodbye.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use bytes::Bytes;
use model::events::{EventBus, Heard};
use tokio::sync::watch;

use crate::sse::listen::{HEARTBEAT, Since, object};

/// Events taken from the bus at once.
const AT_ONCE: usize = 64;
/// Most bytes of what a client may send: nothing of it is used.
const MAX_MESSAGE: usize = 4 * 1024;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// Answers a client that asked to upgrade.
pub(crate) fn open<F>(
    upgrade: WebSocketUpgrade,
    talk: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    upgrade
        .on_failed_upgrade(|error| tracing::debug!(%error, "a client did not upgrade"))
        .on_upgrade(talk)
}

/// Sends the events of a bus until the client leaves, misses some, or the server ends. `closing` turns true, or loses its sender, then.
pub(crate) async fn follow(
    mut socket: WebSocket,
    bus: Arc<dyn EventBus>,
    since: Since,
    mut closing: watch::Receiver<bool>,
) {
    let closed = async {
        let _gone = closing.wait_for(|closing| *closing).await;
    };
    let goodbye = tokio::select! {
        () = closed => Some((close_code::AWAY, "the server ends")),
        goodbye = tell(&mut socket, &*bus, since) => goodbye,
    };
    if let Some((code, reason)) = goodbye {
        let reason = reason.into();
        let frame = Message::Close(Some(CloseFrame { code, reason }));
        let _gone_already = tokio::time::timeout(GOODBYE, socket.send(frame)).await;
    }
}

/// Sends events until the client misses some, and says why it is left then. None: it is gone.
async fn tell(
    socket: &mut WebSocket,
    bus: &dyn EventBus,
    since: Since,
) -> Option<(u16, &'static str)> {
    let mut last = match since {
        Since::After(last) => last,
        Since::Lost(last) => {
            socket.send(gap(None)).await.ok()?;
            last
        }
    };
    loop {
        let heard = next(socket, bus, last).await?;
        if let Some(missed) = heard.missed {
            socket.send(gap(Some(missed))).await.ok()?;
            return Some((close_code::POLICY, "too slow"));
        }
        for event in &heard.events {
            socket.send(Message::text(object(event))).await.ok()?;
        }
        last = heard.last;
    }
}

/// What there is next; none: the client is gone. A silent client is asked now and then whether it is there.
async fn next(socket: &mut WebSocket, bus: &dyn EventBus, last: u64) -> Option<Heard> {
    let mut heard = bus.after(last, [].into(), AT_ONCE);
    loop {
        tokio::select! {
            heard = &mut heard => return Some(heard),
            said = socket.recv() => match said {
                None | Some(Err(_) | Ok(Message::Close(_))) => return None,
                Some(Ok(_)) => {}
            },
            () = tokio::time::sleep(HEARTBEAT) => {
                socket.send(Message::Ping(Bytes::new())).await.ok()?;
            }
        }
    }
}

/// Events were lost before this client saw them; how many is not always known.
fn gap(missed: Option<u64>) -> Message {
    let payload = serde_json::json!({"topic": "weir.gap", "payload": {"missed": missed}});
    Message::text(payload.to_string())
}
