//! All metrics of the engine: their names in one enum, the counters of one plugin, and how they are written. Serving them is the server's business.
//!
//! A plugin's counters live in its slot, so a call counts without a look-up, and a plugin that is gone leaves no series behind.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::plugin::Usage;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::catalog::Catalog;
use crate::slot::Slot;
use crate::status::{PluginState, state_of};

/// Upper bounds of the buckets of call durations, in seconds: from a warm call to one that waits for a slow model.
const BUCKETS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0,
    60.0,
];

/// The calls that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Call {
    Chat,
    Inlet,
    Outlet,
    Models,
    Valves,
    Start,
    Stop,
    Snapshot,
    Restore,
}

impl Call {
    const ALL: [Self; 9] = [
        Self::Chat,
        Self::Inlet,
        Self::Outlet,
        Self::Models,
        Self::Valves,
        Self::Start,
        Self::Stop,
        Self::Snapshot,
        Self::Restore,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Inlet => "inlet",
            Self::Outlet => "outlet",
            Self::Models => "models",
            Self::Valves => "valves",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Outcome {
    Ok,
    /// The plugin said no.
    Failed,
    /// A trap or a limit.
    Fault,
    /// The host refused it.
    Refused,
    /// The client left.
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Ok,
        Self::Failed,
        Self::Fault,
        Self::Refused,
        Self::Cancelled,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Fault => "fault",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Codes of faults that count against a plugin (`Fault::code`).
const FAULTS: [&str; 5] = [
    "out_of_fuel",
    "out_of_memory",
    "deadline_exceeded",
    "limit_reached",
    "trapped",
];

/// The counters of one plugin.
#[derive(Debug)]
pub(crate) struct Meters {
    calls: [CallMeters; Call::ALL.len()],
    faults: [Counter; FAULTS.len()],
    quarantines: Counter,
}

#[derive(Debug)]
struct CallMeters {
    outcomes: [Counter; Outcome::ALL.len()],
    durations: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            calls: std::array::from_fn(|_| CallMeters {
                outcomes: std::array::from_fn(|_| Counter::default()),
                durations: Histogram::new(BUCKETS),
            }),
            faults: std::array::from_fn(|_| Counter::default()),
            quarantines: Counter::default(),
        }
    }
}

impl Meters {
    /// A call ended.
    pub(crate) fn call(&self, call: Call, outcome: Outcome, took: Duration) {
        if let Some(meters) = self.calls.get(call as usize) {
            if let Some(counter) = meters.outcomes.get(outcome as usize) {
                counter.inc();
            }
            if outcome != Outcome::Refused {
                meters.durations.observe(took.as_secs_f64());
            }
        }
    }

    /// A call ended in a fault of this code.
    pub(crate) fn fault(&self, code: &str) {
        let index = FAULTS.iter().position(|c| *c == code);
        if let Some(counter) = index.and_then(|i| self.faults.get(i)) {
            counter.inc();
        }
    }

    /// The plugin was put in quarantine.
    pub(crate) fn quarantine(&self) {
        self.quarantines.inc();
    }
}

/// Loads since the host started.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// Every metric there is.
#[derive(Debug, Clone, Copy)]
enum Metric {
    Calls,
    CallDuration,
    Faults,
    Quarantines,
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
    Loads,
    Plugins,
}

impl Metric {
    const ALL: [Self; 19] = [
        Self::Calls,
        Self::CallDuration,
        Self::Faults,
        Self::Quarantines,
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
                "How often the plugin was left alone for a while",
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
            | Self::Plugins => MetricType::Gauge,
            Self::Calls
            | Self::Faults
            | Self::Quarantines
            | Self::Fuel
            | Self::InstancesMade
            | Self::HostCalls
            | Self::HttpRequests
            | Self::BytesIn
            | Self::BytesOut
            | Self::LogLines
            | Self::LogDropped
            | Self::Denials
            | Self::Loads => MetricType::Counter,
        }
    }

    /// The value of a metric that is one number a plugin.
    fn number(self, usage: &Usage, slot: &Slot) -> Option<u64> {
        Some(match self {
            Self::InFlight => slot.in_flight(),
            Self::Quarantines => slot.meters.quarantines.get(),
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
        Ok(())
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
