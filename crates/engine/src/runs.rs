//! All runs: they are submitted, followed, cancelled and remembered here. What a run does is `run`'s business, which pipelines there are `pipelines`'.
//!
//! Runs are kept in memory, the last ones that are over included; a store only has to be told what `Entry::edit` changes.

pub(crate) mod backfill;
pub(crate) mod book;
pub(crate) mod entry;
pub(crate) mod kept;
pub(crate) mod lane;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use model::error::StageError;
use model::id::PipelineId;
use model::pipeline::{Pipeline, Work};
use model::run::{Covered, RejectedRecord, RunId, RunRecord, RunState, StagePreview, Started};
use model::stage::Misfit;
use model::store::RunFilter;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::durable::Durable;
use crate::options::{Keep, RunOptions};
use crate::parameters;
use crate::parts::too_many;
use crate::run::{Feed, Job};
use crate::{Engine, timescope};
pub use backfill::{Backfill, BackfillError};
use book::Book;
pub use entry::Follow;
use entry::{Entry, Stand};
use lane::Lane;

/// What a run is asked for with. Whoever starts runs asks in this way.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// What is run.
    pub pipeline: Which,
    /// Values of its parameters; those left out have their defaults.
    pub parameters: Map<String, Value>,
    /// The span of time to cover, as [`timescope::named`] takes it; none: the last one that is over, where the pipeline has a timescope.
    pub window: Option<String>,
    /// Why.
    pub started_by: Started,
    /// Stop the source after so many records.
    pub limit: Option<u64>,
    /// Keep the first so many records after each stage.
    pub preview: Option<u32>,
    /// Open no sinks: what would go to them is counted and, with `preview`, shown.
    pub dry_run: bool,
    /// What the asker calls this request: another one with the same key, for the same pipeline, is answered with the same run. Only where runs are kept.
    pub key: Option<String>,
    /// Runs with a higher one go first. Only where runs are kept.
    pub priority: i32,
    /// Not before this time. Only where runs are kept.
    pub not_before: Option<SystemTime>,
    /// What it reads.
    pub feed: Feed,
}

impl Trigger {
    /// A run that somebody asks for, with nothing else said.
    #[must_use]
    pub fn of(pipeline: Which) -> Self {
        Self {
            pipeline,
            parameters: Map::new(),
            window: None,
            started_by: Started::Manual,
            limit: None,
            preview: None,
            dry_run: false,
            key: None,
            priority: 0,
            not_before: None,
            feed: Feed::Source,
        }
    }
}

/// Which pipeline.
#[derive(Debug, Clone)]
pub enum Which {
    /// The registered one of this id, in its newest version.
    Named(PipelineId),
    /// This one; it need not be registered.
    Given(Arc<Pipeline>),
}

/// Why there is no run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// No pipeline has this id.
    #[error("there is no pipeline {0}")]
    NotFound(PipelineId),
    /// The pipeline or what it was given does not fit; the places are JSON pointers into the spec, or `/parameters/..` and `/window` of the request.
    #[error("{}", listed(.0))]
    Invalid(Vec<Misfit>),
    /// A hook said no, or failed where it must not.
    #[error("{0}")]
    Refused(StageError),
    /// Too many runs wait.
    #[error(
        "{waiting} runs wait already, and no more than {most} may; try again when some are over"
    )]
    Busy {
        /// How many.
        waiting: usize,
        /// The limit.
        most: usize,
    },
    /// The run it would be part of has as many parts as it may.
    #[error("the whole has come to {0} runs, and no more may be part of one")]
    TooManyParts(usize),
    /// The host is shutting down.
    #[error("the host is shutting down")]
    ShuttingDown,
    /// It could not be kept, so that it does not take place.
    #[error(transparent)]
    Store(#[from] model::store::Failure),
}

/// Do the runs of a pipeline go on where the one before ended?
pub(crate) fn is_incremental(pipeline: &Pipeline) -> bool {
    matches!(&pipeline.work, Work::Flow(flow) if flow.incremental)
}

pub(crate) fn listed(misfits: &[Misfit]) -> String {
    let said = misfits.iter().map(|m| match m.pointer.as_str() {
        "" => m.message.clone(),
        at => format!("{at}: {}", m.message),
    });
    said.collect::<Vec<_>>().join("; ")
}

/// All runs.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) book: Arc<Book>,
    pub(crate) lane: Lane,
    /// How many may move data at once.
    pub(crate) turns: Arc<Semaphore>,
    /// The same, as a number.
    pub(crate) at_once: usize,
    pub(crate) keep: Option<Keep>,
    /// When folders of runs were looked through last, in monotonic time.
    pub(crate) swept: Mutex<Option<Duration>>,
    /// How many may be part of one.
    pub(crate) parts: usize,
    queue: usize,
}

