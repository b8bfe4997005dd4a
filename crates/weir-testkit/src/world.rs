//! A kit that runs: the engine and the sandbox of a server, with the fakes behind their ports, on threads of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, LocalBus, Options, Ports, Switchboard};
use model::component::FileName;
use model::events::EventBus;
use model::id::PluginId;
use sandbox::{CompileWorker, Sandbox, SandboxConfig, SandboxPorts};
use tokio::runtime::{Handle, Runtime};

use crate::error::{KitError, NotStarted};
use crate::fakes::clock::FakeClock;
use crate::fakes::components::Components;
use crate::fakes::secrets::Secrets;
use crate::fakes::state::MemoryState;
use crate::fakes::upstream::{FakeEgress, NoFetch, Routes};
use crate::fakes::valves::Valves;
use crate::kit::Kit;
use crate::logs::Log;
use crate::watch::{Watch, WatchedLoader};

/// Bytes of compiled code that are kept.
const CACHE_BYTES: u64 = 1 << 30;
/// Instances in one kit at once.
const MAX_INSTANCES: u32 = 256;

/// The id of the test, where it stands in for a plugin.
const TEST: &str = "test";

/// All that a running kit consists of.
#[derive(Debug)]
pub(crate) struct World {
    /// The kit's threads, until the world is dropped.
    _threads: Threads,
    pub(crate) handle: Handle,
    pub(crate) engine: Arc<Engine>,
    pub(crate) switchboard: Arc<Switchboard>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) log: Log,
    pub(crate) patience: Duration,
    /// The id of the last event before the plugins started.
    pub(crate) first_event: u64,
    /// The plugin that was added first.
    pub(crate) first: PluginId,
    /// Who emits what a test emits.
    pub(crate) test: PluginId,
    /// The plugins, in the order in which they were added.
    pub(crate) plugins: Vec<PluginId>,
    /// Removes the code cache where it is of this kit only.
    _cache: Option<tempfile::TempDir>,
}

impl World {
    /// Starts a kit.
    pub(crate) async fn start(kit: Kit) -> Result<Self, KitError> {
        if let Some(what) = kit.too_early {
            return Err(KitError::Given(format!(
                "Kit::{what} is about the plugin added last; call Kit::plugin before it"
            )));
        }
        let log = Log::default();
        let runtime = runtime(&log)?;
        let handle = runtime.handle().clone();
        let threads = Threads(Some(runtime));
        let made = Made::of(kit, &log)?;
        let engine = Arc::clone(&made.engine);
        let report = handle.spawn(async move { engine.sync().await }).await;
        let failed = match report {
            Ok(report) => report.failed,
            Err(e) => return Err(KitError::Setup(e.to_string())),
        };
        let failed: Vec<_> = failed
            .into_iter()
            .map(|(file, error)| NotStarted {
                file: file.to_string(),
                code: error.code().into(),
                reason: error.to_string(),
            })
            .collect();
        if !failed.is_empty() {
            return Err(KitError::NotStarted(failed));
        }
        let plugins = made.files.iter().filter_map(|f| made.watch.id_of(f));
        let plugins: Vec<PluginId> = plugins.collect();
        let first = plugins.first().cloned();
        Ok(Self {
            first: first.ok_or_else(|| KitError::Setup("no plugin has an id".into()))?,
            test: PluginId::new(TEST).map_err(|e| KitError::Setup(e.to_string()))?,
            plugins,
            handle,
            _threads: threads,
            engine: made.engine,
            switchboard: made.switchboard,
            first_event: made.first_event,
            bus: made.bus,
            clock: made.clock,
            watch: made.watch,
            routes: made.routes,
            log,
            patience: made.patience,
            _cache: made.cache,
        })
    }

