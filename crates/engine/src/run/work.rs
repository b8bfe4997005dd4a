//! A worker: takes parcels through a row of transforms, each of which it has for itself, and checks that no record is lost on the way.

use std::sync::Arc;
use std::time::Duration;

use model::data::{Batch, Encoding, Reject, Transformed, Transformer};
use model::error::Fault;
use model::pipeline::OnReject;
use model::stage::{Takes, TransformKind};

use super::Failure;
use super::flow::Flight;
use super::lines::{pick, sound, take};
use super::meter::{Meter, add};
use super::open::{Opener, fails};
use super::plugin::Sizes;
use super::retry::Tries;
use super::route::{Inlet, Outlet, Parcel, Rejected};

/// A transform of one worker.
pub(super) struct Station {
    /// Its place in the flow.
    stage: usize,
    meter: Arc<Meter>,
    takes: Takes,
    policy: OnReject,
    sizes: Option<Arc<Sizes>>,
    is_plugin: bool,
    /// Is what it makes taken for JSON by the host's own stages?
    taken: bool,
    transformer: Box<dyn Transformer>,
    /// Records it was given that have neither come out nor been rejected.
    held: u64,
    fuel: u64,
}

impl Station {
    pub(super) fn new(
        stage: usize,
        opener: &Opener<dyn TransformKind>,
        sizes: Option<Arc<Sizes>>,
        flight: &Flight,
        taken: bool,
        transformer: Box<dyn Transformer>,
    ) -> Self {
        // Opening it says nothing of what a record costs.
        let fuel = transformer.fuel();
        opener.meter.worked(Duration::ZERO, fuel);
        Self {
            stage,
            meter: Arc::clone(&opener.meter),
            takes: opener.takes(),
            policy: flight.rejects.policy(stage),
            sizes,
            is_plugin: opener.is_plugin(),
            taken,
            transformer,
            held: 0,
            fuel,
        }
    }
}

/// Works until there is nothing more.
pub(super) async fn work(
    mut row: Vec<Station>,
    mut from: Inlet,
    mut to: Outlet,
    flight: Arc<Flight>,
) -> Result<(), Failure> {
    while let Some(mut parcel) = from.next().await {
        flight.rejects.settle(&mut parcel).await?;
        let batches = std::mem::take(&mut parcel.batches);
        // Those of the parcel are used again.
        parcel.tail = false;
        pass(&mut row, batches, &mut parcel, &flight).await?;
        if let Some(ledger) = &flight.ledger
            && row.iter().any(|station| station.held > 0)
        {
            ledger.hold();
        }
        if !to.send(parcel).await {
            return Ok(());
        }
    }
    // What is rejected from here on is that of the last batch.
    let mut parcel = Parcel {
        pull: u64::MAX,
        ..Parcel::default()
    };
    // What is held back would be made of a part of the input, and look as if it were made of all.
    let mut rest = match flight.is_cut_short() {
        true => &mut [],
        false => row.as_mut_slice(),
    };
    while let Some((station, after)) = rest.split_first_mut() {
        if let Some(batch) = station.finish(&mut parcel, &flight).await? {
            pass(after, vec![batch], &mut parcel, &flight).await?;
        }
        rest = after;
    }
    to.end(parcel).await;
    Ok(())
}

/// Takes batches through a row of transforms.
async fn pass(
    row: &mut [Station],
    mut batches: Vec<Batch>,
    parcel: &mut Parcel,
    flight: &Flight,
) -> Result<(), Failure> {
    for station in row {
        let mut done = Vec::with_capacity(batches.len());
        let mut came = parcel.came_to(station.stage);
        for batch in batches {
            station
                .take_in(batch, &mut came, parcel, &mut done, flight)
                .await?;
        }
        parcel.note(station.stage, came);
        batches = done;
    }
    parcel.batches.extend(batches);
    Ok(())
}

impl Parcel {
    /// How many records of this parcel came to a stage so far.
    fn came_to(&self, stage: usize) -> u64 {
        let found = self.came.iter().find(|(s, _)| *s == stage);
        found.map_or(0, |(_, count)| *count)
    }

    fn note(&mut self, stage: usize, count: u64) {
        match self.came.iter_mut().find(|(s, _)| *s == stage) {
            Some((_, so_far)) => *so_far = count,
            None => self.came.push((stage, count)),
        }
    }
}

