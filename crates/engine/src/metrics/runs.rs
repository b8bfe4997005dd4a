//! What is counted of runs and webhooks, and what waits or is kept, by pipeline. Pipelines come over the network, so that only so many have series of their own.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Mutex;

use model::bronze::{Segment, SegmentState};
use model::id::PipelineId;
use model::run::{RunRecord, RunState};
use model::store::Waiting;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use crate::run::Counts;
use crate::runs::book::Book;
use crate::slot::lock;

/// Most pipelines with series of their own; the runs of all others are counted together.
pub(crate) const PIPELINES: usize = 200;
/// What those others are called: no pipeline's id begins so.
const OTHERS: &str = "_others";
/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 10] = [
    0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0,
];
const ENDS: [RunState; 4] = [
    RunState::Succeeded,
    RunState::Partial,
    RunState::Failed,
    RunState::Cancelled,
];

#[derive(Debug, Default)]
pub(crate) struct RunMeters(Mutex<BTreeMap<String, OfPipeline>>);

#[derive(Debug)]
struct OfPipeline {
    runs: [u64; ENDS.len()],
    durations: Histogram,
    records: [u64; 3],
    bytes: [u64; 2],
    /// Requests to its webhook, by what became of them.
    webhooks: BTreeMap<&'static str, u64>,
    /// Dead letters that wait: rejected and undelivered ones.
    letters: [u64; 2],
    /// Sinks that gave up.
    circuits: u64,
    /// Raw payloads: bytes on disk and in the archive, and segments that are damaged.
    raw_bytes: u64,
    raw_damaged: u64,
}

impl Default for OfPipeline {
    fn default() -> Self {
        Self {
            runs: [0; ENDS.len()],
            durations: Histogram::new(BUCKETS),
            records: [0; 3],
            bytes: [0; 2],
            webhooks: BTreeMap::new(),
            letters: [0; 2],
            circuits: 0,
            raw_bytes: 0,
            raw_damaged: 0,
        }
    }
}

impl RunMeters {
    fn of<T>(&self, pipeline: &PipelineId, count: impl FnOnce(&mut OfPipeline) -> T) -> T {
        let mut all = lock(&self.0);
        let name = pipeline.as_str();
        let known = all.contains_key(name) || all.len() < PIPELINES;
        let name = if known { name } else { OTHERS };
        if let Some(of) = all.get_mut(name) {
            return count(of);
        }
        count(all.entry(name.to_owned()).or_default())
    }

    /// A request to a webhook was answered so.
    pub(crate) fn webhook(&self, pipeline: &PipelineId, outcome: &'static str) {
        self.of(pipeline, |of| *of.webhooks.entry(outcome).or_default() += 1);
    }

    /// What waits of these pipelines' dead letters; of no other one any does.
    pub(crate) fn letters(&self, all: &[(PipelineId, Vec<Waiting>)]) {
        for of in lock(&self.0).values_mut() {
            (of.letters, of.circuits) = ([0; 2], 0);
        }
        for (pipeline, waiting) in all {
            self.of(pipeline, |of| {
                for w in waiting {
                    let [rejected, undelivered] = &mut of.letters;
                    let kind = if w.undelivered { undelivered } else { rejected };
                    *kind += w.letters;
                    of.circuits += u64::from(w.undelivered);
                }
            });
        }
    }

    /// All segments of raw payloads.
    pub(crate) fn raw(&self, segments: &[Segment]) {
        for of in lock(&self.0).values_mut() {
            (of.raw_bytes, of.raw_damaged) = (0, 0);
        }
        for segment in segments {
            let is_damaged = matches!(segment.state, SegmentState::Quarantined { .. });
            self.of(&segment.pipeline, |of| {
                of.raw_bytes += segment.stored;
                of.raw_damaged += u64::from(is_damaged);
            });
        }
    }

    /// A run is over. What a composition moves is counted by its parts.
    pub(crate) fn over(&self, run: &RunRecord) {
        self.of(&run.pipeline, |of| of.over(run));
    }
}

