//! What a plugin used since it was loaded: counters that calls add to and the API reads.

use std::sync::atomic::{AtomicU64, Ordering};

use model::plugin::Usage;

/// One counter for each field of [`Usage`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) fuel: AtomicU64,
    pub(crate) memory_high_water: AtomicU64,
    pub(crate) instances: AtomicU64,
    pub(crate) instances_made: AtomicU64,
    pub(crate) host_calls: AtomicU64,
    pub(crate) http_requests: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) log_lines: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
    pub(crate) denials: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    /// The counters as they stand, with this many idle instances.
    pub(crate) fn read(&self, idle_instances: usize) -> Usage {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Usage {
            fuel: get(&self.fuel),
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
        }
    }
}
