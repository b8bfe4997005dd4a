//! Compositions: runs made of other runs, each with a record of its own. They hold no turn while their parts move data.

mod ended;

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use model::id::PipelineId;
use model::pipeline::{Backoff, OnError, Pipeline, Step, Work};
use model::run::{RunRecord, RunState, Started};
use serde_json::{Map, Value};

use self::ended::{Ended, cancelled_or, has_failed, judge};
use super::condition::Condition;
use super::open::NoReferences;
use super::retry::Tries;
use super::{End, Failure, Feed, Job};
use crate::Engine;
use crate::parameters::complete;
use crate::runs::backfill::Windows;
use crate::runs::entry::Entry;
use crate::runs::{is_incremental, listed};
use crate::templates::{self, Values};

/// A part of a composition: what it is called there, and the run it comes down to.
type Piece = (String, Job);

/// How parts run beside each other.
#[derive(Debug, Clone, Copy)]
struct Beside {
    at_once: usize,
    /// Does a failure leave out those that have not begun?
    stop: bool,
    /// Does it cancel those that have?
    cancel: bool,
}

impl Engine {
    /// Runs the parts of a composition.
    pub(super) async fn compose(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job) -> End {
        match self.composed(entry, job).await {
            Ok(end) => end,
            Err(failure) => cancelled_or(entry, End::Failed(failure)),
        }
    }

    async fn composed(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job) -> Result<End, Failure> {
        match &job.pipeline.work {
            Work::Flow(_) => Ok(End::Complete(true)),
            Work::Sequential {
                pipelines,
                stop_on_error,
            } => {
                let pieces = self.pieces(entry, job, pipelines.iter())?;
                Ok(self.in_sequence(entry, pieces, *stop_on_error).await)
            }
            Work::Parallel {
                pipelines,
                max_workers,
                on_error,
            } => {
                let pieces = self.pieces(entry, job, pipelines.iter())?;
                let most = max_workers.and_then(|n| usize::try_from(n.get()).ok());
                let fast = *on_error == OnError::FailFast;
                let beside = Beside {
                    // Those that are not begun yet wait here, as what they are to do, and not as runs.
                    at_once: most.unwrap_or(self.runs.at_once),
                    stop: fast,
                    cancel: fast,
                };
                let runs = self.side_by_side(entry, pieces, beside, Started::Composition);
                Ok(judge(entry, runs.await?, *on_error == OnError::Ignore))
            }
            Work::Conditional {
                condition,
                then,
                otherwise,
            } => {
                let condition = Condition::parse(condition).map_err(Failure::new)?;
                let (params, window) = (&job.parameters, job.window.as_ref());
                let holds = condition.holds(params, window, job.previous.as_deref());
                let chosen = if holds.map_err(Failure::new)? {
                    Some(&**then)
                } else {
                    otherwise.as_deref()
                };
                let pieces = self.pieces(entry, job, chosen.into_iter())?;
                Ok(self.in_sequence(entry, pieces, true).await)
            }
            Work::Retry { pipeline, backoff } => {
                let pieces = self.pieces(entry, job, std::iter::once(&**pipeline))?;
                match pieces.into_iter().next() {
                    Some(piece) => Ok(self.again_and_again(entry, piece, backoff).await),
                    None => Ok(End::Complete(true)),
                }
            }
        }
    }

