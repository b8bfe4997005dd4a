//! Tells the store how far a run is: once a second while something is new, and at its end. What there is to tell is the ledger's business.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::pipeline::OnReject;
use model::run::{Part, RunId};
use model::store::{
    Checkpoint, Commit, Failure as StoreFailure, Fence, LetterFilter, Moment, Room, Submission,
    Waiting,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::feed::Feed;
use super::ledger::{About, Begin, Ledger, Standings, Told, full};
use super::letters::Redrive;
use super::open::Planned;
use super::{End, Failure, Job};
use crate::Engine;
use crate::durable::progress::{Left, progress_of};
use crate::durable::{Durable, Held};
use crate::runs::entry::Entry;

/// Between two looks at what is new.
const EVERY: Duration = Duration::from_secs(1);
/// Between two tries of what has to be kept.
const PAUSE: Duration = Duration::from_secs(1);

/// A run that is kept: what it writes under which fence, and where it begins.
pub(super) struct Tenure {
    engine: Arc<Engine>,
    durable: Arc<Durable>,
    entry: Arc<Entry>,
    job: Job,
    /// The claimed run that this one is, or is part of.
    whole: RunId,
    fence: Fence,
    pub(super) begin: Begin,
    pub(super) redrive: Option<Arc<Redrive>>,
    /// Sinks that are given nothing, since dead letters wait for them.
    shut: BTreeSet<String>,
    pub(super) ledger: Arc<Ledger>,
    /// Is how far it is kept for a later attempt at it?
    resumes: bool,
}

impl Engine {
    /// What a run that is kept works under; none: it is not kept, or nothing of it is to be.
    pub(super) async fn tenure(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: &Job,
        planned: &[Planned],
    ) -> Result<Option<Tenure>, Failure> {
        // Of one that is written within another, nobody could ask for what is kept.
        let is_known = self.pipeline(&job.pipeline.id).is_some();
        let Some(durable) = self.durable.clone().filter(|_| is_known && !job.dry_run) else {
            return Ok(None);
        };
        let Some((whole, held)) = self.whole_of(&durable, &entry.id) else {
            return match job.feed {
                Feed::Source | Feed::Kept(_) => Ok(None),
                Feed::Letters(_) => Err(Failure::new("dead letters are only where runs are kept")),
            };
        };
        let pipeline = &job.pipeline.id;
        let part = whole != entry.id;
        let resumes = !part && job.limit.is_none() && job.feed == Feed::Source;
        let begin = self.begin_at(entry, job, resumes).await?;
        let redrive = redrive(&durable, &held, job, planned);
        if redrive.is_some() {
            self.check_replaced(planned)?;
        }
        let waiting = self
            .patiently(|| durable.store.letters_waiting(pipeline.clone()))
            .await?;
        let shut = shut(waiting, job, planned);
        let letters = job.pipeline.errors.dead_letters;
        let skips = |p: &Planned| p.policy == OnReject::SkipBatch;
        let about = About {
            pipeline: pipeline.clone(),
            version: job.version,
            run: entry.id.clone(),
            room: Room {
                letters: letters.max_records,
                bytes: letters.max_bytes,
            },
            rejects: job.pipeline.persistence.rejects,
            counts: !planned.iter().any(skips),
        };
        let sinks = planned.iter().filter(|p| p.part == Part::Sink);
        let sinks = sinks.map(|p| p.spec.name.as_str().into());
        let ledger = Ledger::new(about, &begin, sinks, redrive.clone());
        Ok(Some(Tenure {
            engine: Arc::clone(self),
            durable,
            entry: Arc::clone(entry),
            job: job.clone(),
            whole,
            fence: held.fence,
            begin,
            redrive,
            shut,
            ledger: Arc::new(ledger),
            resumes,
        }))
    }

    /// Where a run begins: where an attempt at it ended, or where the run before did.
    async fn begin_at(&self, entry: &Entry, job: &Job, resumes: bool) -> Result<Begin, Failure> {
        let pipeline = &job.pipeline.id;
        if resumes {
            let name = progress_of(&entry.id);
            let found = self.patiently(|| self.checkpoint(pipeline, &name)).await?;
            if let Some(found) = found {
                let line = format!("goes on after {} records", found.records);
                entry.log("info", None, line);
                return Ok(Begin::of(Some(found), job.version));
            }
        }
        if !job.incremental {
            let cursor = self.inbox_at(job).await?;
            return Ok(Begin {
                cursor,
                ..Begin::default()
            });
        }
        let name = self.cursor_name(&job.pipeline);
        let found = self.patiently(|| self.checkpoint(pipeline, &name)).await?;
        Ok(Begin::of(found, job.version))
    }

    /// Where the payloads begin that a run takes which moves nothing on: one that was taken is not taken again because somebody asks for a part of what waits.
    pub(super) async fn inbox_at(&self, job: &Job) -> Result<Option<String>, Failure> {
        let pipeline = &job.pipeline.id;
        if job.feed != Feed::Source || !self.reads_inbox(pipeline) {
            return Ok(None);
        }
        let name = self.cursor_name(&job.pipeline);
        let found = self.patiently(|| self.checkpoint(pipeline, &name)).await?;
        Ok(found.and_then(|checkpoint| checkpoint.cursor))
    }

    /// Asks the store until it answers.
    async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, StoreFailure>>,
    {
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "a run waits for the store");
                    self.ports.stages.timer.wait(PAUSE).await;
                }
                Err(other) => return Err(Failure::new(other.to_string())),
            }
        }
    }

    /// Dead letters alone would replace what a sink wrote as a whole.
    fn check_replaced(&self, planned: &[Planned]) -> Result<(), Failure> {
        let kinds = &self.ports.stages.natives.sinks;
        for sink in planned.iter().filter(|p| p.part == Part::Sink) {
            if let Some(what) = sink.replaces(kinds) {
                return Err(sink.fails(format!(
                    "it replaces {what} as a whole, and would leave nothing there but these dead letters: run the pipeline again instead, or have it write to a path with `{{{{run.id}}}}`"
                )));
            }
        }
        Ok(())
    }
}

