//! One run: waits for its turn, asks the hooks, moves the data or runs the parts, and says how it ended. Which runs there are is `runs`' business.

mod asked;
mod compose;
pub(crate) mod condition;
pub(crate) mod feed;
mod flow;
mod keep;
mod keeping;
mod ledger;
mod letters;
pub(crate) mod lines;
mod masked;
pub(crate) mod meter;
mod open;
mod plugin;
pub(crate) mod preview;
mod rejects;
pub(crate) mod retry;
mod route;
mod sink;
mod source;
mod spill;
pub(crate) mod tee;
mod tell;
mod work;

use std::sync::Arc;

use model::error::StageError;
use model::exchange::Cause;
use model::hooks::Point;
use model::pipeline::{Pipeline, Timescope, Work};
use model::run::{Covered, Part, RunRecord, RunState, Started};
use serde_json::{Map, Value, json};
use tracing::Instrument as _;

pub use self::feed::{Feed, Kept, LetterFeed};
use self::tee::Tee;
use crate::Engine;
use crate::hooks::step;
use crate::pipelines::validate::refusal;
use crate::runs::backfill::Windows;
use crate::runs::entry::Entry;

/// What a run is to do.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) version: u64,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) window: Option<Covered>,
    /// What the window is one of.
    pub(crate) scope: Option<Timescope>,
    pub(crate) limit: Option<u64>,
    pub(crate) preview: Option<u32>,
    pub(crate) dry_run: bool,
    /// The run before, in a sequence.
    pub(crate) previous: Option<Box<RunRecord>>,
    /// It runs once for each of these.
    pub(crate) windows: Option<Windows>,
    /// Does it go on where the run before ended?
    pub(crate) incremental: bool,
    /// What it reads.
    pub(crate) feed: Feed,
    /// Keeps what would go to sinks that are not opened.
    pub(crate) tee: Option<Arc<Tee>>,
}

/// Why a run did not come to its end: what happened first, then what that was part of.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) Vec<String>);

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(vec![what.into()])
    }

    /// In one line: the whole first, then what caused it.
    pub(crate) fn said(&self) -> String {
        let lines: Vec<_> = self.0.iter().rev().map(|e| e.replace('\n', "; ")).collect();
        lines.join(": ")
    }

    pub(crate) fn within(mut self, what: impl Into<String>) -> Self {
        self.0.push(what.into());
        self
    }
}

/// How the work of a run ended.
#[derive(Debug)]
pub(crate) enum End {
    /// To its end; was everything delivered?
    Complete(bool),
    Failed(Failure),
    Cancelled,
}

/// What a run read and delivered, of all its stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records_in: u64,
    pub(crate) records_out: u64,
    pub(crate) rejected: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Counts {
    pub(crate) fn of(run: &RunRecord) -> Self {
        let mut counts = Self::default();
        for stage in &run.stages {
            counts.rejected += stage.rejected;
            match stage.part {
                Part::Source => {
                    counts.records_in += stage.records_out;
                    counts.bytes_in += stage.bytes_out;
                }
                Part::Transform => {}
                Part::Sink => {
                    counts.records_out += stage.records_out;
                    counts.bytes_out += stage.bytes_out;
                }
            }
        }
        counts
    }
}

impl Engine {
    /// Sets a run going.
    pub(crate) fn spawn_run(self: &Arc<Self>, entry: Arc<Entry>, job: Job) {
        let span = tracing::info_span!("run", run_id = %entry.id, pipeline = %job.pipeline.id);
        let (engine, keeper) = (Arc::clone(self), Arc::clone(self));
        let carried = Arc::clone(&entry);
        let work = async move { engine.carry_out(&carried, job).await };
        let task = self.runs.lane.spawn(work.instrument(span));
        // What panics ends its run, not more.
        let watched = async move {
            if let Err(error) = task.await
                && !error.is_cancelled()
            {
                let said = vec!["the run broke off: a fault of the host's own".into()];
                keeper.end_run(&entry, &entry.ending(RunState::Failed, said));
                tracing::error!(run_id = %entry.id, %error, "a run broke off");
            }
        };
        self.runs.lane.spawn(watched);
    }

    async fn carry_out(self: &Arc<Self>, entry: &Arc<Entry>, job: Job) {
        let end = self.take_turn(entry, &job).await;
        self.conclude(entry, end).await;
    }

    /// Waits for a turn, where data is moved; compositions only wait for their parts.
    async fn take_turn(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job) -> End {
        let moves = matches!(job.pipeline.work, Work::Flow(_)) && job.windows.is_none();
        let turn = async {
            if moves {
                // The semaphore is never closed; if it were, runs would go without turns.
                Arc::clone(&self.runs.turns).acquire_owned().await.ok()
            } else {
                None
            }
        };
        let _turn = tokio::select! {
            biased;
            () = entry.cancelled() => return End::Cancelled,
            turn = turn => turn,
        };
        entry.begin();
        self.tell_started(entry);
        let ticking = self.tick(Arc::clone(entry));
        let end = self.in_time(entry, job).await;
        ticking.abort();
        end
    }

