//! Bodies with their caps and time-outs, in both directions. What they hold is not looked at.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use model::ports::{EgressError, HttpBody};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

/// Counts the pieces of a request's body that went out, so that waiting for the response can tell slow from stuck.
pub(super) type Progress = Arc<AtomicU64>;

/// A request's body: at most `cap` bytes, and exactly as many as declared.
pub(super) struct CappedRequest {
    inner: HttpBody,
    declared: Option<u64>,
    sent: u64,
    cap: u64,
    progress: Progress,
}

impl CappedRequest {
    /// `declared` is the sender's own `content-length`.
    pub(super) fn new(
        inner: HttpBody,
        declared: Option<u64>,
        cap: u64,
        progress: Progress,
    ) -> Result<Self, EgressError> {
        let exact = inner.size_hint().exact();
        if let (Some(declared), Some(exact)) = (declared, exact)
            && declared != exact
        {
            return Err(wrong_length(exact, declared));
        }
        let body = Self {
            declared: declared.or(exact),
            inner,
            sent: 0,
            cap,
            progress,
        };
        match body.declared {
            Some(size) if size > cap => Err(body.too_big()),
            Some(_) | None => Ok(body),
        }
    }

    fn too_big(&self) -> EgressError {
        EgressError::TooBig {
            what: "request body",
            limit: self.cap,
        }
    }

    fn count(&mut self, data: &Bytes) -> Result<(), EgressError> {
        self.sent = self.sent.saturating_add(data.len() as u64);
        self.progress.fetch_add(1, Ordering::Relaxed);
        if self.sent > self.cap {
            return Err(self.too_big());
        }
        match self.declared {
            Some(declared) if self.sent > declared => Err(wrong_length(self.sent, declared)),
            Some(_) | None => Ok(()),
        }
    }

    fn end(&self) -> Option<Result<Frame<Bytes>, EgressError>> {
        match self.declared {
            Some(declared) if declared != self.sent => Some(Err(wrong_length(self.sent, declared))),
            Some(_) | None => None,
        }
    }
}

fn wrong_length(found: u64, declared: u64) -> EgressError {
    EgressError::BadRequest(format!(
        "its body has {found} bytes, its content-length says {declared}"
    ))
}

impl Body for CappedRequest {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = self.get_mut();
        loop {
            let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(context)) else {
                return Poll::Ready(this.end());
            };
            // What is no data is trailers: dropped.
            if let Ok(data) = frame?.into_data() {
                return Poll::Ready(Some(this.count(&data).map(|()| Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.end().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.declared {
            Some(declared) => SizeHint::with_exact(declared.saturating_sub(self.sent)),
            None => SizeHint::default(),
        }
    }
}

/// A response's body: at most `cap` bytes, and never silent for longer than `idle` while somebody waits for it. Its turn among
/// the client's requests ends with it.
pub(super) struct CappedResponse {
    inner: hyper::body::Incoming,
    left: u64,
    cap: u64,
    idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    turn: Option<OwnedSemaphorePermit>,
}

impl CappedResponse {
    pub(super) fn new(
        inner: hyper::body::Incoming,
        cap: u64,
        idle: Duration,
        turn: OwnedSemaphorePermit,
    ) -> Result<Self, EgressError> {
        let body = Self {
            left: cap,
            cap,
            idle,
            waiting: None,
            turn: (!inner.is_end_stream()).then_some(turn),
            inner,
        };
        if body.inner.size_hint().lower() > cap {
            return Err(body.too_big());
        }
        Ok(body)
    }

    fn too_big(&self) -> EgressError {
        EgressError::TooBig {
            what: "response body",
            limit: self.cap,
        }
    }

    /// Starts, or goes on with, the wait for the next piece.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<EgressError> {
        let idle = self.idle;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(idle)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(EgressError::Timeout {
            step: "body",
            limit_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Ends it: an error is the last thing a reader gets.
    fn fail(&mut self, error: EgressError) -> Option<Result<Frame<Bytes>, EgressError>> {
        self.turn = None;
        Some(Err(error))
    }
}

impl Body for CappedResponse {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = self.get_mut();
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
                let error = ready!(this.poll_silence(context));
                return Poll::Ready(this.fail(error));
            };
            this.waiting = None;
            return Poll::Ready(match frame {
                None => {
                    this.turn = None;
                    None
                }
                Some(Err(e)) => this.fail(super::translate(&e)),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    match this.left.checked_sub(data.len() as u64) {
                        Some(left) => {
                            this.left = left;
                            Some(Ok(Frame::data(data)))
                        }
                        None => {
                            let error = this.too_big();
                            this.fail(error)
                        }
                    }
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