impl OfPipeline {
    fn over(&mut self, run: &RunRecord) {
        for (end, n) in ENDS.iter().zip(&mut self.runs) {
            *n += u64::from(*end == run.state);
        }
        let duration = std::time::Duration::from_millis(run.duration_ms);
        self.durations.observe(duration.as_secs_f64());
        let counts = Counts::of(run);
        let records = [counts.records_in, counts.records_out, counts.rejected];
        for (sum, n) in self.records.iter_mut().zip(records) {
            *sum = sum.saturating_add(n);
        }
        for (sum, n) in self
            .bytes
            .iter_mut()
            .zip([counts.bytes_in, counts.bytes_out])
        {
            *sum = sum.saturating_add(n);
        }
    }
}

impl RunMeters {
    pub(crate) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        book: &Book,
    ) -> Result<(), Error> {
        let all = lock(&self.0);
        let name = "weir_runs";
        let help = "Runs of pipelines that ended, by how they ended";
        let mut out = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (pipeline, of) in all.iter() {
            for (end, n) in ENDS.iter().zip(of.runs) {
                let labels = [("pipeline", pipeline.as_str()), ("state", end.as_str())];
                count(&mut out, &labels, n)?;
            }
        }
        let name = "weir_runs_under_way";
        let help = "Runs that wait for their turn or are at work";
        let mut out = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (state, n) in book.under_way() {
            let labels = [("state", state.as_str())];
            out.encode_family(&labels)?.encode_gauge(&n)?;
        }
        let name = "weir_run_duration_seconds";
        let help = "How long runs took";
        let mut out = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (pipeline, of) in all.iter() {
            let labels = [("pipeline", pipeline.as_str())];
            of.durations.encode(out.encode_family(&labels)?)?;
        }
        let name = "weir_run_records";
        let help = "Records that runs read, delivered and rejected";
        let mut out = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (pipeline, of) in all.iter() {
            for (what, n) in ["in", "out", "rejected"].iter().zip(of.records) {
                count(
                    &mut out,
                    &[("pipeline", pipeline.as_str()), ("what", what)],
                    n,
                )?;
            }
        }
        let name = "weir_run_data_bytes";
        let help = "Bytes of records that runs read and delivered";
        let mut out = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (pipeline, of) in all.iter() {
            for (what, n) in ["in", "out"].iter().zip(of.bytes) {
                count(
                    &mut out,
                    &[("pipeline", pipeline.as_str()), ("what", what)],
                    n,
                )?;
            }
        }
        encode_kept(encoder, &all)
    }
}

type Value = fn(&OfPipeline) -> u64;

/// What webhooks answered, what waits, and what is kept.
fn encode_kept(
    encoder: &mut DescriptorEncoder<'_>,
    all: &BTreeMap<String, OfPipeline>,
) -> Result<(), Error> {
    let name = "weir_webhook_requests";
    let help = "Requests to webhooks, by what became of them";
    let mut out = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (pipeline, of) in all {
        for (outcome, n) in &of.webhooks {
            let labels = [("pipeline", pipeline.as_str()), ("outcome", outcome)];
            count(&mut out, &labels, *n)?;
        }
    }
    let name = "weir_dead_letters";
    let help = "Dead letters that wait, looked at once a minute";
    let mut out = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (pipeline, of) in all {
        for (kind, n) in ["rejected", "undelivered"].iter().zip(&of.letters) {
            let labels = [("pipeline", pipeline.as_str()), ("kind", kind)];
            out.encode_family(&labels)?.encode_gauge(n)?;
        }
    }
    let gauges: [(_, _, Value); 3] = [
        (
            "weir_open_circuits",
            "Sinks that gave up and are tried again by themselves, looked at once a minute",
            |of| of.circuits,
        ),
        (
            "weir_raw_stored_bytes",
            "Bytes that raw payloads take, compressed, looked at once a minute",
            |of| of.raw_bytes,
        ),
        (
            "weir_raw_damaged_segments",
            "Segments of raw payloads that were put aside, looked at once a minute",
            |of| of.raw_damaged,
        ),
    ];
    for (name, help, value) in gauges {
        let mut out = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (pipeline, of) in all {
            let labels = [("pipeline", pipeline.as_str())];
            out.encode_family(&labels)?.encode_gauge(&value(of))?;
        }
    }
    Ok(())
}

fn count(out: &mut MetricEncoder<'_>, labels: &[(&str, &str)], n: u64) -> Result<(), Error> {
    let mut out = out.encode_family(&labels)?;
    out.encode_counter::<[(&str, &str); 0], _, u64>(&n, None)
}
