//! The stages of a run, from what the spec says of them to what does the work: options filled in, hooks asked, native kinds and plugins opened. Moving records is
//! `flow`'s business.

use std::sync::{Arc, Mutex};

use model::bronze::KeptInput;
use model::data::{Opening, Reader, Transformer, Window, Writer};
use model::error::Fault;
use model::id::{PipelineId, PluginId};
use model::pipeline::{Flow, OnReject, Pipeline, StageKind, StageSpec, Work};
use model::plugin::Role;
use model::ports::References;
use model::redact::Secrets;
use model::run::Part;
use model::silver::SILVER;
use model::stage::{
    Context, Described, KeepRaw, RunNotes, SinkKind, SourceKind, Takes, TransformKind,
};
use serde_json::{Map, Value};

use super::asked::asked;
use super::keep::{Keeper, KeptBatches};
use super::letters::{Letters, Redrive};
use super::masked::masked;
use super::plugin::{Held, Sizes};
use super::retry::Tries;
use super::{Failure, Feed, Job, meter::Meter};
use crate::Engine;
use crate::parameters;
use crate::pipelines::validate::{unknown, word};
use crate::runs::entry::Entry;
use crate::runs::listed;
use crate::templates::{self, Values};

/// A stage that is to be opened.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    /// With its name in this run.
    pub(super) spec: StageSpec,
    pub(super) part: Part,
    pub(super) policy: OnReject,
    /// What its templates are filled with.
    values: Arc<Values>,
}

/// Opens a stage as often as it takes.
pub(super) struct Opener<K: ?Sized> {
    pub(super) meter: Arc<Meter>,
    config: String,
    kind: What<K>,
    context: Context,
    window: Option<Window>,
    batch: u32,
    /// Of a source: payloads that it reads in place of its own input.
    kept: Option<KeptInput>,
    is_silver: bool,
}

enum What<K: ?Sized> {
    Native(Arc<K>),
    Plugin {
        held: Held,
        takes: Takes,
        sees_all: bool,
    },
}

impl<K: ?Sized> Clone for What<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Native(kind) => Self::Native(Arc::clone(kind)),
            Self::Plugin {
                held,
                takes,
                sees_all,
            } => Self::Plugin {
                held: held.clone(),
                takes: *takes,
                sees_all: *sees_all,
            },
        }
    }
}

impl<K: ?Sized> Clone for Opener<K> {
    fn clone(&self) -> Self {
        Self {
            meter: Arc::clone(&self.meter),
            config: self.config.clone(),
            kind: self.kind.clone(),
            context: self.context.clone(),
            window: self.window.clone(),
            batch: self.batch,
            kept: self.kept.clone(),
            is_silver: self.is_silver,
        }
    }
}

/// The stages of a flow, those of a pipeline that is its source put in front of its own.
pub(super) fn plan(
    engine: &Engine,
    entry: &Entry,
    job: &Job,
    flow: &Flow,
) -> Result<Vec<Planned>, Failure> {
    let values = Values {
        pipeline: job.pipeline.id.clone(),
        run: entry.id.clone(),
        parameters: job.parameters.clone(),
        window: job.window.clone(),
    };
    let mut planned = Vec::new();
    let mut trail = vec![job.pipeline.id.clone()];
    let within = Within {
        engine,
        prefix: String::new(),
        values: Arc::new(values),
    };
    within.add(&job.pipeline, flow, &mut trail, &mut planned)?;
    let sinks = flow.sinks.iter().filter(|s| job.feed.goes_to(&s.name));
    planned.extend(sinks.map(|s| within.planned(&job.pipeline, Part::Sink, s)));
    if keeps_silver(engine, job) {
        planned.push(within.planned(&job.pipeline, Part::Sink, &silver()));
    }
    match &job.feed {
        Feed::Source | Feed::Kept(_) => Ok(planned),
        Feed::Letters(feed) => planned_from(planned, &feed.stage),
    }
}

/// Are the cleaned records of this run kept? Those of a replay were, when they came; letters that a sink gave up on went past that sink only.
fn keeps_silver(engine: &Engine, job: &Job) -> bool {
    let tried = job.dry_run || job.preview.is_some() || job.limit.is_some() || job.version == 0;
    engine.ports.silver.is_some()
        && job.pipeline.persistence.silver
        && !tried
        && !matches!(job.feed, Feed::Kept(_))
}

/// The sink that keeps them.
fn silver() -> StageSpec {
    StageSpec {
        name: SILVER.into(),
        kind: StageKind::Native(SILVER.into()),
        options: Map::new(),
        on_reject: None,
    }
}

