//! Jobs: runs that a server is asked for, who works on them, and what is written for them under a fence.

use std::time::Duration;

use super::{Answer, Checkpoint, LetterId, Moment, NewLetter, NewRun, Redriven, Room, RunChange};
use crate::id::PipelineId;
use crate::run::RunId;

/// How often a job is tried unless it says otherwise.
pub const MAX_ATTEMPTS: u32 = 3;

/// How far the clocks of servers may be apart without being taken for set back.
pub const ASTRAY: Duration = Duration::from_secs(60);

/// A job's number; later ones have higher ones, and none comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct JobId(pub i64);

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// May be claimed.
    Available,
    /// May be claimed once its time has come.
    Scheduled,
    /// Claimed.
    Executing,
    /// Failed, and may be claimed again once its time has come.
    Retryable,
    /// Over: done.
    Completed,
    /// Over: given up.
    Discarded,
    /// Over: somebody ended it.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Available,
        Self::Scheduled,
        Self::Executing,
        Self::Retryable,
        Self::Completed,
        Self::Discarded,
        Self::Cancelled,
    ];

    /// The state of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Is the job over?
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Discarded | Self::Cancelled)
    }

    /// Its name in the store, logs and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Scheduled => "scheduled",
            Self::Executing => "executing",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A job to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The queue, whose bound is told by those who claim.
    pub queue: String,
    /// No two jobs that are not over have the same.
    pub key: Option<String>,
    /// Higher ones go first.
    pub priority: i32,
    /// Not before this moment.
    pub at: Moment,
    /// How often it is tried, from 1; see [`MAX_ATTEMPTS`].
    pub max_attempts: u32,
    /// What its worker is told, JSON text.
    pub args: String,
}

/// A run that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The run.
    pub run: NewRun,
    /// The job that carries it out.
    pub job: NewJob,
}

/// What a submission came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The run: the one submitted, or the one that was there.
    pub run: RunId,
    /// Is it the one submitted? It is not when the run's id or idempotency key, or the job's key, was there before.
    pub new: bool,
}

/// A wish for jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Of this queue.
    pub queue: String,
    /// Who asks.
    pub owner: String,
    /// How many jobs of the queue may be at work at once, on all servers together.
    pub at_once: u32,
    /// At most so many now.
    pub most: u32,
    /// How long the claim holds without a [`Jobs::renew`].
    pub lease: Duration,
    /// Now.
    pub now: Moment,
    /// Leases that were not renewed for as long as they hold, by the asker's own watch: what still stands as it was seen is rescued.
    pub silent: Vec<Lease>,
    /// Was the clock set back? Then jobs that were put off at a time that is still to come, by more than [`ASTRAY`], are due now.
    pub set_back: bool,
}

/// A job at work, as it stood when somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who has it.
    pub fence: Fence,
    /// What the last renewal said. Only that it is another one than before says anything: clocks differ, and are set. None: nobody has the job any more.
    pub until: Option<Moment>,
}

/// What shows that a job is one's own: valid until somebody else claims it. Fences of a job grow with each claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The job.
    pub job: JobId,
    /// Which claim of it, from 1.
    pub number: i64,
}

/// A job that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// For whatever is written for it.
    pub fence: Fence,
    /// The run it carries out.
    pub run: RunId,
    /// Which attempt this is, from 1. Snoozing does not count.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// What was submitted with it, JSON text.
    pub args: String,
    /// Did the server before stop renewing its lease? Then nobody has told how far it came but its checkpoints.
    pub rescued: bool,
}

impl Claim {
    /// May it be tried again after this attempt?
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.attempt < self.max_attempts
    }
}

/// What was claimed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// To be carried out.
    pub to_run: Vec<Claim>,
    /// Not to be carried out any more, only to be settled, with what their runs are to say.
    pub to_end: Vec<ToEnd>,
}

/// A job that only has to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToEnd {
    /// The job.
    pub claim: Claim,
    /// Why.
    pub why: Why,
}

/// Why a job is not carried out any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The server of its last attempt was lost: it is to be settled as [`Outcome::Discarded`].
    Spent,
    /// Somebody has cancelled it: [`Outcome::Cancelled`].
    Cancelled,
}

