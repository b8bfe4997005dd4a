//! What a plugin may use: one table of limits, each with a default and a ceiling, and a set of values for one plugin.
//!
//! The numbers serve ordinary plugins in Rust, Python and JavaScript (a Python component starts with tens of MiB).

use std::fmt;

/// One limit. Its name in configuration, API and errors is [`Limit::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Limit {
    /// Fuel a call may burn: about one unit a WebAssembly instruction, plus what host functions charge.
    Fuel,
    /// Wall-clock time of a call, in milliseconds, waiting in host functions and for the client included.
    DeadlineMs,
    /// Fuel of `describe`, `init`, `start`, `stop`, `spec`, `updated`, `snapshot` and `restore` each.
    StartFuel,
    /// Wall-clock time of each of those, instantiation included, in milliseconds.
    StartDeadlineMs,
    /// CPU time of a call, in milliseconds, waiting not included.
    CpuMs,
    /// Wall-clock time of a call of a hook, in milliseconds; what passes inside its continuation does not count.
    HookDeadlineMs,
    /// Calls of the plugin, of any kind, in any 60 seconds; further ones are refused until it is less.
    CallsPerMinute,
    /// Fuel the plugin may burn in any 60 seconds, all calls together; once it is gone, calls are refused until it is less.
    FuelPerMinute,
    /// Bytes of all linear memories of an instance together.
    MemoryBytes,
    /// Elements of all tables of an instance together.
    TableElements,
    /// Calls of one plugin under way at once; further ones wait.
    Concurrency,
    /// Calls that may wait for their turn; further ones are refused at once.
    Queue,
    /// Calls an instance serves before it is replaced (`reuse = "pool"`).
    RecycleCalls,
    /// Idle instances kept warm (`reuse = "pool"`).
    IdleInstances,
    /// Bytes a call may answer with, beyond those it was given: reply items, filter bodies, snapshots.
    OutputBytes,
    /// Items a call may write to its reply.
    OutputItems,
    /// Bytes of a request body or configuration handed to a call.
    InputBytes,
    /// Bytes of the cursor that a source hands over with a batch: it is kept between runs.
    CursorBytes,
    /// Host functions a call may call, WASI's included.
    HostCalls,
    /// Bytes a call may log; what goes over is dropped and counted.
    LogBytes,
    /// Outgoing HTTP requests of a call.
    HttpRequests,
    /// Outgoing HTTP requests of a plugin under way at once.
    HttpConcurrency,
    /// Bytes of one outgoing request's body.
    HttpRequestBytes,
    /// Bytes of one response's body.
    HttpResponseBytes,
    /// Time until an outgoing connection stands, in milliseconds.
    HttpConnectMs,
    /// Time until the response begins, and between two pieces of its body, in milliseconds.
    HttpIdleMs,
    /// Bytes of all keys and values in the plugin's state.
    StateBytes,
    /// Keys in the plugin's state.
    StateKeys,
    /// Bytes of one event's payload, and of one peer call's.
    EventBytes,
    /// Events, and as many casts, that wait for the plugin.
    EventQueue,
    /// Series of the plugin's own metrics: names and label sets together.
    MetricSeries,
    /// Resource handles an instance may hold.
    Handles,
    /// Bytes of random data a call of `wasi:random` may ask for.
    RandomBytes,
    /// Bytes of the component file.
    ComponentBytes,
    /// Functions in the component, all modules together.
    ComponentFunctions,
    /// Bytes of the largest function body: longer ones take a compiler quadratic time.
    ComponentBodyBytes,
}

/// What is to be known about a limit.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct LimitSpec {
    /// Its name in configuration, API and errors.
    pub name: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// The value where nobody says otherwise.
    pub default: u64,
    /// The highest value a plugin's settings may ask for, where the host configuration does not set another.
    pub ceiling: u64,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const HOUR_MS: u64 = 3_600_000;

macro_rules! limits {
    ($($limit:ident $name:literal $unit:literal $default:expr, $ceiling:expr;)*) => {
        impl Limit {
            /// All limits, in the order they are shown.
            pub const ALL: &'static [Limit] = &[$(Limit::$limit),*];
            const SPECS: &'static [LimitSpec] =
                &[$(LimitSpec { name: $name, unit: $unit, default: $default, ceiling: $ceiling }),*];
        }
    };
}

