//! What is known of all segments: read from the names of files at the start, changed by the owner thread alone, looked up by readers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::bronze::{BronzeError, Segment, SegmentState};
use model::id::PipelineId;

use super::day::Day;
use super::frame::{FOOT, Totals};

/// How far a segment is, and with that the name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Sealed,
    Uploaded { local: bool },
    Quarantined,
}

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) day: Day,
    pub(super) state: State,
    /// What it holds, where that was asked for before; always of an open one. What lies beyond is not on disk yet.
    pub(super) totals: Option<Totals>,
}

impl Entry {
    /// The name of one of its files.
    pub(super) fn name(&self, end: &str) -> String {
        format!("{:016}.{end}", self.number)
    }

    /// Does it lie in the object store?
    pub(super) fn is_uploaded(&self) -> bool {
        matches!(self.state, State::Uploaded { .. })
    }

    /// What it is called in the object store.
    pub(super) fn key(&self, pipeline: &PipelineId) -> String {
        format!("{pipeline}/{}/{}", self.day, self.name(SEALED))
    }
}

/// Where files lie.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) root: PathBuf,
}

/// Ends of the names of files: `<number>.<end>`.
pub(super) const OPEN: &str = "open";
pub(super) const SEALED: &str = "bronze";
pub(super) const QUARANTINED: &str = "quarantined";
/// Says why a segment was quarantined.
pub(super) const REASON: &str = "reason";
/// The footer of a segment that lies in the object store.
pub(super) const UPLOADED: &str = "uploaded";

impl Disk {
    pub(super) fn pipeline(&self, pipeline: &PipelineId) -> PathBuf {
        self.root.join(pipeline.as_str())
    }

    pub(super) fn folder(&self, pipeline: &PipelineId, day: Day) -> PathBuf {
        self.pipeline(pipeline).join(day.to_string())
    }

    pub(super) fn path(&self, pipeline: &PipelineId, entry: &Entry, end: &str) -> PathBuf {
        self.folder(pipeline, entry.day).join(entry.name(end))
    }

    /// The file that holds a segment's frames.
    pub(super) fn file(&self, pipeline: &PipelineId, entry: &Entry) -> PathBuf {
        let end = match entry.state {
            State::Open => OPEN,
            State::Sealed | State::Uploaded { .. } => SEALED,
            State::Quarantined => QUARANTINED,
        };
        self.path(pipeline, entry, end)
    }

    /// What a segment holds, from its footer; none: it has none.
    pub(super) fn totals(
        &self,
        pipeline: &PipelineId,
        entry: &Entry,
    ) -> io::Result<Option<Totals>> {
        if entry.totals.is_some() {
            return Ok(entry.totals);
        }
        let path = match entry.state {
            State::Uploaded { local: false } => self.path(pipeline, entry, UPLOADED),
            State::Open | State::Sealed | State::Uploaded { .. } | State::Quarantined => {
                self.file(pipeline, entry)
            }
        };
        footer(&File::open(path)?, entry.number)
    }

    /// All segments there are. What is not one by its name is left alone.
    pub(super) fn list(&self) -> io::Result<BTreeMap<PipelineId, Vec<Entry>>> {
        let mut all = BTreeMap::new();
        for (name, path) in folders(&self.root)? {
            let Ok(pipeline) = PipelineId::new(&name) else {
                continue;
            };
            let mut entries = Vec::new();
            for (name, path) in folders(&path)? {
                if let Ok(day) = name.parse() {
                    list_day(&path, day, &mut entries)?;
                }
            }
            entries.sort_by_key(|e: &Entry| e.number);
            all.insert(pipeline, entries);
        }
        Ok(all)
    }
}

/// The footer at a file's end.
pub(super) fn footer(file: &File, number: u64) -> io::Result<Option<Totals>> {
    let size = file.metadata()?.len();
    let Some(place) = size.checked_sub(FOOT as u64) else {
        return Ok(None);
    };
    let mut bytes = [0; FOOT];
    file.read_exact_at(&mut bytes, place)?;
    Ok(Totals::read(&bytes, number).filter(|t| t.length == place || place == 0))
}

fn folders(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            all.push((name, entry.path()));
        }
    }
    Ok(all)
}

fn list_day(folder: &Path, day: Day, all: &mut Vec<Entry>) -> io::Result<()> {
    let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(OsStr::to_str);
        let number = number.filter(|n| n.len() >= 16 && n.bytes().all(|b| b.is_ascii_digit()));
        let end = path.extension().and_then(OsStr::to_str);
        if let (Some(Ok(number)), Some(end)) = (number.map(str::parse), end) {
            found.entry(number).or_default().push(end.to_owned());
        }
    }
    for (number, ends) in found {
        let has = |end: &str| ends.iter().any(|e| e == end);
        let state = if has(QUARANTINED) {
            State::Quarantined
        } else if has(UPLOADED) {
            State::Uploaded { local: has(SEALED) }
        } else if has(SEALED) {
            State::Sealed
        } else if has(OPEN) {
            State::Open
        } else {
            continue;
        };
        all.push(Entry {
            number,
            day,
            state,
            totals: None,
        });
    }
    Ok(())
}