    /// What the steps come down to. All are known before the first begins.
    fn pieces<'a>(
        &self,
        entry: &Entry,
        job: &Job,
        steps: impl Iterator<Item = &'a Step>,
    ) -> Result<Vec<Piece>, Failure> {
        let piece = |step: &Step| {
            let (id, piece) = match step {
                Step::Inline(pipeline) => (&pipeline.id, self.inline(job, pipeline)),
                Step::Named { id, parameters } => (id, self.named(entry, job, id, parameters)),
            };
            let piece = piece.map_err(|e| Failure::new(e).within(format!("pipeline {id}")))?;
            Ok((id.to_string(), piece))
        };
        steps.map(piece).collect()
    }

    /// What is written in place sees the parameters and the window of the whole.
    fn inline(&self, job: &Job, pipeline: &Pipeline) -> Result<Job, String> {
        let mut parameters = given(pipeline, job)?;
        for (name, value) in &job.parameters {
            parameters
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        let pipeline = Arc::new(pipeline.clone());
        self.within(job, pipeline, job.version, parameters, true)
    }

    /// A registered one gets what it is given, and nothing else by its name.
    fn named(
        &self,
        entry: &Entry,
        job: &Job,
        id: &PipelineId,
        given: &Map<String, Value>,
    ) -> Result<Job, String> {
        let found = self.pipeline(id).ok_or("there is no such pipeline")?;
        let values = Values {
            pipeline: job.pipeline.id.clone(),
            run: entry.id.clone(),
            parameters: job.parameters.clone(),
            window: job.window.clone(),
        };
        let given = templates::fill(given, &values, &NoReferences);
        let given = given.map_err(|wrong| listed(&wrong))?;
        let parameters = complete(&found.pipeline.parameters, &given);
        let parameters = parameters.map_err(|wrong| listed(&wrong))?;
        let own = found.pipeline.timescope.as_ref();
        // A day's pipeline is not made to load a month because a month's names it.
        let same = own.is_none() || own == job.scope.as_ref();
        self.within(job, found.pipeline, found.version, parameters, same)
    }

    /// A part of what a job is to do, over the same window or one of its own.
    fn within(
        &self,
        job: &Job,
        pipeline: Arc<Pipeline>,
        version: u64,
        parameters: Map<String, Value>,
        same_window: bool,
    ) -> Result<Job, String> {
        let (window, scope) = match &job.window {
            Some(window) if same_window => (Some(window.clone()), job.scope.clone()),
            _ => (self.window(&pipeline, None)?, pipeline.timescope.clone()),
        };
        Ok(Job {
            version,
            parameters,
            window,
            scope,
            limit: job.limit,
            preview: job.preview,
            dry_run: job.dry_run,
            previous: job.previous.clone(),
            windows: None,
            incremental: self.durable.is_some()
                && version > 0
                && !job.dry_run
                && job.limit.is_none()
                && job.preview.is_none()
                && is_incremental(&pipeline),
            feed: Feed::Source,
            tee: None,
            pipeline,
        })
    }

    async fn in_sequence(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        pieces: Vec<Piece>,
        stop_on_error: bool,
    ) -> End {
        let mut ends = Vec::new();
        let mut last: Option<Box<RunRecord>> = None;
        for (name, mut job) in pieces {
            job.previous = last.or(job.previous);
            let run = match self.part(entry, job, Started::Composition).await {
                Ok(run) => run,
                Err(failure) => return cancelled_or(entry, End::Failed(failure)),
            };
            let stop = stop_on_error && has_failed(run.state);
            ends.push(Ended::of(name, &run));
            last = Some(Box::new(run));
            if stop || entry.is_cancelled() {
                break;
            }
        }
        judge(entry, ends, false)
    }

    /// Runs parts in order, some at once. Answers how those ended that began.
    ///
    /// # Errors
    /// One could not be started: why, once those under way are over.
    async fn side_by_side(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        pieces: Vec<Piece>,
        beside: Beside,
        started_by: Started,
    ) -> Result<Vec<Ended>, Failure> {
        let mut waiting = pieces.into_iter();
        let mut under_way = FuturesUnordered::new();
        let mut done = Vec::new();
        let mut stopped = false;
        let mut refused = None;
        loop {
            while !stopped && !entry.is_cancelled() && under_way.len() < beside.at_once.max(1) {
                let Some((name, job)) = waiting.next() else {
                    break;
                };
                match self.begin_part(entry, job, started_by) {
                    Ok(part) => {
                        under_way.push(async move { Ended::of(name, &part.over().await) });
                    }
                    Err(failure) => {
                        refused = Some(failure);
                        stopped = true;
                        if beside.cancel {
                            self.cancel_parts(entry);
                        }
                    }
                }
            }
            let Some(end) = under_way.next().await else {
                break;
            };
            if has_failed(end.state) && !entry.is_cancelled() {
                stopped |= beside.stop;
                if beside.cancel {
                    self.cancel_parts(entry);
                }
            }
            done.push(end);
        }
        refused.map_or(Ok(done), Err)
    }

    fn cancel_parts(&self, entry: &Entry) {
        for id in entry.look(|r| r.children.clone()) {
            let _over_already = self.cancel(&id);
        }
    }

    /// Runs a part again while it fails.
    async fn again_and_again(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        (name, job): Piece,
        backoff: &Backoff,
    ) -> End {
        let mut tries = Tries::new(backoff);
        loop {
            let run = match self.part(entry, job.clone(), Started::Composition).await {
                Ok(run) => run,
                Err(failure) => return cancelled_or(entry, End::Failed(failure)),
            };
            let wait = match tries.again() {
                Some(wait) if run.state == RunState::Failed && !entry.is_cancelled() => wait,
                _ => {
                    let said = tries.said();
                    return match judge(entry, vec![Ended::of(name, &run)], false) {
                        End::Failed(failure) if !said.is_empty() => {
                            End::Failed(failure.within(format!("given up{said}")))
                        }
                        end => end,
                    };
                }
            };
            entry.log(
                "warn",
                None,
                format!(
                    "{name} failed; it runs again in {:.3} s",
                    wait.as_secs_f64()
                ),
            );
            tokio::select! {
                () = self.ports.stages.timer.wait(wait) => {}
                () = entry.cancelled() => return End::Cancelled,
            }
        }
    }

    /// Runs a part to its end.
    async fn part(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: Job,
        started_by: Started,
    ) -> Result<RunRecord, Failure> {
        let part = self.begin_part(entry, job, started_by)?;
        Ok(part.over().await)
    }

    fn begin_part(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: Job,
        started_by: Started,
    ) -> Result<Arc<Entry>, Failure> {
        let id = job.pipeline.id.clone();
        let part = self.start_run(job, started_by, Some(entry));
        let part =
            part.map_err(|e| Failure::new(e.to_string()).within(format!("pipeline {id}")))?;
        entry.add_part(&part);
        Ok(part)
    }

    /// Runs a pipeline once for each window, in order.
    pub(super) async fn run_windows(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: &Job,
        windows: &Windows,
    ) -> End {
        let pieces = windows.windows.iter().map(|window| {
            let piece = Job {
                window: Some(window.clone()),
                windows: None,
                ..job.clone()
            };
            (window.label.clone(), piece)
        });
        let beside = Beside {
            at_once: windows.parallel.get(),
            stop: windows.stop_on_error,
            cancel: false,
        };
        let runs = self.side_by_side(entry, pieces.collect(), beside, Started::Backfill);
        match runs.await {
            Ok(ends) => judge(entry, ends, false),
            Err(failure) => cancelled_or(entry, End::Failed(failure)),
        }
    }
}

/// What a part is given: the parameters it has, by their names.
fn given(pipeline: &Pipeline, job: &Job) -> Result<Map<String, Value>, String> {
    let names = pipeline.parameters.iter().map(|p| &p.name);
    let known = names.filter_map(|n| Some((n.clone(), job.parameters.get(n)?.clone())));
    complete(&pipeline.parameters, &known.collect()).map_err(|wrong| listed(&wrong))
}
