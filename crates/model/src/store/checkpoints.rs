//! How far a pipeline has come, as its sinks have acknowledged it.

use super::{Answer, Moment};
use crate::id::PipelineId;
use crate::run::RunId;

/// What a resumed run starts from. It is written through [`super::Commit`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Checkpoint {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Which of its checkpoints.
    pub name: String,
    /// Where the source goes on, in its own words.
    pub cursor: Option<String>,
    /// Where each sink is, JSON text.
    pub sinks: String,
    /// The run that wrote it.
    pub run: RunId,
    /// Records up to here.
    pub records: u64,
    /// When.
    pub at: Moment,
}

/// Checkpoints.
pub trait Checkpoints {
    /// One of them.
    fn checkpoint(&self, pipeline: PipelineId, name: String) -> Answer<Option<Checkpoint>>;
    /// All of a pipeline, by name.
    fn checkpoints(&self, pipeline: PipelineId) -> Answer<Vec<Checkpoint>>;
    /// Forgets one; was it there?
    fn remove_checkpoint(&self, pipeline: PipelineId, name: String) -> Answer<bool>;
}
