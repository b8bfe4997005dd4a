//! Who provides what: capabilities that plugins at work name in their manifests, in the operator's order of preference.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::PluginId;
use serde_json::{Map, Value};

use crate::Engine;
use crate::catalog::Entry;
use crate::status::{PluginState, state_of};

/// A capability and who provides it.
#[derive(Debug, Clone)]
pub struct CapabilityStatus {
    /// Its name.
    pub name: String,
    /// Plugins at work that provide it: the preferred ones first, in the configured order, then the rest by id.
    pub providers: Vec<ProviderStatus>,
}

/// A plugin that provides a capability.
#[derive(Debug, Clone)]
pub struct ProviderStatus {
    /// Its id.
    pub plugin: PluginId,
    /// Its version.
    pub version: semver::Version,
    /// The option `type`, which groups providers.
    pub kind: Option<String>,
    /// All other options.
    pub options: Map<String, Value>,
    /// Does the configuration name it?
    pub preferred: bool,
}

impl Engine {
    /// All capabilities that a plugin at work provides, by name.
    #[must_use]
    pub fn capabilities(&self) -> Vec<CapabilityStatus> {
        let catalog = self.catalog.load_full();
        let mut all: BTreeMap<String, Vec<ProviderStatus>> = BTreeMap::new();
        let at_work = |entry: &Entry| state_of(entry) == PluginState::Started;
        for (slot, _) in catalog.slots().filter(|(_, e)| at_work(e)) {
            let about = Arc::clone(&slot.face.load().about);
            for (name, provided) in &about.manifest.provides {
                let preferred = self.rank(name, &slot.id).is_some();
                all.entry(name.clone()).or_default().push(ProviderStatus {
                    plugin: slot.id.clone(),
                    version: about.manifest.version.clone(),
                    kind: provided.kind.clone(),
                    options: provided.options.clone(),
                    preferred,
                });
            }
        }
        let ordered = |(name, mut providers): (String, Vec<ProviderStatus>)| {
            let rank = |p: &ProviderStatus| self.rank(&name, &p.plugin).unwrap_or(usize::MAX);
            providers.sort_by(|a, b| (rank(a), &a.plugin).cmp(&(rank(b), &b.plugin)));
            CapabilityStatus { name, providers }
        };
        all.into_iter().map(ordered).collect()
    }

    /// One capability; none if no plugin at work provides it.
    #[must_use]
    pub fn capability(&self, name: &str) -> Option<CapabilityStatus> {
        self.capabilities().into_iter().find(|c| c.name == name)
    }

    /// Where the configuration names a plugin for a capability.
    fn rank(&self, capability: &str, plugin: &PluginId) -> Option<usize> {
        let preferred = self.options.preferences.get(capability)?;
        preferred.iter().position(|p| p == plugin)
    }
}
