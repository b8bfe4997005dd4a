//! Runs that outlive the server: each is a job in the store, claimed by one server at a time, carried out under a fence and settled there. What a run does is `run`'s business; what is kept of it, and how
//! the store keeps it, the store's.

mod care;
mod condition;
mod leases;
pub(crate) mod letters;
mod look;
pub(crate) mod progress;
mod schedules;
mod settle;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use model::id::PipelineId;
use model::run::{RunId, RunRecord, RunState, Started};
use model::store::{
    Cancel, Failure, Fence, NewJob, NewRun, RunChange, RunFilter, Store, StoredRun, Submission,
};
use model::text::hex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use condition::Conditions;

use crate::Engine;
use crate::run::{Feed, Job};
use crate::runs::entry::{Entry, Stand};
use crate::runs::{SubmitError, Trigger};
use crate::slot::lock;

/// The queue of runs.
const QUEUE: &str = "runs";
/// How long a server may be silent before another one takes its runs, by the watch of that one.
const LEASE: Duration = Duration::from_secs(30);

/// Most runs of a pipeline that are looked at of those that are not over.
const NEWEST: u32 = 200;

/// The store, and who this server is in it.
#[derive(Debug, Clone)]
pub struct Durability {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The name of this server, the same after a restart: what it had under way when it ended it takes up again at once. No other server of the store has it.
    pub owner: String,
}

/// What this server has under way.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) store: Arc<dyn Store>,
    owner: String,
    held: Mutex<HashMap<RunId, Held>>,
    /// How pipelines stand, as the store had it last.
    conditions: Mutex<Conditions>,
    /// Something may be claimed.
    poke: Notify,
}

/// A run that this server has claimed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) fence: Fence,
    /// When it is tried again if it fails; none: it is not.
    pub(crate) again: Option<Duration>,
    /// Does it go on where the run before ended?
    pub(crate) incremental: bool,
    /// Somebody else has it by now: nothing more is written for it.
    lost: bool,
}

impl Durable {
    pub(crate) fn new(durability: Durability) -> Self {
        Self {
            store: durability.store,
            owner: durability.owner,
            held: Mutex::default(),
            conditions: Mutex::default(),
            poke: Notify::new(),
        }
    }

    /// The number of a version of a pipeline, the same on all servers that share the store.
    pub(crate) async fn number_of(
        &self,
        id: &PipelineId,
        source: &str,
        at: SystemTime,
    ) -> Result<u64, Failure> {
        let digest = digest(source);
        let put = self
            .store
            .put_version(id.clone(), digest, source.to_owned(), at.into());
        put.await
    }

    /// The queue of runs that are started so.
    fn queue_of(&self, started_by: Started) -> String {
        match started_by {
            Started::Webhook | Started::Replay => self.own_queue(),
            _ => QUEUE.into(),
        }
    }

    /// The queue of runs that only this server can carry out, since they read what it keeps.
    pub(crate) fn own_queue(&self) -> String {
        format!("{QUEUE}@{}", self.owner)
    }

    /// The name of checkpoints in what this server keeps.
    pub(crate) fn own_cursor(&self) -> String {
        format!("raw@{}", self.owner)
    }

    /// Something may be claimed.
    pub(crate) fn poke(&self) {
        self.poke.notify_one();
    }

    /// The newest runs of a pipeline that are in this state, as many as may wait, and some.
    pub(crate) async fn runs_of(
        &self,
        pipeline: &PipelineId,
        state: RunState,
    ) -> Result<Vec<StoredRun>, Failure> {
        let filter = RunFilter {
            state: Some(state),
            ..RunFilter::of(pipeline.clone())
        };
        self.store.runs(filter, NEWEST).await
    }

    /// What this server holds of a run; none: nothing, or not any more.
    pub(crate) fn held(&self, run: &RunId) -> Option<Held> {
        lock(&self.held).get(run).copied().filter(|held| !held.lost)
    }

    /// Somebody else has this run by now.
    pub(crate) fn lose(&self, run: &RunId) {
        if let Some(held) = lock(&self.held).get_mut(run) {
            held.lost = true;
        }
    }
}