/// What a run that tries dead letters again reads.
fn redrive(durable: &Durable, held: &Held, job: &Job, planned: &[Planned]) -> Option<Arc<Redrive>> {
    let Feed::Letters(feed) = &job.feed else {
        return None;
    };
    let filter = LetterFilter {
        stage: Some(feed.stage.clone()),
        undelivered: feed.ids.is_empty().then_some(feed.undelivered),
        ..LetterFilter::of(job.pipeline.id.clone())
    };
    let first = planned.get(1);
    let only_sink = planned.len() == 2 && first.is_some_and(|p| p.part == Part::Sink);
    let is_sure = only_sink || first.is_some_and(|p| p.part == Part::Transform);
    let first = first.filter(|_| is_sure).map(|p| p.spec.name.clone());
    Some(Arc::new(Redrive::new(
        Arc::clone(&durable.store),
        held.fence,
        filter,
        feed.clone(),
        first.unwrap_or_default(),
        only_sink,
    )))
}

/// The sinks of a run for which dead letters wait that they gave up on.
fn shut(waiting: Vec<Waiting>, job: &Job, planned: &[Planned]) -> BTreeSet<String> {
    let own = match &job.feed {
        Feed::Letters(feed) => Some(feed.stage.as_str()),
        Feed::Source | Feed::Kept(_) => None,
    };
    let is_sink = |name: &str| {
        let mut sinks = planned.iter().filter(|p| p.part == Part::Sink);
        sinks.any(|p| p.spec.name == name)
    };
    let stages = waiting.into_iter().filter(|w| w.undelivered);
    let stages = stages.map(|w| w.stage);
    stages
        .filter(|name| own != Some(name.as_str()) && is_sink(name))
        .collect()
}

impl Tenure {
    pub(super) fn is_shut(&self, sink: &str) -> bool {
        self.shut.contains(sink)
    }

    /// Writes what there is to tell.
    async fn write(&self, told: &Told) -> Result<(), StoreFailure> {
        let commit = self.commit(told);
        self.durable.store.commit(self.fence, commit).await
    }

    fn commit(&self, told: &Told) -> Commit {
        let mut checkpoints = Vec::from_iter(self.source(told));
        checkpoints.extend(self.progress(told));
        let stuck = told.letters.iter().filter(|l| l.undelivered);
        let stuck: BTreeSet<&str> = stuck.map(|l| l.stage.as_str()).collect();
        Commit {
            checkpoints,
            letters: told.letters.clone(),
            redriven: told.redriven.clone(),
            submissions: stuck.into_iter().filter_map(|s| self.retry(s)).collect(),
            room: Some(self.ledger.about.room),
            ..Commit::default()
        }
    }

    /// The run that tries again what a sink gave up on.
    fn retry(&self, sink: &str) -> Option<Submission> {
        let now = self.engine.ports.clock.now();
        let submission = self.engine.circuit(&self.job, sink, now);
        submission
            .inspect_err(|error| {
                tracing::error!(sink, %error, "what a sink gave up on is not tried again by itself");
            })
            .ok()
    }

    fn now(&self) -> Moment {
        self.engine.ports.clock.now().into()
    }

    fn checkpoint(&self, name: String, told: &Told, sinks: &Standings) -> Checkpoint {
        Checkpoint {
            pipeline: self.job.pipeline.id.clone(),
            name,
            cursor: told.cursor.clone(),
            // Numbers and texts: this cannot fail.
            sinks: serde_json::to_string(sinks).unwrap_or_default(),
            run: self.entry.id.clone(),
            records: told.read,
            at: self.now(),
        }
    }

    /// Where a later attempt at this run goes on.
    fn progress(&self, told: &Told) -> Option<Checkpoint> {
        let name = progress_of(&self.entry.id);
        self.resumes
            .then(|| self.checkpoint(name, told, &told.standings))
    }

