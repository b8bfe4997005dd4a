//! Bronze: payloads as they were received, kept before anything else touches them. The words, and the port of the log that keeps them. How it lies on disk is the
//! adapter's business, and when it is sealed, uploaded and swept the engine's.

mod payloads;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::BoxFuture;
use crate::data::Most;
use crate::id::PipelineId;

pub use payloads::{InboxCursor, KeptInput, Payloads};

/// The header of a payload that a stage asked for, with the stage's name: what came by itself, to a webhook, has none.
pub const OF_STAGE: &str = "weir-stage";
/// The header with the run that asked for it.
pub const RUN: &str = "weir-run";
/// The header with the place of a part in what was asked for, from 0: large answers are kept in several.
pub const PART: &str = "weir-part";
/// The header of the last part.
pub const END: &str = "weir-end";
/// The header with an answer's status.
pub const STATUS: &str = "weir-status";
/// The header with what was asked, without secrets.
pub const URL: &str = "weir-url";
/// The header of a payload in whose place hooks put another one, which comes right after it.
pub const REPLACED: &str = "weir-replaced";

/// A payload as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// What came with it, in its order; names may repeat.
    pub headers: Vec<(String, Bytes)>,
    /// When it was received, in milliseconds since 1970 UTC.
    pub received_ms: u64,
    /// Its bytes; none are fine.
    pub bytes: Bytes,
}

impl RawRecord {
    /// The first value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.headers.iter();
        all.find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// Is it what a webhook received, and not replaced?
    #[must_use]
    pub fn is_for_inbox(&self) -> bool {
        self.header(OF_STAGE).is_none() && self.header(REPLACED).is_none()
    }
}

/// The place of a record in the log of its pipeline, for good: neither sealing, repair nor upload changes it. Positions sort as their records were appended, and so do
/// their texts, which are 34 characters of `0-9 a-f -`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    segment: u64,
    frame: u32,
    record: u32,
}

impl Position {
    /// The place of a record in a frame of a segment. Only an adapter knows what the numbers mean.
    #[must_use]
    pub fn new(segment: u64, frame: u32, record: u32) -> Self {
        Self {
            segment,
            frame,
            record,
        }
    }

    /// The segment's number.
    #[must_use]
    pub fn segment(self) -> u64 {
        self.segment
    }

    /// Where its frame begins in the segment.
    #[must_use]
    pub fn frame(self) -> u32 {
        self.frame
    }

    /// Its place in the frame, from 0.
    #[must_use]
    pub fn record(self) -> u32 {
        self.record
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}-{:08x}-{:08x}",
            self.segment, self.frame, self.record
        )
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = |part: &str, digits: usize| {
            let low = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            (part.len() == digits && part.bytes().all(low))
                .then(|| u64::from_str_radix(part, 16).ok())?
        };
        let short = |part: &str| u32::try_from(hex(part, 8)?).ok();
        let parts: Vec<&str> = text.split('-').collect();
        let read = match parts.as_slice() {
            [segment, frame, record] => hex(segment, 16)
                .zip(short(frame))
                .zip(short(record))
                .map(|((segment, frame), record)| Self::new(segment, frame, record)),
            _ => None,
        };
        read.ok_or_else(|| {
            let given: String = text.chars().take(64).collect();
            format!(
                "{given:?} is not a position: 16, 8 and 8 of 0-9 a-f, with a hyphen between them"
            )
        })
    }
}

/// Which records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Those after this one; none: from the first on.
    pub after: Option<Position>,
    /// Received at this time or later, in milliseconds since 1970 UTC.
    pub from_ms: Option<u64>,
    /// Received before this time.
    pub until_ms: Option<u64>,
    /// Records: never more. Bytes of payloads and headers: no more either, but for the first record.
    pub most: Most,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it lies.
    pub position: Position,
    /// SHA-256 of its bytes, from when it was appended.
    pub digest: [u8; 32],
    /// What was appended.
    pub record: RawRecord,
}

/// Some records of the log, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<Kept>,
    /// From where to go on: the last record that was looked at, also if it was out of the range of time; after a damaged segment a place at its end. None: the log has no
    /// record.
    pub after: Option<Position>,
    /// There was nothing more when this was read.
    pub end: bool,
    /// What could not be read on the way, a sentence each with the segment and the bytes of it.
    pub damage: Vec<String>,
}

