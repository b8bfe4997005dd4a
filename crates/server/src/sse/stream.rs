//! The body of a streamed answer. The call begins where the request is served. One that is not over by the first event goes on as a task
//! of its own, so that its deadline holds even while the client reads nothing. Dropping the body ends the call, and a client that reads
//! slowly makes the plugin wait.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use model::BoxFuture;
use model::chat::Item;
use model::error::StageError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::Encoder;
use crate::rescue::{self, Problem};

/// A call of a pipe and what it writes.
pub(crate) type Running = BoxFuture<'static, Result<(), StageError>>;

/// A streamed answer.
pub(crate) struct ChatStream {
    call: Option<Running>,
    items: mpsc::Receiver<Item>,
    encoder: Encoder,
    strict: bool,
    ready: VecDeque<Bytes>,
    end: End,
    span: tracing::Span,
}

/// How far the end is.
#[derive(Debug)]
enum End {
    /// More may come.
    Open,
    /// Nothing more comes.
    Closed,
    /// It went wrong before anything was sent.
    Failed(Option<Problem>),
    /// Strict mode: the connection is to be cut; were the bytes before it given time to leave?
    Cut(bool),
}

/// Strict mode's end of a failed stream: hyper breaks the connection off when a body fails.
#[derive(Debug, thiserror::Error)]
#[error("the plugin failed, and strict mode cuts the stream")]
pub(crate) struct CutOff;

impl ChatStream {
    pub(crate) fn new(
        call: Running,
        items: mpsc::Receiver<Item>,
        encoder: Encoder,
        strict: bool,
    ) -> Self {
        Self {
            call: Some(call),
            items,
            encoder,
            strict,
            ready: VecDeque::new(),
            end: End::Open,
            span: tracing::Span::current(),
        }
    }

    /// Begins the call and waits for the first event, or the end. In strict mode, where the head of the answer depends on neither, it
    /// waits for nothing.
    ///
    /// # Errors
    /// What went wrong before there was anything to send; never in strict mode.
    pub(crate) async fn begin(&mut self) -> Result<(), Problem> {
        let begun = std::future::poll_fn(|cx| {
            self.advance(cx);
            let waiting = self.ready.is_empty() && matches!(self.end, End::Open);
            if waiting && !self.strict {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        begun.await;
        // From here on nobody polls while the client reads nothing.
        self.call = self.call.take().map(|c| on_its_own(c, &self.span));
        match &mut self.end {
            End::Failed(problem) if self.ready.is_empty() => problem.take().map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// Goes on until there is something to send, the end, or nothing to do.
    fn advance(&mut self, cx: &mut Context<'_>) {
        while self.ready.is_empty() && matches!(self.end, End::Open) {
            if let Poll::Ready(Some(item)) = self.items.poll_recv(cx) {
                self.encode(item);
                continue;
            }
            let Some(call) = &mut self.call else {
                self.succeed();
                return;
            };
            match call.as_mut().poll(cx) {
                Poll::Ready(result) => self.finish(result),
                // The call may have written before it began to wait.
                Poll::Pending => match self.items.poll_recv(cx) {
                    Poll::Ready(Some(item)) => self.encode(item),
                    Poll::Ready(None) | Poll::Pending => return,
                },
            }
        }
    }

    /// The call is over: sends what it had still written, and the end.
    fn finish(&mut self, result: Result<(), StageError>) {
        self.call = None;
        while let Ok(item) = self.items.try_recv() {
            self.encode(item);
        }
        match result {
            Ok(()) => self.succeed(),
            Err(error) => self.fail(rescue::stage(&error)),
        }
    }

    fn encode(&mut self, item: Item) {
        if !matches!(self.end, End::Open) {
            return;
        }
        match self.encoder.item(item) {
            Ok(event) => self.ready.extend(event),
            Err(problem) => self.fail(problem),
        }
    }

    fn succeed(&mut self) {
        if matches!(self.end, End::Open) {
            self.ready.extend(self.encoder.end());
            self.end = End::Closed;
        }
    }

    fn fail(&mut self, problem: Problem) {
        if !matches!(self.end, End::Open) {
            return;
        }
        self.call = None;
        self.end = if self.strict {
            End::Cut(false)
        } else {
            End::Failed(Some(problem))
        };
    }

    /// What comes after the last event of the plugin.
    fn after(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match &mut self.end {
            End::Open => Poll::Pending,
            End::Closed => Poll::Ready(None),
            End::Failed(problem) => {
                let events = problem.take().map(|p| Encoder::failure(&p));
                self.ready.extend(events.unwrap_or_default());
                self.end = End::Closed;
                Poll::Ready(self.ready.pop_front().map(|b| Ok(Frame::data(b))))
            }
            End::Cut(flushed @ false) => {
                // hyper writes what it has when a body has nothing to give; after an error it would not.
                *flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::Cut(true) => Poll::Ready(Some(Err(CutOff))),
        }
    }
}

/// Lets a call run as a task, whether or not anybody waits for it. Dropping the result ends it.
fn on_its_own(call: Running, span: &tracing::Span) -> Running {
    let mut task = AbortOnDrop(tokio::spawn(call.instrument(span.clone())));
    Box::pin(async move {
        match (&mut task.0).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Cancelled: the runtime is going down with the process; nobody waits for an answer.
                Err(_) => std::future::pending().await,
            },
        }
    })
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl http_body::Body for ChatStream {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let span = self.span.clone();
        let _entered = span.enter();
        self.advance(cx);
        match self.ready.pop_front() {
            Some(event) => Poll::Ready(Some(Ok(Frame::data(event)))),
            None => self.after(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.end, End::Closed) && self.ready.is_empty()
    }
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatStream")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
