//! What would go to the sinks of a run that opens none, kept for whoever compares it, within bounds.

use std::sync::Mutex;

use bytes::Bytes;
use model::data::Batch;
use model::stage::Convert;

use super::lines::lines;
use super::work::as_lines;
use crate::slot::lock;

#[derive(Debug, Default)]
pub(crate) struct Tee(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    records: Vec<Bytes>,
    bytes: usize,
    full: bool,
}

impl Tee {
    /// Most bytes that are kept.
    pub(crate) const MOST: usize = 64 << 20;
    /// What a record costs beside its bytes.
    const EACH: usize = 64;

    pub(super) fn see(&self, batch: &Batch, convert: &dyn Convert) {
        let Ok(batch) = as_lines(batch.clone(), convert) else {
            return;
        };
        let kept = &mut *lock(&self.0);
        for line in lines(&batch.data) {
            kept.bytes = kept.bytes.saturating_add(line.len() + Self::EACH);
            if kept.bytes > Self::MOST {
                kept.full = true;
                kept.records = Vec::new();
                return;
            }
            kept.records.push(batch.data.slice_ref(line));
        }
    }

    /// Was there more than is kept?
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.0).full
    }

    pub(crate) fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut lock(&self.0).records)
    }
}