    /// Where the next run goes on: what is finished of this one is not of that.
    fn source(&self, told: &Told) -> Option<Checkpoint> {
        let mut sinks = told.standings.clone();
        sinks.sinks.retain(|_, standing| !standing.finished);
        self.job
            .incremental
            .then(|| self.checkpoint(self.engine.cursor_name(&self.job.pipeline), told, &sinks))
    }

    /// Tells the store what is new, until it is to stop.
    async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) -> Result<(), Failure> {
        let timer = Arc::clone(&self.engine.ports.stages.timer);
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = self.ledger.poke.notified() => {}
                () = timer.wait(EVERY) => {}
            }
            let Some(told) = self.ledger.tell() else {
                continue;
            };
            let Err(error) = self.write(&told).await else {
                continue;
            };
            self.ledger.take_back(told);
            match error {
                error if error.is_retryable() => {
                    tracing::warn!(run_id = %self.entry.id, %error, "how far a run is cannot be kept now");
                    timer.wait(PAUSE).await;
                }
                StoreFailure::Lost => {
                    self.lose();
                    return Ok(());
                }
                StoreFailure::Bound(what) => return Err(full(&what)),
                other => {
                    let failure = Failure::new(other.to_string());
                    return Err(failure.within("how far the run is cannot be kept"));
                }
            }
        }
    }

    /// Somebody else has the run by now.
    fn lose(&self) {
        self.durable.lose(&self.whole);
        self.entry.cancel();
    }

    /// The work is over in this way: keeps what has to be kept before the run may be said to be.
    async fn close(&self, end: End, cursor: Option<String>) -> End {
        if self.durable.held(&self.whole).is_none() {
            return end;
        }
        let why = match &end {
            End::Failed(failure) => Some(failure.said()),
            _ => None,
        };
        let complete = matches!(end, End::Complete(_));
        let told = self.ledger.close(complete, cursor, why.as_deref());
        if !told.letters.is_empty() || !told.redriven.is_empty() {
            match self.flush(&told).await {
                Ok(()) => {}
                Err(StoreFailure::Lost) => {
                    self.lose();
                    return End::Cancelled;
                }
                Err(StoreFailure::Bound(what)) => return End::Failed(full(&what)),
                Err(other) => return End::Failed(Failure::new(other.to_string())),
            }
        }
        let submissions = self.shut.iter().filter_map(|sink| self.retry(sink));
        self.entry.leave(Left {
            commit: Commit {
                checkpoints: Vec::from_iter(self.source(&told)),
                submissions: submissions.collect(),
                ..Commit::default()
            },
            progress: self.progress(&told),
        });
        end
    }

    async fn flush(&self, told: &Told) -> Result<(), StoreFailure> {
        loop {
            match self.write(told).await {
                Err(error) if error.is_retryable() && self.durable.held(&self.whole).is_some() => {
                    tracing::warn!(run_id = %self.entry.id, %error, "what a run could not deliver cannot be kept yet");
                    self.engine.ports.stages.timer.wait(PAUSE).await;
                }
                done => return done,
            }
        }
    }
}

/// The task that tells the store.
pub(super) struct Keeping {
    tenure: Option<Arc<Tenure>>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<Result<(), Failure>>>,
}

impl Keeping {
    /// Begins; none: nothing is kept.
    pub(super) fn of(tenure: Option<Tenure>) -> Self {
        let tenure = tenure.map(Arc::new);
        let (stop, stopped) = watch::channel(false);
        let task = tenure.clone().map(|t| tokio::spawn(t.keep(stopped)));
        Self { tenure, stop, task }
    }

    pub(super) fn tenure(&self) -> Option<&Tenure> {
        self.tenure.as_deref()
    }

    /// Waits until it fails, for ever if it does not.
    pub(super) async fn fails(task: &mut Option<JoinHandle<Result<(), Failure>>>) -> Failure {
        if let Some(running) = task {
            let done = running.await;
            *task = None;
            match done {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => return failure,
                Err(error) => return Failure::new(error.to_string()),
            }
        }
        std::future::pending().await
    }

    /// The task, to be waited for beside the work.
    pub(super) fn task(&mut self) -> Option<JoinHandle<Result<(), Failure>>> {
        self.task.take()
    }

    /// The work is over in this way, and the source was at `cursor`: how it ended with what had to be kept.
    pub(super) async fn close(
        self,
        task: Option<JoinHandle<Result<(), Failure>>>,
        end: End,
        cursor: Option<String>,
    ) -> End {
        self.stop.send_replace(true);
        if let Some(task) = task
            && let Ok(Err(failure)) = task.await
        {
            let end = End::Failed(failure);
            return match &self.tenure {
                Some(tenure) => tenure.close(end, cursor).await,
                None => end,
            };
        }
        match &self.tenure {
            Some(tenure) => tenure.close(end, cursor).await,
            None => end,
        }
    }
}
