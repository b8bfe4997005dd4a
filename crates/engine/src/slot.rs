//! A plugin's place in the catalog: its version at work, its health, its counts. Putting versions there is `load`'s business.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use model::chat::Model;
use model::component::FileName;
use model::events::Event;
use model::exchange::{Cause, PeerRequest};
use model::id::PluginId;
use model::plugin::{About, CapabilityUse, Plugin, Usage};
use model::settings::PluginSettings;
use model::valves::Spec;
use serde_json::{Map, Value};

use crate::budget::Rolling;
use crate::gate::Gate;
use crate::mailbox::Mailbox;
use crate::metrics::Meters;
use crate::quarantine::Health;
use crate::status::{CallCounts, FaultRecord, Kind, Reason, Waiting};

/// Most faults that are kept.
const FAULTS: usize = 10;
/// Most characters kept of a fault's text.
const FAULT_TEXT: usize = 2000;

/// One plugin, whatever its version. Lives as long as its file provides it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: PluginId,
    pub(crate) file: FileName,
    /// The version that takes calls; none while stopped or removed.
    pub(crate) current: ArcSwapOption<Version>,
    /// What is known of the last version that took calls.
    pub(crate) face: ArcSwap<Face>,
    pub(crate) health: Health,
    pub(crate) meters: Meters,
    /// What it may use in a minute.
    pub(crate) rolling: Rolling,
    /// Events that wait for it.
    pub(crate) events: Arc<Mailbox<Arc<Event>>>,
    /// Calls that wait for it and for whose answers nobody waits.
    pub(crate) casts: Arc<Mailbox<(PeerRequest, Cause)>>,
    /// Is there somebody who delivers them?
    pub(crate) is_delivered: AtomicBool,
    /// Calls that wait for a handover to end.
    pub(crate) waiting: AtomicU64,
    /// Stages of runs that are open.
    pub(crate) stages: AtomicUsize,
    pub(crate) total: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Why there is no version, for callers.
    ended: Mutex<&'static str>,
    past: Mutex<Past>,
    faults: Mutex<VecDeque<FaultRecord>>,
}

/// Versions that take no calls any more.
#[derive(Debug, Default)]
struct Past {
    /// Those that still finish calls.
    draining: Vec<Arc<Version>>,
    /// What those that are gone used.
    usage: Usage,
}

/// One loaded version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) plugin: Arc<dyn Plugin>,
    pub(crate) face: Arc<Face>,
    pub(crate) gate: Gate,
}

/// What is known of a version apart from the running plugin.
#[derive(Debug)]
pub(crate) struct Face {
    pub(crate) about: Arc<About>,
    pub(crate) settings: Arc<PluginSettings>,
    pub(crate) kind: Kind,
    pub(crate) generation: u64,
    pub(crate) loaded_at: SystemTime,
    pub(crate) spec: Option<Spec>,
    /// The valves in force.
    pub(crate) values: ArcSwap<Map<String, Value>>,
    pub(crate) models: Mutex<Models>,
    /// Held by the one who asks the plugin for its models.
    pub(crate) asking: Arc<tokio::sync::Mutex<()>>,
}

/// A manifold's models, as it said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Models {
    pub(crate) list: Arc<[Model]>,
    /// When it was asked last; none: not yet.
    pub(crate) asked: Option<Duration>,
    /// Why the last answer was none.
    pub(crate) error: Option<Reason>,
}

impl Face {
    pub(crate) fn models(&self) -> MutexGuard<'_, Models> {
        lock(&self.models)
    }
}