impl Station {
    /// Takes a batch in, in as many calls as it needs. `came` is how many records of the parcel came before.
    async fn take_in(
        &mut self,
        batch: Batch,
        came: &mut u64,
        parcel: &mut Parcel,
        done: &mut Vec<Batch>,
        flight: &Flight,
    ) -> Result<(), Failure> {
        self.meter.came_in(&batch);
        let Some(sizes) = self.sizes.clone() else {
            let given = self.turned(batch, flight)?;
            return self.apply(given, came, parcel, done, flight).await;
        };
        // To be cut, it has to be lines.
        let mut rest = flight.lines(batch).map_err(|f| self.fails(&f, flight))?;
        while rest.count > 0 {
            let piece = take(&mut rest, sizes.records(), sizes.bytes());
            if piece.count == 1 && piece.data.len() > sizes.record_bytes() {
                let what = format!(
                    "it has {} bytes, more than the plugin takes (input_bytes = {})",
                    piece.data.len(),
                    sizes.record_bytes()
                );
                self.meter_rejects(1);
                parcel.rejects.push(self.rejected(*came, what, &piece.data));
                *came += 1;
                continue;
            }
            let given = self.turned(piece, flight)?;
            self.apply(given, came, parcel, done, flight).await?;
        }
        Ok(())
    }

    /// The batch as it takes it.
    fn turned(&self, batch: Batch, flight: &Flight) -> Result<Batch, Failure> {
        match self.takes.wants(batch.encoding) {
            None => Ok(batch),
            Some(to) => {
                let turned = flight.convert.convert(batch, to);
                turned.map_err(|f| self.fails(&f, flight))
            }
        }
    }

    /// One call, tried again where that may help.
    async fn apply(
        &mut self,
        batch: Batch,
        came: &mut u64,
        parcel: &mut Parcel,
        done: &mut Vec<Batch>,
        flight: &Flight,
    ) -> Result<(), Failure> {
        let mut tries = Tries::new(&flight.errors.retry);
        let transformed = loop {
            let began = flight.now();
            let result = self.transformer.apply(batch.clone()).await;
            let took = flight.now().saturating_sub(began);
            let fuel = self.burnt();
            self.meter.worked(took, fuel);
            match result {
                Ok(transformed) => {
                    if let Some(sizes) = &self.sizes {
                        sizes.saw(batch.count, fuel, took);
                    }
                    break transformed;
                }
                Err(fault) => flight.wait(&self.meter, &fault, &mut tries).await?,
            }
        };
        let place = *came;
        *came += u64::from(batch.count);
        let out = self.settle(&batch, transformed, place, parcel, flight)?;
        if out.count > 0 {
            self.meter.went_out(&out);
            flight.see(self.stage, &out);
            done.push(out);
        }
        Ok(())
    }

    fn burnt(&mut self) -> u64 {
        let fuel = self.transformer.fuel();
        let burnt = fuel.saturating_sub(self.fuel);
        self.fuel = fuel;
        burnt
    }

    /// What goes on of a batch. Every record given came out, was rejected, or is held back.
    fn settle(
        &mut self,
        given: &Batch,
        done: Transformed,
        place: u64,
        parcel: &mut Parcel,
        flight: &Flight,
    ) -> Result<Batch, Failure> {
        let Transformed { batch, mut rejects } = done;
        let gone = rejects.len() as u64;
        let there = self.held + u64::from(given.count);
        let out = u64::from(batch.count);
        let Some(held) = there.checked_sub(out + gone) else {
            return Err(self.broken(format!(
                "it returned {out} records and {gone} rejects for {} records and {} held back",
                given.count, self.held
            )));
        };
        if gone > 0 {
            check_rejects(&mut rejects, given.count).map_err(|what| self.broken(what))?;
            // A reject without a reason is left out on purpose.
            let before = rejects.len();
            rejects.retain(|r| !r.reason.is_empty());
            add(&self.meter.left_out, (before - rejects.len()) as u64);
        }
        if !rejects.is_empty() && self.policy == OnReject::SkipBatch {
            let passes = held == 0 && self.held == 0;
            return self.skip(given, &rejects, passes, place, parcel, flight);
        }
        self.held = held;
        if !rejects.is_empty() {
            self.meter_rejects(rejects.len());
            let records = flight.lines(given.clone());
            let records = records.map_err(|f| self.fails(&f, flight))?;
            let picked = pick(&records.data, rejects.iter().map(|r| r.index));
            for (reject, (index, record)) in rejects.into_iter().zip(picked) {
                let record = records.data.slice_ref(record);
                parcel.rejects.push(Rejected {
                    stage: self.stage,
                    place: place + u64::from(index),
                    reason: reject.reason,
                    record,
                });
            }
        }
        Ok(self.checked(batch, place, parcel, flight))
    }