/// What the job of a run is told beside its record.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Args {
    pub(crate) limit: Option<u64>,
    pub(crate) preview: Option<u32>,
    /// The windows of a backfill.
    pub(crate) windows: Option<crate::runs::backfill::Windows>,
    pub(crate) incremental: bool,
    pub(crate) feed: Feed,
}

impl Engine {
    /// Keeps a run and its job; answers the run that there is by now: another one of the same key, or this one, which waits to be claimed.
    ///
    /// # Errors
    /// The store did not take it; nothing is submitted then.
    pub(crate) async fn submit_durable(
        self: &Arc<Self>,
        durable: &Durable,
        job: Job,
        trigger: &Trigger,
    ) -> Result<RunId, SubmitError> {
        let place = self.place()?;
        let now = self.ports.clock.now();
        let record = self.new_record(&job, trigger.started_by, None, now);
        let queue = durable.queue_of(trigger.started_by);
        let submission = submission(&record, &job, trigger, queue, now.into());
        let entry = Entry::new(record, Arc::clone(&self.ports.clock), Stand::Alone(place));
        // Known before it can be claimed.
        self.runs.book.add(&entry);
        let submitted = durable.store.submit(submission).await;
        let submitted = submitted.inspect_err(|_| self.runs.book.remove(&entry.id))?;
        if submitted.new {
            durable.poke();
        } else {
            self.runs.book.remove(&entry.id);
        }
        Ok(submitted.run)
    }

    /// Ends a run wherever it is: `Some(false)` if it is over already, none if there is none.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn cancel_anywhere(self: &Arc<Self>, id: &RunId) -> Result<Option<bool>, Failure> {
        let here = self.runs.book.get(id);
        let Some(durable) = &self.durable else {
            return Ok(self.cancel(id));
        };
        let is_claimed = durable.held(id).is_some();
        let is_part = here
            .as_ref()
            .is_some_and(|e| e.look(|r| r.parent.is_some()));
        if is_claimed || is_part {
            return Ok(self.cancel(id));
        }
        let Some(stored) = durable.store.run(id.clone()).await? else {
            return Ok(self.cancel(id));
        };
        let now = self.ports.clock.now();
        let Ok(mut record) = serde_json::from_str::<RunRecord>(&stored.run.record) else {
            return Err(Failure::Invalid(format!(
                "the record of run {id} cannot be read"
            )));
        };
        record.state = RunState::Cancelled;
        record.ended_at = Some(crate::runs::rfc3339(now));
        let change = change(&record, None, Some(now.into()));
        Ok(match durable.store.cancel(change, now.into()).await? {
            Cancel::Done => {
                if let Some(entry) = here {
                    self.end_run(&entry, &record);
                }
                Some(true)
            }
            Cancel::Wanted => Some(true),
            Cancel::Over => Some(false),
            Cancel::None => None,
        })
    }
}

/// A run as it is submitted, with its job.
pub(crate) fn submission(
    record: &RunRecord,
    job: &Job,
    trigger: &Trigger,
    queue: String,
    now: model::store::Moment,
) -> Submission {
    let args = Args {
        limit: job.limit,
        preview: job.preview,
        windows: job.windows.clone(),
        incremental: job.incremental,
        feed: job.feed.clone(),
    };
    Submission {
        run: NewRun {
            id: record.id.clone(),
            pipeline: record.pipeline.clone(),
            version: record.version,
            started_by: record.started_by,
            parent: None,
            submitted: now,
            key: trigger.key.clone(),
            record: text(record),
        },
        job: NewJob {
            queue,
            key: None,
            priority: trigger.priority,
            at: trigger.not_before.map_or(now, Into::into),
            // Also a run that is not tried again when it fails is, when its server is lost.
            max_attempts: job.pipeline.errors.rerun.max_retries.saturating_add(1),
            args: serde_json::to_string(&args).unwrap_or_default(),
        },
    }
}

/// What a run has become.
pub(crate) fn change(
    record: &RunRecord,
    started: Option<model::store::Moment>,
    ended: Option<model::store::Moment>,
) -> RunChange {
    RunChange {
        id: record.id.clone(),
        state: record.state,
        started,
        ended,
        record: text(record),
    }
}

/// What tells texts apart: SHA-256, in hexadecimal digits.
fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn text(record: &RunRecord) -> String {
    // Numbers, texts and maps with text keys: this cannot fail.
    serde_json::to_string(record).unwrap_or_default()
}
