//! The runs that take what webhooks receive. One gathers: it waits to begin, and whatever is kept until it does is its. Nothing is written for a payload beside the payload: what is
//! ahead of the pipeline's checkpoint is what still has to be taken.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::bronze::{InboxCursor, KeptInput};
use model::id::PipelineId;
use model::run::{RunId, RunRecord, RunState, Started};
use tokio::sync::watch;

use super::bounds::Admitted;
use super::inbox::Inbox;
use super::signature::TOLERANCE;
use crate::Engine;
use crate::durable::{Durable, submission};
use crate::run::Job;
use crate::runs::entry::{Entry, Stand};
use crate::runs::{SubmitError, Trigger, Which};
use crate::slot::lock;

/// Between two tries to reach the store.
const PAUSE: Duration = Duration::from_secs(1);
/// After a run that failed for good, what waits is tried anew then.
const AGAIN: Duration = Duration::from_secs(60);

/// A run that gathers.
#[derive(Debug, Clone)]
pub(super) struct Gathering {
    pub(super) run: RunId,
    /// Turns true when the store has it.
    submitted: watch::Receiver<bool>,
    /// When it was made, by the engine's monotonic time.
    pub(super) since: Duration,
}

impl Gathering {
    /// Waits until the store has the run.
    pub(super) async fn is_submitted(&mut self) {
        // The sender goes where that came to nothing for good: then there is nothing to wait for.
        let _gone = self.submitted.wait_for(|is| *is).await;
    }
}

impl Engine {
    /// The run that takes what is kept from now on; one is made where there is none.
    ///
    /// # Errors
    /// No run of the pipeline can be had, as it is.
    pub(super) fn gather(
        self: &Arc<Self>,
        inbox: &Arc<Inbox>,
        durable: &Arc<Durable>,
        not_before: Option<SystemTime>,
    ) -> Result<Gathering, SubmitError> {
        let mut slot = lock(&inbox.shared.gathering);
        if let Some(gathering) = &*slot {
            return Ok(gathering.clone());
        }
        let trigger = Trigger {
            started_by: Started::Webhook,
            not_before,
            ..Trigger::of(Which::Named(inbox.pipeline.id.clone()))
        };
        let job = self.job(Arc::clone(&inbox.pipeline), inbox.version, &trigger)?;
        let now = self.ports.clock.now();
        let record = self.new_record(&job, Started::Webhook, None, now);
        let (done, submitted) = watch::channel(false);
        let gathering = Gathering {
            run: record.id.clone(),
            submitted,
            since: self.ports.clock.monotonic(),
        };
        *slot = Some(gathering.clone());
        drop(slot);
        let submitting =
            Arc::clone(self).submit_gathering(Arc::clone(durable), job, trigger, record, done);
        tokio::spawn(submitting);
        Ok(gathering)
    }

    /// Is this still the run that gathers?
    pub(super) fn is_gathering(inbox: &Inbox, run: &RunId) -> bool {
        let slot = lock(&inbox.shared.gathering);
        slot.as_ref().is_some_and(|g| g.run == *run)
    }

    async fn submit_gathering(
        self: Arc<Self>,
        durable: Arc<Durable>,
        job: Job,
        trigger: Trigger,
        record: RunRecord,
        done: watch::Sender<bool>,
    ) {
        let clock = Arc::clone(&self.ports.clock);
        let entry = Entry::new(record.clone(), clock, Stand::Claimed);
        self.runs.book.add(&entry);
        loop {
            let now = self.ports.clock.now();
            let submission = submission(&record, &job, &trigger, durable.own_queue(), now.into());
            match durable.store.submit(submission).await {
                Ok(_) => {
                    done.send_replace(true);
                    durable.poke();
                    return;
                }
                Err(error) if error.is_retryable() && !self.is_closing() => {
                    tracing::warn!(run_id = %record.id, %error, "a run that takes payloads cannot be submitted yet");
                    self.ports.stages.timer.wait(PAUSE).await;
                }
                Err(error) => {
                    // What it was to take stays ahead of the checkpoint.
                    tracing::error!(run_id = %record.id, %error, "a run that takes payloads is not submitted");
                    self.runs.book.remove(&record.id);
                    self.no_longer_gathers(&record.pipeline, &record.id);
                    return;
                }
            }
        }
    }

    /// A run begins, or is over: what comes from now on is another one's.
    pub(crate) fn no_longer_gathers(&self, pipeline: &PipelineId, run: &RunId) {
        let Some(inbox) = self.inboxes.get(pipeline) else {
            return;
        };
        let mut slot = lock(&inbox.shared.gathering);
        if slot.as_ref().is_some_and(|g| g.run == *run) {
            *slot = None;
        }
    }

    /// A webhook is there, or is another one now: remembers which messages were taken before this server began, and sees to it that what waits is taken.
    pub(super) async fn take_up_inbox(self: Arc<Self>, inbox: &Arc<Inbox>) {
        loop {
            match self.look_into(inbox).await {
                Ok(()) => return,
                Err(error) if self.is_current(inbox) => {
                    tracing::warn!(pipeline = %inbox.pipeline.id, error, "what a webhook received cannot be looked at yet");
                    self.ports.stages.timer.wait(PAUSE).await;
                }
                Err(_) => return,
            }
        }
    }

