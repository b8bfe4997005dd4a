//! Two lanes for calls. Every call begins where its request is served; one that has used more CPU than its [`Kind`](crate::call::Kind) has patience for moves to
//! threads of low priority, so that a few heavy or hostile calls cannot slow down the many short ones. There, plugins share
//! alike: however many long calls a plugin has, it runs no more of them at a time than there are threads. Deadlines are kept by
//! the caller, on the fast lane.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use model::error::Fault;
use model::ports::Clock;
use tokio::sync::Semaphore;

use crate::ongoing::Ongoing;
use crate::runtime::SetupError;

/// Niceness of the slow lane: 19 gets about 1.5 % of a core that others want, and all of one that they do not.
const NICE: i32 = 19;

/// The slow lane.
pub(crate) struct Lanes {
    slow: Option<tokio::runtime::Runtime>,
}

impl Lanes {
    pub(crate) fn new() -> Result<Self, SetupError> {
        let threads = threads();
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

    /// Runs a call, here first, on the slow lane when it takes long; there in `turns`, the plugin's own. Ends it when it has used
    /// more CPU than it may. Dropping the returned future ends the call.
    pub(crate) async fn run<F, R>(
        &self,
        ongoing: &Arc<Ongoing>,
        clock: &dyn Clock,
        turns: &Arc<Semaphore>,
        future: F,
    ) -> Result<R, Fault>
    where
        F: Future<Output = Result<R, Fault>> + Send + 'static,
        R: Send + 'static,
    {
        let mut future = Box::pin(future);
        if let Some(output) = while_short(ongoing, clock, future.as_mut()).await {
            return output;
        }
        let Some(slow) = &self.slow else {
            return future.await;
        };
        ongoing.leaves_home();
        let future = in_turns(Arc::clone(turns), metered(Arc::clone(ongoing), future));
        let future = tracing::Instrument::in_current_span(future);
        // Its log lines go where they went so far, also where that is not the same for the whole process.
        let future = tracing::instrument::WithSubscriber::with_current_subscriber(future);
        AbortOnDrop::new(slow.spawn(future)).await
    }
}

/// A plugin's turns on the slow lane.
pub(crate) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(threads()))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Takes a turn for each poll and gives it back after it. The turn is held while the task stands in the lane's queue, so that calls
/// of one plugin queue up among themselves and not before everybody else's. A call that waits for something holds none.
async fn in_turns<F: Future>(turns: Arc<Semaphore>, mut future: Pin<Box<F>>) -> F::Output {
    let mut waiting = Box::pin(Arc::clone(&turns).acquire_owned());
    let mut turn = None;
    poll_fn(move |cx| {
        if turn.is_none() {
            // The semaphore is never closed; if it were, calls would run without turns.
            turn = Some(ready!(waiting.as_mut().poll(cx)));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let outcome = future.as_mut().poll(cx);
        turn = None;
        waiting = Box::pin(Arc::clone(&turns).acquire_owned());
        outcome
    })
    .await
}

/// Polls until the future is done, or has used up what it may, or has to leave the fast lane (none). A poll takes a millisecond at
/// most here, so the time on the clock is near enough to the CPU time, and cheaper to read.
async fn while_short<R>(
    ongoing: &Ongoing,
    clock: &dyn Clock,
    mut future: Pin<&mut impl Future<Output = Result<R, Fault>>>,
) -> Option<Result<R, Fault>> {
    poll_fn(move |cx| {
        let begin = clock.monotonic();
        let outcome = future.as_mut().poll(cx);
        ongoing.book(clock.monotonic().saturating_sub(begin));
        match outcome {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => match ongoing.overused() {
                Some(fault) => Poll::Ready(Some(Err(fault))),
                None if ongoing.is_long() => Poll::Ready(None),
                None => Poll::Pending,
            },
        }
    })
    .await
}

/// Polls until the future is done or has used up what it may; by the thread's own clock, since others often interrupt the slow lane.
fn metered<R>(
    ongoing: Arc<Ongoing>,
    mut future: Pin<Box<impl Future<Output = Result<R, Fault>>>>,
) -> Pin<Box<impl Future<Output = Result<R, Fault>>>> {
    Box::pin(poll_fn(move |cx| {
        let begin = thread_time();
        let outcome = future.as_mut().poll(cx);
        ongoing.book(thread_time().saturating_sub(begin));
        match (outcome, ongoing.overused()) {
            (Poll::Pending, Some(fault)) => Poll::Ready(Err(fault)),
            (outcome, _) => outcome,
        }
    }))
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

impl Drop for Lanes {
    fn drop(&mut self) {
        if let Some(slow) = self.slow.take() {
            slow.shutdown_background();
        }
    }
}

/// A task that ends when nobody waits for it any more. A panic of it is passed on.
pub(crate) struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    pub(crate) fn new(task: tokio::task::JoinHandle<T>) -> Self {
        Self(task)
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(output) => Poll::Ready(output),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Cancelled: the runtime is going down with the process; nobody waits for an answer.
                Err(_) => Poll::Pending,
            },
        }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Yields `times` times as a guest out of its interval does, and counts.
    fn yields(
        times: usize,
        count: &Arc<AtomicUsize>,
    ) -> Pin<Box<impl Future<Output = ()> + use<>>> {
        let count = Arc::clone(count);
        Box::pin(poll_fn(move |cx| {
            if count.fetch_add(1, Ordering::Relaxed) >= times {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    #[tokio::test]
    async fn many_long_calls_of_one_plugin_hold_up_another_one_little() {
        let hostile = Arc::new(Semaphore::new(1));
        let polls = Arc::new(AtomicUsize::new(0));
        let spinning: Vec<_> = (0..100)
            .map(|_| tokio::spawn(in_turns(Arc::clone(&hostile), yields(usize::MAX, &polls))))
            .collect();
        let good = in_turns(Arc::new(Semaphore::new(1)), yields(1_000, &Arc::default()));
        tokio::spawn(good).await.unwrap();
        let polls = polls.load(Ordering::Relaxed);
        assert!(
            (100..3_000).contains(&polls),
            "100 spinning calls had {polls} turns beside 1,000"
        );
        spinning.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
