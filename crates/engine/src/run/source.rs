//! The source of a run: pulled as long as it has records, and what it could not read is counted and kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::data::{Batch, Most, Pulled, Reader};
use model::error::Fault;
use model::pipeline::OnReject;
use model::stage::KeepRaw;

use super::Failure;
use super::flow::Flight;
use super::lines::{empty, pick, sound};
use super::meter::{Meter, add};
use super::open::{Opener, Origin, fails};
use super::plugin::Sizes;
use super::rejects::{Kept, fails as reject_fails};
use super::retry::Tries;
use super::route::{Outlet, Parcel, Point};
use crate::slot::lock;

/// The first wait after a pull that gave nothing and was not the end; it doubles up to [`LONGEST`].
const IDLE: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

pub(super) struct Spring {
    meter: Arc<Meter>,
    reader: Box<dyn Reader>,
    sizes: Option<Arc<Sizes>>,
    is_plugin: bool,
    /// Keeps what a plugin hands over.
    keeper: Option<Arc<dyn KeepRaw>>,
    /// Is what it makes taken for JSON by the host's own stages?
    taken: bool,
    fuel: u64,
    /// Records that may still come.
    left: Option<u64>,
    /// Records that came, and places of the input that are none.
    seen: u64,
    /// Batches that came.
    pulls: u64,
    /// Records that went on, those of attempts before included.
    read: u64,
}

impl Spring {
    /// `read` records were read before this run.
    pub(super) fn new(
        origin: &Origin,
        reader: Box<dyn Reader>,
        limit: Option<u64>,
        taken: bool,
        read: u64,
    ) -> Self {
        let fuel = reader.fuel();
        let meter = Arc::clone(origin.meter());
        meter.worked(Duration::ZERO, fuel);
        let opener = origin.opener();
        Self {
            meter,
            reader,
            sizes: opener.and_then(Opener::sizes),
            is_plugin: opener.is_some_and(Opener::is_plugin),
            keeper: opener.and_then(Opener::keeper),
            taken,
            fuel,
            left: limit,
            seen: 0,
            pulls: 0,
            read,
        }
    }

    /// Reads until there is nothing more, or nobody takes it. When it fails, what was read before goes its way, and then the run fails.
    pub(super) async fn read(mut self, mut to: Outlet, flight: Arc<Flight>) -> Result<(), Failure> {
        let mut idle = IDLE;
        while self.left != Some(0) {
            let most = self.most(&flight);
            let pulled = tokio::select! {
                biased;
                () = flight.cut_short() => break,
                why = flight.entry.interrupted(flight.least_interrupt()) => {
                    flight.entry.put_off(why);
                    flight.cut(Some(Failure::new(why.words())));
                    break;
                }
                pulled = self.pull(most, &flight) => pulled,
            };
            let pulled = match pulled {
                Ok(pulled) => pulled,
                Err(failure) => {
                    flight.cut(Some(failure));
                    break;
                }
            };
            let done = pulled.done;
            let cursor = pulled.cursor.clone();
            self.keep(&pulled.batch, &flight).await?;
            self.pulls += 1;
            let batch = self.settle(pulled, most, &flight).await?;
            self.read += u64::from(batch.count);
            let point = self.point(cursor.as_ref(), &flight);
            let is_empty = batch.count == 0;
            if !is_empty {
                idle = IDLE;
                self.left = self.left.map(|n| n.saturating_sub(batch.count.into()));
                self.meter.went_out(&batch);
                flight.see(0, &batch);
            }
            if !is_empty || point.is_some() {
                let parcel = Parcel {
                    pull: self.pulls,
                    point,
                    batches: if is_empty { Vec::new() } else { vec![batch] },
                    ..Parcel::default()
                };
                if !to.send(parcel).await {
                    return Ok(());
                }
            }
            if is_empty && !done {
                flight.timer.wait(idle).await;
                idle = (idle * 2).min(LONGEST);
            }
            if done || cursor.is_some() {
                *lock(&flight.cursor) = cursor;
            }
            if done {
                break;
            }
        }
        to.end(Parcel::default()).await;
        Ok(())
    }

    /// From where to go on, for whoever keeps that.
    fn point(&self, cursor: Option<&String>, flight: &Flight) -> Option<Box<Point>> {
        flight.ledger.as_ref()?;
        Some(Box::new(Point {
            pull: self.pulls,
            cursor: Some(cursor?.clone()),
            read: self.read,
        }))
    }

