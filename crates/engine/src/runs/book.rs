//! All runs the engine remembers, in the order they were submitted: those under way, and the last that are over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use model::run::{RunId, RunState};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::entry::Entry;
use crate::slot::lock;

#[derive(Debug)]
pub(crate) struct Book {
    /// Most runs that are remembered when they are over.
    history: usize,
    /// Places for runs that wait.
    places: Arc<Semaphore>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    runs: BTreeMap<RunId, Arc<Entry>>,
    /// Those that are over, in the order of their ends.
    over: VecDeque<RunId>,
    last: u128,
}

impl Book {
    pub(crate) fn new(history: usize, queue: usize) -> Self {
        Self {
            history,
            places: Arc::new(Semaphore::new(queue.min(Semaphore::MAX_PERMITS))),
            pages: Mutex::default(),
        }
    }

    /// A new id: greater than all before.
    pub(crate) fn id(&self, now: SystemTime) -> RunId {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let [random @ .., _, _, _, _, _, _] = uuid::Uuid::new_v4().into_bytes();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        let mut pages = lock(&self.pages);
        pages.last = uuid.as_u128().max(pages.last.saturating_add(1));
        RunId::of(pages.last)
    }

    /// A place for a run that waits; none: all are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    pub(crate) fn add(&self, entry: &Arc<Entry>) {
        let mut pages = lock(&self.pages);
        pages.runs.insert(entry.id.clone(), Arc::clone(entry));
    }

    /// Forgets a run: one that was never submitted, or that the store has.
    pub(crate) fn remove(&self, id: &RunId) {
        lock(&self.pages).runs.remove(id);
    }

    pub(crate) fn get(&self, id: &RunId) -> Option<Arc<Entry>> {
        lock(&self.pages).runs.get(id).cloned()
    }

    /// Runs before this one, the newest first.
    pub(crate) fn before(&self, id: Option<&RunId>) -> Vec<Arc<Entry>> {
        let pages = lock(&self.pages);
        match id {
            Some(id) => pages.runs.range(..id.clone()).rev().map(at).collect(),
            None => pages.runs.iter().rev().map(at).collect(),
        }
    }

    /// When a run was over; when it was submitted, if it is not known any more. None: it goes on.
    pub(crate) fn ended(&self, id: &RunId) -> Option<SystemTime> {
        let Some(entry) = self.get(id) else {
            return Some(id.submitted());
        };
        let ended = entry.look(|run| run.ended_at.clone())?;
        let ended = ended.parse::<jiff::Timestamp>().ok();
        Some(ended.map_or_else(|| id.submitted(), SystemTime::from))
    }

    /// How many wait and how many are at work.
    pub(crate) fn under_way(&self) -> [(RunState, u64); 2] {
        let pages = lock(&self.pages);
        [RunState::Queued, RunState::Running].map(|state| {
            let is = |e: &&Arc<Entry>| e.state() == state;
            (state, pages.runs.values().filter(is).count() as u64)
        })
    }

    /// A run is over: forgets those that ended first, where they are too many.
    pub(crate) fn over(&self, id: &RunId) {
        let pages = &mut *lock(&self.pages);
        pages.over.push_back(id.clone());
        let many = pages.over.len().saturating_sub(self.history);
        for id in pages.over.drain(..many) {
            // One that was tried again has ended more than once.
            if pages.runs.get(&id).is_some_and(|run| run.state().is_over()) {
                pages.runs.remove(&id);
            }
        }
    }
}

fn at((_, entry): (&RunId, &Arc<Entry>)) -> Arc<Entry> {
    Arc::clone(entry)
}
