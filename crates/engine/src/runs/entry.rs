//! One run as the engine knows it: its record, what its stages count, what was rejected and previewed; how it is cancelled and followed. Carrying it out is
//! `run`'s business.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use model::ports::Clock;
use model::run::{
    LogLine, MEMBERS, Member, RejectedRecord, RunId, RunRecord, RunState, StagePreview,
};
use model::text::clipped;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::rfc3339;
use crate::durable::progress::Left;
use crate::run::meter::Meter;
use crate::slot::lock;

/// Most lines of a run's log.
const LINES: usize = 200;
/// Most of them that its stages may say, so that there is room for what goes wrong.
const SAID: usize = 120;
/// Most bytes of a line.
const LINE_BYTES: usize = 4 * 1024;
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
    /// The last runs that it is made of.
    parts: Mutex<VecDeque<Weak<Entry>>>,
    /// Grows with each state that is to be shown.
    revision: watch::Sender<u64>,
    cancel: Arc<Cancel>,
    /// Is it to read nothing more, and go on later?
    interrupt: watch::Sender<Option<Interrupt>>,
    /// It reads nothing more for that.
    put_off: AtomicBool,
    /// Runs of the whole that it is part of, or is: how many were started.
    family: Arc<AtomicUsize>,
    shown: Mutex<Shown>,
    /// Lines that its stages said, those that are not kept included.
    said: AtomicUsize,
    /// What is to be kept with its end.
    left: Mutex<Left>,
}

/// Why a run is to read nothing more, and to go on later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interrupt {
    /// Its pipeline has another version by now.
    Changed,
    /// Its pipeline is paused.
    Paused,
}

impl Interrupt {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Changed => "its pipeline has another version by now, which goes on from here",
            Self::Paused => "its pipeline is paused",
        }
    }
}

/// Is a run to end? One whose whole is to end is, at once, however deep it lies.
#[derive(Debug)]
struct Cancel {
    own: watch::Sender<bool>,
    whole: Option<Arc<Cancel>>,
}

impl Cancel {
    /// Its own, then those of the runs it is part of.
    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |cancel| cancel.whole.as_deref())
    }
}

#[derive(Debug)]
struct Kept {
    record: RunRecord,
    began: Option<Duration>,
    /// Its place among those that wait; parts have none.
    place: Option<OwnedSemaphorePermit>,
}

/// Where a run stands.
#[derive(Debug)]
pub(crate) enum Stand<'a> {
    /// For itself, in a place among those that wait.
    Alone(OwnedSemaphorePermit),
    /// As a part of this one.
    PartOf(&'a Entry),
    /// For itself, claimed from the store: it waited there.
    Claimed,
}

#[derive(Debug, Default)]
struct Shown {
    rejects: Vec<RejectedRecord>,
    reject_bytes: usize,
    preview: Vec<StagePreview>,
}

impl Entry {
    /// A run that waits: in a place of its own, or as a part of another.
    pub(crate) fn new(record: RunRecord, clock: Arc<dyn Clock>, stand: Stand<'_>) -> Arc<Self> {
        let (place, whole) = match stand {
            Stand::Alone(place) => (Some(place), None),
            Stand::PartOf(whole) => (None, Some(whole)),
            Stand::Claimed => (None, None),
        };
        Arc::new(Self {
            id: record.id.clone(),
            clock,
            record: Mutex::new(Kept {
                record,
                began: None,
                place,
            }),
            meters: OnceLock::new(),
            parts: Mutex::default(),
            revision: watch::Sender::new(0),
            cancel: Arc::new(Cancel {
                own: watch::Sender::new(false),
                whole: whole.map(|w| Arc::clone(&w.cancel)),
            }),
            interrupt: watch::Sender::new(None),
            put_off: AtomicBool::new(false),
            family: whole.map_or_else(Arc::default, |w| Arc::clone(&w.family)),
            shown: Mutex::default(),
            said: AtomicUsize::new(0),
            left: Mutex::default(),
        })
    }