limits! {
    Fuel "fuel" "fuel" 10_000_000_000, 10_000_000_000_000;
    DeadlineMs "deadline_ms" "ms" 300_000, 24 * HOUR_MS;
    StartFuel "start_fuel" "fuel" 20_000_000_000, 10_000_000_000_000;
    StartDeadlineMs "start_deadline_ms" "ms" 30_000, HOUR_MS;
    CpuMs "cpu_ms" "ms" 60_000, HOUR_MS;
    HookDeadlineMs "hook_deadline_ms" "ms" 5_000, HOUR_MS;
    CallsPerMinute "calls_per_minute" "calls" u64::MAX, u64::MAX;
    FuelPerMinute "fuel_per_minute" "fuel" u64::MAX, u64::MAX;
    MemoryBytes "memory_bytes" "bytes" 256 * MIB, 4 * GIB;
    TableElements "table_elements" "elements" 100_000, 1_000_000;
    Concurrency "concurrency" "calls" 64, 1_000;
    Queue "queue" "calls" 1_024, 100_000;
    RecycleCalls "recycle_calls" "calls" 10_000, u64::MAX;
    IdleInstances "idle_instances" "instances" 16, 1_000;
    OutputBytes "output_bytes" "bytes" 16 * MIB, GIB;
    OutputItems "output_items" "items" 100_000, 10_000_000;
    InputBytes "input_bytes" "bytes" 32 * MIB, GIB;
    CursorBytes "cursor_bytes" "bytes" 64 * KIB, 16 * MIB;
    HostCalls "host_calls" "calls" 200_000, 10_000_000;
    LogBytes "log_bytes" "bytes" 64 * KIB, 64 * MIB;
    HttpRequests "http_requests" "requests" 100, 10_000;
    HttpConcurrency "http_concurrency" "requests" 128, 1_000;
    HttpRequestBytes "http_request_bytes" "bytes" 32 * MIB, GIB;
    HttpResponseBytes "http_response_bytes" "bytes" 64 * MIB, 4 * GIB;
    HttpConnectMs "http_connect_ms" "ms" 10_000, 300_000;
    HttpIdleMs "http_idle_ms" "ms" 120_000, HOUR_MS;
    StateBytes "state_bytes" "bytes" 16 * MIB, 4 * GIB;
    StateKeys "state_keys" "keys" 10_000, 10_000_000;
    EventBytes "event_bytes" "bytes" 64 * KIB, 16 * MIB;
    EventQueue "event_queue" "events" 1_024, 1_000_000;
    MetricSeries "metric_series" "series" 200, 100_000;
    Handles "handles" "handles" 1_000, 100_000;
    RandomBytes "random_bytes" "bytes" 64 * KIB, 16 * MIB;
    ComponentBytes "component_bytes" "bytes" 64 * MIB, GIB;
    ComponentFunctions "component_functions" "functions" 100_000, 1_000_000;
    ComponentBodyBytes "component_body_bytes" "bytes" 512 * KIB, 16 * MIB;
}

impl Limit {
    /// Name, unit, default and ceiling.
    #[must_use]
    pub fn spec(self) -> LimitSpec {
        // The tables are made by one macro, in the order of the enum (a test checks it).
        Self::SPECS
            .get(self as usize)
            .copied()
            .unwrap_or(LimitSpec {
                name: "?",
                unit: "?",
                default: 0,
                ceiling: 0,
            })
    }

    /// Its name in configuration, API and errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The limit of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|l| l.name() == name)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const COUNT: usize = Limit::SPECS.len();

/// A value for each limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits([u64; COUNT]);

/// Why a limit cannot have a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// No limit has this name.
    #[error("no limit is called {name:?}; there are: {}", names())]
    Unknown {
        /// The name given.
        name: String,
    },
    /// The value is above the ceiling.
    #[error(
        "{name} = {given} is above the ceiling of {ceiling} {unit}; the host configuration's [ceilings] can raise it"
    )]
    AboveCeiling {
        /// The limit.
        name: &'static str,
        /// The value given.
        given: u64,
        /// The highest value allowed.
        ceiling: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// A limit of nothing would refuse every call.
    #[error("{name} = 0 would refuse everything; at least 1 {unit} is needed")]
    Zero {
        /// The limit.
        name: &'static str,
        /// What it counts.
        unit: &'static str,
    },
}

