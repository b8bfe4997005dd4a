//! Options that several stages have: retries, pace, methods. Credentials are in [`super::auth`].

use std::num::NonZeroU32;
use std::time::Duration;

use model::pipeline::Backoff;
use model::stage::Misfit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stages::span::Span;

/// How a request is tried again that got no answer, a cut one, or 408, 425, 429 or 5xx: waits of `first`, then each `factor` times as long up to `max_delay`, each
/// shortened at random by up to `jitter` of itself. A `Retry-After` that is longer is waited for instead, up to `max_delay`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::stages) struct Retry {
    /// Retries after the first try: 3 make 4 tries.
    #[schemars(range(max = 100))]
    max_retries: u32,
    /// The wait before the first retry.
    first: Span,
    /// What each wait is multiplied with.
    #[schemars(range(min = 1.0, max = 100.0))]
    factor: f64,
    /// The longest wait. When the server asks for a longer one (`Retry-After`), there is no retry.
    max_delay: Span,
    /// 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        let usual = Backoff::default();
        Self {
            max_retries: usual.max_retries,
            first: Span(usual.first),
            factor: usual.factor,
            max_delay: Span(usual.max_delay),
            jitter: usual.jitter,
        }
    }
}

impl Retry {
    pub(in crate::stages) fn backoff(&self) -> Backoff {
        Backoff {
            max_retries: self.max_retries,
            first: self.first.0,
            factor: self.factor,
            max_delay: self.max_delay.0,
            jitter: self.jitter,
        }
    }

    pub(in crate::stages) fn check(&self) -> Vec<Misfit> {
        let mut wrong = Vec::new();
        if self.first.0 > self.max_delay.0 {
            wrong.push(Misfit::new(
                "/retry/first",
                format!(
                    "the first wait, {}, is longer than the longest, `max_delay: {}`",
                    self.first, self.max_delay
                ),
            ));
        }
        wrong
    }
}

/// At most so many requests in any such span; more wait for their turn. Retries and redirects count.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::stages) struct RateLimit {
    /// How many.
    #[schemars(range(max = 10_000))]
    pub(in crate::stages) requests: NonZeroU32,
    /// In how long a time.
    #[serde(default = "second")]
    pub(in crate::stages) per: Span,
}

pub(in crate::stages) fn second() -> Span {
    Span(Duration::from_secs(1))
}

pub(in crate::stages) fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::stages) enum Method {
    /// Reads.
    Get,
    /// Sends.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}