    /// One more part of the whole: how many there are with it.
    pub(crate) fn count_part(&self) -> usize {
        self.family
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
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

    /// The same, with the runs that move data for it.
    pub(crate) fn record_with_members(&self) -> RunRecord {
        let mut record = self.record();
        let mut found = Vec::new();
        self.movers(&mut found);
        let over = |entry: &Arc<Self>| entry.state().is_over();
        let mut left_out = found.len().saturating_sub(MEMBERS);
        // The oldest that are over give way first; if all are under way, the newest do.
        found.retain(|entry| {
            let stays = left_out == 0 || !over(entry);
            left_out -= usize::from(!stays);
            stays
        });
        found.truncate(MEMBERS);
        record.members = found.iter().map(|entry| entry.member()).collect();
        record
    }

    fn member(&self) -> Member {
        let run = self.record();
        Member {
            id: run.id,
            pipeline: run.pipeline,
            window: run.window.map(|w| w.label),
            state: run.state,
            duration_ms: run.duration_ms,
            stages: run.stages,
        }
    }

    /// The runs it is made of that are not made of others, in the order they were started.
    fn movers(&self, found: &mut Vec<Arc<Self>>) {
        let parts: Vec<_> = lock(&self.parts).iter().filter_map(Weak::upgrade).collect();
        for part in parts {
            if lock(&part.parts).is_empty() {
                found.push(part);
            } else {
                part.movers(found);
            }
        }
    }

    /// It is made of this run, too.
    pub(crate) fn add_part(&self, part: &Arc<Self>) {
        let mut parts = lock(&self.parts);
        let gone = |part: &Weak<Self>| part.upgrade().is_none_or(|p| p.state().is_over());
        // Only the last are ever shown.
        while parts.len() >= MEMBERS
            && let Some(place) = parts.iter().position(gone)
        {
            parts.remove(place);
        }
        parts.push_back(Arc::downgrade(part));
        drop(parts);
        self.edit(|run| run.children.push(part.id.clone()));
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
            kept.place = None;
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
            let kept = &mut *lock(&self.record);
            let record = &mut kept.record;
            if record.state.is_over() {
                return;
            }
            kept.place = None;
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

    /// A stage says something: the first lines are kept.
    pub(crate) fn say(&self, stage: &str, line: &str) {
        if self.said.fetch_add(1, Ordering::Relaxed) < SAID {
            self.log("info", Some(stage), line.to_owned());
        }
    }

    /// Says how many lines of stages are not kept, if some are not.
    pub(crate) fn log_left_out(&self) {
        let left_out = self.said.load(Ordering::Relaxed).saturating_sub(SAID);
        if left_out > 0 {
            let what = format!("{left_out} more lines of its stages are not kept");
            self.log("info", None, what);
        }
    }

    pub(crate) fn log(&self, level: &'static str, stage: Option<&str>, message: String) {
        let line = LogLine {
            at: rfc3339(self.clock.now()),
            level: level.into(),
            stage: stage.map(Into::into),
            message: clipped(message, LINE_BYTES),
        };
        let log: &mut VecDeque<LogLine> = &mut lock(&self.record).record.log;
        if log.len() == LINES {
            log.pop_front();
        }
        log.push_back(line);
    }

    /// What is to be kept with its end.
    pub(crate) fn leave(&self, left: Left) {
        *lock(&self.left) = left;
    }

    pub(crate) fn take_left(&self) -> Left {
        std::mem::take(&mut *lock(&self.left))
    }

    /// The stages and their counters; the first who say count.
    pub(crate) fn set_meters(&self, meters: Vec<Arc<Meter>>) {
        let _first_wins = self.meters.set(meters);
    }

    pub(crate) fn meters(&self) -> &[Arc<Meter>] {
        self.meters.get().map_or(&[], Vec::as_slice)
    }

    /// It is to end, and all its parts.
    pub(crate) fn cancel(&self) {
        self.cancel.own.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.all().any(|cancel| *cancel.own.borrow())
    }

    /// Waits until somebody cancels it, or what it is part of.
    pub(crate) async fn cancelled(&self) {
        let wait = |cancel: &Cancel| {
            let mut own = cancel.own.subscribe();
            // The sender is there as long as anybody waits.
            Box::pin(async move { own.wait_for(|cancel| *cancel).await.is_ok() })
        };
        futures_util::future::select_all(self.cancel.all().map(wait)).await;
    }

    /// It is to read nothing more, and to go on from there later. A pause counts more than a change.
    pub(crate) fn interrupt(&self, why: Interrupt) {
        self.interrupt.send_if_modified(|known| {
            let is_news = *known < Some(why);
            if is_news {
                *known = Some(why);
            }
            is_news
        });
    }

    /// It reads nothing more for that reason.
    pub(crate) fn put_off(&self, why: Interrupt) {
        let why = why.words();
        self.log("info", None, format!("reads nothing more for now: {why}"));
        self.put_off.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_put_off(&self) -> bool {
        self.put_off.load(Ordering::SeqCst)
    }

    /// Waits until it is to read nothing more for such a reason, or a weightier one.
    pub(crate) async fn interrupted(&self, least: Interrupt) -> Interrupt {
        let mut interrupt = self.interrupt.subscribe();
        // The sender is there as long as anybody waits.
        let why = interrupt.wait_for(|why| *why >= Some(least)).await;
        why.ok().and_then(|why| *why).unwrap_or(least)
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
        let record = self.entry.record_with_members();
        self.over = record.state.is_over();
        Some(record)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