fn names() -> String {
    Limit::ALL
        .iter()
        .map(|l| l.name())
        .collect::<Vec<_>>()
        .join(", ")
}

impl Limits {
    /// The default of each limit.
    #[must_use]
    pub fn defaults() -> Self {
        Self(std::array::from_fn(|i| {
            Limit::SPECS.get(i).map_or(0, |s| s.default)
        }))
    }

    /// The built-in ceiling of each limit.
    #[must_use]
    pub fn ceilings() -> Self {
        Self(std::array::from_fn(|i| {
            Limit::SPECS.get(i).map_or(0, |s| s.ceiling)
        }))
    }

    /// No ceiling at all: for reading the ceilings themselves.
    #[must_use]
    pub fn unlimited() -> Self {
        Self([u64::MAX; COUNT])
    }

    /// The value of a limit.
    #[must_use]
    pub fn get(&self, limit: Limit) -> u64 {
        self.0.get(limit as usize).copied().unwrap_or(0)
    }

    /// The value of a limit as a size in memory; the largest `usize` where it does not fit.
    #[must_use]
    pub fn size(&self, limit: Limit) -> usize {
        usize::try_from(self.get(limit)).unwrap_or(usize::MAX)
    }

    /// The value of a limit in milliseconds as a duration.
    #[must_use]
    pub fn time(&self, limit: Limit) -> std::time::Duration {
        std::time::Duration::from_millis(self.get(limit))
    }

    /// Sets a limit by name.
    ///
    /// # Errors
    /// [`LimitError`] when the name is unknown, or the value is 0 or above its ceiling.
    pub fn set(&mut self, name: &str, value: u64, ceilings: &Limits) -> Result<(), LimitError> {
        let limit =
            Limit::by_name(name).ok_or_else(|| LimitError::Unknown { name: name.into() })?;
        let (spec, ceiling) = (limit.spec(), ceilings.get(limit));
        if value > ceiling {
            return Err(LimitError::AboveCeiling {
                name: spec.name,
                given: value,
                ceiling,
                unit: spec.unit,
            });
        }
        // Nothing idle, nobody queued and no requests are sensible wishes; a call without fuel is not.
        let may_be_zero = matches!(
            limit,
            Limit::Queue
                | Limit::IdleInstances
                | Limit::HttpRequests
                | Limit::LogBytes
                | Limit::StateBytes
                | Limit::StateKeys
                | Limit::RandomBytes
        );
        if value == 0 && !may_be_zero {
            return Err(LimitError::Zero {
                name: spec.name,
                unit: spec.unit,
            });
        }
        if let Some(slot) = self.0.get_mut(limit as usize) {
            *slot = value;
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::defaults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_follow_the_enum() {
        for (index, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, index, "{limit}");
            assert!(limit.spec().default <= limit.spec().ceiling, "{limit}");
            assert_eq!(Limit::by_name(limit.name()), Some(*limit));
        }
    }

    #[test]
    fn values_above_the_ceiling_or_unknown_are_refused() {
        let mut limits = Limits::defaults();
        let ceilings = Limits::ceilings();
        assert!(limits.set("fuel", 5, &ceilings).is_ok());
        assert_eq!(limits.get(Limit::Fuel), 5);
        let over = limits.set("memory_bytes", u64::MAX, &ceilings).unwrap_err();
        assert!(over.to_string().contains("memory_bytes"), "{over}");
        assert!(
            limits
                .set("fule", 5, &ceilings)
                .unwrap_err()
                .to_string()
                .contains("fuel")
        );
        assert!(matches!(
            limits.set("fuel", 0, &ceilings),
            Err(LimitError::Zero { .. })
        ));
    }
}
