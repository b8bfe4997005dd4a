//! A sink of a run: takes batches from its own queue, in order. While it fails, what comes is kept on disk, so that the others need not wait; when it has given
//! up, the rest is kept for good.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::data::{Batch, Partly, Reject, Writer};
use model::error::Fault;
use model::pipeline::OnReject;
use model::stage::SinkKind;
use model::store::NewLetter;
use tokio::sync::mpsc::Receiver;

use super::Failure;
use super::flow::Flight;
use super::ledger::Standing;
use super::lines::{joined, pick, split, take};
use super::meter::{Meter, add};
use super::open::Opener;
use super::plugin::Sizes;
use super::rejects::{Kept, fails as reject_fails};
use super::retry::Tries;
use super::spill::{Spill, Undelivered};
use super::work::check_rejects;

/// Why a record is kept that was never tried.
const BEHIND: &str = "it waits behind others that the sink gave up on";
/// How long to wait for the store to take dead letters.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Drain {
    /// Its place in the flow.
    pub(super) stage: usize,
    /// Its place among the sinks.
    pub(super) place: usize,
    pub(super) opener: Opener<dyn SinkKind>,
    /// None: it is to be opened yet, or the run is dry.
    pub(super) writer: Option<Box<dyn Writer>>,
    pub(super) queue: Queue,
    pub(super) left: Undelivered,
    pub(super) sizes: Option<Arc<Sizes>>,
    /// Pushes so far.
    pub(super) number: u64,
    /// Records that came so far.
    pub(super) seen: u64,
    pub(super) fuel: u64,
    /// What it has already of an attempt before.
    pub(super) standing: Standing,
    /// What comes goes behind the dead letters that it gave up on.
    pub(super) is_shut: bool,
    /// What is safe of the piece that is given up, and the dead letters of that.
    pub(super) partly: Option<(u64, Vec<NewLetter>)>,
}

/// What waits for a sink.
pub(super) struct Queue {
    pub(super) from: Receiver<Batch>,
    /// None: it is the only sink, and nobody waits for it but the source.
    pub(super) spill: Option<Spill>,
    /// What came and found no place on disk.
    pub(super) next: Option<Batch>,
    pub(super) closed: bool,
}

/// How a step ended.
enum Step<T, F = Failure> {
    Done(T),
    GaveUp(F),
}

impl Drain {
    fn meter(&self) -> &Arc<Meter> {
        &self.opener.meter
    }

    /// Works until nothing more comes and all sinks are so far.
    pub(super) async fn run(mut self, flight: Arc<Flight>) -> Result<(), Failure> {
        while let Some(batch) = self.queue.next(&flight).await? {
            self.meter().came_in(&batch);
            flight.see(self.stage, &batch);
            if flight.dry_run {
                continue;
            }
            let mut rest = self.without_known(batch, &flight)?;
            if self.is_shut {
                self.keep(rest, BEHIND, &flight).await?;
            } else if rest.count > 0
                && let Step::GaveUp(failure) = self.deliver(&mut rest, &flight).await?
            {
                return self.give_up(failure, rest, &flight).await;
            }
        }
        if self.is_shut || self.standing.finished {
            return flight.drained().await;
        }
        if !flight.dry_run
            && let Step::GaveUp(failure) = self.opened(&flight).await?
        {
            return self.give_up(failure, super::lines::empty(), &flight).await;
        }
        flight.drained().await?;
        self.finish(&flight).await
    }

    /// What it does not have yet of a batch.
    fn without_known(&mut self, batch: Batch, flight: &Flight) -> Result<Batch, Failure> {
        let count = u64::from(batch.count);
        let known = match self.standing.finished {
            true => count,
            false => self.standing.past.min(count),
        };
        if known == 0 {
            return Ok(batch);
        }
        self.standing.past = self.standing.past.saturating_sub(known);
        self.seen += known;
        add(&self.meter().records_out, known);
        if known == count {
            return Ok(super::lines::empty());
        }
        let mut lines = flight.lines(batch).map_err(|f| self.fails(&f, flight))?;
        take(
            &mut lines,
            u32::try_from(known).unwrap_or(u32::MAX),
            usize::MAX,
        );
        Ok(lines)
    }

    /// It is open.
    pub(super) fn has_opened(&mut self, writer: Option<Box<dyn Writer>>, flight: &Flight) {
        let is_whole = writer.as_ref().is_some_and(|w| w.is_whole());
        if let (true, Some(ledger)) = (is_whole, &flight.ledger) {
            ledger.is_whole(self.place);
        }
        self.writer = writer;
        self.fuel = 0;
    }

