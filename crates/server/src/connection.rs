//! A connection's own time-outs, below HTTP: a head that trickles in, and a client that does not read what waits for it. Idle
//! connections are hyper's to close.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::Sleep;

/// Where a connection is between two requests. Shared by its socket, which sees bytes, and its service, which sees requests.
#[derive(Debug, Clone)]
pub(crate) struct Phase(Arc<AtomicU8>);

/// Nothing of the next request has come.
const WAITING: u8 = 0;
/// A head has begun, or must begin: the connection is new.
const HEAD: u8 = 1;
/// A request is being served.
const SERVING: u8 = 2;

impl Phase {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// A whole head has come.
    pub(crate) fn serve(&self) -> Serving {
        self.0.store(SERVING, Ordering::Relaxed);
        Serving(self.clone())
    }
}

/// Lasts as long as a request is served.
#[derive(Debug)]
pub(crate) struct Serving(Phase);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.0.store(WAITING, Ordering::Relaxed);
    }
}

/// A socket with time-outs.
pub(crate) struct Guarded<S> {
    socket: S,
    phase: Phase,
    head: Timer,
    stall: Timer,
}

/// A time-out that costs nothing until something waits.
struct Timer {
    after: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>, what: &'static str) -> Poll<io::Error> {
        let after = self.after;
        let sleep = self
            .running
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what))
    }
}

impl<S> Guarded<S> {
    /// `head`: for a whole head; `stall`: how long a client may read nothing while bytes wait for it.
    pub(crate) fn new(socket: S, phase: Phase, head: Duration, stall: Duration) -> Self {
        let timer = |after| Timer {
            after,
            running: None,
        };
        Self {
            socket,
            phase,
            head: timer(head),
            stall: timer(stall),
        }
    }

    /// Passes a write's outcome on, and counts the time in which there is none.
    fn written<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stall.running = None;
            return outcome;
        }
        self.stall.poll(cx, "the client reads nothing").map(Err)
    }
}

impl<S: Read + Unpin> Read for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let outcome = Pin::new(&mut this.socket).poll_read(cx, buf);
        let phase = &this.phase.0;
        if outcome.is_ready() {
            if phase.load(Ordering::Relaxed) == WAITING {
                phase.store(HEAD, Ordering::Relaxed);
                this.head.running = None;
            }
            return outcome;
        }
        if phase.load(Ordering::Relaxed) == HEAD {
            return this
                .head
                .poll(cx, "the head of the request took too long")
                .map(Err);
        }
        this.head.running = None;
        Poll::Pending
    }
}

impl<S: Write + Unpin> Write for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.written(outcome, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(cx);
        self.written(outcome, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.written(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.written(outcome, cx)
    }
}
