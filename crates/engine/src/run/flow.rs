//! Moves data: opens the stages of a run, lays channels between them, sets one task going for the source, one for each worker and one for each sink, and waits for
//! the last of them. What each of them does is said beside it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::data::{Batch, Reader, Writer};
use model::error::Fault;
use model::pipeline::{ErrorPolicy, Flow, RunLimits};
use model::ports::{Clock, Timer};
use model::run::Part;
use model::stage::{Convert, SinkKind, TransformKind};
use model::store::Moment;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::keeping::{Keeping, Tenure};
use super::ledger::Ledger;
use super::letters::Redrive;
use super::lines::Gathered;
use super::meter::Meter;
use super::open::{Opener, Openers, Origin, Planned, fails, plan};
use super::preview::Rows;
use super::rejects::Rejects;
use super::retry::Tries;
use super::route::{Inlet, channels};
use super::sink::{Drain, Queue};
use super::source::Spring;
use super::spill::{Spill, Undelivered};
use super::tee::Tee;
use super::work::{Station, as_lines, work};
use super::{End, Failure, Job};
use crate::Engine;
use crate::live::Watched;
use crate::runs::entry::{Entry, Interrupt};
use crate::runs::kept::folder;
use crate::slot::lock;

/// What all tasks of a run share.
pub(super) struct Flight {
    pub(super) entry: Arc<Entry>,
    pub(super) errors: ErrorPolicy,
    pub(super) limits: RunLimits,
    pub(super) dry_run: bool,
    pub(super) rejects: Rejects,
    pub(super) convert: Arc<dyn Convert>,
    pub(super) timer: Arc<dyn Timer>,
    clock: Arc<dyn Clock>,
    rows: Vec<Rows>,
    /// Who watches sees what goes to the sinks.
    watched: Option<Watched>,
    /// Keeps what goes there.
    tee: Option<Arc<Tee>>,
    sinks: usize,
    /// Those of them that the spec names.
    named_sinks: usize,
    /// Sinks that have taken all there is, or have given up.
    drained: AtomicUsize,
    gone: AtomicUsize,
    /// Have the sinks been given all there is? A queue that ends before is one of a run that fails.
    handed_out: AtomicBool,
    /// Sinks that are finished, or gone.
    over: watch::Sender<usize>,
    /// May sinks finish?
    finish: watch::Sender<bool>,
    something_undelivered: AtomicBool,
    /// Is nothing more to be read?
    cut: watch::Sender<bool>,
    /// Why the source broke off.
    broken: Mutex<Option<Failure>>,
    /// Where the source is.
    pub(super) cursor: Mutex<Option<String>>,
    /// Where a run that is kept notes how far it is.
    pub(super) ledger: Option<Arc<Ledger>>,
    /// What a sink lacks that shows all or nothing: the run fails for it, once the others have everything.
    lacking: Mutex<Option<Failure>>,
}

impl Flight {
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A batch came out of a stage, or to a sink.
    pub(super) fn see(&self, stage: usize, batch: &Batch) {
        if let Some(rows) = self.rows.get(stage) {
            rows.see(batch, &*self.convert);
        }
    }

    pub(super) fn lines(&self, batch: Batch) -> Result<Batch, Fault> {
        as_lines(batch, &*self.convert)
    }

