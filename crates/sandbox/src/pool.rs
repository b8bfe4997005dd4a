//! Who may call now, and which instances are kept warm. It does not make instances.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::error::Fault;
use model::limits::{Limit, Limits};
use model::settings::Reuse;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::instance::Instance;

/// The idle instances and the turns of one version of a plugin.
pub(crate) struct Pool {
    idle: Mutex<Vec<Instance>>,
    keep: usize,
    recycle_calls: u64,
    recycle_memory: usize,
    turns: Arc<Semaphore>,
    waiting: AtomicU64,
    queue: u64,
}

impl Pool {
    pub(crate) fn new(reuse: Reuse, limits: &Limits) -> Self {
        let (keep, turns, recycle_calls) = match reuse {
            Reuse::Pool => (
                limits.size(Limit::IdleInstances),
                limits.size(Limit::Concurrency),
                limits.get(Limit::RecycleCalls),
            ),
            Reuse::Call => (0, limits.size(Limit::Concurrency), 1),
            Reuse::Single => (1, 1, u64::MAX),
        };
        // A warm instance that grew past half its limit would soon fail a call that a fresh one could serve. A single one is
        // kept whatever it holds: it is the plugin's memory.
        let recycle_memory = match reuse {
            Reuse::Single => usize::MAX,
            Reuse::Pool | Reuse::Call => limits.size(Limit::MemoryBytes) / 2,
        };
        Self {
            idle: Mutex::default(),
            keep,
            recycle_calls,
            recycle_memory,
            turns: Arc::new(Semaphore::new(turns.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicU64::new(0),
            queue: limits.get(Limit::Queue),
        }
    }

    /// A turn, if one is free.
    pub(crate) fn free_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_owned().ok()
    }

    /// Waits for a turn; refuses at once when too many wait already.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Fault::Unavailable {
                reason: format!(
                    "too many calls are waiting: the limit queue = {} was reached",
                    self.queue
                ),
                retry_after_ms: Some(1_000),
            });
        }
        let _waiting = Waiting(&self.waiting);
        Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| Fault::Unavailable {
                reason: "the plugin is being unloaded".into(),
                retry_after_ms: None,
            })
    }

    /// The instance used last, if one is idle: its memory is the warmest.
    pub(crate) fn take(&self) -> Option<Instance> {
        self.idle.lock().ok()?.pop()
    }

    /// Takes an instance back after a call that went well, or lets it go.
    pub(crate) fn give_back(&self, mut instance: Instance) {
        let worn = instance.calls >= self.recycle_calls
            || instance.state().limiter.memory() > self.recycle_memory;
        if worn {
            return;
        }
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < self.keep
        {
            idle.push(instance);
        }
    }

    /// Number of idle instances.
    pub(crate) fn idle(&self) -> usize {
        self.idle.lock().map_or(0, |idle| idle.len())
    }

    /// Lets idle instances go to make room for another plugin's; true if there were any. A single instance stays: it is memory.
    pub(crate) fn shed(&self) -> bool {
        if self.recycle_memory == usize::MAX {
            return false;
        }
        let shed = self.idle.lock().map(|mut idle| std::mem::take(&mut *idle));
        shed.is_ok_and(|instances| !instances.is_empty())
    }
}

struct Waiting<'a>(&'a AtomicU64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