impl Runs {
    pub(crate) fn new(options: RunOptions) -> Self {
        Self {
            book: Arc::new(Book::new(options.history.get(), options.queue)),
            lane: Lane::new(options),
            turns: Arc::new(Semaphore::new(options.at_once.get())),
            keep: options.keep,
            swept: Mutex::default(),
            at_once: options.at_once.get(),
            parts: options.parts.get(),
            queue: options.queue,
        }
    }
}

impl Engine {
    /// Starts a run: the one way to do so. It may have to wait for its turn; [`Engine::finished`] waits for its end.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn submit(self: &Arc<Self>, trigger: Trigger) -> Result<RunId, SubmitError> {
        let (pipeline, version) = match &trigger.pipeline {
            Which::Named(id) => {
                let found = self.pipeline(id);
                let found = found.ok_or_else(|| SubmitError::NotFound(id.clone()))?;
                (Arc::clone(&found.pipeline), found.version)
            }
            Which::Given(pipeline) => {
                self.validate(pipeline, None).await?;
                (Arc::clone(pipeline), 0)
            }
        };
        let job = self.job(pipeline, version, &trigger)?;
        match &self.durable {
            Some(durable) if version > 0 => self.submit_durable(durable, job, &trigger).await,
            _ => {
                let entry = self.start_run(job, trigger.started_by, None)?;
                Ok(entry.id.clone())
            }
        }
    }

    /// What a trigger comes down to.
    pub(crate) fn job(
        &self,
        pipeline: Arc<Pipeline>,
        version: u64,
        trigger: &Trigger,
    ) -> Result<Job, SubmitError> {
        let mut wrong = Vec::new();
        let parameters = match parameters::complete(&pipeline.parameters, &trigger.parameters) {
            Ok(values) => values,
            Err(misfits) => {
                wrong = misfits;
                Map::new()
            }
        };
        // What it names may have grown since it was checked.
        let (number, most) = (self.parts(&pipeline), self.runs.parts);
        if number > most {
            wrong.push(Misfit::new("", too_many(number, most)));
        }
        let window = match self.window(&pipeline, trigger.window.as_deref()) {
            Ok(window) => window,
            Err(message) => {
                wrong.push(Misfit::new("/window", message));
                None
            }
        };
        if !wrong.is_empty() {
            return Err(SubmitError::Invalid(wrong));
        }
        Ok(Job {
            version,
            parameters,
            window,
            limit: trigger.limit,
            preview: trigger.preview,
            dry_run: trigger.dry_run,
            previous: None,
            windows: None,
            scope: pipeline.timescope.clone(),
            incremental: self.goes_on(&pipeline, version, trigger),
            feed: trigger.feed.clone(),
            tee: None,
            pipeline,
        })
    }

    /// Does a run of a trigger go on where the one before ended, and the next one where this one does?
    fn goes_on(&self, pipeline: &Pipeline, version: u64, trigger: &Trigger) -> bool {
        let whole =
            trigger.window.is_none() && trigger.limit.is_none() && trigger.preview.is_none();
        let kept = self.durable.is_some() && version > 0 && !trigger.dry_run;
        whole && kept && trigger.feed == Feed::Source && is_incremental(pipeline)
    }

    /// The span of time that a run of a pipeline covers.
    pub(crate) fn window(
        &self,
        pipeline: &Pipeline,
        asked: Option<&str>,
    ) -> Result<Option<Covered>, String> {
        let scope = pipeline.timescope.as_ref();
        match (asked, scope) {
            // Nothing of it would be another one for another window.
            (Some(_), None) if matches!(pipeline.work, Work::Flow(_)) => {
                Err("the pipeline has no timescope, so that it covers no window".into())
            }
            (Some(text), scope) => timescope::named(scope, text).map(Some),
            (None, Some(scope)) => {
                timescope::last_complete(scope, self.ports.clock.now()).map(Some)
            }
            (None, None) => Ok(None),
        }
    }

    /// Puts a run into the book and sets it going. Parts of runs take no place in the queue: how many there may be of one whole is bounded by itself.
    pub(crate) fn start_run(
        self: &Arc<Self>,
        job: Job,
        started_by: Started,
        whole: Option<&Entry>,
    ) -> Result<Arc<Entry>, SubmitError> {
        let parts = self.runs.parts;
        let stand = match whole {
            Some(_) if self.is_closing() => return Err(SubmitError::ShuttingDown),
            Some(whole) if whole.count_part() > parts => {
                return Err(SubmitError::TooManyParts(parts));
            }
            Some(whole) => Stand::PartOf(whole),
            None => Stand::Alone(self.place()?),
        };
        let now = self.ports.clock.now();
        let record = self.new_record(&job, started_by, whole, now);
        let entry = Entry::new(record, Arc::clone(&self.ports.clock), stand);
        self.runs.book.add(&entry);
        self.spawn_run(Arc::clone(&entry), job);
        Ok(entry)
    }

    /// Is the host shutting down?
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// A place among the runs that wait.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, SubmitError> {
        if self.is_closing() {
            return Err(SubmitError::ShuttingDown);
        }
        let (waiting, most) = (self.runs.queue, self.runs.queue);
        let place = self.runs.book.place();
        place.ok_or(SubmitError::Busy { waiting, most })
    }

    /// A run that waits.
    pub(crate) fn new_record(
        &self,
        job: &Job,
        started_by: Started,
        whole: Option<&Entry>,
        now: SystemTime,
    ) -> RunRecord {
        RunRecord {
            id: self.runs.book.id(now),
            pipeline: job.pipeline.id.clone(),
            version: job.version,
            started_by,
            parent: whole.map(|w| w.id.clone()),
            children: Vec::new(),
            members: Vec::new(),
            window: job.window.clone(),
            parameters: job.parameters.clone(),
            dry_run: job.dry_run,
            state: RunState::Queued,
            submitted_at: rfc3339(now),
            started_at: None,
            ended_at: None,
            duration_ms: 0,
            stages: Vec::new(),
            rejects_file: None,
            error: Vec::new(),
            log: VecDeque::new(),
        }
    }

    /// A run is over.
    pub(crate) fn end_run(&self, entry: &Entry, run: &RunRecord) {
        self.runs.book.over(&entry.id);
        entry.end(run);
        // Also one that was cancelled before it began.
        self.no_longer_gathers(&run.pipeline, &run.id);
    }

    /// A run as it is now; none: there is none, or it is forgotten.
    #[must_use]
    pub fn run(&self, id: &RunId) -> Option<RunRecord> {
        self.runs.book.get(id).map(|e| e.record_with_members())
    }

    /// Runs, the newest first, at most `limit`.
    #[must_use]
    pub fn runs(&self, filter: &RunFilter, limit: usize) -> Vec<RunRecord> {
        let all = self.runs.book.before(filter.before.as_ref());
        let fits = |entry: &&Arc<Entry>| {
            entry.look(|r| {
                filter.pipeline.as_ref().is_none_or(|p| r.pipeline == *p)
                    && filter.state.is_none_or(|s| r.state == s)
                    && (filter.parent.is_none() || r.parent == filter.parent)
            })
        };
        let found = all.iter().filter(fits).take(limit);
        found.map(|e| e.record()).collect()
    }

    /// Waits for the end of a run. None: there is none, or it is forgotten.
    pub async fn finished(&self, id: &RunId) -> Option<RunRecord> {
        let entry = self.runs.book.get(id)?;
        Some(entry.over().await)
    }

    /// Ends a run, and the runs it is made of; it is over soon after. Sinks that show what they wrote only as a whole show nothing. False: it is over already. None:
    /// there is none.
    #[must_use]
    pub fn cancel(&self, id: &RunId) -> Option<bool> {
        let entry = self.runs.book.get(id)?;
        let under_way = !entry.state().is_over();
        entry.cancel();
        Some(under_way)
    }

    /// Follows a run from its state of now to its end.
    #[must_use]
    pub fn follow_run(&self, id: &RunId) -> Option<Follow> {
        self.runs.book.get(id).map(|e| e.follow())
    }

    /// The first records after each stage, of a run that was asked for with `preview`, once it is over.
    #[must_use]
    pub fn preview(&self, id: &RunId) -> Option<Vec<StagePreview>> {
        self.runs.book.get(id).map(|e| e.preview())
    }

    /// The first rejected records of a run, at most 100.
    #[must_use]
    pub fn rejects(&self, id: &RunId) -> Option<Vec<RejectedRecord>> {
        self.runs.book.get(id).map(|e| e.rejects())
    }

    /// Cancels all runs and waits until they are over, at most this long.
    pub(crate) async fn end_runs(&self, within: Duration) {
        let under_way: Vec<_> = self.runs.book.before(None);
        // Those that wait to be claimed go on waiting, in the store.
        let goes_on = |e: &Arc<Entry>| {
            let waits = |durable: &Arc<Durable>| {
                e.state() == RunState::Queued
                    && e.look(|r| r.parent.is_none())
                    && durable.held(&e.id).is_none()
            };
            !e.state().is_over() && !self.durable.as_ref().is_some_and(waits)
        };
        let under_way = under_way.into_iter().filter(goes_on);
        let ending: Vec<_> = under_way.inspect(|e| e.cancel()).collect();
        let all = futures_util::future::join_all(ending.iter().map(|e| e.over()));
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!("some runs did not end in time");
        }
    }
}

/// An instant for records.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |t| t.to_string())
}
