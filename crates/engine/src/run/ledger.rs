//! How far the sinks of a run are with what its source gave, and what could not be delivered: what the store is told while the run goes on and when it ends, so that a later attempt neither loses a
//! record nor gives a sink one twice. When the store is told is `keeping`'s business.
//!
//! All sinks are given the same records in the same order, so that a sink's place is a number of records. A mark is a place of which the source has said how to go on from it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use model::data::Batch;
use model::id::PipelineId;
use model::run::RunId;
use model::store::{Checkpoint, LetterId, Moment, NewLetter, Redriven, Room};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::Failure;
use super::letters::Redrive;
use super::rejects::Kept;
use super::route::Point;
use crate::slot::lock;

/// Most marks that are remembered: of more, every other one is forgotten.
const MARKS: usize = 1_024;

/// Bytes of dead letters that may wait for the store before their makers do.
const HEAVY: u64 = 8 << 20;

/// Where a sink is beyond the place that its source goes on from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Standing {
    /// Records that it has already of what comes from there on.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) past: u64,
    /// It has everything, and is finished.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) finished: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Where a run begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) cursor: Option<String>,
    /// Records that were read before.
    pub(super) read: u64,
    pub(super) sinks: Standings,
}

/// Where sinks are, as a checkpoint has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Standings {
    /// The version of the pipeline: another one may make other records.
    pub(super) version: u64,
    pub(super) sinks: BTreeMap<String, Standing>,
}

impl Begin {
    pub(super) fn of(found: Option<Checkpoint>, version: u64) -> Self {
        let Some(found) = found else {
            return Self::default();
        };
        let sinks: Standings = serde_json::from_str(&found.sinks).unwrap_or_default();
        let same = sinks.version == version;
        Self {
            cursor: found.cursor,
            read: found.records,
            sinks: if same { sinks } else { Standings::default() },
        }
    }

    pub(super) fn of_sink(&self, name: &str) -> Standing {
        self.sinks.sinks.get(name).cloned().unwrap_or_default()
    }
}

/// What a run writes for.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) pipeline: PipelineId,
    pub(super) version: u64,
    pub(super) run: RunId,
    /// How many dead letters may be kept.
    pub(super) room: Room,
    /// Are rejected records kept?
    pub(super) rejects: bool,
    /// Does another attempt make the same records, so that a sink can leave out as many as it has?
    pub(super) counts: bool,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) about: About,
    /// What is tried again, of a run that does so.
    redrive: Option<Arc<Redrive>>,
    pages: Mutex<Pages>,
    /// The store is to be told at once.
    pub(super) poke: Notify,
}

#[derive(Debug)]
struct Pages {
    /// The first is the newest that all sinks are past.
    marks: VecDeque<Mark>,
    sinks: Vec<Place>,
    /// Records given to the sinks.
    given: u64,
    /// Has the source said where to go on?
    has_cursors: bool,
    /// A stage holds records back: until the end it cannot be told which are delivered.
    held: bool,
    /// A later attempt has to begin where this one did.
    only_ends: bool,
    letters: Vec<(When, NewLetter)>,
    letter_bytes: u64,
    /// Those of them that the store may be told of now.
    ready_bytes: u64,
    /// Something is new since the store was told.
    changed: bool,
}

/// A place that the source can go on from.
#[derive(Debug, Clone)]
struct Mark {
    /// Which pull it came after.
    pull: u64,
    cursor: Option<String>,
    /// Records read up to it.
    read: u64,
    /// Records given to the sinks up to it.
    given: u64,
}

#[derive(Debug)]
struct Place {
    name: Arc<str>,
    taken: u64,
    /// It shows nothing before its finish.
    whole: bool,
    finished: bool,
}

impl Place {
    /// Records it is sure to have.
    fn has(&self) -> u64 {
        match (self.finished, self.whole) {
            (true, _) => u64::MAX,
            (false, true) => 0,
            (false, false) => self.taken,
        }
    }
}

/// From when on a dead letter is to be kept.
#[derive(Debug, Clone, Copy)]
enum When {
    /// Once all sinks are past this pull: before, the source would give it again.
    Past(u64),
    /// Once this sink is finished.
    Finished(usize),
    Now,
}

/// What the store is to be told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) cursor: Option<String>,
    pub(super) read: u64,
    pub(super) standings: Standings,
    pub(super) letters: Vec<NewLetter>,
    pub(super) redriven: Vec<(LetterId, Redriven)>,
}

impl Ledger {
    pub(super) fn new(
        about: About,
        begin: &Begin,
        sinks: impl IntoIterator<Item = Arc<str>>,
        redrive: Option<Arc<Redrive>>,
    ) -> Self {
        let place = |name: Arc<str>| {
            let standing = begin.of_sink(&name);
            Place {
                name,
                taken: standing.past,
                whole: false,
                finished: standing.finished,
            }
        };
        let first = Mark {
            pull: 0,
            cursor: begin.cursor.clone(),
            read: begin.read,
            given: 0,
        };
        Self {
            about,
            redrive,
            poke: Notify::new(),
            pages: Mutex::new(Pages {
                marks: VecDeque::from([first]),
                sinks: sinks.into_iter().map(place).collect(),
                given: 0,
                has_cursors: begin.cursor.is_some(),
                held: false,
                only_ends: false,
                letters: Vec::new(),
                letter_bytes: 0,
                ready_bytes: 0,
                changed: false,
            }),
        }
    }

