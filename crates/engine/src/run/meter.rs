//! What a stage of a run counts while it is at work. Counting never waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::data::Batch;
use model::run::{Part, StageReport};
use model::stage::Progress;

use crate::slot::lock;

/// One stage's counters.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) name: Arc<str>,
    pub(crate) part: Part,
    /// Its type, or the plugin and its version.
    pub(crate) kind: String,
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) left_out: AtomicU64,
    pub(crate) undelivered: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    busy_us: AtomicU64,
    fuel: AtomicU64,
    retries: AtomicU64,
    said: Mutex<Said>,
    pub(crate) progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Said {
    error: Option<String>,
    undelivered_file: Option<String>,
}

impl Meter {
    pub(crate) fn new(name: Arc<str>, part: Part, kind: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            part,
            kind,
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            undelivered: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            said: Mutex::default(),
            progress: Arc::default(),
        })
    }

    pub(crate) fn came_in(&self, batch: &Batch) {
        add(&self.records_in, batch.count.into());
        add(&self.bytes_in, batch.data.len() as u64);
    }

    pub(crate) fn went_out(&self, batch: &Batch) {
        add(&self.records_out, batch.count.into());
        add(&self.bytes_out, batch.data.len() as u64);
    }

    pub(crate) fn worked(&self, took: Duration, fuel: u64) {
        add(
            &self.busy_us,
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        );
        if fuel > 0 {
            add(&self.fuel, fuel);
        }
    }

    /// A step failed and is tried again.
    pub(crate) fn retried(&self, error: String) {
        add(&self.retries, 1);
        self.failed(error);
    }

    pub(crate) fn failed(&self, error: String) {
        lock(&self.said).error = Some(error);
    }

    pub(crate) fn kept_in(&self, file: String) {
        lock(&self.said).undelivered_file = Some(file);
    }

    pub(crate) fn report(&self) -> StageReport {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let said = lock(&self.said);
        let (read, total) = self.progress.now();
        StageReport {
            name: self.name.to_string(),
            part: self.part,
            kind: self.kind.clone(),
            records_in: of(&self.records_in),
            records_out: of(&self.records_out),
            rejected: of(&self.rejected),
            left_out: of(&self.left_out),
            undelivered: of(&self.undelivered),
            undelivered_file: said.undelivered_file.clone(),
            bytes_in: of(&self.bytes_in),
            bytes_out: of(&self.bytes_out),
            busy_ms: of(&self.busy_us) / 1_000,
            fuel: of(&self.fuel),
            retries: of(&self.retries),
            error: said.error.clone(),
            read_bytes: (read > 0 || total.is_some()).then_some(read),
            total_bytes: total,
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