    fn most(&self, flight: &Flight) -> Most {
        let records = flight.limits.batch_records.get();
        let records = self.sizes.as_ref().map_or(records, |s| s.records().max(1));
        let left = self
            .left
            .map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
        Most {
            records: records.min(left),
            bytes: flight.limits.batch_bytes.get(),
        }
    }

    async fn pull(&mut self, most: Most, flight: &Flight) -> Result<Pulled, Failure> {
        let mut tries = Tries::new(&flight.errors.retry);
        loop {
            let began = flight.now();
            let result = self.reader.pull(most).await;
            let took = flight.now().saturating_sub(began);
            let fuel = self.reader.fuel();
            let burnt = fuel.saturating_sub(std::mem::replace(&mut self.fuel, fuel));
            self.meter.worked(took, burnt);
            match result {
                Ok(pulled) => {
                    if let Some(sizes) = &self.sizes {
                        // How long it waits for its input says nothing of its limits.
                        sizes.saw(pulled.batch.count, burnt, Duration::ZERO);
                    }
                    return Ok(pulled);
                }
                Err(fault) => flight.wait(&self.meter, &fault, &mut tries).await?,
            }
        }
    }

    /// Keeps a plugin's batch as it handed it over.
    async fn keep(&mut self, batch: &Batch, flight: &Flight) -> Result<(), Failure> {
        let Some(keeper) = self.keeper.as_ref().filter(|_| batch.count > 0) else {
            return Ok(());
        };
        let mut tries = Tries::new(&flight.errors.retry);
        let lines = flight.lines(batch.clone());
        let lines = lines.map_err(|f| fails(&self.meter, &f, &tries))?;
        let kind = || {
            let kind = Bytes::from_static(b"application/x-ndjson");
            vec![("content-type".to_owned(), kind)]
        };
        while let Err(fault) = keeper.keep(kind(), lines.data.clone()).await {
            flight.wait(&self.meter, &fault, &mut tries).await?;
        }
        Ok(())
    }

    /// Keeps what is no record, and what is too large.
    async fn settle(
        &mut self,
        pulled: Pulled,
        most: Most,
        flight: &Flight,
    ) -> Result<Batch, Failure> {
        let count = pulled.batch.count;
        if count > most.records {
            let what = format!(
                "it returned {count} records where at most {} were asked for",
                most.records
            );
            let none = Tries::new(&flight.errors.retry);
            return Err(fails(&self.meter, &Fault::Trapped(what), &none));
        }
        let mut kept: Vec<Kept> = pulled
            .rejects
            .into_iter()
            .map(|u| self.kept(u.number, u.reason, u.raw))
            .collect();
        let mut batch = pulled.batch;
        if self.is_plugin {
            batch = self.checked(batch, flight, &mut kept);
        }
        self.seen += u64::from(count);
        if kept.is_empty() {
            return Ok(batch);
        }
        match flight.rejects.policy(0) {
            OnReject::Reject => {}
            OnReject::SkipBatch => {
                let first = kept.first().map_or("", |k| k.reason.as_str());
                let reason = format!("its batch was skipped: {first}");
                let lines = flight.lines(std::mem::replace(&mut batch, empty()));
                let none = Tries::new(&flight.errors.retry);
                let lines = lines.map_err(|f| fails(&self.meter, &f, &none))?;
                let before = self.seen - u64::from(count);
                for (index, record) in pick(&lines.data, 0..lines.count) {
                    let record = lines.data.slice_ref(record);
                    kept.push(self.kept(before + u64::from(index) + 1, reason.clone(), record));
                }
            }
            OnReject::Fail => {
                let failure = kept.first().map(reject_fails);
                add(&self.meter.rejected, kept.len() as u64);
                flight.rejects.bury(self.pulls, &kept)?;
                flight.rejects.keep(kept).await?;
                return Err(failure.unwrap_or_else(|| Failure::new("a record was rejected")));
            }
        }
        add(&self.meter.rejected, kept.len() as u64);
        flight.rejects.bury(self.pulls, &kept)?;
        flight.rejects.keep(kept).await?;
        Ok(batch)
    }

    /// What may go on of what a plugin made: a native source sees to it by itself.
    fn checked(&self, batch: Batch, flight: &Flight, kept: &mut Vec<Kept>) -> Batch {
        let (batch, unsound) = sound(batch, flight.limits.record_bytes, self.taken);
        kept.extend(unsound.into_iter().map(|u| {
            let number = self.seen + u64::from(u.place) + 1;
            self.kept(number, u.reason, u.record)
        }));
        batch
    }

    fn kept(&self, number: u64, reason: String, record: Bytes) -> Kept {
        Kept {
            stage: Arc::clone(&self.meter.name),
            number,
            reason,
            record,
        }
    }
}
