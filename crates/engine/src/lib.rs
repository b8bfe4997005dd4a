//! What Weir does with plugins: a catalog that follows a folder, installs, dependencies, reloads that drain, calls, supervision, valves, metrics.
//!
//! Where plugins run, where files lie and how clients speak are other crates' business; the engine knows them by the ports of `model`.

mod budget;
mod bus;
mod call;
mod catalog;
mod change;
mod dependencies;
mod discovery;
mod durable;
mod error;
mod exchange;
mod fetch;
mod gate;
mod guest_metrics;
mod handover;
mod hooks;
mod lifecycle;
mod live;
mod load;
mod mailbox;
mod metrics;
mod models;
mod nearest;
mod options;
pub mod parameters;
mod parts;
mod pipelines;
mod quarantine;
mod raw;
mod registry;
mod replay;
mod run;
mod runs;
pub mod schedule;
mod settings;
mod silver;
mod slot;
pub mod spec;
mod status;
mod supervision;
mod sync;
pub mod templates;
#[cfg(test)]
mod tests;
pub mod timescope;
mod valves;
pub mod webhooks;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwap;
use model::component::{ComponentFile, FileName, Origin};
use model::error::LoadError;
use model::id::PluginId;
use model::limits::Limit;
use model::ports::StoreError;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use catalog::Catalog;
use change::{CatalogChange, Lanes};
use dependencies::Board;
use durable::Durable;
use guest_metrics::GuestMetrics;
use hooks::Hooked;
use live::Live;
use load::Turns;
use metrics::runs::RunMeters;
use metrics::{Loads, Scrape};
use pipelines::Pipelines;
use runs::Runs;
use supervision::Supervisor;
use webhooks::Inboxes;

pub use bus::LocalBus;
pub use catalog::Target;
pub use dependencies::{DependencyState, DependencyStatus};
pub use discovery::{DeleteError, Discovery, Listed, Put, SpecError};
pub use durable::Durability;
pub use durable::letters::{OpenCircuit, RedriveError, moment, text_or_base64};
pub use error::{AddError, ManageError, ValvesError};
pub use exchange::Switchboard;
pub use fetch::{fetch, raw_github_url};
pub use hooks::{HookStatus, PointStatus, Step};
pub use live::Recent;
pub use options::{Keep, Options, Ports, Quarantine, RunOptions, Stages, Supervision};
pub use pipelines::{PipelineVersion, RegisterError, Registered};
pub use raw::{Raw, RawKeep};
pub use registry::{CapabilityStatus, ProviderStatus};
pub use replay::{Diff, Replay, ReplayError, Sample, Side};
pub use run::{Feed, Kept, LetterFeed};
pub use runs::{Backfill, BackfillError, Follow, SubmitError, Trigger, Which};
pub use silver::{Silver, SilverKeep};
pub use status::{
    CallCounts, FaultRecord, Kind, ListedModel, PluginState, PluginStatus, Reason, Waiting,
};
pub use supervision::RestartStatus;
pub use webhooks::{Inbox, WebhookError};

/// The engine: one a host. Its futures need a tokio runtime.
#[derive(Debug)]
pub struct Engine {
    ports: Ports,
    options: Options,
    catalog: Arc<ArcSwap<Catalog>>,
    /// Held while a new snapshot is made.
    editing: Mutex<()>,
    lanes: Lanes,
    /// Which file provides which plugin.
    claims: Mutex<HashMap<PluginId, FileName>>,
    /// How many loads may be under way.
    turns: Turns,
    /// Loads under way, and which wait for which.
    board: Arc<Board>,
    supervisor: Supervisor,
    load_counts: Arc<Loads>,
    /// Versions that finish their last calls.
    retiring: Mutex<JoinSet<()>>,
    /// Tells them to wait no longer for calls.
    hurry: watch::Sender<bool>,
    registry: Registry,
    /// At which points there are hooks.
    hooked: Hooked,
    /// Held while an event is queued, so that all hear events in one order.
    emitting: Mutex<()>,
    guest_metrics: Arc<GuestMetrics>,
    pipelines: Pipelines,
    live: Live,
    runs: Runs,
    durable: Option<Arc<Durable>>,
    /// Webhooks of the registered pipelines.
    inboxes: Inboxes,
    run_meters: Arc<RunMeters>,
    ready: AtomicBool,
    closing: AtomicBool,
    /// Itself, for what it sets going in the background.
    me: Weak<Engine>,
}

