//! Checks a pipeline before it is registered or run, with the hooks at `validate_pipeline` and `validate_stage`. What a spec may say is checked when it is read; here
//! stages are asked about their options, and compositions are followed to the end.

use std::collections::HashSet;
use std::sync::Arc;

use model::error::{Fault, StageError};
use model::exchange::Cause;
use model::hooks::Point;
use model::id::PipelineId;
use model::pipeline::{Flow, Pipeline, StageKind, StageSpec, Step, Work};
use model::run::Part;
use model::stage::{Kind, Misfit, Natives};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Unfit;
use crate::Engine;
use crate::hooks::step;
use crate::parameters;
use crate::parts::{self, too_many};
use crate::run::condition::Condition;

/// How deep compositions may nest.
const DEPTH: usize = 16;

/// The result at both points.
#[derive(Deserialize)]
struct Found {
    errors: Vec<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    path: String,
    message: String,
}

impl Engine {
    /// Checks a pipeline and all that is written in it.
    pub(crate) async fn validate(
        self: &Arc<Self>,
        pipeline: &Pipeline,
        source: Option<&str>,
    ) -> Result<(), Unfit> {
        let mut wrong = self.whole(pipeline);
        if self.hooked.at(Point::ValidatePipeline) {
            let written = source.and_then(|text| serde_saphyr::from_str::<Value>(text).ok());
            let spec = written.unwrap_or_else(|| outline(pipeline));
            let context = json!({ "pipeline": spec });
            let asked = self.ask(Point::ValidatePipeline, &context, &wrong, whole);
            wrong = asked.await?;
        }
        for (at, id, part, stage) in stages(pipeline) {
            let found = check_stage(&self.ports.stages.natives, &at, part, stage);
            let found = if self.hooked.at(Point::ValidateStage) {
                let context = json!({"pipeline": id, "stage": shown(part, stage), "path": at});
                let place = |path: &str| place(&at, stage, path);
                self.ask(Point::ValidateStage, &context, &found, place)
                    .await?
            } else {
                found
            };
            wrong.extend(found);
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Unfit::Invalid(wrong))
        }
    }

    /// What the hooks at a point make of what was found. `place` says where in the spec a path of theirs is.
    async fn ask(
        self: &Arc<Self>,
        point: Point,
        context: &Value,
        found: &[Misfit],
        place: impl Fn(&str) -> String,
    ) -> Result<Vec<Misfit>, Unfit> {
        let errors: Vec<_> = found
            .iter()
            .map(|m| json!({"path": m.pointer, "message": m.message}))
            .collect();
        let own = json!({ "errors": errors }).to_string();
        let step = step(move |_, _| std::future::ready(Ok(own)));
        let result = self.step(point, Cause::default(), context.to_string(), step);
        let result = match result.await {
            Ok(result) => result,
            Err(error) => return Err(unfit(error, place(""))),
        };
        let found = serde_json::from_str::<Found>(&result).map_err(|e| {
            let what = format!("the hooks at {} gave no list of errors: {e}", point.name());
            Unfit::Invalid(vec![Misfit::new(place(""), what)])
        })?;
        let misfits = found.errors.into_iter();
        Ok(misfits
            .map(|w| Misfit::new(place(&w.path), w.message))
            .collect())
    }

    /// What is wrong with the pipeline as a whole.
    fn whole(&self, pipeline: &Pipeline) -> Vec<Misfit> {
        let mut followed = Followed::default();
        self.follow_steps(pipeline, "", &mut followed);
        let (number, most) = (self.parts(pipeline), self.runs.parts);
        if number > most {
            followed.wrong.push(Misfit::new("", too_many(number, most)));
        }
        followed.wrong
    }

    /// How many runs it comes to.
    pub(crate) fn parts(&self, pipeline: &Pipeline) -> usize {
        parts::parts(pipeline, &|id| self.pipeline(id).map(|r| r.pipeline))
    }

    /// Goes through all that a pipeline runs, registered ones included, and finds cycles and conditions that are none.
    fn follow_steps(&self, pipeline: &Pipeline, at: &str, followed: &mut Followed) {
        if followed.trail.len() >= DEPTH {
            let path = path(&followed.trail);
            let what = format!("compositions nest more than {DEPTH} deep: {path}");
            followed.wrong.push(Misfit::new(at, what));
            return;
        }
        followed.trail.push(pipeline.id.clone());
        for (key, step) in steps(&pipeline.work) {
            let at = format!("{at}{key}");
            match step {
                Step::Inline(inner) => self.follow_steps(inner, &at, followed),
                Step::Named { id, parameters } => {
                    self.follow_named(id, &at, followed);
                    let there = self.pipeline(id).map(|r| r.pipeline);
                    let misfits = there.map(|p| parameters::check(&p.parameters, parameters));
                    let misfits = misfits.into_iter().flatten();
                    let misfits = misfits
                        .map(|m| Misfit::new(at.clone(), format!("pipeline {id}: {}", m.message)));
                    followed.wrong.extend(misfits);
                }
            }
        }
        if let Work::Flow(flow) = &pipeline.work
            && let StageKind::Pipeline(id) = &flow.source.kind
        {
            self.follow_named(id, &format!("{at}/source"), followed);
        }
        if let Work::Conditional { condition, .. } = &pipeline.work
            && let Err(what) = Condition::parse(condition)
        {
            let misfit = Misfit::new(format!("{at}/condition"), what);
            followed.wrong.push(misfit);
        }
        followed.trail.pop();
    }

    fn follow_named(&self, id: &PipelineId, at: &str, followed: &mut Followed) {
        if followed.trail.contains(id) {
            let what = format!("it runs itself: {} -> {id}", path(&followed.trail));
            followed.wrong.push(Misfit::new(at, what));
        } else if let Some(found) = self.pipeline(id)
            && followed.seen.insert(id.clone())
        {
            // What is wrong with a registered one was said when it came; here only what closes a circle counts.
            let before = followed.wrong.len();
            self.follow_steps(&found.pipeline, at, followed);
            for misfit in followed.wrong.iter_mut().skip(before) {
                at.clone_into(&mut misfit.pointer);
            }
        }
    }
}