    /// The whole batch is kept aside for the sake of one record.
    fn skip(
        &mut self,
        given: &Batch,
        rejects: &[Reject],
        passes: bool,
        place: u64,
        parcel: &mut Parcel,
        flight: &Flight,
    ) -> Result<Batch, Failure> {
        if !passes {
            let what = "on_reject is skip_batch, and it holds records back, so that it cannot be told which batch they are of; use reject or fail";
            return Err(self.fails(&Fault::Invalid(what.into()), flight));
        }
        self.meter_rejects(given.count as usize);
        let records = flight.lines(given.clone());
        let records = records.map_err(|f| self.fails(&f, flight))?;
        let mut own = rejects.iter().peekable();
        let first = rejects.first().map_or("", |r| r.reason.as_str());
        for (index, record) in pick(&records.data, 0..given.count) {
            let reason = match own.next_if(|r| r.index == index) {
                Some(reject) => reject.reason.clone(),
                None => format!("its batch was skipped: {first}"),
            };
            parcel.rejects.push(Rejected {
                stage: self.stage,
                place: place + u64::from(index),
                reason,
                record: records.data.slice_ref(record),
            });
        }
        Ok(super::lines::empty())
    }

    /// Records that became larger than one may be are rejected here, and of what a plugin made, what is no JSON. A native stage makes JSON.
    fn checked(&self, batch: Batch, place: u64, parcel: &mut Parcel, flight: &Flight) -> Batch {
        let json = self.is_plugin && self.taken;
        let (batch, unsound) = sound(batch, flight.limits.record_bytes, json);
        self.meter_rejects(unsound.len());
        for u in unsound {
            let place = place + u64::from(u.place);
            let rejected = self.rejected(place, u.reason, &u.record);
            parcel.rejects.push(rejected);
        }
        batch
    }

    /// What it held back until the end.
    async fn finish(
        &mut self,
        parcel: &mut Parcel,
        flight: &Flight,
    ) -> Result<Option<Batch>, Failure> {
        let mut tries = Tries::new(&flight.errors.retry);
        let rest = loop {
            let began = flight.now();
            let result = self.transformer.finish().await;
            let took = flight.now().saturating_sub(began);
            let fuel = self.burnt();
            self.meter.worked(took, fuel);
            match result {
                Ok(rest) => break rest,
                Err(fault) => flight.wait(&self.meter, &fault, &mut tries).await?,
            }
        };
        let count = rest.as_ref().map_or(0, |b| u64::from(b.count));
        if count != self.held {
            return Err(self.broken(format!(
                "it held back {} records and returned {count} of them at the end",
                self.held
            )));
        }
        self.held = 0;
        let rest = rest.map(|batch| self.checked(batch, 0, parcel, flight));
        let rest = rest.filter(|b| b.count > 0);
        if let Some(batch) = &rest {
            self.meter.went_out(batch);
            flight.see(self.stage, batch);
        }
        Ok(rest)
    }

    fn rejected(&self, place: u64, reason: String, record: &bytes::Bytes) -> Rejected {
        Rejected {
            stage: self.stage,
            place,
            reason,
            record: record.clone(),
        }
    }

    fn meter_rejects(&self, count: usize) {
        add(&self.meter.rejected, count as u64);
    }

    fn fails(&self, fault: &Fault, flight: &Flight) -> Failure {
        fails(&self.meter, fault, &Tries::new(&flight.errors.retry))
    }

    fn broken(&self, what: String) -> Failure {
        self.meter.failed(what.clone());
        let fault = Fault::Trapped(what);
        Failure::new(fault.to_string()).within(format!(
            "transform {} ({}) broke its word",
            self.meter.name, self.meter.kind
        ))
    }
}

/// Each of the rejects is one of the records given, and none is there twice. Puts them in order.
pub(super) fn check_rejects(rejects: &mut [Reject], given: u32) -> Result<(), String> {
    if !rejects.is_sorted_by_key(|r| r.index) {
        rejects.sort_by_key(|r| r.index);
    }
    if let Some(last) = rejects.last()
        && last.index >= given
    {
        return Err(format!(
            "it rejected record {} of {given}, counted from 0",
            last.index
        ));
    }
    let pairs = rejects.iter().zip(rejects.iter().skip(1));
    match pairs
        .into_iter()
        .find(|(one, next)| one.index == next.index)
    {
        Some((twice, _)) => Err(format!("it rejected record {} twice", twice.index)),
        None => Ok(()),
    }
}

/// A batch as lines, for records to be cut from it or shown.
pub(super) fn as_lines(batch: Batch, convert: &dyn model::stage::Convert) -> Result<Batch, Fault> {
    match batch.encoding {
        Encoding::Ndjson => Ok(batch),
        Encoding::ArrowIpc => convert.convert(batch, Encoding::Ndjson),
    }
}
