//! All files of one run. A batch is first turned into bytes, which needs nothing from outside, and then written: when writing fails, the same batch may come
//! again and only what is left is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use model::access::Access;
use model::data::{Batch, Encoding, Reject};
use model::error::Fault;

use super::Settings;
use super::beside::{Beside, Discard};
use super::claims::Claimant;
use super::encode::Encode;
use super::part::{Part, sync_folder};
use super::place::{Place, folder_of, real};
use crate::stages::format::{FileFormat, Shape, Table, from_ipc, parsed};

mod shapes;

/// More folders than this are a mistake in `partition_by`.
const MOST_PARTITIONS: usize = 10_000;
/// Compressors and open files at once.
const MOST_AWAKE: usize = 8;
/// What columns may take before they are made bytes, over all open files.
const MOST_COLUMNS: usize = 32 << 20;

/// Files that are being written.
pub(super) struct FilesWriting {
    settings: Settings,
    access: Arc<Access>,
    claims: Claimant,
    place: Place,
    /// By folder below the path's own.
    parts: BTreeMap<String, Numbered>,
    /// Whole ones, which wait to be put in place.
    whole: Vec<Part>,
    /// Folders with new names in them.
    folders: BTreeSet<PathBuf>,
    columns: Columns,
    /// Of records that may have any.
    shape: Shape,
    used: u64,
    /// The batch that came last, and what of it was rejected.
    last: Option<(String, Vec<Reject>)>,
    ended: bool,
    fault: Option<Fault>,
    /// The last field: files are gone when it is dropped.
    beside: Beside,
}

/// The file that is written in a folder, and how many came before.
struct Numbered {
    number: u64,
    part: Option<Part>,
}

/// The columns of Parquet files.
enum Columns {
    Unknown,
    Table(Table),
    Arrow(SchemaRef),
}

impl FilesWriting {
    pub(super) fn new(
        settings: Settings,
        access: Arc<Access>,
        claims: Claimant,
    ) -> Result<Self, Fault> {
        let path = real(&settings.path, &access)?;
        let numbered = settings.max_bytes.is_some() || settings.max_records.is_some();
        let place = Place::new(&path, numbered);
        let first = place.file("", 1);
        if settings.fail_if_exists && settings.partition_by.is_empty() && first.exists() {
            let shown = first.display();
            let message = format!("{shown} exists already (`if_exists: fail`)");
            return Err(Fault::Invalid(message));
        }
        if settings.partition_by.is_empty() {
            claims.claim(&first)?;
        }
        Ok(Self {
            settings,
            access,
            claims,
            beside: Beside::new(place.folder()),
            place,
            parts: BTreeMap::new(),
            whole: vec![],
            folders: BTreeSet::new(),
            columns: Columns::Unknown,
            shape: Shape::default(),
            used: 0,
            last: None,
            ended: false,
            fault: None,
        })
    }

    /// Dropped, it discards what is not in its place.
    pub(super) fn discard(&self) -> Discard {
        self.beside.discard()
    }

