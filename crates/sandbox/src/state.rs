//! What a store holds: WASI's context, the limiter, the budget of the call under way, and what the host functions need.

use std::sync::Arc;
use std::time::SystemTime;

use model::exchange::Caller;
use model::grants::{Capability, Grants};
use model::id::PluginId;
use model::limits::{Limit, Limits};
use model::plugin::About;
use model::ports::HttpClient;
use model::redact::Secrets;
use tokio::sync::Semaphore;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::Host;
use crate::bindings::weir::host::log::Level;
use crate::budget::Budget;
use crate::host::clocks::PortClock;
use crate::host::http::HttpHooks;
use crate::host::log::{self, GuestLog};
use crate::host::stdio::StdStream;
use crate::limiter::Limiter;
use crate::ongoing::Ongoing;
use crate::usage::Counters;

/// What one version of a plugin shares among its instances.
pub(crate) struct Shared {
    pub(crate) host: Arc<Host>,
    /// The plugin's name in the log: its id, or its file while it is being described.
    pub(crate) name: Arc<str>,
    /// What it is; none while it is being described, and then nothing is granted.
    pub(crate) about: Option<Arc<About>>,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) counters: Arc<Counters>,
    /// Its turns on the slow lane.
    pub(crate) slow_turns: Arc<Semaphore>,
    /// Sends its HTTP requests; none without a grant.
    pub(crate) http: Option<Arc<dyn HttpClient>>,
    /// Secrets it was given.
    pub(crate) secrets: Arc<Secrets>,
}

impl Shared {
    /// The plugin's id; none while it is being described.
    pub(crate) fn id(&self) -> Option<&PluginId> {
        self.about.as_ref().map(|about| &about.manifest.id)
    }

    /// Counts a use of something ungranted; tells it in the log, at most once a minute.
    pub(crate) fn denied(&self, capability: Capability, reason: impl FnOnce() -> String) {
        let now = self.host.ports.clock.monotonic();
        if let Some(times) = self.counters.denied(capability, now) {
            let reason = self.secrets.redact(&reason()).into_owned();
            tracing::warn!(
                plugin = %self.name,
                capability = capability.name(),
                times,
                reason = %log::clean(&reason),
                "plugin was denied what it asked for"
            );
        }
    }
}

/// What one store holds.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limiter: Limiter,
    pub(crate) budget: Budget,
    /// The call under way.
    pub(crate) ongoing: Arc<Ongoing>,
    /// The valves this instance knows.
    pub(crate) valves: Arc<str>,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(crate) hooks: HttpHooks,
    pub(crate) log: Arc<GuestLog>,
    /// Standard output and standard error.
    std_streams: [StdStream; 2],
}

impl State {
    pub(crate) fn new(shared: Arc<Shared>, valves: Arc<str>, ongoing: Arc<Ongoing>) -> Self {
        let limits = &shared.limits;
        let log = Arc::new(GuestLog::new(&shared));
        let std_streams = [
            StdStream::new(&log, Level::Info),
            StdStream::new(&log, Level::Warn),
        ];
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.size(Limit::Handles));
        Self {
            limiter: Limiter::new(
                limits.size(Limit::MemoryBytes),
                limits.size(Limit::TableElements),
                Arc::clone(&shared.counters),
            ),
            budget: Budget::new(0),
            ongoing,
            valves,
            table,
            wasi: wasi(&shared, &std_streams),
            std_streams,
            http: WasiHttpCtx::new(),
            hooks: HttpHooks::new(&shared),
            log,
            shared,
        }
    }
}

impl State {
    /// A call begins, with this many bytes: its own budget.
    pub(crate) fn begin(&mut self, given: usize, ongoing: &Arc<Ongoing>) {
        self.budget = Budget::new(given);
        self.ongoing = Arc::clone(ongoing);
        self.log.begin();
        self.hooks.begin();
    }

    /// The plugin that asks the host for something, and why it runs; none while it is being described.
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.shared.id().map(|id| Caller {
            plugin: id.clone(),
            cause: self.ongoing.cause.clone(),
        })
    }

    /// A call ends: what it printed without a line end is written out.
    pub(crate) fn end(&mut self) {
        for stream in &self.std_streams {
            stream.flush_line();
        }
        self.log.end();
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The command interfaces of WASI, giving nothing: no environment, arguments, folders or network.
fn wasi(shared: &Shared, [stdout, stderr]: &[StdStream; 2]) -> WasiCtx {
    let clock = PortClock(Arc::clone(&shared.host.ports.clock));
    WasiCtx::builder()
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .wall_clock(clock.clone())
        .monotonic_clock(clock)
        .max_random_size(shared.limits.get(Limit::RandomBytes))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
