//! How plugins and models look from outside: plain values for an API to show. How they are written is the server's business.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use model::component::{FileName, Origin};
use model::error::LoadError;
use model::id::PluginId;
use model::plugin::{About, Role, Usage};
use model::settings::PluginSettings;

use crate::Engine;
use crate::catalog::{Catalog, Entry, EntryState};
use crate::dependencies::DependencyStatus;
use crate::supervision::{RestartStatus, quarantined};

/// Everything known of one component file and its plugin.
#[derive(Debug, Clone)]
pub struct PluginStatus {
    /// The plugin's id; none if the file failed before it said who it is, or another one has the id.
    pub id: Option<PluginId>,
    /// The component file.
    pub file: FileName,
    /// Where it came from.
    pub origin: Origin,
    /// What it is doing.
    pub state: PluginState,
    /// Why it is in this state, where that needs a reason.
    pub reason: Option<Reason>,
    /// What it says it is; none if it never said.
    pub about: Option<Arc<About>>,
    /// What it is to Open WebUI.
    pub kind: Kind,
    /// Limits, grants and reuse in force; none if it never loaded.
    pub settings: Option<Arc<PluginSettings>>,
    /// Grows by one with each version of the plugin that was put to work; 0 if none was.
    pub generation: u64,
    /// When the version at work was loaded.
    pub loaded_at: Option<SystemTime>,
    /// What it used, all versions since the host started together.
    pub usage: Usage,
    /// Its last faults, the newest first, at most 10.
    pub faults: Vec<FaultRecord>,
    /// Its calls since the host started.
    pub calls: CallCounts,
    /// What an operator should know: of the component, and of hooks that are never called.
    pub notes: Vec<String>,
    /// What waits for it.
    pub waiting: Waiting,
    /// When it is started again after a crash.
    pub quarantined_until: Option<SystemTime>,
    /// Has it valves?
    pub valves: bool,
    /// What it depends on; empty if it never said what it is.
    pub dependencies: Vec<DependencyStatus>,
    /// The plugins here that depend on it, in the order of their ids.
    pub dependants: Vec<PluginId>,
    /// When it is started again, and how often it was.
    pub restarts: RestartStatus,
    /// Why a newer version of the file is not at work, while this one still is.
    pub last_load_error: Option<Reason>,
    /// Why a manifold's last list of models failed; the one before it stands.
    pub models_error: Option<Reason>,
}

/// What a plugin is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// Its file was found and is being checked and compiled, for the first time.
    Discovered,
    /// It has said what it is, and waits for what it depends on.
    Loaded,
    /// Its `init` went well.
    Initialised,
    /// It takes calls.
    Started,
    /// It was stopped and still finishes calls.
    Stopping,
    /// An operator stopped it.
    Stopped,
    /// It did not load, crashed too often, or what it depends on is gone.
    Failed,
    /// It crashed; it is left alone for a while and then started again.
    Quarantined,
}

impl PluginState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Discovered,
        Self::Loaded,
        Self::Initialised,
        Self::Started,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Quarantined,
    ];

    /// Its name in metrics, events and API answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::Loaded => "loaded",
            Self::Initialised => "initialised",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
        }
    }

    /// Is it on its way to its first start?
    #[must_use]
    pub fn is_loading(self) -> bool {
        matches!(self, Self::Discovered | Self::Loaded | Self::Initialised)
    }
}

/// Why something is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A stable word: of a load `LoadError::code`; `quarantined`, `crashed`.
    pub code: &'static str,
    /// For the operator.
    pub message: String,
    /// When it happened.
    pub at: SystemTime,
}

impl Reason {
    pub(crate) fn of_load(error: &LoadError, at: SystemTime) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            at,
        }
    }
}

/// One fault of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRecord {
    /// When it happened.
    pub at: SystemTime,
    /// In which call: `chat`, `inlet`, ..
    pub call: &'static str,
    /// The fault's stable word.
    pub code: &'static str,
    /// For the operator, cut after 2,000 characters.
    pub message: String,
}

/// Calls of a plugin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls that began, those under way included.
    pub total: u64,
    /// Calls that ended in a failure or a fault.
    pub failed: u64,
    /// Calls under way.
    pub in_flight: u64,
}

/// What waits for a plugin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events.
    pub events: usize,
    /// Events dropped because too many waited, since the host started.
    pub events_dropped: u64,
    /// Calls of other plugins, for whose answers nobody waits.
    pub casts: usize,
}

/// What a plugin is to Open WebUI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It answers chats.
    Pipe,
    /// It changes requests and answers.
    Filter,
    /// It offers several models.
    Manifold,
    /// It does something else.
    Other,
}

impl Kind {
    /// The kind that follows from the roles: `manifold` first, then `pipe`, then `filter`.
    #[must_use]
    pub fn of(about: &About) -> Self {
        let has = |role| about.roles.contains(&role);
        if has(Role::Manifold) && has(Role::Pipe) {
            Self::Manifold
        } else if has(Role::Pipe) {
            Self::Pipe
        } else if has(Role::Filter) {
            Self::Filter
        } else {
            Self::Other
        }
    }

