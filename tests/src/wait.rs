//! Waiting for conditions, with a bound, and measuring time. Tests wait for what they need, never for a while.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails, where no shorter time is what is tested.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until the condition holds.
///
/// # Panics
/// When it does not hold within `limit`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(watch.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Real time that has passed.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at zero.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "end-to-end tests measure the real server in real time"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since it was started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
