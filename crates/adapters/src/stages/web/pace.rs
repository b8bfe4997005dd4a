//! At most so many requests in a span of time. It waits by the ports for time, and counts nothing but when requests went out.

use std::collections::VecDeque;
use std::time::Duration;

use model::ports::{Clock, Timer};
use tokio::sync::Mutex;

use super::options::RateLimit;

/// When requests may go out.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    per: Duration,
    /// When the last `most` went out. Who waits holds it, so the others wait behind, in order.
    sent: Mutex<VecDeque<Duration>>,
}

impl Pace {
    pub(super) fn new(limit: &RateLimit) -> Self {
        Self {
            most: usize::try_from(limit.requests.get()).unwrap_or(usize::MAX),
            per: limit.per.0,
            sent: Mutex::default(),
        }
    }

    /// Waits until one more may go out.
    pub(super) async fn turn(&self, clock: &dyn Clock, timer: &dyn Timer) {
        let mut sent = self.sent.lock().await;
        if sent.len() >= self.most
            && let Some(first) = sent.front().copied()
        {
            let free = first.saturating_add(self.per);
            if let Some(left) = free.checked_sub(clock.monotonic()).filter(|w| !w.is_zero()) {
                timer.wait(left).await;
            }
            sent.pop_front();
        }
        sent.push_back(clock.monotonic());
    }
}
