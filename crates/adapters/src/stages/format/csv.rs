//! CSV as it is found: any delimiter and quote, with or without names in the first row, quoted line ends. Rows become records with the types of their columns.

use bytes::{Buf, BytesMut};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::Value;

use super::{Decode, Gathered, KEPT, Place, not_in, start_of, too_large};

mod columns;
mod options;
mod write;

pub(crate) use options::{CsvOptions, CsvReading};
pub(crate) use write::{CsvLayout, CsvWriting};

use columns::Columns;
use options::Names;

/// More fields in a row than this are too many.
const MOST_FIELDS: usize = 1 << 16;
/// Types are told from so much at the beginning.
const SAMPLE_BYTES: usize = 256 << 10;
/// Types are told from so many rows at the beginning.
const SAMPLE_ROWS: usize = 1000;

/// Finds rows.
pub(super) struct Csv {
    reading: CsvReading,
    most: usize,
    encoding: &'static str,
    core: Reader,
    row: Row,
    /// Bytes at the front of the input that were looked at.
    seen: usize,
    /// The beginning of a row that is too large, while the rest of it passes.
    passing: Option<Vec<u8>>,
    /// Lines that are still to be left out at the beginning.
    skip: u64,
    columns: Option<Columns>,
    /// What another file ended with.
    known: Option<Value>,
    offset: u64,
    /// Line ends in what was taken.
    line: u64,
    /// The line on which the row begins that was found last.
    row_line: u64,
}

/// The fields of one row, one after the other.
#[derive(Debug, Default)]
pub(super) struct Row {
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    fields: usize,
}

impl Row {
    fn clear(&mut self) {
        self.text_len = 0;
        self.fields = 0;
    }

    /// The fields, where all is UTF-8.
    fn fields(&self) -> Option<impl Iterator<Item = &str> + Clone> {
        let text = std::str::from_utf8(self.text.get(..self.text_len)?).ok()?;
        let ends = self.ends.get(..self.fields)?;
        let starts = std::iter::once(&0).chain(ends);
        Some(
            starts
                .zip(ends)
                .map(move |(start, end)| text.get(*start..*end).unwrap_or_default()),
        )
    }
}

/// What became of looking for a row.
enum Found {
    Row,
    /// Larger than a record may be.
    TooLarge,
    /// There are too many fields in it.
    TooMany,
    /// More input is wanted.
    Hungry,
    /// The text is over.
    Over,
}

impl Csv {
    pub(super) fn new(
        reading: &CsvReading,
        most: usize,
        encoding: &'static str,
        at: Option<&Place>,
        known: Option<&Value>,
    ) -> Result<Self, String> {
        let columns = match at {
            Some(_) => Some(Columns::known(known, reading)?),
            None => None,
        };
        Ok(Self {
            core: core(reading),
            reading: reading.clone(),
            most,
            encoding,
            row: Row::default(),
            seen: 0,
            passing: None,
            skip: if at.is_some() { 0 } else { reading.skip_lines },
            columns,
            known: known.cloned(),
            offset: at.map_or(0, |p| p.offset),
            line: at.map_or(0, |p| p.line),
            row_line: 0,
        })
    }

    fn drop_front(&mut self, input: &mut BytesMut, bytes: usize) -> BytesMut {
        let front = input.split_to(bytes.min(input.len()));
        self.offset = self
            .offset
            .saturating_add(u64::try_from(front.len()).unwrap_or(0));
        let lines = memchr::memchr_iter(b'\n', &front).count();
        self.line = self.line.saturating_add(u64::try_from(lines).unwrap_or(0));
        self.seen = 0;
        front
    }

    /// Leaves out lines at the beginning; false when more input is wanted.
    fn leave_out(&mut self, input: &mut BytesMut, last: bool) -> bool {
        while self.skip > 0 {
            match memchr::memchr(b'\n', input) {
                Some(at) => {
                    self.drop_front(input, at.saturating_add(1));
                    self.skip = self.skip.saturating_sub(1);
                }
                None => {
                    self.drop_front(input, usize::MAX);
                    return last;
                }
            }
        }
        true
    }

