//! How many runs a composition comes to, all levels together: what it says in a few lines may be millions. Starting them is `run`'s business.

use std::collections::HashMap;
use std::sync::Arc;

use model::id::PipelineId;
use model::pipeline::{Pipeline, Step, Work};

/// How deep it is looked; what lies deeper is refused for that.
const DEPTH: usize = 64;

/// The runs a pipeline comes to, itself not counted: of a condition the longer way, of a retry one try. A pipeline that `find` does not know counts as one.
pub(crate) fn parts(
    pipeline: &Pipeline,
    find: &dyn Fn(&PipelineId) -> Option<Arc<Pipeline>>,
) -> usize {
    let mut count = Count {
        find,
        known: HashMap::new(),
    };
    count.work(&pipeline.work, 0)
}

struct Count<'a> {
    find: &'a dyn Fn(&PipelineId) -> Option<Arc<Pipeline>>,
    /// Each is counted once, however often it is named. One within itself has none: circles are told elsewhere.
    known: HashMap<PipelineId, usize>,
}

impl Count<'_> {
    fn work(&mut self, work: &Work, depth: usize) -> usize {
        match work {
            Work::Flow(_) => 0,
            Work::Sequential { pipelines, .. } | Work::Parallel { pipelines, .. } => {
                let each = pipelines.iter().map(|step| self.step(step, depth));
                each.fold(0, usize::saturating_add)
            }
            Work::Conditional {
                then, otherwise, ..
            } => {
                let otherwise = otherwise.as_ref().map_or(0, |s| self.step(s, depth));
                self.step(then, depth).max(otherwise)
            }
            Work::Retry { pipeline, .. } => self.step(pipeline, depth),
        }
    }

    fn step(&mut self, step: &Step, depth: usize) -> usize {
        let inner = match step {
            Step::Inline(pipeline) => self.work(&pipeline.work, depth + 1),
            Step::Named { id, .. } => self.named(id, depth + 1),
        };
        inner.saturating_add(1)
    }

    fn named(&mut self, id: &PipelineId, depth: usize) -> usize {
        if let Some(known) = self.known.get(id) {
            return *known;
        }
        if depth > DEPTH {
            return 0;
        }
        self.known.insert(id.clone(), 0);
        let found = (self.find)(id);
        let number = found.map_or(0, |p| self.work(&p.work, depth));
        self.known.insert(id.clone(), number);
        number
    }
}

/// What is said of one that comes to too many.
pub(crate) fn too_many(number: usize, most: usize) -> String {
    let number = if number == usize::MAX {
        "far too many".to_owned()
    } else {
        number.to_string()
    };
    format!("a run of it comes to {number} runs, all levels together; at most {most} are allowed")
}
