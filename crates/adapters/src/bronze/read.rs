//! Reading: pages of records out of segments, past what is damaged. Files are only looked at; what is found damaged is reported.

use std::fs::File;
use std::io;

use model::bronze::{BronzeError, Kept, Page, Position, Reading};
use model::id::PipelineId;

use super::catalog::{Catalog, Disk, Entry, OPEN, QUARANTINED, SEALED, State, failed};
use super::frame::{Head, START, Totals};
use super::record::{Decoded, decode, size};
use super::walk::{Expand, Step, Walk};

/// Segments looked up at once.
const SEGMENTS: usize = 64;

/// What came of reading.
pub(super) enum Outcome {
    /// A page, and the segments that turned out to be damaged: number and what is wrong.
    Page(Page, Vec<(u64, String)>),
    /// The next record lies in a segment that is not here; so far the log was looked at up to this position.
    Fetch(Entry, Option<Position>),
}

/// A page that is being filled.
pub(super) struct Pages<'a> {
    disk: &'a Disk,
    catalog: &'a Catalog,
    pipeline: &'a PipelineId,
    reading: Reading,
    page: Page,
    bytes: usize,
    broken: Vec<(u64, String)>,
    expand: Expand,
}

/// Does the page take more?
#[derive(PartialEq, Eq)]
enum Room {
    More,
    Full,
}

impl<'a> Pages<'a> {
    pub(super) fn new(
        disk: &'a Disk,
        catalog: &'a Catalog,
        pipeline: &'a PipelineId,
        reading: Reading,
    ) -> Result<Self, BronzeError> {
        let expand = Expand::new()
            .map_err(|e| BronzeError::Unavailable(format!("cannot set up Zstandard: {e}")))?;
        Ok(Self {
            disk,
            catalog,
            pipeline,
            reading,
            page: Page {
                after: reading.after,
                ..Page::default()
            },
            bytes: 0,
            broken: Vec::new(),
            expand,
        })
    }

    /// Fills the page. `fetched` is the file of a segment that is not here otherwise.
    pub(super) fn fill(mut self, mut fetched: Option<(u64, File)>) -> Result<Outcome, BronzeError> {
        // What is before a fetched segment was read to its end.
        let after = self.reading.after.map_or(0, Position::segment);
        let mut next = fetched.as_ref().map_or(after, |(number, _)| *number);
        loop {
            let entries = self.catalog.from(self.pipeline, next, SEGMENTS);
            if entries.is_empty() {
                self.page.end = true;
                return Ok(self.finish());
            }
            for entry in entries {
                next = entry.number.saturating_add(1);
                if self.is_passed(&entry) || self.is_out_of_range(&entry) {
                    continue;
                }
                let given = fetched.take_if(|(number, _)| *number == entry.number);
                let Some((entry, file)) = self.open(entry, given.map(|(_, f)| f))? else {
                    continue;
                };
                let Some(file) = file else {
                    return Ok(if self.page.records.is_empty() && self.broken.is_empty() {
                        Outcome::Fetch(entry, self.page.after)
                    } else {
                        self.finish()
                    });
                };
                let path = self.disk.file(self.pipeline, &entry);
                let room = self
                    .segment(&entry, file)
                    .map_err(|e| failed("read", &path, &e))?;
                if room == Room::Full {
                    return Ok(self.finish());
                }
                // Past the end of a damaged one, whatever could be read of it.
                let broken = self.broken.iter().any(|(n, _)| *n == entry.number);
                if broken && entry.state != State::Open {
                    self.pass(Position::new(entry.number, u32::MAX, u32::MAX));
                }
            }
        }
    }

    fn finish(self) -> Outcome {
        Outcome::Page(self.page, self.broken)
    }

    /// Was a segment read to its end before? What is open may have grown since, which its totals say.
    fn is_passed(&self, entry: &Entry) -> bool {
        if self.page.after.map(Position::segment) != Some(entry.number) {
            return false;
        }
        let Ok(Some(totals)) = self.disk.totals(self.pipeline, entry) else {
            return false;
        };
        let last = totals.last_position(entry.number);
        last.is_some_and(|last| Some(last) <= self.page.after)
    }

