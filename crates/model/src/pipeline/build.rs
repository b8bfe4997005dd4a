//! Pipelines made in Rust: the same values that a spec gives. Nothing is checked here beyond types; ids are checked when they are made, options when a stage is opened.

use std::num::NonZeroU32;

use serde_json::{Map, Value};

use super::{
    Backoff, ErrorPolicy, Flow, OnError, OnReject, Parameter, Persistence, Pipeline, RunLimits,
    StageKind, StageSpec, Status, Step, Timescope, TriggerSpec, Work,
};
use crate::id::{PipelineId, PluginId};

/// Moves data from a source through transforms into sinks. Stages without a name get their type, with a number where that is taken.
#[must_use]
pub fn etl(
    id: PipelineId,
    source: StageSpec,
    transforms: impl IntoIterator<Item = StageSpec>,
    sinks: impl IntoIterator<Item = StageSpec>,
) -> Pipeline {
    let mut flow = Flow {
        source,
        transforms: transforms.into_iter().collect(),
        sinks: sinks.into_iter().collect(),
        incremental: false,
    };
    flow.name_stages();
    pipeline(id, Work::Flow(flow))
}

/// Moves data from a source into sinks as it is.
#[must_use]
pub fn el(
    id: PipelineId,
    source: StageSpec,
    sinks: impl IntoIterator<Item = StageSpec>,
) -> Pipeline {
    etl(id, source, [], sinks)
}

/// Runs pipelines one after the other. `stop_on_error`: a failure leaves the rest out.
#[must_use]
pub fn sequential(
    id: PipelineId,
    pipelines: impl IntoIterator<Item = Step>,
    stop_on_error: bool,
) -> Pipeline {
    let work = Work::Sequential {
        pipelines: pipelines.into_iter().collect(),
        stop_on_error,
    };
    pipeline(id, work)
}

/// Runs pipelines side by side, at most `max_workers` at once.
#[must_use]
pub fn parallel(
    id: PipelineId,
    pipelines: impl IntoIterator<Item = Step>,
    max_workers: Option<NonZeroU32>,
    on_error: OnError,
) -> Pipeline {
    let work = Work::Parallel {
        pipelines: pipelines.into_iter().collect(),
        max_workers,
        on_error,
    };
    pipeline(id, work)
}

/// Runs `then` when the condition (CEL) is true, `otherwise` when it is false.
#[must_use]
pub fn conditional(
    id: PipelineId,
    condition: impl Into<String>,
    then: Step,
    otherwise: Option<Step>,
) -> Pipeline {
    let work = Work::Conditional {
        condition: condition.into(),
        then: Box::new(then),
        otherwise: otherwise.map(Box::new),
    };
    pipeline(id, work)
}

/// Runs a pipeline again when it fails.
#[must_use]
pub fn retry(id: PipelineId, step: Step, backoff: Backoff) -> Pipeline {
    let work = Work::Retry {
        pipeline: Box::new(step),
        backoff,
    };
    pipeline(id, work)
}

/// A pipeline of which nothing is said but what it does.
#[must_use]
pub fn pipeline(id: PipelineId, work: Work) -> Pipeline {
    Pipeline {
        name: id.as_str().to_owned(),
        id,
        description: String::new(),
        tags: Vec::new(),
        status: Status::default(),
        trigger: TriggerSpec::default(),
        parameters: Vec::new(),
        timescope: None,
        persistence: Persistence::default(),
        errors: ErrorPolicy::default(),
        limits: RunLimits::default(),
        work,
    }
}

impl Pipeline {
    /// Gives it a name for people.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says what it is for.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a word for lists.
    #[must_use]
    pub fn tagged(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Keeps its trigger from starting runs.
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.status = Status::Paused;
        self
    }

    /// Says what starts runs.
    #[must_use]
    pub fn triggered_by(mut self, trigger: TriggerSpec) -> Self {
        self.trigger = trigger;
        self
    }

