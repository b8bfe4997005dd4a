//! A batch while it is put together: records and what is no record, up to the most that was asked for.

use bytes::Bytes;
use model::data::{Batch, Encoding, Most, Unreadable};

/// Records and unreadable ones, in the order of the input.
#[derive(Debug)]
pub(crate) struct Gathered {
    most: Most,
    /// Lines taken as they were; only while `own` is empty.
    whole: Bytes,
    own: Vec<u8>,
    count: u32,
    rejects: Vec<Unreadable>,
    /// Bytes of those.
    rejected: usize,
    /// Records of the input up to here, readable or not.
    number: u64,
    /// Records that are passed over before any is kept.
    skip: u64,
    closed: bool,
}

impl Gathered {
    /// None yet; `number` records of the input came before.
    pub(crate) fn new(most: Most, number: u64) -> Self {
        Self {
            most,
            whole: Bytes::new(),
            own: Vec::new(),
            count: 0,
            rejects: Vec::new(),
            rejected: 0,
            number,
            skip: 0,
            closed: false,
        }
    }

    /// The next records of the input are passed over; they were counted before.
    pub(crate) fn pass_over(&mut self, records: u64) {
        self.number = self.number.saturating_sub(records);
        self.skip = records;
    }

    /// Records that are still to be passed over.
    pub(crate) fn to_pass_over(&self) -> u64 {
        self.skip
    }

    /// What may still come.
    pub(crate) fn left(&self) -> Most {
        Most {
            records: self.room(),
            bytes: u32::try_from(self.room_bytes()).unwrap_or(u32::MAX),
        }
    }

    /// There shall be no more in this batch.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// How many were set aside.
    pub(crate) fn rejects(&self) -> usize {
        self.rejects.len()
    }

    /// Says of those set aside, but for the first `but`, which file they are from.
    pub(crate) fn name_rejects(&mut self, but: usize, file: &str) {
        for reject in self.rejects.iter_mut().skip(but) {
            reject.reason = format!("{file}, {}", reject.reason);
        }
    }

    /// As many records may still come, by their number.
    pub(crate) fn room(&self) -> u32 {
        let rejects = u32::try_from(self.rejects.len()).unwrap_or(u32::MAX);
        self.most
            .records
            .saturating_sub(self.count)
            .saturating_sub(rejects)
    }

    /// Bytes that may still come, about.
    pub(crate) fn room_bytes(&self) -> usize {
        let most = usize::try_from(self.most.bytes).unwrap_or(usize::MAX);
        let had = self.whole.len().saturating_add(self.own.len());
        most.saturating_sub(had.saturating_add(self.rejected))
    }

    /// Are there as many records or bytes as were asked for?
    pub(crate) fn is_full(&self) -> bool {
        let some = self.count > 0 || !self.rejects.is_empty();
        self.closed || some && (self.room() == 0 || self.room_bytes() == 0)
    }

    /// Records of the input up to here, readable or not.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// May lines be added as they are ([`Self::add_lines`])?
    pub(crate) fn takes_lines(&self) -> bool {
        self.skip == 0
    }

    /// Adds `count` lines as they are, each with its end.
    pub(crate) fn add_lines(&mut self, lines: Bytes, count: u32) {
        if self.whole.is_empty() && self.own.is_empty() {
            self.whole = lines;
        } else {
            self.own().extend_from_slice(&lines);
        }
        self.count = self.count.saturating_add(count);
        self.number = self.number.saturating_add(u64::from(count));
    }

    /// Adds a record that `write` appends, without line end, or sets it aside for the reason that `write` gives; `raw` is what stood in the input.
    pub(crate) fn add(
        &mut self,
        raw: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
    ) {
        self.number = self.number.saturating_add(1);
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            return;
        }
        let own = self.own();
        let before = own.len();
        match write(own) {
            Ok(()) => {
                own.push(b'\n');
                self.count = self.count.saturating_add(1);
            }
            Err(reason) => {
                own.truncate(before);
                self.rejected = self.rejected.saturating_add(raw.len());
                self.rejects.push(Unreadable {
                    number: self.number,
                    reason,
                    raw: Bytes::copy_from_slice(raw),
                });
            }
        }
    }

    /// Sets a record aside; `raw` is what stood in the input, or the beginning of what is too large.
    pub(crate) fn reject(&mut self, raw: &[u8], reason: String) {
        self.add(raw, |_| Err(reason));
    }

    /// The records, and what is none.
    pub(crate) fn done(self) -> (Batch, Vec<Unreadable>) {
        let data = if self.own.is_empty() {
            self.whole
        } else {
            self.own.into()
        };
        let batch = Batch {
            encoding: Encoding::Ndjson,
            count: self.count,
            data,
        };
        (batch, self.rejects)
    }

    fn own(&mut self) -> &mut Vec<u8> {
        if !self.whole.is_empty() {
            self.own.extend_from_slice(&self.whole);
            self.whole = Bytes::new();
        }
        &mut self.own
    }
}
