//! All metrics of the engine: the counters of one plugin here, names and writing in `scrape`. Serving them is the server's business.
//!
//! A plugin's counters live in its slot, so a call counts without a look-up, and a plugin that is gone leaves no series behind.

pub(crate) mod runs;
mod scrape;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

pub(crate) use scrape::Scrape;

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
    Hook,
    Event,
    Peer,
    Source,
    Transform,
    Sink,
}

impl Call {
    const ALL: [Self; 15] = [
        Self::Chat,
        Self::Inlet,
        Self::Outlet,
        Self::Models,
        Self::Valves,
        Self::Start,
        Self::Stop,
        Self::Snapshot,
        Self::Restore,
        Self::Hook,
        Self::Event,
        Self::Peer,
        Self::Source,
        Self::Transform,
        Self::Sink,
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
            Self::Hook => "hook",
            Self::Event => "event",
            Self::Peer => "peer",
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
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
    /// The plugin that called waited no longer.
    TimedOut,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Ok,
        Self::Failed,
        Self::Fault,
        Self::Refused,
        Self::Cancelled,
        Self::TimedOut,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Fault => "fault",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
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
    restarts: Counter,
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
            restarts: Counter::default(),
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

    /// The plugin crashed.
    pub(crate) fn quarantine(&self) {
        self.quarantines.inc();
    }

    /// The plugin is started again.
    pub(crate) fn restart(&self) {
        self.restarts.inc();
    }
}

/// Loads since the host started.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
}