    /// Delivers a batch, in as many pushes as it needs. What is left of it was not delivered.
    async fn deliver(&mut self, rest: &mut Batch, flight: &Flight) -> Result<Step<()>, Failure> {
        if let Step::GaveUp(failure) = self.opened(flight).await? {
            return Ok(Step::GaveUp(failure));
        }
        if self.sizes.is_some() {
            let whole = std::mem::replace(rest, super::lines::empty());
            *rest = flight.lines(whole).map_err(|f| self.fails(&f, flight))?;
        }
        while rest.count > 0 {
            let piece = match &self.sizes {
                Some(sizes) => take(rest, sizes.records(), sizes.bytes()),
                None => std::mem::replace(rest, super::lines::empty()),
            };
            match self.push(piece, flight).await? {
                Step::Done(()) => {}
                Step::GaveUp((failure, left)) => {
                    *rest = joined(left, rest);
                    return Ok(Step::GaveUp(failure));
                }
            }
        }
        Ok(Step::Done(()))
    }

    /// Delivers a piece. When it gives up it says what of it was not delivered.
    async fn push(
        &mut self,
        piece: Batch,
        flight: &Flight,
    ) -> Result<Step<(), (Failure, Batch)>, Failure> {
        let most = self.sizes.as_ref().map_or(usize::MAX, |s| s.record_bytes());
        if piece.count == 1 && piece.data.len() > most {
            let what = format!(
                "it has {} bytes, more than the plugin takes (input_bytes = {most})",
                piece.data.len()
            );
            self.settle(&piece, vec![Reject::new(0, what)], true, flight)
                .await?;
            return Ok(Step::Done(()));
        }
        let given = match self.opener.takes().wants(piece.encoding) {
            None => piece.clone(),
            Some(to) => match flight.convert.convert(piece.clone(), to) {
                Ok(turned) => turned,
                Err(fault) => {
                    let failure = self.fails(&fault, flight);
                    return Ok(Step::GaveUp((failure, piece)));
                }
            },
        };
        self.number += 1;
        let key = format!("{}/{}/{}", flight.entry.id, self.meter().name, self.number);
        let mut tries = Tries::new(&flight.errors.retry);
        let mut failing = false;
        loop {
            let Some(writer) = &mut self.writer else {
                let failure = Failure::new("the sink is not open");
                return Ok(Step::GaveUp((failure, piece)));
            };
            let began = flight.now();
            let push = writer.push(given.clone(), key.clone());
            let result = if failing {
                beside(push, &mut self.queue, flight).await
            } else {
                push.await
            };
            let took = flight.now().saturating_sub(began);
            let burnt = self.burnt();
            self.meter().worked(took, burnt);
            match result {
                Ok(rejects) => {
                    if let Some(sizes) = &self.sizes {
                        sizes.saw(given.count, burnt, took);
                    }
                    self.settle(&piece, rejects, true, flight).await?;
                    return Ok(Step::Done(()));
                }
                Err(fault) => match flight.again(self.meter(), &fault, &mut tries) {
                    Ok(wait) => self.wait(wait, flight).await,
                    Err(failure) => {
                        let left = self.partly(piece, &key, flight).await?;
                        return Ok(Step::GaveUp((failure, left)));
                    }
                },
            }
            failing = true;
        }
    }

    /// A piece is given up: counts what of it is safe all the same, and answers the rest.
    async fn partly(&mut self, piece: Batch, key: &str, flight: &Flight) -> Result<Batch, Failure> {
        let partly = self.writer.as_ref().map(|w| w.partly(key));
        let Some(Partly { done, rejects }) = partly.filter(|p| !p.done.is_empty()) else {
            return Ok(piece);
        };
        let lines = flight.lines(piece);
        let lines = lines.map_err(|f| self.fails(&f, flight))?;
        let (safe, left) = split(&lines, &done);
        // Their places among those that are done with.
        let rejects = rejects.into_iter().filter_map(|reject| {
            let index = done.binary_search(&reject.index).ok()?;
            let index = u32::try_from(index).ok()?;
            Some(Reject { index, ..reject })
        });
        self.settle(&safe, rejects.collect(), false, flight).await?;
        Ok(left)
    }

    fn burnt(&mut self) -> u64 {
        let fuel = self.writer.as_ref().map_or(0, |w| w.fuel());
        fuel.saturating_sub(std::mem::replace(&mut self.fuel, fuel))
    }

    /// Waits; what comes meanwhile is put aside.
    async fn wait(&mut self, wait: Duration, flight: &Flight) {
        beside(flight.timer.wait(wait), &mut self.queue, flight).await;
    }

