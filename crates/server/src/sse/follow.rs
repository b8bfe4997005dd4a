//! The body of a stream that follows a run: its state whenever there is something new and the client reads, so that a slow client misses states in between and holds
//! up nobody. It ends with the record of the run's end, or when the server does.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine::Follow;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use http_body::Frame;
use model::BoxFuture;
use model::run::RunRecord;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Sleep;

/// A run that is followed by one client.
pub(crate) struct Following {
    records: BoxStream<'static, Bytes>,
    heartbeat: Duration,
    silence: Pin<Box<Sleep>>,
    closing: BoxFuture<'static, ()>,
    closed: bool,
    _turn: OwnedSemaphorePermit,
}

impl Following {
    /// `written` is how a record looks as an event; `closing` turns true, or loses its sender, when the server ends.
    pub(crate) fn new(
        follow: Follow,
        written: fn(&RunRecord) -> Bytes,
        heartbeat: Duration,
        mut closing: watch::Receiver<bool>,
        turn: OwnedSemaphorePermit,
    ) -> Self {
        let records = stream::unfold(follow, move |mut follow| async move {
            let record = follow.next().await?;
            Some((written(&record), follow))
        });
        Self {
            records: records.boxed(),
            heartbeat,
            silence: Box::pin(tokio::time::sleep(heartbeat)),
            closing: Box::pin(async move {
                let _gone = closing.wait_for(|closing| *closing).await;
            }),
            closed: false,
            _turn: turn,
        }
    }
}

impl http_body::Body for Following {
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
        let piece = match Pin::new(&mut this.records).poll_next(cx) {
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

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").finish_non_exhaustive()
    }
}
