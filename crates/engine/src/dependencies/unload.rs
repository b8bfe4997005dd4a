//! Taking plugins down that others need: refused, or the others first. What failed for this comes back when what it needs does.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use model::component::FileName;
use model::error::LoadError;
use model::id::PluginId;

use super::{Leaving, Order, needs};
use crate::catalog::{EntryState, Failure};
use crate::change::CatalogChange;
use crate::handover::Ending;
use crate::lifecycle::Who;
use crate::load::Applied;
use crate::status::{PluginState, Reason};
use crate::{Engine, ManageError};

impl Engine {
    /// Makes sure that nobody who is at work needs the plugin of this file; nobody begins to until the answer is dropped.
    ///
    /// # Errors
    /// [`ManageError::Needed`] without `force`; nothing has changed then.
    pub(crate) async fn clear(
        self: &Arc<Self>,
        name: &FileName,
        force: bool,
    ) -> Result<Option<Leaving>, ManageError> {
        let slot = self
            .catalog
            .load()
            .entries
            .get(name)
            .and_then(|e| e.slot.clone());
        let Some(slot) = slot else {
            return Ok(None);
        };
        let mut groups = Vec::new();
        let mut order = Order::default();
        let leaving = self.board.leave(|loading| {
            let catalog = self.catalog.load();
            let abouts: Vec<_> = catalog.at_work().chain(loading).collect();
            order = Order::new(&abouts);
            groups = order.dependants(&slot.id);
            let by = groups.concat();
            if !force && !by.is_empty() {
                return Err(ManageError::Needed { by });
            }
            Ok([slot.id.clone()].into_iter().chain(by).collect())
        })?;
        for group in groups {
            let fall = |id: PluginId| self.fall(id, &slot.id, &order);
            join_all(group.into_iter().map(fall)).await;
        }
        Ok(Some(leaving))
    }

    /// Takes one down for want of what it needs.
    async fn fall(self: &Arc<Self>, id: PluginId, gone: &PluginId, order: &Order) {
        let file = self.catalog.load().file(&id).cloned();
        let Some(name) = file else {
            return;
        };
        let chain = order.chain(&id, gone);
        let next = chain.get(1).unwrap_or(gone).clone();
        let last = chain.iter().rev().nth(1).unwrap_or(&id);
        let error = LoadError::Dependency {
            reason: format!("{last} needs {gone}, which was taken down"),
            chain: chain.iter().map(ToString::to_string).collect(),
        };
        let fall = CatalogChange::Fall { name, next, error };
        if let Err(error) = self.apply(fall).await {
            tracing::warn!(plugin = %id, %error, "a plugin was not taken down before what it needs");
        }
    }

    /// Takes a plugin down that needs `next`, and waits until its calls are over and it has stopped, at most 10 s. The caller holds its lane.
    pub(crate) async fn fall_here(
        self: &Arc<Self>,
        name: &FileName,
        next: &PluginId,
        error: LoadError,
    ) -> Applied {
        let at = self.ports.clock.now();
        let fallen = self.edit(|entries| {
            let entry = entries.get_mut(name)?;
            let slot = entry.slot.clone()?;
            let about = Arc::clone(&slot.face.load().about);
            if !matches!(entry.state, EntryState::Live) || !needs(&about, next) {
                return None;
            }
            let reason = Reason::of_load(&error, at);
            let failure = Arc::new(Failure {
                error: Some(error),
                reason,
                about: Some(about),
                restart: slot.face.load().settings.restart,
            });
            entry.state = EntryState::Failed(Arc::clone(&failure));
            Some((slot, failure))
        });
        let Some((slot, failure)) = fallen else {
            return Applied::Unchanged;
        };
        self.supervisor.forget(name);
        let who = Who::of(&slot);
        let over = self.retire(&slot, None, Ending::Failed);
        // The index leaves out what has no version.
        self.reindex();
        over.wait_a_while(&slot.id).await;
        self.transition(PluginState::Failed, &who, Some(&failure.reason));
        Applied::Removed
    }

    /// Takes one down, those that need it first.
    pub(crate) async fn take_down_here(
        self: &Arc<Self>,
        name: FileName,
        force: bool,
        change: fn(FileName) -> CatalogChange,
    ) -> Result<(), ManageError> {
        let id = self.id_of(&name);
        let leaving = self.clear(&name, force).await?;
        let result = self.apply(change(name)).await;
        drop(leaving);
        if let (Err(_), Some(id)) = (&result, id) {
            // It is still there.
            self.retry_dependants(&id);
        }
        result.map(|_| ())
    }

    fn id_of(&self, name: &FileName) -> Option<PluginId> {
        self.catalog.load().entries.get(name)?.id()
    }

    /// The file of a plugin is gone: takes it out, those that need it first.
    pub(crate) async fn vanish(self: &Arc<Self>, name: FileName) -> Result<Applied, ManageError> {
        let id = self.id_of(&name);
        let leaving = self.clear(&name, true).await?;
        let result = self.apply(CatalogChange::Gone(name)).await;
        drop(leaving);
        if let (Ok(Applied::Unchanged), Some(id)) = (&result, id) {
            // It is back already.
            self.retry_dependants(&id);
        }
        result
    }

    /// Plugins whose dependencies are not there any more are taken down.
    pub(crate) async fn fall_orphans(self: &Arc<Self>) {
        let catalog = self.catalog.load_full();
        let abouts: Vec<_> = catalog.at_work().collect();
        let there: HashSet<_> = abouts.iter().map(|a| &a.manifest.id).collect();
        let order = Order::new(&abouts);
        let needed = abouts.iter().flat_map(|a| &a.manifest.dependencies);
        let gone = needed.filter(|d| !d.optional && !there.contains(&d.id));
        let gone: HashSet<_> = gone.map(|d| d.id.clone()).collect();
        for id in gone {
            for group in order.dependants(&id) {
                join_all(group.into_iter().map(|who| self.fall(who, &id, &order))).await;
            }
        }
    }
}
