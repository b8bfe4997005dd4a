//! Tries of one request: how long to wait before the next, and when to give up. What failed and why is not looked at here.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822::DateTimeParser;
use model::pipeline::Backoff;

use super::caller::Failure;

/// The tries of one request.
#[derive(Debug)]
pub(in crate::stages) struct Tries {
    backoff: Option<Backoff>,
    failed: u32,
}

impl Tries {
    pub(super) fn new(backoff: Option<Backoff>) -> Self {
        Self { backoff, failed: 0 }
    }

    /// How long to wait before the next try, or the failure for good.
    pub(super) fn after(&mut self, failure: Failure) -> Result<Duration, Failure> {
        let (Failure::Passing { retry_after, .. }, Some(backoff)) = (&failure, &self.backoff)
        else {
            return Err(failure);
        };
        let asked = retry_after.unwrap_or_default();
        if self.failed >= backoff.max_retries || asked > backoff.max_delay {
            return Err(self.given_up(failure));
        }
        let wait = backoff.wait(self.failed, random()).max(asked);
        self.failed = self.failed.saturating_add(1);
        Ok(wait)
    }

    fn given_up(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Passing {
                message,
                retry_after,
            } if self.failed > 0 => Failure::Passing {
                message: format!("{message} (tried {} times)", self.failed.saturating_add(1)),
                retry_after,
            },
            other => other,
        }
    }
}

/// Evenly from 0 to 1: seeded by the system's random numbers, good enough to spread requests.
fn random() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(0);
    f64::from(bits) / f64::from(u32::MAX)
}

/// What a server asks for by `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTimeParser::new().parse_timestamp(text).ok()?;
    let at = SystemTime::from(at);
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |text: &str, want: Option<u64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            let found = retry_after(&headers, now);
            assert_eq!(found, want.map(Duration::from_secs), "{text}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("-1", None);
        check("soon", None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
