//! The worker of a server: claims runs as it has room for them, carries each out, and keeps its leases.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::pipeline::ErrorPolicy;
use model::run::{RunRecord, RunState, Started};
use model::store::{Ask, Claim, Commit, Failure, Fence, Moment, Outcome, Renewed, ToEnd, Why};
use serde_json::Map;

use super::care::look_after;
use super::leases::Watch;
use super::schedules::{has_to_wait, keep};
use super::{Args, Durable, Held, LEASE, QUEUE, change};
use crate::Engine;
use crate::parameters;
use crate::pipelines::versions::Found;
use crate::run::retry::random;
use crate::run::{Feed, Job};
use crate::runs::entry::{Entry, Stand};
use crate::runs::{is_incremental, rfc3339};
use crate::slot::lock;

/// How often the store is asked at least: for what other servers submitted, and for what they left.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after the store did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// A run whose pipeline is not there yet is looked at again after that.
const ABSENT: Duration = Duration::from_secs(10);
/// A run of a trigger that is paused is looked at again after that.
const PAUSED: Duration = Duration::from_secs(5);
/// A run that has to wait for those before it is looked at again after that.
const BEHIND: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes up the runs of the store, those first that this server had under way when it ended; goes on until the engine shuts down, also while the store is away. To be called
    /// once pipelines are registered.
    pub fn take_up_runs(self: &Arc<Self>) {
        let Some(durable) = self.durable.clone() else {
            return;
        };
        let lane = &self.runs.lane;
        lane.spawn(work(Arc::downgrade(self), Arc::clone(&durable)));
        lane.spawn(keep(Arc::downgrade(self), Arc::clone(&durable)));
        lane.spawn(look_after(Arc::downgrade(self), Arc::clone(&durable)));
        lane.spawn(keep_leases(Arc::downgrade(self), durable));
    }

    /// Makes the runs claimable that this server had under way when it ended.
    async fn forsake(&self, durable: &Durable) -> Result<(), Failure> {
        let left = durable.store.forsake(durable.owner.clone()).await?;
        if left > 0 {
            tracing::info!(
                runs = left,
                "taking up runs that were under way when this server ended"
            );
        }
        Ok(())
    }

    /// Carries out a run that was claimed.
    async fn carry_claim(self: &Arc<Self>, durable: &Durable, claim: Claim) -> Result<(), Failure> {
        let Some(stored) = durable.store.run(claim.run.clone()).await? else {
            let error = "the run is not in the store".to_owned();
            return discard(durable, &claim, None, error, self.ports.clock.now()).await;
        };
        let Ok(mut record) = anew(&stored.run.record) else {
            let error = "its record cannot be read".to_owned();
            return discard(durable, &claim, None, error, self.ports.clock.now()).await;
        };
        if lock(&durable.held).contains_key(&claim.run) {
            // An attempt of before that was lost is still about to end.
            return snooze(durable, &claim, BEHIND, self.ports.clock.now()).await;
        }
        let args: Args = serde_json::from_str(&claim.args).unwrap_or_default();
        self.take_newest(&mut record, &args);
        let (id, into) = (&record.pipeline, args.feed.other_sinks());
        let found = self.find_version(durable, id, record.version, into).await?;
        let pipeline = match found {
            Found::Here(_) if self.waits_for_resumption(&record) => {
                return snooze(durable, &claim, PAUSED, self.ports.clock.now()).await;
            }
            Found::Here(pipeline)
                if has_to_wait(durable, &pipeline, &stored, args.incremental).await? =>
            {
                return snooze(durable, &claim, BEHIND, self.ports.clock.now()).await;
            }
            Found::Here(pipeline) => pipeline,
            Found::Absent => return snooze(durable, &claim, ABSENT, self.ports.clock.now()).await,
            Found::Gone(error) => {
                let now = self.ports.clock.now();
                self.no_longer_gathers(&record.pipeline, &claim.run);
                return discard(durable, &claim, Some(record), error, now).await;
            }
        };
        self.no_longer_gathers(&record.pipeline, &claim.run);
        let held = Held {
            fence: claim.fence,
            again: again(&claim, &record, &args.feed, &pipeline.errors),
            incremental: args.incremental,
            lost: false,
        };
        lock(&durable.held).insert(claim.run.clone(), held);
        let job = Job {
            version: record.version,
            parameters: record.parameters.clone(),
            window: record.window.clone(),
            scope: pipeline.timescope.clone(),
            limit: args.limit,
            preview: args.preview,
            dry_run: record.dry_run,
            previous: None,
            windows: args.windows,
            incremental: args.incremental,
            feed: args.feed,
            tee: None,
            pipeline,
        };
        let entry = self.claimed_entry(record);
        if claim.attempt > 1 {
            let how = if claim.rescued {
                "after its server was lost"
            } else {
                "again"
            };
            entry.log(
                "info",
                None,
                format!("attempt {} of {}, {how}", claim.attempt, claim.max_attempts),
            );
        }
        if let Err(error) = self.tell_running(durable, &entry, claim.fence).await {
            // Its lease is not renewed: it would be at work for ever.
            lock(&durable.held).remove(&claim.run);
            return Err(error);
        }
        self.spawn_run(entry, job);
        Ok(())
    }

    /// The run of this record in the book: the one that waited here, or a new one.
    fn claimed_entry(&self, record: RunRecord) -> Arc<Entry> {
        let waiting = self.runs.book.get(&record.id);
        if let Some(entry) = waiting.filter(|e| e.state() == RunState::Queued) {
            entry.edit(|run| {
                run.version = record.version;
                run.parameters = record.parameters;
            });
            return entry;
        }
        let clock = Arc::clone(&self.ports.clock);
        let entry = Entry::new(record, clock, Stand::Claimed);
        self.runs.book.add(&entry);
        entry
    }

    /// The store says that a run is under way, for whoever looks at it from elsewhere.
    async fn tell_running(
        &self,
        durable: &Durable,
        entry: &Entry,
        fence: Fence,
    ) -> Result<(), Failure> {
        let now = self.ports.clock.now();
        let mut record = entry.record();
        record.state = RunState::Running;
        record.started_at = Some(rfc3339(now));
        let commit = Commit {
            runs: vec![change(&record, Some(now.into()), None)],
            ..Commit::default()
        };
        durable.store.commit(fence, commit).await
    }

    /// Some runs are of the version that their pipeline has when they are claimed: what is wrong with a sink may be mended by then, and what a trigger has a pipeline take from a cursor on is for
    /// what the pipeline was changed to.
    fn take_newest(&self, record: &mut RunRecord, args: &Args) {
        let Some(now) = self.pipeline(&record.pipeline) else {
            return;
        };
        let by_trigger = record.started_by.is_trigger();
        let goes_on = args.incremental && is_incremental(&now.pipeline);
        let is_inbox = record.started_by == Started::Webhook;
        if by_trigger && (goes_on || is_inbox) {
            record.version = now.version;
            // Nobody gave it any.
            if let Ok(defaults) = parameters::complete(&now.pipeline.parameters, &Map::new()) {
                record.parameters = defaults;
            }
        } else if matches!(args.feed, Feed::Letters(_)) {
            record.version = now.version;
        }
    }

    /// Is it a run of a trigger, and the trigger is paused?
    fn waits_for_resumption(&self, record: &RunRecord) -> bool {
        let now = self.pipeline(&record.pipeline);
        record.started_by.is_trigger() && now.is_some_and(|now| self.is_paused(&now.pipeline))
    }
}