    /// Declares a parameter: JSON Schema of its value, and the value where none is given.
    #[must_use]
    pub fn parameter(
        mut self,
        name: impl Into<String>,
        schema: Value,
        default: Option<Value>,
    ) -> Self {
        self.parameters.push(Parameter {
            name: name.into(),
            schema,
            default,
        });
        self
    }

    /// Says which span of time a run covers.
    #[must_use]
    pub fn covering(mut self, timescope: Timescope) -> Self {
        self.timescope = Some(timescope);
        self
    }

    /// Says what is kept of its data.
    #[must_use]
    pub fn keeping(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }

    /// Says what happens when something goes wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: ErrorPolicy) -> Self {
        self.errors = errors;
        self
    }

    /// Says how much a run may hold and take.
    #[must_use]
    pub fn with_limits(mut self, limits: RunLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Flow {
    /// Names the stages that have no name: their type, with a number where that is taken.
    pub fn name_stages(&mut self) {
        let all = std::iter::once(&self.source)
            .chain(&self.transforms)
            .chain(&self.sinks);
        let mut names: Vec<String> = all.map(|s| s.name.clone()).collect();
        let all = std::iter::once(&mut self.source)
            .chain(&mut self.transforms)
            .chain(&mut self.sinks);
        for stage in all.filter(|s| s.name.is_empty()) {
            let kind = stage.kind.name();
            let numbered = (2_u32..).map(|n| format!("{kind}-{n}"));
            let mut free = std::iter::once(kind.to_owned()).chain(numbered);
            if let Some(name) = free.find(|name| !names.contains(name)) {
                names.push(name.clone());
                stage.name = name;
            }
        }
    }
}

impl StageKind {
    /// What a spec writes as `type`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Native(name) => name,
            Self::Plugin { .. } => "plugin",
            Self::Pipeline(_) => "pipeline",
        }
    }
}

impl StageSpec {
    /// A stage of a native kind.
    #[must_use]
    pub fn native(kind: impl Into<String>, options: Map<String, Value>) -> Self {
        Self::of(StageKind::Native(kind.into()), options)
    }

    /// A stage that is a plugin, opened with `config`.
    #[must_use]
    pub fn plugin(plugin: PluginId, config: Map<String, Value>) -> Self {
        let kind = StageKind::Plugin {
            plugin,
            sees_all: false,
            arrow: false,
        };
        Self::of(kind, config)
    }

    /// A source that goes on with what another pipeline's transforms give.
    #[must_use]
    pub fn pipeline(id: PipelineId) -> Self {
        Self::of(StageKind::Pipeline(id), Map::new())
    }

    /// Gives it a name, unique in its pipeline.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says what becomes of a batch of which it rejects a record.
    #[must_use]
    pub fn on_reject(mut self, on_reject: OnReject) -> Self {
        self.on_reject = Some(on_reject);
        self
    }

    /// Of a plugin's transform: one instance sees all records.
    #[must_use]
    pub fn seeing_all(mut self) -> Self {
        if let StageKind::Plugin { sees_all, .. } = &mut self.kind {
            *sees_all = true;
        }
        self
    }

    /// Of a plugin: it gets Arrow IPC.
    #[must_use]
    pub fn over_arrow(mut self) -> Self {
        if let StageKind::Plugin { arrow, .. } = &mut self.kind {
            *arrow = true;
        }
        self
    }

    fn of(kind: StageKind, options: Map<String, Value>) -> Self {
        Self {
            name: String::new(),
            kind,
            options,
            on_reject: None,
        }
    }
}

impl From<PipelineId> for Step {
    fn from(id: PipelineId) -> Self {
        Self::named(id, Map::new())
    }
}

impl Step {
    /// A registered pipeline with values for its parameters, which may hold templates.
    #[must_use]
    pub fn named(id: PipelineId, parameters: Map<String, Value>) -> Self {
        Self::Named { id, parameters }
    }
}

impl From<Pipeline> for Step {
    fn from(pipeline: Pipeline) -> Self {
        Self::Inline(Box::new(pipeline))
    }
}
