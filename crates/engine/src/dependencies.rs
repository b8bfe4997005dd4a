//! What plugins need of each other: waiting for it at a load, judging whether it will do, showing it. Taking plugins down is `unload`'s business.

mod board;
mod order;
mod unload;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::component::FileName;
use model::error::LoadError;
use model::id::PluginId;
use model::manifest::Dependency;
use model::plugin::About;

use crate::Engine;
use crate::catalog::{Catalog, Entry, EntryState};
use crate::change::CatalogChange;
use crate::status::{PluginState, state_of};

pub(crate) use board::{Board, Leaving, Ticket};
pub(crate) use order::Order;

/// A dependency of a plugin, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyStatus {
    /// The plugin it depends on.
    pub id: PluginId,
    /// The versions that do.
    pub range: semver::VersionReq,
    /// Can it do without?
    pub optional: bool,
    /// The version there is, if there is one.
    pub version: Option<semver::Version>,
    /// Whether it is there and does.
    pub state: DependencyState,
}

/// Whether a dependency is there and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyState {
    /// It is at work, in a version that does.
    Started,
    /// It is there, in a version that does not.
    Incompatible,
    /// Nobody has its id.
    Missing,
    /// It is being loaded for the first time.
    Loading,
    /// It did not load, or crashed too often.
    Failed,
    /// An operator stopped it.
    Stopped,
    /// It crashed and is started again soon.
    Quarantined,
}

impl DependencyState {
    /// Its name in API answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Incompatible => "incompatible",
            Self::Missing => "missing",
            Self::Loading => "loading",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Quarantined => "quarantined",
        }
    }
}

impl Catalog {
    /// The file and entry of a plugin's id, also of one that failed after it said what it is.
    pub(crate) fn entry(&self, id: &PluginId) -> Option<&Entry> {
        self.entries.get(self.file(id)?)
    }

    /// What a plugin said it is, last.
    pub(crate) fn about(&self, id: &PluginId) -> Option<Arc<About>> {
        self.entry(id)?.about()
    }

    /// Is it at work in a version that does?
    pub(crate) fn will_do(&self, dependency: &Dependency) -> bool {
        self.judge(dependency).0 == DependencyState::Started
    }

    /// Does any plugin that is here depend on this one, without being able to do without it?
    pub(crate) fn is_needed(&self, id: &PluginId) -> bool {
        self.entries
            .values()
            .any(|e| e.about().is_some_and(|a| needs(&a, id)))
    }

    fn judge(&self, dependency: &Dependency) -> (DependencyState, Option<semver::Version>) {
        let Some(entry) = self.entry(&dependency.id) else {
            return (DependencyState::Missing, None);
        };
        let version = entry.about().map(|a| a.manifest.version.clone());
        let fits = version
            .as_ref()
            .is_some_and(|v| dependency.version.matches(v));
        let state = match state_of(entry) {
            PluginState::Started if fits => DependencyState::Started,
            PluginState::Started => DependencyState::Incompatible,
            PluginState::Quarantined => DependencyState::Quarantined,
            PluginState::Failed => DependencyState::Failed,
            PluginState::Stopping | PluginState::Stopped => DependencyState::Stopped,
            PluginState::Discovered | PluginState::Loaded | PluginState::Initialised => {
                DependencyState::Loading
            }
        };
        (state, version)
    }

    /// The dependencies of a plugin, as they are now.
    pub(crate) fn dependencies(&self, about: &About) -> Vec<DependencyStatus> {
        let one = |dependency: &Dependency| {
            let (state, version) = self.judge(dependency);
            DependencyStatus {
                id: dependency.id.clone(),
                range: dependency.version.clone(),
                optional: dependency.optional,
                version,
                state,
            }
        };
        about.manifest.dependencies.iter().map(one).collect()
    }

    /// For each id: the plugins that depend on it, whether they can do without or not.
    pub(crate) fn dependants(&self) -> HashMap<PluginId, BTreeSet<PluginId>> {
        let mut dependants: HashMap<_, BTreeSet<_>> = HashMap::new();
        for about in self.entries.values().filter_map(Entry::about) {
            for dependency in &about.manifest.dependencies {
                let of = dependants.entry(dependency.id.clone()).or_default();
                of.insert(about.manifest.id.clone());
            }
        }
        dependants
    }

    /// What is at work, by its version there.
    pub(crate) fn at_work(&self) -> impl Iterator<Item = Arc<About>> {
        let slots = self
            .slots()
            .filter(|(_, e)| matches!(e.state, EntryState::Live));
        slots.map(|(slot, _)| Arc::clone(&slot.face.load().about))
    }

