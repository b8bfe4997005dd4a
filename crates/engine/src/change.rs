//! The one place where the catalog changes: boot, folder, upload, URL, reload, delete, stop and start all become a [`CatalogChange`].
//!
//! Changes of one file come one after another, those of different files side by side. How a component becomes a version is `load`'s business.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::component::{ComponentFile, FileName, Origin};
use model::error::LoadError;
use model::id::PluginId;
use model::limits::Limit;
use tracing::Instrument as _;

use crate::catalog::{Catalog, Entry, EntryState};
use crate::dependencies::Ticket;
use crate::handover::Ending;
use crate::load::{Applied, Source};
use crate::slot::lock;
use crate::status::Reason;
use crate::{Engine, Installed, ManageError};

/// What is to happen to one component file.
#[derive(Debug)]
pub(crate) enum CatalogChange {
    /// A client brings it: load it, then store it.
    Put(ComponentFile, Origin),
    /// Look at the folder: load it if it is new or has changed; always if `force`.
    Refresh { name: FileName, force: bool },
    /// It is gone from the folder: if that is still so, remove its plugin.
    Gone(FileName),
    /// Remove its plugin, so that another file may have its id.
    Yield(FileName),
    /// Remove it from the folder, and its plugin.
    Delete(FileName),
    /// Stop its plugin.
    Stop(FileName),
    /// Start its plugin again.
    Start(FileName),
    /// It crashed or did not start, and its time has come.
    Restart(FileName),
    /// It crashed too often.
    GiveUp { name: FileName, reason: Reason },
    /// Its plugin needs `next`, which is about to be taken down.
    Fall {
        name: FileName,
        next: PluginId,
        error: LoadError,
    },
}

/// The order of changes of one file.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    busy: Arc<tokio::sync::Mutex<()>>,
    /// A look at the folder waits already: a second one would see the same.
    looking: AtomicBool,
}

pub(crate) type Lanes = std::sync::Mutex<HashMap<FileName, Arc<Lane>>>;

impl CatalogChange {
    /// The file it is about.
    pub(crate) fn file(&self) -> &FileName {
        match self {
            Self::Put(file, _) => &file.name,
            Self::Refresh { name, .. }
            | Self::GiveUp { name, .. }
            | Self::Fall { name, .. }
            | Self::Restart(name)
            | Self::Gone(name)
            | Self::Yield(name)
            | Self::Delete(name)
            | Self::Stop(name)
            | Self::Start(name) => name,
        }
    }

    fn is_load(&self) -> bool {
        matches!(
            self,
            Self::Put(..) | Self::Refresh { .. } | Self::Start(_) | Self::Restart(_)
        )
    }
}

