//! Compositions: runs made of other runs, each with a record of its own. They hold no turn while their parts move data.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use model::pipeline::{Backoff, OnError, Pipeline, Step, Work};
use model::run::{RunRecord, RunState, Started};
use serde_json::Map;

use super::condition::Condition;
use super::retry::Tries;
use super::{End, Failure, Job};
use crate::Engine;
use crate::parameters::complete;
use crate::runs::backfill::Windows;
use crate::runs::entry::Entry;
use crate::runs::listed;

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
            Err(failure) => End::Failed(failure),
        }
    }

    async fn composed(self: &Arc<Self>, entry: &Arc<Entry>, job: &Job) -> Result<End, Failure> {
        match &job.pipeline.work {
            Work::Flow(_) => Ok(End::Complete(true)),
            Work::Sequential {
                pipelines,
                stop_on_error,
            } => {
                let pieces = self.pieces(job, pipelines.iter())?;
                Ok(self.in_sequence(entry, pieces, *stop_on_error).await)
            }
            Work::Parallel {
                pipelines,
                max_workers,
                on_error,
            } => {
                let pieces = self.pieces(job, pipelines.iter())?;
                let most = max_workers.and_then(|n| usize::try_from(n.get()).ok());
                let fast = *on_error == OnError::FailFast;
                let beside = Beside {
                    at_once: most.unwrap_or(usize::MAX),
                    stop: fast,
                    cancel: fast,
                };
                let runs = self.side_by_side(entry, pieces, beside, Started::Composition);
                Ok(judge(entry, &runs.await, *on_error == OnError::Ignore))
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
                let pieces = self.pieces(job, chosen.into_iter())?;
                Ok(self.in_sequence(entry, pieces, true).await)
            }
            Work::Retry { pipeline, backoff } => {
                let pieces = self.pieces(job, std::iter::once(&**pipeline))?;
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
        job: &Job,
        steps: impl Iterator<Item = &'a Step>,
    ) -> Result<Vec<Piece>, Failure> {
        steps.map(|step| self.piece(job, step)).collect()
    }

    fn piece(&self, job: &Job, step: &Step) -> Result<Piece, Failure> {
        let (pipeline, version) = match step {
            Step::Inline(pipeline) => (Arc::new((**pipeline).clone()), job.version),
            Step::Named(id) => {
                let found = self.pipeline(id);
                let found =
                    found.ok_or_else(|| Failure::new(format!("there is no pipeline {id}")))?;
                (found.pipeline, found.version)
            }
        };
        let fails = |what: String| Failure::new(what).within(format!("pipeline {}", pipeline.id));
        let mut parameters = given(&pipeline, job).map_err(fails)?;
        if let Step::Inline(_) = step {
            // What is written in place may name what the whole was given.
            for (name, value) in &job.parameters {
                parameters
                    .entry(name.clone())
                    .or_insert_with(|| value.clone());
            }
        }
        let window = match &job.window {
            Some(window) => Some(window.clone()),
            None => self.window(&pipeline, None).map_err(fails)?,
        };
        let id = pipeline.id.to_string();
        let piece = Job {
            pipeline,
            version,
            parameters,
            window,
            limit: job.limit,
            preview: None,
            dry_run: job.dry_run,
            previous: job.previous.clone(),
            windows: None,
        };
        Ok((id, piece))
    }

    async fn in_sequence(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        pieces: Vec<Piece>,
        stop_on_error: bool,
    ) -> End {
        let mut runs: Vec<(String, RunRecord)> = Vec::new();
        for (name, mut job) in pieces {
            if let Some((_, last)) = runs.last() {
                job.previous = Some(Box::new(last.clone()));
            }
            let run = match self.part(entry, job, Started::Composition).await {
                Ok(run) => run,
                Err(failure) => return End::Failed(failure),
            };
            let stop = stop_on_error && has_failed(&run);
            runs.push((name, run));
            if stop || entry.is_cancelled() {
                break;
            }
        }
        judge(entry, &runs, false)
    }

    /// Runs parts in order, some at once. Answers those that began.
    async fn side_by_side(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        pieces: Vec<Piece>,
        beside: Beside,
        started_by: Started,
    ) -> Vec<(String, RunRecord)> {
        let mut waiting = pieces.into_iter();
        let mut under_way = FuturesUnordered::new();
        let mut done = Vec::new();
        let mut stopped = false;
        loop {
            while !stopped && !entry.is_cancelled() && under_way.len() < beside.at_once.max(1) {
                let Some((name, job)) = waiting.next() else {
                    break;
                };
                match self.begin_part(entry, job, started_by) {
                    Ok(part) => under_way.push(async move { (name, ended(entry, part).await) }),
                    Err(failure) => {
                        entry.log("error", None, failure.0.join("; "));
                        stopped = true;
                    }
                }
            }
            let Some((name, run)) = under_way.next().await else {
                break;
            };
            if has_failed(&run) && !entry.is_cancelled() {
                stopped |= beside.stop;
                if beside.cancel {
                    self.cancel_parts(entry);
                }
            }
            done.push((name, run));
        }
        done
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
                Err(failure) => return End::Failed(failure),
            };
            let wait = match tries.again() {
                Some(wait) if run.state == RunState::Failed && !entry.is_cancelled() => wait,
                _ => {
                    let said = tries.said();
                    return match judge(entry, &[(name, run)], false) {
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
        Ok(ended(entry, part).await)
    }

    fn begin_part(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: Job,
        started_by: Started,
    ) -> Result<Arc<Entry>, Failure> {
        let id = job.pipeline.id.clone();
        let part = self.start_run(job, started_by, Some(entry.id.clone()));
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
        judge(entry, &runs.await, false)
    }
}

/// Waits for a part; it is cancelled with the whole.
async fn ended(entry: &Entry, part: Arc<Entry>) -> RunRecord {
    let over = part.over();
    let mut over = std::pin::pin!(over);
    tokio::select! {
        biased;
        run = &mut over => return run,
        () = entry.cancelled() => part.cancel(),
    }
    over.await
}

/// What a part is given: the parameters it has, by their names.
fn given(pipeline: &Pipeline, job: &Job) -> Result<Map<String, serde_json::Value>, String> {
    let names = pipeline.parameters.iter().map(|p| &p.name);
    let known = names.filter_map(|n| Some((n.clone(), job.parameters.get(n)?.clone())));
    complete(&pipeline.parameters, &known.collect()).map_err(|wrong| listed(&wrong))
}

fn has_failed(run: &RunRecord) -> bool {
    matches!(run.state, RunState::Failed | RunState::Cancelled)
}

/// How a composition ended, by its parts that began.
fn judge(entry: &Entry, runs: &[(String, RunRecord)], one_is_enough: bool) -> End {
    if entry.is_cancelled() {
        return End::Cancelled;
    }
    let failed = runs.iter().filter(|(_, run)| has_failed(run));
    let mut said: Vec<String> = Vec::new();
    for (name, run) in failed {
        let why = match (run.state, run.error.as_slice()) {
            (RunState::Cancelled, _) => "it was cancelled".to_owned(),
            (_, []) => "no reason".to_owned(),
            (_, error) => error.join("; "),
        };
        said.push(format!("{name} ({}): {why}", run.id));
    }
    let good = runs.len() - said.len();
    if said.is_empty() {
        let whole = runs.iter().all(|(_, run)| run.state == RunState::Succeeded);
        return End::Complete(whole);
    }
    if one_is_enough && good > 0 {
        for line in said {
            entry.log("warn", None, line);
        }
        return End::Complete(true);
    }
    End::Failed(Failure(said))
}