    /// Runs work on the kit's threads, where its log lines are heard.
    ///
    /// # Panics
    /// If the work does: with its words.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.handle.spawn(work).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Cancelled: the kit is being dropped, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// The threads of a kit. Dropping them does not wait, so that it may happen in async code.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Threads whose log lines go to this kit.
fn runtime(log: &Log) -> Result<Runtime, KitError> {
    let dispatch = log.dispatch();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("weir-testkit")
        .enable_all()
        .on_thread_start(move || {
            // For as long as the thread lives.
            std::mem::forget(tracing::dispatcher::set_default(&dispatch));
        })
        .build()
        .map_err(|e| KitError::Setup(format!("cannot start threads: {e}")))
}

/// A kit before its plugins start.
struct Made {
    engine: Arc<Engine>,
    switchboard: Arc<Switchboard>,
    bus: Arc<dyn EventBus>,
    first_event: u64,
    clock: Arc<FakeClock>,
    watch: Arc<Watch>,
    routes: Arc<Routes>,
    patience: Duration,
    files: Vec<FileName>,
    cache: Option<tempfile::TempDir>,
}

impl Made {
    fn of(kit: Kit, log: &Log) -> Result<Self, KitError> {
        let (components, seeds, files) = components(&kit)?;
        let (cache_dir, cache) = cache_folder(kit.cache)?;
        let clock = Arc::new(FakeClock::new(kit.now, kit.clock_runs));
        let watch = Arc::new(Watch::new(seeds));
        let routes = Arc::new(Routes::new(kit.upstream).map_err(KitError::Given)?);
        let switchboard = Arc::new(Switchboard::default());
        let bus: Arc<dyn EventBus> = Arc::new(LocalBus::new(clock.clone()));
        let config = SandboxConfig {
            cache_dir,
            cache_bytes: CACHE_BYTES,
            compiler: CompileWorker::InProcess,
            max_instances: MAX_INSTANCES,
            allocation: None,
        };
        let ports = SandboxPorts {
            clock: clock.clone(),
            state: Arc::<MemoryState>::clone(&watch.state),
            egress: Arc::new(FakeEgress(Arc::clone(&routes))),
            exchange: switchboard.clone(),
            secrets: Arc::new(Secrets(kit.secrets)),
        };
        let sandbox =
            tracing::dispatcher::with_default(&log.dispatch(), || Sandbox::new(config, ports));
        let sandbox = sandbox.map_err(|e| KitError::Setup(e.to_string()))?;
        let ports = Ports {
            loader: Arc::new(WatchedLoader {
                inner: Arc::new(sandbox),
                watch: Arc::clone(&watch),
            }),
            components: Arc::new(components),
            valves: Arc::<Valves>::clone(&watch.valves),
            clock: clock.clone(),
            bus: Arc::clone(&bus),
            fetch: Arc::new(NoFetch),
            durability: None,
            raw: None,
            silver: None,
            stages: engine::Stages::none(std::env::temp_dir()),
        };
        let options = Options {
            preferences: preferences(kit.preferences)?,
            ..Options::default()
        };
        let engine = Engine::new(ports, options);
        switchboard.connect(&engine);
        Ok(Self {
            engine,
            switchboard,
            first_event: bus.last(),
            bus,
            clock,
            watch,
            routes,
            patience: kit.patience,
            files,
            cache,
        })
    }
}

type Seeded = BTreeMap<FileName, crate::watch::Seeds>;

/// The plugins folder, what is put there for each plugin, and the files in the order in which they were added.
fn components(kit: &Kit) -> Result<(Components, Seeded, Vec<FileName>), KitError> {
    if kit.plugins.is_empty() {
        return Err(KitError::NoPlugin);
    }
    let components = Components::default();
    let (mut seeds, mut files) = (Seeded::new(), Vec::new());
    for plugin in &kit.plugins {
        let name = plugin.name()?;
        let settings = plugin.settings_text(&name)?;
        if !components.add(name.clone(), plugin.read()?.into(), settings) {
            return Err(KitError::SameFile(name.to_string()));
        }
        seeds.insert(name.clone(), plugin.seeds.clone());
        files.push(name);
    }
    Ok((components, seeds, files))
}

fn preferences(
    written: BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, Vec<PluginId>>, KitError> {
    type Read<T> = Result<T, model::id::IdError>;
    let one = |(capability, ids): (String, Vec<String>)| {
        let ids: Read<Vec<_>> = ids.iter().map(|id| PluginId::new(id)).collect();
        Ok((capability, ids?))
    };
    let read: Read<_> = written.into_iter().map(one).collect();
    read.map_err(|e| KitError::Given(format!("Kit::prefer: {e}")))
}

/// The folder for compiled code: the one given, else one where the user's caches are, else one of this kit's own.
fn cache_folder(given: Option<PathBuf>) -> Result<(PathBuf, Option<tempfile::TempDir>), KitError> {
    if let Some(folder) = given {
        return Ok((folder, None));
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    if let Some(base) = base.map(|b| b.join("weir"))
        && std::fs::create_dir_all(&base).is_ok()
    {
        return Ok((base.join("testkit"), None));
    }
    let folder = tempfile::tempdir()
        .map_err(|e| KitError::Setup(format!("no folder for compiled code: {e}")))?;
    Ok((folder.path().join("compiled"), Some(folder)))
}
