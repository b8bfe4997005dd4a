//! The names of all metrics, in one enum, and how they are written when they are asked for.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use model::plugin::Usage;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;

use super::runs::RunMeters;
use super::{Call, FAULTS, Loads, Outcome};
use crate::catalog::Catalog;
use crate::guest_metrics::GuestMetrics;
use crate::runs::book::Book;
use crate::slot::Slot;
use crate::status::{PluginState, state_of};

/// Every metric there is.
#[derive(Debug, Clone, Copy)]
enum Metric {
    Calls,
    CallDuration,
    Faults,
    Quarantines,
    Restarts,
    InFlight,
    Fuel,
    MemoryHighWater,
    Instances,
    IdleInstances,
    InstancesMade,
    HostCalls,
    HttpRequests,
    BytesIn,
    BytesOut,
    LogLines,
    LogDropped,
    Denials,
    CpuTime,
    EventsWaiting,
    EventsDropped,
    Loads,
    Plugins,
}

impl Metric {
    const ALL: [Self; 23] = [
        Self::Calls,
        Self::CallDuration,
        Self::Faults,
        Self::Quarantines,
        Self::Restarts,
        Self::InFlight,
        Self::Fuel,
        Self::MemoryHighWater,
        Self::Instances,
        Self::IdleInstances,
        Self::InstancesMade,
        Self::HostCalls,
        Self::HttpRequests,
        Self::BytesIn,
        Self::BytesOut,
        Self::LogLines,
        Self::LogDropped,
        Self::Denials,
        Self::CpuTime,
        Self::EventsWaiting,
        Self::EventsDropped,
        Self::Loads,
        Self::Plugins,
    ];

    /// Name (the writer adds `_total` to counters) and help.
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Calls => ("weir_plugin_calls", "Calls that ended, by how they ended"),
            Self::CallDuration => (
                "weir_plugin_call_duration_seconds",
                "How long calls took, waiting for their turn and for the client included",
            ),
            Self::Faults => ("weir_plugin_faults", "Traps and limits reached, by kind"),
            Self::Quarantines => (
                "weir_plugin_quarantines",
                "How often the plugin crashed and was left alone",
            ),
            Self::Restarts => (
                "weir_plugin_restarts",
                "How often the plugin was started again after a crash or a start that failed",
            ),
            Self::InFlight => ("weir_plugin_calls_in_flight", "Calls under way"),
            Self::Fuel => ("weir_plugin_fuel", "Fuel burnt"),
            Self::MemoryHighWater => (
                "weir_plugin_memory_high_water_bytes",
                "Largest memory of an instance",
            ),
            Self::Instances => ("weir_plugin_instances", "Instances alive"),
            Self::IdleInstances => (
                "weir_plugin_idle_instances",
                "Instances that wait for a call",
            ),
            Self::InstancesMade => ("weir_plugin_instances_made", "Instances made"),
            Self::HostCalls => ("weir_plugin_host_calls", "Host functions called"),
            Self::HttpRequests => ("weir_plugin_http_requests", "Outgoing HTTP requests"),
            Self::BytesIn => ("weir_plugin_in_bytes", "Bytes handed to calls"),
            Self::BytesOut => ("weir_plugin_out_bytes", "Bytes that came out of calls"),
            Self::LogLines => ("weir_plugin_log_lines", "Lines logged"),
            Self::LogDropped => (
                "weir_plugin_log_lines_dropped",
                "Lines dropped over the limit",
            ),
            Self::Denials => ("weir_plugin_denials", "Uses of what was not granted"),
            Self::CpuTime => ("weir_plugin_cpu_microseconds", "CPU time of its calls"),
            Self::EventsWaiting => ("weir_plugin_events_waiting", "Events that wait for it"),
            Self::EventsDropped => (
                "weir_plugin_events_dropped",
                "Events dropped because too many waited",
            ),
            Self::Loads => (
                "weir_plugin_loads",
                "Loads of components, by how they ended",
            ),
            Self::Plugins => (
                "weir_plugins",
                "Component files, by what their plugin is doing",
            ),
        }
    }

    fn kind(self) -> MetricType {
        match self {
            Self::CallDuration => MetricType::Histogram,
            Self::InFlight
            | Self::MemoryHighWater
            | Self::Instances
            | Self::IdleInstances
            | Self::EventsWaiting
            | Self::Plugins => MetricType::Gauge,
            Self::Calls
            | Self::Faults
            | Self::Quarantines
            | Self::Restarts
            | Self::Fuel
            | Self::InstancesMade
            | Self::HostCalls
            | Self::HttpRequests
            | Self::BytesIn
            | Self::BytesOut
            | Self::LogLines
            | Self::LogDropped
            | Self::Denials
            | Self::CpuTime
            | Self::EventsDropped
            | Self::Loads => MetricType::Counter,
        }
    }

    /// The value of a metric that is one number a plugin.
    fn number(self, usage: &Usage, slot: &Slot) -> Option<u64> {
        Some(match self {
            Self::InFlight => slot.in_flight(),
            Self::Quarantines => slot.meters.quarantines.get(),
            Self::Restarts => slot.meters.restarts.get(),
            Self::Fuel => usage.fuel,
            Self::MemoryHighWater => usage.memory_high_water,
            Self::Instances => usage.instances,
            Self::IdleInstances => usage.idle_instances,
            Self::InstancesMade => usage.instances_made,
            Self::HostCalls => usage.host_calls,
            Self::HttpRequests => usage.http_requests,
            Self::BytesIn => usage.bytes_in,
            Self::BytesOut => usage.bytes_out,
            Self::LogLines => usage.log_lines,
            Self::LogDropped => usage.log_dropped,
            Self::Denials => usage.denials,
            Self::CpuTime => usage.cpu_us,
            Self::EventsWaiting => slot.events.len() as u64,
            Self::EventsDropped => slot.events.dropped(),
            Self::Calls | Self::CallDuration | Self::Faults | Self::Loads | Self::Plugins => {
                return None;
            }
        })
    }
}

