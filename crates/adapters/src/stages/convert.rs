//! Batches from NDJSON to Arrow IPC and back, where two stages side by side do not take the same.
//!
//! To Arrow, the columns and their types are told from the records of the batch: whole numbers are `Int64`, others `Float64` (with whole ones among them too),
//! strings `Utf8`, lists and objects what is in them; a field that only holds null is `Utf8`. Back from it, every record has all fields, null where it had none.

use model::data::{Batch, Encoding};
use model::error::Fault;
use model::stage::Convert;

use super::format::{Table, from_ipc, parsed, to_ipc, to_lines};

/// Turns batches with `arrow`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArrowConvert;

impl Convert for ArrowConvert {
    fn convert(&self, batch: Batch, to: Encoding) -> Result<Batch, Fault> {
        if batch.encoding == to {
            return Ok(batch);
        }
        let data = match to {
            Encoding::ArrowIpc => columns(&batch.data)?,
            Encoding::Ndjson => {
                let mut lines = Vec::new();
                for records in from_ipc(&batch.data).map_err(|e| no_arrow(&e))? {
                    lines.extend(to_lines(&records).map_err(|e| no_arrow(&e))?);
                }
                lines.into()
            }
        };
        Ok(Batch {
            encoding: to,
            count: batch.count,
            data,
        })
    }
}

fn columns(data: &[u8]) -> Result<bytes::Bytes, Fault> {
    let wrong = |at: usize, e: String| {
        Fault::Invalid(format!(
            "record {} of the batch cannot be had as Arrow: {e}",
            at.saturating_add(1)
        ))
    };
    let lines = data.split_inclusive(|b| *b == b'\n').enumerate();
    let values = lines
        .clone()
        .map(|(at, line)| parsed(line).map_err(|e| wrong(at, e)))
        .collect::<Result<Vec<_>, _>>()?;
    let table = Table::guess(&[], values.iter());
    for (at, line) in lines {
        table.row(line).map_err(|e| wrong(at, e))?;
    }
    let records = table.batch(&values).map_err(Fault::Internal)?;
    to_ipc(&records).map_err(Fault::Internal)
}

fn no_arrow(error: &str) -> Fault {
    Fault::Invalid(format!("the Arrow data cannot be had as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &str, back: Result<&str, &str>) {
        let batch = Batch {
            encoding: Encoding::Ndjson,
            count: u32::try_from(lines.lines().count()).unwrap(),
            data: lines.to_owned().into(),
        };
        let arrow = ArrowConvert.convert(batch.clone(), Encoding::ArrowIpc);
        let came = arrow.and_then(|arrow| {
            assert_eq!(
                (arrow.encoding, arrow.count),
                (Encoding::ArrowIpc, batch.count)
            );
            ArrowConvert.convert(arrow, Encoding::Ndjson)
        });
        match (came, back) {
            (Ok(came), Ok(back)) => {
                assert_eq!(std::str::from_utf8(&came.data), Ok(back));
                assert_eq!(came.count, batch.count);
            }
            (Err(Fault::Invalid(came)), Err(back)) => assert_eq!(came, back),
            (came, _) => panic!("{came:?}"),
        }
    }

    #[test]
    fn records_come_back_from_arrow_as_they_were() {
        let exact = "{\"s\":\"\u{e4}\\n\",\"i\":-9223372036854775808,\"f\":1.5,\"b\":true,\"n\":null,\"l\":[1,null],\"o\":{\"x\":{\"y\":[]}},\"u\":18446744073709551615}\n";
        check(exact, Ok(exact));
        check("", Ok(""));
        check("{}\n{}\n", Ok("{}\n{}\n"));
        check(
            "{\"a\":1}\n{\"b\":2.5,\"a\":null}\n{\"b\":1}\n",
            Ok("{\"a\":1,\"b\":null}\n{\"a\":null,\"b\":2.5}\n{\"a\":null,\"b\":1.0}\n"),
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mixed = "record 2 of the batch cannot be had as Arrow: the field `a` holds \"x\", where the column has an integer of 64 bits; to have it otherwise, name its type in `schema`";
        check("{\"a\":1}\n{\"a\":\"x\"}\n", Err(mixed));
        check(
            "3\n",
            Err("record 1 of the batch cannot be had as Arrow: is no record with fields"),
        );
        let broken = Batch {
            encoding: Encoding::ArrowIpc,
            count: 1,
            data: "no Arrow".into(),
        };
        let fault = ArrowConvert.convert(broken, Encoding::Ndjson).unwrap_err();
        assert!(
            fault
                .to_string()
                .contains("the Arrow data cannot be had as JSON"),
            "{fault}"
        );
    }
}