impl Engine {
    /// Applies a change, in a task of its own: a client that leaves cannot leave it half-done.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        change: CatalogChange,
    ) -> Result<Applied, ManageError> {
        let ticket = self.enter_board(&change);
        self.apply_with(change, ticket).await
    }

    /// A load is seen by others from now on, before it has begun.
    pub(crate) fn enter_board(&self, change: &CatalogChange) -> Option<Ticket> {
        change.is_load().then(|| self.board.enter(change.file()))
    }

    /// Applies a change that is on the board already, if it is a load.
    pub(crate) async fn apply_with(
        self: &Arc<Self>,
        change: CatalogChange,
        ticket: Option<Ticket>,
    ) -> Result<Applied, ManageError> {
        let engine = Arc::clone(self);
        let work = async move {
            let name = change.file().clone();
            let result = engine.apply_here(change, ticket).await;
            engine.forget_lane(&name);
            result
        };
        // In the caller's span, so that what is logged has the request's id.
        match tokio::spawn(work.in_current_span()).await {
            Ok(result) => result,
            Err(e) => {
                tracing::error!(error = %e, "a change of the catalog broke off");
                Err(LoadError::Host(format!("the change broke off: {e}")).into())
            }
        }
    }

    async fn apply_here(
        self: &Arc<Self>,
        change: CatalogChange,
        ticket: Option<Ticket>,
    ) -> Result<Applied, ManageError> {
        let lane = self.lane(change.file());
        let is_look = matches!(change, CatalogChange::Refresh { force: false, .. });
        if is_look && lane.looking.swap(true, Ordering::SeqCst) {
            return Ok(Applied::Unchanged);
        }
        let _turn = lane.busy.lock().await;
        if is_look {
            lane.looking.store(false, Ordering::SeqCst);
        }
        if self.closing.load(Ordering::SeqCst) {
            return Err(ManageError::ShuttingDown);
        }
        // Given back before the turn is over.
        let ticket = ticket;
        match ticket {
            Some(ticket) => self.load_one(change, ticket).await,
            None => self.change_one(change).await,
        }
    }

    async fn load_one(
        self: &Arc<Self>,
        change: CatalogChange,
        mut ticket: Ticket,
    ) -> Result<Applied, ManageError> {
        ticket.begin();
        let source = match change {
            CatalogChange::Put(file, origin) => Source::Client(file, origin),
            CatalogChange::Refresh { name, force } => Source::Folder { name, force },
            CatalogChange::Start(name) => Source::Stopped(name),
            CatalogChange::Restart(name) if self.may_restart(&name) => Source::Crashed(name),
            _ => return Ok(Applied::Unchanged),
        };
        self.load(source, ticket).await.map_err(Into::into)
    }

    async fn change_one(self: &Arc<Self>, change: CatalogChange) -> Result<Applied, ManageError> {
        match change {
            CatalogChange::Gone(name) => {
                let most = self.options.ceilings.get(Limit::ComponentBytes);
                // An upload may have written it in the meantime, and what cannot be read is not gone.
                match self.ports.components.read(name.clone(), most).await {
                    Ok(None) => self.take_out(&name),
                    Ok(Some(_)) | Err(_) => return Ok(Applied::Unchanged),
                }
                tracing::info!(file = %name, "a component file is gone; its plugin is removed");
                Ok(Applied::Removed)
            }
            CatalogChange::Yield(name) => {
                self.take_out(&name);
                Ok(Applied::Removed)
            }
            CatalogChange::Delete(name) => {
                self.ports.components.remove(name.clone()).await?;
                self.take_out(&name);
                tracing::info!(file = %name, "a component file was deleted; its plugin is removed");
                Ok(Applied::Removed)
            }
            CatalogChange::Stop(name) => self.stop_file(&name).await,
            CatalogChange::GiveUp { name, reason } => Ok(self.give_up(&name, &reason)),
            CatalogChange::Fall { name, next, error } => {
                Ok(self.fall_here(&name, &next, error).await)
            }
            CatalogChange::Put(..)
            | CatalogChange::Refresh { .. }
            | CatalogChange::Start(_)
            | CatalogChange::Restart(_) => Ok(Applied::Unchanged),
        }
    }

    /// Changes the entries; readers see the new snapshot at once.
    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut BTreeMap<FileName, Entry>) -> T) -> T {
        let _one = lock(&self.editing);
        let mut entries = self.catalog.load().entries.clone();
        let result = change(&mut entries);
        self.publish(Catalog::new(entries));
        result
    }

    /// Makes the index anew, after valves or models have changed.
    pub(crate) fn reindex(&self) {
        self.edit(|_| ());
    }

    /// Takes a file and its plugin out of the catalog. Calls under way finish.
    fn take_out(self: &Arc<Self>, name: &FileName) {
        let entry = self.edit(|entries| entries.remove(name));
        self.supervisor.remove(name);
        if let Some(slot) = entry.and_then(|e| e.slot) {
            self.release(&slot.id, name);
            self.retire(&slot, None, Ending::Removed);
        }
    }

    /// Stops a plugin, and waits until it has stopped; one that failed is not tried again.
    async fn stop_file(self: &Arc<Self>, name: &FileName) -> Result<Applied, ManageError> {
        self.supervisor.forget(name);
        let stopped = self.edit(|entries| {
            let entry = entries.get_mut(name)?;
            entry.state = EntryState::Stopped;
            Some(entry.slot.clone())
        });
        let Some(slot) = stopped else {
            return Err(ManageError::NotFound(name.stem().into()));
        };
        if let Some(slot) = slot {
            let over = self.retire(&slot, None, Ending::Stopped);
            // The index leaves out what has no version.
            self.reindex();
            over.wait_a_while(&slot.id).await;
        }
        Ok(Applied::Removed)
    }

    fn lane(&self, name: &FileName) -> Arc<Lane> {
        Arc::clone(lock(&self.lanes).entry(name.clone()).or_default())
    }

    /// Is no change of this file under way?
    pub(crate) fn is_quiet(&self, name: &FileName) -> bool {
        self.lane(name).busy.try_lock().is_ok()
    }

    /// Waits until no other change of this file is under way; others wait until the answer is dropped.
    pub(crate) async fn turn(&self, name: &FileName) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.lane(name).busy).lock_owned().await
    }

    /// Lets a lane go that nobody uses.
    pub(crate) fn forget_lane(&self, name: &FileName) {
        let mut lanes = lock(&self.lanes);
        if lanes.get(name).is_some_and(|l| Arc::strong_count(l) == 1) {
            lanes.remove(name);
        }
    }

    /// Applies a change that puts a plugin to work.
    pub(crate) async fn put(
        self: &Arc<Self>,
        file: ComponentFile,
        origin: Origin,
    ) -> Result<Installed, LoadError> {
        match self.apply(CatalogChange::Put(file, origin)).await {
            Ok(Applied::Loaded(installed)) => Ok(installed),
            Ok(Applied::Unchanged | Applied::Removed) => {
                Err(LoadError::Host("the component was not loaded".into()))
            }
            Err(ManageError::Load(e)) => Err(e),
            Err(e) => Err(LoadError::Host(e.to_string())),
        }
    }
}
