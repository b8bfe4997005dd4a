//! Runs as the store keeps them: what they are found by, and their whole record as text.

use super::{Answer, Moment};
use crate::id::PipelineId;
use crate::run::{RunId, RunState, Started};

/// A run to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The version of the spec it runs.
    pub version: u64,
    /// Why it takes place.
    pub started_by: Started,
    /// The run it is part of.
    pub parent: Option<RunId>,
    /// When it was submitted.
    pub submitted: Moment,
    /// Its idempotency key: no other run of the pipeline has the same.
    pub key: Option<String>,
    /// The whole record, JSON text.
    pub record: String,
}

/// What a run has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunChange {
    /// Which run.
    pub id: RunId,
    /// How far it is.
    pub state: RunState,
    /// When it began.
    pub started: Option<Moment>,
    /// When it was over.
    pub ended: Option<Moment>,
    /// The whole record, JSON text.
    pub record: String,
}

/// A run in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// What was submitted, with the record as it is by now.
    pub run: NewRun,
    /// How far it is.
    pub state: RunState,
    /// When it began.
    pub started: Option<Moment>,
    /// When it was over.
    pub ended: Option<Moment>,
}

/// Which runs; all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this pipeline.
    pub pipeline: Option<PipelineId>,
    /// In this state.
    pub state: Option<RunState>,
    /// Parts of this run.
    pub parent: Option<RunId>,
    /// Submitted before this one: where the page before ended.
    pub before: Option<RunId>,
}

impl RunFilter {
    /// All runs of a pipeline.
    #[must_use]
    pub fn of(pipeline: PipelineId) -> Self {
        Self {
            pipeline: Some(pipeline),
            ..Self::default()
        }
    }
}

/// Runs. They are written through [`super::Jobs`].
pub trait Runs {
    /// A run.
    fn run(&self, id: RunId) -> Answer<Option<StoredRun>>;
    /// The run of a pipeline with this idempotency key.
    fn run_by_key(&self, pipeline: PipelineId, key: String) -> Answer<Option<RunId>>;
    /// Runs, the newest first, at most `limit` and [`super::MOST_ROWS`].
    fn runs(&self, filter: RunFilter, limit: u32) -> Answer<Vec<StoredRun>>;
    /// Forgets runs that were over before this moment, the oldest first, with their jobs and attempts; at most `most` and [`super::MOST_ROWS`]. How many it were: call
    /// again while it is as many as asked for.
    fn prune_runs(&self, before: Moment, most: u32) -> Answer<u32>;
    /// The same for all but the newest `keep` runs of a pipeline.
    fn prune_runs_of(&self, pipeline: PipelineId, keep: u32, most: u32) -> Answer<u32>;
}
