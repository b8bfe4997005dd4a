//! Notices that a plugin crashed: too many faults in a short time. From then on its calls are refused. Knows no plugins and no clock; when the plugin is
//! started again is `supervision`'s business.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::options::Quarantine;

/// What callers are told to wait for a plugin whose restart is overdue.
const SOON: Duration = Duration::from_secs(1);

/// The health of one plugin. Times are the clock's monotonic ones.
#[derive(Debug)]
pub(crate) struct Health {
    rules: Quarantine,
    /// Has it crashed? Looked at by every call, so that the lock is only taken when it has.
    tripped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last faults happened, the oldest first; at most `faults` of them.
    recent: VecDeque<Duration>,
    /// When it is started again; none: it has not crashed.
    until: Option<Duration>,
}

impl Health {
    pub(crate) fn new(rules: Quarantine) -> Self {
        Self {
            rules,
            tripped: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// May a call pass? Else: how long to wait.
    pub(crate) fn admit(&self, now: Duration) -> Result<(), Duration> {
        match self.until() {
            None => Ok(()),
            Some(until) => {
                let wait = until.saturating_sub(now);
                Err(if wait.is_zero() { SOON } else { wait })
            }
        }
    }

    /// A call ended in a fault of the plugin. Was it one too many?
    pub(crate) fn fault(&self, now: Duration) -> bool {
        if self.rules.faults == 0 {
            return false;
        }
        let mut state = self.state();
        // Calls that began before a crash may still fail after it: they change nothing.
        if state.until.is_some() {
            return false;
        }
        let is_old = |at: &Duration| now.saturating_sub(*at) > self.rules.within;
        while state.recent.front().is_some_and(is_old) {
            state.recent.pop_front();
        }
        state.recent.push_back(now);
        if state.recent.len() < self.rules.faults as usize {
            return false;
        }
        state.recent.clear();
        state.until = Some(now.saturating_add(self.rules.first));
        self.tripped.store(true, Ordering::Release);
        true
    }

    /// It is started again at this time.
    pub(crate) fn out_until(&self, at: Duration) {
        let mut state = self.state();
        if state.until.is_some() {
            state.until = Some(at);
        }
    }

    /// When it is started again, if it has crashed.
    pub(crate) fn until(&self) -> Option<Duration> {
        if !self.tripped.load(Ordering::Acquire) {
            return None;
        }
        self.state().until
    }

    /// As new.
    pub(crate) fn reset(&self) {
        *self.state() = State::default();
        self.tripped.store(false, Ordering::Release);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in here can panic half-way, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn health() -> Health {
        Health::new(Quarantine {
            faults: 3,
            within: s(60),
            first: s(5),
            longest: s(15),
        })
    }

    fn trip(health: &Health, at: u64) -> bool {
        assert!(!health.fault(s(at)));
        assert!(!health.fault(s(at)));
        health.fault(s(at))
    }

    #[test]
    fn too_many_faults_in_a_short_time() {
        let health = health();
        assert!(!health.fault(s(0)));
        assert!(!health.fault(s(50)));
        assert!(!health.fault(s(70)), "the first is too old");
        assert_eq!(health.admit(s(70)), Ok(()));
        assert!(health.fault(s(80)));
        assert_eq!(health.admit(s(82)), Err(s(3)));
        health.out_until(s(100));
        assert_eq!(health.admit(s(82)), Err(s(18)));
        assert_eq!(health.admit(s(200)), Err(SOON), "only a restart helps");
    }

    #[test]
    fn late_faults_and_reset() {
        let health = health();
        assert!(trip(&health, 0));
        for _ in 0..10 {
            assert!(!health.fault(s(1)));
        }
        assert_eq!(health.until(), Some(s(5)));
        health.reset();
        assert_eq!(health.admit(s(1)), Ok(()));
        health.out_until(s(9));
        assert_eq!(health.until(), None, "a restart planned too late");
    }

    #[test]
    fn it_can_be_switched_off() {
        let off = Quarantine {
            faults: 0,
            ..Quarantine::default()
        };
        let health = Health::new(off);
        assert!(!trip(&health, 0));
    }
}