    /// Opens it, if it could not be opened when the run began.
    async fn opened(&mut self, flight: &Flight) -> Result<Step<()>, Failure> {
        let mut tries = Tries::new(&flight.errors.retry);
        while self.writer.is_none() {
            match beside(self.opener.open(), &mut self.queue, flight).await {
                Ok(writer) => self.has_opened(Some(writer), flight),
                Err(fault) => match flight.again(&self.opener.meter, &fault, &mut tries) {
                    Ok(wait) => self.wait(wait, flight).await,
                    Err(failure) => return Ok(Step::GaveUp(failure)),
                },
            }
        }
        Ok(Step::Done(()))
    }

    /// Counts what was delivered, and keeps what was not. `in_order`: so was all before it.
    async fn settle(
        &mut self,
        piece: &Batch,
        mut rejects: Vec<Reject>,
        in_order: bool,
        flight: &Flight,
    ) -> Result<(), Failure> {
        let before = self.seen;
        self.seen += u64::from(piece.count);
        let gone = rejects.len() as u64;
        let out = u64::from(piece.count).saturating_sub(gone);
        add(&self.meter().records_out, out);
        if out > 0 {
            add(&self.meter().bytes_out, piece.data.len() as u64);
        }
        if rejects.is_empty() {
            return self.took(piece.count, Vec::new(), in_order, flight);
        }
        let checked = check_rejects(&mut rejects, piece.count);
        let checked = checked.and_then(|()| match rejects.iter().find(|r| r.reason.is_empty()) {
            Some(silent) => Err(format!(
                "it rejected record {} without a reason",
                silent.index
            )),
            None => Ok(()),
        });
        checked.map_err(|what| self.fails(&Fault::Trapped(what), flight))?;
        add(&self.meter().rejected, gone);
        let lines = flight.lines(piece.clone());
        let lines = lines.map_err(|f| self.fails(&f, flight))?;
        let picked = pick(&lines.data, rejects.iter().map(|r| r.index));
        let kept: Vec<Kept> = rejects
            .into_iter()
            .zip(picked)
            .map(|(reject, (index, record))| Kept {
                stage: Arc::clone(&self.meter().name),
                number: before + u64::from(index) + 1,
                reason: reject.reason,
                record: lines.data.slice_ref(record),
            })
            .collect();
        // The others of the batch are delivered, so that it cannot be skipped any more.
        let failure = match flight.rejects.policy(self.stage) {
            OnReject::Fail => kept.first().map(reject_fails),
            OnReject::Reject | OnReject::SkipBatch => None,
        };
        if let (None, Some(ledger)) = (&failure, &flight.ledger) {
            let at = flight.moment();
            let letters = kept.iter().filter_map(|kept| ledger.letter_of(kept, at));
            self.took(piece.count, letters.collect(), in_order, flight)?;
        }
        flight.rejects.keep(kept).await?;
        failure.map_or(Ok(()), Err)
    }

    /// So many records more are done with.
    fn took(
        &mut self,
        count: u32,
        letters: Vec<NewLetter>,
        in_order: bool,
        flight: &Flight,
    ) -> Result<(), Failure> {
        let Some(ledger) = &flight.ledger else {
            return Ok(());
        };
        if in_order {
            return ledger.took(self.place, count.into(), letters);
        }
        self.partly = Some((count.into(), letters));
        Ok(())
    }

    /// It takes nothing any more: what is left is kept, and so is what still comes.
    async fn give_up(
        mut self,
        failure: Failure,
        rest: Batch,
        flight: &Flight,
    ) -> Result<(), Failure> {
        // Its writer goes without a finish: what it shows only as a whole does not appear.
        let is_whole = match self.writer.take() {
            Some(writer) => writer.is_whole(),
            None => self.opener.replaces(),
        };
        let failure = match is_whole {
            true => self.nothing_of_it(failure),
            false => failure,
        };
        let all = flight.gave_up(self.meter(), self.opener.is_silver(), &failure);
        let why = failure.0.first().cloned().unwrap_or_default();
        if let Some(ledger) = &flight.ledger {
            if all {
                // What it did not take is read again when the run is tried again.
                return Err(failure);
            }
            if is_whole {
                flight.lacks(failure);
                return self.pass_over(rest, flight).await;
            }
            if let Some((count, letters)) = self.partly.take() {
                ledger.took(self.place, count, letters)?;
            }
        }
        self.keep(rest, &why, flight).await?;
        while let Some(batch) = self.queue.next(flight).await? {
            self.meter().came_in(&batch);
            self.keep(batch, &why, flight).await?;
        }
        flight.drained().await?;
        if all { Err(failure) } else { Ok(()) }
    }

    /// Counts what still comes, so that the others get it.
    async fn pass_over(mut self, rest: Batch, flight: &Flight) -> Result<(), Failure> {
        add(&self.meter().undelivered, rest.count.into());
        while let Some(batch) = self.queue.next(flight).await? {
            self.meter().came_in(&batch);
            add(&self.meter().undelivered, batch.count.into());
        }
        flight.drained().await
    }

