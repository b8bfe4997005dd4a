//! Runs as people look at them: those under way here as they are now, all others as the store has them.

use std::collections::BTreeMap;

use model::id::PipelineId;
use model::run::{RunId, RunRecord};
use model::store::{Attempt, Failure, RunFilter, StoredRun};

use crate::Engine;

impl Engine {
    /// A run; none: there is none, or it is forgotten.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn find_run(&self, id: &RunId) -> Result<Option<RunRecord>, Failure> {
        if let Some(run) = self.run(id) {
            return Ok(Some(run));
        }
        let Some(durable) = &self.durable else {
            return Ok(None);
        };
        let stored = durable.store.run(id.clone()).await?;
        stored.map(|stored| record(&stored)).transpose()
    }

    /// Runs, the newest first, at most `limit`.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn list_runs(
        &self,
        filter: &RunFilter,
        limit: usize,
    ) -> Result<Vec<RunRecord>, Failure> {
        let mut found: BTreeMap<RunId, RunRecord> = BTreeMap::new();
        if let Some(durable) = &self.durable {
            let most = u32::try_from(limit).unwrap_or(u32::MAX);
            for stored in durable.store.runs(filter.clone(), most).await? {
                // What is here is newer, and may be in another state by now.
                if self.runs.book.get(&stored.run.id).is_none() {
                    found.insert(stored.run.id.clone(), record(&stored)?);
                }
            }
        }
        let here = self.runs(filter, limit).into_iter();
        found.extend(here.map(|run| (run.id.clone(), run)));
        Ok(found.into_values().rev().take(limit).collect())
    }

    /// The newest run of a pipeline.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn last_run(&self, id: &PipelineId) -> Result<Option<RunRecord>, Failure> {
        let filter = RunFilter::of(id.clone());
        Ok(self.list_runs(&filter, 1).await?.pop())
    }

    /// The attempts at a run, the first one first; of one that is not kept there are none.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn attempts(&self, id: &RunId) -> Result<Vec<Attempt>, Failure> {
        match &self.durable {
            Some(durable) => durable.store.attempts(id.clone()).await,
            None => Ok(Vec::new()),
        }
    }
}

fn record(stored: &StoredRun) -> Result<RunRecord, Failure> {
    let read = serde_json::from_str(&stored.run.record);
    let mut record: RunRecord = read.map_err(|e| {
        Failure::Invalid(format!(
            "the record of run {} cannot be read: {e}",
            stored.run.id
        ))
    })?;
    // Whoever changes only the state leaves the record as it was.
    record.state = stored.state;
    Ok(record)
}
