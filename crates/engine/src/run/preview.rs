//! The first records after each stage, for people who try a pipeline out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use model::data::{Batch, Encoding};
use model::run::StagePreview;
use model::stage::Convert;
use serde_json::Value;

use super::lines::lines;
use super::meter::Meter;
use crate::slot::lock;

/// Most bytes of one record that are shown.
const RECORD: usize = 64 * 1024;

/// The first rows of one stage.
#[derive(Debug)]
pub(super) struct Rows {
    most: usize,
    full: AtomicBool,
    rows: Mutex<Vec<Value>>,
}

impl Rows {
    pub(super) fn new(most: Option<u32>) -> Self {
        let most = most.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Self {
            most,
            full: AtomicBool::new(most == 0),
            rows: Mutex::default(),
        }
    }

    pub(super) fn see(&self, batch: &Batch, convert: &dyn Convert) {
        if self.full.load(Ordering::Relaxed) {
            return;
        }
        let shown = match batch.encoding {
            Encoding::Ndjson => Ok(batch.clone()),
            Encoding::ArrowIpc => convert.convert(batch.clone(), Encoding::Ndjson),
        };
        let Ok(shown) = shown else { return };
        let mut rows = lock(&self.rows);
        let room = self.most.saturating_sub(rows.len());
        rows.extend(lines(&shown.data).take(room).map(|line| row(line, RECORD)));
        self.full.store(rows.len() >= self.most, Ordering::Relaxed);
    }

    pub(super) fn shown(&self, meter: &Meter) -> StagePreview {
        StagePreview {
            stage: meter.name.to_string(),
            part: meter.part,
            rows: lock(&self.rows).clone(),
        }
    }
}

/// A record as it is shown: one that is no JSON, or has more than so many bytes, as the text of its beginning.
pub(crate) fn row(line: &[u8], most: usize) -> Value {
    let (start, _) = line.split_at(line.len().min(most));
    let parsed = if start.len() == line.len() {
        serde_json::from_slice(line).ok()
    } else {
        None
    };
    parsed.unwrap_or_else(|| String::from_utf8_lossy(start).into())
}
