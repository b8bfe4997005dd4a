//! Loads under way, and which of them wait for which. Whether a dependency that is not being loaded will do is the catalog's word.
//!
//! A load enters before anything is read, so that at boot nobody is called missing who has only not spoken yet. Once it has said what it is, it waits for
//! what it depends on: an edge of the graph for each. Edges only go: when what they lead to has ended, or when all who entered before have spoken and it
//! was none of them. A load goes on when it has no edge left. An optional edge that is part of a circle goes at once; a circle of others fails its members.

mod waits;

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use model::component::FileName;
use model::id::PluginId;
use model::plugin::About;
use tokio::sync::Notify;

use crate::catalog::Catalog;
use crate::slot::lock;

use waits::{Load, State};

/// Loads under way.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
}

/// A load's place on the board; given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    board: Arc<Board>,
    file: FileName,
    /// It is this one's turn to speak for the file.
    begun: bool,
    described: Option<(PluginId, Arc<Notify>)>,
}

/// Plugins that are about to be taken down. Until dropped, no load counts on them.
#[derive(Debug)]
pub(crate) struct Leaving {
    board: Arc<Board>,
    ids: Vec<PluginId>,
}

impl Board {
    /// A load is going to happen.
    pub(crate) fn enter(self: &Arc<Self>, file: &FileName) -> Ticket {
        let mut state = lock(&self.state);
        let (next, entry) = (state.next, state.files.entry(file.clone()).or_default());
        entry.tickets += 1;
        if entry.tickets == 1 {
            entry.number = Some(next);
            state.next += 1;
            state.silent.insert(next);
        }
        Ticket {
            board: Arc::clone(self),
            file: file.clone(),
            begun: false,
            described: None,
        }
    }

    /// Nobody is to wait any more.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        for node in state.graph.node_weights() {
            if let Some(load) = &node.load {
                load.wake.notify_one();
            }
        }
    }

    /// What is being loaded, as far as it has spoken.
    pub(crate) fn abouts(&self) -> Vec<Arc<About>> {
        let state = lock(&self.state);
        let loads = state.graph.node_weights().filter_map(|n| n.load.as_ref());
        loads.map(|load| Arc::clone(&load.about)).collect()
    }

    /// Marks plugins that are about to be taken down, as `choose` says. It sees what is being loaded; no load speaks meanwhile.
    pub(crate) fn leave<E>(
        self: &Arc<Self>,
        choose: impl FnOnce(Vec<Arc<About>>) -> Result<Vec<PluginId>, E>,
    ) -> Result<Leaving, E> {
        let mut state = lock(&self.state);
        let loads = state.graph.node_weights().filter_map(|n| n.load.as_ref());
        let ids = choose(loads.map(|load| Arc::clone(&load.about)).collect())?;
        for id in &ids {
            *state.leaving.entry(id.clone()).or_default() += 1;
        }
        Ok(Leaving {
            board: Arc::clone(self),
            ids,
        })
    }

    pub(crate) fn is_leaving(&self, id: &PluginId) -> bool {
        lock(&self.state).leaving.contains_key(id)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = lock(&self.board.state);
        for id in &self.ids {
            if let Some(count) = state.leaving.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    state.leaving.remove(id);
                }
            }
        }
    }
}

impl Ticket {
    /// The load has its turn among those of its file.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
        let mut state = lock(&self.board.state);
        let next = state.next;
        if let Some(entry) = state.files.get_mut(&self.file)
            && entry.number.is_none()
        {
            entry.number = Some(next);
            state.next += 1;
            state.silent.insert(next);
        }
    }

    /// The load has said what it is. `patient`: it is to wait until all others have, too.
    pub(crate) fn describe(
        &mut self,
        about: &Arc<About>,
        catalog: &ArcSwap<Catalog>,
        patient: bool,
    ) {
        let id = &about.manifest.id;
        let wake = Arc::new(Notify::new());
        let mut state = lock(&self.board.state);
        let index = state.node(id);
        let load = Load::new(Arc::clone(about), Arc::clone(&wake));
        let node = state.graph.node_weight_mut(index);
        let before = node.and_then(|n| n.load.replace(load));
        if before.is_some() {
            // One of another file that gave the id up and has failed.
            state.let_go(index);
        }
        self.described = Some((id.clone(), wake));
        state.spoken(&self.file);
        // Under the lock: who ends after this look finds the edge.
        let catalog = catalog.load();
        state.depend(index, about, &catalog, patient);
        state.fail_circle(about, &catalog);
        state.relax(index);
    }

    /// Waits until all it depends on is decided.
    ///
    /// # Errors
    /// It depends on itself in the end: the circle.
    pub(crate) async fn decided(&self) -> Result<(), Vec<PluginId>> {
        let Some((id, wake)) = &self.described else {
            return Ok(());
        };
        loop {
            {
                let state = lock(&self.board.state);
                let Some(index) = state.nodes.get(id).filter(|_| !state.closed) else {
                    return Ok(());
                };
                let load = state
                    .graph
                    .node_weight(*index)
                    .and_then(|n| n.load.as_ref());
                if let Some(circle) = load.and_then(|l| l.circle.clone()) {
                    return Err(circle);
                }
                if state.is_free(*index) {
                    return Ok(());
                }
            }
            wake.notified().await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.board.state);
        if let Some((id, wake)) = &self.described {
            state.ended(id, wake);
        } else if self.begun {
            state.spoken(&self.file);
        }
        let Some(entry) = state.files.get_mut(&self.file) else {
            return;
        };
        entry.tickets -= 1;
        if entry.tickets == 0 {
            state.spoken(&self.file);
            state.files.remove(&self.file);
        }
    }
}