/// How far compositions have been followed.
#[derive(Default)]
struct Followed {
    /// From the pipeline that is checked to where it is now.
    trail: Vec<PipelineId>,
    /// Registered ones that were looked at: once is enough, however often they are named.
    seen: HashSet<PipelineId>,
    wrong: Vec<Misfit>,
}

/// A hook gave no answer. What it calls invalid is wrong with what stands at that place.
fn unfit(error: StageError, at: String) -> Unfit {
    match &error.fault {
        Fault::Hook { fault, .. } if matches!(**fault, Fault::Invalid(_)) => {
            Unfit::Invalid(vec![Misfit::new(at, refusal(&error))])
        }
        _ => Unfit::Refused(error),
    }
}

/// A path of the whole spec.
fn whole(path: &str) -> String {
    match path.trim_start_matches('/') {
        "" => String::new(),
        rest => format!("/{rest}"),
    }
}

/// Where in the spec a hook's finding belongs that was asked about the stage at `at`: its path is one of the whole spec, or goes on from there. Hooks see the options as the
/// stage's `config`; those of a native one stand in the stage itself.
fn place(at: &str, stage: &StageSpec, path: &str) -> String {
    let below = |path: &'_ str, of: &str| {
        let rest = path.strip_prefix(of)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    let mut rest = whole(&below(path, at).unwrap_or_else(|| path.to_owned()));
    if !matches!(stage.kind, StageKind::Plugin { .. }) {
        rest = below(&rest, "/config").unwrap_or(rest);
    }
    format!("{at}{rest}")
}

fn path(trail: &[PipelineId]) -> String {
    let ids: Vec<_> = trail.iter().map(PipelineId::as_str).collect();
    ids.join(" -> ")
}

/// The pipelines a composition runs, with their places in the spec.
fn steps(work: &Work) -> Vec<(String, &Step)> {
    match work {
        Work::Flow(_) => Vec::new(),
        Work::Sequential { pipelines, .. } | Work::Parallel { pipelines, .. } => pipelines
            .iter()
            .enumerate()
            .map(|(i, step)| (format!("/pipelines/{i}"), step))
            .collect(),
        Work::Conditional {
            then, otherwise, ..
        } => {
            let otherwise = otherwise.iter().map(|step| ("/else".into(), &**step));
            std::iter::once(("/then".into(), &**then))
                .chain(otherwise)
                .collect()
        }
        Work::Retry { pipeline, .. } => vec![("/pipeline".into(), &**pipeline)],
    }
}

