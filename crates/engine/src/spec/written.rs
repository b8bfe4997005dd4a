//! A pipeline as a spec writes it: the private twin of `model::pipeline`, from which the schema is derived. What words and numbers mean is checked elsewhere; a
//! document that does not follow this never comes so far.

mod trigger;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use model::pipeline::{OnError, OnReject, Period, Status};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use trigger::{ModeWord, RateTable, Trigger, TriggerTable, TriggerWord, WebhookTable};

/// A Weir pipeline: where records come from, what happens to them and where they go; or pipelines that are run together.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Pipeline", title = "Weir pipeline")]
pub(super) struct Written {
    /// The pipeline's id: 1 to 64 of `a-z 0-9 _ - .`, the first a letter or digit. Default: the file's name without `.pipeline.yaml`.
    pub(super) id: Option<String>,
    /// A name for people. Default: the id.
    pub(super) name: Option<String>,
    /// What it is for.
    pub(super) description: Option<String>,
    /// Words for lists.
    pub(super) tags: Option<Vec<String>>,
    /// Whether the trigger starts runs. A paused pipeline still runs when somebody asks. Default: `active`.
    #[schemars(with = "Option<StatusWord>")]
    pub(super) status: Option<Status>,
    /// What starts runs, beside whoever asks for one. Default: `manual`.
    pub(super) trigger: Option<Trigger>,
    /// What a run may be given: names, each with the JSON Schema of its value. `{{params.<name>}}` stands for the value in the options of stages.
    #[schemars(with = "Option<BTreeMap<String, ParameterSchema>>")]
    pub(super) parameters: Option<Map<String, Value>>,
    /// Which span of time a run covers. `{{timescope}}` stands for its name in the options of stages, `{{window.start}}` and `{{window.end}}` for its bounds.
    pub(super) timescope: Option<Scope>,
    /// What is kept beside what the sinks write.
    pub(super) persistence: Option<Persistence>,
    /// What happens when something goes wrong.
    pub(super) errors: Option<Errors>,
    /// How much a run may hold and take.
    pub(super) limits: Option<Limits>,
    /// Where records come from.
    pub(super) source: Option<Source>,
    /// What happens to them, in order.
    pub(super) transforms: Option<Vec<Transform>>,
    /// Where they go: each sink gets all of them.
    pub(super) sinks: Option<Vec<Sink>>,
    /// Where they go, if it is one place.
    pub(super) sink: Option<Sink>,
    /// Pipelines that run one after the other.
    pub(super) sequential: Option<Sequential>,
    /// Pipelines that run side by side.
    pub(super) parallel: Option<Parallel>,
    /// A pipeline that runs when a condition holds, and another when it does not.
    pub(super) conditional: Option<Conditional>,
    /// A pipeline that is run again when it fails.
    pub(super) retry: Option<Retry>,
}

/// Whether the trigger starts runs.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::Status"
)]
enum StatusWord {
    /// It does.
    Active,
    /// It does not.
    Paused,
}

/// Which span of time a run covers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Scope {
    /// One calendar period, in UTC, or all time.
    Word(ScopeWord),
    /// `every` a period in a `zone`, or from `start` to `end`.
    Table(ScopeTable),
}

/// One calendar period, or all time.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScopeWord {
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
    /// All time.
    All,
}

/// `every` a period in a `zone`, or from `start` to `end`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScopeTable {
    /// A calendar period.
    #[schemars(with = "Option<PeriodWord>")]
    pub(super) every: Option<Period>,
    /// The time zone whose days are counted, an IANA name. Default: `UTC`.
    #[schemars(example = &"Europe/Berlin")]
    pub(super) zone: Option<String>,
    /// The first moment: `2026-11-22T15:30:00Z`, or the start of `2026-11-22` or `2026-11`.
    pub(super) start: Option<String>,
    /// The first moment after it, as `start`.
    pub(super) end: Option<String>,
}

/// A calendar period.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::Period"
)]
enum PeriodWord {
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

/// What is kept beside what the sinks write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Persistence {
    /// Keep the records that stages reject, with their reasons. Default: true.
    pub(super) rejects: Option<bool>,
    /// On a server: keep what the source is given, as it came and before anything reads it, so that it can be replayed. Default: true for the sources `http`, `graphql`, `webhook` (always) and `plugin`.
    pub(super) raw: Option<bool>,
    /// On a server: keep the records that runs give to the sinks, as Parquet files by day. Default: false.
    pub(super) silver: Option<bool>,
}

