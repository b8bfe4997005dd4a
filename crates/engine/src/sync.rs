//! Follows the folder of components: what is new or changed is loaded, what is gone is removed. Booting is a sync from empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{join, join_all};
use model::component::FileName;
use model::error::LoadError;

use crate::catalog::EntryState;
use crate::change::CatalogChange;
use crate::load::Applied;
use crate::{Engine, ManageError, SyncReport};

impl Engine {
    /// Looks at the folder and loads, replaces and removes what changed: by content and settings, not by time. Files are handled side by side; several syncs may run at once.
    pub async fn sync(self: &Arc<Self>) -> SyncReport {
        let report = self.follow(false).await;
        self.ready.store(true, Ordering::SeqCst);
        report
    }

    /// Loads every plugin again that is not stopped, changed or not.
    pub async fn reload_all(self: &Arc<Self>) -> SyncReport {
        self.follow(true).await
    }

    async fn follow(self: &Arc<Self>, force: bool) -> SyncReport {
        let mut report = SyncReport::default();
        let names = match self.ports.components.list().await {
            Ok(names) => names,
            Err(error) => {
                tracing::error!(%error, "the folder of plugins cannot be read");
                report.error = Some(error);
                return report;
            }
        };
        let catalog = self.catalog.load_full();
        let gone = catalog.entries.keys().filter(|name| !names.contains(name));
        let (quiet, busy): (Vec<_>, Vec<_>) = gone.cloned().partition(|name| self.is_quiet(name));
        // Removals first, so that a renamed file finds its id free; but a file that is being changed holds nobody up.
        for (name, result) in self.all_gone(quiet).await {
            report.note(name, result);
        }
        let stopped = |name: &FileName| {
            let entry = catalog.entries.get(name);
            entry.is_some_and(|e| matches!(e.state, EntryState::Stopped))
        };
        let looks = names.into_iter().map(|name| CatalogChange::Refresh {
            force: force && !stopped(&name),
            name,
        });
        let (gone, looked) = join(self.all_gone(busy), self.all(looks)).await;
        for (name, result) in gone.into_iter().chain(looked) {
            report.note(name, result);
        }
        if !self.is_ready() {
            self.settle(&mut report).await;
        }
        report.sort();
        report
    }

    /// At boot files are loaded side by side, so chance would decide which of two with one id is first: the first by name is to have it.
    async fn settle(self: &Arc<Self>, report: &mut SyncReport) {
        let mut pairs = BTreeMap::new();
        report.sort();
        for (name, error) in &report.failed {
            if let LoadError::DuplicateId { file, .. } = error
                && name.as_str() < file.as_str()
                && let Some(holder) = report.loaded.iter().find(|n| n.as_str() == file)
            {
                pairs.entry(holder.clone()).or_insert_with(|| name.clone());
            }
        }
        for (holder, first) in pairs {
            report.failed.retain(|(name, _)| *name != first);
            report.loaded.retain(|name| *name != holder);
            let give_up = CatalogChange::Yield(holder.clone());
            if let Err(error) = self.apply(give_up).await {
                tracing::warn!(%error, file = %holder, "a plugin does not give up its id");
            }
            for name in [first, holder] {
                let look = CatalogChange::Refresh {
                    name: name.clone(),
                    force: true,
                };
                report.note(name, self.apply(look).await);
            }
        }
        self.fall_orphans().await;
    }

    /// Loads side by side. All are on the board before the first begins, so that none is thought missing that is only later in line.
    async fn all(
        self: &Arc<Self>,
        loads: impl Iterator<Item = CatalogChange>,
    ) -> Vec<(FileName, Result<Applied, ManageError>)> {
        let entered = loads.map(|change| (self.enter_board(&change), change));
        let entered: Vec<_> = entered.collect();
        let one = |(ticket, change): (_, CatalogChange)| async move {
            let name = change.file().clone();
            (name, self.apply_with(change, ticket).await)
        };
        join_all(entered.into_iter().map(one)).await
    }

    async fn all_gone(
        self: &Arc<Self>,
        names: Vec<FileName>,
    ) -> Vec<(FileName, Result<Applied, ManageError>)> {
        let one = |name: FileName| async move { (name.clone(), self.vanish(name).await) };
        join_all(names.into_iter().map(one)).await
    }
}

impl SyncReport {
    fn note(&mut self, name: FileName, result: Result<Applied, ManageError>) {
        match result {
            Ok(Applied::Loaded(_)) => self.loaded.push(name),
            Ok(Applied::Removed) => self.removed.push(name),
            Ok(Applied::Unchanged) => self.unchanged += 1,
            Err(ManageError::Load(e)) => self.failed.push((name, e)),
            Err(e) => self.failed.push((name, LoadError::Host(e.to_string()))),
        }
    }

    fn sort(&mut self) {
        self.loaded.sort();
        self.removed.sort();
        self.failed.sort_by(|a, b| a.0.cmp(&b.0));
    }
}
