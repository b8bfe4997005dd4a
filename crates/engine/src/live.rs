//! The newest records of each pipeline, for people who watch: a bounded cache of what last went to its sinks, and a stream of what goes there now. Nobody is waited for: what moves faster than it
//! can be shown is counted, and its newest records are shown.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::data::{Batch, Encoding};
use model::events::{Event, EventBus, Topic};
use model::exchange::Cause;
use model::id::PipelineId;
use model::ports::Clock;
use model::run::RunId;
use model::stage::Convert;
use serde_json::{Value, json};

use crate::Engine;
use crate::bus::LocalBus;
use crate::run::Job;
use crate::run::lines::lines;
use crate::run::preview::row;
use crate::runs::entry::Entry;
use crate::slot::lock;

/// Most records that one event shows.
const SHOWN: usize = 100;
/// Most bytes of one of them; of a longer one its first bytes are shown, as a text.
const RECORD: usize = 16 * 1024;
/// The shortest time between two events of one run.
const PAUSE: Duration = Duration::from_millis(50);
/// Most events that are kept of one pipeline.
const KEPT: usize = 200;
/// Most bytes of them.
const KEPT_BYTES: usize = 512 * 1024;
/// Most pipelines of which events are kept; the one that was silent for the longest time gives way.
const PIPELINES: usize = 1_000;

/// What was seen of all pipelines.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<HashMap<PipelineId, Arc<LocalBus>>>);

/// A record that went to the sinks of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Recent {
    /// The run.
    pub run: String,
    /// When it went, in milliseconds since 1970.
    pub time_ms: u64,
    /// The record; one that is no JSON, or too long, as a text.
    pub record: Value,
}

impl Live {
    fn of(&self, id: &PipelineId, clock: &Arc<dyn Clock>) -> Arc<LocalBus> {
        let mut all = lock(&self.0);
        if let Some(bus) = all.get(id) {
            return Arc::clone(bus);
        }
        if all.len() >= PIPELINES {
            // Who listens keeps the bus; that is no reason to keep it here.
            let silent = all.iter().min_by_key(|(_, bus)| bus.last());
            if let Some(id) = silent.map(|(id, _)| id.clone()) {
                all.remove(&id);
            }
        }
        let bus = Arc::new(LocalBus::bounded(Arc::clone(clock), KEPT, KEPT_BYTES));
        all.insert(id.clone(), Arc::clone(&bus));
        bus
    }
}

impl Engine {
    /// The stream of a pipeline's new records. Each event's payload is `{run_id, count, records}`: how many went to the sinks since the event before, and the newest of them, at most 100.
    #[must_use]
    pub fn live(&self, id: &PipelineId) -> Arc<LocalBus> {
        self.live.of(id, &self.ports.clock)
    }

    /// The last records that went to the sinks of a pipeline, the newest first, at most `limit`. What is kept is bounded: some hundreds of records, half a megabyte.
    #[must_use]
    pub fn recent(&self, id: &PipelineId, limit: usize) -> Vec<Recent> {
        let bus = lock(&self.live.0).get(id).cloned();
        let events = bus.map_or_else(Vec::new, |bus| bus.kept());
        let records = events.iter().flat_map(|event| records(event));
        records.take(limit).collect()
    }
}

impl Engine {
    /// What goes to the sinks of a run, if it is shown: on a host that keeps recent records, where sinks get any.
    pub(crate) fn watched(&self, entry: &Entry, job: &Job) -> Option<Watched> {
        if !self.options.runs.live || job.dry_run {
            return None;
        }
        Watched::new(self, &job.pipeline.id, &entry.id)
    }
}

/// What is read of an event's payload.
#[derive(serde::Deserialize)]
struct Told {
    run_id: String,
    records: Vec<Value>,
}

/// The records of an event, the newest first.
fn records(event: &Event) -> Vec<Recent> {
    let payload = serde_json::from_str::<Told>(&event.payload);
    let Ok(Told { run_id, records }) = payload else {
        return Vec::new();
    };
    let since = event.at.duration_since(std::time::UNIX_EPOCH);
    let time_ms = since.map_or(0, |s| u64::try_from(s.as_millis()).unwrap_or(u64::MAX));
    let recent = records.into_iter().rev().map(|record| Recent {
        run: run_id.clone(),
        time_ms,
        record,
    });
    recent.collect()
}

/// What one run shows of the records that go to its sinks.
#[derive(Debug)]
pub(crate) struct Watched {
    bus: Arc<LocalBus>,
    topic: Topic,
    run: RunId,
    clock: Arc<dyn Clock>,
    convert: Arc<dyn Convert>,
    seen: Mutex<Seen>,
}

/// What was not shown yet.
#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// The newest, at least [`SHOWN`] records where there were as many.
    tail: VecDeque<Batch>,
    /// In them.
    records: usize,
    shown: Option<Duration>,
}

impl Watched {
    /// Of a run of this pipeline.
    fn new(engine: &Engine, pipeline: &PipelineId, run: &RunId) -> Option<Self> {
        Some(Self {
            bus: engine.live.of(pipeline, &engine.ports.clock),
            topic: Topic::new(&format!("weir.pipeline.{pipeline}.records")).ok()?,
            run: run.clone(),
            clock: Arc::clone(&engine.ports.clock),
            convert: Arc::clone(&engine.ports.stages.natives.convert),
            seen: Mutex::default(),
        })
    }

    /// A batch goes to the sinks.
    pub(crate) fn see(&self, batch: &Batch) {
        let mut seen = lock(&self.seen);
        seen.add(batch);
        let now = self.clock.monotonic();
        let due = seen.shown.is_none_or(|at| now.saturating_sub(at) >= PAUSE);
        if due {
            seen.shown = Some(now);
            self.show(&mut seen);
        }
    }

    /// Nothing more comes: shows what was not shown yet.
    pub(crate) fn end(&self) {
        let mut seen = lock(&self.seen);
        if seen.count > 0 {
            self.show(&mut seen);
        }
    }

    fn show(&self, seen: &mut Seen) {
        let records = seen.newest(&*self.convert);
        let payload = json!({"run_id": self.run, "count": seen.count, "records": records});
        (seen.count, seen.records) = (0, 0);
        seen.tail.clear();
        let (topic, origin) = (self.topic.clone(), Arc::from("weir"));
        self.bus
            .publish(topic, origin, payload.to_string().into(), Cause::default());
    }
}

impl Seen {
    fn add(&mut self, batch: &Batch) {
        self.count += u64::from(batch.count);
        self.records += batch.count as usize;
        self.tail.push_back(batch.clone());
        while let Some(first) = self.tail.front()
            && self.records - first.count as usize >= SHOWN
        {
            self.records -= first.count as usize;
            self.tail.pop_front();
        }
    }

    /// In the order they went.
    fn newest(&self, convert: &dyn Convert) -> Vec<Value> {
        let as_lines = |batch: &Batch| match batch.encoding {
            Encoding::Ndjson => Some(batch.data.clone()),
            Encoding::ArrowIpc => {
                let converted = convert.convert(batch.clone(), Encoding::Ndjson);
                converted.ok().map(|batch| batch.data)
            }
        };
        let texts: Vec<_> = self.tail.iter().filter_map(as_lines).collect();
        let skip = self.records.saturating_sub(SHOWN);
        let all = texts.iter().flat_map(|text| lines(text));
        all.skip(skip).map(|line| row(line, RECORD)).collect()
    }
}
