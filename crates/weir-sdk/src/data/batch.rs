//! Records in transit: bytes with a count. The host counts again.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};

use super::Transformed;
use crate::Failure;

/// How the bytes of a batch are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON document a line, `\n` after each, UTF-8.
    Ndjson,
    /// One Arrow IPC stream (schema, then record batches), uncompressed.
    ArrowIpc,
}

/// Some records as bytes: one copy across the sandbox however many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How to read `data`.
    pub encoding: Encoding,
    /// Number of records in `data`.
    pub count: u32,
    /// The records.
    pub data: Vec<u8>,
}

/// A record that a stage gives up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its place in the batch the stage was given, from 0.
    pub index: u32,
    /// For people: why. At most 1 KiB is kept. Empty, from a transform only: the record is left out on purpose, as a filter does, and counts as no error.
    pub reason: String,
}

/// What becomes of a record in [`Batch::each`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It goes on, as this.
    Keep(T),
    /// It is left out on purpose.
    LeaveOut,
    /// It is given up on, for this reason.
    Reject(String),
}

/// The half-open span of time from `start` to before `end` that a run covers, RFC 3339 with offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub start: String,
    /// The first moment after it.
    pub end: String,
}

impl Batch {
    /// A batch of JSON lines. Fails with [`Failure::Internal`] if a record cannot be written as JSON, or there are over 2^32 of them.
    ///
    /// ```
    /// # use weir_sdk::{Batch, Failure, serde_json::{Value, json}};
    /// let batch = Batch::ndjson(&[json!({"a": 1}), json!({"a": 2})])?;
    /// assert_eq!(batch.data, b"{\"a\":1}\n{\"a\":2}\n");
    /// assert_eq!(batch.records::<Value>()?.len(), 2);
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn ndjson<T: Serialize>(records: &[T]) -> Result<Self, Failure> {
        let mut data = Vec::new();
        for record in records {
            serde_json::to_writer(&mut data, record)?;
            data.push(b'\n');
        }
        Ok(Self {
            encoding: Encoding::Ndjson,
            count: u32::try_from(records.len())?,
            data,
        })
    }

    /// Takes a batch of JSON lines apart record by record. A line that is no `I` is rejected, with the reason. This is the fast way: an `I` may borrow from the batch
    /// (`&str` for texts without escapes), and no list of records is made.
    ///
    /// ```
    /// # use weir_sdk::{Batch, Failure, Verdict, serde::{Deserialize, Serialize}, serde_json::json};
    /// #[derive(Deserialize)]
    /// # #[serde(crate = "weir_sdk::serde")]
    /// struct In { amount: f64 }
    /// #[derive(Serialize)]
    /// # #[serde(crate = "weir_sdk::serde")]
    /// struct Out { cents: i64 }
    ///
    /// let batch = Batch::ndjson(&[json!({"amount": 1.5}), json!({"amount": 0.0}), json!({"amount": "?"})])?;
    /// let done = batch.each(|record: In| match record.amount {
    ///     0.0 => Verdict::LeaveOut,
    ///     amount => Verdict::Keep(Out { cents: (amount * 100.0).round() as i64 }),
    /// })?;
    /// assert_eq!(done.batch.data, b"{\"cents\":150}\n");
    /// assert_eq!(done.rejects.len(), 2);
    /// # Ok::<(), Failure>(())
    /// ```
    ///
    /// # Errors
    /// [`Failure::Invalid`] if the batch is not JSON lines; [`Failure::Internal`] if an `O` cannot be written as JSON.
    pub fn each<'a, I: Deserialize<'a>, O: Serialize>(
        &'a self,
        mut verdict: impl FnMut(I) -> Verdict<O>,
    ) -> Result<Transformed, Failure> {
        // What comes out is mostly no larger than what came in.
        let mut data = Vec::with_capacity(self.data.len());
        let (mut count, mut rejects) = (0, Vec::new());
        for (index, line) in (0..).zip(self.texts()?) {
            let reason = match line.and_then(serde_json::from_str).map(&mut verdict) {
                Ok(Verdict::Keep(record)) => {
                    serde_json::to_writer(&mut data, &record)?;
                    data.push(b'\n');
                    count += 1;
                    continue;
                }
                Ok(Verdict::LeaveOut) => String::new(),
                Ok(Verdict::Reject(reason)) => reason,
                Err(error) => error.to_string(),
            };
            rejects.push(Reject { index, reason });
        }
        let encoding = Encoding::Ndjson;
        let batch = Self {
            encoding,
            count,
            data,
        };
        Ok(Transformed { batch, rejects })
    }

