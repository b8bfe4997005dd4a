//! One pipeline after the other, from the outside in: its form by the derived schema, then what each part means. Parts whose form is wrong are left out, so that
//! the others are still looked at.

use model::id::PipelineId;
use model::pipeline::{Flow, Parameter, Persistence, Pipeline, StageKind, TriggerSpec, Work};
use model::silver::SILVER;
use model::stage::Natives;
use serde_json::{Map, Value, json};

use super::problems::Finding;
use super::sentences::Checker;
use super::settings::{self, Said};
use super::stages::Stages;
use super::written::{self, Written};
use super::{Known, MAX_NESTING, cycles, id_of_file, schema, work};
use crate::parts::{parts, too_many};

/// What is the same for all pipelines of a document.
pub(super) struct Reader<'a> {
    pub(super) natives: &'a Natives,
    pub(super) known: &'a dyn Known,
    form: Checker<'a>,
    pub(super) said: Said,
    /// Ids that the document names, and what for.
    pub(super) uses: Vec<cycles::Use>,
    /// Ids of the pipelines in it.
    ids: Vec<PipelineId>,
}

/// What a pipeline that is written in another one gets from it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outer<'a> {
    /// The outer pipeline's id and the place in it; none: it is the document.
    pub(super) id: Option<(&'a PipelineId, &'a str)>,
    pub(super) depth: usize,
    pub(super) parameters: &'a [Parameter],
    pub(super) timescope: bool,
}

/// Reads a document's value.
pub(super) fn read(
    value: &Value,
    file: &str,
    natives: &Natives,
    known: &dyn Known,
) -> (Option<Pipeline>, Vec<Finding>) {
    let derived = schema::derived();
    let form = match Checker::new(&derived) {
        Ok(form) => form,
        Err(e) => {
            return (
                None,
                vec![Finding::value(
                    "",
                    format!("the schema of specs is broken: {e}"),
                )],
            );
        }
    };
    let mut reader = Reader {
        natives,
        known,
        form,
        said: Said::default(),
        uses: Vec::new(),
        ids: Vec::new(),
    };
    let named = match value {
        Value::Null => {
            reader.said.value("", "the spec is empty");
            None
        }
        _ => reader.pipeline(value, "", file, Outer::default()),
    };
    if let Some(pipeline) = &named {
        let found = cycles::find(&pipeline.id, &reader.uses, known);
        reader.said.findings.extend(found);
        let most = known.most_parts();
        let number = parts(pipeline, &|id| known.pipeline(id));
        if number > most {
            let work = work::COMPOSITIONS.into_iter();
            let at = work
                .map(|key| format!("/{key}"))
                .find(|at| value.pointer(at).is_some());
            reader
                .said
                .key(at.unwrap_or_default(), too_many(number, most));
        }
    }
    (named, reader.said.findings)
}

