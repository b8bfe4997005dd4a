//! Keeps rows with a number between two others, and leaves out the rest. It works on Arrow batches, column by column: no record is parsed, or written as text. A stage with it
//! says `encoding: arrow`.
//!
//! ```yaml
//! config:
//!   column: amount
//!   min: 10      # either may be left out
//!   max: 99.5
//! ```

use arrow_array::{
    Array, BooleanArray, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int64Type, UInt64Type},
};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_select::filter::filter_record_batch;
use weir_sdk::{
    Batch, Encoding, Failure, Manifest, Plugin, Reject, Transform, Transformed, Transformer,
    serde::Deserialize, serde_json::Value,
};

#[derive(Default)]
struct BetweenPlugin;

impl Plugin for BetweenPlugin {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Between")
    }
}

impl Transform for BetweenPlugin {
    type Transformer = Between;
}

/// The stage's settings.
#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields)]
struct Between {
    column: String,
    min: Option<f64>,
    max: Option<f64>,
}

impl Transformer for Between {
    fn open(config: Value) -> Result<Self, Failure> {
        Self::deserialize(config).map_err(|error| Failure::invalid(format!("config: {error}")))
    }

    fn apply(&mut self, batch: Batch) -> Result<Transformed, Failure> {
        if batch.encoding != Encoding::ArrowIpc {
            return Err(Failure::invalid(
                "between works on Arrow: give its stage `encoding: arrow`",
            ));
        }
        let stream = StreamReader::try_new(batch.data.as_slice(), None)?;
        let mut out = StreamWriter::try_new(Vec::new(), &stream.schema())?;
        let (mut count, mut rejects, mut index) = (0, Vec::new(), 0);
        for rows in stream {
            let rows = rows?;
            let verdicts = self.verdicts(&rows);
            for verdict in &verdicts {
                if let Err(reason) = verdict {
                    let reason = reason.clone();
                    rejects.push(Reject { index, reason });
                }
                index += 1;
            }
            let kept: BooleanArray = verdicts.iter().map(|v| Some(v.is_ok())).collect();
            let rows = filter_record_batch(&rows, &kept)?;
            count += u32::try_from(rows.num_rows())?;
            out.write(&rows)?;
        }
        let batch = Batch {
            encoding: Encoding::ArrowIpc,
            count,
            data: out.into_inner()?,
        };
        Ok(Transformed { batch, rejects })
    }
}

impl Between {
    /// Of each row: does it go on, is it left out (no reason), or is it rejected?
    fn verdicts(&self, rows: &RecordBatch) -> Vec<Result<(), String>> {
        let numbers = match self.numbers(rows) {
            Ok(numbers) => numbers,
            Err(reason) => return vec![Err(reason); rows.num_rows()],
        };
        let verdict = |number: Option<f64>| {
            let number = number.ok_or_else(|| format!("column {:?} is null", self.column))?;
            let above = self.min.is_none_or(|min| number >= min);
            let below = self.max.is_none_or(|max| number <= max);
            (above && below).then_some(()).ok_or_else(String::new)
        };
        numbers.into_iter().map(verdict).collect()
    }

    fn numbers(&self, rows: &RecordBatch) -> Result<Vec<Option<f64>>, String> {
        let column = rows
            .column_by_name(&self.column)
            .ok_or_else(|| format!("there is no column {:?}", self.column))?;
        if let Some(whole) = column.as_primitive_opt::<Int64Type>() {
            return Ok(whole.iter().map(|n| n.map(|n| n as f64)).collect());
        }
        if let Some(whole) = column.as_primitive_opt::<UInt64Type>() {
            return Ok(whole.iter().map(|n| n.map(|n| n as f64)).collect());
        }
        match column.as_primitive_opt::<Float64Type>() {
            Some(numbers) => Ok(numbers.iter().collect()),
            None => Err(format!(
                "column {:?} holds no numbers, but {}",
                self.column,
                column.data_type()
            )),
        }
    }
}

weir_sdk::plugin!(BetweenPlugin: transform);