/// What dead letters of a stage go through: the stage and what comes after it; of a sink, no other sink.
fn planned_from(mut planned: Vec<Planned>, stage: &str) -> Result<Vec<Planned>, Failure> {
    let at = planned.iter().position(|p| p.spec.name == stage);
    let at = at.ok_or_else(|| {
        Failure::new(format!(
            "the pipeline has no stage {stage} any more, of which these dead letters are"
        ))
    })?;
    let part = planned.get(at).map(|p| p.part);
    let mut place = 0..;
    planned.retain(|p| {
        let here = place.next() == Some(at);
        match part {
            Some(Part::Sink) => here || p.part == Part::Source,
            _ => true,
        }
    });
    if part == Some(Part::Transform) {
        planned.drain(1..at);
    }
    Ok(planned)
}

/// One of the pipelines that a flow consists of.
struct Within<'a> {
    engine: &'a Engine,
    /// What its stages' names begin with.
    prefix: String,
    values: Arc<Values>,
}

impl Within<'_> {
    /// The source and the transforms.
    fn add(
        &self,
        pipeline: &Pipeline,
        flow: &Flow,
        trail: &mut Vec<PipelineId>,
        planned: &mut Vec<Planned>,
    ) -> Result<(), Failure> {
        if let StageKind::Pipeline(id) = &flow.source.kind {
            self.add_other(id, &flow.source, trail, planned)?;
        } else {
            planned.push(self.planned(pipeline, Part::Source, &flow.source));
        }
        let transforms = flow.transforms.iter();
        planned.extend(transforms.map(|s| self.planned(pipeline, Part::Transform, s)));
        Ok(())
    }

    /// Another pipeline's source and transforms.
    fn add_other(
        &self,
        id: &PipelineId,
        source: &StageSpec,
        trail: &mut Vec<PipelineId>,
        planned: &mut Vec<Planned>,
    ) -> Result<(), Failure> {
        let fails = |what: String| Failure::new(what).within(format!("source {}", source.name));
        if trail.contains(id) {
            return Err(fails(format!("pipeline {id} reads from itself")));
        }
        let found = self.engine.pipeline(id);
        let found = found.ok_or_else(|| fails(format!("there is no pipeline {id}")))?;
        let Work::Flow(flow) = &found.pipeline.work else {
            return Err(fails(format!(
                "pipeline {id} is made of other pipelines: only one with a source of its own can be read from"
            )));
        };
        let given = match source.options.get("parameters") {
            Some(Value::Object(given)) => given.clone(),
            _ => Map::new(),
        };
        let given = templates::fill(&given, &self.values, &NoReferences)
            .map_err(|wrong| fails(listed(&wrong)))?;
        let parameters = parameters::complete(&found.pipeline.parameters, &given)
            .map_err(|wrong| fails(listed(&wrong)))?;
        let inner = Within {
            engine: self.engine,
            prefix: format!("{}{id}/", self.prefix),
            values: Arc::new(Values {
                pipeline: id.clone(),
                parameters,
                ..(*self.values).clone()
            }),
        };
        trail.push(id.clone());
        inner.add(&found.pipeline, flow, trail, planned)
    }

    fn planned(&self, pipeline: &Pipeline, part: Part, spec: &StageSpec) -> Planned {
        let name = format!("{}{}", self.prefix, spec.name);
        Planned {
            spec: StageSpec {
                name,
                ..spec.clone()
            },
            part,
            policy: spec.on_reject.unwrap_or(pipeline.errors.on_reject),
            values: Arc::clone(&self.values),
        }
    }
}

impl Planned {
    /// What a native sink replaces as a whole; see [`SinkKind::replaces`].
    pub(super) fn replaces(&self, sinks: &[Arc<dyn SinkKind>]) -> Option<String> {
        let StageKind::Native(name) = &self.spec.kind else {
            return None;
        };
        let kind = sinks.iter().find(|k| is(&k.described(), name))?;
        kind.replaces(&Value::Object(self.spec.options.clone()))
    }

    /// Is it the sink that the engine added?
    pub(super) fn is_silver(&self) -> bool {
        matches!(&self.spec.kind, StageKind::Native(name) if name == SILVER)
    }

    /// Its counters; says what does the work.
    pub(super) fn meter(&self, kind: String) -> Arc<Meter> {
        Meter::new(self.spec.name.as_str().into(), self.part, kind)
    }

    pub(super) fn fails(&self, what: String) -> Failure {
        Failure::new(what).within(format!("{} {}", word(self.part), self.spec.name))
    }
}

