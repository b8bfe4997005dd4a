//! Records out of bytes: NDJSON, JSON and CSV as they come in from a file or over HTTP, piece by piece, in any encoding. Parquet, which has to be read from a file,
//! and writing are beside it.
//!
//! Nothing here opens anything. A record that cannot be read is set aside with its reason; an error is what makes the rest unreadable.

use std::io;

use bytes::{Bytes, BytesMut};
use encoding_rs::Encoding;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

mod arrow;
mod columns;
mod csv;
mod fields;
mod gathered;
mod json;
mod names;
mod ndjson;
mod parquet;
mod text;

pub(crate) use arrow::{from_ipc, to_ipc, to_lines};
pub(crate) use columns::{NamedType, Shape, Table, parsed};
pub(crate) use csv::{CsvLayout, CsvOptions, CsvReading, CsvWriting};
pub(crate) use fields::{Fields, plain};
pub(crate) use gathered::Gathered;
pub(crate) use names::{Compression, FileFormat, named, unknown_format};
pub(crate) use parquet::ParquetFile;
pub(crate) use text::encoding_of;

use text::Text;

/// How much of an unreadable record is kept.
const KEPT: usize = 4 << 10;

/// How records stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TextFormat {
    /// Rows of fields.
    Csv,
    /// One document: a list of records, or one record, or several documents one after the other.
    Json,
    /// One JSON document a line.
    Ndjson,
}

/// All there is to know to read records from a text.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// How records stand in it.
    pub(crate) format: TextFormat,
    /// CSV only.
    pub(crate) csv: CsvReading,
    /// JSON only: the keys, from the outside in, that lead to the records. Empty: the document itself.
    pub(crate) records: Vec<String>,
    /// What its bytes mean, where it does not begin with a mark that says so.
    pub(crate) encoding: &'static Encoding,
    /// Most bytes of a record.
    pub(crate) record_bytes: usize,
    /// NDJSON only: is every line parsed here? Else only its ends are looked at.
    pub(crate) check: bool,
}

/// Where a decoder is in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes taken.
    pub(crate) offset: u64,
    /// Line ends among them.
    pub(crate) line: u64,
    /// What else is needed to go on from here (CSV: names and types of the columns); for another text of the same kind, what to carry over.
    pub(crate) known: Option<Value>,
}

/// Finds records in UTF-8 text. Bytes that are no UTF-8 may stand in it: the records around them are unreadable.
trait Decode: Send {
    /// Takes whole records from the front of `input` until `out` is full. What is left when `out` is not full is the beginning of a record, and is never much longer
    /// than a record may be: the same, with more after it, is given next. `last`: nothing comes after it.
    fn decode(
        &mut self,
        input: &mut BytesMut,
        last: bool,
        out: &mut Gathered,
    ) -> Result<(), String>;

    /// Lines and bytes taken so far; and see [`Place::known`].
    fn place(&self) -> Place;
}

/// What [`Records::take`] stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The batch is full.
    Full,
    /// More bytes are wanted ([`Records::feed`] or [`Records::end`]).
    Hungry,
    /// All records were taken.
    Done,
}

/// The records of one text, fed piece by piece: take until it is hungry, feed, and so on; at the end of the text, `end` and take until done.
pub(crate) struct Records {
    decode: Box<dyn Decode>,
    text: Text,
    buffer: BytesMut,
    ended: bool,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("waiting", &self.buffer.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Records {
    /// From the beginning of a text; `known` is what another text of the same kind ended with ([`Place::known`]), if there was one.
    pub(crate) fn new(reading: &Reading, known: Option<&Value>) -> Result<Self, String> {
        Ok(Self {
            decode: decoder(reading, None, known)?,
            text: Text::new(reading.encoding),
            buffer: BytesMut::new(),
            ended: false,
        })
    }

    /// From a place in the middle. Only for text in UTF-8, NDJSON and CSV ([`Records::can_go_on`]): the bytes fed are those from the place on.
    pub(crate) fn at(reading: &Reading, place: &Place) -> Result<Self, String> {
        Ok(Self {
            decode: decoder(reading, Some(place), place.known.as_ref())?,
            text: Text::after_start(),
            buffer: BytesMut::new(),
            ended: false,
        })
    }

    /// Is [`Records::place`] one to go on from, so far? Not for JSON documents, nor for text in other encodings.
    pub(crate) fn can_go_on(&self, reading: &Reading) -> bool {
        reading.format != TextFormat::Json && self.text.is_plain()
    }

    /// More bytes, after those fed before.
    pub(crate) fn feed(&mut self, piece: Bytes) -> Result<(), String> {
        self.text.push(piece, false, &mut self.buffer)
    }

    /// More bytes, appended by `read` to what is still waiting: spares copying them. Says how many came; none is the end.
    pub(crate) fn fill(
        &mut self,
        block: usize,
        read: impl FnOnce(&mut Vec<u8>, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // As much as waits, so that a long record is copied a few times and not once a block.
        let block = block.max(self.buffer.len());
        if !self.text.is_plain() {
            let mut piece = Vec::with_capacity(block);
            let came = read(&mut piece, block);
            self.feed(piece.into()).map_err(io::Error::other)?;
            return came;
        }
        let mut whole = Vec::with_capacity(self.buffer.len().saturating_add(block));
        whole.extend_from_slice(&self.buffer);
        let came = read(&mut whole, block);
        self.buffer = Bytes::from(whole).into();
        came
    }

    /// No more bytes.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        if !self.ended {
            self.ended = true;
            self.text.push(Bytes::new(), true, &mut self.buffer)?;
        }
        Ok(())
    }

    /// Moves records to `out` until something stops it.
    ///
    /// # Errors
    /// Why the rest cannot be read; those before it are in `out`.
    pub(crate) fn take(&mut self, out: &mut Gathered) -> Result<Stop, String> {
        if !self.text.is_known() && !self.ended {
            return Ok(Stop::Hungry);
        }
        self.decode.decode(&mut self.buffer, self.ended, out)?;
        Ok(match (out.is_full(), self.ended) {
            (true, _) => Stop::Full,
            (false, true) => Stop::Done,
            (false, false) => Stop::Hungry,
        })
    }

    /// Where the next record begins; between two takes that were not hungry.
    pub(crate) fn place(&self) -> Place {
        let mut place = self.decode.place();
        place.offset = place.offset.saturating_add(self.text.mark_bytes());
        place
    }
}

/// The decoder for a text, from its beginning or from a place in it.
fn decoder(
    reading: &Reading,
    at: Option<&Place>,
    known: Option<&Value>,
) -> Result<Box<dyn Decode>, String> {
    let name = reading.encoding.name();
    let most = reading.record_bytes;
    Ok(match reading.format {
        TextFormat::Ndjson => Box::new(ndjson::Ndjson::new(most, reading.check, name, at)),
        TextFormat::Json => Box::new(json::Json::new(reading.records.clone(), most, name)),
        TextFormat::Csv => Box::new(csv::Csv::new(&reading.csv, most, name, at, known)?),
    })
}

/// Why a record that is too large is not had.
pub(crate) fn too_large(most: usize) -> String {
    format!("larger than a record may be: the limit record_bytes is {most} bytes")
}

/// Why a record in the wrong encoding is not had.
fn not_in(encoding: &str) -> String {
    format!(
        "has bytes that are no {encoding}; if the text is in another encoding, name it: `encoding: windows-1252`"
    )
}

/// The first bytes of a record that is too large.
fn start_of(record: &[u8]) -> &[u8] {
    record.get(..KEPT).unwrap_or(record)
}

#[cfg(test)]
mod tests;