    /// A step failed: how long to wait before it is tried again.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn again(
        &self,
        meter: &Meter,
        fault: &Fault,
        tries: &mut Tries<'_>,
    ) -> Result<Duration, Failure> {
        let Some(wait) = tries.next(fault) else {
            return Err(fails(meter, fault, tries));
        };
        meter.retried(fault.to_string());
        let seconds = wait.as_secs_f64();
        let line = format!("{fault}; tried again in {seconds:.3} s");
        self.entry.log("warn", Some(&meter.name), line);
        Ok(wait)
    }

    /// The same, and waits.
    pub(super) async fn wait(
        &self,
        meter: &Meter,
        fault: &Fault,
        tries: &mut Tries<'_>,
    ) -> Result<(), Failure> {
        let wait = self.again(meter, fault, tries)?;
        self.timer.wait(wait).await;
        Ok(())
    }

    /// A sink has taken all there is: waits until all have. Only then may they finish: nothing appears of a run that fails on the way.
    pub(super) async fn drained(&self) -> Result<(), Failure> {
        let before = self.drained.fetch_add(1, Ordering::SeqCst);
        if before + 1 == self.sinks {
            if let Some(failure) = lock(&self.broken).take() {
                return Err(failure);
            }
            self.rejects.check(true)?;
            self.rejects.close().await?;
            self.finish.send_replace(true);
        }
        let mut finish = self.finish.subscribe();
        // The sender is the flight's own.
        let _gone = finish.wait_for(|finish| *finish).await;
        Ok(())
    }

    /// Nothing more is read: the source failed, or nobody is left to take it. What was read before goes on to the sinks.
    pub(super) fn cut(&self, failure: Option<Failure>) {
        if let Some(failure) = failure {
            lock(&self.broken).get_or_insert(failure);
        }
        self.cut.send_replace(true);
    }

    pub(super) fn is_cut_short(&self) -> bool {
        *self.cut.borrow()
    }

    /// What a run is interrupted for at the least: for a change only where sinks keep what they have of it. The new version could make other records of what is read again.
    pub(super) fn least_interrupt(&self) -> Interrupt {
        match &self.ledger {
            Some(ledger) if ledger.moves_on() => Interrupt::Changed,
            _ => Interrupt::Paused,
        }
    }

    /// Waits until nothing more is to be read.
    pub(super) async fn cut_short(&self) {
        let mut cut = self.cut.subscribe();
        // The sender is the flight's own.
        let _gone = cut.wait_for(|cut| *cut).await;
    }

    /// A sink has given up; are all gone by now that the spec names? Then nothing more is read.
    pub(super) fn gave_up(&self, meter: &Meter, is_silver: bool, failure: &Failure) -> bool {
        let said = failure.0.join("; ");
        self.entry
            .log("error", Some(&meter.name), format!("given up: {said}"));
        self.something_undelivered.store(true, Ordering::SeqCst);
        if is_silver {
            return false;
        }
        let before = self.gone.fetch_add(1, Ordering::SeqCst);
        let all = before + 1 == self.named_sinks;
        if all {
            self.cut(None);
        }
        all
    }

    /// A sink takes nothing in this run: is it kept for it?
    pub(super) fn left_out(&self) {
        self.something_undelivered.store(true, Ordering::SeqCst);
    }

    /// The run is to fail when all sinks have what they can have.
    pub(super) fn lacks(&self, failure: Failure) {
        lock(&self.lacking).get_or_insert(failure);
    }

    /// The last sink waits until the others are over: is the run to fail for one of them?
    pub(super) async fn others_lack(&self) -> bool {
        let mut over = self.over.subscribe();
        // The sender is the flight's own.
        let _gone = over.wait_for(|over| over + 1 >= self.sinks).await;
        lock(&self.lacking).is_some()
    }

    /// The time for what is kept.
    pub(super) fn moment(&self) -> Moment {
        self.clock.now().into()
    }

    /// The queue of a sink ended: waits for ever if that is no end.
    pub(super) async fn is_all(&self) {
        if !self.handed_out.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    fn is_all_delivered(&self) -> bool {
        !self.something_undelivered.load(Ordering::SeqCst)
    }

    fn is_whole(&self) -> bool {
        let rejected = |m: &Arc<Meter>| m.rejected.load(Ordering::Relaxed) > 0;
        self.is_all_delivered() && !self.entry.meters().iter().any(rejected)
    }
}

/// The stages of a run, ready to be opened.
struct Stages {
    source: Origin,
    transforms: Vec<Opener<dyn TransformKind>>,
    sinks: Vec<Opener<dyn SinkKind>>,
}

impl Stages {
    /// May what comes after this place in the flow be the host's own, and take a record for JSON without looking?
    fn is_taken_after(&self, stage: usize) -> bool {
        match self.transforms.get(stage) {
            // The source has the first place.
            Some(next) => !next.is_plugin() && !next.parses(),
            None => self.sinks.iter().any(|sink| !sink.is_plugin()),
        }
    }
}