    /// Does the work before the pipeline's deadline.
    async fn in_time(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job) -> End {
        let work = self.with_start_hooks(entry, job);
        let Some(deadline) = job.pipeline.limits.deadline else {
            return work.await;
        };
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            end = &mut work => return end,
            () = tokio::time::sleep(deadline) => entry.cancel(),
        }
        match work.await {
            End::Cancelled => End::Failed(Failure::new(format!(
                "it took longer than {} s (limits.deadline)",
                deadline.as_secs_f64()
            ))),
            end => end,
        }
    }

    /// Does the work, with the hooks at `run_start` around it.
    async fn with_start_hooks(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job) -> End {
        if !self.hooked.at(Point::RunStart) {
            return self.work(entry, job).await;
        }
        let record = entry.record();
        let window = record
            .window
            .as_ref()
            .map(|w| json!({"label": w.label, "start": w.start, "end": w.end}));
        let context = json!({
            "run_id": record.id,
            "pipeline": record.pipeline,
            "version": record.version,
            "trigger": record.started_by,
            "window": window,
            "parameters": record.parameters,
        });
        // The hooks stand around the start: they are not kept waiting for as long as the run takes.
        let answer = json!({"run_id": record.id}).to_string();
        let let_through = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let started = {
            let through = Arc::clone(&let_through);
            step(move |_, _| {
                through.store(true, std::sync::atomic::Ordering::SeqCst);
                std::future::ready(Ok(answer))
            })
        };
        let asked = self.step(
            Point::RunStart,
            Cause::default(),
            context.to_string(),
            started,
        );
        match asked.await {
            Err(error) => End::Failed(Failure::new(refusal(&error))),
            Ok(_) if !let_through.load(std::sync::atomic::Ordering::SeqCst) => {
                End::Failed(Failure::new("a hook at run_start did not let it begin"))
            }
            Ok(_) => self.work(entry, job).await,
        }
    }

    async fn work(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job) -> End {
        if let Some(windows) = &job.windows {
            return Box::pin(self.run_windows(entry, job, windows)).await;
        }
        match &job.pipeline.work {
            Work::Flow(flow) => Box::pin(self.move_data(entry, job, flow)).await,
            _ => Box::pin(self.compose(entry, job)).await,
        }
    }

    /// The run is over: the hooks at `run_complete`, the record, the counters, the event.
    async fn conclude(self: &Arc<Self>, entry: &Arc<Entry>, end: End) {
        let (state, error) = match end {
            End::Complete(true) => (RunState::Succeeded, Vec::new()),
            End::Complete(false) => (RunState::Partial, Vec::new()),
            End::Failed(failure) => (RunState::Failed, failure.0),
            End::Cancelled => (RunState::Cancelled, Vec::new()),
        };
        if self.hooked.at(Point::RunComplete)
            && let Err(refused) = self.complete_hooks(entry, state, &error).await
        {
            // What has happened cannot be refused any more.
            entry.log("warn", None, refusal(&refused));
        }
        for line in error.iter().flat_map(|e| e.lines()) {
            entry.log("error", None, line.to_owned());
        }
        // The tasks that made them are gone, and they with them.
        entry.log_left_out();
        let record = entry.ending(state, error);
        let goes_on = self.settle_run(entry, &record).await;
        self.run_meters.over(&record);
        if goes_on {
            self.end_run(entry, &record);
            // What it is now, the store says.
            self.runs.book.remove(&record.id);
        } else {
            self.tell_over(&record);
            self.end_run(entry, &record);
            if record.started_by != Started::Redrive {
                Box::pin(self.start_those_after(&record)).await;
            }
            if record.started_by == Started::Webhook {
                Box::pin(self.take_the_rest(&record)).await;
            }
        }
        let counts = Counts::of(&record);
        let (read, delivered) = (counts.records_in, counts.records_out);
        let (state, error) = (state.as_str(), record.error.first());
        tracing::info!(run_id = %record.id, pipeline = %record.pipeline, state, read, delivered, rejected = counts.rejected,
            duration_ms = record.duration_ms, error, "a run is over");
        self.sweep_runs(false).await;
    }

    async fn complete_hooks(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        state: RunState,
        error: &[String],
    ) -> Result<(), StageError> {
        let record = entry.record();
        let counts = Counts::of(&record);
        let context = json!({
            "run_id": record.id,
            "pipeline": record.pipeline,
            "state": state,
            "records_in": counts.records_in,
            "records_out": counts.records_out,
            "rejected": counts.rejected,
            "time_ms": record.duration_ms,
            "error": error.first(),
        });
        let answer = json!({"run_id": record.id}).to_string();
        let recorded = step(move |_, _| std::future::ready(Ok(answer)));
        let asked = self.step(
            Point::RunComplete,
            Cause::default(),
            context.to_string(),
            recorded,
        );
        asked.await.map(drop)
    }
}
