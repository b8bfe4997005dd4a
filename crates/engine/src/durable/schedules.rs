//! Schedules: looks at the triggers of the registered pipelines when something is due, and adds the runs. When that is, is computed by `schedule`; that no tick is started twice, the store sees to.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use model::id::PipelineId;
use model::pipeline::{Overlap, Pace, Pipeline, TriggerSpec};
use model::run::{RunRecord, RunState, Started};
use model::store::{
    Advance, Advanced, Failure, Moment, RunFilter, Schedule, StoredRun, Submission,
};

use super::{Durable, QUEUE, digest, submission};
use crate::Engine;
use crate::pipelines::Registered;
use crate::runs::{Trigger, Which};
use crate::schedule::{Busy, Standing, look};

/// How long to wait at most: pipelines come, go, and change meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// Runs that are looked at to find the last one that the trigger started.
const LAST: u32 = 20;

/// The schedules of this server, each with the version of its pipeline; none: of one that starts nothing now.
type Armed = HashMap<PipelineId, (u64, Option<Schedule>)>;

/// Starts what is due, as long as the engine lives.
pub(super) async fn keep(engine: Weak<Engine>, durable: Arc<Durable>) {
    let mut armed = Armed::new();
    loop {
        let Some(engine) = engine.upgrade().filter(|e| !e.is_closing()) else {
            return;
        };
        let now = engine.ports.clock.now();
        let mut again = now + LOOK;
        engine.know_conditions().await;
        engine.put_off_held(&durable);
        let all = engine.pipelines();
        let gone: Vec<_> = armed
            .keys()
            .filter(|id| !all.iter().any(|r| r.pipeline.id == **id))
            .cloned()
            .collect();
        for id in gone {
            armed.remove(&id);
            disarm(&durable, &id).await;
        }
        for registered in all {
            let looked = engine.look_at(&durable, &registered, &mut armed, now);
            match looked.await {
                Ok(Some(at)) => again = again.min(at),
                Ok(None) => {}
                Err(error) => {
                    let pipeline = &registered.pipeline.id;
                    tracing::warn!(%pipeline, error, "the schedule of a pipeline cannot be kept");
                }
            }
        }
        let wait = again.duration_since(engine.ports.clock.now());
        let timer = Arc::clone(&engine.ports.stages.timer);
        drop(engine);
        timer
            .wait(wait.unwrap_or_default().max(Duration::from_millis(5)))
            .await;
    }
}

