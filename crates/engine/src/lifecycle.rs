//! The life cycle of plugins: every transition is logged and told here, and nowhere else. What causes one is its caller's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use model::component::FileName;
use model::id::PluginId;
use model::plugin::About;
use serde_json::{Value, json};

use crate::Engine;
use crate::slot::{Slot, Version};
use crate::status::{PluginState, Reason};

/// How far a first load has come. Shared by all snapshots of the catalog, so that a step makes no new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stage(Arc<AtomicU8>);

impl Stage {
    const STEPS: [PluginState; 3] = [
        PluginState::Discovered,
        PluginState::Loaded,
        PluginState::Initialised,
    ];

    pub(crate) fn get(&self) -> PluginState {
        let step = usize::from(self.0.load(Ordering::Relaxed));
        let state = Self::STEPS.get(step);
        state.copied().unwrap_or(PluginState::Initialised)
    }

    pub(crate) fn set(&self, state: PluginState) {
        let step = Self::STEPS.iter().position(|s| *s == state);
        if let Some(step) = step.and_then(|s| u8::try_from(s).ok()) {
            self.0.store(step, Ordering::Relaxed);
        }
    }
}

/// Which version of which plugin a transition is about.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) file: FileName,
    /// None: it has not said yet.
    pub(crate) about: Option<Arc<About>>,
    /// Grows by one with each version that is put to work.
    pub(crate) generation: u64,
}

impl Who {
    /// The last version of a plugin that was at work.
    pub(crate) fn of(slot: &Slot) -> Self {
        let face = slot.face.load();
        Self {
            file: slot.file.clone(),
            about: Some(Arc::clone(&face.about)),
            generation: face.generation,
        }
    }

    /// A version of a plugin.
    pub(crate) fn of_version(slot: &Slot, version: &Version) -> Self {
        Self {
            file: slot.file.clone(),
            about: Some(Arc::clone(&version.face.about)),
            generation: version.face.generation,
        }
    }

    pub(crate) fn id(&self) -> Option<&PluginId> {
        self.about.as_ref().map(|a| &a.manifest.id)
    }
}

impl Engine {
    /// Logs a transition and tells it: `weir.plugin.<state>` to all who listen, `weir.dependency.<..>` to those who depend on the plugin.
    pub(crate) fn transition(&self, state: PluginState, who: &Who, reason: Option<&Reason>) {
        let manifest = who.about.as_ref().map(|a| &a.manifest);
        let (file, generation) = (&who.file, who.generation);
        let plugin = manifest.map(|m| tracing::field::display(&m.id));
        let version = manifest.map(|m| tracing::field::display(&m.version));
        let name = state.as_str();
        if let Some(Reason { code, message, .. }) = reason {
            let error = message.as_str();
            tracing::warn!(state = name, plugin, version, %file, generation, code, error, "a plugin failed");
        } else if state == PluginState::Started {
            let digest = who
                .about
                .as_ref()
                .map(|a| tracing::field::display(&a.digest));
            tracing::info!(state = name, plugin, version, %file, generation, digest, "a plugin is at work");
        } else {
            tracing::info!(state = name, plugin, version, %file, generation, "a plugin went a step further");
        }
        let mut payload = json!({
            "plugin": manifest.map(|m| m.id.as_str()),
            "file": file.as_str(),
            "version": manifest.map(|m| m.version.to_string()),
            "generation": generation,
        });
        if let (Some(reason), Some(payload)) = (reason, payload.as_object_mut()) {
            let reason = json!({"code": reason.code, "message": reason.message});
            payload.insert("reason".into(), reason);
        }
        self.tell(&format!("weir.plugin.{name}"), &payload);
        if let Some(id) = who.id() {
            self.tell_those_who_depend(state, id);
        }
    }

    fn tell_those_who_depend(&self, state: PluginState, id: &PluginId) {
        let topic = match state {
            PluginState::Started => "weir.dependency.started",
            PluginState::Stopped => "weir.dependency.stopped",
            // A new version that failed while the one before serves is nothing to them.
            PluginState::Failed | PluginState::Quarantined if !self.is_at_work(id) => {
                "weir.dependency.failed"
            }
            PluginState::Discovered
            | PluginState::Loaded
            | PluginState::Initialised
            | PluginState::Stopping
            | PluginState::Failed
            | PluginState::Quarantined => return,
        };
        let payload: Value = json!({"plugin": id.as_str()});
        self.tell_dependants(id, topic, &payload);
    }

    /// Is a plugin of this id started, and neither crashed nor stopped since?
    pub(crate) fn is_at_work(&self, id: &PluginId) -> bool {
        let catalog = self.catalog.load();
        let entry = catalog.entry(id);
        entry.is_some_and(|e| crate::status::state_of(e) == PluginState::Started)
    }
}
