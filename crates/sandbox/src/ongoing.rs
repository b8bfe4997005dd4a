//! One call under way, as its timer, its lane and the host functions see it: why it runs, until when, and how much CPU it used.
//! Fuel and other budgets are the store's.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use model::BoxFuture;
use model::error::Fault;
use model::exchange::Cause;
use model::limits::Limit;
use model::ports::Clock;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::call::Kind;
use crate::lanes::AbortOnDrop;
use crate::state::Shared;
use crate::usage::Counters;

/// One call under way.
pub(crate) struct Ongoing {
    pub(crate) cause: Cause,
    pub(crate) deadline: Deadline,
    pub(crate) cpu: Cpu,
}

/// When a call must have ended. It can stand still: an `around` hook is not to blame for what happens inside its continuation.
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    name: Limit,
    limit: Duration,
    begin: Duration,
    still: Mutex<Still>,
    goes_on: Notify,
}

/// The time that does not count.
#[derive(Default)]
struct Still {
    passed: Duration,
    since: Option<Duration>,
}

/// A deadline stands still until this is dropped.
pub(crate) struct StandingStill<'a>(&'a Deadline);

/// The CPU time of a call. What others use while the call waits for them is theirs.
pub(crate) struct Cpu {
    clock: Arc<dyn Clock>,
    limit: Duration,
    used: AtomicU64,
    /// Of the poll under way: what others used.
    others: AtomicU64,
    /// Where the call began, once it has moved to the slow lane.
    home: OnceLock<Handle>,
    counters: Arc<Counters>,
}

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
    pub(crate) fn new(shared: &Shared, kind: Kind, cause: Cause) -> Arc<Self> {
        let clock = &shared.host.ports.clock;
        let name = kind.deadline();
        Arc::new(Self {
            cause,
            deadline: Deadline {
                clock: Arc::clone(clock),
                name,
                limit: shared.limits.time(name),
                begin: clock.monotonic(),
                still: Mutex::default(),
                goes_on: Notify::new(),
            },
            cpu: Cpu {
                clock: Arc::clone(clock),
                limit: shared.limits.time(Limit::CpuMs),
                used: AtomicU64::new(0),
                others: AtomicU64::new(0),
                home: OnceLock::new(),
                counters: Arc::clone(&shared.counters),
            },
        })
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

impl Deadline {
    /// Which limit it is, and its value in milliseconds.
    pub(crate) fn limit(&self) -> (Limit, u64) {
        (self.name, millis(self.limit))
    }

    /// How long the call may still take.
    pub(crate) fn left(&self) -> Duration {
        let now = self.clock.monotonic();
        let passed = now.saturating_sub(self.begin);
        (self.limit + self.stood_still(now)).saturating_sub(passed)
    }

    /// The deadline has passed.
    pub(crate) fn exceeded(&self) -> Fault {
        let (limit_name, limit) = self.limit();
        Fault::DeadlineExceeded { limit_name, limit }
    }

    /// Stops counting until the result is dropped.
    pub(crate) fn stand_still(&self) -> StandingStill<'_> {
        let now = self.clock.monotonic();
        self.locked(|still| still.since = Some(now));
        StandingStill(self)
    }

    /// Does the work, or ends it when the deadline passes.
    pub(crate) async fn keep<R>(
        &self,
        work: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Fault> {
        let mut work = std::pin::pin!(work);
        let mut wait = self.left();
        let mut counted = Duration::ZERO;
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
                return Err(self.exceeded());
            }
            wait = still - counted;
            counted = still;
        }
    }

    fn stood_still(&self, now: Duration) -> Duration {
        self.locked(|still| {
            still.passed
                + still
                    .since
                    .map_or(Duration::ZERO, |since| now.saturating_sub(since))
        })
    }

    fn locked<R>(&self, with: impl FnOnce(&mut Still) -> R) -> R {
        match self.still.lock() {
            Ok(mut still) => with(&mut still),
            Err(poisoned) => with(&mut poisoned.into_inner()),
        }
    }
}

impl Drop for StandingStill<'_> {
    fn drop(&mut self) {
        let now = self.0.clock.monotonic();
        self.0.locked(|still| {
            if let Some(since) = still.since.take() {
                still.passed += now.saturating_sub(since);
            }
        });
        self.0.goes_on.notify_one();
    }
}

impl Cpu {
    /// Books one poll of the call; false once that is more than it may use.
    pub(crate) fn book(&self, poll: Duration) -> bool {
        let others = self.others.swap(0, Ordering::Relaxed);
        let own = nanos(poll).saturating_sub(others);
        self.counters.cpu_ns.fetch_add(own, Ordering::Relaxed);
        let used = self.used.fetch_add(own, Ordering::Relaxed) + own;
        used <= nanos(self.limit)
    }

    /// What the call used so far.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// More than the limit was used.
    pub(crate) fn exceeded(&self) -> Fault {
        Fault::LimitReached {
            limit: Limit::CpuMs,
            value: millis(self.limit),
        }
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
        let cpu = &this.ongoing.cpu;
        if let (Place::Here(work), Some(home)) = (&mut this.work, cpu.home.get()) {
            let work = std::mem::replace(work, Box::pin(std::future::pending()));
            let work = tracing::Instrument::in_current_span(work);
            this.work = Place::Home(AbortOnDrop::new(home.spawn(work)));
        }
        match &mut this.work {
            Place::Here(work) => {
                let begin = cpu.clock.monotonic();
                let outcome = work.as_mut().poll(cx);
                let used = cpu.clock.monotonic().saturating_sub(begin);
                cpu.others.fetch_add(nanos(used), Ordering::Relaxed);
                outcome
            }
            Place::Home(task) => Pin::new(task).poll(cx),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