    /// Writes a batch.
    pub(super) fn push(&mut self, batch: &Batch, key: String) -> Result<Vec<Reject>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let again = matches!(&self.last, Some((last, _)) if *last == key);
        if !again {
            let rejects = self.encode(batch).inspect_err(|fault| {
                // Half of it may be encoded: there is no going on.
                self.fault = Some(fault.clone());
            })?;
            self.last = Some((key, rejects));
        }
        self.flush()?;
        Ok(self
            .last
            .as_ref()
            .map(|(_, r)| r.clone())
            .unwrap_or_default())
    }

    /// Ends all files and puts them in their places.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if !self.ended {
            self.end()
                .inspect_err(|fault| self.fault = Some(fault.clone()))?;
            self.ended = true;
        }
        for part in &mut self.whole {
            part.sync(&mut self.beside)?;
        }
        for part in &mut self.whole {
            part.publish(self.settings.fail_if_exists)?;
            self.folders
                .extend(part.target.parent().map(ToOwned::to_owned));
        }
        self.remove_later_numbers();
        self.beside.end();
        self.folders
            .iter()
            .try_for_each(|folder| sync_folder(folder))
    }

    fn encode(&mut self, batch: &Batch) -> Result<Vec<Reject>, Fault> {
        if self.settings.any_shape {
            return self.any_shape(batch);
        }
        match (batch.encoding, self.settings.format) {
            (Encoding::ArrowIpc, FileFormat::Parquet) => self.arrow(batch),
            (Encoding::ArrowIpc, _) => {
                Err(Fault::Invalid("takes NDJSON, and was given Arrow".into()))
            }
            (Encoding::Ndjson, FileFormat::Ndjson) if self.is_one_file() => {
                self.settle("", 0, 0)?;
                let part = self.part("")?;
                part.records = part.records.saturating_add(u64::from(batch.count));
                match &mut part.encode {
                    Some(encode) if encode.is_plain() => part.add(batch.data.clone()),
                    Some(encode) => encode.write(&batch.data).map_err(Fault::Internal)?,
                    None => {}
                }
                Ok(vec![])
            }
            (Encoding::Ndjson, FileFormat::Parquet) => self.table(&batch.data),
            (Encoding::Ndjson, _) => self.lines(&batch.data),
        }
    }

    fn is_one_file(&self) -> bool {
        let s = &self.settings;
        s.partition_by.is_empty() && s.max_bytes.is_none() && s.max_records.is_none()
    }

    /// Lines into texts.
    fn lines(&mut self, data: &Bytes) -> Result<Vec<Reject>, Fault> {
        let csv = self.settings.format == FileFormat::Csv;
        if csv {
            self.settings.csv.learn(lines_of(data));
        }
        let (mut rejects, mut row) = (vec![], Vec::new());
        for (place, line) in lines_of(data).enumerate() {
            row.clear();
            let made = self.folder(line).and_then(|folder| {
                if csv {
                    self.settings.csv.row(line, &mut row)?;
                } else {
                    row.extend_from_slice(line);
                    row.push(b'\n');
                }
                Ok(folder)
            });
            match made {
                Ok(folder) => self.add_text(&folder, &row)?,
                Err(reason) => rejects.push(Reject::new(place, reason)),
            }
        }
        Ok(rejects)
    }

    fn add_text(&mut self, folder: &str, row: &[u8]) -> Result<(), Fault> {
        let bytes = u64::try_from(row.len()).unwrap_or(u64::MAX);
        self.settle(folder, 1, bytes)?;
        let json = self.settings.format == FileFormat::Json;
        let part = self.part(folder)?;
        let first = part.records == 0;
        part.records = part.records.saturating_add(1);
        part.bytes = part.bytes.saturating_add(bytes);
        let Some(encode) = &mut part.encode else {
            return Ok(());
        };
        let written = if json {
            let before: &[u8] = if first { b"[\n" } else { b",\n" };
            encode
                .write(before)
                .and_then(|()| encode.write(row.strip_suffix(b"\n").unwrap_or(row)))
        } else {
            encode.write(row)
        };
        written.map_err(Fault::Internal)
    }

    /// Lines into columns.
    fn table(&mut self, data: &Bytes) -> Result<Vec<Reject>, Fault> {
        if matches!(self.columns, Columns::Unknown) {
            let values: Vec<_> = lines_of(data).filter_map(|l| parsed(l).ok()).collect();
            let given = self.settings.schema.iter();
            let given: Vec<_> = given.map(|(n, kind)| (n.clone(), (*kind).into())).collect();
            self.columns = Columns::Table(Table::guess(&given, values.iter()));
        }
        let Columns::Table(table) = &self.columns else {
            return Err(Fault::Invalid(
                "was given Arrow first, and now NDJSON".into(),
            ));
        };
        let table = table.clone();
        let (mut rejects, mut rows) = (vec![], BTreeMap::<String, Vec<_>>::new());
        for (place, line) in lines_of(data).enumerate() {
            let row = table
                .row(line)
                .and_then(|row| Ok((self.folder(line)?, row)));
            match row {
                Ok((folder, row)) => rows.entry(folder).or_default().push(row),
                Err(reason) => rejects.push(Reject::new(place, reason)),
            }
        }
        for (folder, rows) in rows {
            let batch = table.batch(&rows).map_err(Fault::Internal)?;
            self.add_columns(&folder, &batch)?;
        }
        Ok(rejects)
    }

    fn arrow(&mut self, batch: &Batch) -> Result<Vec<Reject>, Fault> {
        for records in from_ipc(&batch.data).map_err(Fault::Invalid)? {
            // A stream of no records need not have their columns.
            if records.num_rows() == 0 {
                continue;
            }
            match &self.columns {
                Columns::Unknown => self.columns = Columns::Arrow(records.schema()),
                Columns::Arrow(schema) if *schema == records.schema() => {}
                Columns::Arrow(_) | Columns::Table(_) => {
                    let message = "the records have other columns than those before; a Parquet file has the same in all of it";
                    return Err(Fault::Invalid(message.into()));
                }
            }
            self.add_columns("", &records)?;
        }
        Ok(vec![])
    }

    fn add_columns(&mut self, folder: &str, records: &RecordBatch) -> Result<(), Fault> {
        let most = MOST_COLUMNS / self.awake().max(1);
        let mut from = 0;
        while from < records.num_rows() {
            self.settle(folder, 1, 0)?;
            let max = self.settings.max_records;
            let part = self.part(folder)?;
            let room = max.map_or(u64::MAX, |max| max.saturating_sub(part.records));
            let rows = usize::try_from(room).unwrap_or(usize::MAX);
            let rows = rows.min(records.num_rows().saturating_sub(from));
            if let Some(encode) = &mut part.encode {
                let some = records.slice(from, rows);
                encode.columns(&some, most).map_err(Fault::Internal)?;
            }
            part.records = part
                .records
                .saturating_add(u64::try_from(rows).unwrap_or(0));
            from = from.saturating_add(rows);
        }
        Ok(())
    }

    /// The folder of a record; empty where there are no partitions.
    fn folder(&self, line: &[u8]) -> Result<String, String> {
        if self.settings.partition_by.is_empty() {
            return Ok(String::new());
        }
        let folder = folder_of(&self.settings.partition_by, line)?;
        if self.parts.len() >= MOST_PARTITIONS && !self.parts.contains_key(&folder) {
            return Err(format!(
                "would begin folder number {} (`partition_by`); at most {MOST_PARTITIONS} are possible",
                MOST_PARTITIONS.saturating_add(1)
            ));
        }
        Ok(folder)
    }

    /// Sees to it that the folder has a file that takes so many records and bytes more.
    fn settle(&mut self, folder: &str, records: u64, bytes: u64) -> Result<(), Fault> {
        let (max_records, max_bytes) = (self.settings.max_records, self.settings.max_bytes);
        let full = |part: &Part| {
            let over = |had: u64, more: u64, max: Option<u64>| {
                max.is_some_and(|max| had > 0 && had.saturating_add(more) > max)
            };
            over(part.records, records, max_records) || over(part.bytes, bytes, max_bytes)
        };
        let parquet = self.settings.format == FileFormat::Parquet;
        let numbered = self.parts.entry(folder.to_owned()).or_insert(Numbered {
            number: 0,
            part: None,
        });
        // A Parquet file that was ended has to stay as it is.
        let over = numbered
            .part
            .take_if(|part| full(part) || (parquet && part.encode.is_none()));
        if let Some(part) = over {
            self.end_part(part)?;
        }
        let asleep = self.parts.get(folder).and_then(|n| n.part.as_ref());
        if asleep.is_none_or(|part| part.encode.is_none()) {
            self.wake(folder)?;
        }
        self.used = self.used.saturating_add(1);
        let used = self.used;
        self.part(folder)?.used = used;
        Ok(())
    }

    /// Begins a file, or goes on with one that rests.
    fn wake(&mut self, folder: &str) -> Result<(), Fault> {
        while self.awake() >= MOST_AWAKE {
            let awake = self.parts.values_mut().filter_map(|n| n.part.as_mut());
            let oldest = awake.filter(|p| p.encode.is_some()).min_by_key(|p| p.used);
            if let Some(part) = oldest {
                part.rest().map_err(Fault::Internal)?;
            }
        }
        let encode = match (&self.settings.format, &self.columns) {
            (FileFormat::Parquet, Columns::Table(table)) => Encode::parquet(table.schema()),
            (FileFormat::Parquet, Columns::Arrow(schema)) => Encode::parquet(schema.clone()),
            _ => Encode::text(self.settings.compression),
        };
        let mut encode = encode.map_err(Fault::Internal)?;
        let head = match self.settings.format {
            FileFormat::Csv => self.settings.csv.head(),
            _ => vec![],
        };
        let Some(numbered) = self.parts.get_mut(folder) else {
            return Ok(());
        };
        if let Some(part) = &mut numbered.part {
            part.encode = Some(encode);
            return Ok(());
        }
        if !head.is_empty() {
            encode.write(&head).map_err(Fault::Internal)?;
        }
        numbered.number = numbered.number.saturating_add(1);
        let number = numbered.number;
        let target = self.place.file(folder, number);
        // Folders come from the data: a link among them may lead out of what may be written.
        let target = match folder {
            "" => target,
            _ => real(&target, &self.access)?,
        };
        self.claims.claim(&target)?;
        numbered.part = Some(Part::new(target, folder.to_owned(), number, encode));
        Ok(())
    }

    fn awake(&self) -> usize {
        let parts = self.parts.values().filter_map(|n| n.part.as_ref());
        parts.filter(|p| p.encode.is_some()).count()
    }

    fn part(&mut self, folder: &str) -> Result<&mut Part, Fault> {
        let part = self.parts.get_mut(folder).and_then(|n| n.part.as_mut());
        part.ok_or_else(|| Fault::Internal("a file is not open that has to be".into()))
    }

    /// Ends a file; it waits for the end of the run then.
    fn end_part(&mut self, mut part: Part) -> Result<(), Fault> {
        if self.settings.format == FileFormat::Json {
            if part.encode.is_none() {
                part.encode =
                    Some(Encode::text(self.settings.compression).map_err(Fault::Internal)?);
            }
            let end: &[u8] = if part.records == 0 { b"[]\n" } else { b"\n]\n" };
            if let Some(encode) = &mut part.encode {
                encode.write(end).map_err(Fault::Internal)?;
            }
        }
        part.rest().map_err(Fault::Internal)?;
        self.whole.push(part);
        Ok(())
    }

    /// Ends all files. Without any record there is one with none, but for partitions, and Parquet with no columns.
    fn end(&mut self) -> Result<(), Fault> {
        let parquet = self.settings.format == FileFormat::Parquet;
        if parquet && matches!(self.columns, Columns::Unknown) && !self.settings.schema.is_empty() {
            self.table(&Bytes::new())?;
        }
        let nothing = parquet && matches!(self.columns, Columns::Unknown);
        if self.parts.is_empty() && self.settings.partition_by.is_empty() && !nothing {
            self.settle("", 0, 0)?;
        }
        for (_, numbered) in std::mem::take(&mut self.parts) {
            if let Some(part) = numbered.part {
                self.end_part(part)?;
            }
        }
        Ok(())
    }

    /// Writes what waits. Whole files and those at rest are closed after it.
    fn flush(&mut self) -> Result<(), Fault> {
        let open = self.parts.values_mut().filter_map(|n| n.part.as_mut());
        for part in self.whole.iter_mut().chain(open) {
            part.flush(&mut self.beside)?;
        }
        Ok(())
    }

    /// Removes numbered files of an earlier run that had more of them: what is left would be taken for a part of this one.
    fn remove_later_numbers(&self) {
        let s = &self.settings;
        let rotates = s.max_bytes.is_some() || s.max_records.is_some();
        let reopens = s.format == FileFormat::Parquet && !s.partition_by.is_empty();
        if s.fail_if_exists || !(rotates || reopens || s.any_shape) {
            return;
        }
        let numbers = self.whole.iter().map(|p| (p.folder.as_str(), p.number));
        // Those of a folder come in the order of their numbers.
        for (folder, last) in BTreeMap::from_iter(numbers) {
            let later = (last.saturating_add(1)..).map(|number| self.place.file(folder, number));
            for path in later {
                if self.claims.claim(&path).is_err() || std::fs::remove_file(path).is_err() {
                    break;
                }
            }
        }
    }
}

/// The lines of a batch, without their ends.
fn lines_of(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split_inclusive(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}