    /// Its name in API answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Filter => "filter",
            Self::Manifold => "manifold",
            Self::Other => "other",
        }
    }
}

/// One model on offer, or a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    /// What a chat names: the plugin's id, or `<plugin id>.<model id>` of a manifold.
    pub id: String,
    /// What people read. Of a manifold: the plugin's name and the model's, with nothing between them.
    pub name: String,
    /// What the plugin is.
    pub kind: Kind,
    /// Has the plugin valves?
    pub valves: bool,
    /// A filter's `pipelines` valve, where it has one that is a list of texts.
    pub pipelines: Option<Vec<String>>,
    /// A filter's `priority` valve, where it has one that is an integer.
    pub priority: Option<i64>,
    /// The plugin behind it.
    pub plugin_id: PluginId,
}

impl Engine {
    /// All component files and their plugins, in the order of the files.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        let catalog = self.catalog.load_full();
        let dependants = catalog.dependants();
        let entries = catalog.entries.iter();
        entries
            .map(|(file, entry)| self.status(&catalog, &dependants, file, entry))
            .collect()
    }

    /// One plugin by its id; a file that never got one by its stem.
    #[must_use]
    pub fn plugin(&self, id: &str) -> Option<PluginStatus> {
        let catalog = self.catalog.load_full();
        let file = catalog.file_of(id)?;
        let entry = catalog.entries.get(&file)?;
        Some(self.status(&catalog, &catalog.dependants(), &file, entry))
    }

    fn status(
        &self,
        catalog: &Catalog,
        dependants: &HashMap<PluginId, BTreeSet<PluginId>>,
        file: &FileName,
        entry: &Entry,
    ) -> PluginStatus {
        let slot = entry.slot.as_ref();
        let face = slot.map(|s| s.face.load_full());
        let about = entry.about();
        let id = entry.id();
        let clock = &self.ports.clock;
        let (now, monotonic) = (clock.now(), clock.monotonic());
        let until = slot.and_then(|s| s.health.until());
        let until = until.map(|u| now + u.saturating_sub(monotonic));
        let faults = slot.map(|s| s.faults()).unwrap_or_default();
        let quarantined = until.and(faults.first()).map(|last| Reason {
            code: "quarantined",
            message: quarantined(&last.message),
            at: last.at,
        });
        let settings = face.as_ref().map(|f| Arc::clone(&f.settings));
        let policy = entry.failure().map(|f| f.restart);
        let policy = policy.or_else(|| Some(settings.as_ref()?.restart));
        let dependants = id.as_ref().and_then(|id| dependants.get(id));
        PluginStatus {
            file: file.clone(),
            origin: entry.origin.clone(),
            state: state_of(entry),
            reason: entry.failure().map(|f| f.reason.clone()).or(quarantined),
            kind: about.as_ref().map_or(Kind::Other, |a| Kind::of(a)),
            settings,
            generation: face.as_ref().map_or(0, |f| f.generation),
            loaded_at: face.as_ref().map(|f| f.loaded_at),
            usage: slot.map(|s| s.usage()).unwrap_or_default(),
            faults,
            calls: slot.map(|s| s.counts()).unwrap_or_default(),
            notes: self.notes(face.as_deref()),
            waiting: slot.map(|s| s.waiting_mail()).unwrap_or_default(),
            quarantined_until: until,
            valves: face.as_ref().is_some_and(|f| f.spec.is_some()),
            dependencies: about
                .as_ref()
                .map(|a| catalog.dependencies(a))
                .unwrap_or_default(),
            dependants: dependants
                .map(|ids| ids.iter().cloned().collect())
                .unwrap_or_default(),
            restarts: self.restart_status(file, policy.unwrap_or_default()),
            last_load_error: entry.last_error.as_ref().map(|f| f.reason.clone()),
            models_error: face.as_ref().and_then(|f| f.models().error.clone()),
            id,
            about,
        }
    }
}

impl Engine {
    fn notes(&self, face: Option<&crate::slot::Face>) -> Vec<String> {
        let Some(face) = face else { return Vec::new() };
        let catalog = self.catalog.load();
        let own = |hook: &crate::hooks::Hook| hook.slot.id == face.about.manifest.id;
        let beaten = catalog.hooks.beaten().filter(|(hook, _)| own(hook));
        let beaten = beaten.map(|(hook, winner)| {
            let point = &hook.declaration.point;
            format!("its hook replace {point} is never called: {winner} replaces that step")
        });
        face.about.notes.iter().cloned().chain(beaten).collect()
    }
}

/// What the plugin of a file is doing.
pub(crate) fn state_of(entry: &Entry) -> PluginState {
    let slot = entry.slot.as_ref();
    match &entry.state {
        EntryState::Loading(stage) => stage.get(),
        EntryState::Stopped if slot.is_some_and(|s| s.is_draining()) => PluginState::Stopping,
        EntryState::Stopped => PluginState::Stopped,
        EntryState::Failed(_) => PluginState::Failed,
        EntryState::Live if slot.is_some_and(|s| s.health.until().is_some()) => {
            PluginState::Quarantined
        }
        EntryState::Live => PluginState::Started,
    }
}
