//! A clock that stands still until a test moves it, or runs on from where it was set. Deadlines of calls are not its business: they are real time.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::ports::Clock;

use super::lock;

/// What a clock shows that nobody has set: 2026-01-01 00:00:00 UTC.
pub(crate) fn default() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// Time as the plugins of a kit, and the host around them, see it.
#[derive(Debug)]
pub(crate) struct FakeClock {
    start: SystemTime,
    /// How far it was moved.
    moved: Mutex<Duration>,
    /// Since when it runs; none: it stands.
    running: Option<Instant>,
}

impl FakeClock {
    pub(crate) fn new(start: SystemTime, runs: bool) -> Self {
        Self {
            start,
            moved: Mutex::default(),
            running: runs.then(instant),
        }
    }

    /// Moves it forward.
    pub(crate) fn advance(&self, by: Duration) {
        let mut moved = lock(&self.moved);
        *moved = moved.saturating_add(by);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> SystemTime {
        self.start + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        let ran = self.running.map_or(Duration::ZERO, |since| since.elapsed());
        lock(&self.moved).saturating_add(ran)
    }
}

/// The real time, for how long a call took.
#[expect(
    clippy::disallowed_methods,
    reason = "the kit is its own adapter behind the Clock port, and tells how long calls really took"
)]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_until_it_is_moved() {
        let clock = FakeClock::new(default(), false);
        assert_eq!(
            (clock.now(), clock.monotonic()),
            (default(), Duration::ZERO)
        );
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now(), default() + Duration::from_secs(60));
        assert_eq!(clock.monotonic(), Duration::from_secs(60));
    }

    #[test]
    fn or_it_runs() {
        let clock = FakeClock::new(default(), true);
        clock.advance(Duration::from_secs(60));
        let first = clock.monotonic();
        assert!(first >= Duration::from_secs(60));
        while clock.monotonic() == first {}
    }
}
