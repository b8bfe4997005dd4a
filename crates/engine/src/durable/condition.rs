//! How pipelines stand: paused by somebody, or in error since a run of theirs failed. Kept in the store, so that it outlives the server and all servers know it.

use std::collections::HashMap;

use model::id::PipelineId;
use model::pipeline::{Pipeline, Status, Work};
use model::run::{RunRecord, RunState};
use model::store::{Condition, Failure};

use super::Durable;
use crate::Engine;
use crate::runs::entry::Interrupt;
use crate::runs::is_incremental;
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

    /// Pauses a pipeline, or lets it go on: while it is paused, its trigger starts nothing, and what the trigger started already waits; a run under way reads no further batch and goes on
    /// from there later. Answers whether that changes anything.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn pause(&self, id: &PipelineId, paused: bool) -> Result<bool, Failure> {
        let Some(durable) = &self.durable else {
            return Err(Failure::Invalid("this host keeps nothing".into()));
        };
        let changed = durable.store.pause(id.clone(), paused).await?;
        durable.know_conditions().await?;
        self.put_off_held(durable);
        durable.poke();
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

    /// Does the trigger of this pipeline start nothing now, by its spec or since somebody paused it?
    pub(crate) fn is_paused(&self, pipeline: &Pipeline) -> bool {
        let paused = |durable: &std::sync::Arc<Durable>| {
            let conditions = lock(&durable.conditions);
            conditions.get(&pipeline.id).is_some_and(|c| c.paused)
        };
        pipeline.status == Status::Paused || self.durable.as_ref().is_some_and(paused)
    }

    /// Has those runs of triggers read no further whose pipeline is paused by now; and of those that go on from a cursor, those whose pipeline is another version by now, which is to go on instead.
    pub(crate) fn put_off_held(&self, durable: &Durable) {
        let held: Vec<_> = {
            let held = lock(&durable.held);
            held.iter()
                .map(|(run, h)| (run.clone(), h.incremental))
                .collect()
        };
        for (run, incremental) in held {
            let Some(entry) = self.runs.book.get(&run) else {
                continue;
            };
            let of_trigger =
                |r: &RunRecord| (r.started_by.is_trigger(), r.pipeline.clone(), r.version);
            let (true, id, version) = entry.look(of_trigger) else {
                continue;
            };
            let Some(now) = self.pipeline(&id) else {
                continue;
            };
            // One that is made of others has no batches: it goes on to its end.
            let moves = matches!(now.pipeline.work, Work::Flow(_));
            if moves && self.is_paused(&now.pipeline) {
                entry.interrupt(Interrupt::Paused);
            } else if incremental && now.version != version && is_incremental(&now.pipeline) {
                entry.interrupt(Interrupt::Changed);
            }
        }
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
