//! A run of a pipeline as people see it: its id, its state, what each stage did. Running is the engine's business.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::id::PipelineId;

/// A run's id: `run_` and 32 hexadecimal digits (a UUID v7: runs sort by when they were submitted).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Arc<str>);

impl RunId {
    /// The id of a UUID.
    #[must_use]
    pub fn of(uuid: u128) -> Self {
        Self(format!("run_{uuid:032x}").into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run was submitted, to the millisecond: a UUID v7 begins with it.
    #[must_use]
    pub fn submitted(&self) -> SystemTime {
        let digits = self.0.trim_start_matches("run_");
        let uuid = u128::from_str_radix(digits, 16).unwrap_or_default();
        let millis = u64::try_from(uuid >> 80).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }
}

impl FromStr for RunId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let good = text
            .strip_prefix("run_")
            .is_some_and(|rest| rest.len() == 32 && rest.chars().all(hex));
        if good {
            return Ok(Self(text.into()));
        }
        let given: String = text.chars().take(64).collect();
        Err(format!(
            "{given:?} is not a run id: `run_` and 32 of 0-9 a-f"
        ))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> serde::Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for its turn.
    Queued,
    /// At work.
    Running,
    /// Every record was delivered to every sink.
    Succeeded,
    /// It came to its end, and some records were rejected or a sink gave up on some.
    Partial,
    /// It did not come to its end.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl RunState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The state of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Is the run over?
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Its name in logs, metrics and API answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why there is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Started {
    /// Somebody asked.
    Manual,
    /// A window of a backfill.
    Backfill,
    /// Another run is made of it.
    Composition,
    /// Its trigger: an interval, or a crontab line.
    Schedule,
    /// A run of another pipeline is over.
    After,
    /// Dead letters are tried again.
    Redrive,
    /// A request to its webhook.
    Webhook,
    /// What was kept goes through it again.
    Replay,
}

impl Started {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Manual,
        Self::Backfill,
        Self::Composition,
        Self::Schedule,
        Self::After,
        Self::Redrive,
        Self::Webhook,
        Self::Replay,
    ];

    /// The reason of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == name)
    }

    /// Did a trigger start it, and nobody who waits for its end?
    #[must_use]
    pub fn is_trigger(self) -> bool {
        matches!(self, Self::Schedule | Self::After | Self::Webhook)
    }

    /// Its name in the store and in API answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Backfill => "backfill",
            Self::Composition => "composition",
            Self::Schedule => "schedule",
            Self::After => "after",
            Self::Redrive => "redrive",
            Self::Webhook => "webhook",
            Self::Replay => "replay",
        }
    }
}

/// The span of time a run covers, in words for names and in instants.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Covered {
    /// For names: `2026_11_22_15`, `2026_11_22`, `2026_w47`, `2026_11`, `2026_q4`, `2026`, `all`.
    pub label: String,
    /// The first instant, RFC 3339 with offset; none: no bound.
    pub start: Option<String>,
    /// The first instant after it.
    pub end: Option<String>,
}

/// A part of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The source.
    Source,
    /// A transform.
    Transform,
    /// A sink.
    Sink,
}

/// What a stage did so far.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StageReport {
    /// Its name in the spec.
    pub name: String,
    /// Which part of the pipeline.
    pub part: Part,
    /// Its type, or the plugin and its version.
    pub kind: String,
    /// Records that came in. A source has none.
    pub records_in: u64,
    /// Records that went on; for a sink, those delivered.
    pub records_out: u64,
    /// Records it rejected, with reasons.
    pub rejected: u64,
    /// Records it left out on purpose, as a filter does.
    pub left_out: u64,
    /// Records that were to go to a sink that gave up; they are kept on disk, as far as `limits.spill_bytes` allows.
    pub undelivered: u64,
    /// Where they are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undelivered_file: Option<String>,
    /// Bytes that came in.
    pub bytes_in: u64,
    /// Bytes that went on.
    pub bytes_out: u64,
    /// Time it was at work, in all workers together.
    pub busy_ms: u64,
    /// Fuel a plugin burnt; 0 for a native stage.
    pub fuel: u64,
    /// How often a step of it was tried again.
    pub retries: u64,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Bytes of the input read, where the source counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes of the whole input, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
}

/// A record a stage rejected, as a run shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RejectedRecord {
    /// The stage.
    pub stage: String,
    /// Its number at that stage, from 1: for a source the place in the input.
    pub number: u64,
    /// Why.
    pub reason: String,
    /// The record, as it came in. What is no UTF-8 is replaced; as a run shows it, it is cut after 4 KiB.
    pub record: String,
    /// Its bytes in Base64, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
}

/// The first records after a stage; of a sink, the first that came to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StagePreview {
    /// The stage.
    pub stage: String,
    /// Which part of the pipeline.
    pub part: Part,
    /// The records; one that is no JSON is shown as a text.
    pub rows: Vec<Value>,
}

/// Something a run says in words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LogLine {
    /// When, RFC 3339.
    pub at: String,
    /// `info`, `warn` or `error`.
    pub level: Cow<'static, str>,
    /// The stage it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The words.
    pub message: String,
}

/// Most runs that one shows of those it is made of.
pub const MEMBERS: usize = 16;

/// A run that moves data for another one, as that one shows it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// Its id.
    pub id: RunId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The name of the window it covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How far it is.
    pub state: RunState,
    /// How long it took, or takes by now.
    pub duration_ms: u64,
    /// Its stages.
    pub stages: Vec<StageReport>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The version of the spec it runs, from 1.
    pub version: u64,
    /// Why it takes place.
    pub started_by: Started,
    /// The run it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// The runs it is made of, in the order they were started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<RunId>,
    /// Of those and the runs they are made of, the ones that move data, in the order they were started: all that are under way and the last that are over, but no more than
    /// [`MEMBERS`]. Only where one run is looked at by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// The span of time it covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Covered>,
    /// What it was given.
    pub parameters: Map<String, Value>,
    /// Were its sinks left unopened? What would have gone to them is counted as what came in.
    pub dry_run: bool,
    /// How far it is.
    pub state: RunState,
    /// When it was submitted, RFC 3339.
    pub submitted_at: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How long it took, or takes by now.
    pub duration_ms: u64,
    /// Its stages, in the order of the spec.
    pub stages: Vec<StageReport>,
    /// Where all rejected records are kept, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects_file: Option<String>,
    /// Why it failed: what happened first, then what that was part of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error: Vec<String>,
    /// Its last lines, the newest last.
    pub log: VecDeque<LogLine>,
}