/// What happens when something goes wrong.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Errors {
    /// What becomes of a batch of which a stage rejects a record. Default: `reject`.
    #[schemars(with = "Option<OnRejectWord>")]
    pub(super) on_reject: Option<OnReject>,
    /// More rejected records than this fail the run: a number, at once; or a part of those read, such as `1%`, when all are read. Default: no bound.
    pub(super) max_rejects: Option<Threshold>,
    /// How a step is tried again that failed and may work later.
    pub(super) retry: Option<Backoff>,
    /// How a run that the trigger started is tried again when it failed. Default: two more times, each after `1m` (`factor: 1`, `jitter: 0`, `max_delay: 1h`).
    pub(super) rerun: Option<Rerun>,
    /// How much a server keeps of what cannot be delivered. What is more fails the run, so that nothing is lost.
    pub(super) dead_letters: Option<DeadLetters>,
    /// When a server tries a sink again that gave up.
    pub(super) circuit: Option<Circuit>,
}

/// How much is kept of what cannot be delivered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadLetters {
    /// Records. Default: 100000.
    #[schemars(range(min = 1))]
    pub(super) max_records: Option<u64>,
    /// Bytes of them. Default: `256MiB`.
    pub(super) max_bytes: Option<Bytes>,
}

/// When a sink that gave up is tried again: `first * 2^n`, at most `max`. What comes for it meanwhile goes behind what it gave up on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Circuit {
    /// The wait after it gave up. Default: `30s`.
    pub(super) first: Option<DurationText>,
    /// The longest wait. Default: `10m`.
    pub(super) max: Option<DurationText>,
}

/// What becomes of a batch of which a stage rejects a record.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OnReject")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::OnReject"
)]
pub(super) enum OnRejectWord {
    /// The record is kept aside, the others go on.
    Reject,
    /// The whole batch is kept aside.
    SkipBatch,
    /// The run fails.
    Fail,
}

/// How often and when something is tried again: `first * factor^n`, at most `max_delay`, each shortened at random by up to `jitter` of itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Backoff {
    /// Retries after the first try: 3 make 4 tries. Default: 3.
    pub(super) max_retries: Option<u32>,
    /// The wait before the first retry. Default: `1s`.
    pub(super) first: Option<DurationText>,
    /// What each wait is multiplied with, 1 or more. Default: 2.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) factor: Option<f64>,
    /// The longest wait. Default: `1m`.
    pub(super) max_delay: Option<DurationText>,
    /// By which part of itself a wait is shortened at most, 0 to 1. Default: 0.5.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) jitter: Option<f64>,
}

/// How often and when a run is tried again: the waits as those of a step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rerun {
    /// Runs after the first one: 2 make 3 attempts. Default: 2.
    #[schemars(range(max = 100))]
    pub(super) max_retries: Option<u32>,
    /// The wait before the second attempt. Default: `1m`.
    pub(super) first: Option<DurationText>,
    /// What each wait is multiplied with, 1 or more. Default: 1, so that all waits are the same.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) factor: Option<f64>,
    /// The longest wait. Default: `1h`.
    pub(super) max_delay: Option<DurationText>,
    /// By which part of itself a wait is shortened at most, 0 to 1. Default: 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) jitter: Option<f64>,
}

impl From<Rerun> for Backoff {
    fn from(written: Rerun) -> Self {
        Self {
            max_retries: written.max_retries,
            first: written.first,
            factor: written.factor,
            max_delay: written.max_delay,
            jitter: written.jitter,
        }
    }
}

/// How much a run may hold and take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Records of one batch. Default: 1000.
    #[schemars(range(max = 1_000_000))]
    pub(super) batch_records: Option<NonZeroU32>,
    /// About so many bytes of one batch, at most 1 GiB. Default: `1MiB`.
    pub(super) batch_bytes: Option<Bytes>,
    /// Batches that may wait before a stage. Default: 4.
    #[schemars(range(max = 1_000))]
    pub(super) queue: Option<NonZeroU32>,
    /// Batches worked on at once. Default: as many as there are cores.
    #[schemars(range(max = 256))]
    pub(super) workers: Option<NonZeroU32>,
    /// Bytes of one record; a larger one is rejected. Default: `16MiB`.
    pub(super) record_bytes: Option<Bytes>,
    /// Bytes kept on disk for a sink that fails while others go on. Default: `1GiB`.
    pub(super) spill_bytes: Option<Bytes>,
    /// How long a run may take. Default: as long as it does.
    pub(super) deadline: Option<DurationText>,
}

/// Pipelines that run one after the other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sequential {
    /// Which, in order.
    #[schemars(length(min = 1, max = 1_000))]
    pub(super) pipelines: Vec<Step>,
    /// Does a failure leave the rest out? Default: true.
    pub(super) stop_on_error: Option<bool>,
}