/// How the stages of a run are opened.
pub(super) struct Openers<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) entry: &'a Arc<Entry>,
    pub(super) job: &'a Job,
    /// The plugins of this run, each in one version for all its stages.
    pub(super) held: Mutex<std::collections::HashMap<PluginId, Held>>,
}

impl Openers<'_> {
    pub(super) async fn source(
        &self,
        planned: &Planned,
        parsed_next: bool,
    ) -> Result<Opener<dyn SourceKind>, Failure> {
        let natives = &self.engine.ports.stages.natives.sources;
        let mut opener = self
            .opener(planned, Role::Source, |name| {
                natives.iter().find(|k| is(&k.described(), name)).cloned()
            })
            .await?;
        opener.context.parsed_next = parsed_next;
        opener.kept = self.kept(planned, &opener.kind)?;
        opener.context.raw = self.keeper(planned, &opener);
        Ok(opener)
    }

    /// The payloads that a source reads in place of its own input, if it does.
    fn kept(
        &self,
        planned: &Planned,
        kind: &What<dyn SourceKind>,
    ) -> Result<Option<KeptInput>, Failure> {
        let is_inbox = matches!(kind, What::Native(kind) if kind.is_inbox());
        let input = self.engine.kept_input(&planned.values.pipeline);
        match (&self.job.feed, kind) {
            (Feed::Source, _) if !is_inbox => Ok(None),
            (Feed::Source, _) => Ok(input),
            // Those are not read by the source.
            (Feed::Letters(_), _) => Ok(None),
            (Feed::Kept(span), _) => {
                let input =
                    input.ok_or_else(|| planned.fails("this host keeps no raw payloads".into()))?;
                Ok(Some(KeptInput {
                    from_ms: span.from_ms,
                    until_ms: Some(span.until_ms),
                    ..input
                }))
            }
        }
    }

    pub(super) async fn transform(
        &self,
        planned: &Planned,
    ) -> Result<Opener<dyn TransformKind>, Failure> {
        let natives = &self.engine.ports.stages.natives.transforms;
        self.opener(planned, Role::Transform, |name| {
            natives.iter().find(|k| is(&k.described(), name)).cloned()
        })
        .await
    }

    pub(super) async fn sink(&self, planned: &Planned) -> Result<Opener<dyn SinkKind>, Failure> {
        let ports = &self.engine.ports;
        let natives = &ports.stages.natives.sinks;
        let silver = ports.silver.as_ref().filter(|_| planned.is_silver());
        self.opener(planned, Role::Sink, |name| match silver {
            Some(silver) => {
                Some(Arc::<dyn model::silver::Silver>::clone(&silver.files) as Arc<dyn SinkKind>)
            }
            None => natives.iter().find(|k| is(&k.described(), name)).cloned(),
        })
        .await
    }

    async fn opener<K: ?Sized>(
        &self,
        planned: &Planned,
        role: Role,
        native: impl Fn(&str) -> Option<Arc<K>>,
    ) -> Result<Opener<K>, Failure> {
        let natives = &self.engine.ports.stages.natives;
        let (kind, said) = match &planned.spec.kind {
            StageKind::Native(name) => match native(name) {
                Some(kind) => (What::Native(kind), name.clone()),
                None => return Err(planned.fails(unknown(natives, planned.part, name))),
            },
            StageKind::Plugin {
                plugin,
                sees_all,
                arrow,
            } => {
                let held = self.hold(plugin, role);
                let held = held.map_err(|fault| planned.fails(fault.to_string()))?;
                let takes = if *arrow {
                    Takes::ArrowIpc
                } else {
                    Takes::Ndjson
                };
                let said = held.said();
                let kind = What::Plugin {
                    held,
                    takes,
                    sees_all: *sees_all,
                };
                (kind, said)
            }
            StageKind::Pipeline(id) => {
                return Err(planned.fails(format!("pipeline {id} can only be a source")));
            }
        };
        let meter = planned.meter(said);
        let options = asked(self, planned).await?;
        let secrets = Arc::default();
        let config = self.filled(planned, options, &secrets).await?;
        let window = planned.values.window.as_ref();
        Ok(Opener {
            config,
            kind,
            context: self.context(&meter, secrets),
            window: window.and_then(|w| {
                Some(Window {
                    start: w.start.clone()?,
                    end: w.end.clone()?,
                })
            }),
            batch: self.job.pipeline.limits.batch_records.get(),
            kept: None,
            is_silver: planned.is_silver(),
            meter,
        })
    }

    fn hold(&self, plugin: &PluginId, role: Role) -> Result<Held, Fault> {
        let mut all = crate::slot::lock(&self.held);
        let held = match all.get(plugin) {
            Some(held) => held.clone(),
            None => Held::find(self.engine, plugin)?,
        };
        held.check(role)?;
        all.insert(plugin.clone(), held.clone());
        Ok(held)
    }

    fn context(&self, meter: &Meter, secrets: Arc<Secrets>) -> Context {
        Context {
            pipeline: self.job.pipeline.id.clone(),
            run: self.entry.id.clone(),
            stage: Arc::clone(&meter.name),
            access: Arc::clone(&self.engine.ports.stages.access),
            record_bytes: self.job.pipeline.limits.record_bytes,
            parsed_next: false,
            progress: Arc::clone(&meter.progress),
            notes: Arc::new(StageNotes {
                entry: Arc::clone(self.entry),
                stage: Arc::clone(&meter.name),
                secrets: Arc::clone(&secrets),
            }),
            secrets,
            raw: None,
        }
    }

    /// What keeps the input of a source; none: it is not kept.
    fn keeper(
        &self,
        planned: &Planned,
        opener: &Opener<dyn SourceKind>,
    ) -> Option<Arc<dyn KeepRaw>> {
        let keeps = match &opener.kind {
            What::Native(kind) => kind.keeps_raw(),
            What::Plugin { .. } => true,
        };
        let job = self.job;
        let tried = job.dry_run || job.preview.is_some() || job.version == 0;
        let wanted = job.pipeline.persistence.raw.unwrap_or(true);
        if !keeps || tried || !wanted || job.feed != Feed::Source {
            return None;
        }
        let raw = self.engine.ports.raw.as_ref()?;
        Some(Arc::new(Keeper {
            log: Arc::clone(&raw.log),
            clock: Arc::clone(&self.engine.ports.clock),
            pipeline: planned.values.pipeline.clone(),
            run: self.entry.id.clone(),
            stage: opener.context.stage.clone(),
        }))
    }

    /// The options with templates and references filled in, JSON text. What the references stand for is added to the secrets.
    async fn filled(
        &self,
        planned: &Planned,
        options: Map<String, Value>,
        secrets: &Arc<Secrets>,
    ) -> Result<String, Failure> {
        let values = Arc::clone(&planned.values);
        let noted = Noted {
            references: Arc::clone(&self.engine.ports.stages.references),
            secrets: Arc::clone(secrets),
        };
        // References may read files.
        let filling =
            tokio::task::spawn_blocking(move || templates::fill(&options, &values, &noted));
        let filled = filling.await.map_err(|e| planned.fails(e.to_string()))?;
        let filled = filled.map_err(|wrong| planned.fails(listed(&wrong)))?;
        Ok(Value::Object(filled).to_string())
    }
}

