//! In which order plugins are taken down: who needs another before the one that is needed. A picture of one moment.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use model::id::PluginId;
use model::plugin::About;
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// Who depends on whom: edges lead from a plugin to what it depends on; the weight says whether it can do without.
#[derive(Debug, Default)]
pub(crate) struct Order {
    graph: DiGraph<PluginId, bool>,
    nodes: HashMap<PluginId, NodeIndex>,
}

impl Order {
    /// The order of these plugins. What is optional counts unless it is part of a circle.
    pub(crate) fn new(abouts: &[Arc<About>]) -> Self {
        let mut order = Self::default();
        for about in abouts {
            let from = order.node(&about.manifest.id);
            for dependency in &about.manifest.dependencies {
                let to = order.node(&dependency.id);
                order.graph.add_edge(from, to, dependency.optional);
            }
        }
        let mut circle_of = HashMap::new();
        for (number, members) in kosaraju_scc(&order.graph).into_iter().enumerate() {
            circle_of.extend(members.into_iter().map(|index| (index, number)));
        }
        order.graph.retain_edges(|graph, edge| {
            let ends = graph.edge_endpoints(edge);
            let is_inside = ends.is_some_and(|(a, b)| circle_of.get(&a) == circle_of.get(&b));
            !(is_inside && graph.edge_weight(edge) == Some(&true))
        });
        order
    }

    fn node(&mut self, id: &PluginId) -> NodeIndex {
        let graph = &mut self.graph;
        let new = || graph.add_node(id.clone());
        *self.nodes.entry(id.clone()).or_insert_with(new)
    }

    /// All of them, in groups: a group comes after all that depend on its members.
    pub(crate) fn groups(&self) -> Vec<Vec<PluginId>> {
        self.grouped(|_| true)
    }

    /// All who cannot do without this plugin, directly or not, in groups as [`Order::groups`].
    pub(crate) fn dependants(&self, id: &PluginId) -> Vec<Vec<PluginId>> {
        let needed = self.reach(id);
        self.grouped(|index| needed.contains_key(&index))
    }

    /// From one who cannot do without this plugin to it.
    pub(crate) fn chain(&self, from: &PluginId, to: &PluginId) -> Vec<PluginId> {
        let towards = self.reach(to);
        let next = |index: &NodeIndex| towards.get(index).copied();
        let start = self.nodes.get(from).copied();
        let way = std::iter::successors(start, next);
        way.filter_map(|i| self.graph.node_weight(i).cloned())
            .collect()
    }

    /// Who cannot do without this plugin, and for each the next step towards it.
    fn reach(&self, id: &PluginId) -> HashMap<NodeIndex, NodeIndex> {
        let mut towards = HashMap::new();
        let mut queue: VecDeque<_> = self.nodes.get(id).copied().into_iter().collect();
        let mut seen: HashSet<_> = queue.iter().copied().collect();
        while let Some(index) = queue.pop_front() {
            let mut edges = self.graph.neighbors_directed(index, Incoming).detach();
            while let Some((edge, who)) = edges.next(&self.graph) {
                let needs = self.graph.edge_weight(edge) == Some(&false);
                if needs && seen.insert(who) {
                    towards.insert(who, index);
                    queue.push_back(who);
                }
            }
        }
        towards
    }

    fn grouped(&self, is_in: impl Fn(NodeIndex) -> bool) -> Vec<Vec<PluginId>> {
        let members: HashSet<_> = self.graph.node_indices().filter(|i| is_in(*i)).collect();
        let inside = |index, direction| {
            let others = self.graph.neighbors_directed(index, direction);
            others.filter(|o| members.contains(o))
        };
        let waits_for = |index: &NodeIndex| (*index, inside(*index, Incoming).count());
        let mut waiting: HashMap<_, _> = members.iter().map(waits_for).collect();
        let free = waiting.iter().filter(|(_, n)| **n == 0);
        let mut group: Vec<_> = free.map(|(i, _)| *i).collect();
        let mut groups = Vec::new();
        let mut left_over = members.clone();
        while !group.is_empty() {
            let mut next = Vec::new();
            for index in &group {
                for to in inside(*index, Outgoing) {
                    let left = waiting.entry(to).or_default();
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        next.push(to);
                    }
                }
            }
            for index in &group {
                left_over.remove(index);
            }
            groups.push(self.ids(&group));
            group = next;
        }
        if !left_over.is_empty() {
            // A circle; none is put to work, so this is for completeness.
            groups.push(self.ids(&left_over.into_iter().collect::<Vec<_>>()));
        }
        groups
    }

    fn ids(&self, indices: &[NodeIndex]) -> Vec<PluginId> {
        let ids = indices.iter().filter_map(|i| self.graph.node_weight(*i));
        let mut ids: Vec<_> = ids.cloned().collect();
        ids.sort();
        ids
    }
}