    /// The next row, and what stood there, as it was.
    fn next(&mut self, input: &mut BytesMut, last: bool) -> (Found, BytesMut) {
        loop {
            let unseen = input.get(self.seen..).unwrap_or_default();
            if unseen.is_empty() && !last {
                return (Found::Hungry, BytesMut::new());
            }
            let text = self.row.text.get_mut(self.row.text_len..);
            let ends = self.row.ends.get_mut(self.row.fields..);
            let (result, read, wrote, fields) =
                self.core
                    .read_record(unseen, text.unwrap_or_default(), ends.unwrap_or_default());
            self.seen = self.seen.saturating_add(read);
            self.row.text_len = self.row.text_len.saturating_add(wrote);
            self.row.fields = self.row.fields.saturating_add(fields);
            match result {
                ReadRecordResult::Record => {
                    let raw = self.front(input);
                    let passed = self.passing.take();
                    let found = match passed {
                        None if raw.len() > self.most => {
                            (Found::TooLarge, BytesMut::from(start_of(&raw)))
                        }
                        None if self.row.fields >= MOST_FIELDS => (Found::TooMany, raw),
                        None => (Found::Row, raw),
                        Some(start) => (Found::TooLarge, BytesMut::from(start.as_slice())),
                    };
                    return found;
                }
                ReadRecordResult::End => return (Found::Over, BytesMut::new()),
                ReadRecordResult::InputEmpty => {
                    if self.seen > self.most || self.passing.is_some() {
                        let front = self.front(input);
                        self.passing
                            .get_or_insert_with(|| start_of(&front).to_vec());
                    }
                }
                // In what passes nothing is kept.
                ReadRecordResult::OutputFull if self.passing.is_some() => self.row.text_len = 0,
                ReadRecordResult::OutputFull => {
                    let len = self.row.text.len().saturating_mul(2).max(KEPT);
                    self.row.text.resize(len, 0);
                }
                ReadRecordResult::OutputEndsFull if self.row.ends.len() >= MOST_FIELDS => {
                    self.row.fields = self.row.fields.saturating_sub(1);
                }
                ReadRecordResult::OutputEndsFull => {
                    let len = self.row.ends.len().saturating_mul(2).clamp(64, MOST_FIELDS);
                    self.row.ends.resize(len, 0);
                }
            }
        }
    }

    /// Takes what was looked at off the front, and notes on which line it begins: the second half of the line end before, and blank lines, are no part of it.
    fn front(&mut self, input: &mut BytesMut) -> BytesMut {
        let before = self.line;
        let mut raw = self.drop_front(input, self.seen);
        let ends = |b: &&u8| matches!(**b, b'\n' | b'\r');
        let blank = raw.iter().take_while(ends).count();
        if self.passing.is_none() {
            let lines = raw.iter().take(blank).filter(|b| **b == b'\n').count();
            self.row_line = before
                .saturating_add(u64::try_from(lines).unwrap_or(0))
                .saturating_add(1);
        }
        raw.advance(blank);
        raw
    }

