//! Puts the crates together: a configuration becomes a sandbox, an engine and its adapters.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::bronze::{Archive, BronzeLog};
use adapters::clock::SystemClock;
use adapters::folder::FolderStore;
use adapters::http::HyperEgress;
use adapters::references::AllowedReferences;
use adapters::secrets::NamedSecrets;
use adapters::specs::SpecFolders;
use adapters::stages::{ArrowConvert, Console, SilverFolder, StagePorts, natives};
use adapters::store::Database;
use adapters::valves::ValveFiles;
use anyhow::Context;
use engine::{
    Discovery, Durability, Engine, Keep, LocalBus, Options, Ports, Raw, RunOptions, Silver, Stages,
    Switchboard,
};
use model::access::Access;
use model::grants::HttpGrant;
use model::limits::{Limit, Limits};
use model::plugin::Loader;
use model::ports::{
    self, Clock, ComponentStore, Egress, EgressPolicy, References, StateStore, Timer, ValveStore,
};
use model::stage::Natives;
use sandbox::{CompileWorker, Sandbox, SandboxConfig, SandboxPorts};
use server::Compat;

use crate::config::{ArchivePlace, Config, Store};
use crate::key;
use crate::watch::Watched;
use crate::watch::specs::WatchedSpecs;

/// What a running host consists of.
pub(crate) struct Host {
    pub(crate) engine: Arc<Engine>,
    /// Looks into components without loading them.
    pub(crate) loader: Arc<dyn Loader>,
    /// Where a command may stand in for a plugin.
    pub(crate) switchboard: Arc<Switchboard>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) egress: Arc<dyn Egress>,
}

/// What pipelines may reach, and where their runs leave things behind.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) access: Access,
    pub(crate) references: Arc<dyn References>,
    /// What runs leave behind lies below it.
    pub(crate) work: PathBuf,
    /// Where the sink `console` shows records.
    pub(crate) console: Console,
    /// How long what runs leave behind is kept; none: for ever.
    pub(crate) keep: Option<Keep>,
    /// Where runs are kept that are to outlive the process.
    pub(crate) durability: Option<Durability>,
    /// Where payloads are kept as they came.
    pub(crate) raw: Option<Raw>,
    /// Where plugins keep their state; none: in a file in the data folder.
    pub(crate) state: Option<Arc<dyn StateStore>>,
    /// Where cleaned records are kept.
    pub(crate) silver: Option<Silver>,
}

impl Reach {
    /// What `[pipelines]` names, and nothing else.
    pub(crate) fn configured(config: &Config) -> Self {
        let rules = &config.pipelines.references;
        let environment = |name: &str| std::env::var(name).ok();
        let references =
            AllowedReferences::only(rules.names.clone(), rules.files.clone(), environment);
        Self {
            access: config.pipelines.access.clone(),
            references: Arc::new(references),
            work: config.data.clone(),
            // Standard output is the operator's, and holds the log.
            console: Console::in_run_log(),
            keep: Some(config.pipelines.keep),
            durability: None,
            raw: None,
            state: None,
            silver: None,
        }
    }
}

/// A server's host, and what follows its folders.
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) plugins: Arc<Watched>,
    pub(crate) specs: Arc<WatchedSpecs>,
    pub(crate) discovery: Arc<Discovery>,
}

/// A host over the configured folders. Makes the data folder and the first folders of plugins and specs where they are missing.
pub(crate) async fn server(config: &Config) -> anyhow::Result<Server> {
    make_private(&config.data)?;
    let components = Arc::new(Watched::new(Arc::new(FolderStore::open(
        &config.plugins.first,
        &config.plugins.others,
    )?)));
    let Kept {
        store,
        state,
        valves,
    } = kept(config).await?;
    let host = host_with(
        config,
        Arc::<Watched>::clone(&components),
        valves,
        &config.data.join("compiled"),
        Reach {
            durability: Some(Durability {
                store,
                owner: owner(config)?,
            }),
            raw: Some(raw(config).await?),
            state,
            silver: Some(silver(config).await?),
            ..Reach::configured(config)
        },
    )?;
    let folders = &config.pipelines.folders;
    let specs = SpecFolders::open(&folders.first, &folders.others, &config.data)?;
    let specs = Arc::new(WatchedSpecs::new(Arc::new(specs)));
    let discovery = Discovery::new(Arc::clone(&host.engine), Arc::<WatchedSpecs>::clone(&specs));
    Ok(Server {
        host,
        plugins: components,
        specs,
        discovery,
    })
}

