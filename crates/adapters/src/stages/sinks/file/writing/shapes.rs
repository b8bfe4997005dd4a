//! Records of any shape in Parquet files: where some do not fit the columns of the file so far, a further file begins with columns that they fit.

use arrow::array::RecordBatch;
use bytes::Bytes;
use model::data::{Batch, Encoding, Reject};
use model::error::Fault;

use super::{Columns, Encode, FilesWriting, lines_of};
use crate::stages::format::{from_ipc, parsed, to_lines};

impl FilesWriting {
    /// Writes records whatever their shape is. Rejected is only what is no JSON.
    pub(super) fn any_shape(&mut self, batch: &Batch) -> Result<Vec<Reject>, Fault> {
        if batch.encoding == Encoding::Ndjson {
            return self.fitted(&batch.data);
        }
        for records in from_ipc(&batch.data).map_err(Fault::Invalid)? {
            // A stream of no records need not have their columns.
            if records.num_rows() > 0 {
                self.own_columns(&records)?;
            }
        }
        Ok(vec![])
    }

    fn fitted(&mut self, data: &Bytes) -> Result<Vec<Reject>, Fault> {
        let (mut rejects, mut rows) = (vec![], vec![]);
        for (place, line) in lines_of(data).enumerate() {
            match parsed(line) {
                Ok(row) => rows.push(row),
                Err(reason) => rejects.push(Reject::new(place, reason)),
            }
        }
        if rows.is_empty() {
            return Ok(rejects);
        }
        let table = self.shape.of(&mut rows);
        let same = matches!(&self.columns, Columns::Table(had) if *had == table);
        let records = table.batch(&rows).map_err(Fault::Internal)?;
        if !same {
            self.begin_anew(Columns::Table(table))?;
        }
        self.add_columns("", &records)?;
        Ok(rejects)
    }

    /// Records that come with their columns keep them, as long as a Parquet file can have those.
    fn own_columns(&mut self, records: &RecordBatch) -> Result<(), Fault> {
        let schema = records.schema();
        let same = matches!(&self.columns, Columns::Arrow(had) if *had == schema);
        if !same && (self.shape.is_spent() || Encode::parquet(schema.clone()).is_err()) {
            let lines = to_lines(records).map_err(Fault::Internal)?;
            // They are JSON: none is rejected.
            return self.fitted(&lines.into()).map(drop);
        }
        if !same {
            self.shape.changed();
            self.begin_anew(Columns::Arrow(schema))?;
        }
        self.add_columns("", records)
    }

    /// A further file begins with the next records.
    fn begin_anew(&mut self, columns: Columns) -> Result<(), Fault> {
        if let Some(part) = self.parts.get_mut("").and_then(|n| n.part.as_mut()) {
            part.rest().map_err(Fault::Internal)?;
        }
        self.columns = columns;
        Ok(())
    }
}