impl Slot {
    pub(crate) fn new(
        file: FileName,
        version: Arc<Version>,
        health: Health,
        meters: Meters,
    ) -> Self {
        Self {
            id: version.face.about.manifest.id.clone(),
            file,
            face: ArcSwap::new(Arc::clone(&version.face)),
            current: ArcSwapOption::new(Some(version)),
            health,
            meters,
            rolling: Rolling::default(),
            events: Arc::default(),
            casts: Arc::default(),
            is_delivered: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            stages: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ended: Mutex::new("it is stopped"),
            past: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// Puts a version to work, or none. The one before takes no calls any more and is returned, to be drained.
    pub(crate) fn replace(
        &self,
        version: Option<Arc<Version>>,
        ended: &'static str,
    ) -> Option<Arc<Version>> {
        *lock(&self.ended) = ended;
        if let Some(version) = &version {
            self.face.store(Arc::clone(&version.face));
        }
        let mut past = lock(&self.past);
        let old = self.current.swap(version)?;
        past.draining.push(Arc::clone(&old));
        drop(past);
        // After the swap, so that those who find it closed find the new one.
        old.gate.close();
        Some(old)
    }

    /// A version has finished: what it used is kept, the rest is let go.
    pub(crate) fn finished(&self, version: &Arc<Version>) {
        let mut past = lock(&self.past);
        past.draining.retain(|v| !Arc::ptr_eq(v, version));
        past.usage = sum(past.usage, &version.plugin.usage(), false);
    }

    /// Are there versions that still finish calls, or stop?
    pub(crate) fn is_draining(&self) -> bool {
        !lock(&self.past).draining.is_empty()
    }

    /// Why there is no version.
    pub(crate) fn ended(&self) -> &'static str {
        *lock(&self.ended)
    }

    /// What all versions used together.
    pub(crate) fn usage(&self) -> Usage {
        let past = lock(&self.past);
        let current = self.current.load_full();
        past.draining
            .iter()
            .chain(current.as_ref())
            .fold(past.usage, |usage, version| {
                sum(usage, &version.plugin.usage(), true)
            })
    }

    /// Calls under way, of all versions.
    pub(crate) fn in_flight(&self) -> u64 {
        let past = lock(&self.past);
        let current = self.current.load_full();
        let versions = past.draining.iter().chain(current.as_ref());
        versions.map(|v| v.gate.in_flight()).sum()
    }

    /// Remembers a fault.
    pub(crate) fn remember(&self, mut fault: FaultRecord) {
        if let Some((end, _)) = fault.message.char_indices().nth(FAULT_TEXT) {
            fault.message.truncate(end);
        }
        let mut faults = lock(&self.faults);
        faults.truncate(FAULTS - 1);
        faults.push_front(fault);
    }

    /// Its last faults, the newest first.
    pub(crate) fn faults(&self) -> Vec<FaultRecord> {
        lock(&self.faults).iter().cloned().collect()
    }

    /// Its calls so far.
    pub(crate) fn counts(&self) -> CallCounts {
        CallCounts {
            total: self.total.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
        }
    }

    /// What waits in its mailboxes.
    pub(crate) fn waiting_mail(&self) -> Waiting {
        Waiting {
            events: self.events.len(),
            events_dropped: self.events.dropped(),
            casts: self.casts.len(),
        }
    }

    /// One more call began.
    pub(crate) fn begun(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.events.close();
        self.casts.close();
    }
}

/// Locks what no holder can leave half-written, so that a poisoned lock is still good.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds what a version used; of one that is gone, its instances do not count any more.
fn sum(a: Usage, b: &Usage, alive: bool) -> Usage {
    let live = |n: u64| if alive { n } else { 0 };
    Usage {
        fuel: a.fuel.saturating_add(b.fuel),
        cpu_us: a.cpu_us.saturating_add(b.cpu_us),
        memory_high_water: a.memory_high_water.max(b.memory_high_water),
        instances: a.instances.saturating_add(live(b.instances)),
        idle_instances: a.idle_instances.saturating_add(live(b.idle_instances)),
        instances_made: a.instances_made.saturating_add(b.instances_made),
        host_calls: a.host_calls.saturating_add(b.host_calls),
        http_requests: a.http_requests.saturating_add(b.http_requests),
        bytes_in: a.bytes_in.saturating_add(b.bytes_in),
        bytes_out: a.bytes_out.saturating_add(b.bytes_out),
        log_lines: a.log_lines.saturating_add(b.log_lines),
        log_dropped: a.log_dropped.saturating_add(b.log_dropped),
        denials: a.denials.saturating_add(b.denials),
        capabilities: std::array::from_fn(|i| {
            let of = |u: &Usage| u.capabilities.get(i).copied().unwrap_or_default();
            CapabilityUse {
                used: of(&a).used.saturating_add(of(b).used),
                denied: of(&a).denied.saturating_add(of(b).denied),
            }
        }),
    }
}
