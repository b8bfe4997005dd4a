//! What Weir does with plugins: a catalog that follows a folder, installs, reloads that drain, calls, quarantine, valves, metrics.
//!
//! Where plugins run, where files lie and how clients speak are other crates' business; the engine knows them by the ports of `model`.

mod error;
mod options;
mod status;

use std::sync::Arc;
use std::time::Duration;

use model::chat::{ChatRequest, Direction, FilterMessage, Reply};
use model::component::{ComponentFile, FileName, Origin};
use model::error::{LoadError, StageError};
use model::id::PluginId;
use model::ports::StoreError;
use serde_json::{Map, Value};

pub use error::{AddError, ManageError, ValvesError};
pub use options::{Options, Ports, Quarantine};
pub use status::{CallCounts, FaultRecord, Kind, ListedModel, PluginState, PluginStatus, Reason};

/// The engine: one a host.
#[derive(Debug)]
pub struct Engine {
    ports: Ports,
    options: Options,
}

/// What a call goes to: a plugin, and of a manifold one of its models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target {
    id: PluginId,
    sub: Option<Arc<str>>,
}

impl Target {
    /// The plugin's id.
    #[must_use]
    pub fn plugin_id(&self) -> &PluginId {
        &self.id
    }

    /// Of a manifold: the model's id, the part after the plugin's id and the dot.
    #[must_use]
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }
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
    /// An engine with an empty catalog.
    #[must_use]
    pub fn new(ports: Ports, options: Options) -> Arc<Self> {
        Arc::new(Self { ports, options })
    }

    /// Looks at the folder and loads, replaces and removes what changed.
    pub async fn sync(self: &Arc<Self>) -> SyncReport {
        unimplemented!()
    }

    /// Loads a component, then stores its file.
    pub async fn install(
        self: &Arc<Self>,
        file: ComponentFile,
        origin: Origin,
    ) -> Result<Installed, LoadError> {
        unimplemented!()
    }

    /// Fetches a component and installs it as `name`.
    pub async fn add_url(
        self: &Arc<Self>,
        url: &str,
        name: FileName,
    ) -> Result<Installed, AddError> {
        unimplemented!()
    }

    /// Loads one plugin again.
    pub async fn reload(self: &Arc<Self>, id: &str) -> Result<(), ManageError> {
        unimplemented!()
    }

    /// Loads every plugin again.
    pub async fn reload_all(self: &Arc<Self>) -> SyncReport {
        unimplemented!()
    }

    /// Deletes a plugin and its file.
    pub async fn delete(self: &Arc<Self>, id: &str) -> Result<(), ManageError> {
        unimplemented!()
    }

    /// Stops a plugin.
    pub async fn stop(self: &Arc<Self>, id: &str) -> Result<(), ManageError> {
        unimplemented!()
    }

    /// Starts it again.
    pub async fn start(self: &Arc<Self>, id: &str) -> Result<(), ManageError> {
        unimplemented!()
    }

    /// Stops every plugin.
    pub async fn shutdown(&self, within: Duration) {
        unimplemented!()
    }

    /// All plugins and failed files.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        unimplemented!()
    }

    /// One of them.
    #[must_use]
    pub fn plugin(&self, id: &str) -> Option<PluginStatus> {
        unimplemented!()
    }

    /// The models on offer.
    pub async fn models(&self) -> Vec<ListedModel> {
        unimplemented!()
    }

    /// Is the first sync over?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }

    /// OpenMetrics text.
    #[must_use]
    pub fn metrics(&self) -> String {
        unimplemented!()
    }

    /// Finds a model.
    #[must_use]
    pub fn find_model(&self, model: &str) -> Option<Target> {
        unimplemented!()
    }

    /// Finds any listed id.
    #[must_use]
    pub fn find_filter(&self, id: &str) -> Option<Target> {
        unimplemented!()
    }

    /// Runs a chat.
    pub async fn chat(
        &self,
        target: &Target,
        request: ChatRequest,
        reply: Box<dyn Reply>,
    ) -> Result<(), StageError> {
        unimplemented!()
    }

    /// Runs a filter.
    pub async fn filter(
        &self,
        target: &Target,
        direction: Direction,
        message: FilterMessage,
    ) -> Result<String, StageError> {
        unimplemented!()
    }

    /// Runs all filters that cover a model.
    pub async fn filter_chain(
        &self,
        direction: Direction,
        message: FilterMessage,
    ) -> Result<Chained, StageError> {
        unimplemented!()
    }

    /// A plugin's valves.
    pub fn valves(&self, id: &str) -> Result<ValvesView, ValvesError> {
        unimplemented!()
    }

    /// Changes a plugin's valves.
    pub async fn update_valves(
        self: &Arc<Self>,
        id: &str,
        values: Map<String, Value>,
    ) -> Result<ValvesView, ValvesError> {
        unimplemented!()
    }
}
