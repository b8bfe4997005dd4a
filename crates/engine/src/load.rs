//! How a component becomes the version at work: settings, inspection, id, valves, dependencies, init, handover, start, store, swap. A load that fails changes
//! nothing but the reason shown.

mod attempt;
mod claim;
mod failure;
mod turns;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::component::{ComponentFile, FileName, Origin};
use model::error::LoadError;
use model::plugin::{About, Candidate, Plugin};
use model::settings::{PluginSettings, Restart};

use crate::catalog::{Entry, EntryState, Tried};
use crate::dependencies::Ticket;
use crate::handover::{Ending, Handover};
use crate::lifecycle::{Stage, Who};
use crate::metrics::{Call, Meters, Outcome};
use crate::quarantine::Health;
use crate::settings::Settings;
use crate::slot::{Slot, Version};
use crate::status::PluginState;
use crate::valves::StartValves;
use crate::{Engine, Installed};

use turns::Turn;
pub(crate) use turns::Turns;

/// Where a component comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A client brings it; it is stored once it works.
    Client(ComponentFile, Origin),
    /// It lies in the folder.
    Folder { name: FileName, force: bool },
    /// It lies in the folder and its plugin was stopped.
    Stopped(FileName),
    /// It lies in the folder, and its plugin crashed or did not start.
    Crashed(FileName),
}

/// What a change did.
#[derive(Debug)]
pub(crate) enum Applied {
    Loaded(Installed),
    Unchanged,
    Removed,
}

/// A component that is being loaded.
struct Attempt {
    file: ComponentFile,
    origin: Origin,
    store: bool,
    tried: Tried,
    /// Somebody wants it so, or it has changed: what happened before does not count.
    anew: bool,
}

/// How far a load has come.
struct Progress {
    who: Who,
    /// Shown while it is the first of its file.
    stage: Stage,
    ticket: Ticket,
    /// Does its file lie in the folder, so that it is listed whatever becomes of it?
    listed: bool,
    restart: Restart,
}

/// A component that may be loaded: it has said what it is, and what it needs is there.
pub(crate) struct Prepared {
    pub(crate) candidate: Box<dyn Candidate>,
    pub(crate) origin: Origin,
    pub(crate) who: Who,
    settings: Arc<PluginSettings>,
    valves: StartValves,
    tried: Tried,
    store: Option<ComponentFile>,
    stage: Stage,
}

/// A plugin that is loaded but not yet at work.
pub(crate) struct Ready {
    pub(crate) plugin: Arc<dyn Plugin>,
    pub(crate) settings: Arc<PluginSettings>,
    pub(crate) valves: StartValves,
}

impl Engine {
    /// Loads one file. The caller holds its lane.
    pub(crate) async fn load(
        self: &Arc<Self>,
        source: Source,
        ticket: Ticket,
    ) -> Result<Applied, LoadError> {
        let reading = self.turns.reading().await?;
        let name = match &source {
            Source::Client(file, _) => file.name.clone(),
            Source::Folder { name, .. } | Source::Stopped(name) | Source::Crashed(name) => {
                name.clone()
            }
        };
        let mut progress = Progress {
            who: self.next_version(&name),
            stage: Stage::default(),
            ticket,
            listed: !matches!(source, Source::Client(..)),
            restart: Restart::default(),
        };
        let attempt = match self.attempt(source).await {
            Ok(Some(attempt)) => attempt,
            Ok(None) => return Ok(Applied::Unchanged),
            Err(error) => return Err(self.failed(&progress, Origin::Folder, None, error)),
        };
        if attempt.anew && progress.listed {
            self.supervisor.forget(&name);
        }
        let (origin, tried) = (attempt.origin.clone(), attempt.tried.clone());
        if progress.listed {
            self.loading(&name, &origin, &progress.stage);
        }
        self.transition(PluginState::Discovered, &progress.who, None);
        match self.bring_up(attempt, &mut progress, reading).await {
            Ok(installed) => {
                self.load_counts.ok.fetch_add(1, Ordering::Relaxed);
                Ok(Applied::Loaded(installed))
            }
            Err(error) => Err(self.failed(&progress, origin, Some(tried), error)),
        }
    }

    /// The version that a load of this file would put to work.
    fn next_version(&self, name: &FileName) -> Who {
        let catalog = self.catalog.load();
        let slot = catalog.entries.get(name).and_then(|e| e.slot.as_ref());
        let last = slot.map_or(0, |s| s.face.load().generation);
        Who {
            file: name.clone(),
            about: None,
            generation: last.saturating_add(1),
        }
    }

    fn passed(&self, progress: &Progress, state: PluginState) {
        progress.stage.set(state);
        self.transition(state, &progress.who, None);
    }

    async fn bring_up(
        self: &Arc<Self>,
        attempt: Attempt,
        progress: &mut Progress,
        reading: Turn,
    ) -> Result<Installed, LoadError> {
        let Attempt {
            file,
            origin,
            store,
            tried,
            anew,
        } = attempt;
        let name = file.name.clone();
        let settings = Settings::read(&name, tried.settings.as_deref())?;
        let admission = settings.admission(&tried.digest, &self.options)?;
        // Read on only while there is room: what waits for a compiler holds its bytes.
        let room = self.turns.room(file.bytes.len()).await?;
        drop(reading);
        let stored = store.then(|| file.clone());
        let candidate = self.ports.loader.inspect(file, admission).await?;
        drop(room);
        let about = Arc::clone(candidate.about());
        self.described(progress, &about);
        let claim = self.claim(&about, &name)?;
        let checked = Arc::new(settings.check(&about, &tried.digest, &self.options)?);
        progress.restart = checked.restart;
        let valves = self
            .start_valves(&about, &checked, settings.source(&about))
            .await?;
        self.passed(progress, PluginState::Loaded);
        self.await_dependencies(&mut progress.ticket, &name, &about)
            .await?;
        let prepared = Prepared {
            candidate,
            origin,
            who: progress.who.clone(),
            settings: checked,
            valves,
            tried,
            store: stored,
            stage: progress.stage.clone(),
        };
        let installed = self.load_with_hooks(prepared).await?;
        claim.keep();
        if anew {
            self.supervisor.forget(&name);
        }
        self.transition(PluginState::Started, &progress.who, None);
        self.retry_dependants(&installed.id);
        Ok(installed)
    }