    /// Can a segment be left out for its times? Its last record counts as looked at then.
    fn is_out_of_range(&mut self, entry: &Entry) -> bool {
        let Reading {
            from_ms, until_ms, ..
        } = self.reading;
        if from_ms.is_none() && until_ms.is_none() {
            return false;
        }
        let Ok(Some(totals)) = self.disk.totals(self.pipeline, entry) else {
            return false;
        };
        self.catalog.learn(self.pipeline, entry.number, totals);
        let Some(last) = totals.last_position(entry.number) else {
            return true;
        };
        let out = self.is_outside(totals.earliest, totals.latest);
        // What is open may have grown since: its end is not to be passed.
        if out {
            self.pass(last);
        }
        out
    }

    fn is_outside(&self, earliest: u64, latest: u64) -> bool {
        self.reading.from_ms.is_some_and(|from| latest < from)
            || self.reading.until_ms.is_some_and(|until| earliest >= until)
    }

    fn pass(&mut self, position: Position) {
        self.page.after = self.page.after.max(Some(position));
    }

    /// The file of a segment as it is now: it may have been sealed, put aside or removed meanwhile. None: it is gone; no file: it has to be fetched.
    fn open(
        &mut self,
        entry: Entry,
        fetched: Option<File>,
    ) -> Result<Option<(Entry, Option<File>)>, BronzeError> {
        let mut entry = entry;
        if fetched.is_some() {
            return Ok(Some((entry, fetched)));
        }
        for _ in 0..4 {
            if entry.state == (State::Uploaded { local: false }) {
                return Ok(Some((entry, None)));
            }
            // A file is renamed before the catalog says so.
            let ends: &[&str] = match entry.state {
                State::Open => &[OPEN, SEALED, QUARANTINED],
                State::Sealed | State::Uploaded { .. } => &[SEALED, QUARANTINED],
                State::Quarantined => &[QUARANTINED],
            };
            for end in ends {
                let path = self.disk.path(self.pipeline, &entry, end);
                match File::open(&path) {
                    Ok(file) => return Ok(Some((entry, Some(file)))),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(failed("read", &path, &e)),
                }
            }
            match self.catalog.find(self.pipeline, entry.number) {
                Some(now) => entry = now,
                None => return Ok(None),
            }
        }
        self.page.damage.push(format!(
            "segment {} of {}: its file is gone",
            entry.number, self.pipeline
        ));
        Ok(None)
    }

    /// Reads on in one segment.
    fn segment(&mut self, entry: &Entry, file: File) -> io::Result<Room> {
        let size = file.metadata()?.len();
        // What is open counts as far as it was synced.
        let end = match (entry.state, entry.totals) {
            (State::Open, Some(totals)) => totals.length.min(size),
            _ => size,
        };
        let mut walk = Walk::new(file, entry.number, end);
        let mut place = match self.page.after {
            Some(after) if after.segment() == entry.number => {
                let place = u64::from(after.frame());
                match walk.step(place)? {
                    Step::Frame(_) => place,
                    // No place of a frame, or a damaged one: only going through from the beginning tells.
                    Step::Foot(_) | Step::End | Step::Damage(_) => START,
                }
            }
            _ => START,
        };
        if place == START
            && let Err(reason) = walk.header()?
        {
            self.damage(entry, 0, START, &reason);
        }
        loop {
            match walk.step(place)? {
                Step::Frame(head) => {
                    let after = place.saturating_add(head.size());
                    if self.frame(entry, &mut walk, place, &head)? == Room::Full {
                        return Ok(Room::Full);
                    }
                    place = after;
                }
                Step::Foot(_) => return Ok(Room::More),
                Step::Damage(next) => {
                    self.damage(entry, place, next, "there is no frame");
                    place = next;
                }
                Step::End => {
                    if entry.state != State::Open {
                        self.damage(entry, place, end, "its footer is missing");
                    }
                    return Ok(Room::More);
                }
            }
        }
    }