    /// Why a plugin cannot be put to work, by what it cannot do without.
    fn lacks(&self, about: &About, board: &Board) -> Option<LoadError> {
        let me = &about.manifest.id;
        let needed = about.manifest.dependencies.iter().filter(|d| !d.optional);
        for dependency in needed {
            let id = &dependency.id;
            let (state, version) = self.judge(dependency);
            let version = version.map_or_else(String::new, |v| v.to_string());
            let wrong = match state {
                DependencyState::Started if !board.is_leaving(id) => continue,
                DependencyState::Started => "which is being taken down".into(),
                DependencyState::Incompatible => format!("but there is version {version}"),
                DependencyState::Missing => "which is missing".into(),
                DependencyState::Loading => "which is not started yet".into(),
                DependencyState::Stopped => "which is stopped".into(),
                DependencyState::Quarantined => "which crashed and is not back yet".into(),
                DependencyState::Failed => {
                    let failure = self.entry(id).and_then(Entry::failure);
                    let error = failure.and_then(|f| f.error.as_ref());
                    if let Some(LoadError::Dependency { reason, chain }) = error
                        && chain.first().is_some_and(|first| first == id.as_str())
                    {
                        let chain = [me.to_string()].into_iter().chain(chain.iter().cloned());
                        return Some(LoadError::Dependency {
                            reason: reason.clone(),
                            chain: chain.collect(),
                        });
                    }
                    let code = failure.map_or("failed", |f| f.reason.code);
                    format!("which failed ({code})")
                }
            };
            return Some(LoadError::Dependency {
                reason: format!("{me} needs {dependency}, {wrong}"),
                chain: vec![me.to_string(), id.to_string()],
            });
        }
        None
    }

    /// Why a plugin cannot take the place of the one that a file holds: others need that one as it is.
    fn fails_others(&self, about: &About, name: &FileName, board: &Board) -> Option<LoadError> {
        let old = self.entries.get(name)?.slot.as_ref()?;
        let new = &about.manifest;
        let loading = board.abouts();
        let is_loading = |id: &PluginId| loading.iter().any(|a| a.manifest.id == *id);
        let at_work = self.at_work().map(|about| (about, true));
        for (other, is_at_work) in at_work.chain(loading.iter().cloned().map(|a| (a, false))) {
            let by = &other.manifest.id;
            let mut needed = other.manifest.dependencies.iter();
            let needed = needed.find(|d| !d.optional && d.id == old.id);
            let fits = |d: &&Dependency| new.id == old.id && d.version.matches(&new.version);
            if let Some(dependency) = needed.filter(|d| !fits(d))
                && *by != new.id
                // Of one that is being loaded the new version counts.
                && !(is_at_work && is_loading(by))
            {
                return Some(LoadError::Dependency {
                    reason: format!(
                        "{by} needs {dependency}, but this is {}@{}; stop {by} first",
                        new.id, new.version
                    ),
                    chain: vec![new.id.to_string(), by.to_string()],
                });
            }
        }
        None
    }
}

/// Does a plugin depend on this one, without being able to do without it?
pub(crate) fn needs(about: &About, id: &PluginId) -> bool {
    about
        .manifest
        .dependencies
        .iter()
        .any(|d| !d.optional && d.id == *id)
}

impl Engine {
    /// Waits until everything a plugin depends on is started, or will not be. Nothing is held meanwhile but the turn of its file.
    pub(crate) async fn await_dependencies(
        &self,
        ticket: &mut Ticket,
        name: &FileName,
        about: &Arc<About>,
    ) -> Result<(), LoadError> {
        let me = &about.manifest.id;
        let fails_others = || self.catalog.load().fails_others(about, name, &self.board);
        let patient = fails_others().is_some();
        ticket.describe(about, &self.catalog, patient);
        if let Err(circle) = ticket.decided().await {
            return Err(LoadError::Dependency {
                reason: format!("{me} depends on itself"),
                chain: circle.iter().map(ToString::to_string).collect(),
            });
        }
        let catalog = self.catalog.load_full();
        if let Some(error) = catalog.lacks(about, &self.board).or_else(fails_others) {
            return Err(error);
        }
        for dependency in about.manifest.dependencies.iter().filter(|d| d.optional) {
            let (state, _) = catalog.judge(dependency);
            if state != DependencyState::Started {
                let state = state.as_str();
                tracing::info!(plugin = %me, %dependency, state, "a plugin does without an optional dependency");
            }
        }
        Ok(())
    }

    /// A plugin is at work: those that failed for want of it are tried again.
    pub(crate) fn retry_dependants(self: &Arc<Self>, id: &PluginId) {
        let catalog = self.catalog.load_full();
        for (name, entry) in &catalog.entries {
            let lacked = entry.lacked();
            if lacked.is_some_and(|about| needs(&about, id)) {
                let look = CatalogChange::Refresh {
                    name: name.clone(),
                    force: false,
                };
                let (engine, ticket) = (Arc::clone(self), self.enter_board(&look));
                tokio::spawn(async move {
                    // What comes of it is shown in the catalog.
                    let _shown = engine.apply_with(look, ticket).await;
                });
            }
        }
    }
}
