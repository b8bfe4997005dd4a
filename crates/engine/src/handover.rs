//! Carries what a version remembers to the next one, and lets versions go: shut, drain, snapshot, restore; drain, stop, drop.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use model::error::{Fault, LoadError, StageError};
use model::id::PluginId;
use model::limits::Limit;
use model::plugin::{Plugin, Role};
use tokio::sync::oneshot;

use crate::Engine;
use crate::catalog::Catalog;
use crate::dependencies::Order;
use crate::lifecycle::Who;
use crate::metrics::{Call, Outcome};
use crate::slot::{Slot, Version, lock};
use crate::status::PluginState;

/// How long a plugin's calls under way are waited for when it is taken down.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a version is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Another one takes its place.
    Replaced,
    /// An operator stopped it.
    Stopped,
    /// Its file is gone.
    Removed,
    /// It crashed too often, or what it depends on is gone.
    Failed,
    /// The host ends.
    Shutdown,
}

impl Ending {
    /// For callers.
    fn reason(self) -> &'static str {
        match self {
            Self::Replaced | Self::Stopped => "it is stopped",
            Self::Removed => "it was removed",
            Self::Failed => "it failed, and is not started again for now",
            Self::Shutdown => "the host is shutting down",
        }
    }

    /// Does the plugin as a whole stop? Of one that failed it is told that it failed.
    fn is_told(self) -> bool {
        !matches!(self, Self::Replaced | Self::Failed)
    }
}

/// Ends when a version that was let go has stopped. To be awaited or not.
#[derive(Debug)]
pub(crate) struct Over(Option<oneshot::Receiver<()>>);

impl Over {
    pub(crate) async fn wait(self) {
        if let Some(over) = self.0 {
            // Nothing is ever sent: the other end is dropped.
            let _dropped = over.await;
        }
    }

    /// Waits, but at most 10 s: who asked for the stop, or what the plugin needs and is taken down as well, goes on then.
    pub(crate) async fn wait_a_while(self, plugin: &PluginId) {
        if tokio::time::timeout(PATIENCE, self.wait()).await.is_err() {
            tracing::warn!(%plugin, "calls under way are not waited for any longer; they end on their own");
        }
    }
}

/// A handover under way: calls wait. Dropped before it is done, they go on with the old version.
pub(crate) struct Handover {
    old: Arc<Version>,
    done: bool,
}

impl Handover {
    /// Moves what the version at work remembers into `new`, if both can. New calls wait from here on until [`Handover::done`].
    pub(crate) async fn begin(
        engine: &Engine,
        slot: &Slot,
        new: &Arc<dyn Plugin>,
    ) -> Result<Option<Self>, LoadError> {
        let Some(old) = slot.current.load_full() else {
            return Ok(None);
        };
        if slot.health.until().is_some() {
            // What a plugin remembers that crashed is not to be trusted.
            return Ok(None);
        }
        let can = |plugin: &Arc<dyn Plugin>| plugin.about().roles.contains(&Role::Handover);
        if !can(&old.plugin) || !can(new) {
            return Ok(None);
        }
        old.gate.shut();
        let handover = Self { old, done: false };
        let old = &handover.old;
        let bound = engine.drain_bound(old);
        if tokio::time::timeout(bound, old.gate.emptied())
            .await
            .is_err()
        {
            let reason = format!("its calls did not end within {} ms", bound.as_millis());
            return Err(LoadError::Start {
                call: "snapshot",
                fault: Fault::Unavailable {
                    reason,
                    retry_after_ms: None,
                },
            });
        }
        let snapshot = Arc::clone(&old.plugin).snapshot();
        let snapshot = engine.timed(slot, Call::Snapshot, snapshot).await?;
        let version = old.face.about.manifest.version.to_string();
        let restore = Arc::clone(new).restore(version, snapshot);
        engine.timed(slot, Call::Restore, restore).await?;
        Ok(Some(handover))
    }

    /// The new version is at work, and the old one closed.
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if !self.done {
            self.old.gate.open();
        }
    }
}

impl Engine {
    /// Awaits a step of a handover and counts it. A step that fails fails the load; it says nothing about the version that serves.
    async fn timed<T>(
        &self,
        slot: &Slot,
        call: Call,
        step: impl Future<Output = Result<T, StageError>>,
    ) -> Result<T, LoadError> {
        let began = self.ports.clock.monotonic();
        let result = step.await;
        let took = self.ports.clock.monotonic().saturating_sub(began);
        let outcome = if result.is_ok() {
            Outcome::Ok
        } else {
            Outcome::Failed
        };
        slot.meters.call(call, outcome, took);
        result.map_err(|e| LoadError::Start {
            call: call.as_str(),
            fault: e.fault,
        })
    }