impl Reader<'_> {
    /// Reads one pipeline; none if it is so wrong that there is nothing to go on with. The caller looks at the findings.
    pub(super) fn pipeline(
        &mut self,
        value: &Value,
        at: &str,
        file: &str,
        outer: Outer<'_>,
    ) -> Option<Pipeline> {
        if outer.depth > MAX_NESTING {
            self.said.value(
                at,
                format!("pipelines are written in each other more than {MAX_NESTING} deep"),
            );
            return None;
        }
        let wrong = self.form.check(value);
        let written = without(value, &wrong);
        let spoiled = |key: &str| wrong.iter().any(|f| begins_with(&f.pointer, key));
        let source_spoiled = spoiled("source");
        let parameters_spoiled = spoiled("parameters");
        let work_spoiled = ["source", "transforms", "sinks", "sink"]
            .map(&spoiled)
            .contains(&true)
            || work::COMPOSITIONS.map(&spoiled).contains(&true);
        let found = wrong.into_iter().map(|f| f.below(at));
        self.said.findings.extend(found);
        let written = written?;

        let id = self.id(&written, at, file, outer)?;
        if outer.id.is_some() {
            self.said.inline(&written, at);
        }
        let trigger = self.said.trigger(written.trigger, at);
        if let TriggerSpec::After(after) = &trigger {
            let at = format!("{at}/trigger/after");
            self.uses_pipeline(&after.pipeline, &at, cycles::For::After);
        }
        let timescope = self.said.timescope(written.timescope, at);
        let parameters = self
            .said
            .parameters(written.parameters.unwrap_or_default(), at);
        let inner = Outer {
            id: Some((&id, "")),
            depth: outer.depth.saturating_add(1),
            parameters: &[&parameters, outer.parameters].concat(),
            timescope: timescope.is_some() || outer.timescope,
        };
        let is_webhook = matches!(trigger, TriggerSpec::Webhook(_));
        let has_sinks = written.sinks.is_some() || written.sink.is_some();
        // A pipeline with a webhook that says no source reads what the webhook receives.
        let inbox = (is_webhook && has_sinks && !source_spoiled)
            .then(|| written::Source(json!({"type": "webhook"})));
        let parts = work::Parts {
            source: written.source.or(inbox),
            transforms: written.transforms,
            sinks: written.sinks,
            sink: written.sink,
            sequential: written.sequential,
            parallel: written.parallel,
            conditional: written.conditional,
            retry: written.retry,
        };
        let templates = (!parameters_spoiled).then_some(inner.parameters);
        let mut stages = Stages::new(templates, inner.timescope);
        let work = self.work(parts, at, inner, &mut stages, work_spoiled);
        if let Some(Work::Flow(flow)) = &work
            && !is_webhook
        {
            self.check_inbox(flow, at);
        }
        let persistence = settings::persistence(written.persistence.as_ref());
        if let Some(work) = &work {
            self.check_kept(persistence, work, at);
        }
        let name = written.name.unwrap_or_else(|| id.as_str().to_owned());
        Some(Pipeline {
            name,
            description: written.description.unwrap_or_default(),
            tags: written.tags.unwrap_or_default(),
            status: written.status.unwrap_or_default(),
            trigger,
            parameters,
            timescope,
            persistence,
            errors: self.said.errors(written.errors.unwrap_or_default(), at),
            limits: self.said.limits(&written.limits.unwrap_or_default(), at),
            work: work?,
            id,
        })
    }

    /// What is to be kept can be.
    fn check_kept(&mut self, persistence: Persistence, work: &Work, at: &str) {
        if persistence.raw == Some(true) {
            self.check_raw(work, at);
        }
        if persistence.silver {
            self.check_silver(work, at);
        }
    }

    /// Nothing is kept of a source that cannot.
    fn check_raw(&mut self, work: &Work, at: &str) {
        let name = match work {
            Work::Flow(flow) => match &flow.source.kind {
                StageKind::Native(name) => name,
                StageKind::Plugin { .. } | StageKind::Pipeline(_) => return,
            },
            _ => {
                let message = "`raw` is for a pipeline with a source of its own";
                self.said.value(format!("{at}/persistence/raw"), message);
                return;
            }
        };
        let mut kinds = self.natives.sources.iter();
        let kind = kinds.find(|kind| kind.described().name == name);
        if kind.is_some_and(|kind| !kind.keeps_raw() && !kind.is_inbox()) {
            let message =
                format!("nothing is kept of what the source `{name}` reads: leave `raw` out");
            self.said.value(format!("{at}/persistence/raw"), message);
        }
    }

    /// Records are kept of a pipeline that has sinks, by one more that has its name for itself.
    fn check_silver(&mut self, work: &Work, at: &str) {
        let message = match work {
            Work::Flow(flow) => {
                let own = flow.transforms.iter().chain(&flow.sinks);
                if own.chain([&flow.source]).all(|s| s.name != SILVER) {
                    return;
                }
                "the sink that keeps the records is called `silver`, as a stage of this pipeline is: give that another name"
            }
            _ => {
                "`silver` is for a pipeline with sinks of its own: the pipelines that this one is made of may have it"
            }
        };
        self.said.value(format!("{at}/persistence/silver"), message);
    }

    /// What reads a webhook's payloads needs a webhook.
    fn check_inbox(&mut self, flow: &Flow, at: &str) {
        if work::is_inbox(self.natives, &flow.source.kind) {
            let message = "`webhook` reads what the pipeline's webhook receives, and there is none: `trigger: {webhook: {secret: \"${env:NAME}\"}}`";
            self.said.value(format!("{at}/source/type"), message);
        }
    }

    /// The pipeline's id: its own, or one by its place. Where it is wrong, one to go on with.
    fn id(
        &mut self,
        written: &Written,
        at: &str,
        file: &str,
        outer: Outer<'_>,
    ) -> Option<PipelineId> {
        let (text, pointer) = match (&written.id, outer.id) {
            (Some(id), _) => (id.clone(), format!("{at}/id")),
            (None, Some((outer, place))) => (format!("{outer}.{place}"), at.to_owned()),
            (None, None) => (id_of_file(file).to_owned(), at.to_owned()),
        };
        let id = match PipelineId::new(&text) {
            Ok(id) => id,
            Err(e) if written.id.is_some() => {
                self.said.value(pointer, e.to_string());
                return PipelineId::new("unnamed").ok();
            }
            Err(e) => {
                self.said.value(
                    pointer,
                    format!("no `id` is given, and its place gives none: {e}"),
                );
                return PipelineId::new("unnamed").ok();
            }
        };
        if self.ids.contains(&id) {
            self.said
                .value(pointer, format!("the id {id} is there twice"));
        }
        self.ids.push(id.clone());
        Some(id)
    }

    /// Notes that another pipeline is named, and checks that it is there.
    pub(super) fn uses_pipeline(&mut self, id: &PipelineId, at: &str, what_for: cycles::For) {
        self.uses.push(cycles::Use {
            id: id.clone(),
            pointer: at.to_owned(),
            what_for,
        });
        if self.ids.first() == Some(id) {
            // Itself: the circle is reported.
            return;
        }
        let Some(there) = self.known.pipelines() else {
            return;
        };
        if !there.contains(id) {
            let names = there.iter().map(PipelineId::as_str);
            let instead = crate::nearest::instead(id.as_str(), names);
            self.said
                .value(at, format!("there is no pipeline {id}{instead}"));
        }
    }

    /// Reads an id of a pipeline.
    pub(super) fn pipeline_id(
        &mut self,
        text: &str,
        at: &str,
        what_for: cycles::For,
    ) -> Option<PipelineId> {
        match PipelineId::new(text) {
            Ok(id) => {
                self.uses_pipeline(&id, at, what_for);
                Some(id)
            }
            Err(e) => {
                self.said.value(at, e.to_string());
                None
            }
        }
    }
}

/// A pipeline without the parts whose form is wrong.
fn without(value: &Value, wrong: &[Finding]) -> Option<Written> {
    let members: Map<String, Value> = value.as_object()?.clone();
    let good = members.into_iter().filter(|(key, _)| {
        let spoiled = |f: &Finding| begins_with(&f.pointer, key);
        !wrong.iter().any(spoiled)
    });
    serde_json::from_value(good.collect()).ok()
}

fn begins_with(pointer: &str, key: &str) -> bool {
    let first = pointer.split('/').nth(1);
    first.is_some_and(|first| first.replace("~1", "/").replace("~0", "~") == key)
}
