//! Which hooks there are at which point, in the order they run: part of the catalog's snapshot. Running them is the parent's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::hooks::{HookDeclaration, Mode, PointName};
use model::id::PluginId;
use model::plugin::Role;

use crate::slot::Slot;

/// A hook of a plugin at work.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) slot: Arc<Slot>,
    pub(crate) declaration: HookDeclaration,
}

/// The hooks at one point.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// Those that run, the outermost first; one that replaces the step is last.
    pub(crate) hooks: Vec<Hook>,
    /// Those that would replace the step, too, and do not.
    pub(crate) beaten: Vec<Hook>,
}

/// All points with hooks.
#[derive(Debug, Default)]
pub(crate) struct HookIndex(pub(super) BTreeMap<PointName, Arc<Chain>>);

impl HookIndex {
    /// The hooks of these plugins, of which only those at work count.
    pub(crate) fn new<'a>(slots: impl Iterator<Item = &'a Arc<Slot>>) -> Self {
        let mut all: BTreeMap<PointName, Vec<Hook>> = BTreeMap::new();
        for slot in slots {
            for declaration in granted(slot) {
                let point = declaration.point.clone();
                let slot = Arc::clone(slot);
                all.entry(point)
                    .or_default()
                    .push(Hook { slot, declaration });
            }
        }
        let chain = |(point, hooks)| (point, Arc::new(Chain::new(hooks)));
        Self(all.into_iter().map(chain).collect())
    }

    /// The hooks at a point.
    pub(crate) fn at(&self, point: &str) -> Option<(PointName, Arc<Chain>)> {
        let (name, chain) = self.0.get_key_value(point)?;
        Some((name.clone(), Arc::clone(chain)))
    }

    /// Hooks that would replace a step and do not, each with the plugin that does.
    pub(crate) fn beaten(&self) -> impl Iterator<Item = (&Hook, &PluginId)> {
        self.0.values().flat_map(|chain| {
            let winner = chain.hooks.last().map(|h| &h.slot.id);
            chain.beaten.iter().zip(winner.into_iter().cycle())
        })
    }
}

impl Chain {
    fn new(mut hooks: Vec<Hook>) -> Self {
        hooks.sort_by(|a, b| {
            let key = |h: &Hook| {
                (
                    h.declaration.priority,
                    h.slot.id.clone(),
                    h.declaration.mode,
                )
            };
            key(a).cmp(&key(b))
        });
        let (replacing, mut hooks): (Vec<_>, Vec<_>) = hooks
            .into_iter()
            .partition(|h| h.declaration.mode == Mode::Replace);
        let mut replacing = replacing.into_iter();
        hooks.extend(replacing.next());
        Self {
            hooks,
            beaten: replacing.collect(),
        }
    }
}

/// The hooks of a plugin at work that its settings grant.
fn granted(slot: &Slot) -> Vec<HookDeclaration> {
    let face = slot.face.load();
    if slot.current.load().is_none() || !face.about.roles.contains(&Role::Hooks) {
        return Vec::new();
    }
    let Some(grant) = &face.settings.grants.hooks else {
        return Vec::new();
    };
    let hooks = face.about.manifest.hooks.iter();
    hooks.filter(|h| grant.covers(&h.point)).cloned().collect()
}