/// Claims runs as long as the engine lives and takes any.
async fn work(engine: std::sync::Weak<Engine>, durable: Arc<Durable>) {
    let mut is_first = true;
    let mut watch = Watch::new();
    loop {
        let Some(engine) = engine.upgrade().filter(|e| !e.is_closing()) else {
            return;
        };
        let claimed = async {
            if is_first {
                engine.forsake(&durable).await?;
            }
            engine.claim_some(&durable, &mut watch).await
        };
        let wait = match claimed.await {
            Ok(wait) => {
                is_first = false;
                wait
            }
            Err(error) => {
                tracing::warn!(%error, "no runs can be claimed from the store");
                PAUSE
            }
        };
        let timer = Arc::clone(&engine.ports.stages.timer);
        drop(engine);
        tokio::select! {
            () = durable.poke.notified() => {}
            () = timer.wait(wait) => {}
        }
    }
}

impl Engine {
    /// Claims as many runs as there is room for; how long to wait before the next look.
    async fn claim_some(
        self: &Arc<Self>,
        durable: &Durable,
        watch: &mut Watch,
    ) -> Result<Duration, Failure> {
        let (now, monotonic) = (self.ports.clock.now(), self.ports.clock.monotonic());
        watch.look(now, monotonic);
        let mut queues = vec![QUEUE.to_owned()];
        if self.ports.raw.is_some() {
            queues.push(durable.own_queue());
        }
        let mut wait = LOOK;
        for queue in queues {
            let room = self.runs.at_once.saturating_sub(lock(&durable.held).len());
            let Ok(most @ 1..) = u32::try_from(room) else {
                return Ok(LOOK);
            };
            let leases = durable.store.leases(queue.clone()).await?;
            let mut silent = watch.silent(&queue, leases, monotonic);
            // Whatever the store was not told, what goes on here is nobody else's.
            silent.retain(|lease| !durable.has(lease.fence));
            let ask = Ask {
                queue: queue.clone(),
                owner: durable.owner.clone(),
                // Each server has its own bound.
                at_once: u32::MAX,
                most,
                lease: LEASE,
                now: now.into(),
                silent,
                set_back: watch.set_back,
            };
            let claims = durable.store.claim(ask).await?;
            for ToEnd { claim, why } in claims.to_end {
                self.end_claim(durable, &claim, why).await?;
            }
            for claim in claims.to_run {
                let run = claim.run.clone();
                if let Err(error) = self.carry_claim(durable, claim).await {
                    // Its lease runs out.
                    tracing::warn!(%run, %error, "a run that was claimed cannot be carried out now");
                }
            }
            let due = durable.store.due(queue).await?;
            let until = due.map(|due| due.time().duration_since(now).unwrap_or_default());
            wait = wait.min(until.unwrap_or(LOOK));
        }
        watch.set_back = false;
        Ok(wait.max(Duration::from_millis(10)))
    }

