//! The durable store: jobs, runs, schedules, checkpoints, dead letters, versions of specs. Only the words and the port; `adapters` has the databases.
//!
//! Each call is one transaction, and its answer is only given once it is on disk. Times are the caller's, never the database's: servers that share a store have to
//! agree on the time to within a lease.

mod checkpoints;
mod jobs;
mod letters;
mod runs;
mod schedules;
mod versions;

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::BoxFuture;

pub use checkpoints::{Checkpoint, Checkpoints};
pub use jobs::{
    ASTRAY, Ask, Attempt, Cancel, Claim, Claims, Commit, Fence, Job, JobId, JobState, Jobs, Lease,
    MAX_ATTEMPTS, NewJob, Outcome, Renewed, Submission, Submitted, ToEnd, Why,
};
pub use letters::{
    Letter, LetterFilter, LetterId, LetterState, Letters, NewLetter, Purge, Redriven, Room, Waiting,
};
pub use runs::{NewRun, RunChange, RunFilter, Runs, StoredRun};
pub use schedules::{Advance, Advanced, Condition, Schedule, Schedules};
pub use versions::{SpecVersion, Versions};

/// Most rows that one call returns or changes, whatever it is asked for.
pub const MOST_ROWS: u32 = 1_000;

/// What a call of the store gives, once it is durable.
pub type Answer<T> = BoxFuture<'static, Result<T, Failure>>;

/// All of it.
pub trait Store:
    Jobs + Runs + Schedules + Checkpoints + Letters + Versions + Send + Sync + fmt::Debug
{
}

impl<T> Store for T where
    T: Jobs + Runs + Schedules + Checkpoints + Letters + Versions + Send + Sync + fmt::Debug
{
}

/// Why a call did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The store did not answer, or not that it was done: it may work later. Asking again does no harm, since nothing is submitted or settled twice.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The disk is full: it may work later, too.
    #[error("the store is full: {0}")]
    Full(String),
    /// As much is kept as may be, by a bound, which is named.
    #[error("no more is kept: {0}")]
    Bound(String),
    /// Somebody else has claimed the job since, or it is over: whoever gets this has to stop working on it.
    #[error("the job is no longer this server's")]
    Lost,
    /// What is there does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// What was given cannot be kept.
    #[error("{0}")]
    Invalid(String),
}

impl Failure {
    /// May the same work later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}

/// A moment, to the millisecond, as the store keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// From milliseconds since 1970, UTC.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970, UTC.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// As a time.
    #[must_use]
    pub fn time(self) -> SystemTime {
        let span = Duration::from_millis(self.0.unsigned_abs());
        let time = if self.0 < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(span)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(span)
        };
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(ms))
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => ms(since),
            Err(before) => ms(before.duration()).saturating_neg(),
        })
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

impl serde::Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}
