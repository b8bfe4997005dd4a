//! What a pipeline does: a flow of stages, or a composition of pipelines; exactly one of them.

use std::collections::HashMap;
use std::sync::LazyLock;

use model::id::PipelineId;
use model::pipeline::{Backoff, Flow, Pipeline, StageKind, StageSpec, Step, Work};
use model::stage::Natives;
use serde_json::{Map, Value};

use super::condition;
use super::cycles::For;
use super::problems::Finding;
use super::reader::{Outer, Reader};
use super::schema::derived_of;
use super::sentences::Checker;
use super::stages::{INCREMENTAL, Place, Stages};
use super::written;
use crate::{parameters, templates};

/// The keys of compositions.
pub(super) const COMPOSITIONS: [&str; 4] = ["sequential", "parallel", "conditional", "retry"];

/// The key by which a step names a pipeline and gives it parameters.
const NAMED: &str = "pipeline";

static NAMED_SCHEMA: LazyLock<Value> = LazyLock::new(derived_of::<written::PipelineStep>);

/// Does a source read what the pipeline's webhook receives?
pub(crate) fn is_inbox(natives: &Natives, source: &StageKind) -> bool {
    let StageKind::Native(name) = source else {
        return false;
    };
    let mut kinds = natives.sources.iter();
    kinds.any(|kind| kind.is_inbox() && kind.described().name == name)
}

/// The parts of a pipeline that say what it does.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) source: Option<written::Source>,
    pub(super) transforms: Option<Vec<written::Transform>>,
    pub(super) sinks: Option<Vec<written::Sink>>,
    pub(super) sink: Option<written::Sink>,
    pub(super) sequential: Option<written::Sequential>,
    pub(super) parallel: Option<written::Parallel>,
    pub(super) conditional: Option<written::Conditional>,
    pub(super) retry: Option<written::Retry>,
}

impl Parts {
    fn is_flow(&self) -> bool {
        self.source.is_some()
            || self.transforms.is_some()
            || self.sinks.is_some()
            || self.sink.is_some()
    }

    /// The compositions that are there.
    fn compositions(&self) -> Vec<&'static str> {
        let there = [
            self.sequential.is_some(),
            self.parallel.is_some(),
            self.conditional.is_some(),
            self.retry.is_some(),
        ];
        let named = COMPOSITIONS.into_iter().zip(there);
        named
            .filter_map(|(name, there)| there.then_some(name))
            .collect()
    }
}

