//! A pipeline as it was checked: what a spec says, with nothing left to look up but plugins and other pipelines. How a spec is written, read and reported on is the
//! engine's business (`engine::spec`).

pub mod build;
mod trigger;

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::id::{PipelineId, PluginId};

pub use trigger::{
    After, AfterEnd, Cron, Interval, Missed, Overlap, Pace, Rate, Scheme, TriggerSpec, Webhook,
};

/// A pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Its id, in paths, logs and file names.
    pub id: PipelineId,
    /// For people; the id where a spec gives none.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// For lists.
    pub tags: Vec<String>,
    /// Whether its trigger starts runs.
    pub status: Status,
    /// What starts runs, beside whoever asks for one.
    pub trigger: TriggerSpec,
    /// What a run may be given.
    pub parameters: Vec<Parameter>,
    /// Which span of time a run covers; none: no span.
    pub timescope: Option<Timescope>,
    /// What is kept of its data.
    pub persistence: Persistence,
    /// What happens when something goes wrong.
    pub errors: ErrorPolicy,
    /// How much a run may hold and take.
    pub limits: RunLimits,
    /// What a run does.
    pub work: Work,
}

/// Whether a pipeline's trigger starts runs. A paused one still runs when somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    #[default]
    Active,
    /// It does not.
    Paused,
}

/// A value that a run may be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name: a letter, then letters, digits and `_`.
    pub name: String,
    /// JSON Schema of the value (with `type`).
    pub schema: Value,
    /// The value where none is given; none: it has to be given.
    pub default: Option<Value>,
}

/// Which span of time a run covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timescope {
    /// One calendar period.
    Every {
        /// Which.
        period: Period,
        /// IANA name of the zone whose days it counts.
        zone: String,
    },
    /// Always this span; RFC 3339.
    Span {
        /// The first instant.
        start: String,
        /// The first instant after it.
        end: String,
    },
    /// All time: no bounds.
    All,
}

/// A calendar period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// An ISO 8601 week, from Monday.
    Week,
    /// A month.
    Month,
    /// A quarter of a year.
    Quarter,
    /// A year.
    Year,
}

/// What is kept of a pipeline's data beside what its sinks write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// Keep the records that stages reject, with their reasons.
    pub rejects: bool,
    /// Keep what the source is given, as it came; none: where it can.
    pub raw: Option<bool>,
    /// Keep the records that runs give to the sinks.
    pub silver: bool,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            rejects: true,
            raw: None,
            silver: false,
        }
    }
}

/// What happens when something goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorPolicy {
    /// When a stage rejects a record, and says nothing itself.
    pub on_reject: OnReject,
    /// More rejected records than this fail the run.
    pub max_rejects: Option<Threshold>,
    /// How a step is tried again that failed and may work later.
    pub retry: Backoff,
    /// How a run that a trigger started is tried again when it failed.
    pub rerun: Backoff,
    /// How much is kept of what cannot be delivered; more fails the run.
    pub dead_letters: DeadLetters,
    /// When a sink that gave up is tried again by itself.
    pub circuit: Circuit,
}

impl Default for ErrorPolicy {
    fn default() -> Self {
        Self {
            on_reject: OnReject::default(),
            max_rejects: None,
            retry: Backoff::default(),
            rerun: Backoff::RERUN,
            dead_letters: DeadLetters::default(),
            circuit: Circuit::default(),
        }
    }
}

/// How much a pipeline keeps of what cannot be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetters {
    /// Records.
    pub max_records: u64,
    /// Bytes of them.
    pub max_bytes: u64,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self {
            max_records: 100_000,
            max_bytes: 256 << 20,
        }
    }
}

/// When a sink that gave up is tried again: `first * 2^n`, at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// After it gave up.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(30),
            max: Duration::from_secs(600),
        }
    }
}

impl Circuit {
    /// How long to wait after so many tries that failed.
    #[must_use]
    pub fn wait(&self, failed: u32) -> Duration {
        let times = 2_u32.checked_pow(failed.min(31)).unwrap_or(u32::MAX);
        self.first.saturating_mul(times).min(self.max)
    }
}

/// What becomes of a batch of which a stage rejects a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// The record is kept aside, the others go on.
    #[default]
    Reject,
    /// The whole batch is kept aside.
    SkipBatch,
    /// The run fails.
    Fail,
}

/// A number of records, or a part of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// So many.
    Count(u64),
    /// So many of a hundred read, looked at when all are read.
    Percent(f64),
}

/// How often and when something is tried again: `first * factor^n`, at most `max`, each shortened at random by up to `jitter` of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Retries after the first try: 3 make 4 tries.
    pub max_retries: u32,
    /// Before the first retry.
    pub first: Duration,
    /// What each wait is multiplied with.
    pub factor: f64,
    /// The longest wait.
    pub max_delay: Duration,
    /// 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            max_retries: 3,
            first: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: 0.5,
        }
    }
}

impl Backoff {
    /// Of whole runs: three attempts, a minute apart.
    pub const RERUN: Self = Self {
        max_retries: crate::store::MAX_ATTEMPTS - 1,
        first: Duration::from_secs(60),
        factor: 1.0,
        max_delay: Duration::from_secs(60 * 60),
        jitter: 0.0,
    };

