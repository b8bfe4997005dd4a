//! How far pipelines are: read when a run begins. It is written by the run, and with its end.

use model::id::PipelineId;
use model::pipeline::Pipeline;
use model::run::RunId;
use model::store::{Checkpoint, Commit, Failure};

use crate::Engine;

/// The checkpoint that incremental runs of a pipeline go on from.
pub(crate) const SOURCE: &str = "source";

/// The checkpoint that a later attempt at a run goes on from. It is forgotten when the run is over.
pub(crate) fn progress_of(run: &RunId) -> String {
    format!("run:{run}")
}

/// What is kept with the end of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    /// However it ended.
    pub(crate) commit: Commit,
    /// If it is tried again.
    pub(crate) progress: Option<Checkpoint>,
}

impl Engine {
    /// The checkpoint that runs of a pipeline go on from. What a webhook received is this server's own.
    pub(crate) fn cursor_name(&self, pipeline: &Pipeline) -> String {
        match &self.durable {
            Some(durable) if self.reads_inbox(&pipeline.id) => durable.own_cursor(),
            _ => SOURCE.to_owned(),
        }
    }

    /// Does a pipeline read what its webhook receives?
    pub(crate) fn reads_inbox(&self, id: &PipelineId) -> bool {
        self.inboxes.get(id).is_some_and(|inbox| inbox.is_read())
    }

    /// The checkpoints of a pipeline, by name; without a store there are none.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn checkpoints(&self, pipeline: PipelineId) -> Result<Vec<Checkpoint>, Failure> {
        match &self.durable {
            Some(durable) => durable.store.checkpoints(pipeline).await,
            None => Ok(Vec::new()),
        }
    }

    /// Forgets a checkpoint, so that the next run begins anew; was it there?
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn remove_checkpoint(
        &self,
        pipeline: PipelineId,
        name: String,
    ) -> Result<bool, Failure> {
        match &self.durable {
            Some(durable) => durable.store.remove_checkpoint(pipeline, name).await,
            None => Ok(false),
        }
    }

    /// A checkpoint, where runs are kept.
    pub(crate) async fn checkpoint(
        &self,
        pipeline: &PipelineId,
        name: &str,
    ) -> Result<Option<Checkpoint>, Failure> {
        match &self.durable {
            Some(durable) => {
                durable
                    .store
                    .checkpoint(pipeline.clone(), name.into())
                    .await
            }
            None => Ok(None),
        }
    }
}
