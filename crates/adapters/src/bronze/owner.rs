//! The one thread that writes: it takes all appends that wait, writes them as frames, syncs each file once, and answers them all. Between two such commits it does
//! what else changes the log: rolling, sealing, removing.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use model::bronze::{BronzeError, Position};
use model::id::PipelineId;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::Options;
use super::catalog::{Catalog, Disk, Entry, State, UPLOADED, failed};
use super::day::Day;
use super::frame::{Filling, Totals};
use super::record::Encoded;
use super::repair;
use super::tail::{FILE_MODE, Tail, remove};
use crate::files;

/// Records of a frame: about so many bytes of them, but never less than one.
const FRAME: usize = 1 << 20;
/// Appends taken into one commit, and about how many bytes of them.
const COMMIT: usize = 4096;
const COMMIT_BYTES: usize = 8 << 20;
/// Threads that sync, where a commit wrote to many files.
const SYNCERS: usize = 8;

/// Work for the owner thread.
pub(super) enum Work {
    Append(Append),
    Do(Box<dyn FnOnce(&mut Owner) + Send>),
}

/// Records that are to be appended together.
pub(super) struct Append {
    pub(super) pipeline: PipelineId,
    pub(super) day: Day,
    pub(super) records: Vec<Encoded>,
    pub(super) reply: oneshot::Sender<Result<Position, BronzeError>>,
    /// Its share of the queue.
    pub(super) room: OwnedSemaphorePermit,
}

impl Append {
    fn size(&self) -> usize {
        self.records.iter().map(|r| r.bytes.len()).sum()
    }

    fn received(&self) -> u64 {
        self.records.first().map_or(0, |r| r.received)
    }
}

/// What one commit wrote for one pipeline.
struct Written {
    pipeline: PipelineId,
    file: Arc<File>,
    totals: Totals,
    replies: Vec<(Append, Position)>,
}

/// All that is needed to write.
pub(super) struct Owner {
    pub(super) disk: Disk,
    pub(super) catalog: Arc<Catalog>,
    options: Options,
    tails: HashMap<PipelineId, Tail>,
    /// Open segments that take no more, since something went wrong with their files.
    retired: Vec<(PipelineId, Tail)>,
    squeeze: zstd::bulk::Compressor<'static>,
    commits: u64,
}

impl Owner {
    /// Checks what was open, and is ready to write.
    pub(super) fn start(
        disk: Disk,
        catalog: Arc<Catalog>,
        options: Options,
    ) -> Result<Self, BronzeError> {
        let squeeze = zstd::bulk::Compressor::new(options.level)
            .map_err(|e| BronzeError::Unavailable(format!("cannot set up Zstandard: {e}")))?;
        let mut owner = Self {
            disk,
            catalog,
            options,
            tails: HashMap::new(),
            retired: Vec::new(),
            squeeze,
            commits: 0,
        };
        for pipeline in owner.catalog.pipelines() {
            for entry in owner.catalog.from(&pipeline, 0, usize::MAX) {
                if entry.state == State::Open {
                    owner.take_up(&pipeline, entry)?;
                }
            }
        }
        Ok(owner)
    }

    /// Goes on with an open segment of an earlier start.
    fn take_up(&mut self, pipeline: &PipelineId, entry: Entry) -> Result<(), BronzeError> {
        let checked = repair::check_open(&self.disk, pipeline, &entry, &mut self.squeeze)?;
        let Some(totals) = checked else {
            self.catalog.put(pipeline, repair::quarantined(&entry));
            return Ok(());
        };
        let mut tail = Tail::known(&entry, totals);
        if self.catalog.last(pipeline) == Some(entry.number) {
            self.catalog.put(pipeline, tail.entry());
            self.tails.insert(pipeline.clone(), tail);
        } else {
            let sealed = tail.seal(&self.disk, pipeline)?;
            self.catalog.put(pipeline, sealed);
        }
        Ok(())
    }