    /// The wait before a retry: `retry` counts from 0, `random` is evenly from 0 to 1.
    #[must_use]
    pub fn wait(&self, retry: u32, random: f64) -> Duration {
        let power = i32::try_from(retry).unwrap_or(i32::MAX);
        let longest = self.max_delay.as_secs_f64();
        let full = (self.first.as_secs_f64() * self.factor.powi(power)).min(longest);
        let spread = full * self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(full - spread).unwrap_or(self.max_delay)
    }
}

/// How much a run may hold and take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Records of one batch.
    pub batch_records: NonZeroU32,
    /// About so many bytes of one batch.
    pub batch_bytes: NonZeroU32,
    /// Batches that may wait before a stage.
    pub queue: NonZeroU32,
    /// Batches worked on at once; none: as many as there are cores.
    pub workers: Option<NonZeroU32>,
    /// Bytes of one record; a larger one is rejected.
    pub record_bytes: u64,
    /// Bytes kept on disk for a sink that fails while others go on.
    pub spill_bytes: u64,
    /// How long a run may take; none: as long as it does.
    pub deadline: Option<Duration>,
}

impl Default for RunLimits {
    fn default() -> Self {
        let of = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            // The figures of facts: a crossing into a plugin costs under 10 ns a record from 1,000 records on.
            batch_records: of(1_000),
            batch_bytes: of(1 << 20),
            queue: of(4),
            workers: None,
            record_bytes: 16 << 20,
            spill_bytes: 1 << 30,
            deadline: None,
        }
    }
}

/// What a run does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Moves data: extract, transform, load.
    Flow(Flow),
    /// Runs pipelines one after the other.
    Sequential {
        /// Which, in order.
        pipelines: Vec<Step>,
        /// Does a failure leave the rest out?
        stop_on_error: bool,
    },
    /// Runs pipelines side by side.
    Parallel {
        /// Which.
        pipelines: Vec<Step>,
        /// How many at once; none: as many as runs may move data at once.
        max_workers: Option<NonZeroU32>,
        /// What a failure does to the others.
        on_error: OnError,
    },
    /// Runs one pipeline or another.
    Conditional {
        /// A CEL expression over `params`, `window` and, in a sequence, `previous` (the run before: `state`, `records_in`, `records_out`, `rejected`); true or false.
        condition: String,
        /// When it is true.
        then: Box<Step>,
        /// When it is false; none: nothing, and that is a success.
        otherwise: Option<Box<Step>>,
    },
    /// Runs a pipeline again when it fails.
    Retry {
        /// Which.
        pipeline: Box<Step>,
        /// How often, and when.
        backoff: Backoff,
    },
}

/// What a failure of a pipeline does to those beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Cancels them; the whole fails.
    #[default]
    FailFast,
    /// They finish; the whole fails with all errors.
    Collect,
    /// They finish; while one of them comes to its end, so does the whole, `partial` for those that failed.
    Ignore,
}

/// A pipeline in a composition.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A registered one. Of the pipeline around it, it gets nothing but what is given here, and its window where its own timescope is the same or none.
    Named {
        /// Which.
        id: PipelineId,
        /// Values of its parameters, with templates not yet filled in.
        parameters: Map<String, Value>,
    },
    /// Written in place. It sees the parameters and the window of the one around it. One that gives no id has the outer id, `.` and its place.
    Inline(Box<Pipeline>),
}

/// A source, transforms in order, sinks side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Where records come from.
    pub source: StageSpec,
    /// What happens to them.
    pub transforms: Vec<StageSpec>,
    /// Where they go: each gets all of them. At least one.
    pub sinks: Vec<StageSpec>,
    /// Does a run go on where the sinks of the one before had taken everything? Only where runs are kept.
    pub incremental: bool,
}

/// A stage of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSpec {
    /// Its name in this pipeline, unique: for counts, errors and logs. Empty until [`Flow::name_stages`] has named it.
    pub name: String,
    /// What does the work.
    pub kind: StageKind,
    /// The options, with templates and references not yet filled in.
    pub options: Map<String, Value>,
    /// What becomes of a batch of which it rejects a record; none: as the pipeline's errors say.
    pub on_reject: Option<OnReject>,
}

/// What does a stage's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageKind {
    /// A native kind, by its name.
    Native(String),
    /// A plugin by its role. The stage's options are what it is opened with.
    Plugin {
        /// Which.
        plugin: PluginId,
        /// Must one instance see all records? Then a run has one of it, else one a worker.
        sees_all: bool,
        /// Does it get Arrow IPC rather than NDJSON?
        arrow: bool,
    },
    /// Source only: what another pipeline's transforms give, its own sinks left out.
    Pipeline(PipelineId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_are_shortened_at_random() {
        let backoff = Backoff::default();
        let check = |retry: u32, random: f64, seconds: f64| {
            let want = Duration::from_secs_f64(seconds);
            assert_eq!(backoff.wait(retry, random), want, "{retry} {random}");
        };
        check(0, 0.0, 1.0);
        check(0, 1.0, 0.5);
        check(3, 0.0, 8.0);
        check(3, 0.5, 6.0);
        check(10, 0.0, 60.0);
        check(u32::MAX, 0.0, 60.0);
        let none = Backoff {
            first: Duration::ZERO,
            ..backoff
        };
        assert_eq!(none.wait(5, 0.3), Duration::ZERO);
    }
}