    /// A run that is not carried out any more.
    async fn end_claim(&self, durable: &Durable, claim: &Claim, why: Why) -> Result<(), Failure> {
        let now = self.ports.clock.now();
        let stored = durable.store.run(claim.run.clone()).await?;
        let record = stored.and_then(|s| serde_json::from_str::<RunRecord>(&s.run.record).ok());
        match why {
            Why::Spent => {
                let error = "the server was lost at its last attempt".to_owned();
                discard(durable, claim, record, error, now).await
            }
            Why::Cancelled => {
                let runs = record.map(|mut record| {
                    record.state = RunState::Cancelled;
                    record.ended_at = Some(rfc3339(now));
                    change(&record, None, Some(now.into()))
                });
                let commit = Commit {
                    runs: runs.into_iter().collect(),
                    ..Commit::default()
                };
                let settled =
                    durable
                        .store
                        .settle(claim.fence, Outcome::Cancelled, commit, now.into());
                settled.await.map(drop)
            }
        }
    }
}

/// The record of a run, as it is before an attempt.
fn anew(text: &str) -> serde_json::Result<RunRecord> {
    let record: RunRecord = serde_json::from_str(text)?;
    Ok(RunRecord {
        state: RunState::Queued,
        ended_at: None,
        error: Vec::new(),
        stages: Vec::new(),
        ..record
    })
}

/// When a run that was claimed is tried again if it fails. Who asked for one is there to see that.
fn again(claim: &Claim, record: &RunRecord, feed: &Feed, errors: &ErrorPolicy) -> Option<Duration> {
    if matches!(feed, Feed::Letters(letters) if letters.is_circuit()) {
        return Some(errors.circuit.wait(claim.attempt));
    }
    let wait = || {
        let tried = claim.attempt.saturating_sub(1);
        errors.rerun.wait(tried, random())
    };
    (claim.may_retry() && record.started_by.is_trigger()).then(wait)
}

/// Puts a claimed run off.
async fn snooze(
    durable: &Durable,
    claim: &Claim,
    span: Duration,
    now: SystemTime,
) -> Result<(), Failure> {
    let now = Moment::from(now);
    let outcome = Outcome::Snoozed {
        until: now.plus(span),
    };
    let settled = durable
        .store
        .settle(claim.fence, outcome, Commit::default(), now);
    settled.await.map(drop)
}

/// Gives a claimed run up.
async fn discard(
    durable: &Durable,
    claim: &Claim,
    record: Option<RunRecord>,
    error: String,
    now: SystemTime,
) -> Result<(), Failure> {
    let runs = record.map(|mut record| {
        record.state = RunState::Failed;
        record.error = vec![error.clone()];
        record.ended_at = Some(rfc3339(now));
        change(&record, None, Some(now.into()))
    });
    let commit = Commit {
        runs: runs.into_iter().collect(),
        ..Commit::default()
    };
    let outcome = Outcome::Discarded { error };
    let settled = durable
        .store
        .settle(claim.fence, outcome, commit, now.into());
    settled.await.map(drop)
}

/// Renews the leases of all that this server has under way, long before they run out.
async fn keep_leases(engine: std::sync::Weak<Engine>, durable: Arc<Durable>) {
    loop {
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let held: Vec<_> = {
            let held = lock(&durable.held);
            let own = held.iter().filter(|(_, held)| !held.lost);
            own.map(|(run, held)| (run.clone(), held.fence)).collect()
        };
        let fences = held.iter().map(|(_, fence)| *fence).collect();
        let now = engine.ports.clock.now().into();
        match durable.store.renew(fences, LEASE, now).await {
            Ok(renewed) => {
                for ((run, _), renewed) in held.iter().zip(renewed) {
                    match renewed {
                        Renewed::Held => continue,
                        Renewed::CancelWanted => {}
                        Renewed::Lost => {
                            durable.lose(run);
                            tracing::warn!(%run, "another server has taken this run, since this one was silent for too long");
                        }
                    }
                    let _over_already = engine.cancel(run);
                }
            }
            Err(error) => tracing::warn!(%error, "leases cannot be renewed"),
        }
        let timer = Arc::clone(&engine.ports.stages.timer);
        drop(engine);
        timer.wait(LEASE / 6).await;
    }
}