/// A plugin that was put to work.
#[derive(Debug, Clone)]
pub struct Installed {
    /// Its id.
    pub id: PluginId,
    /// Its version.
    pub version: semver::Version,
    /// The file it was stored as.
    pub file: FileName,
    /// Did it take the place of an older version?
    pub replaced: bool,
}

/// What a look at the folder changed. All lists are in the order of file names.
#[derive(Debug, Clone, Default)]
pub struct SyncReport {
    /// Files whose plugin was put to work, new or in place of an older version.
    pub loaded: Vec<FileName>,
    /// Files that did not load, and why.
    pub failed: Vec<(FileName, LoadError)>,
    /// Files that are gone, and their plugins with them.
    pub removed: Vec<FileName>,
    /// Files that are as they were.
    pub unchanged: usize,
    /// Why the folder could not be read; nothing was changed then.
    pub error: Option<StoreError>,
}

/// A body that went through all filters that cover its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chained {
    /// The body to go on with, JSON text.
    pub body: String,
    /// The plugins it went through, in that order.
    pub through: Vec<PluginId>,
}

/// A plugin's valves.
#[derive(Debug, Clone, PartialEq)]
pub struct ValvesView {
    /// The values in force, in the order of the spec's properties.
    pub values: Arc<Map<String, Value>>,
    /// The spec, in the shape pydantic 2.7 gives a schema.
    pub spec: Arc<Value>,
}