    /// A stage holds records back.
    pub(super) fn hold(&self) {
        lock(&self.pages).held = true;
    }

    /// Does the place to go on from move on while the run does? Not where something is held back, or shown all or nothing.
    pub(super) fn moves_on(&self) -> bool {
        let pages = lock(&self.pages);
        let is_held = pages.held || pages.only_ends;
        !is_held && pages.sinks.iter().all(|place| !place.whole)
    }

    /// A transform has to see all records: a later attempt begins where this one did.
    pub(super) fn only_ends(&self) {
        lock(&self.pages).only_ends = true;
    }

    /// So many records go to the sinks now; after them the source goes on at `point`.
    pub(super) fn give(&self, records: u64, point: Option<Box<Point>>) {
        let mut pages = lock(&self.pages);
        pages.given += records;
        let Some(point) = point else { return };
        pages.has_cursors = true;
        if pages.held || pages.only_ends {
            return;
        }
        let mark = Mark {
            pull: point.pull,
            cursor: point.cursor,
            read: point.read,
            given: pages.given,
        };
        pages.marks.push_back(mark);
        if pages.marks.len() > MARKS {
            let mut nth = 0_usize;
            let last = pages.marks.len().saturating_sub(1);
            pages.marks.retain(|_| {
                nth += 1;
                nth == 1 || nth.is_multiple_of(2) || nth > last
            });
        }
        pages.pass();
    }

    /// A sink shows nothing before its finish.
    pub(super) fn is_whole(&self, sink: usize) {
        if let Some(place) = lock(&self.pages).sinks.get_mut(sink) {
            place.whole = true;
        }
    }

    /// A sink has so many records more, but for these, which are kept as dead letters.
    pub(super) fn took(
        &self,
        sink: usize,
        records: u64,
        letters: Vec<NewLetter>,
    ) -> Result<(), Failure> {
        let mut pages = lock(&self.pages);
        let Some(place) = pages.sinks.get_mut(sink) else {
            return Ok(());
        };
        place.taken += records;
        let when = match place.whole {
            true => When::Finished(sink),
            false => When::Now,
        };
        pages.pass();
        self.add(&mut pages, when, letters)
    }

    /// A sink gives up on these lines, of which `before` came before.
    pub(super) fn gave_up(
        &self,
        sink: usize,
        before: u64,
        lines: &Batch,
        why: &str,
        at: Moment,
    ) -> Result<(), Failure> {
        let name = lock(&self.pages)
            .sinks
            .get(sink)
            .map(|s| s.name.to_string());
        let stage = name.unwrap_or_default();
        let numbered = (before.saturating_add(1)..).zip(super::lines::lines(&lines.data));
        let letters = numbered.map(|(number, record)| NewLetter {
            pipeline: self.about.pipeline.clone(),
            run: self.about.run.clone(),
            stage: stage.clone(),
            number,
            reason: why.to_owned(),
            attempts: 1,
            original: Bytes::copy_from_slice(record),
            undelivered: true,
            at,
        });
        self.took(sink, lines.count.into(), letters.collect())
    }

    /// Is there more than should wait for the store? Whoever asks has it told at once.
    pub(super) fn is_heavy(&self) -> bool {
        let heavy = lock(&self.pages).ready_bytes > HEAVY;
        if heavy {
            self.poke.notify_one();
        }
        heavy
    }

    /// A sink is finished.
    pub(super) fn finished(&self, sink: usize) {
        let mut pages = lock(&self.pages);
        if let Some(place) = pages.sinks.get_mut(sink) {
            place.finished = true;
        }
        pages.pass();
    }

    /// A stage before the sinks rejected these of what came with a pull.
    pub(super) fn rejected(&self, pull: u64, kept: &[Kept], at: Moment) -> Result<(), Failure> {
        let mut letters = Vec::new();
        for kept in kept {
            let own = self.redrive.as_ref();
            if own.is_some_and(|r| r.rejected(&kept.stage, kept.number, &kept.reason)) {
                continue;
            }
            if self.about.rejects {
                letters.push(self.letter(kept, at));
            }
        }
        self.add(&mut lock(&self.pages), When::Past(pull), letters)
    }

    /// The dead letter of a record that was rejected; none: it is one already, or is not to be kept.
    pub(super) fn letter_of(&self, kept: &Kept, at: Moment) -> Option<NewLetter> {
        let own = self.redrive.as_ref();
        if own.is_some_and(|r| r.rejected(&kept.stage, kept.number, &kept.reason)) {
            return None;
        }
        self.about.rejects.then(|| self.letter(kept, at))
    }

