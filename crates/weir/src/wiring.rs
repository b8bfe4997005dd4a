//! Puts the crates together: a configuration becomes a sandbox, an engine and its adapters.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use adapters::clock::SystemClock;
use adapters::folder::FolderStore;
use adapters::http::HyperEgress;
use adapters::secrets::NamedSecrets;
use adapters::state::SqliteState;
use adapters::valves::ValveFiles;
use anyhow::Context;
use engine::{Engine, LocalBus, Options, Ports, Switchboard};
use model::grants::HttpGrant;
use model::limits::{Limit, Limits};
use model::plugin::Loader;
use model::ports::{Clock, ComponentStore, Egress, EgressPolicy, Reach, ValveStore};
use sandbox::{CompileWorker, Sandbox, SandboxConfig, SandboxPorts};
use server::Compat;

use crate::config::Config;
use crate::watch::Watched;

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

/// A host over the configured folders, and the store that follows the plugins folders. Makes the data folder and the first plugins folder where they are missing.
pub(crate) fn host(config: &Config) -> anyhow::Result<(Host, Arc<Watched>)> {
    make_private(&config.data)?;
    let components = Arc::new(Watched::new(Arc::new(FolderStore::open(
        &config.plugins.first,
        &config.plugins.others,
    )?)));
    let valves = Arc::new(ValveFiles::open(&config.data)?);
    let host = host_with(
        config,
        Arc::<Watched>::clone(&components),
        valves,
        &config.data.join("compiled"),
    )?;
    Ok((host, components))
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
) -> anyhow::Result<Host> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let egress: Arc<dyn Egress> = Arc::new(HyperEgress::new()?);
    let switchboard = Arc::new(Switchboard::default());
    let sandbox_ports = SandboxPorts {
        clock: Arc::clone(&clock),
        state: Arc::new(SqliteState::open(&config.data)?),
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
    let ports = Ports {
        loader: Arc::clone(&loader),
        components,
        valves,
        clock: Arc::clone(&clock),
        bus: Arc::new(LocalBus::new(Arc::clone(&clock))),
        fetch: egress.client(fetch_policy(grant, &config.defaults)),
        stages: engine::Stages::none(config.data.clone()),
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
        runs: engine::RunOptions::default(),
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

/// How the host itself fetches components: as large as a component may be, and no larger.
pub(crate) fn fetch_policy(grant: HttpGrant, defaults: &Limits) -> EgressPolicy {
    let mut limits = defaults.clone();
    let most = defaults.get(Limit::ComponentBytes);
    // The name is one of the table's and the value is not above it, so this cannot fail.
    let _set = limits.set(Limit::HttpResponseBytes.name(), most, &Limits::unlimited());
    EgressPolicy {
        sender: "weir".into(),
        reach: Reach::granted(grant),
        limits,
    }
}

fn sandbox_config(config: &Config, compiled: &Path) -> anyhow::Result<SandboxConfig> {
    let program = std::env::current_exe()
        .context("cannot find this program, which is also the compile worker")?;
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
