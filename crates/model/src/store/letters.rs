//! Dead letters: records that a stage rejected or a sink gave up on, kept until somebody has dealt with them. They come in through [`super::Commit`].

use bytes::Bytes;

use super::{Answer, Fence, Moment};
use crate::id::PipelineId;
use crate::run::RunId;

/// A dead letter's number; later ones have higher ones, and none comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct LetterId(pub i64);

/// How far a dead letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// Waits for somebody.
    Waiting,
    /// A job tries it again.
    Taken,
    /// Delivered after all.
    Resolved,
}

impl LetterState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Taken, Self::Resolved];

    /// The state of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Its name in the store and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Taken => "taken",
            Self::Resolved => "resolved",
        }
    }
}

/// A dead letter to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLetter {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The run.
    pub run: RunId,
    /// The stage that did not take it.
    pub stage: String,
    /// Its number at that stage, from 1.
    pub number: u64,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The record as it came in, byte for byte.
    pub original: Bytes,
    /// Did a sink give up on it, that may take it later? Those are tried again by themselves, in order. Else it was rejected.
    pub undelivered: bool,
    /// When.
    pub at: Moment,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its number.
    pub id: LetterId,
    /// What was kept, with reason and attempts as they are by now.
    pub new: NewLetter,
    /// What somebody made of the record: this is what is tried again.
    pub edited: Option<Bytes>,
    /// How far it is.
    pub state: LetterState,
}

/// Which dead letters; all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFilter {
    /// Of this pipeline.
    pub pipeline: PipelineId,
    /// Of this stage.
    pub stage: Option<String>,
    /// In this state.
    pub state: Option<LetterState>,
    /// Given up on, or rejected.
    pub undelivered: Option<bool>,
    /// Just this one.
    pub id: Option<LetterId>,
    /// Only after this one: where the page before ended.
    pub after: Option<LetterId>,
}

impl LetterFilter {
    /// All of a pipeline.
    #[must_use]
    pub fn of(pipeline: PipelineId) -> Self {
        Self {
            pipeline,
            stage: None,
            state: None,
            undelivered: None,
            id: None,
            after: None,
        }
    }
}

/// The dead letters of a stage that are not dealt with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// The stage.
    pub stage: String,
    /// Those a sink gave up on, or those that were rejected.
    pub undelivered: bool,
    /// How many.
    pub letters: u64,
    /// When the first of them came.
    #[serde(rename = "since_ms")]
    pub since: Moment,
}

/// What became of a dead letter that was tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// It is delivered.
    Resolved,
    /// It was tried, and waits again.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was tried, and was rejected: it waits for somebody, and is not tried again by itself.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It was not tried, and waits again.
    Untried,
}

/// How much a pipeline may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Dead letters.
    pub letters: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

/// Which dead letters of a pipeline to forget; all conditions hold. Those that a job has taken stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Of this pipeline.
    pub pipeline: PipelineId,
    /// Just this one.
    pub id: Option<LetterId>,
    /// Of this stage.
    pub stage: Option<String>,
    /// In this state.
    pub state: Option<LetterState>,
    /// From before this moment.
    pub before: Option<Moment>,
    /// All but the newest so many of the pipeline.
    pub keep: Option<u32>,
}

/// Dead letters.
pub trait Letters {
    /// Dead letters in the order they came, at most `limit` and [`super::MOST_ROWS`].
    fn letters(&self, filter: LetterFilter, limit: u32) -> Answer<Vec<Letter>>;
    /// One of them.
    fn letter(&self, id: LetterId) -> Answer<Option<Letter>>;
    /// What is not dealt with of a pipeline, by stage.
    fn letters_waiting(&self, pipeline: PipelineId) -> Answer<Vec<Waiting>>;
    /// How much a pipeline keeps.
    fn letters_kept(&self, pipeline: PipelineId) -> Answer<Room>;
    /// Changes the record of one that waits, or with none takes the change back. False: there is none, or it does not wait.
    fn edit_letter(&self, id: LetterId, record: Option<Bytes>) -> Answer<bool>;
    /// Takes those that wait, in the order they came, to try them again; and those that a job took which was lost. What became of them is said with [`super::Commit`].
    fn take_letters(&self, fence: Fence, filter: LetterFilter, limit: u32) -> Answer<Vec<Letter>>;
    /// Forgets dead letters, the oldest first, at most `most` and [`super::MOST_ROWS`]; how many it were.
    fn purge_letters(&self, purge: Purge, most: u32) -> Answer<u32>;
}