    /// Puts `next` in the place of the version at work, if there is one, which then finishes its calls in the background, is stopped once, and let go.
    pub(crate) fn retire(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        next: Option<Arc<Version>>,
        ending: Ending,
    ) -> Over {
        let Some(old) = slot.replace(next, ending.reason()) else {
            return Over(None);
        };
        if ending.is_told() {
            let who = Who::of_version(slot, &old);
            self.transition(PluginState::Stopping, &who, None);
        }
        let (engine, slot) = (Arc::clone(self), Arc::clone(slot));
        let (done, over) = oneshot::channel();
        let mut retiring = lock(&self.retiring);
        // Reap those that are over, so that the set does not grow.
        while retiring.try_join_next().is_some() {}
        retiring.spawn(async move {
            let _done: oneshot::Sender<()> = done;
            engine.drain(&slot, &old).await;
            if ending.is_told() {
                let who = Who::of_version(&slot, &old);
                engine.transition(PluginState::Stopped, &who, None);
            }
        });
        Over(Some(over))
    }

    async fn drain(&self, slot: &Slot, old: &Arc<Version>) {
        let (plugin, version) = (&slot.id, &old.face.about.manifest.version);
        let mut hurry = self.hurry.subscribe();
        let hurried = hurry.wait_for(|hurry| *hurry);
        let patience = tokio::time::timeout(self.drain_bound(old), hurried);
        let (emptied, patience) = (std::pin::pin!(old.gate.emptied()), std::pin::pin!(patience));
        if let Either::Right(_) = select(emptied, patience).await {
            let in_flight = old.gate.in_flight();
            tracing::warn!(%plugin, %version, in_flight, "a version that was let go still has calls under way; they end on their own");
        }
        let began = self.ports.clock.monotonic();
        let stopped = Arc::clone(&old.plugin).stop().await;
        let took = self.ports.clock.monotonic().saturating_sub(began);
        let outcome = if stopped.is_ok() {
            Outcome::Ok
        } else {
            Outcome::Failed
        };
        slot.meters.call(Call::Stop, outcome, took);
        if let Err(error) = stopped {
            tracing::warn!(%plugin, %version, %error, "a plugin did not stop cleanly");
        }
        slot.finished(old);
        tracing::info!(%plugin, %version, "a version was let go");
    }

    fn drain_bound(&self, version: &Version) -> Duration {
        let limits = &version.face.settings.limits;
        let own = limits
            .time(Limit::DeadlineMs)
            .saturating_add(limits.time(Limit::StartDeadlineMs));
        self.options.drain.unwrap_or(own)
    }

    /// Lets every version go and waits for them, at most this long: half of it for calls under way, the rest for the plugins to stop. Those that depend on
    /// others go before them, until three quarters of the time are over; then all that are left go at once. Nothing can be changed any more.
    pub async fn shutdown(self: &Arc<Self>, within: Duration) {
        self.closing
            .store(true, std::sync::atomic::Ordering::SeqCst);
        self.board.close();
        self.end_runs(within / 4).await;
        let catalog = self.catalog.load_full();
        let mut all = std::pin::pin!(self.retire_in_order(&catalog));
        if tokio::time::timeout(within / 2, &mut all).await.is_ok() {
            return;
        }
        self.hurry.send_replace(true);
        if tokio::time::timeout(within / 4, &mut all).await.is_ok() {
            return;
        }
        for (slot, _) in catalog.slots() {
            self.retire(slot, None, Ending::Shutdown);
        }
        if tokio::time::timeout(within / 4, &mut all).await.is_err() {
            tracing::warn!("some plugins did not stop in time");
        }
    }

    /// Lets every version go, those that depend on others before them, and waits for those too that were let go before.
    async fn retire_in_order(self: &Arc<Self>, catalog: &Catalog) {
        let slots = catalog.slots();
        let abouts: Vec<_> = slots
            .map(|(s, _)| Arc::clone(&s.face.load().about))
            .collect();
        for group in Order::new(&abouts).groups() {
            let slots = group.iter().filter_map(|id| catalog.plugin(id.as_str()));
            let retired = slots.map(|slot| self.retire(slot, None, Ending::Shutdown).wait());
            join_all(retired).await;
        }
        let mut retiring = std::mem::take(&mut *lock(&self.retiring));
        while retiring.join_next().await.is_some() {}
    }
}
