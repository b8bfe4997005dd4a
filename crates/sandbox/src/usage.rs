//! What a plugin used since it was loaded: counters that calls add to and the API reads; and what it was denied, told in the log now
//! and then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::grants::Capability;
use model::plugin::{CapabilityUse, Usage};

/// Time between two log lines about denials of one capability to one plugin.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// One counter for each field of [`Usage`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) fuel: AtomicU64,
    pub(crate) cpu_ns: AtomicU64,
    pub(crate) memory_high_water: AtomicU64,
    pub(crate) instances: AtomicU64,
    pub(crate) instances_made: AtomicU64,
    pub(crate) host_calls: AtomicU64,
    pub(crate) http_requests: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) log_lines: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
    denials: AtomicU64,
    capabilities: [Uses; Capability::ALL.len()],
}

/// How often a capability was used and denied, and when a denial was told last.
#[derive(Debug, Default)]
struct Uses {
    used: AtomicU64,
    denied: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<Duration>,
    since: u64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    /// A capability was used.
    pub(crate) fn used(&self, capability: Capability) {
        if let Some(uses) = self.capabilities.get(capability as usize) {
            add(&uses.used, 1);
        }
    }

    /// A use was denied. Returns the number of denials since they were told last, if it is time to tell.
    pub(crate) fn denied(&self, capability: Capability, now: Duration) -> Option<u64> {
        add(&self.denials, 1);
        let uses = self.capabilities.get(capability as usize)?;
        add(&uses.denied, 1);
        let mut told = uses.told.lock().ok()?;
        told.since += 1;
        if told.last.is_some_and(|last| now < last + TELL_EVERY) {
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.since))
    }

    /// The counters as they stand, with this many idle instances.
    pub(crate) fn read(&self, idle_instances: usize) -> Usage {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Usage {
            fuel: get(&self.fuel),
            cpu_us: get(&self.cpu_ns) / 1_000,
            memory_high_water: get(&self.memory_high_water),
            instances: get(&self.instances),
            idle_instances: idle_instances as u64,
            instances_made: get(&self.instances_made),
            host_calls: get(&self.host_calls),
            http_requests: get(&self.http_requests),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            log_lines: get(&self.log_lines),
            log_dropped: get(&self.log_dropped),
            denials: get(&self.denials),
            capabilities: self.capabilities.each_ref().map(|uses| CapabilityUse {
                used: get(&uses.used),
                denied: get(&uses.denied),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_told_once_a_minute_for_each_capability() {
        let counters = Counters::default();
        let at = Duration::from_secs;
        assert_eq!(counters.denied(Capability::Events, at(5)), Some(1));
        assert_eq!(counters.denied(Capability::Events, at(6)), None);
        assert_eq!(counters.denied(Capability::Calls, at(6)), Some(1));
        assert_eq!(counters.denied(Capability::Events, at(64)), None);
        assert_eq!(counters.denied(Capability::Events, at(65)), Some(3));
        let usage = counters.read(0);
        assert_eq!(usage.denials, 5);
        assert_eq!(usage.capabilities[Capability::Events as usize].denied, 4);
    }

    #[test]
    fn each_capability_has_its_counter() {
        for (index, capability) in Capability::ALL.into_iter().enumerate() {
            assert_eq!(capability as usize, index, "{capability:?}");
        }
    }
}
