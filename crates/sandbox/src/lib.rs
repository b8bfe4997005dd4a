//! The sandbox: compiles, caches, links, instantiates, limits and calls plugins. It knows nothing of catalogs or HTTP servers.
//!
//! Three clocks of state: [`Sandbox`] lives as long as the host (engine, linker), a loaded plugin as long as its version
//! (compiled component, grants, valves), a `Store` as long as an instance, and its budget as long as a call.

mod admission;
mod bindings;
mod budget;
mod cache;
mod call;
mod candidate;
mod compile;
mod exports;
mod host;
mod instance;
mod json;
mod lanes;
mod limiter;
mod link;
mod ongoing;
mod plugin;
mod pool;
mod runtime;
mod stage;
mod state;
mod trap;
mod usage;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use model::BoxFuture;
use model::component::ComponentFile;
use model::error::LoadError;
use model::exchange::Exchange;
use model::plugin::{Admission, Candidate, Loader};
use model::ports::{Clock, Egress, SecretStore, StateStore};

pub use compile::{CompileLimits, CompileWorker, compile_worker};
pub use runtime::{Allocation, SetupError};

/// What a sandbox is made with.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Folder of the compiled-code cache. Made with mode 0700; must belong to the user the host runs as.
    pub cache_dir: PathBuf,
    /// Bytes the cache may hold; the oldest files go first.
    pub cache_bytes: u64,
    /// How to run the compiler.
    pub compiler: CompileWorker,
    /// Instances, and their memories, in the process at once.
    pub max_instances: u32,
    /// Where memories come from; none: probe the address space.
    pub allocation: Option<Allocation>,
}

/// The outside world as plugins reach it through the host.
#[derive(Debug, Clone)]
pub struct SandboxPorts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Durable state (`weir:host/state`).
    pub state: Arc<dyn StateStore>,
    /// Outgoing HTTP (`wasi:http`).
    pub egress: Arc<dyn Egress>,
    /// Other plugins (`weir:host/{events,calls,points,metrics,grants}`).
    pub exchange: Arc<dyn Exchange>,
    /// Secrets (`weir:host/secrets`).
    pub secrets: Arc<dyn SecretStore>,
}

/// The sandbox of one host process.
pub struct Sandbox {
    inner: Arc<Host>,
}

/// What all plugins share.
pub(crate) struct Host {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) allocation: Allocation,
    pub(crate) linker: wasmtime::component::Linker<state::State>,
    pub(crate) cache: cache::Cache,
    pub(crate) lanes: lanes::Lanes,
    pub(crate) ports: SandboxPorts,
    /// Pools of the loaded plugins, so that one can take back idle instances when another needs room.
    pub(crate) pools: Mutex<Vec<Weak<pool::Pool>>>,
}

impl Sandbox {
    /// Makes the engine, the linker and the cache folder.
    ///
    /// # Errors
    /// [`SetupError`] when the machine cannot run WebAssembly this way, or the cache folder is not safe.
    pub fn new(config: SandboxConfig, ports: SandboxPorts) -> Result<Self, SetupError> {
        let (engine, allocation) = runtime::engine(config.allocation, config.max_instances)?;
        let linker = link::linker(&engine)?;
        let compiler = compile::Compiler::new(config.compiler, allocation);
        let cache = cache::Cache::open(config.cache_dir, config.cache_bytes, &engine, compiler)?;
        Ok(Self {
            inner: Arc::new(Host {
                engine,
                allocation,
                linker,
                cache,
                lanes: lanes::Lanes::new()?,
                ports,
                pools: Mutex::default(),
            }),
        })
    }

    /// Where memories come from.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        self.inner.allocation
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("allocation", &self.inner.allocation)
            .finish_non_exhaustive()
    }
}

impl Loader for Sandbox {
    fn inspect(
        &self,
        file: ComponentFile,
        admission: Admission,
    ) -> BoxFuture<'static, Result<Box<dyn Candidate>, LoadError>> {
        let host = Arc::clone(&self.inner);
        Box::pin(candidate::inspect(host, file, admission))
    }
}