/// Where a server keeps what outlives it.
struct Kept {
    store: Arc<dyn model::store::Store>,
    /// None: in a file of its own, so that no plugin's writes stand in the way of runs.
    state: Option<Arc<dyn StateStore>>,
    valves: Arc<dyn ValveStore>,
}

/// In files in the data folder, or all in one database that servers share.
async fn kept(config: &Config) -> anyhow::Result<Kept> {
    match &config.store {
        Store::File => Ok(Kept {
            store: Arc::new(Database::sqlite(&config.data.join("store.sqlite"))?),
            state: None,
            valves: Arc::new(ValveFiles::open(&config.data)?),
        }),
        Store::Postgres { url, password } => {
            let here = std::env::current_dir().context("there is no folder here")?;
            let opened = Database::postgres(url, password.as_deref(), &here).await;
            let database = Arc::new(opened.context("[store]")?);
            Ok(Kept {
                store: Arc::<Database>::clone(&database),
                state: Some(Arc::<Database>::clone(&database)),
                valves: database,
            })
        }
    }
}

/// This server's name in the store.
fn owner(config: &Config) -> anyhow::Result<String> {
    let place = config.data.join("server-id");
    key::kept_as(&place, "server").context("this server has no name for the store")
}

/// The log of raw payloads.
async fn raw(config: &Config) -> anyhow::Result<Raw> {
    let bronze = &config.bronze;
    let archive = match &bronze.archive {
        None => None,
        Some(ArchivePlace::Folder(folder)) => Some(Archive::folder(folder.clone())),
        Some(ArchivePlace::Bucket(bucket)) => {
            let archive = Archive::s3(bucket, &HyperEgress::new()?);
            Some(archive.context("[bronze.archive]")?)
        }
    };
    let (folder, options) = (bronze.folder.clone(), bronze.options);
    let opening = tokio::task::spawn_blocking(move || BronzeLog::open(&folder, options, archive));
    let log = opening.await?.context("[bronze]")?;
    Ok(Raw {
        log: Arc::new(log),
        keep: bronze.keep,
    })
}

/// The folder of cleaned records.
async fn silver(config: &Config) -> anyhow::Result<Silver> {
    let folder = config.silver.folder.clone();
    let opening = tokio::task::spawn_blocking(move || SilverFolder::open(&folder));
    let files = opening.await?.context("[silver]")?;
    Ok(Silver {
        files: Arc::new(files),
        keep: config.silver.keep,
    })
}

