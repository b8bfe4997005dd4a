//! Loads under way, and which of them wait for which. Whether a dependency that is not being loaded will do is the catalog's word.
//!
//! A load enters before anything is read, so that at boot nobody is called missing who has only not spoken yet. Once it has said what it is, it waits for
//! what it depends on: an edge of the graph for each. Edges only go: when what they lead to has ended, or when all who entered before have spoken and it
//! was none of them. A load goes on when it has no edge left. An optional edge that is part of a circle goes at once; a circle of others fails its members.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use model::component::FileName;
use model::id::PluginId;
use model::plugin::About;
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{Dfs, EdgeRef as _, Reversed, Walker as _};
use tokio::sync::Notify;

use crate::catalog::Catalog;
use crate::slot::lock;

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

#[derive(Debug, Default)]
struct State {
    next: u64,
    files: HashMap<FileName, OfFile>,
    /// Numbers of files that have not said yet what they are.
    silent: BTreeSet<u64>,
    /// Who is to hear when all silent files with a lower number have spoken.
    patient: BTreeMap<u64, Vec<PluginId>>,
    /// From who waits to what it waits for; the weight: is it optional?
    graph: StableDiGraph<Node, bool>,
    nodes: HashMap<PluginId, NodeIndex>,
    leaving: HashMap<PluginId, usize>,
    closed: bool,
}

#[derive(Debug, Default)]
struct OfFile {
    tickets: usize,
    /// Its number, while it has not spoken. Of several loads of one file only the first counts: the others wait for it.
    number: Option<u64>,
}

/// A plugin that is being loaded, or that somebody waits for.
#[derive(Debug)]
struct Node {
    id: PluginId,
    load: Option<Load>,
}

#[derive(Debug)]
struct Load {
    about: Arc<About>,
    wake: Arc<Notify>,
    /// It waits for all silent files, too.
    patient: bool,
    /// It depends on itself in the end; from itself to itself.
    circle: Option<Vec<PluginId>>,
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
        let load = Load {
            about: Arc::clone(about),
            wake: Arc::clone(&wake),
            patient: false,
            circle: None,
        };
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

impl State {
    /// The node of a plugin.
    fn node(&mut self, id: &PluginId) -> NodeIndex {
        let graph = &mut self.graph;
        let new = || {
            graph.add_node(Node {
                id: id.clone(),
                load: None,
            })
        };
        *self.nodes.entry(id.clone()).or_insert_with(new)
    }

    fn load(&self, index: NodeIndex) -> Option<&Load> {
        self.graph.node_weight(index)?.load.as_ref()
    }

    /// Draws the edges of a load that has just spoken.
    fn depend(&mut self, index: NodeIndex, about: &About, catalog: &Catalog, patient: bool) {
        let silent = !self.silent.is_empty();
        let mut listens = patient && silent;
        if let Some(load) = self
            .graph
            .node_weight_mut(index)
            .and_then(|n| n.load.as_mut())
        {
            load.patient = listens;
        }
        for dependency in &about.manifest.dependencies {
            let loads = self.nodes.get(&dependency.id).copied();
            let is_loading = loads.is_some_and(|i| self.load(i).is_some());
            let may_come = silent
                && (self.leaving.contains_key(&dependency.id) || !catalog.will_do(dependency));
            if is_loading || may_come {
                let to = self.node(&dependency.id);
                self.graph.add_edge(index, to, dependency.optional);
                listens |= !is_loading;
            }
        }
        if listens {
            let listening = self.patient.entry(self.next).or_default();
            listening.push(about.manifest.id.clone());
        }
    }

    /// Has it nothing to wait for?
    fn is_free(&self, index: NodeIndex) -> bool {
        let patient = self.load(index).is_some_and(|l| l.patient);
        !patient
            && self
                .graph
                .neighbors_directed(index, Outgoing)
                .next()
                .is_none()
    }

    fn wake_if_free(&self, index: NodeIndex) {
        if let Some(load) = self.load(index).filter(|_| self.is_free(index)) {
            load.wake.notify_one();
        }
    }

    /// A file has said what it is, or will not.
    fn spoken(&mut self, file: &FileName) {
        let number = self.files.get_mut(file).and_then(|f| f.number.take());
        let Some(number) = number else {
            return;
        };
        self.silent.remove(&number);
        let least = self.silent.first().copied().unwrap_or(u64::MAX);
        while let Some(first) = self.patient.first_entry()
            && *first.key() <= least
        {
            for id in first.remove() {
                self.all_spoke(&id);
            }
        }
    }

