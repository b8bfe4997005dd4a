//! How pipelines stand: paused by somebody, or in error since a run of theirs failed. Kept in the store, so that it outlives the server and all servers know it.

use std::collections::HashMap;

use model::id::PipelineId;
use model::pipeline::Status;
use model::run::{RunRecord, RunState};
use model::store::{Condition, Failure};

use super::Durable;
use crate::Engine;
use crate::pipelines::Registered;
use crate::slot::lock;

/// Those that are not as they should be.
pub(super) type Conditions = HashMap<PipelineId, Condition>;

impl Engine {
    /// How a pipeline stands, besides what its spec says: none where nothing is known, which is well.
    #[must_use]
    pub fn condition(&self, id: &PipelineId) -> Option<Condition> {
        let durable = self.durable.as_ref()?;
        lock(&durable.conditions).get(id).cloned()
    }

    /// Pauses a pipeline, or lets it go on: while it is paused, its trigger starts nothing, and what the trigger started already waits. A run under way goes on to its end. Answers
    /// whether that changes anything.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn pause(&self, id: &PipelineId, paused: bool) -> Result<bool, Failure> {
        let Some(durable) = &self.durable else {
            return Err(Failure::Invalid("this host keeps nothing".into()));
        };
        let changed = durable.store.pause(id.clone(), paused).await?;
        durable.know_conditions().await?;
        durable.poke.notify_one();
        if changed && !paused {
            // What its webhook had received by then is taken.
            self.set_inbox(id);
        }
        Ok(changed)
    }

    /// Looks how pipelines stand: for the start, before they are registered, so that one that is paused takes nothing. It is looked at again all the time.
    pub async fn know_conditions(&self) {
        if let Some(durable) = &self.durable
            && let Err(error) = durable.know_conditions().await
        {
            tracing::warn!(%error, "how pipelines stand cannot be read from the store");
        }
    }

    /// Does the trigger of this pipeline start nothing now?
    pub(super) fn is_paused(&self, registered: &Registered) -> bool {
        let id = &registered.pipeline.id;
        registered.pipeline.status == Status::Paused || self.condition(id).is_some_and(|c| c.paused)
    }

    /// Has somebody paused this pipeline?
    pub(crate) fn is_held_up(&self, id: &PipelineId) -> bool {
        let paused = |durable: &std::sync::Arc<Durable>| {
            let conditions = lock(&durable.conditions);
            conditions.get(id).is_some_and(|c| c.paused)
        };
        self.durable.as_ref().is_some_and(paused)
    }

    /// A pipeline whose run failed is in error until one succeeds.
    pub(super) async fn report(&self, durable: &Durable, record: &RunRecord) {
        let error = match record.state {
            RunState::Failed => Some(record.error.join(": ")),
            RunState::Succeeded | RunState::Partial => None,
            _ => return,
        };
        if record.dry_run {
            return;
        }
        let known = self.condition(&record.pipeline).and_then(|c| c.error);
        if known == error {
            return;
        }
        let now = self.ports.clock.now().into();
        let id = record.pipeline.clone();
        let reported = async {
            durable.store.report(id, error, now).await?;
            durable.know_conditions().await
        };
        if let Err(error) = reported.await {
            tracing::warn!(pipeline = %record.pipeline, %error, "how a pipeline stands is not kept");
        }
    }
}

impl Durable {
    /// Looks how pipelines stand.
    pub(super) async fn know_conditions(&self) -> Result<(), Failure> {
        let all = self.store.conditions().await?.into_iter();
        *lock(&self.conditions) = all.map(|c| (c.pipeline.clone(), c)).collect();
        Ok(())
    }
}