    fn letter(&self, kept: &Kept, at: Moment) -> NewLetter {
        NewLetter {
            pipeline: self.about.pipeline.clone(),
            run: self.about.run.clone(),
            stage: kept.stage.to_string(),
            number: kept.number,
            reason: kept.reason.clone(),
            attempts: 1,
            // A slice would keep its whole batch.
            original: Bytes::copy_from_slice(
                kept.record.strip_suffix(b"\n").unwrap_or(&kept.record),
            ),
            undelivered: false,
            at,
        }
    }

    fn add(&self, pages: &mut Pages, when: When, letters: Vec<NewLetter>) -> Result<(), Failure> {
        if letters.is_empty() {
            pages.changed = true;
            return Ok(());
        }
        let bytes: usize = letters.iter().map(|l| l.original.len()).sum();
        pages.letter_bytes += bytes as u64;
        if matches!(when, When::Now) {
            pages.ready_bytes += bytes as u64;
        }
        pages
            .letters
            .extend(letters.into_iter().map(|letter| (when, letter)));
        pages.changed = true;
        let Room { letters, bytes } = self.about.room;
        if pages.letters.len() as u64 > letters || pages.letter_bytes > bytes {
            return Err(full(&format!(
                "this run alone has more than {letters} dead letters or {bytes} bytes of them"
            )));
        }
        Ok(())
    }

    /// What the store is to be told now; none: nothing is new. Letters are given out once.
    pub(super) fn tell(&self) -> Option<Told> {
        let mut pages = lock(&self.pages);
        if !std::mem::take(&mut pages.changed) {
            return None;
        }
        let told = self.told(&mut pages, false);
        Some(told)
    }

    /// The same at the end, whether something is new or not. `complete`: everything was delivered, or is among the dead letters.
    pub(super) fn close(&self, complete: bool, cursor: Option<String>, why: Option<&str>) -> Told {
        let mut pages = lock(&self.pages);
        let mut told = self.told(&mut pages, complete);
        if complete {
            told.cursor = cursor;
            let all = pages.sinks.iter().map(|place| {
                let standing = Standing {
                    past: 0,
                    finished: true,
                };
                (place.name.to_string(), standing)
            });
            told.standings.sinks = all.collect();
        }
        if let Some(redrive) = &self.redrive {
            told.redriven.extend(redrive.rest(complete, why));
        }
        told
    }

    /// The store was not told: these come again with the next.
    pub(super) fn take_back(&self, told: Told) {
        let mut pages = lock(&self.pages);
        pages.changed = true;
        let bytes: usize = told.letters.iter().map(|l| l.original.len()).sum();
        pages.letter_bytes += bytes as u64;
        pages.ready_bytes += bytes as u64;
        let later = std::mem::take(&mut pages.letters);
        let back = told.letters.into_iter().map(|letter| (When::Now, letter));
        pages.letters = back.chain(later).collect();
        if let Some(redrive) = &self.redrive {
            redrive.take_back(told.redriven);
        }
    }

    fn told(&self, pages: &mut Pages, complete: bool) -> Told {
        let Some(mark) = pages.marks.front().cloned() else {
            return Told::default();
        };
        let finished: Vec<_> = pages.sinks.iter().map(|s| s.finished).collect();
        let is_due = |when: &When| match when {
            When::Past(pull) => complete || *pull <= mark.pull,
            When::Finished(sink) => complete || finished.get(*sink) == Some(&true),
            When::Now => true,
        };
        let all = std::mem::take(&mut pages.letters);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(when, _)| is_due(when));
        let bytes: usize = later.iter().map(|(_, l)| l.original.len()).sum();
        pages.letters = later;
        pages.letter_bytes = bytes as u64;
        pages.ready_bytes = 0;
        let counts = self.about.counts && pages.has_cursors && !pages.held;
        let standing = |place: &Place| Standing {
            past: match place.finished || place.whole || !counts {
                true => 0,
                false => place.taken.saturating_sub(mark.given),
            },
            finished: place.finished,
        };
        let sinks = pages.sinks.iter();
        let sinks = sinks.map(|place| (place.name.to_string(), standing(place)));
        let redriven = self.redrive.as_ref().map(|redrive| {
            let least = pages.sinks.iter().map(Place::has).min().unwrap_or(0);
            redrive.delivered(mark.read, least.min(pages.given))
        });
        Told {
            cursor: mark.cursor,
            read: mark.read,
            standings: Standings {
                version: self.about.version,
                sinks: sinks.filter(|(_, s)| *s != Standing::default()).collect(),
            },
            letters: due.into_iter().map(|(_, letter)| letter).collect(),
            redriven: redriven.unwrap_or_default(),
        }
    }
}

impl Pages {
    /// Forgets the marks that all sinks are past, but for the last of them.
    fn pass(&mut self) {
        self.changed = true;
        let least = self.sinks.iter().map(Place::has).min().unwrap_or(0);
        while self.marks.get(1).is_some_and(|mark| mark.given <= least) {
            self.marks.pop_front();
        }
    }
}

/// There is no room for dead letters.
pub(super) fn full(what: &str) -> Failure {
    Failure::new(what).within("what cannot be delivered finds no room (errors.dead_letters), so that the run ends before it loses anything: have dead letters delivered, or forget some")
}
