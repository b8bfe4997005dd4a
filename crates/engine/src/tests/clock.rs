//! The clock of the world: its monotonic time goes on as tests say, and it may be set, as people and time servers do.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use model::ports::Clock;

use super::fake::{Outside, World};

impl World {
    pub(super) fn advance(&self, seconds: u64) {
        self.advance_ms(seconds * 1000);
    }

    pub(super) fn advance_ms(&self, ms: u64) {
        self.time.fetch_add(ms, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Sets the clock, by so many seconds, and lets no time pass.
    pub(super) fn set_clock(&self, seconds: i64) {
        self.set.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Milliseconds since 1970, as the clock says.
    pub(super) fn wall(&self) -> u64 {
        let time = self.time.load(Ordering::SeqCst);
        time.saturating_add_signed(self.set.load(Ordering::SeqCst))
    }

    /// Waits until so much time has passed.
    pub(super) async fn passed(&self, span: Duration) {
        let ms = u64::try_from(span.as_millis()).unwrap();
        let until = self.time.load(Ordering::SeqCst) + ms.max(1);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.time.load(Ordering::SeqCst) >= until {
                return;
            }
            changed.await;
        }
    }
}

impl Clock for Outside {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.wall())
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.time.load(Ordering::SeqCst))
    }
}
