//! The graph of who waits for whom, and when nobody has to wait any more. Entering, waiting and waking are the parent's business.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use model::component::FileName;
use model::id::PluginId;
use model::plugin::About;
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{Dfs, EdgeRef as _, Reversed, Walker as _};
use tokio::sync::Notify;

use crate::catalog::Catalog;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) next: u64,
    pub(super) files: HashMap<FileName, OfFile>,
    /// Numbers of files that have not said yet what they are.
    pub(super) silent: BTreeSet<u64>,
    /// Who is to hear when all silent files with a lower number have spoken.
    patient: BTreeMap<u64, Vec<PluginId>>,
    /// From who waits to what it waits for; the weight: is it optional?
    pub(super) graph: StableDiGraph<Node, bool>,
    pub(super) nodes: HashMap<PluginId, NodeIndex>,
    pub(super) leaving: HashMap<PluginId, usize>,
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct OfFile {
    pub(super) tickets: usize,
    /// Its number, while it has not spoken. Of several loads of one file only the first counts: the others wait for it.
    pub(super) number: Option<u64>,
}

/// A plugin that is being loaded, or that somebody waits for.
#[derive(Debug)]
pub(super) struct Node {
    id: PluginId,
    pub(super) load: Option<Load>,
}

#[derive(Debug)]
pub(super) struct Load {
    pub(super) about: Arc<About>,
    pub(super) wake: Arc<Notify>,
    /// It waits for all silent files, too.
    patient: bool,
    /// It depends on itself in the end; from itself to itself.
    pub(super) circle: Option<Vec<PluginId>>,
}

impl Load {
    pub(super) fn new(about: Arc<About>, wake: Arc<Notify>) -> Self {
        Self {
            about,
            wake,
            patient: false,
            circle: None,
        }
    }
}

impl State {
    /// The node of a plugin.
    pub(super) fn node(&mut self, id: &PluginId) -> NodeIndex {
        let graph = &mut self.graph;
        let new = || {
            graph.add_node(Node {
                id: id.clone(),
                load: None,
            })
        };
        *self.nodes.entry(id.clone()).or_insert_with(new)
    }

    pub(super) fn load(&self, index: NodeIndex) -> Option<&Load> {
        self.graph.node_weight(index)?.load.as_ref()
    }

    /// Draws the edges of a load that has just spoken.
    pub(super) fn depend(
        &mut self,
        index: NodeIndex,
        about: &About,
        catalog: &Catalog,
        patient: bool,
    ) {
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
    pub(super) fn is_free(&self, index: NodeIndex) -> bool {
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
    pub(super) fn spoken(&mut self, file: &FileName) {
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
        self.let_go_of(index, |waits, to| waits.load(to).is_none());
        self.wake_if_free(index);
    }

    /// A load is over, well or not.
    pub(super) fn ended(&mut self, id: &PluginId, wake: &Arc<Notify>) {
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
    pub(super) fn let_go(&mut self, index: NodeIndex) {
        self.let_go_of(index, |_, _| true);
    }

    /// It waits no more for those of which this is so.
    fn let_go_of(&mut self, index: NodeIndex, is_over: impl Fn(&Self, NodeIndex) -> bool) {
        let edges: Vec<_> = self
            .graph
            .edges(index)
            .map(|e| (e.id(), e.target()))
            .collect();
        for (edge, to) in edges {
            if is_over(self, to) {
                self.graph.remove_edge(edge);
                self.forget(to);
            }
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
    pub(super) fn fail_circle(&mut self, about: &Arc<About>, catalog: &Catalog) {
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
    pub(super) fn relax(&mut self, index: NodeIndex) {
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
