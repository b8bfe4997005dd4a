//! One file that is open, and the records in it.

use std::fs::File;
use std::sync::Arc;

use memchr::memchr_iter;
use model::data::{Batch, Encoding};
use model::error::Fault;
use model::stage::Progress;
use serde_json::Value;

use super::input::Input;
use super::paths::Found;
use super::reading::FilesReading;
use crate::stages::format::{
    Compression, FileFormat, Gathered, ParquetFile, Place, Reading, Records, Stop, TextFormat,
    named, to_ipc, to_lines, too_large,
};

/// How much is read at once.
const BLOCK: usize = 1 << 20;

/// An open file.
pub(super) enum Opened {
    Text(Box<Text>),
    Parquet(Box<Parquet>),
}

/// What came of taking records of a file.
pub(super) enum Taken {
    /// There may be more.
    Some,
    /// It is over.
    All,
    /// Records that go on as they are.
    Arrow(Batch),
}

pub(super) struct Text {
    input: Input,
    records: Records,
    reading: Reading,
    /// Why no more can be read.
    broken: Option<Fault>,
}

pub(super) struct Parquet {
    file: ParquetFile,
    arrow: bool,
    record_bytes: usize,
    progress: Arc<Progress>,
    /// Bytes that the progress knows of.
    done: u64,
}

fn wrong(file: &Found, e: impl std::fmt::Display) -> Fault {
    Fault::Invalid(format!("cannot read {}: {e}", file.path.display()))
}

impl Opened {
    /// From a place, where that can be gone to, or after its first `records` records.
    pub(super) fn open(
        all: &FilesReading,
        file: &Found,
        place: Option<Place>,
        records: u64,
        known: Option<&Value>,
        out: &mut Gathered,
    ) -> Result<Self, Fault> {
        let progress = all.progress.clone();
        let format = all.settings.format.or(named(&file.path).format);
        let format = match format {
            Some(FileFormat::Csv) | None => TextFormat::Csv,
            Some(FileFormat::Json) => TextFormat::Json,
            Some(FileFormat::Ndjson) => TextFormat::Ndjson,
            Some(FileFormat::Parquet) => {
                let opened = File::open(&file.path).map_err(|e| wrong(file, e))?;
                let opened = ParquetFile::open(opened, records, out.left());
                let mut parquet = Parquet {
                    file: opened.map_err(|e| wrong(file, e))?,
                    arrow: all.settings.arrow,
                    record_bytes: all.record_bytes,
                    progress,
                    done: 0,
                };
                parquet.advance(file);
                return Ok(Self::Parquet(Box::new(parquet)));
            }
        };
        let csv = if named(&file.path).tabs {
            &all.settings.tsv
        } else {
            &all.settings.csv
        };
        let reading = Reading {
            format,
            csv: csv.clone(),
            records: all.settings.records.clone(),
            encoding: all.settings.encoding,
            record_bytes: all.record_bytes,
            check: all.check,
        };
        let (input, records) = match place {
            Some(place) => (
                Input::open_at(&file.path, place.offset, progress).map_err(|e| wrong(file, e))?,
                Records::at(&reading, &place).map_err(|e| wrong(file, e))?,
            ),
            None => {
                let input = Input::open(&file.path, all.settings.compression, progress);
                out.pass_over(records);
                (
                    input.map_err(|e| wrong(file, e))?,
                    Records::new(&reading, known).map_err(|e| wrong(file, e))?,
                )
            }
        };
        Ok(Self::Text(Box::new(Text {
            input,
            records,
            reading,
            broken: None,
        })))
    }

    /// Takes records until there are enough. `some`: there are some already, of another file; Arrow is not mixed with them.
    pub(super) fn take(
        &mut self,
        file: &Found,
        out: &mut Gathered,
        some: bool,
    ) -> Result<Taken, Fault> {
        match self {
            Self::Text(text) => text.take(file, out),
            Self::Parquet(parquet) => parquet.take(file, out, some),
        }
    }

    /// Where the next record begins, if that can be gone to.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Text(text) => (text.input.compression() == Compression::None
                && text.records.can_go_on(&text.reading))
            .then(|| text.records.place()),
            Self::Parquet(_) => None,
        }
    }

    /// What it knows of its columns.
    pub(super) fn known(&self) -> Option<Value> {
        match self {
            Self::Text(text) => text.records.place().known,
            Self::Parquet(_) => None,
        }
    }
}

impl Text {
    fn take(&mut self, file: &Found, out: &mut Gathered) -> Result<Taken, Fault> {
        loop {
            match self.records.take(out).map_err(|e| wrong(file, e))? {
                Stop::Full => return Ok(Taken::Some),
                Stop::Done => return Ok(Taken::All),
                Stop::Hungry => {}
            }
            if let Some(fault) = &self.broken {
                return Err(fault.clone());
            }
            let Self { input, records, .. } = self;
            match records.fill(BLOCK, |to, most| input.append(to, most)) {
                Ok(0) => self.records.end().map_err(|e| wrong(file, e))?,
                Ok(_) => {}
                Err(e) if self.input.compression() == Compression::None => {
                    return Err(Fault::Transient {
                        message: format!("cannot read {}: {e}", file.path.display()),
                        retry_after_ms: None,
                    });
                }
                // What was decompressed before it is taken first.
                Err(e) => self.broken = Some(self.broken_by(file, &e)),
            }
        }
    }

    fn broken_by(&self, file: &Found, error: &std::io::Error) -> Fault {
        let (kind, at) = (self.input.compression().name(), self.input.read_of_file());
        let what = if error.kind() == std::io::ErrorKind::UnexpectedEof {
            "ends in its middle".to_owned()
        } else {
            format!("is damaged ({error})")
        };
        wrong(
            file,
            format!(
                "the {kind} data {what}, by byte {at} of the file; the records that were whole before it were read"
            ),
        )
    }
}

impl Parquet {
    fn take(&mut self, file: &Found, out: &mut Gathered, some: bool) -> Result<Taken, Fault> {
        if self.arrow && some {
            out.close();
            return Ok(Taken::Some);
        }
        let next = self.file.next(out.left()).map_err(|e| wrong(file, e))?;
        let Some(records) = next else {
            return Ok(Taken::All);
        };
        self.advance(file);
        if self.arrow {
            let data = to_ipc(&records).map_err(|e| wrong(file, e))?;
            return Ok(Taken::Arrow(Batch {
                encoding: Encoding::ArrowIpc,
                count: u32::try_from(records.num_rows()).unwrap_or(u32::MAX),
                data,
            }));
        }
        let lines = to_lines(&records).map_err(|e| wrong(file, e))?;
        let ends = memchr_iter(b'\n', &lines);
        let starts = std::iter::once(0).chain(ends.clone().map(|end| end.saturating_add(1)));
        let fit = |(start, end): (usize, usize)| end.saturating_sub(start) <= self.record_bytes;
        if starts.zip(ends.clone()).all(fit) {
            let count = u32::try_from(ends.count()).unwrap_or(u32::MAX);
            out.add_lines(lines.into(), count);
            return Ok(Taken::Some);
        }
        for line in lines.split_inclusive(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            out.add(line, |own| {
                if line.len() > self.record_bytes {
                    return Err(too_large(self.record_bytes));
                }
                own.extend_from_slice(line);
                Ok(())
            });
        }
        Ok(Taken::Some)
    }

    /// Tells the progress of what was handed over, as a share of the file.
    fn advance(&mut self, file: &Found) {
        let done = self.file.share(file.bytes);
        self.progress.advance(done.saturating_sub(self.done));
        self.done = done;
    }
}