/// References whose values are secrets from then on.
#[derive(Debug)]
struct Noted {
    references: Arc<dyn References>,
    secrets: Arc<Secrets>,
}

impl References for Noted {
    fn get(&self, reference: &str) -> Result<String, String> {
        let value = self.references.get(reference)?;
        self.secrets.learn(&value);
        Ok(value)
    }
}

/// What a stage says goes into the log of its run.
#[derive(Debug)]
struct StageNotes {
    entry: Arc<Entry>,
    stage: Arc<str>,
    secrets: Arc<Secrets>,
}

impl RunNotes for StageNotes {
    fn say(&self, line: &str) {
        self.entry.say(&self.stage, &self.secrets.redact(line));
    }
}

/// Values that go on to another pipeline hold no secrets: they are shown with its runs.
#[derive(Debug)]
pub(super) struct NoReferences;

impl References for NoReferences {
    fn get(&self, reference: &str) -> Result<String, String> {
        Err(format!(
            "${{{reference}}} cannot be a parameter of a pipeline"
        ))
    }
}

fn is(described: &Described, name: &str) -> bool {
    described.name == name
}

impl<K: ?Sized> Opener<K> {
    /// What a fault of this stage is part of.
    pub(super) fn fails(&self, fault: &Fault, tries: &Tries<'_>) -> Failure {
        fails(&self.meter, fault, tries)
    }

    /// How much a plugin takes at once.
    pub(super) fn sizes(&self) -> Option<Arc<Sizes>> {
        match &self.kind {
            What::Native(_) => None,
            What::Plugin { held, .. } => Some(held.sizes(self.batch)),
        }
    }

    /// How many of it may be open; none: any number.
    pub(super) fn most_open(&self) -> Option<usize> {
        match &self.kind {
            What::Native(_) => None,
            What::Plugin { held, .. } => Some(held.most_open()),
        }
    }

    pub(super) fn is_plugin(&self) -> bool {
        matches!(self.kind, What::Plugin { .. })
    }

