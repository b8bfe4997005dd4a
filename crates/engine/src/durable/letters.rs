//! Dead letters as people deal with them: looked at, edited, forgotten, tried again; and the circuits of sinks that gave up, which are runs that try again by themselves until nothing is left.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::id::PipelineId;
use model::pipeline::{Flow, Pipeline, Work};
use model::run::{RunId, RunRecord, RunState, Started};
use model::store::{
    Failure, Letter, LetterFilter, LetterId, LetterState, Moment, Purge, Submission, Waiting,
};
use serde_json::{Map, Value};

use super::{Args, Durable, QUEUE, submission};
use crate::Engine;
use crate::run::{Feed, Job, LetterFeed};
use crate::runs::{SubmitError, Trigger, Which};

/// Dead letters that are delivered are remembered while they are among the newest so many of their pipeline.
const REMEMBERED: u32 = 1_000;
/// Letters that are forgotten at once.
const AT_ONCE: u32 = 500;

/// Why dead letters are not tried again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedriveError {
    /// Runs are not kept here, so that there are none.
    #[error("this server keeps no runs, and so no dead letters")]
    NotKept,
    /// Of these ids, one is no dead letter of the pipeline that could be tried again.
    #[error("{0}")]
    Letter(String),
    /// A run could not be started.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// An instant as people write it: RFC 3339, `2026-11-22T15:30:00Z`.
///
/// # Errors
/// A sentence that says what was given.
pub fn moment(text: &str) -> Result<Moment, String> {
    let at = text.parse::<jiff::Timestamp>();
    at.map(|at| Moment::from_ms(at.as_millisecond()))
        .map_err(|_| {
            let text: String = text.chars().take(64).collect();
            format!("{text:?} is no instant; one such as 2026-11-22T15:30:00Z is needed")
        })
}

/// Bytes as a text, or in Base64 where they are none.
#[must_use]
pub fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

/// A sink that gave up, whose dead letters are tried again by themselves. While some wait, what comes for it goes behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCircuit {
    /// The sink.
    pub sink: String,
    /// How many wait.
    pub letters: u64,
    /// When the first of them came.
    pub since: Moment,
    /// The run that tries them.
    pub run: Option<RunId>,
    /// When it does next; none: it does now.
    pub again: Option<Moment>,
    /// How often it has tried in vain.
    pub attempts: u32,
}

impl Engine {
    fn kept(&self) -> Result<&Durable, Failure> {
        let durable = self.durable.as_deref();
        durable.ok_or_else(|| Failure::Invalid("this server keeps no runs".into()))
    }

    /// Dead letters in the order they came, at most `limit`.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn letters(&self, filter: LetterFilter, limit: u32) -> Result<Vec<Letter>, Failure> {
        match self.kept() {
            Ok(durable) => durable.store.letters(filter, limit).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    /// A dead letter of a pipeline.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn letter(
        &self,
        pipeline: &PipelineId,
        id: LetterId,
    ) -> Result<Option<Letter>, Failure> {
        let Ok(durable) = self.kept() else {
            return Ok(None);
        };
        let found = durable.store.letter(id).await?;
        Ok(found.filter(|letter| letter.new.pipeline == *pipeline))
    }