    /// Takes the records of a frame.
    fn frame(
        &mut self,
        entry: &Entry,
        walk: &mut Walk,
        place: u64,
        head: &Head,
    ) -> io::Result<Room> {
        let at = u32::try_from(place).map_err(io::Error::other)?;
        let last = Position::new(entry.number, at, head.records.saturating_sub(1));
        if self.page.after.is_some_and(|after| last <= after) {
            return Ok(Room::More);
        }
        if self.is_outside(head.earliest, head.latest) {
            self.pass(last);
            return Ok(Room::More);
        }
        let mut plain = match walk.body(place, head)? {
            Some(body) => self.expand.plain(body, head),
            None => None,
        };
        if let Some(bytes) = &mut plain {
            for number in 0..head.records {
                let Some(record) = decode(bytes) else {
                    plain = None;
                    break;
                };
                *bytes = bytes.slice(record.size..);
                if self.take(Position::new(entry.number, at, number), record) == Room::Full {
                    return Ok(Room::Full);
                }
            }
        }
        if plain.is_some() {
            return Ok(Room::More);
        }
        self.salvage(entry, walk, place, head)
    }

    /// Takes what can be had of a damaged frame.
    fn salvage(
        &mut self,
        entry: &Entry,
        walk: &mut Walk,
        place: u64,
        head: &Head,
    ) -> io::Result<Room> {
        let at = u32::try_from(place).map_err(io::Error::other)?;
        let kept = walk.salvage(place, head)?;
        let lost = (head.records as usize).saturating_sub(kept.len());
        for (number, record) in (0..).zip(kept) {
            if self.take(Position::new(entry.number, at, number), record) == Room::Full {
                return Ok(Room::Full);
            }
        }
        let after = place.saturating_add(head.size());
        self.damage(
            entry,
            place,
            after,
            &format!("{lost} of {} records cannot be read", head.records),
        );
        self.pass(Position::new(
            entry.number,
            at,
            head.records.saturating_sub(1),
        ));
        Ok(Room::More)
    }

    /// Takes a record, where it is asked for.
    fn take(&mut self, position: Position, found: Decoded) -> Room {
        if self.page.after.is_some_and(|after| position <= after) {
            return Room::More;
        }
        let received = found.record.received_ms;
        if self.is_outside(received, received) {
            self.pass(position);
            return Room::More;
        }
        let most = self.reading.most;
        let bytes = self.bytes.saturating_add(size(&found.record));
        let count = self.page.records.len();
        if count > 0 && (count >= most.records as usize || bytes > most.bytes as usize) {
            return Room::Full;
        }
        self.bytes = bytes;
        self.pass(position);
        self.page.records.push(Kept {
            position,
            digest: found.digest,
            record: found.record,
        });
        Room::More
    }

    fn damage(&mut self, entry: &Entry, from: u64, to: u64, reason: &str) {
        let number = entry.number;
        self.page.damage.push(format!(
            "segment {number} of {}, bytes {from} to {to}: {reason}",
            self.pipeline
        ));
        if self.broken.iter().all(|(n, _)| *n != number) {
            self.broken
                .push((number, format!("bytes {from} to {to}: {reason}")));
        }
    }
}

/// Goes through a segment that is to be sealed: is all of it as it was written?
pub(super) fn verify(file: File, number: u64) -> io::Result<Result<Totals, String>> {
    let end = file.metadata()?.len();
    let mut walk = Walk::new(file, number, end);
    if let Err(reason) = walk.header()? {
        return Ok(Err(reason));
    }
    let mut totals = Totals::NONE;
    loop {
        let place = totals.length;
        match walk.step(place)? {
            Step::Frame(head) if walk.is_whole(place, &head)? => totals.add(&head),
            Step::Foot(found) if found == totals => return Ok(Ok(totals)),
            Step::Foot(_) => {
                return Ok(Err("its footer says other than what is before it".into()));
            }
            Step::Frame(_) => return Ok(Err(format!("the frame at byte {place} is damaged"))),
            Step::Damage(_) => return Ok(Err(format!("at byte {place} there is no frame"))),
            Step::End => return Ok(Err("its footer is missing".into())),
        }
    }
}