    /// The lines as text. Whether they are UTF-8 is looked at once for all of them, which is much faster than string by string; only where that fails, line by line.
    fn texts(&self) -> Result<Box<dyn Iterator<Item = serde_json::Result<&str>> + '_>, Failure> {
        let lines = self.lines()?;
        let Ok(text) = std::str::from_utf8(&self.data) else {
            return Ok(Box::new(lines.map(|line| {
                std::str::from_utf8(line).map_err(serde_json::Error::custom)
            })));
        };
        let lines = text.split_inclusive('\n');
        Ok(Box::new(
            lines.map(|line| Ok(line.strip_suffix('\n').unwrap_or(line))),
        ))
    }

    /// The lines, without their ends.
    fn lines(&self) -> Result<impl Iterator<Item = &[u8]>, Failure> {
        if self.encoding != Encoding::Ndjson {
            return Err(Failure::invalid("the batch is Arrow IPC, not JSON lines"));
        }
        let lines = self.data.split_inclusive(|byte| *byte == b'\n');
        Ok(lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line)))
    }

    /// The records of a batch of JSON lines. A line that does not fit is [`Failure::Invalid`] and named by its number, from 1; so is
    /// another encoding.
    pub fn records<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        let parse = |(index, line)| {
            serde_json::from_slice(line)
                .map_err(|error| Failure::invalid(format!("record {}: {error}", index + 1)))
        };
        self.lines()?.enumerate().map(parse).collect()
    }
}

/// Translates between this module's types and the copies that each role's bindings have.
macro_rules! translate {
    ($batches:path) => {
        use $batches as batches;

        use crate::data::{Batch, Encoding};

        pub(super) fn lift(batch: batches::Batch) -> Batch {
            let encoding = match batch.encoding {
                batches::Encoding::Ndjson => Encoding::Ndjson,
                batches::Encoding::ArrowIpc => Encoding::ArrowIpc,
            };
            Batch {
                encoding,
                count: batch.count,
                data: batch.data,
            }
        }

        #[allow(dead_code, reason = "a sink only gets batches")]
        pub(super) fn lower(batch: Batch) -> batches::Batch {
            let encoding = match batch.encoding {
                Encoding::Ndjson => batches::Encoding::Ndjson,
                Encoding::ArrowIpc => batches::Encoding::ArrowIpc,
            };
            batches::Batch {
                encoding,
                count: batch.count,
                data: batch.data,
            }
        }
    };
}
pub(super) use translate;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named() {
        let batch = Batch {
            encoding: Encoding::Ndjson,
            count: 2,
            data: b"1\nx\n".to_vec(),
        };
        assert_eq!(
            batch.records::<u8>(),
            Err(Failure::invalid(
                "record 2: expected value at line 1 column 1"
            ))
        );
    }

    #[test]
    fn an_empty_line_is_a_record_too() {
        let batch = Batch {
            encoding: Encoding::Ndjson,
            count: 3,
            data: b"1\n\n3\n".to_vec(),
        };
        let done = batch.each(|n: u8| Verdict::Keep(n)).unwrap();
        assert_eq!((done.batch.count, done.rejects.len()), (2, 1));
        assert_eq!(done.rejects[0].index, 1);
        assert!(!done.rejects[0].reason.is_empty());
        let failure = batch.records::<u8>().unwrap_err();
        assert!(failure.message().starts_with("record 2: "), "{failure}");
    }

    #[test]
    fn arrow_is_not_json() {
        let batch = Batch {
            encoding: Encoding::ArrowIpc,
            count: 0,
            data: Vec::new(),
        };
        assert_eq!(
            batch.records::<u8>(),
            Err(Failure::invalid("the batch is Arrow IPC, not JSON lines"))
        );
    }
}