    /// Changes the record of one that waits, or with none takes the change back; false: it does not wait.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn edit_letter(&self, id: LetterId, record: Option<Bytes>) -> Result<bool, Failure> {
        self.kept()?.store.edit_letter(id, record).await
    }

    /// Forgets dead letters; how many it were. Those that are being tried stay.
    ///
    /// # Errors
    /// The store did not do all of it.
    pub async fn purge_letters(&self, purge: Purge) -> Result<u64, Failure> {
        let Ok(durable) = self.kept() else {
            return Ok(0);
        };
        let mut all = 0_u64;
        loop {
            let gone = durable.store.purge_letters(purge.clone(), AT_ONCE).await?;
            all = all.saturating_add(gone.into());
            if gone < AT_ONCE {
                return Ok(all);
            }
        }
    }

    /// What is not dealt with, by stage.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn letters_waiting(&self, pipeline: PipelineId) -> Result<Vec<Waiting>, Failure> {
        match self.kept() {
            Ok(durable) => durable.store.letters_waiting(pipeline).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The sinks of a pipeline that gave up, and when they are tried again.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn circuits(&self, pipeline: &PipelineId) -> Result<Vec<OpenCircuit>, Failure> {
        let waiting = self.letters_waiting(pipeline.clone()).await?;
        let stuck: Vec<_> = waiting.into_iter().filter(|w| w.undelivered).collect();
        let Some(durable) = self.durable.as_deref().filter(|_| !stuck.is_empty()) else {
            return Ok(Vec::new());
        };
        let runs = redrives(durable, pipeline).await?;
        let mut circuits = Vec::new();
        for waiting in stuck {
            let mut circuit = OpenCircuit {
                sink: waiting.stage,
                letters: waiting.letters,
                since: waiting.since,
                run: None,
                again: None,
                attempts: 0,
            };
            let run = runs.iter().find(|(_, job)| feeds(job, &circuit.sink));
            if let Some((run, job)) = run {
                let waits = !matches!(job.state, model::store::JobState::Executing);
                circuit.run = Some(run.clone());
                circuit.again = waits.then_some(job.new.at);
                circuit.attempts = job.attempt.saturating_sub(u32::from(!waits));
            }
            circuits.push(circuit);
        }
        Ok(circuits)
    }

    /// Has dead letters tried again: those of a stage, or all, or just these. The runs that do so.
    ///
    /// # Errors
    /// Why not; what was started by then goes on.
    pub async fn redrive(
        &self,
        pipeline: &PipelineId,
        stage: Option<&str>,
        ids: &[LetterId],
    ) -> Result<Vec<RunId>, RedriveError> {
        let durable = self.durable.as_deref().ok_or(RedriveError::NotKept)?;
        let found = self.pipeline(pipeline);
        let found = found.ok_or_else(|| SubmitError::NotFound(pipeline.clone()))?;
        if self.is_closing() {
            return Err(SubmitError::ShuttingDown.into());
        }
        let now = self.ports.clock.now();
        let mut feeds = Vec::new();
        if ids.is_empty() {
            let waiting = durable.store.letters_waiting(pipeline.clone()).await?;
            let waiting = waiting.into_iter();
            for w in waiting.filter(|w| stage.is_none_or(|stage| stage == w.stage)) {
                feeds.push(LetterFeed {
                    stage: w.stage,
                    undelivered: w.undelivered,
                    ids: Vec::new(),
                });
            }
        } else {
            feeds = self.chosen(pipeline, stage, ids).await?;
        }
        let mut runs = Vec::new();
        for feed in feeds {
            let job = self.redrive_job(durable, &found.pipeline, found.version, &feed);
            let submission = self.redriving(&job.await?, feed, now);
            let submitted = durable.store.submit(submission?).await?;
            if !submitted.new {
                // It waits for its time, or is at it.
                let _waits = durable
                    .store
                    .hasten(submitted.run.clone(), now.into())
                    .await?;
            }
            runs.push(submitted.run);
        }
        durable.poke();
        Ok(runs)
    }

    /// Letters by their ids, for a run a stage.
    async fn chosen(
        &self,
        pipeline: &PipelineId,
        stage: Option<&str>,
        ids: &[LetterId],
    ) -> Result<Vec<LetterFeed>, RedriveError> {
        let mut feeds: Vec<LetterFeed> = Vec::new();
        for id in ids {
            let letter = self.letter(pipeline, *id).await?;
            let letter = letter
                .filter(|l| stage.is_none_or(|stage| stage == l.new.stage))
                .ok_or_else(|| {
                    let of = stage.map_or_else(String::new, |s| format!(" of the stage {s}"));
                    RedriveError::Letter(format!(
                        "there is no dead letter {}{of} of pipeline {pipeline}",
                        id.0
                    ))
                })?;
            if letter.state == LetterState::Resolved {
                return Err(RedriveError::Letter(format!(
                    "the dead letter {} is delivered already",
                    id.0
                )));
            }
            match feeds.iter_mut().find(|f| f.stage == letter.new.stage) {
                Some(feed) => feed.ids.push(id.0),
                None => feeds.push(LetterFeed {
                    stage: letter.new.stage,
                    undelivered: letter.new.undelivered,
                    ids: vec![id.0],
                }),
            }
        }
        Ok(feeds)
    }

    /// What a run does that tries again: with what the run was given that the first of the letters is of.
    async fn redrive_job(
        &self,
        durable: &Durable,
        pipeline: &std::sync::Arc<Pipeline>,
        version: u64,
        feed: &LetterFeed,
    ) -> Result<Job, RedriveError> {
        let filter = LetterFilter {
            stage: Some(feed.stage.clone()),
            undelivered: feed.ids.is_empty().then_some(feed.undelivered),
            id: feed.ids.first().copied().map(LetterId),
            ..LetterFilter::of(pipeline.id.clone())
        };
        let first = durable.store.letters(filter, 1).await?;
        let mut trigger = Trigger::of(Which::Named(pipeline.id.clone()));
        trigger.started_by = Started::Redrive;
        let mut window = None;
        if let Some(first) = first.first()
            && let Some(run) = durable.store.run(first.new.run.clone()).await?
            && let Ok(record) = serde_json::from_str::<RunRecord>(&run.run.record)
        {
            let has = |name: &String| pipeline.parameters.iter().any(|p| p.name == *name);
            let known = record.parameters.into_iter().filter(|(name, _)| has(name));
            trigger.parameters = known.collect::<Map<String, Value>>();
            window = record.window;
        }
        let job = self.job(std::sync::Arc::clone(pipeline), version, &trigger)?;
        Ok(Job {
            window: window.or(job.window.clone()),
            ..job
        })
    }

    /// The run that tries again by itself what a sink gave up on in a run.
    pub(crate) fn circuit(
        &self,
        job: &Job,
        sink: &str,
        now: SystemTime,
    ) -> Result<Submission, SubmitError> {
        let feed = LetterFeed::circuit_of(sink.to_owned());
        let wait = job.pipeline.errors.circuit.first;
        self.redriving(job, feed, now + wait)
    }

    /// A run that tries again, not before a time. There is one at once for those that a sink gave up on, which goes on until it is done, and one for what a stage rejected.
    fn redriving(
        &self,
        job: &Job,
        feed: LetterFeed,
        at: SystemTime,
    ) -> Result<Submission, SubmitError> {
        let is_circuit = feed.is_circuit();
        let key = feed.ids.is_empty().then(|| {
            let kind = if feed.undelivered {
                "circuit"
            } else {
                "redrive"
            };
            format!("{kind}:{}:{}", job.pipeline.id, feed.stage)
        });
        let trigger = Trigger {
            started_by: Started::Redrive,
            not_before: Some(at),
            ..Trigger::of(Which::Named(job.pipeline.id.clone()))
        };
        let job = Job {
            limit: None,
            preview: None,
            dry_run: false,
            previous: None,
            windows: None,
            incremental: false,
            feed: Feed::Letters(feed),
            tee: None,
            ..job.clone()
        };
        let now = self.ports.clock.now();
        let record = self.new_record(&job, Started::Redrive, None, now);
        let mut submission = submission(&record, &job, &trigger, QUEUE.into(), now.into());
        submission.job.key = key;
        if is_circuit {
            submission.job.max_attempts = u32::MAX;
        }
        Ok(submission)
    }

    /// A run that tried again is over: what came behind its back is tried, too, and what is delivered is forgotten in time.
    pub(super) async fn look_behind(&self, durable: &Durable, record: &RunRecord) {
        if let Err(error) = self.looked_behind(durable, record).await {
            tracing::warn!(pipeline = %record.pipeline, %error, "it cannot be seen whether more dead letters wait");
        }
    }

    async fn looked_behind(
        &self,
        durable: &Durable,
        record: &RunRecord,
    ) -> Result<(), RedriveError> {
        let pipeline = &record.pipeline;
        self.purge_letters(Purge {
            pipeline: pipeline.clone(),
            id: None,
            stage: None,
            state: Some(LetterState::Resolved),
            before: None,
            keep: Some(REMEMBERED),
        })
        .await?;
        let Some(found) = self.pipeline(pipeline).filter(|_| !self.is_closing()) else {
            return Ok(());
        };
        for waiting in durable.store.letters_waiting(pipeline.clone()).await? {
            if !waiting.undelivered || !is_sink(&found.pipeline, &waiting.stage) {
                continue;
            }
            let feed = LetterFeed::circuit_of(waiting.stage);
            let job = self.redrive_job(durable, &found.pipeline, found.version, &feed);
            let submission = self.circuit(&job.await?, &feed.stage, self.ports.clock.now())?;
            let _there_or_new = durable.store.submit(submission).await?;
        }
        Ok(())
    }
}

fn is_sink(pipeline: &Pipeline, name: &str) -> bool {
    matches!(&pipeline.work, Work::Flow(Flow { sinks, .. }) if sinks.iter().any(|s| s.name == name))
}

/// Does this job try again by itself what the sink gave up on?
fn feeds(job: &model::store::Job, sink: &str) -> bool {
    let args: Args = serde_json::from_str(&job.new.args).unwrap_or_default();
    matches!(args.feed, Feed::Letters(feed) if feed.stage == sink && feed.is_circuit())
}

/// The runs of a pipeline that try again and are not over, with their jobs.
async fn redrives(
    durable: &Durable,
    pipeline: &PipelineId,
) -> Result<Vec<(RunId, model::store::Job)>, Failure> {
    let mut all = Vec::new();
    for state in [RunState::Running, RunState::Queued] {
        for run in durable.runs_of(pipeline, state).await? {
            if run.run.started_by != Started::Redrive {
                continue;
            }
            if let Some(job) = durable.store.job(run.run.id.clone()).await? {
                all.push((run.run.id, job));
            }
        }
    }
    Ok(all)
}