    /// Learns the columns from the first row, the options and the rows after it; false when more input is wanted.
    fn learn(&mut self, input: &mut BytesMut, last: bool) -> Result<bool, String> {
        if !self.leave_out(input, last) {
            return Ok(false);
        }
        if self.reading.infer && !last && input.len() < SAMPLE_BYTES.min(self.most) {
            return Ok(false);
        }
        // The types are told from a fixed number of bytes, however many are there: the same file gives the same types.
        let whole = last && input.len() <= SAMPLE_BYTES;
        let sample = input.get(..SAMPLE_BYTES).unwrap_or(input).to_vec();
        let by_name = self.reading.names == Names::FirstRow;
        let names = match &self.reading.names {
            Names::FirstRow => match self.first_row(input, last)? {
                Some(names) => names,
                None => return Ok(false),
            },
            Names::Given(names) => names.clone(),
            Names::Numbered => match sample_rows(&self.reading, input, last).first() {
                Some(row) => (1..=row.len()).map(|n| format!("column_{n}")).collect(),
                None if last => vec![],
                None if input.len() <= self.most => return Ok(false),
                None => return Err(format!("the first row is {}", too_large(self.most))),
            },
        };
        let mut rows = vec![];
        if self.reading.infer {
            rows = sample_rows(&self.reading, &sample, whole);
            rows.drain(..usize::from(by_name).min(rows.len()));
        }
        self.columns = Some(Columns::learn(
            names,
            &self.reading,
            self.known.as_ref(),
            &rows,
        )?);
        Ok(true)
    }

    /// The text ended with this row: was a quote in it never closed? Then the row is what came up to the end of the line with that quote; the lines after it are taken for rows of
    /// their own. Answers on which line the quote is.
    fn unclosed(&mut self, raw: &mut BytesMut, input: &mut BytesMut, last: bool) -> Option<u64> {
        if !last || !input.is_empty() {
            return None;
        }
        let at = open_quote(raw, self.reading.delimiter, self.reading.quote?)?;
        let (before, from) = raw.split_at_checked(at)?;
        let lines = memchr::memchr_iter(b'\n', before).count();
        let end = memchr::memchr(b'\n', from).map_or(from.len(), |end| end.saturating_add(1));
        let rest = raw.split_off(at.saturating_add(end));
        let back = memchr::memchr_iter(b'\n', &rest).count();
        self.line = self.line.saturating_sub(u64::try_from(back).unwrap_or(0));
        let bytes = u64::try_from(rest.len()).unwrap_or(0);
        self.offset = self.offset.saturating_sub(bytes);
        *input = rest;
        self.core = core(&self.reading);
        let lines = u64::try_from(lines).unwrap_or(0);
        Some(self.row_line.saturating_add(lines))
    }

    /// The names in the first row; none when more input is wanted.
    fn first_row(
        &mut self,
        input: &mut BytesMut,
        last: bool,
    ) -> Result<Option<Vec<String>>, String> {
        let (found, mut raw) = self.next(input, last);
        let names = match found {
            Found::Row => match self.unclosed(&mut raw, input, last) {
                Some(line) => return Err(never_closed(line)),
                None => self.names()?,
            },
            Found::TooLarge => return Err(format!("the first row is {}", too_large(self.most))),
            Found::TooMany => {
                return Err(format!("the first row has more than {MOST_FIELDS} fields"));
            }
            Found::Hungry => return Ok(None),
            Found::Over => vec![],
        };
        self.row.clear();
        Ok(Some(names))
    }

    /// The names in the row that was found.
    fn names(&self) -> Result<Vec<String>, String> {
        let fields = self
            .row
            .fields()
            .ok_or_else(|| format!("the first row {}", not_in(self.encoding)))?;
        let named = fields.enumerate().map(|(at, name)| match name.trim() {
            "" => format!("column_{}", at.saturating_add(1)),
            name => name.to_owned(),
        });
        Ok(named.collect())
    }

    fn add(&mut self, raw: &[u8], out: &mut Gathered) {
        let (Some(columns), line) = (&self.columns, self.row_line) else {
            return;
        };
        let Some(fields) = self.row.fields() else {
            return out.reject(raw, format!("line {line}: {}", not_in(self.encoding)));
        };
        let (has, wants) = (self.row.fields, columns.len());
        if has != wants {
            let reason = format!("line {line}: {has} fields, where the header has {wants}");
            return out.reject(raw, reason);
        }
        out.add(raw, |own| {
            columns
                .write(fields, own)
                .map_err(|e| format!("line {line}: {e}"))
        });
    }
}

