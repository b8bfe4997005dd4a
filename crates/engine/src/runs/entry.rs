//! One run as the engine knows it: its record, what its stages count, what was rejected and previewed; how it is cancelled and followed. Carrying it out is
//! `run`'s business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use model::ports::Clock;
use model::run::{LogLine, RejectedRecord, RunId, RunRecord, RunState, StagePreview};
use tokio::sync::watch;

use super::rfc3339;
use crate::run::meter::Meter;
use crate::slot::lock;

/// Most lines of a run's log.
const LINES: usize = 200;
/// Most rejected records in memory.
const REJECTS: usize = 100;
/// Most bytes of them.
const REJECT_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: RunId,
    clock: Arc<dyn Clock>,
    record: Mutex<Kept>,
    meters: OnceLock<Vec<Arc<Meter>>>,
    /// Grows with each state that is to be shown.
    revision: watch::Sender<u64>,
    /// Is it to end?
    cancel: watch::Sender<bool>,
    shown: Mutex<Shown>,
}

#[derive(Debug)]
struct Kept {
    record: RunRecord,
    began: Option<Duration>,
}

#[derive(Debug, Default)]
struct Shown {
    rejects: Vec<RejectedRecord>,
    reject_bytes: usize,
    preview: Vec<StagePreview>,
}

impl Entry {
    pub(crate) fn new(record: RunRecord, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            id: record.id.clone(),
            clock,
            record: Mutex::new(Kept {
                record,
                began: None,
            }),
            meters: OnceLock::new(),
            revision: watch::Sender::new(0),
            cancel: watch::Sender::new(false),
            shown: Mutex::default(),
        })
    }

    /// The run as it is now.
    pub(crate) fn record(&self) -> RunRecord {
        let kept = lock(&self.record);
        let mut record = kept.record.clone();
        if let (false, Some(began)) = (record.state.is_over(), kept.began) {
            record.duration_ms = millis(self.clock.monotonic().saturating_sub(began));
        }
        drop(kept);
        if let Some(meters) = self.meters.get() {
            record.stages = meters.iter().map(|m| m.report()).collect();
        }
        record
    }

    /// A look at the record that copies nothing; stages are not in it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&RunRecord) -> T) -> T {
        look(&lock(&self.record).record)
    }

    pub(crate) fn state(&self) -> RunState {
        self.look(|r| r.state)
    }

    /// Changes the record and shows it to all who follow.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut RunRecord)) {
        change(&mut lock(&self.record).record);
        self.show();
    }

    pub(crate) fn begin(&self) {
        let at = rfc3339(self.clock.now());
        {
            let mut kept = lock(&self.record);
            kept.began = Some(self.clock.monotonic());
            kept.record.state = RunState::Running;
            kept.record.started_at = Some(at);
        }
        self.show();
    }

    /// The run as it will be when it is over in this way.
    pub(crate) fn ending(&self, state: RunState, error: Vec<String>) -> RunRecord {
        let mut run = self.record();
        run.state = state;
        run.error = error;
        run.ended_at = Some(rfc3339(self.clock.now()));
        run
    }

    /// The run is over. The first end counts.
    pub(crate) fn end(&self, run: &RunRecord) {
        {
            let record = &mut lock(&self.record).record;
            if record.state.is_over() {
                return;
            }
            record.state = run.state;
            record.error.clone_from(&run.error);
            record.ended_at.clone_from(&run.ended_at);
            record.duration_ms = run.duration_ms;
        }
        self.show();
    }

    /// Those who follow are to look again.
    pub(crate) fn show(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(crate) fn log(&self, level: &'static str, stage: Option<&str>, message: String) {
        let line = LogLine {
            at: rfc3339(self.clock.now()),
            level,
            stage: stage.map(Into::into),
            message,
        };
        let log: &mut VecDeque<LogLine> = &mut lock(&self.record).record.log;
        if log.len() == LINES {
            log.pop_front();
        }
        log.push_back(line);
    }

    /// The stages and their counters; the first who say count.
    pub(crate) fn set_meters(&self, meters: Vec<Arc<Meter>>) {
        let _first_wins = self.meters.set(meters);
    }

    pub(crate) fn meters(&self) -> &[Arc<Meter>] {
        self.meters.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Waits until somebody cancels it.
    pub(crate) async fn cancelled(&self) {
        let mut cancel = self.cancel.subscribe();
        // The sender is the entry's own, so that it is there as long as anybody waits.
        let _gone = cancel.wait_for(|cancel| *cancel).await;
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) -> RunRecord {
        let mut revision = self.revision.subscribe();
        while !self.state().is_over() {
            if revision.changed().await.is_err() {
                break;
            }
        }
        self.record()
    }

    /// Keeps a rejected record, if there is room.
    pub(crate) fn remember(&self, rejected: &RejectedRecord) {
        let mut shown = lock(&self.shown);
        let bytes = rejected.record.len() + rejected.reason.len();
        if shown.rejects.len() < REJECTS && shown.reject_bytes < REJECT_BYTES {
            shown.reject_bytes += bytes;
            shown.rejects.push(rejected.clone());
        }
    }

    pub(crate) fn rejects(&self) -> Vec<RejectedRecord> {
        lock(&self.shown).rejects.clone()
    }

    pub(crate) fn set_preview(&self, preview: Vec<StagePreview>) {
        lock(&self.shown).preview = preview;
    }

    pub(crate) fn preview(&self) -> Vec<StagePreview> {
        lock(&self.shown).preview.clone()
    }

    pub(crate) fn follow(self: &Arc<Self>) -> Follow {
        let mut revision = self.revision.subscribe();
        revision.mark_changed();
        Follow {
            entry: Arc::clone(self),
            revision,
            over: false,
        }
    }
}

/// Follows a run. Who is slow misses only states in between.
#[derive(Debug)]
pub struct Follow {
    entry: Arc<Entry>,
    revision: watch::Receiver<u64>,
    over: bool,
}

impl Follow {
    /// The run as it is now, at first; then each time there is something new, some four times a second. None after the record of its end.
    pub async fn next(&mut self) -> Option<RunRecord> {
        if self.over || self.revision.changed().await.is_err() {
            return None;
        }
        let record = self.entry.record();
        self.over = record.state.is_over();
        Some(record)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
