//! The catalog: an immutable snapshot of all component files and their plugins, with an index of what can be called. Changing it is `change`'s business.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::component::{FileName, Origin};
use model::error::LoadError;
use model::id::PluginId;
use model::plugin::About;
use model::settings::Restart;

use crate::Engine;
use crate::exchange::Subscriber;
use crate::hooks::{Hook, HookIndex};
use crate::lifecycle::Stage;
use crate::slot::{Face, Slot};
use crate::status::{Kind, Reason};

/// SHA-256 of a file.
pub(crate) type Digest = [u8; 32];

/// What a call goes to: a plugin, and of a manifold one of its models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) slot: Arc<Slot>,
    pub(crate) sub: Option<Arc<str>>,
}

impl Target {
    /// The plugin's id.
    #[must_use]
    pub fn plugin_id(&self) -> &PluginId {
        &self.slot.id
    }

    /// Of a manifold: the model's id, the part after the plugin's id and the dot.
    #[must_use]
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }

    /// What the plugin is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.slot.face.load().kind
    }
}

/// One component file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) origin: Origin,
    /// What was tried last: the file's content and the text of its settings; none if it could not be read.
    pub(crate) tried: Option<Tried>,
    pub(crate) slot: Option<Arc<Slot>>,
    pub(crate) state: EntryState,
    /// Why a newer content is not at work while the old one is.
    pub(crate) last_error: Option<Arc<Failure>>,
}

impl Entry {
    /// Why it failed, if it has.
    pub(crate) fn failure(&self) -> Option<&Arc<Failure>> {
        match &self.state {
            EntryState::Failed(failure) => Some(failure),
            EntryState::Live | EntryState::Loading(_) | EntryState::Stopped => None,
        }
    }

    /// What it said it is: of one that failed, what failed.
    pub(crate) fn about(&self) -> Option<Arc<About>> {
        let failed = self.failure().and_then(|f| f.about.clone());
        failed.or_else(|| Some(Arc::clone(&self.slot.as_ref()?.face.load().about)))
    }

    /// The plugin's id, if it ever said.
    pub(crate) fn id(&self) -> Option<PluginId> {
        let slot = self.slot.as_ref().map(|s| s.id.clone());
        slot.or_else(|| Some(self.failure()?.about.as_ref()?.manifest.id.clone()))
    }

    /// What did not load for want of something it depends on.
    pub(crate) fn lacked(&self) -> Option<Arc<About>> {
        let failure = self.failure().or(self.last_error.as_ref())?;
        let is_lack = matches!(failure.error, Some(LoadError::Dependency { .. }));
        failure.about.clone().filter(|_| is_lack)
    }
}

/// What was tried last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) digest: Digest,
    pub(crate) settings: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub(crate) enum EntryState {
    Loading(Stage),
    Live,
    Stopped,
    Failed(Arc<Failure>),
}

/// Why a file did not load, or its plugin was taken down.
#[derive(Debug)]
pub(crate) struct Failure {
    /// None: it crashed too often.
    pub(crate) error: Option<LoadError>,
    pub(crate) reason: Reason,
    /// What it said it is, if it came that far and nobody else has its id.
    pub(crate) about: Option<Arc<About>>,
    pub(crate) restart: Restart,
}

/// A snapshot.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) entries: BTreeMap<FileName, Entry>,
    plugins: HashMap<PluginId, Arc<Slot>>,
    /// Files of plugins that failed after they said what they are, by their ids.
    failed: HashMap<PluginId, FileName>,
    listed: HashMap<Arc<str>, Listed>,
    /// Filters that cover models, in the order they run.
    pub(crate) filters: Vec<Covering>,
    /// Hooks, by their points.
    pub(crate) hooks: HookIndex,
    /// Plugins that hear events.
    pub(crate) subscribers: Vec<Subscriber>,
}

/// What is behind a listed id.
#[derive(Debug)]
struct Listed {
    target: Target,
    is_model: bool,
}

/// A filter and what it covers.
#[derive(Debug, Clone)]
pub(crate) struct Covering {
    pub(crate) slot: Arc<Slot>,
    priority: i64,
    /// Model ids; none: all models.
    pipelines: Option<Vec<String>>,
}

impl Covering {
    /// Does it cover this model?
    pub(crate) fn covers(&self, model: Option<&str>) -> bool {
        match (&self.pipelines, model) {
            (None, _) => true,
            (Some(ids), Some(model)) => ids.iter().any(|id| id == model),
            (Some(_), None) => false,
        }
    }
}