/// All segments by pipeline, in the order of their numbers. Held for moments only, never over work on files.
#[derive(Debug, Default)]
pub(super) struct Catalog(Mutex<BTreeMap<PipelineId, Vec<Entry>>>);

impl Catalog {
    pub(super) fn new(all: BTreeMap<PipelineId, Vec<Entry>>) -> Self {
        Self(Mutex::new(all))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<PipelineId, Vec<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipelines that have segments.
    pub(super) fn pipelines(&self) -> Vec<PipelineId> {
        self.lock().keys().cloned().collect()
    }

    /// At most so many segments of a pipeline, from this number on.
    pub(super) fn from(&self, pipeline: &PipelineId, number: u64, most: usize) -> Vec<Entry> {
        let all = self.lock();
        let entries = all.get(pipeline).map(Vec::as_slice).unwrap_or_default();
        let first = entries.partition_point(|e| e.number < number);
        entries.iter().skip(first).take(most).copied().collect()
    }

    /// A segment as it is now.
    pub(super) fn find(&self, pipeline: &PipelineId, number: u64) -> Option<Entry> {
        self.from(pipeline, number, 1)
            .into_iter()
            .find(|e| e.number == number)
    }

    /// The highest number of a pipeline.
    pub(super) fn last(&self, pipeline: &PipelineId) -> Option<u64> {
        self.lock().get(pipeline)?.last().map(|e| e.number)
    }

    /// Puts a segment in, or what is known of it now.
    pub(super) fn put(&self, pipeline: &PipelineId, entry: Entry) {
        let mut all = self.lock();
        let entries = all.entry(pipeline.clone()).or_default();
        match entries.binary_search_by_key(&entry.number, |e| e.number) {
            Ok(at) => {
                if let Some(known) = entries.get_mut(at) {
                    *known = entry;
                }
            }
            Err(at) => entries.insert(at, entry),
        }
    }

    /// Remembers what a segment holds that is no longer open.
    pub(super) fn learn(&self, pipeline: &PipelineId, number: u64, totals: Totals) {
        let mut all = self.lock();
        let entries = all.get_mut(pipeline);
        let known = entries.and_then(|e| e.iter_mut().find(|e| e.number == number));
        if let Some(known) = known.filter(|e| e.totals.is_none()) {
            known.totals = Some(totals);
        }
    }

    pub(super) fn remove(&self, pipeline: &PipelineId, number: u64) {
        if let Some(entries) = self.lock().get_mut(pipeline) {
            entries.retain(|e| e.number != number);
        }
    }
}

/// A segment as others see it. Reads its file for what is not known yet.
pub(super) fn show(
    disk: &Disk,
    pipeline: &PipelineId,
    entry: &Entry,
) -> Result<Segment, BronzeError> {
    let path = disk.file(pipeline, entry);
    let totals = match disk.totals(pipeline, entry) {
        Ok(totals) => totals,
        Err(e) if entry.state == State::Quarantined || e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed("read", &path, &e)),
    };
    let state = match entry.state {
        State::Open => SegmentState::Open,
        State::Sealed => SegmentState::Sealed,
        State::Uploaded { local } => SegmentState::Uploaded { local },
        State::Quarantined => SegmentState::Quarantined {
            reason: fs::read_to_string(disk.path(pipeline, entry, REASON))
                .map_or_else(|_| "unknown".into(), |r| r.trim_end().to_owned()),
        },
    };
    let whole = |t: Totals| t.length.saturating_add(FOOT as u64);
    let stored = match entry.state {
        State::Open => totals.map_or(0, |t| t.length),
        State::Sealed | State::Uploaded { .. } | State::Quarantined => {
            fs::metadata(&path).map_or_else(|_| totals.map_or(0, whole), |m| m.len())
        }
    };
    let known = totals.filter(|t| t.records > 0);
    Ok(Segment {
        pipeline: pipeline.clone(),
        number: entry.number,
        day: entry.day.to_string(),
        state,
        earliest_ms: known.map(|t| t.earliest),
        latest_ms: known.map(|t| t.latest),
        records: totals.map_or(0, |t| t.records),
        bytes: totals.map_or(0, |t| t.bytes),
        stored,
    })
}

/// What did not work with a file.
pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> BronzeError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let text = format!("cannot {what} {}: {error}", path.display());
    if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
        BronzeError::Full(text)
    } else {
        BronzeError::Unavailable(text)
    }
}