/// Pipelines that run side by side.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parallel {
    /// Which.
    #[schemars(length(min = 1, max = 1_000))]
    pub(super) pipelines: Vec<Step>,
    /// How many at once. Default: as many as runs may move data at once.
    pub(super) max_workers: Option<NonZeroU32>,
    /// What a failure does to the others. Default: `fail_fast`.
    #[schemars(with = "Option<OnErrorWord>")]
    pub(super) on_error: Option<OnError>,
}

/// What a failure of a pipeline does to those beside it.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::OnError"
)]
enum OnErrorWord {
    /// Cancels them; the whole fails.
    FailFast,
    /// They finish; the whole fails with all errors.
    Collect,
    /// They finish; while one of them comes to its end, so does the whole, `partial` for those that failed.
    Ignore,
}

/// A pipeline that runs when a condition holds, and another when it does not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Conditional {
    /// A CEL expression over `params`, `window` and, in a sequence, `previous` (the run before: `state`, `records_in`, `records_out`, `rejected`).
    #[schemars(example = &"previous.records_out > 0")]
    pub(super) condition: String,
    /// What runs when it is true.
    pub(super) then: Step,
    /// What runs when it is false. Default: nothing, and that is a success.
    pub(super) r#else: Option<Step>,
}

/// A pipeline that is run again when it fails.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// Which.
    pub(super) pipeline: Step,
    /// Retries after the first try: 3 make 4 tries. Default: 3.
    pub(super) max_retries: Option<u32>,
    /// What each wait is multiplied with, 1 or more. Default: 2.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) backoff_factor: Option<f64>,
    /// The wait before the first retry. Default: `1s`.
    pub(super) first: Option<DurationText>,
    /// The longest wait. Default: `1m`.
    pub(super) max_delay: Option<DurationText>,
    /// By which part of itself a wait is shortened at most, 0 to 1. Default: 0.5.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) jitter: Option<f64>,
}

/// The keys of a stage whose `type` is `plugin`, beside those of every stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginStage {
    /// The plugin's id. It needs the role of the place it stands in: source, transform or sink.
    pub(super) plugin: String,
    /// What the plugin is opened with.
    pub(super) config: Option<Map<String, Value>>,
    /// Of a transform: must one instance see all records, in order? Then a run has one of it, else one a worker. Default: false.
    pub(super) sees_all: Option<bool>,
    /// How records cross into the plugin. Default: `ndjson`.
    pub(super) encoding: Option<EncodingWord>,
}

/// How records cross into a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EncodingWord {
    /// One JSON document a line.
    Ndjson,
    /// Arrow IPC.
    Arrow,
}

/// The keys of a source whose `type` is `pipeline`, beside those of every stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PipelineSource {
    /// The pipeline whose records, after its transforms, this one goes on with. Its own sinks are left out.
    pub(super) pipeline: String,
    /// What it is given for its parameters.
    pub(super) parameters: Option<Map<String, Value>>,
}

/// A pipeline in a composition that is named, and given parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PipelineStep {
    /// The pipeline's id.
    pub(super) pipeline: String,
    /// What it is given for its parameters; templates stand for what the pipeline around it was given.
    pub(super) parameters: Option<Map<String, Value>>,
}

/// A length of time: numbers with units.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct DurationText(pub(super) String);

/// A number of bytes, or a text with a unit.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Bytes(pub(super) Value);

/// A number of records, or a part of a hundred.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Threshold(pub(super) Value);

/// A source, not looked at yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Source(pub(super) Value);

/// A transform, not looked at yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Transform(pub(super) Value);

/// A sink, not looked at yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Sink(pub(super) Value);

/// A pipeline in a composition, not looked at yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Step(pub(super) Value);

/// The JSON Schema of a parameter.
struct ParameterSchema;

/// A schema that is written, not derived.
macro_rules! schema {
    ($name:ident, $($json:tt)+) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($json)+)
            }
        }
    };
}

schema!(DurationText, {
    "description": "A length of time: numbers with units, such as `500ms`, `30s`, `1h30m` or `2d`.",
    "type": "string",
    "examples": ["30s", "5m", "1h30m"],
});
schema!(Bytes, {
    "description": "A number of bytes, also with a unit: kB, MB, GB, KiB, MiB or GiB.",
    "type": ["integer", "string"],
    "minimum": 0,
    "examples": ["16MiB", 1_048_576],
});
schema!(Threshold, {
    "description": "A number of records, or a part of those read, such as `1%`.",
    "type": ["integer", "string"],
    "minimum": 0,
    "examples": ["1%", 100],
});
schema!(ParameterSchema, {
    "description": "The JSON Schema of a value, with its `type`; and the `default`, without which a run has to be given one.",
    "type": "object",
    "required": ["type"],
});
// What stands in place of these is checked where it is looked at, and put in when the schema is published.
schema!(Source, {});
schema!(Transform, {});
schema!(Sink, {});
schema!(Step, {});
