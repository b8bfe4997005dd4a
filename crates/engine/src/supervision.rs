//! Starts plugins again that crashed, or whose start failed for a reason that may pass: when, how often, and when no more. Knows what a crash is from
//! `quarantine`; how a file is loaded is `load`'s business.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use model::component::FileName;
use model::error::{Fault, LoadError};
use model::settings::Restart;
use tokio::task::AbortHandle;

use crate::Engine;
use crate::catalog::{EntryState, Failure};
use crate::change::CatalogChange;
use crate::handover::Ending;
use crate::lifecycle::Who;
use crate::load::Applied;
use crate::options::{Quarantine, Supervision};
use crate::slot::{Slot, lock};
use crate::status::{PluginState, Reason};

/// How a plugin is supervised, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestartStatus {
    /// When it is started again.
    pub policy: Restart,
    /// How often it was started again since the host started.
    pub count: u64,
    /// When it is started again next; none: nothing is planned.
    pub next_at: Option<SystemTime>,
}

/// What is remembered of each file that was started again, or is going to be.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    records: Mutex<HashMap<FileName, Record>>,
}

#[derive(Debug, Default)]
struct Record {
    /// When it was started again, the oldest first; not older than `Supervision::within`.
    recent: VecDeque<Duration>,
    count: u64,
    /// When it is to be started again, on the monotonic clock.
    next: Option<(Duration, AbortHandle)>,
    /// Its time has come.
    due: bool,
}

impl Supervisor {
    /// How long to wait before the next restart.
    ///
    /// # Errors
    /// There were too many: how many.
    fn wait(
        &self,
        name: &FileName,
        now: Duration,
        rules: Supervision,
        times: Quarantine,
    ) -> Result<Duration, usize> {
        let mut records = lock(&self.records);
        let record = records.entry(name.clone()).or_default();
        let is_old = |at: &Duration| now.saturating_sub(*at) > rules.within;
        while record.recent.front().is_some_and(is_old) {
            record.recent.pop_front();
        }
        let restarts = record.recent.len();
        if restarts >= rules.restarts as usize {
            return Err(restarts);
        }
        let doubled = u32::try_from(restarts)
            .ok()
            .and_then(|n| 2u32.checked_pow(n));
        let wait = times.first.saturating_mul(doubled.unwrap_or(u32::MAX));
        Ok(wait.min(times.longest))
    }

    /// Plans a restart in the place of one that was planned before.
    fn plan(&self, name: &FileName, at: Duration, timer: AbortHandle) {
        let mut records = lock(&self.records);
        let record = records.entry(name.clone()).or_default();
        if let Some((_, before)) = record.next.replace((at, timer)) {
            before.abort();
        }
    }

    fn fall_due(&self, name: &FileName) {
        if let Some(record) = lock(&self.records).get_mut(name) {
            record.next = None;
            record.due = true;
        }
    }

    /// Is a restart still to happen? It is counted then.
    fn begin(&self, name: &FileName, now: Duration) -> bool {
        let mut records = lock(&self.records);
        let Some(record) = records.get_mut(name).filter(|r| r.due) else {
            return false;
        };
        record.due = false;
        record.count += 1;
        record.recent.push_back(now);
        true
    }

    /// An operator or a new file has taken over: nothing is planned any more, and what was does not count.
    pub(crate) fn forget(&self, name: &FileName) {
        if let Some(record) = lock(&self.records).get_mut(name) {
            record.recent.clear();
            record.due = false;
            if let Some((_, timer)) = record.next.take() {
                timer.abort();
            }
        }
    }

    /// The file is gone.
    pub(crate) fn remove(&self, name: &FileName) {
        self.forget(name);
        lock(&self.records).remove(name);
    }

    /// How often it was started again, and when it will be.
    fn look(&self, name: &FileName) -> (u64, Option<Duration>) {
        let records = lock(&self.records);
        let record = records.get(name);
        record.map_or((0, None), |r| (r.count, r.next.as_ref().map(|(at, _)| *at)))
    }
}

impl Engine {
    /// A plugin had too many faults: it is started again, or not. Its calls are refused already.
    pub(crate) fn crashed(&self, slot: &Slot) {
        let name = &slot.file;
        let last = slot.faults().into_iter().next().map(|f| f.message);
        let last = last.unwrap_or_default();
        let rules = self.options.supervision;
        let why_not = match slot.face.load().settings.restart {
            Restart::Temporary => {
                Some("is not to be started again (restart = \"temporary\")".into())
            }
            Restart::Permanent | Restart::Transient => match self.restart_later(name, None) {
                Ok(at) => {
                    slot.health.out_until(at);
                    None
                }
                Err(restarts) => {
                    let within = rules.within.as_secs();
                    Some(format!(
                        "was started again {restarts} times within {within} s"
                    ))
                }
            },
        };
        let (code, message) = match &why_not {
            None => ("quarantined", quarantined(&last)),
            Some(why_not) => (
                "crashed",
                format!("it crashed, and {why_not}; the last fault: {last}"),
            ),
        };
        let at = self.ports.clock.now();
        let reason = Reason { code, message, at };
        if why_not.is_none() {
            self.transition(PluginState::Quarantined, &Who::of(slot), Some(&reason));
        } else if let Some(engine) = self.me.upgrade() {
            let give_up = CatalogChange::GiveUp {
                name: name.clone(),
                reason,
            };
            tokio::spawn(async move {
                if let Err(error) = engine.apply(give_up).await {
                    tracing::debug!(%error, "a plugin that crashed is not taken down");
                }
            });
        }
    }

