//! Silver: the records that a server's runs gave to their sinks, kept in files that others read as a table. The port to where they lie; when it is looked after is the engine's business.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::BoxFuture;
use crate::error::Fault;
use crate::id::PipelineId;
use crate::stage::SinkKind;

/// The name of the sink that the engine adds to a run for it, and of its kind. No spec can name that kind.
pub const SILVER: &str = "silver";

/// A file with cleaned records of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SilverFile {
    /// The day, UTC, on which the run was submitted: `2026-11-23`.
    pub day: String,
    /// Its name in the folder of the day; it begins with the run's id.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl SilverFile {
    /// By this files of a day are in order. The first of a run has no number, and would by its whole name come after those that have one.
    #[must_use]
    pub fn order(name: &str) -> &str {
        name.strip_suffix(".parquet").unwrap_or(name)
    }
}

/// What stays, of each pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The time.
    pub now: SystemTime,
    /// Files of days that ended longer ago than this go; none: none does.
    pub age: Option<Duration>,
    /// The oldest of a pipeline go while all of them have more bytes than this.
    pub bytes: Option<u64>,
}

/// What went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Where cleaned records lie: a kind of sink that has no options and takes records of any shape, and the files that such sinks have written.
pub trait Silver: SinkKind {
    /// The files of a pipeline, the oldest first.
    fn files(&self, pipeline: PipelineId) -> BoxFuture<'static, Result<Vec<SilverFile>, Fault>>;

    /// Removes what is not to stay, and what runs left that were killed.
    fn sweep(&self, retention: Retention) -> BoxFuture<'static, Result<Swept, Fault>>;
}