/// How far a segment is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SegmentState {
    /// Records are appended to it.
    Open,
    /// It is full, or its day is over.
    Sealed,
    /// It lies in the object store.
    Uploaded {
        /// And here, too.
        local: bool,
    },
    /// It is damaged, and was put aside under another name. What can be read of it still is.
    Quarantined {
        /// What is wrong with it.
        reason: String,
    },
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Segment {
    /// Whose records it holds.
    pub pipeline: PipelineId,
    /// Its number; grows within a pipeline.
    pub number: u64,
    /// The day it was begun, `YYYY-MM-DD` in UTC.
    pub day: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: SegmentState,
    /// When the earliest of its records was received, in milliseconds since 1970 UTC; none: it has no records, or nobody knows.
    pub earliest_ms: Option<u64>,
    /// When the latest was.
    pub latest_ms: Option<u64>,
    /// Number of records; of a damaged one as it says itself.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Bytes of the file.
    pub stored: u64,
}

/// How far the records of a pipeline were taken by what reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nobody waits for any.
    All,
    /// Up to and with this one.
    To(Position),
    /// None of them yet.
    Nothing,
}

/// What a sweep is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The time, in milliseconds since 1970 UTC.
    pub now_ms: u64,
    /// Segments whose latest record is older than this go.
    pub age_ms: Option<u64>,
    /// The oldest go until all segments of the pipeline together have no more bytes than this.
    pub bytes: Option<u64>,
    /// The local file of an uploaded segment goes when its latest record is older than this.
    pub local_ms: Option<u64>,
    /// A segment with a record that was not taken stays, whatever its age and size.
    pub taken: Taken,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    /// Segments that are no more.
    pub segments: u64,
    /// Local files of segments that lie in the object store.
    pub local_files: u64,
    /// Bytes of disk that became free.
    pub bytes: u64,
}

/// What was uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Uploaded {
    /// Segments.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Why others were not, a sentence each with the segment; they are tried again the next time.
    pub failed: Vec<String>,
}

/// Why the log did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BronzeError {
    /// What was given can never be kept or read.
    #[error("{0}")]
    Invalid(String),
    /// A record is over the limit.
    #[error("a record has {bytes} bytes with its headers; at most {limit} are allowed")]
    TooLarge {
        /// Its bytes, headers included.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk is full: nothing was kept; it may work later.
    #[error("no room on disk for raw records: {0}")]
    Full(String),
    /// Disk or object store failed, and nothing was kept; it may work later.
    #[error("{0}")]
    Unavailable(String),
}

impl BronzeError {
    /// May the same work later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }
}

/// The log of raw records, one for each pipeline. Calls may run at the same time.
pub trait Bronze: Send + Sync + fmt::Debug {
    /// Appends records in their order, and answers with the position of the last once all are on disk. A call that fails, or is dropped, may leave none or all of its records,
    /// after a crash also the first of them.
    fn append(
        &self,
        pipeline: PipelineId,
        records: Vec<RawRecord>,
    ) -> BoxFuture<'static, Result<Position, BronzeError>>;

    /// Reads records. What is damaged is left out and named.
    fn read(
        &self,
        pipeline: PipelineId,
        reading: Reading,
    ) -> BoxFuture<'static, Result<Page, BronzeError>>;

    /// The segments of one pipeline or all, in order.
    fn segments(
        &self,
        pipeline: Option<PipelineId>,
    ) -> BoxFuture<'static, Result<Vec<Segment>, BronzeError>>;

    /// Seals the open segments that were begun on an earlier day (UTC) than this time's; answers how many.
    fn seal(&self, now_ms: u64) -> BoxFuture<'static, Result<u64, BronzeError>>;

    /// Copies sealed segments to the object store, where there is one.
    fn upload(&self) -> BoxFuture<'static, Result<Uploaded, BronzeError>>;

    /// Removes segments of a pipeline that are old or too many. The open one stays.
    fn sweep(
        &self,
        pipeline: PipelineId,
        retention: Retention,
    ) -> BoxFuture<'static, Result<Swept, BronzeError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_as_their_texts() {
        let all = [
            Position::new(0, 0, 0),
            Position::new(1, u32::MAX, 7),
            Position::new(2, 9, 10),
            Position::new(2, 10, 9),
            Position::new(u64::MAX, 0, 1),
        ];
        for pair in all.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string());
        }
        for position in all {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
    }

    #[test]
    fn what_is_no_position() {
        for bad in [
            "",
            "1-2-3",
            "0000000000000001-00000002-0000000G",
            "0000000000000001-00000002-0000000A",
            "0000000000000001-00000002",
            "0000000000000001-00000002-00000003-00000004",
            "+000000000000001-00000002-00000003",
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad:?}");
        }
    }
}
