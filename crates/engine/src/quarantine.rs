//! Leaves a plugin that keeps failing alone for a while: counts faults, and decides whether a call may pass. Knows no plugins and no clock.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::options::Quarantine;

/// The health of one plugin. Times are the clock's monotonic ones.
#[derive(Debug)]
pub(crate) struct Health {
    rules: Quarantine,
    /// Is there anything but plain health? Looked at by every call, so that the lock is only taken when it matters.
    tripped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last faults happened, the oldest first; at most `faults` of them.
    recent: VecDeque<Duration>,
    /// Until when no call passes; none: calls pass.
    until: Option<Duration>,
    /// A call is out to try whether the plugin works again.
    trying: bool,
    /// How often the time out was doubled.
    relapses: u32,
    /// When the last quarantine ended well.
    recovered: Option<Duration>,
}

/// How a call may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// As any other.
    Plain,
    /// As the one that tries.
    Trial,
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
    pub(crate) fn admit(&self, now: impl FnOnce() -> Duration) -> Result<Pass, Duration> {
        if !self.tripped.load(Ordering::Acquire) {
            return Ok(Pass::Plain);
        }
        let now = now();
        let mut state = self.state();
        match state.until {
            None => Ok(Pass::Plain),
            Some(until) if now < until => Err(until.saturating_sub(now)),
            Some(_) if state.trying => Err(self.rules.first),
            Some(_) => {
                state.trying = true;
                Ok(Pass::Trial)
            }
        }
    }

    /// A call went well.
    pub(crate) fn success(&self, pass: Pass, now: Duration) {
        if pass == Pass::Trial {
            let mut state = self.state();
            state.trying = false;
            state.until = None;
            state.recent.clear();
            state.recovered = Some(now);
            self.tripped.store(false, Ordering::Release);
        }
    }

    /// A call said nothing about the plugin's health: it was dropped, or the host refused it.
    pub(crate) fn unknown(&self, pass: Pass) {
        if pass == Pass::Trial {
            self.state().trying = false;
        }
    }

    /// A call ended in a fault of the plugin. Answers how long it is left alone from now on, if this was too much.
    pub(crate) fn fault(&self, pass: Pass, now: Duration) -> Option<Duration> {
        if self.rules.faults == 0 {
            return None;
        }
        let mut state = self.state();
        if pass == Pass::Trial {
            state.trying = false;
        } else {
            state.recent.push_back(now);
            while state
                .recent
                .front()
                .is_some_and(|at| now.saturating_sub(*at) > self.rules.within)
            {
                state.recent.pop_front();
            }
            let faults = u32::try_from(state.recent.len()).unwrap_or(u32::MAX);
            // Calls that began before a quarantine may still fail in it: they change nothing.
            if faults < self.rules.faults || state.until.is_some() {
                state.recent.truncate(self.rules.faults as usize);
                return None;
            }
        }
        if state
            .recovered
            .is_some_and(|at| now.saturating_sub(at) >= self.rules.longest)
        {
            state.relapses = 0;
        }
        let factor = 2u32.checked_pow(state.relapses).unwrap_or(u32::MAX);
        let out = self.rules.first.saturating_mul(factor);
        let out = out.min(self.rules.longest);
        state.relapses = state.relapses.saturating_add(1);
        state.recovered = None;
        state.recent.clear();
        state.until = Some(now.saturating_add(out));
        self.tripped.store(true, Ordering::Release);
        Some(out)
    }

    /// Until when no call passes, if that is still to come or a trial has not ended well yet.
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

    fn trip(health: &Health, at: u64) -> Option<Duration> {
        assert_eq!(health.fault(Pass::Plain, s(at)), None);
        assert_eq!(health.fault(Pass::Plain, s(at)), None);
        health.fault(Pass::Plain, s(at))
    }

    #[test]
    fn too_many_faults_in_a_short_time() {
        let health = health();
        assert_eq!(health.fault(Pass::Plain, s(0)), None);
        assert_eq!(health.fault(Pass::Plain, s(50)), None);
        assert_eq!(
            health.fault(Pass::Plain, s(70)),
            None,
            "the first is too old"
        );
        assert_eq!(health.admit(|| s(70)), Ok(Pass::Plain));
        assert_eq!(health.fault(Pass::Plain, s(80)), Some(s(5)));
        assert_eq!(health.admit(|| s(82)), Err(s(3)));
    }

    #[test]
    fn one_trial_at_a_time_and_doubling() {
        let health = health();
        assert_eq!(trip(&health, 0), Some(s(5)));
        assert_eq!(health.admit(|| s(5)), Ok(Pass::Trial));
        assert_eq!(health.admit(|| s(5)), Err(s(5)));
        assert_eq!(health.fault(Pass::Trial, s(6)), Some(s(10)));
        assert_eq!(health.admit(|| s(15)), Err(s(1)));
        assert_eq!(health.admit(|| s(16)), Ok(Pass::Trial));
        assert_eq!(health.fault(Pass::Trial, s(16)), Some(s(15)), "the longest");
        assert_eq!(health.admit(|| s(31)), Ok(Pass::Trial));
        health.unknown(Pass::Trial);
        assert_eq!(
            health.admit(|| s(31)),
            Ok(Pass::Trial),
            "a dropped trial is none"
        );
        health.success(Pass::Trial, s(31));
        assert_eq!(
            (health.admit(|| s(31)), health.until()),
            (Ok(Pass::Plain), None)
        );
        assert_eq!(trip(&health, 32), Some(s(15)), "a relapse");
        assert_eq!(health.admit(|| s(47)), Ok(Pass::Trial));
        health.success(Pass::Trial, s(47));
        assert_eq!(trip(&health, 70), Some(s(5)), "well for long enough");
    }

    #[test]
    fn late_faults_and_reset() {
        let health = health();
        assert_eq!(trip(&health, 0), Some(s(5)));
        for _ in 0..10 {
            assert_eq!(health.fault(Pass::Plain, s(1)), None);
        }
        assert_eq!(health.until(), Some(s(5)));
        health.reset();
        assert_eq!(health.admit(|| s(1)), Ok(Pass::Plain));
    }
}
