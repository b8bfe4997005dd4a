//! A transform that looks at one record at a time: what all native ones but `jq` have in common.

use bytes::Bytes;
use model::BoxFuture;
use model::data::{Batch, Encoding, Reject, Transformed, Transformer};
use model::error::Fault;

use crate::stages::record::{Lines, check_utf8};

/// Bytes that a batch may grow to.
const MOST: usize = 256 << 20;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Became {
    /// It goes on as it is.
    Same,
    /// What was written, without `\n`, goes on instead.
    Written,
    /// It is left out on purpose.
    LeftOut,
    /// It is rejected, for this reason.
    Rejected(String),
}

/// Work on one record.
pub(super) trait Each: Send {
    /// Does it ever answer [`Became::Written`]?
    const WRITES: bool;

    /// Looks at a record, whose UTF-8 was checked; writes what goes on instead at the end of `out`, if something does. What it wrote counts only with [`Became::Written`].
    fn record(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<Became, Fault>;
}

/// The transformer made of it.
#[derive(Debug)]
pub(super) struct Records<E> {
    each: E,
    /// About so many bytes a batch gives.
    expected: usize,
}

/// Boxes it for a run.
pub(super) fn transformer(each: impl Each + 'static) -> Box<dyn Transformer> {
    Box::new(Records { each, expected: 0 })
}

impl<E: Each> Transformer for Records<E> {
    fn apply(&mut self, batch: Batch) -> BoxFuture<'_, Result<Transformed, Fault>> {
        Box::pin(async move { self.all(&batch) })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>> {
        Box::pin(async { Ok(None) })
    }
}

impl<E: Each> Records<E> {
    fn all(&mut self, batch: &Batch) -> Result<Transformed, Fault> {
        if batch.encoding != Encoding::Ndjson {
            return Err(Fault::Internal("it takes NDJSON, and got Arrow IPC".into()));
        }
        let data = batch.data.as_ref();
        // Checked once for the whole batch; where that fails, a line at a time, so that only the bad ones are rejected.
        let utf8 = std::str::from_utf8(data).is_ok();
        let mut out = Out::new(data, self.expected);
        let mut rejects = Vec::new();
        let mut count = 0_u32;
        for (place, line) in Lines::of(data).enumerate() {
            if E::WRITES {
                out.settle();
            }
            let start = out.buffer.len();
            let became = match line_utf8(utf8, line) {
                Ok(()) => self.each.record(line, &mut out.buffer)?,
                Err(reason) => Became::Rejected(reason),
            };
            match became {
                Became::Same => {
                    out.buffer.truncate(start);
                    out.keep(line);
                    count = count.saturating_add(1);
                }
                Became::Written => {
                    if out.buffer.len() > MOST {
                        return Err(Fault::Invalid(format!(
                            "a batch of {} records becomes larger than {MOST} bytes; let fewer records go together (`limits.batch_records`)",
                            batch.count
                        )));
                    }
                    out.buffer.push(b'\n');
                    out.drop(line);
                    count = count.saturating_add(1);
                }
                Became::LeftOut | Became::Rejected(_) => {
                    out.buffer.truncate(start);
                    out.settle();
                    out.drop(line);
                    let reason = match became {
                        Became::Rejected(text) => text,
                        _ => String::new(),
                    };
                    rejects.push(Reject::new(place, reason));
                }
            }
        }
        let data = out.finish(&batch.data);
        self.expected = data.len().saturating_add(data.len() / 8);
        let encoding = Encoding::Ndjson;
        Ok(Transformed {
            batch: Batch {
                encoding,
                count,
                data,
            },
            rejects,
        })
    }
}

fn line_utf8(all: bool, line: &[u8]) -> Result<(), String> {
    if all {
        return Ok(());
    }
    check_utf8(line).map_err(|e| e.to_string())
}

/// The bytes that go on. Records that stay the same and lie side by side are copied at once, or, where that is all, not at all.
struct Out<'a> {
    data: &'a [u8],
    buffer: Vec<u8>,
    expected: usize,
    /// The records before this place were dealt with.
    at: usize,
    /// From here to `at`, all records stay the same and are not copied yet.
    kept_from: usize,
}

impl<'a> Out<'a> {
    fn new(data: &'a [u8], expected: usize) -> Self {
        Self {
            data,
            buffer: Vec::new(),
            expected,
            at: 0,
            kept_from: 0,
        }
    }

    /// This record goes on as it is.
    #[inline]
    fn keep(&mut self, line: &[u8]) {
        self.at = self.at.saturating_add(line.len()).saturating_add(1);
    }

    /// This record does not go on, or another in its place; those before it are settled.
    #[inline]
    fn drop(&mut self, line: &[u8]) {
        self.keep(line);
        self.kept_from = self.at;
    }

    /// Copies what is not copied yet.
    #[inline]
    fn settle(&mut self) {
        let Some(kept) = self.data.get(self.kept_from..self.at.min(self.data.len())) else {
            return;
        };
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.expected);
        }
        if !kept.is_empty() {
            self.buffer.extend_from_slice(kept);
            if kept.last() != Some(&b'\n') {
                self.buffer.push(b'\n');
            }
        }
        self.kept_from = self.at;
    }

    fn finish(mut self, whole: &Bytes) -> Bytes {
        if self.kept_from == 0 && whole.last() == Some(&b'\n') {
            return whole.clone();
        }
        self.settle();
        self.buffer.into()
    }
}