/// Writes all metrics when they are asked for.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) catalog: Arc<ArcSwap<Catalog>>,
    pub(crate) loads: Arc<Loads>,
    pub(crate) guests: Arc<GuestMetrics>,
    pub(crate) runs: Arc<RunMeters>,
    pub(crate) book: Arc<Book>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let catalog = self.catalog.load_full();
        let slots: Vec<(&Arc<Slot>, Usage)> =
            catalog.slots().map(|(s, _)| (s, s.usage())).collect();
        for metric in Metric::ALL {
            let (name, help) = metric.text();
            let mut out = encoder.encode_descriptor(name, help, None, metric.kind())?;
            match metric {
                Metric::Loads => {
                    for (outcome, n) in [("ok", &self.loads.ok), ("failed", &self.loads.failed)] {
                        let n = n.load(Ordering::Relaxed);
                        number(&mut out, metric, &[("outcome", outcome)], n)?;
                    }
                }
                Metric::Plugins => {
                    for state in PluginState::ALL {
                        let is = |e: &&_| state_of(e) == state;
                        let n = catalog.entries.values().filter(is).count() as u64;
                        number(&mut out, metric, &[("state", state.as_str())], n)?;
                    }
                }
                _ => {
                    for (slot, usage) in &slots {
                        of_plugin(&mut out, metric, slot, usage)?;
                    }
                }
            }
        }
        self.runs.encode(&mut encoder, &self.book)?;
        self.guests.encode(&mut encoder)
    }
}

/// What one plugin has of a metric. Calls and faults that never happened are left out.
fn of_plugin(
    out: &mut MetricEncoder<'_>,
    metric: Metric,
    slot: &Slot,
    usage: &Usage,
) -> Result<(), Error> {
    let plugin = ("plugin", slot.id.as_str());
    if let Some(n) = metric.number(usage, slot) {
        return number(out, metric, &[plugin], n);
    }
    if let Metric::Faults = metric {
        for (code, counter) in FAULTS.iter().zip(&slot.meters.faults) {
            if counter.get() > 0 {
                number(out, metric, &[plugin, ("kind", code)], counter.get())?;
            }
        }
        return Ok(());
    }
    for (call, meters) in Call::ALL.iter().zip(&slot.meters.calls) {
        let call = ("call", call.as_str());
        if let Metric::CallDuration = metric {
            let refused = Outcome::Refused as usize;
            let others = meters
                .outcomes
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != refused);
            if others.map(|(_, c)| c.get()).sum::<u64>() > 0 {
                meters
                    .durations
                    .encode(out.encode_family(&[plugin, call])?)?;
            }
            continue;
        }
        for (outcome, counter) in Outcome::ALL.iter().zip(&meters.outcomes) {
            if counter.get() > 0 {
                let labels = [plugin, call, ("outcome", outcome.as_str())];
                number(out, metric, &labels, counter.get())?;
            }
        }
    }
    Ok(())
}

fn number(
    out: &mut MetricEncoder<'_>,
    metric: Metric,
    labels: &[(&str, &str)],
    n: u64,
) -> Result<(), Error> {
    let mut out = out.encode_family(&labels)?;
    if matches!(metric.kind(), MetricType::Gauge) {
        out.encode_gauge(&n)
    } else {
        out.encode_counter::<[(&str, &str); 0], _, u64>(&n, None)
    }
}