    /// Loads, initialises and starts it, and puts it to work.
    pub(crate) async fn load_prepared(
        self: &Arc<Self>,
        prepared: Prepared,
    ) -> Result<Installed, LoadError> {
        let Prepared {
            candidate,
            origin,
            who,
            settings,
            valves,
            tried,
            store,
            stage,
        } = prepared;
        let turn = self.turns.init().await?;
        let plugin = candidate
            .load(Arc::clone(&settings), valves.announced())
            .await?;
        drop(turn);
        stage.set(PluginState::Initialised);
        self.transition(PluginState::Initialised, &who, None);
        let ready = Ready {
            plugin,
            settings,
            valves,
        };
        self.put_to_work(ready, &who.file, origin, tried, store)
            .await
    }

    /// A component has said what it is.
    fn described(&self, progress: &mut Progress, about: &Arc<About>) {
        let who = &mut progress.who;
        let catalog = self.catalog.load();
        let entry = catalog.entries.get(&who.file);
        let slot = entry.and_then(|e| e.slot.as_ref());
        if slot.is_some_and(|s| s.id != about.manifest.id) {
            who.generation = 1;
        }
        who.about = Some(Arc::clone(about));
    }

    /// Hands over, starts, stores the file, and swaps.
    async fn put_to_work(
        self: &Arc<Self>,
        ready: Ready,
        name: &FileName,
        origin: Origin,
        tried: Tried,
        store: Option<ComponentFile>,
    ) -> Result<Installed, LoadError> {
        let old = self
            .catalog
            .load()
            .entries
            .get(name)
            .and_then(|e| e.slot.clone());
        let same = old
            .clone()
            .filter(|slot| slot.id == ready.plugin.about().manifest.id);
        let handover = match &same {
            Some(slot) => Handover::begin(self, slot, &ready.plugin).await?,
            None => None,
        };
        let began = self.ports.clock.monotonic();
        let started = Arc::clone(&ready.plugin).start().await;
        let fresh = Meters::default();
        let took = self.ports.clock.monotonic().saturating_sub(began);
        let outcome = if started.is_ok() {
            Outcome::Ok
        } else {
            Outcome::Failed
        };
        same.as_ref()
            .map_or(&fresh, |s| &s.meters)
            .call(Call::Start, outcome, took);
        started.map_err(|e| LoadError::Start {
            call: "start",
            fault: e.fault,
        })?;
        let generation = same
            .as_ref()
            .map_or(1, |s| s.face.load().generation.saturating_add(1));
        let version = self.version(ready, generation);
        self.ask_models(&version, same.as_ref()).await;
        if self.closing.load(Ordering::SeqCst) {
            self.stop_unused(&version).await;
            return Err(LoadError::Host("the host is shutting down".into()));
        }
        if let Some(file) = store
            && let Err(e) = self.ports.components.write(file).await
        {
            self.stop_unused(&version).await;
            return Err(LoadError::Host(e.to_string()));
        }
        let slot = match same {
            Some(slot) => slot,
            None => Arc::new(Slot::new(
                name.clone(),
                Arc::clone(&version),
                Health::new(self.options.quarantine),
                fresh,
            )),
        };
        self.swap(name, origin, tried, &slot, &version, old);
        if let Some(handover) = handover {
            handover.done();
        }
        let manifest = &version.face.about.manifest;
        let replaced = generation > 1;
        Ok(Installed {
            id: manifest.id.clone(),
            version: manifest.version.clone(),
            file: name.clone(),
            replaced,
        })
    }

    /// Puts the version in its place, and lets go what was there.
    fn swap(
        self: &Arc<Self>,
        name: &FileName,
        origin: Origin,
        tried: Tried,
        slot: &Arc<Slot>,
        version: &Arc<Version>,
        old: Option<Arc<Slot>>,
    ) {
        slot.health.reset();
        let is_new = old.as_ref().is_none_or(|old| !Arc::ptr_eq(old, slot));
        if !is_new {
            self.retire(slot, Some(Arc::clone(version)), Ending::Replaced);
        }
        self.edit(|entries| {
            entries.insert(
                name.clone(),
                Entry {
                    origin,
                    tried: Some(tried),
                    slot: Some(Arc::clone(slot)),
                    state: EntryState::Live,
                    last_error: None,
                },
            )
        });
        if let Some(old) = old.filter(|_| is_new) {
            // The file holds another plugin now.
            self.release(&old.id, name);
            self.retire(&old, None, Ending::Removed);
        }
    }

    /// A version that was started but will not be used.
    async fn stop_unused(&self, version: &Arc<Version>) {
        if let Err(error) = Arc::clone(&version.plugin).stop().await {
            tracing::warn!(%error, "a plugin did not stop cleanly");
        }
    }
}