/// How a lease stands after renewing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It holds on.
    Held,
    /// It holds on, and somebody wants the job cancelled.
    CancelWanted,
    /// See [`super::Failure::Lost`].
    Lost,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Completed,
    /// It failed, and is to be tried again; refused when there are no attempts left.
    Retry {
        /// Why it failed.
        error: String,
        /// When.
        at: Moment,
    },
    /// It failed, and is not tried again.
    Discarded {
        /// Why it failed.
        error: String,
    },
    /// Not now; it does not count as an attempt.
    Snoozed {
        /// Until when.
        until: Moment,
    },
    /// Somebody wanted it.
    Cancelled,
}

impl Outcome {
    /// Is the job claimed again, later?
    #[must_use]
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Snoozed { .. })
    }
}

/// What is written for a job, all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Runs that are part of its run.
    pub new_runs: Vec<NewRun>,
    /// What its run and their parts have become.
    pub runs: Vec<RunChange>,
    /// How far its pipelines are.
    pub checkpoints: Vec<Checkpoint>,
    /// Checkpoints that are needed no more, each by its pipeline and name.
    pub forgotten: Vec<(PipelineId, String)>,
    /// What could not be delivered.
    pub letters: Vec<NewLetter>,
    /// What became of dead letters that the job has taken.
    pub redriven: Vec<(LetterId, Redriven)>,
    /// Runs that are asked for, unless they were before.
    pub submissions: Vec<Submission>,
    /// How much each pipeline may keep of those; more is refused with [`super::Failure::Bound`], and nothing is written. None: no bound.
    pub room: Option<Room>,
}

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It had not begun, and is over now.
    Done,
    /// Who works on it will be told when the lease is renewed.
    Wanted,
    /// It was over already.
    Over,
    /// There is no job for this run.
    None,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The run it carries out.
    pub run: RunId,
    /// What was submitted.
    pub new: NewJob,
    /// How far it is.
    pub state: JobState,
    /// Attempts so far, one under way included.
    pub attempt: u32,
    /// Who works on it, or did last.
    pub owner: Option<String>,
    /// Until when the lease holds, while it executes.
    pub lease_until: Option<Moment>,
    /// Does somebody want it cancelled?
    pub cancel_wanted: bool,
    /// When it was over.
    pub ended: Option<Moment>,
}

/// An attempt at a run. Only the last 100 are kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Attempt {
    /// Which, from 1; one that was snoozed has the number of the next.
    pub number: u32,
    /// Who made it.
    pub owner: String,
    /// When it began.
    pub began: Moment,
    /// When it was over.
    pub ended: Option<Moment>,
    /// How: `completed`, `failed`, `snoozed`, `cancelled`, or `lost` when its server stopped renewing the lease.
    pub outcome: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Jobs.
pub trait Jobs {
    /// Asks for a run: the run and its job, or nothing. What was there already under the same id or key is returned as it is.
    fn submit(&self, submission: Submission) -> Answer<Submitted>;
    /// The jobs of a queue that are at work.
    fn leases(&self, queue: String) -> Answer<Vec<Lease>>;
    /// Takes jobs to work on. Those that nobody has any more and those whose lease is silent go first, and count as an attempt where the run had begun; then the highest priority, then the oldest.
    fn claim(&self, ask: Ask) -> Answer<Claims>;
    /// Makes leases hold for so long from now on; answers in the same order.
    fn renew(&self, fences: Vec<Fence>, lease: Duration, now: Moment) -> Answer<Vec<Renewed>>;
    /// Writes for a job that goes on.
    fn commit(&self, fence: Fence, commit: Commit) -> Answer<()>;
    /// Ends an attempt, and writes with it. Returns what the job is now.
    fn settle(
        &self,
        fence: Fence,
        outcome: Outcome,
        commit: Commit,
        now: Moment,
    ) -> Answer<JobState>;
    /// Cancels the job of a run. If it has not begun, the run becomes `change`.
    fn cancel(&self, change: RunChange, now: Moment) -> Answer<Cancel>;
    /// Makes the job of a run that waits for its time due at this moment, if that is sooner; false: it does not wait.
    fn hasten(&self, run: RunId, at: Moment) -> Answer<bool>;
    /// Ends all leases of an owner that is known to have ended, so that its jobs can be rescued at once; how many there were.
    fn forsake(&self, owner: String) -> Answer<u64>;
    /// The job of a run.
    fn job(&self, run: RunId) -> Answer<Option<Job>>;
    /// The attempts at a run, the first one first.
    fn attempts(&self, run: RunId) -> Answer<Vec<Attempt>>;
    /// When a job of this queue can be claimed next: a moment that is past when one can now; none when nothing waits.
    fn due(&self, queue: String) -> Answer<Option<Moment>>;
}
