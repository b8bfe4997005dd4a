//! One call: wait for a turn, take a warm instance or make one, run it within its deadline on the right lane, and give the
//! instance back or throw it away.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use model::BoxFuture;
use model::error::Fault;
use model::exchange::Cause;
use model::limits::Limit;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::exports::Run;
use crate::instance::{Instance, Work};
use crate::ongoing::Ongoing;
use crate::plugin::Loaded;
use crate::state::Shared;

/// Whose limits a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call for a client, an event or another plugin.
    Call,
    /// A call of a hook.
    Hook,
    /// A batch for a stage of a run.
    Stage,
    /// One of the calls a start, a stop or a change of valves consists of.
    Start,
}

impl Kind {
    fn fuel(self) -> Limit {
        match self {
            Self::Call | Self::Hook | Self::Stage => Limit::Fuel,
            Self::Start => Limit::StartFuel,
        }
    }

    pub(crate) fn deadline(self) -> Limit {
        match self {
            Self::Call | Self::Stage => Limit::DeadlineMs,
            Self::Hook => Limit::HookDeadlineMs,
            Self::Start => Limit::StartDeadlineMs,
        }
    }

    /// CPU time it may use on the fast lane. A short call takes some 10 µs, a batch one or two milliseconds; the threads of runs stand back behind all others already.
    pub(crate) fn patience(self) -> Duration {
        match self {
            Self::Stage => Duration::from_millis(10),
            Self::Call | Self::Hook | Self::Start => Duration::from_millis(1),
        }
    }

    /// A call of this kind, with its fuel.
    pub(crate) fn work<R>(self, shared: &Shared, ongoing: &Arc<Ongoing>, run: Run<R>) -> Work<R> {
        Work {
            given: 0,
            fuel: shared.limits.get(self.fuel()),
            is_start: self == Self::Start,
            ongoing: Arc::clone(ongoing),
            run,
        }
    }
}

/// What is asked of a plugin.
pub(crate) struct Ask<R> {
    /// Whose limits it has.
    pub(crate) kind: Kind,
    /// Number of bytes that come in with it.
    pub(crate) given: usize,
    /// Why it is asked.
    pub(crate) cause: Cause,
    /// The export.
    pub(crate) run: Run<R>,
}

/// Calls an export of a plugin, on whichever instance is free.
pub(crate) async fn call<R: Send + 'static>(plugin: Arc<Loaded>, ask: Ask<R>) -> Result<R, Fault> {
    let ongoing = Ongoing::new(&plugin.shared, ask.kind, ask.cause);
    let work = Work {
        given: ask.given,
        ..ask.kind.work(&plugin.shared, &ongoing, ask.run)
    };
    let serving = Arc::clone(&plugin);
    let work = Box::pin(async move {
        let mut instance = serving.ready_instance(&work.ongoing).await?;
        let outcome = instance.run(work).await;
        settle(&serving, instance, &outcome);
        outcome
    });
    take_turn(&plugin, &ongoing, work).await
}

/// Waits for a turn and then does the work on its lane, both before one deadline.
pub(crate) async fn take_turn<R: Send + 'static>(
    plugin: &Loaded,
    ongoing: &Arc<Ongoing>,
    work: BoxFuture<'static, Result<R, Fault>>,
) -> Result<R, Fault> {
    let turn = turn(plugin, ongoing).await?;
    in_turn(turn, plugin, ongoing, work).await
}

/// Waits for a turn. A call that gets none in time was refused; it is not the plugin's fault.
pub(crate) async fn turn(
    plugin: &Loaded,
    ongoing: &Ongoing,
) -> Result<OwnedSemaphorePermit, Fault> {
    if let Some(turn) = plugin.pool.free_turn() {
        return Ok(turn);
    }
    let (limit_name, limit) = ongoing.deadline();
    let busy = Fault::Unavailable {
        reason: format!("all its instances were busy for {limit_name} = {limit}"),
        retry_after_ms: Some(1_000),
    };
    timeout(Duration::from_millis(limit), plugin.pool.turn())
        .await
        .unwrap_or(Err(busy))
}

/// Does the work on its lane, before the call's deadline, and gives the turn back after it.
pub(crate) async fn in_turn<R: Send + 'static>(
    turn: OwnedSemaphorePermit,
    plugin: &Loaded,
    ongoing: &Arc<Ongoing>,
    work: BoxFuture<'static, Result<R, Fault>>,
) -> Result<R, Fault> {
    let guarded = async move {
        // Held until the instance is back, so that there are never more instances in use than turns.
        let _turn = turn;
        work.await
    };
    let work = on_lane(&plugin.shared, ongoing, guarded);
    ongoing.keep(work).await
}

/// Runs on the host's lanes; a panic of a host function ends the call, not the process.
pub(crate) async fn on_lane<R: Send + 'static>(
    shared: &Shared,
    ongoing: &Arc<Ongoing>,
    work: impl Future<Output = Result<R, Fault>> + Send + 'static,
) -> Result<R, Fault> {
    let caught = AssertUnwindSafe(work).catch_unwind();
    let caught = async move { caught.await.unwrap_or_else(|panic| Err(panicked(&*panic))) };
    let host = &shared.host;
    host.lanes
        .run(ongoing, &*host.ports.clock, &shared.slow_turns, caught)
        .await
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Fault {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = words, "a host function panicked");
    Fault::Trapped(format!("the host function it called failed: {words}"))
}

/// Ends what takes longer than a limit. Dropping the future ends the call wherever it stands.
pub(crate) async fn within<R>(
    shared: &Shared,
    limit: Limit,
    work: impl Future<Output = Result<R, Fault>>,
) -> Result<R, Fault> {
    let value = shared.limits.get(limit);
    tokio::time::timeout(Duration::from_millis(value), work)
        .await
        .unwrap_or(Err(Fault::DeadlineExceeded {
            limit_name: limit,
            limit: value,
        }))
}

/// After a call: an instance whose call ended in anything but an ordinary answer is thrown away.
pub(crate) fn settle<R>(plugin: &Loaded, instance: Instance, outcome: &Result<R, Fault>) {
    if is_ordinary(outcome) {
        plugin.pool.give_back(instance);
    }
}

/// Is it an answer of the plugin, if only that it will not? The instance is good for another call then.
pub(crate) fn is_ordinary<R>(outcome: &Result<R, Fault>) -> bool {
    outcome.as_ref().err().is_none_or(|f| f.said().is_some())
}
