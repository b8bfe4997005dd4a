//! What starts the runs of a pipeline, as it was checked. When that is the case is computed by the engine.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::id::PipelineId;
use crate::run::RunState;

/// What starts runs, beside whoever asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TriggerSpec {
    /// Nothing.
    #[default]
    Manual,
    /// A run each so often.
    Interval(Interval),
    /// A crontab line, in a time zone.
    Cron(Cron),
    /// A request to the pipeline's webhook.
    Webhook(Webhook),
    /// A run of another pipeline that is over.
    After(After),
}

/// A run each so often, the first at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// How often; whole milliseconds count.
    pub every: Duration,
    /// From what it is counted.
    pub pace: Pace,
    /// By how much each run is put off at most; shorter than `every`.
    pub jitter: Duration,
}

/// From what an interval is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// From the end of the run before: between two runs there is always a pause of that length.
    FixedDelay,
    /// From the start of the first run: the times stay on one grid, however long runs take.
    FixedRate(Overlap),
}

/// A crontab line, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// Five fields, or six with seconds first.
    pub expression: String,
    /// IANA name of the zone whose clock counts.
    pub zone: String,
    /// What becomes of ticks at which no server was there.
    pub missed: Missed,
    /// What becomes of a tick while a run is at work.
    pub overlap: Overlap,
    /// By how much each run is put off at most.
    pub jitter: Duration,
}

impl Cron {
    /// This line, with what a spec has where it says nothing else.
    #[must_use]
    pub fn new(expression: impl Into<String>) -> Self {
        Self {
            expression: expression.into(),
            zone: "UTC".into(),
            missed: Missed::Once,
            overlap: Overlap::Queue,
            jitter: Duration::ZERO,
        }
    }
}

/// What becomes of ticks at which no server was there to start a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Nothing.
    Skip,
    /// The last of them is made up for.
    Once,
    /// All are made up for, within bounds.
    All,
}

/// What becomes of a tick while a run that the trigger started is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    Forbid,
    /// Its run begins when those before are over.
    Queue,
    /// Its run begins beside them.
    Allow,
}

/// A webhook: who may send, how often, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The secret shared with the sender: a text with references that are not filled in yet.
    pub secret: String,
    /// A second secret that is as good, while the sender changes its own.
    pub other_secret: Option<String>,
    /// The one way in which requests have to be signed; none: any.
    pub scheme: Option<Scheme>,
    /// How many requests are taken.
    pub rate: Rate,
    /// Most bytes of a body.
    pub max_bytes: u64,
}

impl Webhook {
    /// With this secret, and what a spec has where it says nothing else.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            other_secret: None,
            scheme: None,
            rate: Rate::default(),
            max_bytes: 1 << 20,
        }
    }
}

/// How requests to a webhook are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// `x-webhook-signature`: the HMAC-SHA256 of the body in lower-case hexadecimal digits, with or without `sha256=` before them.
    Hex,
    /// As Standard Webhooks says: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
}

/// At most so many requests in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// The span.
    pub per: Duration,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            requests: NonZeroU32::new(100).unwrap_or(NonZeroU32::MIN),
            per: Duration::from_secs(60),
        }
    }
}

/// The runs of another pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// Which pipeline.
    pub pipeline: PipelineId,
    /// Which of its runs.
    pub on: AfterEnd,
}

/// Which runs of another pipeline start one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterEnd {
    /// Those that came to their end, also with records rejected.
    #[default]
    Success,
    /// Those that are over, also failed and cancelled ones.
    Any,
}

impl AfterEnd {
    /// Is a run that is in this state one of them?
    #[must_use]
    pub fn takes(self, state: RunState) -> bool {
        match self {
            Self::Success => matches!(state, RunState::Succeeded | RunState::Partial),
            Self::Any => state.is_over(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_follows_those_that_are_over() {
        let of = |end: AfterEnd| -> Vec<&str> {
            let states = RunState::ALL.into_iter();
            states
                .filter(|s| end.takes(*s))
                .map(RunState::as_str)
                .collect()
        };
        assert_eq!(of(AfterEnd::Success), ["succeeded", "partial"]);
        assert_eq!(
            of(AfterEnd::Any),
            ["succeeded", "partial", "failed", "cancelled"]
        );
    }
}
