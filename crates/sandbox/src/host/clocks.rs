//! `wasi:clocks`: the host's own Clock port, so that plugins see the time that the host sees. Waiting is real time.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use model::ports::Clock;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// The port, as WASI asks it.
#[derive(Clone)]
pub(crate) struct PortClock(pub(crate) Arc<dyn Clock>);

impl HostWallClock for PortClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl HostMonotonicClock for PortClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        // Nanoseconds in 64 bits last for 584 years.
        u64::try_from(self.0.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }
}
