//! What a store holds: WASI's context, the limiter, the budget of the call under way, and what the host functions need.

use std::sync::Arc;

use model::grants::Grants;
use model::limits::{Limit, Limits};
use model::ports::HttpClient;
use tokio::sync::Semaphore;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::Host;
use crate::bindings::weir::host::log::Level;
use crate::budget::Budget;
use crate::host::http::HttpHooks;
use crate::host::log::GuestLog;
use crate::host::stdio::StdStream;
use crate::limiter::Limiter;
use crate::usage::Counters;

/// What one version of a plugin shares among its instances.
pub(crate) struct Shared {
    pub(crate) host: Arc<Host>,
    /// The plugin's name in the log: its id, or its file while it is being described.
    pub(crate) name: Arc<str>,
    /// Whose state it is; none while it is being described.
    pub(crate) id: Option<model::id::PluginId>,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) counters: Arc<Counters>,
    /// Its turns on the slow lane.
    pub(crate) slow_turns: Arc<Semaphore>,
    /// Sends its HTTP requests; none without a grant.
    pub(crate) http: Option<Arc<dyn HttpClient>>,
}

/// What one store holds.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limiter: Limiter,
    pub(crate) budget: Budget,
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
    pub(crate) fn new(shared: Arc<Shared>, valves: Arc<str>) -> Self {
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
            valves,
            table,
            wasi: wasi(limits, &std_streams),
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
    pub(crate) fn begin(&mut self, given: usize) {
        self.budget = Budget::new(given);
        self.log.begin();
        self.hooks.begin();
    }

    /// A call ends: what it printed without a line end is written out.
    pub(crate) fn end(&mut self) {
        for stream in &self.std_streams {
            stream.flush_line();
        }
        self.log.end();
    }
}

/// The command interfaces of WASI, giving nothing: no environment, arguments, folders or network.
fn wasi(limits: &Limits, [stdout, stderr]: &[StdStream; 2]) -> WasiCtx {
    WasiCtx::builder()
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .max_random_size(limits.get(Limit::RandomBytes))
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