    /// What keeps the batches of a plugin's source; a native one keeps its input by itself.
    pub(super) fn keeper(&self) -> Option<Arc<dyn KeepRaw>> {
        self.context.raw.clone().filter(|_| self.is_plugin())
    }

    fn options(&self) -> Value {
        serde_json::from_str(&self.config).unwrap_or_default()
    }
}

/// What a run reads from.
pub(super) enum Origin {
    Source(Box<Opener<dyn SourceKind>>),
    Letters(Arc<Meter>, Arc<Redrive>),
}

impl Origin {
    pub(super) fn meter(&self) -> &Arc<Meter> {
        match self {
            Self::Source(opener) => &opener.meter,
            Self::Letters(meter, _) => meter,
        }
    }

    /// How the source is opened, where it is one.
    pub(super) fn opener(&self) -> Option<&Opener<dyn SourceKind>> {
        match self {
            Self::Source(opener) => Some(opener),
            Self::Letters(..) => None,
        }
    }

    /// `cursor` is from where it is to go on.
    pub(super) async fn open(&self, cursor: Option<String>) -> Result<Box<dyn Reader>, Fault> {
        match self {
            Self::Source(opener) => opener.open(cursor).await,
            Self::Letters(_, redrive) => Ok(Box::new(Letters(Arc::clone(redrive)))),
        }
    }
}

impl Opener<dyn SourceKind> {
    /// `cursor` is from where it is to go on.
    pub(super) async fn open(&self, cursor: Option<String>) -> Result<Box<dyn Reader>, Fault> {
        let opening = Opening {
            config: self.config.clone(),
            cursor,
            window: self.window.clone(),
        };
        let opened = match &self.kind {
            What::Native(kind) => match &self.kept {
                Some(kept) => {
                    let context = self.context.clone();
                    kind.open_kept(opening, context, kept.clone()).await
                }
                None => kind.open(opening, self.context.clone()).await,
            },
            What::Plugin { held, .. } => match &self.kept {
                Some(kept) => {
                    let stage = Arc::clone(&self.context.stage);
                    Ok(Box::new(KeptBatches::new(kept.clone().after(None), stage))
                        as Box<dyn Reader>)
                }
                None => held.open_source(opening).await,
            },
        };
        masked(opened, &self.context.secrets, |stage| Box::new(stage))
    }
}

impl Opener<dyn TransformKind> {
    pub(super) async fn open(&self) -> Result<Box<dyn Transformer>, Fault> {
        let config = self.config.clone();
        let opened = match &self.kind {
            What::Native(kind) => kind.open(config, self.context.clone()).await,
            What::Plugin { held, .. } => held.open_transform(config).await,
        };
        masked(opened, &self.context.secrets, |stage| Box::new(stage))
    }

    pub(super) fn takes(&self) -> Takes {
        match &self.kind {
            What::Native(kind) => kind.takes(),
            What::Plugin { takes, .. } => *takes,
        }
    }

    pub(super) fn sees_all(&self) -> bool {
        match &self.kind {
            What::Native(kind) => kind.sees_all(&self.options()),
            What::Plugin { sees_all, .. } => *sees_all,
        }
    }

    pub(super) fn parses(&self) -> bool {
        match &self.kind {
            What::Native(kind) => kind.parses(&self.options()),
            What::Plugin { .. } => false,
        }
    }
}

impl Opener<dyn SinkKind> {
    /// Is it the sink that the engine added?
    pub(super) fn is_silver(&self) -> bool {
        self.is_silver
    }

    /// Does it replace something as a whole?
    pub(super) fn replaces(&self) -> bool {
        match &self.kind {
            What::Native(kind) => kind.replaces(&self.options()).is_some(),
            What::Plugin { .. } => false,
        }
    }

    pub(super) async fn open(&self) -> Result<Box<dyn Writer>, Fault> {
        let config = self.config.clone();
        let opened = match &self.kind {
            What::Native(kind) => kind.open(config, self.context.clone()).await,
            What::Plugin { held, .. } => held.open_sink(config).await,
        };
        masked(opened, &self.context.secrets, |stage| Box::new(stage))
    }

    pub(super) fn takes(&self) -> Takes {
        match &self.kind {
            What::Native(kind) => kind.takes(&self.options()),
            What::Plugin { takes, .. } => *takes,
        }
    }
}

/// A stage failed: what happened, and where.
pub(super) fn fails(meter: &Meter, fault: &Fault, tries: &Tries<'_>) -> Failure {
    let said = format!("{fault}{}", tries.said());
    meter.failed(said.clone());
    Failure::new(said).within(format!(
        "{} {} ({})",
        word(meter.part),
        meter.name,
        meter.kind
    ))
}
