//! What a server sees of leases, and of its own clock. Clocks are set, and those of servers differ: that a server is silent is told by the monotonic time of whoever looks.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use model::store::{Fence, Lease, Moment};

use super::{Durable, LEASE};
use crate::slot::lock;

/// By how much a clock is behind before it counts as set back.
const SLACK: Duration = Duration::from_secs(1);

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    /// The leases of each queue, as they stood last, and since when they have.
    leases: HashMap<String, HashMap<Fence, (Option<Moment>, Duration)>>,
    /// What the clock said, at the latest, when its monotonic time began.
    began: Option<SystemTime>,
    /// The clock was set back, and jobs that it put off before are not due yet.
    pub(super) set_back: bool,
}

impl Watch {
    /// Nobody knows what the clock was before.
    pub(super) fn new() -> Self {
        Self {
            leases: HashMap::new(),
            began: None,
            set_back: true,
        }
    }

    /// Looks at the clock.
    pub(super) fn look(&mut self, now: SystemTime, monotonic: Duration) {
        let Some(began) = now.checked_sub(monotonic) else {
            return;
        };
        let before = *self.began.get_or_insert(began);
        if began + SLACK < before {
            self.set_back = true;
            self.began = Some(began);
        } else {
            self.began = Some(began.max(before));
        }
    }

    /// Of the leases of a queue those that stand for as long as one holds.
    pub(super) fn silent(&mut self, queue: &str, all: Vec<Lease>, now: Duration) -> Vec<Lease> {
        let seen = self.leases.entry(queue.to_owned()).or_default();
        let before = std::mem::take(seen);
        let mut silent = Vec::new();
        for lease in all {
            let stood = before.get(&lease.fence);
            let stood = stood.filter(|(until, _)| *until == lease.until);
            let since = stood.map_or(now, |(_, since)| *since);
            seen.insert(lease.fence, (lease.until, since));
            if now.saturating_sub(since) >= LEASE {
                silent.push(lease);
            }
        }
        silent
    }
}

impl Durable {
    /// Does a run of this claim go on here, or is it about to end?
    pub(super) fn has(&self, fence: Fence) -> bool {
        lock(&self.held).values().any(|held| held.fence == fence)
    }
}