impl Engine {
    /// Moves data from the source to the sinks.
    pub(super) async fn move_data(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: &Job,
        flow: &Flow,
    ) -> End {
        let prepared = async {
            let planned = plan(self, entry, job, flow)?;
            let tenure = self.tenure(entry, job, &planned).await?;
            let redrive = tenure.as_ref().and_then(|t| t.redrive.clone());
            let stages = self.stages(entry, job, &planned, redrive).await?;
            let cursor = match &tenure {
                Some(tenure) => tenure.begin.cursor.clone(),
                None => self.inbox_at(job).await?,
            };
            let flight = self.flight(entry, job, &planned, tenure.as_ref(), cursor);
            if let Some(ledger) = &flight.ledger
                && stages.transforms.iter().any(Opener::sees_all)
            {
                ledger.only_ends();
            }
            Ok((stages, flight, planned, tenure))
        };
        let (stages, flight, planned, tenure) = tokio::select! {
            biased;
            () = entry.cancelled() => return End::Cancelled,
            prepared = prepared => match prepared {
                Ok(prepared) => prepared,
                Err(failure) => return End::Failed(failure),
            },
        };
        let mut tasks = JoinSet::new();
        let mut keeping = Keeping::of(tenure);
        let mut task = keeping.task();
        let end = tokio::select! {
            biased;
            () = entry.cancelled() => End::Cancelled,
            failure = Keeping::fails(&mut task) => End::Failed(failure),
            end = set_going(job, &stages, &flight, keeping.tenure(), self, &mut tasks) => end,
        };
        // Whoever is still at work goes without a finish. Nothing of them is left when this is over.
        tasks.shutdown().await;
        let closed = flight.rejects.close().await;
        self.stages_over(entry, &planned).await;
        let shown = entry.meters().iter().zip(&flight.rows);
        if job.preview.is_some() {
            entry.set_preview(shown.map(|(meter, rows)| rows.shown(meter)).collect());
        }
        let end = match (end, closed) {
            (End::Complete(_), Err(failure)) => End::Failed(failure),
            (end, _) => end,
        };
        let cursor = lock(&flight.cursor).clone();
        match keeping.close(task, end, cursor).await {
            // It has what it read, and goes on with the rest later: that is no failure.
            End::Failed(_) if entry.is_put_off() => End::Cancelled,
            end => end,
        }
    }

    async fn stages(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: &Job,
        planned: &[Planned],
        redrive: Option<Arc<Redrive>>,
    ) -> Result<Stages, Failure> {
        let openers = Openers {
            engine: self,
            entry,
            job,
            held: Mutex::new(HashMap::new()),
        };
        let of = |part| planned.iter().filter(move |p| p.part == part);
        let mut transforms = Vec::new();
        for planned in of(Part::Transform) {
            transforms.push(openers.transform(planned).await?);
        }
        let mut sinks = Vec::new();
        for planned in of(Part::Sink) {
            sinks.push(openers.sink(planned).await?);
        }
        let source = of(Part::Source).next();
        let source = source.ok_or_else(|| Failure::new("the pipeline has no source"))?;
        let parsed_next = transforms.first().is_some_and(Opener::parses);
        let source = match redrive {
            Some(redrive) => Origin::Letters(source.meter("dead letters".into()), redrive),
            None => Origin::Source(Box::new(openers.source(source, parsed_next).await?)),
        };
        let transform_meters = transforms.iter().map(|t| &t.meter);
        let meters = std::iter::once(source.meter())
            .chain(transform_meters)
            .chain(sinks.iter().map(|s| &s.meter));
        entry.set_meters(meters.cloned().collect());
        Ok(Stages {
            source,
            transforms,
            sinks,
        })
    }

