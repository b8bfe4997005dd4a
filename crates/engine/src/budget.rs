//! What a plugin may use in any 60 seconds: calls and fuel. Knows no plugins and no clock.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use model::error::Fault;
use model::limits::{Limit, Limits};

use crate::slot::lock;

/// The time calls and fuel are counted in.
const WINDOW: Duration = Duration::from_secs(60);

/// What a plugin used lately.
#[derive(Debug, Default)]
pub(crate) struct Rolling(Mutex<VecDeque<Second>>);

/// A second in which calls began.
#[derive(Debug, Clone, Copy)]
struct Second {
    at: u64,
    /// Calls that began in it.
    calls: u64,
    /// Fuel burnt in all when the first of them began.
    fuel: u64,
}

impl Rolling {
    /// Counts a call that wants to begin; `fuel` is what the plugin burnt in all so far. Calls that have begun may go over by their own `fuel` limit each.
    ///
    /// # Errors
    /// [`Fault::RateLimited`], and the call is not counted.
    pub(crate) fn admit(
        &self,
        limits: &Limits,
        now: Duration,
        fuel: impl FnOnce() -> u64,
    ) -> Result<(), Fault> {
        let most_calls = limits.get(Limit::CallsPerMinute);
        let most_fuel = limits.get(Limit::FuelPerMinute);
        if most_calls == u64::MAX && most_fuel == u64::MAX {
            return Ok(());
        }
        let at = now.as_secs();
        let fuel = fuel();
        let mut seconds = lock(&self.0);
        while seconds
            .front()
            .is_some_and(|s| s.at + WINDOW.as_secs() <= at)
        {
            seconds.pop_front();
        }
        let until = |second: &Second| (Duration::from_secs(second.at) + WINDOW).saturating_sub(now);
        let mut calls: u64 = seconds.iter().map(|s| s.calls).sum();
        if calls >= most_calls {
            // Until so many seconds are too old that there is room again.
            let old_enough = seconds.iter().find(|s| {
                calls -= s.calls;
                calls < most_calls
            });
            let wait = old_enough.map_or(WINDOW, until);
            return Err(limited(Limit::CallsPerMinute, most_calls, wait));
        }
        let since = seconds.front().map_or(fuel, |s| s.fuel);
        if fuel.saturating_sub(since) >= most_fuel {
            let mut later = seconds.iter().zip(seconds.iter().skip(1));
            let room = later.find(|(_, next)| fuel.saturating_sub(next.fuel) < most_fuel);
            let last = room.map(|(old, _)| old).or(seconds.back());
            let wait = last.map_or(WINDOW, until);
            return Err(limited(Limit::FuelPerMinute, most_fuel, wait));
        }
        match seconds.back_mut() {
            Some(second) if second.at == at => second.calls += 1,
            Some(_) | None => seconds.push_back(Second { at, calls: 1, fuel }),
        }
        Ok(())
    }
}

fn limited(limit: Limit, value: u64, wait: Duration) -> Fault {
    Fault::RateLimited {
        limit,
        value,
        retry_after_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(name: &str, value: u64) -> Limits {
        let mut limits = Limits::defaults();
        limits.set(name, value, &Limits::ceilings()).unwrap();
        limits
    }

    /// How long a call has to wait at this second; 0: it may begin.
    fn wait(rolling: &Rolling, limits: &Limits, at: u64, fuel: u64) -> u32 {
        match rolling.admit(limits, Duration::from_secs(at), || fuel) {
            Ok(()) => 0,
            Err(Fault::RateLimited { retry_after_ms, .. }) => retry_after_ms / 1000,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn calls_are_counted_in_any_minute() {
        let (rolling, limits) = (Rolling::default(), limits("calls_per_minute", 3));
        let waits = |at| wait(&rolling, &limits, at, 0);
        assert_eq!(
            [waits(100), waits(100), waits(130), waits(150)],
            [0, 0, 0, 10]
        );
        assert_eq!(
            [waits(159), waits(160), waits(160), waits(160)],
            [1, 0, 0, 30]
        );
    }

    #[test]
    fn fuel_is_counted_in_any_minute() {
        let (rolling, limits) = (Rolling::default(), limits("fuel_per_minute", 100));
        let waits = |at, fuel| wait(&rolling, &limits, at, fuel);
        assert_eq!([waits(10, 1_000), waits(20, 1_060)], [0, 0]);
        assert_eq!(waits(30, 1_100), 40, "the first 60 are too old at 70");
        assert_eq!(waits(70, 1_100), 0);
        assert_eq!(waits(71, 5_000), 59, "all of it was burnt since 70");
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let rolling = Rolling::default();
        let limits = Limits::defaults();
        assert_eq!(wait(&rolling, &limits, 1, 1), 0);
        assert!(lock(&rolling.0).is_empty());
    }
}
