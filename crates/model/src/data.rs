//! Records on their way through a data pipeline, and the ports of what works on them during one run. A plugin's stage and a native one are the same here.

use bytes::Bytes;

use crate::BoxFuture;
use crate::error::Fault;
use crate::text::clipped;

/// How the bytes of a batch are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON document a line, `\n` after each, UTF-8.
    Ndjson,
    /// One Arrow IPC stream (schema, then record batches), uncompressed.
    ArrowIpc,
}

/// Some records, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// How to read them.
    pub encoding: Encoding,
    /// Number of records in `data`.
    pub count: u32,
    /// The records.
    pub data: Bytes,
}

/// A record that a stage gives up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its place in the batch that the stage was given, from 0.
    pub index: u32,
    /// Why, at most 1 KiB. Empty, from a transform only: it is left out on purpose, as a filter does, and counts as no error.
    pub reason: String,
}

impl Reject {
    /// Most bytes of a reason (`types.wit`).
    const REASON_BYTES: usize = 1024;

    /// The record at this place, for this reason, which is cut to what may be kept of one.
    #[must_use]
    pub fn new(place: usize, reason: impl Into<String>) -> Self {
        Self {
            // A batch counts its records in 32 bits.
            index: u32::try_from(place).unwrap_or(u32::MAX),
            reason: clipped(reason.into(), Self::REASON_BYTES),
        }
    }
}

/// The half-open span of time [start, end) that a run covers; both RFC 3339 with offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The first instant.
    pub start: String,
    /// The first instant after it.
    pub end: String,
}

/// How a source is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The stage's settings, JSON text.
    pub config: String,
    /// From where to go on, JSON text; none on the first run.
    pub cursor: Option<String>,
    /// The span that the run covers.
    pub window: Option<Window>,
}

/// How much a source may hand over at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Records; never more.
    pub records: u32,
    /// Bytes; about so many.
    pub bytes: u32,
}

/// What a source handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The records.
    pub batch: Batch,
    /// From where to go on after them, JSON text: to be kept once they are delivered. None: from where it was told last; when it is done, the next run begins anew.
    pub cursor: Option<String>,
    /// Nothing more in this run.
    pub done: bool,
    /// What stood in the input and is no record. A plugin's source has none: it makes its records itself.
    pub rejects: Vec<Unreadable>,
}

/// A part of a source's input that is no record, or too large a one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its place among the records of the input, from 1; with files, as `number` counts on through all of them.
    pub number: u64,
    /// What is wrong, with the place in the file or page where that helps.
    pub reason: String,
    /// Its bytes, as they were; of one larger than a record may be the first 4 KiB.
    pub raw: Bytes,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformed {
    /// The records to go on with.
    pub batch: Batch,
    /// Those given up on, each once.
    pub rejects: Vec<Reject>,
}

/// A source at work for one run. Dropping it closes it. After a fault that [ends it](Fault::ends_stage) it is over, and answers `Unavailable`; so do the two below. Faults
/// name no stage: the run knows whom it asked.
pub trait Reader: Send {
    /// The next records.
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>>;

    /// Fuel it burnt so far; 0 of a native one.
    fn fuel(&self) -> u64 {
        0
    }
}

/// A transform at work for one run of one worker. Dropping it closes it.
pub trait Transformer: Send {
    /// Every record comes out, is rejected, or is held back for a later call.
    fn apply(&mut self, batch: Batch) -> BoxFuture<'_, Result<Transformed, Fault>>;

    /// What is still held back, at the end of the run; the last call.
    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>>;

    /// Fuel it burnt so far; 0 of a native one.
    fn fuel(&self) -> u64 {
        0
    }
}

/// How far a sink got with a batch whose push failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partly {
    /// Places of the records that are done with, in order: they are safe, or among `rejects`.
    pub done: Vec<u32>,
    /// Those of them that were rejected, in order.
    pub rejects: Vec<Reject>,
}

impl Partly {
    /// The records at these places are done with, but for those rejected elsewhere.
    pub fn of(done: impl IntoIterator<Item = usize>, rejects: &[Reject]) -> Self {
        let done = done.into_iter().filter_map(|at| u32::try_from(at).ok());
        let mut done: Vec<u32> = done.collect();
        done.sort_unstable();
        let mut rejects = rejects.to_vec();
        rejects.retain(|r| done.binary_search(&r.index).is_ok());
        rejects.sort_by_key(|r| r.index);
        Self { done, rejects }
    }
}

/// A sink at work for one run. Dropping it closes it; without a `finish` before, what a sink shows only as a whole (a file) does not appear.
pub trait Writer: Send {
    /// The records are safe when it answers, but for those it rejects. `key` is the same when a batch is delivered again.
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>>;

    /// How far the batch of this key got, whose push failed: asked when it is given up, so that what is safe is not kept as undelivered.
    fn partly(&self, key: &str) -> Partly {
        let _ = key;
        Partly::default()
    }

    /// Does what it took appear only at its finish, all of it or nothing (a file)?
    fn is_whole(&self) -> bool {
        false
    }

    /// No more records in this run; the last call.
    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>>;

    /// Fuel it burnt so far; 0 of a native one.
    fn fuel(&self) -> u64 {
        0
    }
}
