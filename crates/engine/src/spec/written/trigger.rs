//! A trigger as a spec writes it.

use std::num::NonZeroU32;

use model::pipeline::{AfterEnd, Missed, Overlap, Scheme};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Bytes, DurationText};

/// What starts runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::spec) enum Trigger {
    /// One that needs nothing said.
    Word(TriggerWord),
    /// Exactly one of `every`, `cron`, `webhook` and `after`, and what goes with it.
    Table(Box<TriggerTable>),
}

/// A trigger that needs nothing said.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::spec) enum TriggerWord {
    /// Nothing but a request.
    Manual,
}

/// Exactly one of `every`, `cron`, `webhook` and `after`, and what goes with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::spec) struct TriggerTable {
    /// A run each so often, the first at once; `100ms` to `366d`.
    pub(in crate::spec) every: Option<DurationText>,
    /// With `every`: from what it is counted. Default: `fixed_rate`.
    pub(in crate::spec) mode: Option<ModeWord>,
    /// A crontab line: minute, hour, day of month, month, day of week; with six fields, seconds first.
    #[schemars(example = &"0 2 * * *")]
    pub(in crate::spec) cron: Option<String>,
    /// With `cron`: the time zone whose clock counts, an IANA name. Default: `UTC`.
    #[schemars(example = &"Europe/Berlin")]
    pub(in crate::spec) zone: Option<String>,
    /// With `cron`: what becomes of times at which no server was there. Default: `once`.
    #[schemars(with = "Option<MissedWord>")]
    pub(in crate::spec) missed: Option<Missed>,
    /// With `cron` and `every`: what becomes of a time that comes while a run is at work. Default: `queue` for `cron`, `forbid` for `every`.
    #[schemars(with = "Option<OverlapWord>")]
    pub(in crate::spec) overlap: Option<Overlap>,
    /// With `cron` and `every`: by how much each run is put off at most, so that not all begin at once; shorter than `every`, at most `24h`. Default: `0s`.
    pub(in crate::spec) jitter: Option<DurationText>,
    /// A request to the pipeline's webhook.
    pub(in crate::spec) webhook: Option<WebhookTable>,
    /// The pipeline whose runs start this one when they are over.
    pub(in crate::spec) after: Option<String>,
    /// With `after`: which of its runs. Default: `success`.
    #[schemars(with = "Option<AfterWord>")]
    pub(in crate::spec) on: Option<AfterEnd>,
}

/// From what an interval is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TriggerMode")]
pub(in crate::spec) enum ModeWord {
    /// From the start of the first run: the times stay on one grid, however long runs take.
    FixedRate,
    /// From the end of the run before.
    FixedDelay,
}

/// A webhook: who may send, how often, and how much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Webhook")]
pub(in crate::spec) struct WebhookTable {
    /// The secret shared with the sender, a reference: `${env:NAME}` or `${file:path}`.
    #[schemars(example = &"${env:HOOK_SECRET}")]
    pub(in crate::spec) secret: String,
    /// A second secret that is as good, so that the sender can change its own at any time.
    pub(in crate::spec) other_secret: Option<String>,
    /// The one way in which requests have to be signed. Default: any of them.
    #[schemars(with = "Option<SchemeWord>")]
    pub(in crate::spec) scheme: Option<Scheme>,
    /// How many requests are taken. Default: 100 in `60s`.
    pub(in crate::spec) rate: Option<RateTable>,
    /// Most bytes of a body, at most 64 MiB. Default: `1MiB`.
    pub(in crate::spec) max_bytes: Option<Bytes>,
}

/// At most so many requests in a span of time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookRate")]
pub(in crate::spec) struct RateTable {
    /// How many.
    pub(in crate::spec) requests: NonZeroU32,
    /// The span; `1s` to `24h`. Default: `60s`.
    pub(in crate::spec) per: Option<DurationText>,
}

/// What becomes of times at which no server was there.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::Missed"
)]
enum MissedWord {
    /// Nothing.
    Skip,
    /// The last of them is made up for.
    Once,
    /// All are made up for, at most the last 100.
    All,
}

/// What becomes of a time that comes while a run is at work.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::Overlap"
)]
enum OverlapWord {
    /// It is left out.
    Forbid,
    /// Its run begins when those before are over; at most 100 wait.
    Queue,
    /// Its run begins beside them.
    Allow,
}

/// How requests to a webhook are signed.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::Scheme"
)]
enum SchemeWord {
    /// `x-webhook-signature`: the HMAC-SHA256 of the body in lower-case hexadecimal digits, with or without `sha256=` before them.
    Hex,
    /// As Standard Webhooks says: `webhook-id`, `webhook-timestamp`, `webhook-signature`. The secret is base64, with or without `whsec_` before it.
    Standard,
}

/// Which runs of another pipeline start one.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it is there for its schema; the value is model::pipeline::AfterEnd"
)]
enum AfterWord {
    /// Those that came to their end, also with records rejected.
    Success,
    /// Those that are over, also failed and cancelled ones.
    Any,
}
