//! When a step that failed is tried again. Waiting is its caller's business.

use std::time::Duration;

use model::error::Fault;
use model::pipeline::Backoff;

/// The tries of one step.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    backoff: &'a Backoff,
    retries: u32,
    /// A wait that was asked for and is too long.
    too_long: Option<Duration>,
}

impl<'a> Tries<'a> {
    pub(super) fn new(backoff: &'a Backoff) -> Self {
        Self {
            backoff,
            retries: 0,
            too_long: None,
        }
    }

    /// After a failure: how long to wait before the next try. None: there is none.
    pub(super) fn next(&mut self, fault: &Fault) -> Option<Duration> {
        if !fault.is_retryable() || fault.ends_stage() {
            return None;
        }
        let asked = retry_after(fault).unwrap_or_default();
        // A plugin that has used up its minute is not at fault: the run goes at the speed it is allowed.
        if let Fault::RateLimited { .. } = fault {
            return Some(asked.max(Duration::from_millis(1)));
        }
        // Whoever asks for it may ask for days; a run that sleeps holds a turn.
        if asked > self.backoff.max_delay {
            self.too_long = Some(asked);
            return None;
        }
        self.again().map(|wait| wait.max(asked))
    }

    /// The same, of a step whose failure may always be tried again.
    pub(super) fn again(&mut self) -> Option<Duration> {
        if self.retries >= self.backoff.max_retries {
            return None;
        }
        let wait = self.backoff.wait(self.retries, random());
        self.retries += 1;
        Some(wait)
    }

    /// How often it was tried, and what was asked for in vain, for errors.
    pub(super) fn said(&self) -> String {
        let tries = match self.retries {
            0 => String::new(),
            n => format!(" (after {} tries)", n + 1),
        };
        let asked = self.too_long.map(|asked| {
            format!(
                " (to be tried again after {} s, and errors.retry.max_delay is {} s)",
                asked.as_secs_f64(),
                self.backoff.max_delay.as_secs_f64()
            )
        });
        tries + &asked.unwrap_or_default()
    }
}

/// From 0 to 1.
pub(crate) fn random() -> f64 {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

fn retry_after(fault: &Fault) -> Option<Duration> {
    let millis = match fault {
        Fault::Transient { retry_after_ms, .. } | Fault::Unavailable { retry_after_ms, .. } => {
            *retry_after_ms
        }
        Fault::RateLimited { retry_after_ms, .. } => Some(*retry_after_ms),
        Fault::Hook { fault, .. } => return retry_after(fault),
        _ => None,
    };
    millis.map(|ms| Duration::from_millis(ms.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again_and_no_sooner_than_asked() {
        let backoff = Backoff {
            max_retries: 1,
            ..Backoff::default()
        };
        let asks = |ms| Fault::Transient {
            message: "busy".into(),
            retry_after_ms: Some(ms),
        };
        let transient = asks(60_000);
        let mut tries = Tries::new(&backoff);
        assert_eq!(tries.next(&Fault::Invalid("no".into())), None);
        assert_eq!(tries.next(&transient), Some(Duration::from_secs(60)));
        assert_eq!(tries.next(&transient), None);
        assert_eq!(tries.said(), " (after 2 tries)");
        let mut tries = Tries::new(&backoff);
        assert_eq!(tries.next(&asks(100_000_000)), None);
        assert_eq!(
            tries.said(),
            " (to be tried again after 100000 s, and errors.retry.max_delay is 60 s)"
        );
    }
}
