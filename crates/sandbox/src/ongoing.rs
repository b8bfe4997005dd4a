//! One call under way, as its timer, its lane and the host functions see it: why it runs, until when, and how much CPU it used.
//! Fuel and other budgets are the store's.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use model::BoxFuture;
use model::error::Fault;
use model::exchange::Cause;
use model::limits::Limit;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::call::Kind;
use crate::lanes::AbortOnDrop;
use crate::state::Shared;
use crate::usage::add;

/// One call under way.
pub(crate) struct Ongoing {
    shared: Arc<Shared>,
    pub(crate) cause: Cause,
    /// The limit on its time.
    name: Limit,
    /// CPU time it may use on the fast lane.
    patience: Duration,
    begin: Duration,
    still: Mutex<Still>,
    goes_on: Notify,
    /// CPU time used, in nanoseconds. What others use while the call waits for them is theirs. One poll at a time books here, so that
    /// reading and writing need not be one step.
    used: AtomicU64,
    /// Of the poll under way: what others used.
    others: AtomicU64,
    /// Where the call began, once it has moved to the slow lane.
    home: OnceLock<Handle>,
}

/// The time that does not count: an `around` hook is not to blame for what happens inside its continuation.
#[derive(Default)]
struct Still {
    passed: Duration,
    since: Option<Duration>,
}

/// A call's deadline stands still until this is dropped.
pub(crate) struct StandingStill<'a>(&'a Ongoing);

/// What other plugins do for a call: polled where the call is, but never on the slow lane.
struct Others<T> {
    work: Place<T>,
    ongoing: Arc<Ongoing>,
}

enum Place<T> {
    Here(BoxFuture<'static, T>),
    Home(AbortOnDrop<T>),
}

impl Ongoing {
    /// A call that begins now.
    pub(crate) fn new(shared: &Arc<Shared>, kind: Kind, cause: Cause) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            cause,
            name: kind.deadline(),
            patience: kind.patience(),
            begin: shared.host.ports.clock.monotonic(),
            still: Mutex::default(),
            goes_on: Notify::new(),
            used: AtomicU64::new(0),
            others: AtomicU64::new(0),
            home: OnceLock::new(),
        })
    }

    fn now(&self) -> Duration {
        self.shared.host.ports.clock.monotonic()
    }

    /// Waits for what other plugins do.
    pub(crate) async fn others<T: Send + 'static>(
        self: &Arc<Self>,
        work: BoxFuture<'static, T>,
    ) -> T {
        Others {
            work: Place::Here(work),
            ongoing: Arc::clone(self),
        }
        .await
    }
}

/// Its deadline.
impl Ongoing {
    /// Which limit its deadline is, and the value in milliseconds.
    pub(crate) fn deadline(&self) -> (Limit, u64) {
        (self.name, self.shared.limits.get(self.name))
    }

    /// How long the call may still take.
    pub(crate) fn left(&self) -> Duration {
        let now = self.now();
        let passed = now.saturating_sub(self.begin);
        let limit = self.shared.limits.time(self.name);
        limit
            .saturating_add(self.stood_still(now))
            .saturating_sub(passed)
    }

    /// Stops its time until the result is dropped.
    pub(crate) fn stand_still(&self) -> StandingStill<'_> {
        let now = self.now();
        self.locked(|still| still.since = Some(now));
        StandingStill(self)
    }

    /// Does the work, or ends it when the deadline passes.
    pub(crate) async fn keep<R>(
        &self,
        work: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Fault> {
        let mut work = std::pin::pin!(work);
        // Most calls end in one go, without a timer.
        let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx)));
        if let Poll::Ready(outcome) = first.await {
            return outcome;
        }
        let mut wait = self.left();
        // What it stood still so far is in the wait.
        let mut counted = self.stood_still(self.now());
        loop {
            if let Ok(outcome) = timeout(wait, work.as_mut()).await {
                return outcome;
            }
            // What it stood still in the meantime is added; most calls never do.
            while self.locked(|still| still.since.is_some()) {
                tokio::select! {
                    biased;
                    outcome = work.as_mut() => return outcome,
                    () = self.goes_on.notified() => {}
                }
            }
            let still = self.stood_still(Duration::ZERO);
            if still <= counted {
                let (limit_name, limit) = self.deadline();
                return Err(Fault::DeadlineExceeded { limit_name, limit });
            }
            wait = still - counted;
            counted = still;
        }
    }

    fn stood_still(&self, now: Duration) -> Duration {
        self.locked(|still| {
            let current = still.since.map(|since| now.saturating_sub(since));
            still.passed + current.unwrap_or_default()
        })
    }

    fn locked<R>(&self, with: impl FnOnce(&mut Still) -> R) -> R {
        with(&mut self.still.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for StandingStill<'_> {
    fn drop(&mut self) {
        let now = self.0.now();
        self.0.locked(|still| {
            if let Some(since) = still.since.take() {
                still.passed += now.saturating_sub(since);
            }
        });
        self.0.goes_on.notify_one();
    }
}

/// Its CPU time.
impl Ongoing {
    /// Books one poll of the call.
    pub(crate) fn book(&self, poll: Duration) {
        let mut own = nanos(poll);
        let others = self.others.load(Ordering::Relaxed);
        if others > 0 {
            self.others.store(0, Ordering::Relaxed);
            own = own.saturating_sub(others);
        }
        let used = self.used.load(Ordering::Relaxed).saturating_add(own);
        self.used.store(used, Ordering::Relaxed);
        add(&self.shared.counters.cpu_ns, own);
    }

    /// What the call used so far.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Has it used so much that it is to leave the fast lane?
    pub(crate) fn is_long(&self) -> bool {
        self.used() > self.patience
    }

    /// The fault of a call that has used more than it may.
    pub(crate) fn overused(&self) -> Option<Fault> {
        let (limit, limits) = (Limit::CpuMs, &self.shared.limits);
        (self.used() > limits.time(limit)).then(|| Fault::LimitReached {
            limit,
            value: limits.get(limit),
        })
    }

    /// The call moves to the slow lane.
    pub(crate) fn leaves_home(&self) {
        // It leaves once; a second time would be the same place.
        let _first = self.home.set(Handle::current());
    }
}

impl<T: Send + 'static> Future for Others<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let ongoing = &this.ongoing;
        if let (Place::Here(work), Some(home)) = (&mut this.work, ongoing.home.get()) {
            let work = std::mem::replace(work, Box::pin(std::future::pending()));
            let work = tracing::Instrument::in_current_span(work);
            this.work = Place::Home(AbortOnDrop::new(home.spawn(work)));
        }
        match &mut this.work {
            Place::Here(work) => {
                let begin = ongoing.now();
                let outcome = work.as_mut().poll(cx);
                let used = ongoing.now().saturating_sub(begin);
                add(&ongoing.others, nanos(used));
                outcome
            }
            Place::Home(task) => Pin::new(task).poll(cx),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