impl Engine {
    /// Starts what is due of one pipeline; when to look again.
    async fn look_at(
        self: &Arc<Self>,
        durable: &Durable,
        registered: &Registered,
        armed: &mut Armed,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, String> {
        let pipeline = &registered.pipeline;
        let is_timed = matches!(
            pipeline.trigger,
            TriggerSpec::Interval(_) | TriggerSpec::Cron(_)
        );
        let known = armed
            .get(&pipeline.id)
            .filter(|(version, _)| *version == registered.version);
        if !is_timed || self.is_paused(pipeline) {
            if known.is_none_or(|(_, schedule)| schedule.is_some()) {
                // When it goes on, it begins anew.
                disarm(durable, &pipeline.id).await;
                armed.insert(pipeline.id.clone(), (registered.version, None));
            }
            return Ok(None);
        }
        let mut schedule = match known.and_then(|(_, schedule)| schedule.clone()) {
            Some(schedule) => schedule,
            None => {
                // A trigger that says something else begins anew.
                let digest = digest(&format!("{:?}", pipeline.trigger));
                let schedule = durable.store.arm(pipeline.id.clone(), digest, now.into());
                schedule.await.map_err(|e| e.to_string())?
            }
        };
        let mut standing = Standing {
            since: schedule.since.time(),
            tick: schedule.last.map(Moment::time),
            ended: None,
        };
        // The store is asked only where it may matter.
        let idle = Busy::default();
        let mut found = look(&pipeline.id, &pipeline.trigger, &standing, idle, now)?;
        if !found.start.is_empty() {
            let asked = busy(durable, &pipeline.id)
                .await
                .map_err(|e| e.to_string())?;
            standing.ended = asked.1;
            found = look(&pipeline.id, &pipeline.trigger, &standing, asked.0, now)?;
        }
        for left in &found.left_out {
            tracing::warn!(pipeline = %pipeline.id, count = left.count, why = ?left.why, "ticks are left out");
        }
        let last = found.standing.tick.map(Moment::from);
        if last != schedule.last
            && let Some(to) = last
        {
            let submissions = found
                .start
                .iter()
                .map(|tick| self.of_tick(registered, *tick, now));
            let advance = Advance {
                pipeline: pipeline.id.clone(),
                digest: schedule.digest.clone(),
                from: schedule.last,
                to,
                submissions: submissions.collect::<Result<_, _>>()?,
            };
            match durable
                .store
                .advance(advance)
                .await
                .map_err(|e| e.to_string())?
            {
                Advanced::Moved(_) => {
                    schedule.last = Some(to);
                    durable.poke();
                }
                // Another server was first: its word counts.
                Advanced::Stands(Some(stands)) => schedule = stands,
                Advanced::Stands(None) => {
                    armed.remove(&pipeline.id);
                    return Ok(Some(now));
                }
            }
        }
        armed.insert(pipeline.id.clone(), (registered.version, Some(schedule)));
        Ok(found.again)
    }

    /// The run of a tick.
    fn of_tick(
        &self,
        registered: &Registered,
        tick: SystemTime,
        now: SystemTime,
    ) -> Result<Submission, String> {
        let pipeline = &registered.pipeline;
        let trigger = Trigger {
            started_by: Started::Schedule,
            key: Some(format!("tick:{}", Moment::from(tick).ms())),
            ..Trigger::of(Which::Named(pipeline.id.clone()))
        };
        let job = self.job(Arc::clone(pipeline), registered.version, &trigger);
        let job = job.map_err(|e| e.to_string())?;
        let record = self.new_record(&job, Started::Schedule, None, now);
        Ok(submission(
            &record,
            &job,
            &trigger,
            QUEUE.into(),
            now.into(),
        ))
    }

    /// A run is over: starts those of the pipelines that come after it.
    pub(crate) async fn start_those_after(self: &Arc<Self>, record: &RunRecord) {
        if self.durable.is_none() || record.parent.is_some() || record.dry_run {
            return;
        }
        for registered in self.pipelines() {
            let pipeline: &Pipeline = &registered.pipeline;
            let TriggerSpec::After(after) = &pipeline.trigger else {
                continue;
            };
            let follows = after.pipeline == record.pipeline && after.on.takes(record.state);
            if !follows || self.is_paused(pipeline) {
                continue;
            }
            let trigger = Trigger {
                started_by: Started::After,
                key: Some(format!("after:{}", record.id)),
                ..Trigger::of(Which::Named(pipeline.id.clone()))
            };
            if let Err(error) = self.submit(trigger).await {
                tracing::error!(pipeline = %pipeline.id, after = %record.id, %error, "a run that was to come after another one is not started");
            }
        }
    }
}

/// Does a run have to wait until those before it are over: one of a schedule, or one that goes on where they end?
pub(super) async fn has_to_wait(
    durable: &Durable,
    pipeline: &Pipeline,
    stored: &StoredRun,
    incremental: bool,
) -> Result<bool, Failure> {
    let (own, started) = (&stored.run, stored.run.started_by);
    let overlap = match &pipeline.trigger {
        TriggerSpec::Cron(cron) => cron.overlap,
        TriggerSpec::Interval(interval) => match interval.pace {
            Pace::FixedRate(overlap) => overlap,
            Pace::FixedDelay => Overlap::Forbid,
        },
        _ => Overlap::Allow,
    };
    match started {
        Started::Schedule if overlap != Overlap::Allow => {}
        Started::Webhook => {}
        _ if incremental => {}
        _ => return Ok(false),
    }
    let has_begun = stored.state == RunState::Running;
    let is_before = |run: &StoredRun| {
        let started_by = run.run.started_by;
        let counts = match (incremental, started_by) {
            // They read something else.
            (true, Started::Redrive | Started::Replay | Started::Backfill) => false,
            (true, _) => true,
            (false, _) => started_by == started,
        };
        // Ids follow the clock, which may have been set back: what has begun is before what has not.
        let is_first = match (run.state == RunState::Running, has_begun) {
            (true, false) => true,
            (false, true) => false,
            _ => run.run.id < own.id,
        };
        counts && is_first && run.run.id != own.id
    };
    for state in [RunState::Running, RunState::Queued] {
        let runs = durable.runs_of(&pipeline.id, state).await?;
        if runs.iter().any(is_before) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is not over of the runs that a pipeline's trigger started, and when the last one ended.
async fn busy(durable: &Durable, id: &PipelineId) -> Result<(Busy, Option<SystemTime>), Failure> {
    let busy = Busy {
        running: ticks(durable, id, RunState::Running).await?,
        waiting: ticks(durable, id, RunState::Queued).await?,
    };
    let newest = durable.store.runs(RunFilter::of(id.clone()), LAST).await?;
    let ended = newest.iter().filter(|r| is_tick(r)).filter_map(|r| r.ended);
    Ok((busy, ended.max().map(Moment::time)))
}

/// How many of the runs that a pipeline's schedule started are in this state.
async fn ticks(durable: &Durable, id: &PipelineId, state: RunState) -> Result<usize, Failure> {
    let runs = durable.runs_of(id, state).await?;
    Ok(runs.iter().filter(|run| is_tick(run)).count())
}

fn is_tick(run: &StoredRun) -> bool {
    run.run.started_by == Started::Schedule
}

async fn disarm(durable: &Durable, id: &PipelineId) {
    if let Err(error) = durable.store.disarm(id.clone()).await {
        tracing::warn!(pipeline = %id, %error, "a schedule that is over is still in the store");
    }
}