/// Makes the data folder, readable by its owner only: keys, valves and state lie there.
pub(crate) fn make_private(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// A host over other stores of components and valves, with compiled code in the folder `compiled`.
pub(crate) fn host_with(
    config: &Config,
    components: Arc<dyn ComponentStore>,
    valves: Arc<dyn ValveStore>,
    compiled: &Path,
    reach: Reach,
) -> anyhow::Result<Host> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let egress: Arc<dyn Egress> = Arc::new(HyperEgress::new()?);
    let switchboard = Arc::new(Switchboard::default());
    let state = match &reach.state {
        Some(state) => Arc::clone(state),
        None => Arc::new(Database::of_plugins(&config.data.join("state.sqlite"))?),
    };
    let sandbox_ports = SandboxPorts {
        clock: Arc::clone(&clock),
        state,
        egress: Arc::clone(&egress),
        exchange: Arc::<Switchboard>::clone(&switchboard),
        secrets: Arc::new(NamedSecrets::new(config.secrets.clone())),
    };
    let loader: Arc<dyn Loader> = Arc::new(Sandbox::new(
        sandbox_config(config, compiled)?,
        sandbox_ports,
    )?);
    let grant = HttpGrant {
        allow: config.add.allow.clone(),
        private: config.add.private.clone(),
    };
    let runs = runs(config, reach.keep);
    let ports = Ports {
        loader: Arc::clone(&loader),
        components,
        valves,
        clock: Arc::clone(&clock),
        bus: Arc::new(LocalBus::new(Arc::clone(&clock))),
        fetch: egress.client(fetch_policy(grant, &config.defaults)),
        durability: reach.durability.clone(),
        raw: reach.raw.clone(),
        silver: reach.silver.clone(),
        stages: stages(&egress, &clock, reach)?,
    };
    let options = Options {
        defaults: config.defaults.clone(),
        ceilings: config.ceilings.clone(),
        plugins: config.settings.clone(),
        preferences: config.preferences.clone(),
        announce_valves: config.compat == Compat::Default,
        quarantine: config.quarantine,
        supervision: config.supervision,
        load_parallel: config.runtime.load_parallel,
        drain: None,
        runs,
    };
    let engine = Engine::new(ports, options);
    switchboard.connect(&engine);
    Ok(Host {
        engine,
        loader,
        switchboard,
        clock,
        egress,
    })
}

/// What runs of pipelines work with.
fn stages(
    egress: &Arc<dyn Egress>,
    clock: &Arc<dyn Clock>,
    reach: Reach,
) -> anyhow::Result<Stages> {
    let timer: Arc<dyn Timer> = Arc::new(SystemClock::new());
    Ok(Stages {
        natives: native_stages(egress, clock, &timer, reach.console)?,
        access: Arc::new(reach.access),
        references: reach.references,
        timer,
        work: reach.work,
    })
}

/// The native stages there are.
pub(crate) fn native_stages(
    egress: &Arc<dyn Egress>,
    clock: &Arc<dyn Clock>,
    timer: &Arc<dyn Timer>,
    console: Console,
) -> anyhow::Result<Natives> {
    let ports = StagePorts {
        egress: Arc::clone(egress),
        clock: Arc::clone(clock),
        timer: Arc::clone(timer),
        program: this_program()?,
        console,
    };
    Ok(natives(&ports, Arc::new(ArrowConvert)))
}

fn runs(config: &Config, keep: Option<Keep>) -> RunOptions {
    let default = RunOptions::default();
    RunOptions {
        at_once: config.pipelines.parallel_runs.unwrap_or(default.at_once),
        history: config.pipelines.history.unwrap_or(default.history),
        // Only a server shows them.
        live: keep.is_some(),
        keep,
        ..default
    }
}

/// Also the compile worker.
fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe()
        .context("cannot find this program, which also works for itself in processes of their own")
}

/// How the host itself fetches components: as large as a component may be, and no larger.
pub(crate) fn fetch_policy(grant: HttpGrant, defaults: &Limits) -> EgressPolicy {
    let mut limits = defaults.clone();
    let most = defaults.get(Limit::ComponentBytes);
    // The name is one of the table's and the value is not above it, so this cannot fail.
    let _set = limits.set(Limit::HttpResponseBytes.name(), most, &Limits::unlimited());
    EgressPolicy {
        sender: "weir".into(),
        reach: ports::Reach::granted(grant),
        limits,
    }
}

fn sandbox_config(config: &Config, compiled: &Path) -> anyhow::Result<SandboxConfig> {
    let program = this_program()?;
    Ok(SandboxConfig {
        cache_dir: compiled.to_owned(),
        cache_bytes: config.runtime.cache_bytes,
        compiler: CompileWorker::Process {
            program,
            arguments: vec!["compile-worker".into()],
            limits: config.runtime.compile,
        },
        max_instances: config.runtime.max_instances,
        allocation: config.runtime.allocation,
    })
}
