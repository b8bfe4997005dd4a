//! Circles among pipelines: one that is made of itself, or whose runs would start each other for ever. Looked for through the pipeline that is being read; those
//! already there have none.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::id::PipelineId;
use model::pipeline::{Pipeline, StageKind, Step, TriggerSpec, Work};

use super::Known;
use super::problems::Finding;

/// What a pipeline names another one for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// It runs it.
    Part,
    /// It goes on with its records.
    Source,
    /// It runs after it.
    After,
}

/// A pipeline that a document names.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) id: PipelineId,
    pub(super) pointer: String,
    pub(super) what_for: For,
}

/// The pipelines that a run of this one needs: parts and sources, also of pipelines that are written in it.
#[must_use]
pub fn uses(pipeline: &Pipeline) -> Vec<&PipelineId> {
    let mut named = Vec::new();
    collect(pipeline, &mut named);
    named.into_iter().map(|(id, _)| id).collect()
}

fn collect<'a>(pipeline: &'a Pipeline, named: &mut Vec<(&'a PipelineId, For)>) {
    let mut step = |step: &'a Step| match step {
        Step::Named { id, .. } => named.push((id, For::Part)),
        Step::Inline(inline) => collect(inline, named),
    };
    match &pipeline.work {
        Work::Flow(flow) => {
            if let StageKind::Pipeline(id) = &flow.source.kind {
                named.push((id, For::Source));
            }
        }
        Work::Sequential { pipelines, .. } | Work::Parallel { pipelines, .. } => {
            pipelines.iter().for_each(step);
        }
        Work::Conditional {
            then, otherwise, ..
        } => {
            step(then);
            otherwise.iter().for_each(|s| step(s));
        }
        Work::Retry { pipeline, .. } => step(pipeline),
    }
}

/// The circles that a pipeline closes, each where the document names the next of it.
pub(super) fn find(id: &PipelineId, uses: &[Use], known: &dyn Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut made_of = |at: &PipelineId| -> Vec<PipelineId> {
        let there = known.pipeline(at);
        there.map_or_else(Vec::new, |p| self::uses(&p).into_iter().cloned().collect())
    };
    let own = uses.iter().filter(|u| u.what_for != For::After);
    for used in own {
        if let Some(path) = path(&used.id, id, &mut made_of) {
            let message = format!("pipelines in a circle: {}", circle(id, &path));
            findings.push(Finding::value(&used.pointer, message));
        }
    }
    if findings.is_empty() {
        findings.extend(started(id, uses, known));
    }
    findings
}

/// Runs that would start each other: a run starts the runs it is made of, and those that come after it.
fn started(id: &PipelineId, uses: &[Use], known: &dyn Known) -> Vec<Finding> {
    let graph = starts(id, uses, known);
    let mut next = |at: &PipelineId| graph.get(at).cloned().unwrap_or_default();
    let closed = uses.iter().filter_map(|used| {
        let circle = match used.what_for {
            For::Part => circle(id, &path(&used.id, id, &mut next)?),
            // The run before starts this one; does this one, by way of others, start the run before?
            For::After => {
                let way = path(id, &used.id, &mut next)?;
                format!("{} -> {id}", joined(way.iter()))
            }
            For::Source => return None,
        };
        let message = format!("each run would start the next, for ever: {circle}");
        Some(Finding::value(&used.pointer, message))
    });
    closed.collect()
}

/// Which runs a run starts.
fn starts(
    id: &PipelineId,
    uses: &[Use],
    known: &dyn Known,
) -> BTreeMap<PipelineId, Vec<PipelineId>> {
    let mut graph: BTreeMap<PipelineId, Vec<PipelineId>> = BTreeMap::new();
    let there = known.pipelines().unwrap_or_default();
    let others = there.iter().filter(|other| *other != id);
    let others: Vec<Arc<Pipeline>> = others.filter_map(|other| known.pipeline(other)).collect();
    for other in &others {
        let mut named = Vec::new();
        collect(other, &mut named);
        let parts = named
            .into_iter()
            .filter(|(_, what_for)| *what_for == For::Part);
        graph
            .entry(other.id.clone())
            .or_default()
            .extend(parts.map(|(part, _)| part.clone()));
        if let TriggerSpec::After(after) = &other.trigger {
            graph
                .entry(after.pipeline.clone())
                .or_default()
                .push(other.id.clone());
        }
    }
    for used in uses {
        match used.what_for {
            For::Part => graph.entry(id.clone()).or_default().push(used.id.clone()),
            For::After => graph.entry(used.id.clone()).or_default().push(id.clone()),
            For::Source => {}
        }
    }
    graph
}

/// A way from one pipeline to another, both included.
fn path(
    from: &PipelineId,
    to: &PipelineId,
    next: &mut dyn FnMut(&PipelineId) -> Vec<PipelineId>,
) -> Option<Vec<PipelineId>> {
    let mut seen = HashSet::from([from.clone()]);
    let mut open = vec![vec![from.clone()]];
    while let Some(way) = open.pop() {
        let last = way.last()?;
        if last == to {
            return Some(way);
        }
        for id in next(last) {
            if seen.insert(id.clone()) {
                let mut longer = way.clone();
                longer.push(id);
                open.push(longer);
            }
        }
    }
    None
}

fn circle(id: &PipelineId, path: &[PipelineId]) -> String {
    joined(std::iter::once(id).chain(path))
}

fn joined<'a>(ids: impl Iterator<Item = &'a PipelineId>) -> String {
    let names: Vec<_> = ids.map(PipelineId::as_str).collect();
    names.join(" -> ")
}
