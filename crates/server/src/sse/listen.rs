//! The body of a stream of events: pulls from the bus as the client reads, so that a slow client holds up nobody and misses what the bus
//! no longer keeps. It ends when the server does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use model::BoxFuture;
use model::events::{Event, EventBus, Heard, TopicPattern};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Sleep;

use crate::app::millis;
use crate::json::push_string;

/// How long nothing is sent before a comment is, so that proxies and clients see that the stream is alive.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events taken from the bus at once.
const AT_ONCE: usize = 64;

/// Where a listener begins: with the event after this one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Since {
    /// The last one the client has seen, or the last there is.
    After(u64),
    /// The same, where it cannot be known how many the client missed before.
    Lost(u64),
}

/// A stream of events to one client.
pub(crate) struct Listener {
    bus: Arc<dyn EventBus>,
    topics: Arc<[TopicPattern]>,
    /// The id of the last event looked at.
    last: u64,
    looking: Option<BoxFuture<'static, Heard>>,
    heard: VecDeque<Arc<Event>>,
    /// What is to be sent before the events heard.
    first: Option<Bytes>,
    /// Is it to end when it missed events, and did it?
    drops: bool,
    dropped: bool,
    heartbeat: Duration,
    silence: Pin<Box<Sleep>>,
    closing: BoxFuture<'static, ()>,
    closed: bool,
    _turn: OwnedSemaphorePermit,
}

impl Listener {
    /// `closing` turns true, or loses its sender, when the server ends; `heartbeat` is usually [`HEARTBEAT`].
    pub(crate) fn new(
        bus: Arc<dyn EventBus>,
        topics: Arc<[TopicPattern]>,
        since: Since,
        heartbeat: Duration,
        mut closing: watch::Receiver<bool>,
        turn: OwnedSemaphorePermit,
    ) -> Self {
        let (last, first) = match since {
            Since::After(last) => (last, hello(last)),
            Since::Lost(last) => (last, gap(last, None)),
        };
        Self {
            bus,
            topics,
            last,
            looking: None,
            heard: VecDeque::new(),
            first: Some(first),
            drops: false,
            dropped: false,
            heartbeat,
            silence: Box::pin(tokio::time::sleep(heartbeat)),
            closing: Box::pin(async move {
                let _gone = closing.wait_for(|closing| *closing).await;
            }),
            closed: false,
            _turn: turn,
        }
    }

    /// A stream that ends once it has missed events, and says so: its client is too slow, and may come back with the last id it has.
    pub(crate) fn dropped_when_slow(mut self) -> Self {
        self.drops = true;
        self
    }

    /// The next piece, from what was heard or from another look at the bus.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(first) = self.first.take() {
                return Poll::Ready(Some(first));
            }
            if self.dropped {
                return Poll::Ready(None);
            }
            if let Some(event) = self.heard.pop_front() {
                return Poll::Ready(Some(written(&event)));
            }
            let (bus, topics, last) = (&self.bus, &self.topics, self.last);
            let looking = self
                .looking
                .get_or_insert_with(|| bus.after(last, Arc::clone(topics), AT_ONCE));
            let Poll::Ready(heard) = looking.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.looking = None;
            if let Some(missed) = heard.missed {
                let before = heard.events.first().map_or(heard.last, |e| e.id - 1);
                self.first = Some(gap(before, Some(missed)));
                self.dropped = self.drops;
            }
            self.last = heard.last;
            self.heard = heard.events.into();
        }
    }
}

/// The first thing a client gets. The id lets it go on from here, should it have to connect again before the first event.
fn hello(last: u64) -> Bytes {
    format!("id: {last}\n: listening\n\n").into()
}

/// Events were lost before this client saw them; how many is not always known.
fn gap(before: u64, missed: Option<u64>) -> Bytes {
    let missed = missed.map_or_else(|| "null".to_owned(), |n| n.to_string());
    format!("id: {before}\nevent: weir.gap\ndata: {{\"missed\":{missed}}}\n\n").into()
}

/// An event as it is sent.
fn written(event: &Event) -> Bytes {
    let (id, topic) = (event.id, &event.topic);
    let mut out = format!("id: {id}\nevent: {topic}\ndata: ");
    out.push_str(&object(event));
    out.push_str("\n\n");
    out.into()
}

/// An event as a JSON object in one line. Its payload is passed on as it is, but for line breaks.
pub(crate) fn object(event: &Event) -> String {
    let (id, topic) = (event.id, &event.topic);
    let mut out = String::with_capacity(event.payload.len() + topic.as_str().len() + 128);
    out.push_str(&format!("{{\"id\":{id},\"topic\":"));
    push_string(&mut out, topic.as_str());
    out.push_str(",\"origin\":");
    push_string(&mut out, &event.origin);
    out.push_str(&format!(",\"time_ms\":{},\"payload\":", millis(event.at)));
    out.push_str(&super::one_line(&event.payload));
    out.push('}');
    out
}

impl http_body::Body for Listener {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.closed || this.closing.as_mut().poll(cx).is_ready() {
            this.closed = true;
            return Poll::Ready(None);
        }
        let piece = match this.next(cx) {
            Poll::Ready(Some(piece)) => piece,
            Poll::Ready(None) => {
                this.closed = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {
                if this.silence.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                Bytes::from_static(b": still here\n\n")
            }
        };
        this.silence = Box::pin(tokio::time::sleep(this.heartbeat));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("topics", &self.topics)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use engine::LocalBus;
    use http_body_util::BodyExt;
    use model::events::Topic;
    use model::exchange::Cause;
    use model::ports::Clock;
    use tokio::sync::Semaphore;

    use super::*;

    #[derive(Debug)]
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[tokio::test]
    async fn a_silent_stream_shows_that_it_lives_and_ends_with_the_server() {
        let closing = watch::Sender::new(false);
        let turn = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let bus = Arc::new(LocalBus::new(Arc::new(Stopped)));
        let (now, often, closed) = (
            Since::After(0),
            Duration::from_millis(5),
            closing.subscribe(),
        );
        let mut stream = Listener::new(bus, [].into(), now, often, closed, turn);
        let mut said = Vec::new();
        for _ in 0..3 {
            let frame = stream.frame().await.unwrap().unwrap();
            said.push(frame.into_data().unwrap());
        }
        assert_eq!(
            said,
            [
                "id: 0\n: listening\n\n",
                ": still here\n\n",
                ": still here\n\n"
            ]
        );
        closing.send_replace(true);
        assert!(stream.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_client_is_told_what_it_missed_and_dropped() {
        let closing = watch::Sender::new(false);
        let turn = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let bus = Arc::new(LocalBus::new(Arc::new(Stopped)));
        for _ in 0..10_001 {
            let topic = Topic::new("a").unwrap();
            bus.publish(topic, "p".into(), "1".into(), Cause::default());
        }
        let long = Duration::from_secs(60);
        let since = Since::After(0);
        let stream = Listener::new(bus, [].into(), since, long, closing.subscribe(), turn);
        let mut stream = stream.dropped_when_slow();
        let mut said = Vec::new();
        while let Some(frame) = stream.frame().await {
            said.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(
            std::str::from_utf8(&said).unwrap(),
            "id: 0\n: listening\n\nid: 1\nevent: weir.gap\ndata: {\"missed\":1}\n\n"
        );
    }
}