    /// Works until nobody can ask for more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        while let Some(work) = queue.blocking_recv() {
            let mut next = Some(work);
            while let Some(work) = next.take() {
                match work {
                    Work::Do(work) => work(&mut self),
                    Work::Append(first) => {
                        let mut size = first.size();
                        let mut all = vec![first];
                        while all.len() < COMMIT && size < COMMIT_BYTES {
                            match queue.try_recv() {
                                Ok(Work::Append(more)) => {
                                    size = size.saturating_add(more.size());
                                    all.push(more);
                                }
                                Ok(other) => {
                                    next = Some(other);
                                    break;
                                }
                                Err(_) => break,
                            }
                        }
                        self.commit(all);
                    }
                }
            }
        }
        self.close();
    }

    /// Writes, syncs, answers. What does not fit into one round (more files than may be open, the next day of a pipeline) comes in the next.
    fn commit(&mut self, mut waiting: Vec<Append>) {
        while !waiting.is_empty() {
            let mut groups: HashMap<PipelineId, Vec<Append>> = HashMap::new();
            let mut later = Vec::new();
            for append in waiting {
                // Nobody waits any more: then nothing is done either.
                if append.reply.is_closed() {
                    continue;
                }
                let room = groups.len() < self.options.open_files.max(1);
                let fits = match groups.get(&append.pipeline) {
                    Some(group) => group.first().is_some_and(|f| append.day <= f.day),
                    None => room && !later.iter().any(|l: &Append| l.pipeline == append.pipeline),
                };
                if fits {
                    groups
                        .entry(append.pipeline.clone())
                        .or_default()
                        .push(append);
                } else {
                    later.push(append);
                }
            }
            self.commits = self.commits.saturating_add(1);
            let written: Vec<Written> = groups
                .into_iter()
                .filter_map(|(pipeline, group)| self.write(pipeline, group))
                .collect();
            self.finish(written);
            waiting = later;
        }
    }

    /// Writes the appends of one pipeline; answers them when that fails.
    fn write(&mut self, pipeline: PipelineId, group: Vec<Append>) -> Option<Written> {
        match self.try_write(&pipeline, &group) {
            Ok((file, totals, positions)) => Some(Written {
                pipeline,
                file,
                totals,
                replies: group.into_iter().zip(positions).collect(),
            }),
            Err(error) => {
                tracing::error!(%pipeline, %error, "raw records could not be kept");
                // What went wrong with a file may go on: the next records begin another. A full disk is no fault of the file.
                if matches!(error, BronzeError::Unavailable(_)) {
                    self.retire(&pipeline);
                }
                for append in group {
                    answer(append, Err(error.clone()));
                }
                None
            }
        }
    }

    fn try_write(
        &mut self,
        pipeline: &PipelineId,
        group: &[Append],
    ) -> Result<(Arc<File>, Totals, Vec<Position>), BronzeError> {
        let (received, day) = group
            .first()
            .map(|f| (f.received(), f.day))
            .ok_or_else(|| BronzeError::Invalid("no records were given".into()))?;
        self.make_way(pipeline);
        self.roll(pipeline, received, day)?;
        let tail = self
            .tails
            .get_mut(pipeline)
            .ok_or_else(|| BronzeError::Unavailable("its segment is gone".into()))?;
        tail.used = self.commits;
        let mut out = Vec::new();
        let mut totals = tail.totals;
        let positions = fill(tail.number, group, &mut totals, &mut self.squeeze, &mut out)
            .map_err(|e| BronzeError::Unavailable(format!("cannot compress records: {e}")))?;
        let file = tail.write(&self.disk, pipeline, &out)?;
        Ok((file, totals, positions))
    }

    /// Begins a segment where there is none, it is full, or its day is over. A day before (a clock went back) is no reason.
    fn roll(&mut self, pipeline: &PipelineId, received: u64, day: Day) -> Result<(), BronzeError> {
        let full = |t: &Tail| t.totals.length >= self.options.segment_bytes || t.day < day;
        match self.tails.get(pipeline) {
            Some(tail) if !full(tail) => return Ok(()),
            Some(_) => self.seal(pipeline)?,
            None => {}
        }
        self.begin(pipeline, received, day)
    }

    /// Begins a segment. Numbers grow; they begin near the time, so that a folder that is lost and made anew has others than what lies in the object store.
    pub(super) fn begin(
        &mut self,
        pipeline: &PipelineId,
        received: u64,
        day: Day,
    ) -> Result<(), BronzeError> {
        let last = self.catalog.last(pipeline);
        let number = last.map_or(received, |l| received.max(l.saturating_add(1)));
        let tail = Tail::create(&self.disk, pipeline, number, day)?;
        self.catalog.put(pipeline, tail.entry());
        let empty = self.tails.insert(pipeline.clone(), tail);
        // One that never had a record is not sealed: it gives way.
        if let Some(empty) = empty {
            self.catalog.remove(pipeline, empty.number);
            remove(&self.disk.file(pipeline, &empty.entry()));
        }
        Ok(())
    }

    /// Seals the open segment of a pipeline; an empty one stays, until another is begun.
    fn seal(&mut self, pipeline: &PipelineId) -> Result<(), BronzeError> {
        let Some(tail) = self.tails.get_mut(pipeline) else {
            return Ok(());
        };
        if tail.totals.records == 0 {
            return Ok(());
        }
        let sealed = tail.seal(&self.disk, pipeline)?;
        self.tails.remove(pipeline);
        self.catalog.put(pipeline, sealed);
        Ok(())
    }

    /// Closes the files that were not used for longest, so that one more may be opened.
    fn make_way(&mut self, pipeline: &PipelineId) {
        if self.tails.get(pipeline).is_some_and(Tail::is_held) {
            return;
        }
        let held = self.tails.values().filter(|t| t.is_held()).count();
        if held < self.options.open_files.max(1) {
            return;
        }
        let oldest = self.tails.iter_mut().filter(|(_, t)| t.is_held());
        if let Some((pipeline, tail)) = oldest.min_by_key(|(_, t)| t.used) {
            // One that this very commit wrote to keeps its bytes: a footer would stand in their place.
            if tail.used < self.commits {
                tail.park(&self.disk, pipeline);
            }
        }
    }

    /// Syncs what was written, counts it, and answers. What could not be synced is not trusted again: its segment takes no more.
    fn finish(&mut self, written: Vec<Written>) {
        let synced = sync_all(&written);
        for (written, synced) in written.into_iter().zip(synced) {
            let Some(tail) = self.tails.get_mut(&written.pipeline) else {
                continue;
            };
            match synced {
                Ok(()) => {
                    tail.totals = written.totals;
                    self.catalog.put(&written.pipeline, tail.entry());
                    for (append, position) in written.replies {
                        answer(append, Ok(position));
                    }
                }
                Err(e) => {
                    let error = BronzeError::Unavailable(format!("cannot sync raw records: {e}"));
                    tracing::error!(pipeline = %written.pipeline, %error, "raw records could not be kept");
                    if let Err(error) = tail.cut(&written.file) {
                        tracing::error!(pipeline = %written.pipeline, %error, "a segment is longer than what counts of it");
                    }
                    self.retire(&written.pipeline);
                    for (append, _) in written.replies {
                        answer(append, Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Closes all files so that the next start need not check them.
    fn close(&mut self) {
        for (pipeline, tail) in &mut self.tails {
            if let Some(Err(error)) = tail.park(&self.disk, pipeline).map(|f| f.sync_all()) {
                tracing::warn!(%pipeline, %error, "a segment could not be synced at the end");
            }
        }
    }

    /// Takes no more into the open segment of a pipeline.
    fn retire(&mut self, pipeline: &PipelineId) {
        if let Some(mut tail) = self.tails.remove(pipeline) {
            tail.let_go();
            self.retired.push((pipeline.clone(), tail));
        }
    }

    /// Seals what counts of segments that take no more; those where that does not work wait for the next time, or the next start.
    fn seal_retired(&mut self) {
        for (pipeline, mut tail) in std::mem::take(&mut self.retired) {
            match tail.seal(&self.disk, &pipeline) {
                Ok(sealed) => self.catalog.put(&pipeline, sealed),
                Err(error) => {
                    tracing::error!(%pipeline, segment = tail.number, %error, "a segment that takes no more could not be sealed");
                    tail.let_go();
                    if self.disk.file(&pipeline, &tail.entry()).exists() {
                        self.retired.push((pipeline, tail));
                    } else {
                        self.catalog.remove(&pipeline, tail.number);
                    }
                }
            }
        }
    }

    /// Seals what was begun before a day.
    pub(super) fn seal_before(&mut self, day: Day) -> Result<u64, BronzeError> {
        self.seal_retired();
        let due = self.tails.iter().filter(|(_, t)| t.day < day);
        let due: Vec<PipelineId> = due.map(|(p, _)| p.clone()).collect();
        let mut count = 0;
        for pipeline in due {
            self.seal(&pipeline)?;
            count += u64::from(!self.tails.contains_key(&pipeline));
        }
        Ok(count)
    }

    /// Puts a segment aside that turned out to be damaged. Twice is once.
    pub(super) fn quarantine(&mut self, pipeline: &PipelineId, number: u64, reason: &str) {
        let Some(entry) = self.catalog.find(pipeline, number) else {
            return;
        };
        if matches!(
            entry.state,
            State::Quarantined | State::Uploaded { local: false }
        ) {
            return;
        }
        if self.tails.get(pipeline).is_some_and(|t| t.number == number)
            && let Some(mut tail) = self.tails.remove(pipeline)
        {
            // With its footer it is told apart later what was in it for certain.
            drop(tail.park(&self.disk, pipeline));
        }
        match repair::put_aside(&self.disk, pipeline, &entry, reason) {
            Ok(()) => self.catalog.put(pipeline, repair::quarantined(&entry)),
            Err(error) => {
                tracing::error!(%pipeline, segment = number, reason, %error, "a damaged segment could not be put aside");
            }
        }
    }

    /// Notes that a segment lies in the object store now. False: it was removed or put aside meanwhile.
    pub(super) fn uploaded(
        &mut self,
        pipeline: &PipelineId,
        number: u64,
        totals: Totals,
    ) -> Result<bool, BronzeError> {
        let Some(entry) = self.catalog.find(pipeline, number) else {
            return Ok(false);
        };
        if entry.state != State::Sealed {
            return Ok(false);
        }
        let folder = self.disk.folder(pipeline, entry.day);
        let name = entry.name(UPLOADED);
        files::write(&folder, &name, &totals.footer(number), FILE_MODE)
            .map_err(|e| failed("write", &folder.join(name), &e))?;
        self.catalog.put(
            pipeline,
            Entry {
                state: State::Uploaded { local: true },
                totals: Some(totals),
                ..entry
            },
        );
        Ok(true)
    }
}

/// Compresses appends into frames; the position of each one's last record.
fn fill(
    segment: u64,
    group: &[Append],
    totals: &mut Totals,
    squeeze: &mut zstd::bulk::Compressor<'_>,
    out: &mut Vec<u8>,
) -> std::io::Result<Vec<Position>> {
    let mut filling = Filling::default();
    let mut positions = Vec::with_capacity(group.len());
    for append in group {
        let mut last = (totals.length, 0);
        for record in &append.records {
            if !filling.plain.is_empty() && filling.plain.len() + record.bytes.len() > FRAME {
                totals.add(&filling.write(segment, squeeze, out)?);
                filling = Filling::default();
            }
            last = (totals.length, filling.records);
            filling.add(&record.bytes, record.received, record.payload);
        }
        let frame = u32::try_from(last.0).map_err(std::io::Error::other)?;
        positions.push(Position::new(segment, frame, last.1));
    }
    if filling.records > 0 {
        totals.add(&filling.write(segment, squeeze, out)?);
    }
    Ok(positions)
}

/// Syncs each file once; many at the same time, since the disk then does them together.
fn sync_all(written: &[Written]) -> Vec<std::io::Result<()>> {
    let sync = |part: &[Written]| part.iter().map(|w| w.file.sync_data()).collect::<Vec<_>>();
    if written.len() <= 2 {
        return sync(written);
    }
    let part = written.len().div_ceil(SYNCERS).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = written
            .chunks(part)
            .map(|part| (part.len(), scope.spawn(move || sync(part))))
            .collect();
        let gone = |_| Err(std::io::Error::other("its thread has ended"));
        parts
            .into_iter()
            .flat_map(|(count, thread)| {
                thread
                    .join()
                    .unwrap_or_else(|_| (0..count).map(gone).collect())
            })
            .collect()
    })
}

fn answer(append: Append, answer: Result<Position, BronzeError>) {
    drop(append.room);
    drop(append.reply.send(answer));
}