    fn is_current(&self, inbox: &Arc<Inbox>) -> bool {
        let now = self.inboxes.get(&inbox.pipeline.id);
        !self.is_closing() && now.is_some_and(|now| Arc::ptr_eq(&now, inbox))
    }

    async fn look_into(self: &Arc<Self>, inbox: &Arc<Inbox>) -> Result<(), String> {
        let Some(durable) = self.durable.clone() else {
            return Ok(());
        };
        self.recall(inbox).await?;
        if !inbox.is_source
            || self.is_paused(&inbox.pipeline)
            || !self.something_waits(&durable, inbox).await?
        {
            return Ok(());
        }
        if self.has_run(&durable, &inbox.pipeline.id).await? {
            return Ok(());
        }
        let gathering = self.gather(inbox, &durable, None);
        gathering.map(drop).map_err(|e| e.to_string())
    }

    /// A run that took payloads is over: if more wait, and no run for them, there is another one.
    pub(crate) async fn take_the_rest(self: &Arc<Self>, record: &RunRecord) {
        let Some(durable) = self.durable.clone() else {
            return;
        };
        let Some(inbox) = self.inboxes.get(&record.pipeline) else {
            return;
        };
        // One that is cancelled was not wanted; the next payload starts one that takes all.
        let is_over = !matches!(record.state, RunState::Cancelled);
        if !is_over || !inbox.is_source || self.is_paused(&inbox.pipeline) || self.is_closing() {
            return;
        }
        if lock(&inbox.shared.gathering).is_some() {
            return;
        }
        let failed = record.state == RunState::Failed;
        let not_before = failed.then(|| self.ports.clock.now() + AGAIN);
        let waits = async {
            let waits = self.something_waits(&durable, &inbox).await?;
            Ok::<_, String>(waits && !self.has_run(&durable, &inbox.pipeline.id).await?)
        };
        let taken = match waits.await {
            Ok(false) => Ok(()),
            Ok(true) => {
                let gathering = self.gather(&inbox, &durable, not_before);
                gathering.map(drop).map_err(|e| e.to_string())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            tracing::warn!(pipeline = %record.pipeline, error, "whether more payloads wait is not known; the next one starts a run that takes all");
        }
    }

    /// Is there a payload ahead of the checkpoint?
    async fn something_waits(&self, durable: &Durable, inbox: &Inbox) -> Result<bool, String> {
        let Some(input) = self.kept_input(&inbox.pipeline.id) else {
            return Ok(false);
        };
        let cursor = self.inbox_cursor(durable, &inbox.pipeline.id).await?;
        let mut payloads = input.after(cursor.after);
        while let Some(kept) = payloads.next().await.map_err(|e| e.to_string())? {
            if kept.record.is_for_inbox() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How far the payloads of a pipeline were taken.
    pub(crate) async fn inbox_cursor(
        &self,
        durable: &Durable,
        id: &PipelineId,
    ) -> Result<InboxCursor, String> {
        let name = durable.own_cursor();
        let found = durable.store.checkpoint(id.clone(), name).await;
        let found = found.map_err(|e| e.to_string())?;
        InboxCursor::read(found.and_then(|c| c.cursor).as_deref())
    }

    /// All payloads of a pipeline; none: this host keeps none.
    pub(crate) fn kept_input(&self, id: &PipelineId) -> Option<KeptInput> {
        let raw = self.ports.raw.as_ref()?;
        Some(KeptInput {
            log: Arc::clone(&raw.log),
            pipeline: id.clone(),
            from_ms: None,
            until_ms: None,
        })
    }

    /// Does a run that takes payloads wait, or is one at work?
    async fn has_run(&self, durable: &Durable, id: &PipelineId) -> Result<bool, String> {
        for state in [RunState::Queued, RunState::Running] {
            let runs = durable.runs_of(id, state).await;
            let runs = runs.map_err(|e| e.to_string())?.into_iter();
            let own = durable.own_queue();
            for run in runs.filter(|run| run.run.started_by == Started::Webhook) {
                let job = durable.store.job(run.run.id).await;
                let job = job.map_err(|e| e.to_string())?;
                if job.is_some_and(|job| job.new.queue == own && !job.state.is_over()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Remembers, once, the messages of the last minutes: a restart is no way to send one twice.
    pub(super) async fn recall(&self, inbox: &Inbox) -> Result<(), String> {
        let recalled = &inbox.shared.recalled;
        recalled
            .get_or_try_init(|| self.recall_messages(inbox))
            .await
            .copied()
    }

    async fn recall_messages(&self, inbox: &Inbox) -> Result<(), String> {
        let Some(mut input) = self.kept_input(&inbox.pipeline.id) else {
            return Ok(());
        };
        let clock = &self.ports.clock;
        let past = TOLERANCE * 2;
        let from = clock
            .now()
            .checked_sub(past)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        input.from_ms = Some(crate::raw::millis(from));
        let mut payloads = input.after(None);
        while let Some(kept) = payloads.next().await.map_err(|e| e.to_string())? {
            let id = kept.record.header("webhook-id");
            let id = id.and_then(|id| std::str::from_utf8(id).ok());
            if let Some(id) = id.filter(|_| kept.record.is_for_inbox()) {
                let now = clock.monotonic();
                if lock(&inbox.shared.seen).admit(id, now) == Admitted::Full {
                    break;
                }
            }
        }
        Ok(())
    }
}