impl Catalog {
    /// A snapshot of these entries, with its index.
    pub(crate) fn new(entries: BTreeMap<FileName, Entry>) -> Self {
        let slots: Vec<Arc<Slot>> = entries.values().filter_map(|e| e.slot.clone()).collect();
        let mut catalog = Self {
            entries,
            ..Self::default()
        };
        for (name, entry) in &catalog.entries {
            if let (None, Some(id)) = (&entry.slot, entry.id()) {
                catalog.failed.entry(id).or_insert_with(|| name.clone());
            }
        }
        for slot in &slots {
            catalog.plugins.insert(slot.id.clone(), Arc::clone(slot));
            let face = slot.face.load_full();
            let is_model = face.kind == Kind::Pipe && face.about.manifest.listed;
            catalog.list(slot.id.as_str().into(), slot, None, is_model);
        }
        // After the plugins: a manifold's model never takes the place of a plugin's own id.
        for slot in &slots {
            let face = slot.face.load_full();
            if face.kind == Kind::Manifold {
                let models = Arc::clone(&face.models().list);
                for model in models.iter() {
                    let id = format!("{}.{}", slot.id, model.id).into();
                    let is_model = face.about.manifest.listed;
                    catalog.list(id, slot, Some(model.id.as_str().into()), is_model);
                }
            }
        }
        catalog.hooks = HookIndex::new(slots.iter());
        catalog.subscribers = slots.iter().filter_map(Subscriber::new).collect();
        catalog.filters = slots.iter().filter_map(covering).collect();
        catalog
            .filters
            .sort_by(|a, b| (a.priority, &a.slot.id).cmp(&(b.priority, &b.slot.id)));
        catalog
    }

    fn list(&mut self, id: Arc<str>, slot: &Arc<Slot>, sub: Option<Arc<str>>, is_model: bool) {
        self.listed.entry(id).or_insert_with(|| Listed {
            target: Target {
                slot: Arc::clone(slot),
                sub,
            },
            is_model,
        });
    }

    /// The plugin of this id.
    pub(crate) fn plugin(&self, id: &str) -> Option<&Arc<Slot>> {
        self.plugins.get(&PluginId::new(id).ok()?)
    }

    /// What a chat with this model goes to.
    pub(crate) fn model(&self, id: &str) -> Option<&Target> {
        let listed = self.listed.get(id)?;
        listed.is_model.then_some(&listed.target)
    }

    /// What a filter call to this id goes to.
    pub(crate) fn any(&self, id: &str) -> Option<&Target> {
        Some(&self.listed.get(id)?.target)
    }

    /// All plugins, in the order of their files.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&Arc<Slot>, &Entry)> {
        self.entries
            .values()
            .filter_map(|entry| Some((entry.slot.as_ref()?, entry)))
    }

    /// The file of a plugin's id, also of one that failed after it said what it is.
    pub(crate) fn file(&self, id: &PluginId) -> Option<&FileName> {
        let slot = self.plugins.get(id).map(|slot| &slot.file);
        slot.or_else(|| self.failed.get(id))
    }

    /// The file behind a plugin's id; of one without an id, behind its stem.
    pub(crate) fn file_of(&self, id: &str) -> Option<FileName> {
        let known = PluginId::new(id)
            .ok()
            .and_then(|id| self.file(&id).cloned());
        known.or_else(|| {
            let mut entries = self.entries.iter();
            let by_stem = entries.find(|(file, entry)| entry.id().is_none() && file.stem() == id);
            by_stem.map(|(file, _)| file.clone())
        })
    }
}

impl Engine {
    /// Puts a snapshot in force. The caller holds `editing`.
    pub(crate) fn publish(&self, catalog: Catalog) {
        let before = self.catalog.load_full();
        for (hook, winner) in catalog.hooks.beaten() {
            let was = |(h, w): (&Hook, &PluginId)| {
                (&h.slot.id, &h.declaration, w) == (&hook.slot.id, &hook.declaration, winner)
            };
            if !before.hooks.beaten().any(was) {
                let (plugin, point) = (&hook.slot.id, &hook.declaration.point);
                tracing::warn!(%plugin, %point, %winner, "two plugins would replace the same step; the one with the lower priority, then by id, does");
            }
        }
        for (slot, _) in catalog.slots() {
            self.deliver_to(slot);
        }
        if catalog.plugins.len() < before.plugins.len() {
            let there = |plugin: &PluginId| catalog.plugins.contains_key(plugin);
            self.guest_metrics.keep(there);
        }
        let catalog = Arc::new(catalog);
        self.catalog.store(Arc::clone(&catalog));
        self.hooked.set(&catalog.hooks);
    }
}

fn covering(slot: &Arc<Slot>) -> Option<Covering> {
    let face = slot.face.load_full();
    if face.kind != Kind::Filter || slot.current.load().is_none() {
        return None;
    }
    let pipelines = pipelines(&face)?;
    let all = pipelines.len() == 1 && pipelines.first().is_some_and(|p| p == "*");
    Some(Covering {
        slot: Arc::clone(slot),
        priority: priority(&face).unwrap_or(0),
        pipelines: (!all).then_some(pipelines),
    })
}

/// The `pipelines` valve, where there is one that is a list of texts.
pub(crate) fn pipelines(face: &Face) -> Option<Vec<String>> {
    let values = face.values.load();
    let list = values.get("pipelines")?.as_array()?;
    list.iter().map(|v| v.as_str().map(String::from)).collect()
}

/// The `priority` valve, where there is one that is an integer.
pub(crate) fn priority(face: &Face) -> Option<i64> {
    face.values.load().get("priority")?.as_i64()
}