    fn flight(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        job: &Job,
        planned: &[Planned],
        tenure: Option<&Tenure>,
        cursor: Option<String>,
    ) -> Arc<Flight> {
        let ledger = tenure.map(|t| Arc::clone(&t.ledger));
        let pipeline = &job.pipeline;
        let ports = &self.ports.stages;
        let file = folder(&ports.work, &entry.id).join("rejects.ndjson");
        let rejects = Rejects::new(
            Arc::clone(entry),
            entry.meters().to_vec(),
            planned.iter().map(|p| p.policy).collect(),
            pipeline.errors.max_rejects,
            pipeline.persistence.rejects.then_some(file),
            ledger.clone(),
            Arc::clone(&self.ports.clock),
        );
        let all = || planned.iter().filter(|p| p.part == Part::Sink);
        let sinks = all().count();
        Arc::new(Flight {
            entry: Arc::clone(entry),
            errors: pipeline.errors.clone(),
            limits: pipeline.limits,
            dry_run: job.dry_run,
            rejects,
            convert: Arc::clone(&ports.natives.convert),
            timer: Arc::clone(&ports.timer),
            clock: Arc::clone(&self.ports.clock),
            rows: planned.iter().map(|_| Rows::new(job.preview)).collect(),
            watched: self.watched(entry, job),
            tee: job.tee.clone(),
            sinks,
            named_sinks: all().filter(|p| !p.is_silver()).count(),
            drained: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            handed_out: AtomicBool::new(false),
            over: watch::Sender::new(0),
            finish: watch::Sender::new(false),
            something_undelivered: AtomicBool::new(false),
            cut: watch::Sender::new(false),
            broken: Mutex::new(None),
            cursor: Mutex::new(cursor),
            ledger,
            lacking: Mutex::new(None),
        })
    }
}

type Tasks = JoinSet<Result<(), Failure>>;