    /// Who entered before this load has spoken: what nobody turned out to be, it does not wait for.
    fn all_spoke(&mut self, id: &PluginId) {
        let Some(index) = self.nodes.get(id).copied() else {
            return;
        };
        if let Some(load) = self
            .graph
            .node_weight_mut(index)
            .and_then(|n| n.load.as_mut())
        {
            load.patient = false;
        }
        let edges: Vec<_> = self
            .graph
            .edges(index)
            .map(|e| (e.id(), e.target()))
            .collect();
        for (edge, to) in edges {
            if self.load(to).is_none() {
                self.graph.remove_edge(edge);
                self.forget(to);
            }
        }
        self.wake_if_free(index);
    }

    /// A load is over, well or not.
    fn ended(&mut self, id: &PluginId, wake: &Arc<Notify>) {
        let Some(index) = self.nodes.get(id).copied() else {
            return;
        };
        let is_this = |load: &Load| Arc::ptr_eq(&load.wake, wake);
        if !self.load(index).is_some_and(is_this) {
            return;
        }
        self.let_go(index);
        let waited: Vec<_> = self.graph.neighbors_directed(index, Incoming).collect();
        self.graph.remove_node(index);
        self.nodes.remove(id);
        for other in waited {
            self.wake_if_free(other);
        }
    }

    /// It waits for nothing any more.
    fn let_go(&mut self, index: NodeIndex) {
        let edges: Vec<_> = self
            .graph
            .edges(index)
            .map(|e| (e.id(), e.target()))
            .collect();
        for (edge, to) in edges {
            self.graph.remove_edge(edge);
            self.forget(to);
        }
    }

    /// Lets a node go that is not being loaded and that nobody waits for.
    fn forget(&mut self, index: NodeIndex) {
        let waited = self.graph.neighbors_directed(index, Incoming).next();
        if self.load(index).is_none()
            && waited.is_none()
            && let Some(node) = self.graph.remove_node(index)
        {
            self.nodes.remove(&node.id);
        }
    }

    /// Tells the members of a circle that this load closes. Those at work already are not touched.
    fn fail_circle(&mut self, about: &Arc<About>, catalog: &Catalog) {
        let Some(circle) = self.circle(about, catalog) else {
            return;
        };
        for (at, id) in circle.iter().enumerate() {
            let index = self.nodes.get(id).copied();
            let node = index.and_then(|i| self.graph.node_weight_mut(i));
            if let Some(load) = node.and_then(|n| n.load.as_mut()) {
                let (before, after) = circle.split_at(at);
                load.circle = Some(after.iter().chain(before).chain([id]).cloned().collect());
                load.wake.notify_one();
            }
        }
    }

    /// The shortest way from this load back to itself, along what plugins cannot do without.
    fn circle(&self, about: &Arc<About>, catalog: &Catalog) -> Option<Vec<PluginId>> {
        let start = &about.manifest.id;
        let index = self.nodes.get(start)?;
        let is_waited_for = self.graph.edges_directed(*index, Incoming).next().is_some();
        if !about.manifest.dependencies.iter().any(|d| !d.optional)
            || !(is_waited_for || catalog.is_needed(start))
        {
            return None;
        }
        let mut came_from: HashMap<PluginId, PluginId> = HashMap::new();
        let mut queue = VecDeque::from([Arc::clone(about)]);
        while let Some(about) = queue.pop_front() {
            let id = &about.manifest.id;
            for dependency in about.manifest.dependencies.iter().filter(|d| !d.optional) {
                if dependency.id == *start {
                    let back = std::iter::successors(Some(id), |id| came_from.get(*id));
                    let mut circle: Vec<_> = back.cloned().collect();
                    circle.reverse();
                    return Some(circle);
                }
                if came_from.contains_key(&dependency.id) {
                    continue;
                }
                let index = self.nodes.get(&dependency.id);
                let loading = index
                    .and_then(|i| self.load(*i))
                    .map(|l| Arc::clone(&l.about));
                if let Some(next) = loading.or_else(|| catalog.about(&dependency.id)) {
                    came_from.insert(dependency.id.clone(), id.clone());
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// Nobody waits for something optional that waits for them in turn.
    fn relax(&mut self, index: NodeIndex) {
        if self.graph.edges_directed(index, Incoming).next().is_none() {
            return;
        }
        let onward: HashSet<_> = Dfs::new(&self.graph, index).iter(&self.graph).collect();
        let back = Reversed(&self.graph);
        let round: HashSet<_> = Dfs::new(back, index)
            .iter(back)
            .filter(|i| onward.contains(i))
            .collect();
        for member in &round {
            let edges = self.graph.edges(*member);
            let optional = edges.filter(|e| *e.weight() && round.contains(&e.target()));
            let optional: Vec<_> = optional.map(|e| e.id()).collect();
            for edge in optional {
                self.graph.remove_edge(edge);
            }
            self.wake_if_free(*member);
        }
    }
}