impl Reader<'_> {
    /// Reads what a pipeline does. `spoiled`: a part of it was left out for its form, so what is missing was said already.
    pub(super) fn work(
        &mut self,
        parts: Parts,
        at: &str,
        inner: Outer<'_>,
        stages: &mut Stages<'_>,
        spoiled: bool,
    ) -> Option<Work> {
        let compositions = parts.compositions();
        match (parts.is_flow(), compositions.as_slice()) {
            (true, []) => self.flow(parts, at, stages, spoiled).map(Work::Flow),
            (false, [_]) => self.composition(parts, at, inner),
            (false, []) if spoiled => None,
            (false, []) => {
                self.said.value(at, "the pipeline does nothing: `source` and `sinks` are needed, or one of `sequential`, `parallel`, `conditional` and `retry`");
                None
            }
            (flow, named) => {
                let also = if flow { "stages of its own and " } else { "" };
                let named: Vec<_> = named.iter().map(|n| format!("`{n}`")).collect();
                let last = compositions.last().copied().unwrap_or_default();
                let message = format!(
                    "the pipeline has {also}{}; only one of them is allowed",
                    named.join(" and ")
                );
                self.said.key(format!("{at}/{last}"), message);
                None
            }
        }
    }

    fn flow(
        &mut self,
        parts: Parts,
        at: &str,
        stages: &mut Stages<'_>,
        spoiled: bool,
    ) -> Option<Flow> {
        let sinks = match (parts.sinks, parts.sink) {
            (Some(_), Some(_)) => {
                self.said.key(
                    format!("{at}/sink"),
                    "there are `sink` and `sinks`; only one of them is allowed",
                );
                return None;
            }
            (Some(sinks), None) => {
                let each = sinks.into_iter().enumerate();
                each.map(|(i, sink)| (format!("{at}/sinks/{i}"), sink))
                    .collect()
            }
            (None, Some(sink)) => vec![(format!("{at}/sink"), sink)],
            (None, None) => Vec::new(),
        };
        if parts.source.is_none() && !spoiled {
            self.said.key(at, "`source` is missing");
        }
        if sinks.is_empty() && !spoiled {
            self.said
                .key(at, "`sinks` is missing: records need a place to go to");
        }
        let source = parts
            .source
            .map(|source| (format!("{at}/source"), source.0));
        let transforms = parts.transforms.unwrap_or_default().into_iter().enumerate();
        let transforms = transforms.map(|(i, t)| (format!("{at}/transforms/{i}"), t.0));
        let transforms: Vec<_> = transforms.collect();
        let all = source.iter().chain(&transforms);
        stages.check_names(
            self,
            all.map(|(at, s)| (at.as_str(), s))
                .chain(sinks.iter().map(|(at, s)| (at.as_str(), &s.0))),
        );
        let mut incremental = false;
        let source = source.and_then(|(at, mut map)| {
            let given = Stages::incremental(self, &mut map, &at);
            let source = stages.stage(self, map, &at, Place::Source)?;
            let is_inbox = is_inbox(self.natives, &source.kind);
            incremental = given.unwrap_or(is_inbox);
            if is_inbox && !incremental {
                let message = "what a webhook receives is taken once: leave `incremental` out";
                self.said.value(format!("{at}/{INCREMENTAL}"), message);
            } else if given == Some(true) {
                stages.check_incremental(self, &source, &at);
            }
            Some(source)
        });
        let transforms: Vec<_> = transforms
            .into_iter()
            .map(|(at, map)| stages.stage(self, map, &at, Place::Transform))
            .collect();
        let (places, sinks): (Vec<_>, Vec<_>) = sinks
            .into_iter()
            .map(|(at, sink)| {
                let sink = stages.stage(self, sink.0, &at, Place::Sink);
                (at, sink)
            })
            .unzip();
        self.check_replaced(&places, &sinks);
        let mut flow = Flow {
            source: source?,
            transforms: transforms.into_iter().collect::<Option<_>>()?,
            sinks: sinks.into_iter().collect::<Option<_>>()?,
            incremental,
        };
        flow.name_stages();
        Some(flow)
    }

    /// Two sinks cannot both put something whole in the same place.
    fn check_replaced(&mut self, places: &[String], sinks: &[Option<StageSpec>]) {
        let mut seen = HashMap::new();
        for (at, sink) in places.iter().zip(sinks) {
            let Some(StageSpec { kind, options, .. }) = sink else {
                continue;
            };
            let StageKind::Native(name) = kind else {
                continue;
            };
            let mut kinds = self.natives.sinks.iter();
            let kind = kinds.find(|k| k.described().name == name);
            let Some(what) = kind.and_then(|k| k.replaces(&Value::Object(options.clone()))) else {
                continue;
            };
            if let Some(first) = seen.insert(what.clone(), at) {
                let first = first.trim_start_matches('/').replace('/', ".");
                let message = format!(
                    "writes {what}, as `{first}` does: only what one of them writes would be left"
                );
                self.said.value(at.clone(), message);
            }
        }
    }

    fn composition(&mut self, parts: Parts, at: &str, inner: Outer<'_>) -> Option<Work> {
        if let Some(written) = parts.sequential {
            let at = format!("{at}/sequential/pipelines");
            return Some(Work::Sequential {
                pipelines: self.steps(&written.pipelines, &at, inner)?,
                stop_on_error: written.stop_on_error.unwrap_or(true),
            });
        }
        if let Some(written) = parts.parallel {
            let at = format!("{at}/parallel/pipelines");
            return Some(Work::Parallel {
                pipelines: self.steps(&written.pipelines, &at, inner)?,
                max_workers: written.max_workers,
                on_error: written.on_error.unwrap_or_default(),
            });
        }
        if let Some(written) = parts.conditional {
            let at = format!("{at}/conditional");
            let good = condition::compile(&written.condition, inner.parameters).map(drop);
            self.said.take(format!("{at}/condition"), good);
            let then = self.step(&written.then.0, &format!("{at}/then"), "then", inner);
            let otherwise = written
                .r#else
                .map(|step| self.step(&step.0, &format!("{at}/else"), "else", inner));
            let otherwise = match otherwise {
                Some(step) => Some(Box::new(step?)),
                None => None,
            };
            return Some(Work::Conditional {
                condition: written.condition,
                then: Box::new(then?),
                otherwise,
            });
        }
        let written = parts.retry?;
        let at = format!("{at}/retry");
        let backoff = written::Backoff {
            max_retries: written.max_retries,
            first: written.first,
            factor: written.backoff_factor,
            max_delay: written.max_delay,
            jitter: written.jitter,
        };
        let backoff = self.said.backoff(backoff, Backoff::default(), &at);
        let pipeline = self.step(
            &written.pipeline.0,
            &format!("{at}/pipeline"),
            "retry",
            inner,
        )?;
        Some(Work::Retry {
            pipeline: Box::new(pipeline),
            backoff,
        })
    }

    fn steps(
        &mut self,
        written: &[written::Step],
        at: &str,
        inner: Outer<'_>,
    ) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        for (i, step) in written.iter().enumerate() {
            let place = i.saturating_add(1).to_string();
            steps.push(self.step(&step.0, &format!("{at}/{i}"), &place, inner));
        }
        steps.into_iter().collect()
    }

    fn step(&mut self, value: &Value, at: &str, place: &str, inner: Outer<'_>) -> Option<Step> {
        match value {
            Value::String(id) => {
                let id = self.pipeline_id(id, at, For::Part)?;
                self.given(&id, &Map::new(), at, "");
                Some(id.into())
            }
            Value::Object(map) if map.contains_key(NAMED) => self.named(value, at, inner),
            Value::Object(_) => {
                let outer = Outer {
                    id: inner.id.map(|(id, _)| (id, place)),
                    ..inner
                };
                let inline: Option<Pipeline> = self.pipeline(value, at, "", outer);
                inline.map(|pipeline| Step::Inline(Box::new(pipeline)))
            }
            _ => {
                let message = "the id of a pipeline, `{pipeline: id, parameters: {..}}` or a pipeline in place is needed";
                self.said.value(at, message);
                None
            }
        }
    }

    /// Reads a step that names a pipeline and gives it parameters.
    fn named(&mut self, value: &Value, at: &str, inner: Outer<'_>) -> Option<Step> {
        let checker = self.said.take(at, Checker::new(&NAMED_SCHEMA))?;
        let findings = checker.check(value);
        if !findings.is_empty() {
            let found = findings.into_iter().map(|f| f.below(at));
            self.said.findings.extend(found);
            return None;
        }
        let step: written::PipelineStep = serde_json::from_value(value.clone()).ok()?;
        let id = self.pipeline_id(&step.pipeline, &format!("{at}/pipeline"), For::Part)?;
        let given = step.parameters.unwrap_or_default();
        let misfits = templates::check(&given, inner.parameters, inner.timescope);
        let below = format!("{at}/parameters");
        let found = misfits.into_iter().map(|m| Finding::from(m).below(&below));
        self.said.findings.extend(found);
        self.given(&id, &given, at, "/pipeline");
        Some(Step::named(id, given))
    }

    /// Checks what another pipeline is given, as far as that one is known here. What is missing is told where it is named.
    pub(super) fn given(
        &mut self,
        id: &PipelineId,
        given: &Map<String, Value>,
        at: &str,
        name: &str,
    ) {
        let Some(there) = self.known.pipeline(id) else {
            return;
        };
        for misfit in parameters::check(&there.parameters, given) {
            let message = format!("pipeline {id}: {}", misfit.message);
            let is_given = misfit.pointer.split('/').nth(2);
            let is_given = is_given.is_some_and(|n| given.contains_key(n));
            self.said.findings.push(if is_given {
                Finding::value(format!("{at}{}", misfit.pointer), message)
            } else {
                Finding::value(format!("{at}{name}"), message)
            });
        }
    }
}
