//! The records of a Parquet file. It has to be a file: its end is read first.

use std::fs::File;

use arrow::array::RecordBatch;
use model::data::Most;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

/// A Parquet file that is being read.
pub(crate) struct ParquetFile {
    records: ParquetRecordBatchReader,
    /// What is left of the batch that was read last.
    rest: Option<RecordBatch>,
    /// Records of the file, and how many were handed over.
    total: u64,
    taken: u64,
    /// Bytes of a record, about.
    record_bytes: usize,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile")
            .field("total", &self.total)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl ParquetFile {
    /// Opens one after its first `skip` records. No more is read at once than `most` says, about.
    pub(crate) fn open(file: File, skip: u64, most: Most) -> Result<Self, String> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|e| format!("no Parquet file: {e}"))?;
        let meta = builder.metadata();
        let total = u64::try_from(meta.file_metadata().num_rows()).unwrap_or(0);
        let bytes = meta.row_groups().iter().map(|g| g.total_byte_size());
        let bytes = u64::try_from(bytes.sum::<i64>()).unwrap_or(0);
        let record_bytes = usize::try_from(bytes.checked_div(total).unwrap_or(0)).unwrap_or(0);
        let at_once = rows(record_bytes, most);
        let skip = skip.min(total);
        let records = builder
            .with_batch_size(at_once)
            .with_offset(usize::try_from(skip).unwrap_or(usize::MAX))
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self {
            records,
            rest: None,
            total,
            taken: skip,
            record_bytes,
        })
    }

    /// The next records, not more than asked for; none at the end.
    pub(crate) fn next(&mut self, most: Most) -> Result<Option<RecordBatch>, String> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.records.next() {
                None => return Ok(None),
                Some(batch) => batch.map_err(|e| {
                    format!("damaged after record {} of {}: {e}", self.taken, self.total)
                })?,
            },
        };
        let count = rows(self.record_bytes, most).min(batch.num_rows());
        let left = batch.num_rows().saturating_sub(count);
        self.rest = (left > 0).then(|| batch.slice(count, left));
        self.taken = self.taken.saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(Some(batch.slice(0, count)))
    }

    /// How much of so many bytes of the file has been handed over.
    pub(crate) fn share(&self, bytes: u64) -> u64 {
        let share = u128::from(bytes).saturating_mul(u128::from(self.taken));
        let share = share.checked_div(u128::from(self.total)).unwrap_or(0);
        u64::try_from(share).unwrap_or(bytes)
    }
}

/// As many records as are asked for, or as fit into the bytes.
fn rows(record_bytes: usize, most: Most) -> usize {
    let bytes = usize::try_from(most.bytes).unwrap_or(usize::MAX);
    let records = usize::try_from(most.records).unwrap_or(usize::MAX);
    let fit = bytes.checked_div(record_bytes).unwrap_or(records);
    fit.min(records).max(1)
}