impl Engine {
    /// An engine with an empty catalog. [`Engine::sync`] fills it.
    #[must_use]
    pub fn new(ports: Ports, options: Options) -> Arc<Self> {
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::default()));
        let load_counts = Arc::new(Loads::default());
        let guest_metrics = Arc::new(GuestMetrics::default());
        let runs = Runs::new(options.runs);
        let run_meters = Arc::new(RunMeters::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape {
            catalog: Arc::clone(&catalog),
            loads: Arc::clone(&load_counts),
            guests: Arc::clone(&guest_metrics),
            runs: Arc::clone(&run_meters),
            book: Arc::clone(&runs.book),
        }));
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            hooked: Hooked::default(),
            emitting: Mutex::default(),
            guest_metrics,
            pipelines: Pipelines::default(),
            live: Live::default(),
            durable: ports.durability.clone().map(Durable::new).map(Arc::new),
            inboxes: Inboxes::default(),
            runs,
            run_meters,
            turns: Turns::new(options.load_parallel),
            board: Arc::default(),
            supervisor: Supervisor::default(),
            ports,
            options,
            catalog,
            editing: Mutex::default(),
            lanes: Lanes::default(),
            claims: Mutex::default(),
            load_counts,
            retiring: Mutex::default(),
            hurry: watch::Sender::new(false),
            registry,
            ready: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        })
    }

    /// Loads a component a client brings, and stores its file once it works. A broken one leaves the old version serving and no file behind. It can bring no
    /// settings; those an operator has written for its name or id apply.
    ///
    /// # Errors
    /// Why it did not load; [`LoadError::Host`] also when it could not be stored.
    pub async fn install(
        self: &Arc<Self>,
        file: ComponentFile,
        origin: Origin,
    ) -> Result<Installed, LoadError> {
        self.put(file, origin).await
    }

    /// Fetches a component and installs it as `name`.
    ///
    /// # Errors
    /// Why it could not be fetched or did not load.
    pub async fn add_url(
        self: &Arc<Self>,
        url: &str,
        name: FileName,
    ) -> Result<Installed, AddError> {
        let limit = self.options.ceilings.get(Limit::ComponentBytes);
        let bytes = fetch(&*self.ports.fetch, url, limit).await?;
        let file = ComponentFile { name, bytes };
        Ok(self.put(file, Origin::Url(url.into())).await?)
    }

    /// Loads one plugin again from its file, changed or not; also one that failed (by its file's stem), is stopped or quarantined. State is handed over where the plugin can.
    ///
    /// # Errors
    /// Why it did not load; the version at work goes on then.
    pub async fn reload(self: &Arc<Self>, id: &str) -> Result<(), ManageError> {
        let name = self.file_of(id)?;
        let change = CatalogChange::Refresh { name, force: true };
        match self.apply(change).await? {
            load::Applied::Loaded(_) | load::Applied::Removed => Ok(()),
            load::Applied::Unchanged => Err(LoadError::Host("its file is gone".into()).into()),
        }
    }

    /// Deletes a plugin and its file. Calls under way finish; settings beside the file and stored valves stay. Plugins at work that cannot do without it are
    /// taken down first, with `force`; they come back when it does.
    ///
    /// # Errors
    /// [`ManageError::NotFound`], [`ManageError::Needed`] without `force`, or what the store said; nothing has changed then.
    pub async fn delete(self: &Arc<Self>, id: &str, force: bool) -> Result<(), ManageError> {
        self.take_down(id, force, CatalogChange::Delete).await
    }

    /// Stops a plugin: new calls are refused, those under way finish; they are waited for, at most 10 s. It stays stopped until [`Engine::start`], a reload, or a restart of the host. Plugins at
    /// work that cannot do without it are taken down first, with `force`; they come back when it does.
    ///
    /// # Errors
    /// [`ManageError::NotFound`], or [`ManageError::Needed`] without `force`.
    pub async fn stop(self: &Arc<Self>, id: &str, force: bool) -> Result<(), ManageError> {
        self.take_down(id, force, CatalogChange::Stop).await
    }

    /// Starts a stopped, failed or quarantined plugin from its file. One at work is left alone.
    ///
    /// # Errors
    /// Why it did not load.
    pub async fn start(self: &Arc<Self>, id: &str) -> Result<(), ManageError> {
        let name = self.file_of(id)?;
        self.apply(CatalogChange::Start(name)).await.map(|_| ())
    }

    /// Is the first sync over?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    /// All metrics, as OpenMetrics text.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }

    /// What a chat with this model goes to: a listed pipe's id, or `<manifold>.<model>`. One look-up.
    #[must_use]
    pub fn find_model(&self, model: &str) -> Option<Target> {
        self.catalog.load().model(model).cloned()
    }

    /// What a filter call to this id goes to: any plugin's id, or `<manifold>.<model>`.
    #[must_use]
    pub fn find_filter(&self, id: &str) -> Option<Target> {
        self.catalog.load().any(id).cloned()
    }

    fn file_of(&self, id: &str) -> Result<FileName, ManageError> {
        let file = self.catalog.load().file_of(id);
        file.ok_or_else(|| ManageError::NotFound(id.into()))
    }

    /// Applies a change that takes a plugin down, after those that need it. A client that leaves cannot leave it half-done.
    async fn take_down(
        self: &Arc<Self>,
        id: &str,
        force: bool,
        change: fn(FileName) -> CatalogChange,
    ) -> Result<(), ManageError> {
        let name = self.file_of(id)?;
        let engine = Arc::clone(self);
        let work = async move { engine.take_down_file(name, force, change).await };
        match tokio::spawn(work.in_current_span()).await {
            Ok(result) => result,
            Err(e) => Err(LoadError::Host(format!("the change broke off: {e}")).into()),
        }
    }
}
