//! Two lanes for calls. Every call begins where its request is served; one that has used more CPU than [`PATIENCE`] moves to
//! threads of low priority, so that a few heavy or hostile calls cannot slow down the many short ones. Deadlines are kept by the
//! caller, on the fast lane.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use model::ports::Clock;

use crate::runtime::SetupError;

/// CPU time a call may use on the fast lane. A short call takes some 10 µs.
const PATIENCE: Duration = Duration::from_millis(3);
/// Niceness of the slow lane: 19 gets about 1.5 % of a core that others want, and all of one that they do not.
const NICE: i32 = 19;

/// The slow lane.
pub(crate) struct Lanes {
    slow: Option<tokio::runtime::Runtime>,
}

impl Lanes {
    pub(crate) fn new() -> Result<Self, SetupError> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let slow = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("weir-slow-lane")
            .on_thread_start(|| {
                let this = rustix::thread::gettid();
                if let Err(error) = rustix::process::setpriority_process(Some(this), NICE) {
                    tracing::warn!(%error, "long calls run at normal priority");
                }
            })
            .enable_all()
            .build()
            .map_err(SetupError::Threads)?;
        Ok(Self { slow: Some(slow) })
    }

    /// Runs a call, here first, on the slow lane when it takes long. Dropping the returned future ends the call.
    pub(crate) async fn run<F>(&self, clock: &dyn Clock, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let mut future = Box::pin(future);
        if let Some(output) = poll_for(clock, future.as_mut()).await {
            return output;
        }
        let Some(slow) = &self.slow else {
            return future.await;
        };
        let span = tracing::Span::current();
        let mut task = AbortOnDrop(slow.spawn(tracing::Instrument::instrument(future, span)));
        match (&mut task.0).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Cancelled: the runtime is going down with the process; nobody waits for an answer.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// Polls until the future is done or has used up [`PATIENCE`] (none).
async fn poll_for<F: Future>(clock: &dyn Clock, mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut used = Duration::ZERO;
    poll_fn(move |cx| {
        let begin = clock.monotonic();
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                used += clock.monotonic().saturating_sub(begin);
                if used > PATIENCE {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                }
            }
        }
    })
    .await
}

impl Drop for Lanes {
    fn drop(&mut self) {
        if let Some(slow) = self.slow.take() {
            slow.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
