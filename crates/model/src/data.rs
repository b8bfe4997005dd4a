//! Records on their way through a data pipeline, and the ports of what works on them during one run. A plugin's stage and a native one are the same here.

use bytes::Bytes;

use crate::BoxFuture;
use crate::error::Fault;

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
    /// Its first 4 KiB, as they were.
    pub start: Bytes,
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

/// A sink at work for one run. Dropping it closes it; without a `finish` before, what a sink shows only as a whole (a file) does not appear.
pub trait Writer: Send {
    /// The records are safe when it answers, but for those it rejects. `key` is the same when a batch is delivered again.
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>>;

    /// No more records in this run; the last call.
    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>>;

    /// Fuel it burnt so far; 0 of a native one.
    fn fuel(&self) -> u64 {
        0
    }
}