    /// What a sink took that shows it only as a whole is not there: it counts as undelivered, and is in no file.
    fn nothing_of_it(&self, failure: Failure) -> Failure {
        let meter = self.meter();
        let taken = meter.records_out.swap(0, Ordering::Relaxed);
        meter.bytes_out.store(0, Ordering::Relaxed);
        if taken == 0 {
            return failure;
        }
        add(&meter.undelivered, taken);
        failure.within(format!(
            "the {taken} records that sink {} took before appear nowhere either, for it shows all or nothing: run it again",
            meter.name
        ))
    }

    async fn keep(&mut self, batch: Batch, why: &str, flight: &Flight) -> Result<(), Failure> {
        if batch.count == 0 {
            return Ok(());
        }
        let lines = flight.lines(batch).map_err(|f| self.fails(&f, flight))?;
        add(&self.meter().undelivered, lines.count.into());
        if let Some(ledger) = &flight.ledger {
            flight.left_out();
            ledger.gave_up(self.place, self.seen, &lines, why, flight.moment())?;
            self.seen += u64::from(lines.count);
            // It is not to grow faster than the store takes it.
            while ledger.is_heavy() {
                flight.timer.wait(PAUSE).await;
            }
            return Ok(());
        }
        match self.left.keep(&lines).await {
            Ok(false) => {}
            Ok(true) => self.meter().kept_in(self.left.path.display().to_string()),
            // The other sinks are not to suffer for it.
            Err(what) => {
                let what = format!(
                    "from here on it is counted and not kept what it does not take: {what}"
                );
                flight.entry.log("error", Some(&self.meter().name), what);
            }
        }
        Ok(())
    }

    async fn finish(mut self, flight: &Flight) -> Result<(), Failure> {
        let Some(mut writer) = self.writer.take() else {
            return Ok(());
        };
        // Of a run that fails nothing is kept: the next one may bring the same records.
        if self.opener.is_silver() && flight.others_lack().await {
            return Ok(());
        }
        let mut tries = Tries::new(&flight.errors.retry);
        loop {
            let began = flight.now();
            let result = writer.finish().await;
            let took = flight.now().saturating_sub(began);
            let burnt = writer.fuel().saturating_sub(self.fuel);
            self.fuel += burnt;
            self.meter().worked(took, burnt);
            let Err(fault) = result else {
                if let Some(ledger) = &flight.ledger {
                    ledger.finished(self.place);
                }
                return Ok(());
            };
            match flight.again(self.meter(), &fault, &mut tries) {
                Ok(wait) => flight.timer.wait(wait).await,
                Err(failure) => {
                    let failure = failure.within("at its end: what it wrote may not be there");
                    let failure = match writer.is_whole() {
                        true => self.nothing_of_it(failure),
                        false => failure,
                    };
                    if flight.gave_up(self.meter(), self.opener.is_silver(), &failure) {
                        return Err(failure);
                    }
                    if flight.ledger.is_some() {
                        flight.lacks(failure);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn fails(&self, fault: &Fault, flight: &Flight) -> Failure {
        let none = Tries::new(&flight.errors.retry);
        self.opener.fails(fault, &none)
    }
}

impl Queue {
    /// The next batch, those on disk first.
    async fn next(&mut self, flight: &Flight) -> Result<Option<Batch>, Failure> {
        if let Some(batch) = self.put_aside().await? {
            return Ok(Some(batch));
        }
        let next = if self.closed {
            None
        } else {
            self.from.recv().await
        };
        if next.is_none() {
            flight.is_all().await;
        }
        Ok(next)
    }

    async fn put_aside(&mut self) -> Result<Option<Batch>, Failure> {
        if let Some(spill) = &mut self.spill {
            let taken = spill.take().await;
            let taken = taken.map_err(|what| {
                Failure::new(what).within("what waited for a sink cannot be read back")
            })?;
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(self.next.take())
    }
}

/// Waits for some work of a sink that fails. What comes for it meanwhile goes to disk, as far as there is room, so that others need not wait.
async fn beside<T>(work: impl Future<Output = T>, queue: &mut Queue, flight: &Flight) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        let Some(spill) = &mut queue.spill else {
            return work.await;
        };
        let takes = spill.has_room() && !queue.closed && queue.next.is_none();
        tokio::select! {
            biased;
            done = &mut work => return done,
            batch = queue.from.recv(), if takes => match batch {
                None => queue.closed = true,
                Some(batch) => if let Err((batch, what)) = spill.put(batch).await {
                    queue.next = Some(batch);
                    flight.entry.log("warn", None, format!("what waits for a sink cannot be put on disk: {what}"));
                },
            },
        }
    }
}