impl Decode for Csv {
    fn decode(
        &mut self,
        input: &mut BytesMut,
        last: bool,
        out: &mut Gathered,
    ) -> Result<(), String> {
        if self.columns.is_none() && !self.learn(input, last)? {
            return Ok(());
        }
        while !out.is_full() {
            let (found, mut raw) = self.next(input, last);
            let line = self.row_line;
            match found {
                Found::Row => match self.unclosed(&mut raw, input, last) {
                    Some(quote) => {
                        out.reject(&raw, format!("line {line}: {}", never_closed(quote)));
                    }
                    None => self.add(&raw, out),
                },
                Found::TooLarge => {
                    let hint = if raw.contains(&self.reading.quote.unwrap_or(b'"')) {
                        "; is there a quote that is never closed?"
                    } else {
                        ""
                    };
                    let reason = format!("line {line}: {}{hint}", too_large(self.most));
                    out.reject(&raw, reason);
                }
                Found::TooMany => {
                    let reason = format!("line {line}: more than {MOST_FIELDS} fields");
                    out.reject(&raw, reason);
                }
                Found::Hungry => return Ok(()),
                Found::Over => {
                    self.drop_front(input, usize::MAX);
                    return Ok(());
                }
            }
            self.row.clear();
        }
        Ok(())
    }

    fn place(&self) -> Place {
        Place {
            offset: self.offset,
            line: self.line,
            known: self.columns.as_ref().map(Columns::said),
        }
    }
}

fn never_closed(line: u64) -> String {
    format!("the quote on line {line} is never closed")
}

/// Where in these rows the quote is that is still open at their end.
fn open_quote(rows: &[u8], delimiter: u8, quote: u8) -> Option<usize> {
    let (mut open, mut begins) = (None, true);
    let mut bytes = rows.iter().copied().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match open {
            None if byte == quote && begins => open = Some(at),
            None => begins = byte == delimiter || matches!(byte, b'\n' | b'\r'),
            // Two of them are one that is meant.
            Some(_) if byte == quote && bytes.next_if(|(_, next)| *next == quote).is_some() => {}
            Some(_) if byte == quote => {
                open = None;
                begins = false;
            }
            Some(_) => {}
        }
    }
    open
}

fn core(reading: &CsvReading) -> Reader {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(reading.delimiter);
    match reading.quote {
        Some(quote) => builder.quote(quote),
        None => builder.quoting(false),
    };
    builder.build()
}

/// The rows of a sample that are UTF-8, at most [`SAMPLE_ROWS`] and one. The last one may be cut, unless the sample is the `whole` text.
fn sample_rows(reading: &CsvReading, sample: &[u8], whole: bool) -> Vec<Vec<String>> {
    let mut core = core(reading);
    let (mut row, mut rows, mut at) = (Row::default(), Vec::new(), 0_usize);
    row.text.resize(sample.len().saturating_add(1), 0);
    row.ends.resize(MOST_FIELDS, 0);
    while rows.len() <= SAMPLE_ROWS {
        let rest = sample.get(at..).unwrap_or_default();
        if rest.is_empty() && !whole {
            break;
        }
        row.clear();
        let (result, read, wrote, fields) = core.read_record(rest, &mut row.text, &mut row.ends);
        at = at.saturating_add(read);
        (row.text_len, row.fields) = (wrote, fields);
        match result {
            ReadRecordResult::Record => {
                let fields = row.fields().map(|f| f.map(str::to_owned).collect());
                rows.extend(fields);
            }
            // As when rows are read, the line with a quote that is never closed is left out.
            _ => {
                let quote = reading.quote.filter(|_| whole);
                let open = quote.and_then(|quote| open_quote(rest, reading.delimiter, quote));
                let from = open.and_then(|open| rest.get(open..)).unwrap_or_default();
                let Some(end) = memchr::memchr(b'\n', from) else {
                    break;
                };
                let left = from.len().saturating_sub(end.saturating_add(1));
                at = sample.len().saturating_sub(left);
                core = self::core(reading);
            }
        }
    }
    rows
}