    /// Plans a restart. At least `after` from now, if that is given.
    ///
    /// # Errors
    /// There were too many: how many.
    fn restart_later(&self, name: &FileName, after: Option<Duration>) -> Result<Duration, usize> {
        let now = self.ports.clock.monotonic();
        let (rules, times) = (self.options.supervision, self.options.quarantine);
        let wait = self.supervisor.wait(name, now, rules, times)?;
        let wait = wait.max(after.unwrap_or_default()).min(times.longest);
        let (engine, file) = (self.me.clone(), name.clone());
        let timer = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(engine) = engine.upgrade() {
                engine.restart(file).await;
            }
        });
        let at = now.saturating_add(wait);
        self.supervisor.plan(name, at, timer.abort_handle());
        Ok(at)
    }

    async fn restart(self: Arc<Self>, name: FileName) {
        self.supervisor.fall_due(&name);
        if let Err(error) = self.apply(CatalogChange::Restart(name.clone())).await {
            tracing::debug!(file = %name, %error, "a restart did not succeed");
        }
    }

    /// Is a planned restart still wanted? The caller holds the lane of the file.
    pub(crate) fn may_restart(&self, name: &FileName) -> bool {
        if !self.supervisor.begin(name, self.ports.clock.monotonic()) {
            return false;
        }
        let catalog = self.catalog.load();
        let Some(entry) = catalog.entries.get(name) else {
            return false;
        };
        let has_crashed = entry
            .slot
            .as_ref()
            .is_some_and(|s| s.health.until().is_some());
        let is_wanted = match &entry.state {
            EntryState::Live => has_crashed || entry.last_error.is_some(),
            EntryState::Failed(_) => true,
            EntryState::Loading(_) | EntryState::Stopped => false,
        };
        if let Some(slot) = entry.slot.as_ref().filter(|_| is_wanted) {
            slot.meters.restart();
        }
        is_wanted
    }

    /// Takes a plugin down that crashed too often. The caller holds the lane of its file.
    pub(crate) fn give_up(self: &Arc<Self>, name: &FileName, reason: &Reason) -> Applied {
        let given_up = self.edit(|entries| {
            let entry = entries.get_mut(name)?;
            let slot = entry.slot.clone()?;
            let has_crashed = slot.health.until().is_some();
            if !has_crashed || !matches!(entry.state, EntryState::Live) {
                return None;
            }
            let failure = Failure {
                error: None,
                reason: reason.clone(),
                about: Some(Arc::clone(&slot.face.load().about)),
                restart: slot.face.load().settings.restart,
            };
            entry.state = EntryState::Failed(Arc::new(failure));
            Some(slot)
        });
        let Some(slot) = given_up else {
            return Applied::Unchanged;
        };
        self.retire(&slot, None, Ending::Failed);
        // The index leaves out what has no version.
        self.reindex();
        self.transition(PluginState::Failed, &Who::of(&slot), Some(reason));
        Applied::Removed
    }

    /// A load failed: it is tried again, if that may help. Answers what to add to its reason, if it was tried too often.
    pub(crate) fn retry_later(
        &self,
        name: &FileName,
        error: &LoadError,
        policy: Restart,
    ) -> Option<String> {
        if !may_pass(error, policy) {
            return None;
        }
        let after = match error {
            LoadError::Start {
                fault: Fault::Transient { retry_after_ms, .. },
                ..
            } => retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
            _ => None,
        };
        let restarts = self.restart_later(name, after).err()?;
        let within = self.options.supervision.within.as_secs();
        Some(format!(
            "; given up after {restarts} restarts within {within} s"
        ))
    }

    pub(crate) fn restart_status(&self, name: &FileName, policy: Restart) -> RestartStatus {
        let (count, next) = self.supervisor.look(name);
        let clock = &self.ports.clock;
        let (now, monotonic) = (clock.now(), clock.monotonic());
        RestartStatus {
            policy,
            count,
            next_at: next.map(|at| now + at.saturating_sub(monotonic)),
        }
    }
}

/// Why a plugin is left alone for a while.
pub(crate) fn quarantined(last: &str) -> String {
    format!("it crashed and is started again after a while; the last fault: {last}")
}

/// May a start that failed work later, by the policy?
fn may_pass(error: &LoadError, policy: Restart) -> bool {
    let LoadError::Start { fault, .. } = error else {
        return false;
    };
    match policy {
        Restart::Permanent => !matches!(fault, Fault::Invalid(_)),
        Restart::Transient => fault.is_retryable(),
        Restart::Temporary => false,
    }
}