/// The stages written in a pipeline: place, the pipeline they are in, part, and what is said of them.
fn stages(pipeline: &Pipeline) -> Vec<(String, &PipelineId, Part, &StageSpec)> {
    let mut found = Vec::new();
    collect(pipeline, "", &mut found);
    found
}

fn collect<'a>(
    pipeline: &'a Pipeline,
    at: &str,
    found: &mut Vec<(String, &'a PipelineId, Part, &'a StageSpec)>,
) {
    if let Work::Flow(flow) = &pipeline.work {
        let placed = parts(flow).into_iter();
        found.extend(
            placed.map(|(key, part, stage)| (format!("{at}{key}"), &pipeline.id, part, stage)),
        );
    }
    for (key, step) in steps(&pipeline.work) {
        if let Step::Inline(inner) = step {
            collect(inner, &format!("{at}{key}"), found);
        }
    }
}

/// The stages of a flow, in order.
pub(crate) fn parts(flow: &Flow) -> Vec<(String, Part, &StageSpec)> {
    let transforms = flow.transforms.iter().enumerate();
    let sinks = flow.sinks.iter().enumerate();
    std::iter::once(("/source".into(), Part::Source, &flow.source))
        .chain(transforms.map(|(i, s)| (format!("/transforms/{i}"), Part::Transform, s)))
        .chain(sinks.map(|(i, s)| (format!("/sinks/{i}"), Part::Sink, s)))
        .collect()
}

/// What a native kind says of a stage's options.
fn check_stage(natives: &Natives, at: &str, part: Part, stage: &StageSpec) -> Vec<Misfit> {
    let StageKind::Native(name) = &stage.kind else {
        return Vec::new();
    };
    let Some(kind) = native(natives, part, name) else {
        let what = unknown(natives, part, name);
        return vec![Misfit::new(format!("{at}/type"), what)];
    };
    let misfits = kind
        .check(&Value::Object(stage.options.clone()))
        .into_iter();
    misfits
        .map(|m| Misfit::new(format!("{at}{}", m.pointer), m.message))
        .collect()
}

fn native<'a>(natives: &'a Natives, part: Part, name: &str) -> Option<&'a dyn Kind> {
    let all = kinds(natives, part);
    all.into_iter().find(|k| k.described().name == name)
}

fn kinds(natives: &Natives, part: Part) -> Vec<&dyn Kind> {
    match part {
        Part::Source => natives.sources.iter().map(|k| &**k as &dyn Kind).collect(),
        Part::Transform => natives
            .transforms
            .iter()
            .map(|k| &**k as &dyn Kind)
            .collect(),
        Part::Sink => natives.sinks.iter().map(|k| &**k as &dyn Kind).collect(),
    }
}

/// There is no native kind of this name.
pub(crate) fn unknown(natives: &Natives, part: Part, name: &str) -> String {
    let names: Vec<_> = kinds(natives, part)
        .iter()
        .map(|k| k.described().name)
        .collect();
    format!(
        "there is no {} of type {name:?}; there are {}, and plugin",
        word(part),
        names.join(", ")
    )
}

pub(crate) fn word(part: Part) -> &'static str {
    match part {
        Part::Source => "source",
        Part::Transform => "transform",
        Part::Sink => "sink",
    }
}

/// A stage as hooks are shown it. References in its options are not filled in.
pub(crate) fn shown(part: Part, stage: &StageSpec) -> Value {
    let (kind, plugin) = match &stage.kind {
        StageKind::Native(name) => (name.as_str(), None),
        StageKind::Plugin { plugin, .. } => ("plugin", Some(plugin)),
        StageKind::Pipeline(_) => ("pipeline", None),
    };
    json!({
        "name": stage.name,
        "kind": word(part),
        "type": kind,
        "plugin": plugin,
        "config": stage.options,
    })
}

/// A pipeline that was built and not written, as hooks are shown it.
fn outline(pipeline: &Pipeline) -> Value {
    let stages: Vec<_> = stages(pipeline)
        .into_iter()
        .map(|(_, _, part, stage)| shown(part, stage))
        .collect();
    json!({
        "id": pipeline.id,
        "name": pipeline.name,
        "description": pipeline.description,
        "tags": pipeline.tags,
        "stages": stages,
    })
}

/// A hook at a point of pipelines or runs did not let it happen; in words.
pub(crate) fn refusal(error: &StageError) -> String {
    format!("plugin {}: {}", error.plugin, error.fault)
}