/// Opens the stages, starts their tasks, and waits for all of them or the first that fails.
async fn set_going(
    job: &Job,
    stages: &Stages,
    flight: &Arc<Flight>,
    tenure: Option<&Tenure>,
    engine: &Engine,
    tasks: &mut Tasks,
) -> End {
    match start(job, stages, flight, tenure, engine, tasks).await {
        Err(failure) => return End::Failed(failure),
        Ok(()) => flight.entry.show(),
    }
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return End::Failed(failure),
            Err(error) => {
                tracing::error!(%error, "a stage broke off");
                let said = error
                    .try_into_panic()
                    .map_or_else(|_| "it was ended".into(), |p| words(&*p));
                return End::Failed(
                    Failure::new(said).within("a stage broke off: a fault of the host's own"),
                );
            }
        }
    }
    match lock(&flight.lacking).take() {
        Some(failure) => End::Failed(failure),
        None => End::Complete(flight.is_whole()),
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

async fn start(
    job: &Job,
    stages: &Stages,
    flight: &Arc<Flight>,
    tenure: Option<&Tenure>,
    engine: &Engine,
    tasks: &mut Tasks,
) -> Result<(), Failure> {
    let workers = workers(job, &stages.transforms);
    let reader = open_source(&stages.source, flight).await?;
    let mut groups = Vec::new();
    for group in grouped(&stages.transforms) {
        groups.push(open_group(group, workers, stages, flight).await?);
    }
    let drains = open_sinks(stages, flight, tenure, engine).await?;
    let room = usize::try_from(flight.limits.queue.get()).unwrap_or(1);
    // Source and sinks have one task each; a row of workers is never beside another.
    let mut width = 1;
    let widths: Vec<_> = groups.iter().map(Vec::len).chain([1]).collect();
    let mut ways = widths.into_iter().map(|next| {
        let both = width.max(next);
        width = next;
        channels(both, room.div_ceil(both))
    });
    let (first, mut from) = ways.next().unwrap_or_else(|| channels(1, room));
    let read = tenure.map_or(0, |t| t.begin.read);
    let taken = stages.is_taken_after(0);
    let spring = Spring::new(&stages.source, reader, job.limit, taken, read);
    spawn(tasks, spring.read(first, Arc::clone(flight)));
    for (rows, (to, next)) in groups.into_iter().zip(ways) {
        let (froms, tos) = if rows.len() == 1 {
            (vec![from], vec![to])
        } else {
            (from.split(), to.split())
        };
        for ((row, from), to) in rows.into_iter().zip(froms).zip(tos) {
            spawn(tasks, work(row, from, to, Arc::clone(flight)));
        }
        from = next;
    }
    let (queues, drains): (Vec<_>, Vec<_>) = drains.into_iter().unzip();
    spawn(tasks, hand_out(from, queues, Arc::clone(flight)));
    for drain in drains {
        let flight = Arc::clone(flight);
        spawn(tasks, async move {
            let done = drain.run(Arc::clone(&flight)).await;
            flight.over.send_modify(|over| *over += 1);
            done
        });
    }
    Ok(())
}

fn spawn(tasks: &mut Tasks, work: impl Future<Output = Result<(), Failure>> + Send + 'static) {
    let work = tracing::instrument::WithSubscriber::with_current_subscriber(work);
    tasks.spawn(work.in_current_span());
}

/// How many batches are worked on at once.
fn workers(job: &Job, transforms: &[Opener<dyn TransformKind>]) -> usize {
    if job.preview.is_some() || job.tee.is_some() {
        // The first rows are those of the first records only if nothing overtakes.
        return 1;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let asked = job.pipeline.limits.workers;
    let asked = asked.map_or(cores, |n| usize::try_from(n.get()).unwrap_or(cores));
    let most = transforms.iter().filter_map(Opener::most_open).min();
    asked.min(most.unwrap_or(usize::MAX)).max(1)
}

/// Transforms with their places in the flow.
type Placed<'a> = Vec<(usize, &'a Opener<dyn TransformKind>)>;

/// Rows of transforms that run side by side, and those of which there is one; each with its place in the flow.
fn grouped(transforms: &[Opener<dyn TransformKind>]) -> Vec<(bool, Placed<'_>)> {
    let mut groups: Vec<(bool, Placed<'_>)> = Vec::new();
    // The source has the first place.
    for (stage, opener) in (1..).zip(transforms) {
        let alone = opener.sees_all();
        match groups.last_mut() {
            Some((last, group)) if *last == alone => group.push((stage, opener)),
            _ => groups.push((alone, vec![(stage, opener)])),
        }
    }
    groups
}

async fn open_source(origin: &Origin, flight: &Flight) -> Result<Box<dyn Reader>, Failure> {
    let mut tries = Tries::new(&flight.errors.retry);
    let cursor = lock(&flight.cursor).clone();
    loop {
        match origin.open(cursor.clone()).await {
            Ok(reader) => return Ok(reader),
            Err(fault) => flight.wait(origin.meter(), &fault, &mut tries).await?,
        }
    }
}

/// A row for each worker.
async fn open_group(
    (alone, group): (bool, Placed<'_>),
    workers: usize,
    stages: &Stages,
    flight: &Flight,
) -> Result<Vec<Vec<Station>>, Failure> {
    let number = if alone { 1 } else { workers };
    let mut rows: Vec<Vec<Station>> = (0..number).map(|_| Vec::new()).collect();
    for (stage, opener) in group {
        let sizes = opener.sizes();
        for row in &mut rows {
            let mut tries = Tries::new(&flight.errors.retry);
            let transformer = loop {
                match opener.open().await {
                    Ok(transformer) => break transformer,
                    Err(fault) => flight.wait(&opener.meter, &fault, &mut tries).await?,
                }
            };
            row.push(Station::new(
                stage,
                opener,
                sizes.clone(),
                flight,
                stages.is_taken_after(stage),
                transformer,
            ));
        }
    }
    Ok(rows)
}

/// The sinks with their queues. One that cannot be opened now goes on trying by itself.
async fn open_sinks(
    stages: &Stages,
    flight: &Flight,
    tenure: Option<&Tenure>,
    engine: &Engine,
) -> Result<Vec<(mpsc::Sender<Batch>, Drain)>, Failure> {
    let folder = folder(&engine.ports.stages.work, &flight.entry.id);
    let room = usize::try_from(flight.limits.queue.get()).unwrap_or(1);
    let first = 1 + stages.transforms.len();
    let mut drains = Vec::new();
    for (place, opener) in stages.sinks.iter().enumerate() {
        let stage = first + place;
        let name = &opener.meter.name;
        let standing = tenure.map(|t| t.begin.of_sink(name)).unwrap_or_default();
        let is_shut = tenure.is_some_and(|t| t.is_shut(name));
        let writer = match standing.finished || is_shut {
            true => None,
            false => open_sink(opener, flight).await?,
        };
        if is_shut {
            let line = "it is given nothing: dead letters that it gave up on wait, and what comes now goes behind them";
            flight.entry.log("warn", Some(name), line.into());
            flight.gone.fetch_add(1, Ordering::SeqCst);
        }
        let (to, from) = mpsc::channel(room);
        let name = file_name(&opener.meter.name);
        let most = flight.limits.spill_bytes;
        let spill = Spill::new(folder.join(format!("{name}.spill")), most);
        let mut drain = Drain {
            stage,
            place,
            opener: opener.clone(),
            writer: None,
            standing,
            is_shut,
            partly: None,
            queue: Queue {
                from,
                spill: (stages.sinks.len() > 1).then_some(spill),
                next: None,
                closed: false,
            },
            left: Undelivered::new(folder.join(format!("{name}.undelivered.ndjson")), most),
            sizes: opener.sizes(),
            number: 0,
            seen: 0,
            fuel: 0,
        };
        drain.has_opened(writer, flight);
        drains.push((to, drain));
    }
    Ok(drains)
}

async fn open_sink(
    opener: &Opener<dyn SinkKind>,
    flight: &Flight,
) -> Result<Option<Box<dyn Writer>>, Failure> {
    if flight.dry_run {
        return Ok(None);
    }
    match opener.open().await {
        Ok(writer) => Ok(Some(writer)),
        Err(fault) if fault.is_retryable() && !fault.ends_stage() => {
            opener.meter.retried(fault.to_string());
            Ok(None)
        }
        Err(fault) => Err(opener.fails(&fault, &Tries::new(&flight.errors.retry))),
    }
}

/// A stage's name as part of a file's.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    name.chars()
        .map(|c| if plain(c) { c } else { '_' })
        .take(100)
        .collect()
}

/// Hands batches out to all sinks, in order, small ones joined where more are there already.
async fn hand_out(
    mut from: Inlet,
    queues: Vec<mpsc::Sender<Batch>>,
    flight: Arc<Flight>,
) -> Result<(), Failure> {
    use futures_util::FutureExt as _;
    let records = flight.limits.batch_records.get();
    let bytes = usize::try_from(flight.limits.batch_bytes.get()).unwrap_or(usize::MAX);
    let mut gathered = Gathered::default();
    loop {
        let next = if gathered.is_empty() {
            from.next().await
        } else {
            match from.next().now_or_never() {
                Some(next) => next,
                None => {
                    send(&queues, gathered.all(), &flight).await;
                    continue;
                }
            }
        };
        let Some(mut parcel) = next else { break };
        flight.rejects.settle(&mut parcel).await?;
        if let Some(ledger) = &flight.ledger {
            let records = parcel.batches.iter().map(|b| u64::from(b.count)).sum();
            ledger.give(records, parcel.point.take());
        }
        for batch in parcel.batches {
            let done = gathered.add(batch, records, bytes);
            send(&queues, done, &flight).await;
        }
    }
    send(&queues, gathered.all(), &flight).await;
    if let Some(watched) = &flight.watched {
        watched.end();
    }
    flight.handed_out.store(true, Ordering::SeqCst);
    Ok(())
}

async fn send(
    queues: &[mpsc::Sender<Batch>],
    batches: impl IntoIterator<Item = Batch>,
    flight: &Flight,
) {
    for batch in batches {
        if let Some(watched) = &flight.watched {
            watched.see(&batch);
        }
        if let Some(tee) = &flight.tee {
            tee.see(&batch, &*flight.convert);
        }
        for queue in queues {
            // A sink that is gone ends the run; its own task says so.
            let _gone = queue.send(batch.clone()).await;
        }
    }
}
