//! What is counted of runs, by pipeline. Pipelines come over the network, so that only so many have series of their own.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Mutex;

use model::run::{RunRecord, RunState};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use crate::run::Counts;
use crate::runs::book::Book;
use crate::slot::lock;

/// Most pipelines with series of their own; the runs of all others are counted together.
const PIPELINES: usize = 200;
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
}

impl Default for OfPipeline {
    fn default() -> Self {
        Self {
            runs: [0; ENDS.len()],
            durations: Histogram::new(BUCKETS),
            records: [0; 3],
            bytes: [0; 2],
        }
    }
}

impl RunMeters {
    /// A run is over. What a composition moves is counted by its parts.
    pub(crate) fn over(&self, run: &RunRecord) {
        let mut all = lock(&self.0);
        let name = run.pipeline.as_str();
        let known = all.contains_key(name) || all.len() < PIPELINES;
        let name = if known { name } else { OTHERS };
        let of = all.entry(name.to_owned()).or_default();
        for (end, n) in ENDS.iter().zip(&mut of.runs) {
            *n += u64::from(*end == run.state);
        }
        let duration = std::time::Duration::from_millis(run.duration_ms);
        of.durations.observe(duration.as_secs_f64());
        let counts = Counts::of(run);
        let records = [counts.records_in, counts.records_out, counts.rejected];
        for (sum, n) in of.records.iter_mut().zip(records) {
            *sum = sum.saturating_add(n);
        }
        for (sum, n) in of.bytes.iter_mut().zip([counts.bytes_in, counts.bytes_out]) {
            *sum = sum.saturating_add(n);
        }
    }

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
        Ok(())
    }
}

fn count(out: &mut MetricEncoder<'_>, labels: &[(&str, &str)], n: u64) -> Result<(), Error> {
    let mut out = out.encode_family(&labels)?;
    out.encode_counter::<[(&str, &str); 0], _, u64>(&n, None)
}
