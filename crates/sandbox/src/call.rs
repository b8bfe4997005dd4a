//! One call: wait for a turn, take a warm instance or make one, run it within its deadline on the right lane, and give the
//! instance back or throw it away.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use model::BoxFuture;
use model::error::Fault;
use model::limits::Limit;
use tokio::time::timeout;

use crate::instance::{Instance, Run, Work};
use crate::plugin::Loaded;
use crate::state::Shared;

/// Whose limits a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call for a client.
    Call,
    /// One of the calls a start, a stop or a change of valves consists of.
    Start,
}

impl Kind {
    fn fuel(self) -> Limit {
        match self {
            Self::Call => Limit::Fuel,
            Self::Start => Limit::StartFuel,
        }
    }

    fn deadline(self) -> Limit {
        match self {
            Self::Call => Limit::DeadlineMs,
            Self::Start => Limit::StartDeadlineMs,
        }
    }

    /// A call of this kind, with its fuel.
    pub(crate) fn work<R>(self, shared: &Shared, run: Run<R>) -> Work<R> {
        Work {
            given: 0,
            fuel: shared.limits.get(self.fuel()),
            is_start: self == Self::Start,
            run,
        }
    }
}

/// Calls an export of a plugin, on whichever instance is free.
///
/// `given` is the number of bytes that come in with it.
pub(crate) async fn call<R: Send + 'static>(
    plugin: Arc<Loaded>,
    kind: Kind,
    given: usize,
    run: Run<R>,
) -> Result<R, Fault> {
    let work = Work {
        given,
        ..kind.work(&plugin.shared, run)
    };
    let serving = Arc::clone(&plugin);
    let work = Box::pin(async move {
        let mut instance = serving.ready_instance().await?;
        let outcome = instance.run(work).await;
        settle(&serving, instance, &outcome);
        outcome
    });
    take_turn(&plugin, kind, work).await
}

/// Waits for a turn and then does the work on its lane, both before one deadline. A call that gets no turn in time was refused;
/// it is not the plugin's fault.
pub(crate) async fn take_turn<R: Send + 'static>(
    plugin: &Loaded,
    kind: Kind,
    work: BoxFuture<'static, Result<R, Fault>>,
) -> Result<R, Fault> {
    let shared = &plugin.shared;
    let limit_name = kind.deadline();
    let limit = shared.limits.get(limit_name);
    let deadline = Duration::from_millis(limit);
    let begin = shared.host.ports.clock.monotonic();
    let busy = Fault::Unavailable {
        reason: format!("all its instances were busy for {limit_name} = {limit}"),
        retry_after_ms: Some(1_000),
    };
    let turn = timeout(deadline, plugin.pool.turn())
        .await
        .unwrap_or(Err(busy))?;
    let waited = shared.host.ports.clock.monotonic().saturating_sub(begin);
    let guarded = async move {
        // Held until the instance is back, so that there are never more instances in use than turns.
        let _turn = turn;
        work.await
    };
    timeout(deadline.saturating_sub(waited), on_lane(shared, guarded))
        .await
        .unwrap_or(Err(Fault::DeadlineExceeded { limit_name, limit }))
}

/// Runs on the host's lanes; a panic of a host function ends the call, not the process.
pub(crate) async fn on_lane<R: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = Result<R, Fault>> + Send + 'static,
) -> Result<R, Fault> {
    let caught = AssertUnwindSafe(work).catch_unwind();
    let host = &shared.host;
    let outcome = host
        .lanes
        .run(&*host.ports.clock, &shared.slow_turns, caught)
        .await;
    outcome.unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        tracing::error!(panic = words, "a host function panicked");
        Err(Fault::Trapped(format!(
            "the host function it called failed: {words}"
        )))
    })
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
    let ordinary = match outcome {
        Ok(_) => true,
        Err(fault) => fault.said().is_some(),
    };
    if ordinary {
        plugin.pool.give_back(instance);
    }
}
