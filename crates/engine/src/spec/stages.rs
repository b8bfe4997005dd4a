//! Stages: each checked by its own kind. The keys every stage has are taken off; the others are the kind's options.

use std::collections::HashSet;
use std::sync::LazyLock;

use model::id::PluginId;
use model::pipeline::{OnReject, Parameter, StageKind, StageSpec};
use model::plugin::Role;
use model::stage::{Kind, Misfit, Natives};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::cycles::For;
use super::problems::Finding;
use super::reader::Reader;
use super::schema::{derived_of, without_null};
use super::sentences::Checker;
use super::written::{EncodingWord, PipelineSource, PluginStage};
use crate::nearest::{instead, listed, quoted};
use crate::templates;

/// Keys that every stage has.
pub(super) const COMMON: [&str; 3] = ["type", "name", "on_reject"];
/// Keys that every source has.
const SOURCES: [&str; 4] = ["type", "name", "on_reject", INCREMENTAL];
/// Does a run go on where the one before ended?
pub(super) const INCREMENTAL: &str = "incremental";
/// What a kind of its own stands for.
pub(super) const PLUGIN: &str = "plugin";
pub(super) const PIPELINE: &str = "pipeline";

/// Why a reference may not stand where it does.
const IN_RECORDS: &str = "goes into records, where everybody sees it; a reference (`${env:..}`, `${file:..}`) stands for a secret and cannot be used here: use a parameter (`{{name}}`), or `$${` for the characters themselves";

static PLUGIN_SCHEMA: LazyLock<Value> = LazyLock::new(derived_of::<PluginStage>);
static PIPELINE_SCHEMA: LazyLock<Value> = LazyLock::new(derived_of::<PipelineSource>);

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Source,
    Transform,
    Sink,
}

impl Place {
    const ALL: [Self; 3] = [Self::Source, Self::Transform, Self::Sink];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
        }
    }

    /// Keys of every stage that stands here.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Source => &SOURCES,
            Self::Transform | Self::Sink => &COMMON,
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Source => Role::Source,
            Self::Transform => Role::Transform,
            Self::Sink => Role::Sink,
        }
    }

    /// The native kinds that may stand here.
    pub(super) fn kinds(self, natives: &Natives) -> Vec<&dyn Kind> {
        match self {
            Self::Source => natives.sources.iter().map(|k| &**k as &dyn Kind).collect(),
            Self::Transform => natives
                .transforms
                .iter()
                .map(|k| &**k as &dyn Kind)
                .collect(),
            Self::Sink => natives.sinks.iter().map(|k| &**k as &dyn Kind).collect(),
        }
    }

    /// All that may stand here as `type`.
    fn types(self, natives: &Natives) -> Vec<&'static str> {
        let native = self.kinds(natives).into_iter().map(|k| k.described().name);
        let own = [Some(PLUGIN), (self == Self::Source).then_some(PIPELINE)];
        native.chain(own.into_iter().flatten()).collect()
    }
}

/// What is wrong with options of a native kind: by its schema, then by itself. Strings that hold templates or references may become anything; once they are filled
/// in, none is left, and all is checked.
#[must_use]
pub fn check_options(kind: &dyn Kind, options: &Map<String, Value>) -> Vec<Misfit> {
    let findings = check_native(kind, &Value::Object(options.clone()), &COMMON);
    findings.into_iter().map(Misfit::from).collect()
}

fn check_native(kind: &dyn Kind, options: &Value, keys: &[&str]) -> Vec<Finding> {
    let mut described = kind.described();
    without_null(&mut described.options);
    let findings = match Checker::new(&described.options) {
        Ok(checker) => checker.beside_keys(keys).check_open(options),
        Err(e) => vec![Finding::value(
            "",
            format!("the schema of `{}` is broken: {e}", described.name),
        )],
    };
    if findings.is_empty() {
        kind.check(options).into_iter().map(Finding::from).collect()
    } else {
        findings
    }
}

/// The stages of one flow.
#[derive(Debug)]
pub(super) struct Stages<'a> {
    names: HashSet<String>,
    /// What templates may name; none: that was wrong, and templates are not looked at.
    parameters: Option<&'a [Parameter]>,
    timescope: bool,
}

impl<'a> Stages<'a> {
    pub(super) fn new(parameters: Option<&'a [Parameter]>, timescope: bool) -> Self {
        Self {
            names: HashSet::new(),
            parameters,
            timescope,
        }
    }

    /// Checks the names that stages give themselves.
    pub(super) fn check_names<'m>(
        &mut self,
        reader: &mut Reader<'_>,
        stages: impl Iterator<Item = (&'m str, &'m Value)>,
    ) {
        for (at, stage) in stages {
            let Some(name) = stage.get("name").and_then(Value::as_str) else {
                continue;
            };
            let word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            let at = format!("{at}/name");
            if !(1..=64).contains(&name.len()) || !name.chars().all(word) {
                let given = quoted(name);
                reader.said.value(
                    at,
                    format!("{given} is no name of a stage: 1 to 64 of A-Z a-z 0-9 _ - . are"),
                );
            } else if !self.names.insert(name.to_owned()) {
                reader.said.value(
                    at,
                    format!("another stage of this pipeline has the name {name}, too"),
                );
            }
        }
    }

    /// Takes `incremental` off a source, if it is there.
    pub(super) fn incremental(
        reader: &mut Reader<'_>,
        source: &mut Value,
        at: &str,
    ) -> Option<bool> {
        match source.as_object_mut()?.shift_remove(INCREMENTAL)? {
            Value::Bool(given) => Some(given),
            given => {
                reader.said.value(
                    format!("{at}/{INCREMENTAL}"),
                    format!("`{INCREMENTAL}` is {given}; true or false is needed"),
                );
                None
            }
        }
    }

    /// Can a run of this source go on where the one before ended?
    pub(super) fn check_incremental(&self, reader: &mut Reader<'_>, source: &StageSpec, at: &str) {
        let at = format!("{at}/{INCREMENTAL}");
        if self.timescope {
            let message = "the pipeline has a `timescope`, so that each run reads its own window; it cannot go on where the one before ended as well";
            reader.said.value(at, message);
            return;
        }
        let StageKind::Native(name) = &source.kind else {
            return;
        };
        let mut kinds = reader.natives.sources.iter();
        let kind = kinds.find(|k| k.described().name == name);
        if kind.is_some_and(|k| !k.goes_on(&Value::Object(source.options.clone()))) {
            let message = format!(
                "a source of type `{name}` cannot tell what has come since the last run: each run reads all that it is asked for; a `timescope` asks for one span of time after the other"
            );
            reader.said.value(at, message);
        }
    }

    /// Reads one stage.
    pub(super) fn stage(
        &mut self,
        reader: &mut Reader<'_>,
        stage: Value,
        at: &str,
        place: Place,
    ) -> Option<StageSpec> {
        let Value::Object(mut map) = stage else {
            let name = place.name();
            reader.said.value(
                at,
                format!("a {name} is a map with `type` and the options of that type"),
            );
            return None;
        };
        let kind = map.shift_remove("type");
        let name = map.shift_remove("name");
        let on_reject = on_reject(reader, map.shift_remove("on_reject"), at);
        if name.as_ref().is_some_and(|n| !n.is_string()) {
            reader.said.value(format!("{at}/name"), "`name` is no text");
        }
        let kind = self.kind_name(reader, kind, at, place)?;
        let name = match name {
            Some(Value::String(name)) => name,
            _ => String::new(),
        };
        let (kind, options) = match (kind.as_str(), place) {
            (PLUGIN, _) => plugin(reader, map, at, place)?,
            (PIPELINE, Place::Source) => pipeline_source(reader, map, at)?,
            _ => {
                let found = place
                    .kinds(reader.natives)
                    .into_iter()
                    .find(|k| k.described().name == kind)?;
                let secret = templates::references(&map);
                let secret = secret.into_iter().filter(|at| found.is_data(at));
                let secret = secret.map(|at| Misfit::new(at, IN_RECORDS)).collect();
                let options = Value::Object(map);
                let wrong = check_native(found, &options, place.keys());
                let wrong = wrong.into_iter().map(|f| f.below(at));
                reader.said.findings.extend(wrong);
                add(reader, at, secret);
                let Value::Object(map) = options else {
                    return None;
                };
                (StageKind::Native(kind), map)
            }
        };
        if let Some(parameters) = self.parameters {
            let misfits = templates::check(&options, parameters, self.timescope);
            let at = match kind {
                StageKind::Plugin { .. } => format!("{at}/config"),
                StageKind::Native(_) | StageKind::Pipeline(_) => at.to_owned(),
            };
            add(reader, &at, misfits);
        }
        Some(StageSpec {
            name,
            kind,
            options,
            on_reject,
        })
    }

    fn kind_name(
        &self,
        reader: &mut Reader<'_>,
        given: Option<Value>,
        at: &str,
        place: Place,
    ) -> Option<String> {
        let here = place.types(reader.natives);
        let name = place.name();
        let (at, message) = match given {
            None => {
                let there = listed(here.into_iter());
                (
                    at.to_owned(),
                    format!("`type` is missing: which {name} it is; {there}"),
                )
            }
            Some(Value::String(kind)) if here.contains(&kind.as_str()) => return Some(kind),
            Some(Value::String(kind)) => {
                let elsewhere = Place::ALL
                    .into_iter()
                    .find(|p| p.types(reader.natives).contains(&kind.as_str()));
                let given = quoted(&kind);
                let message = match elsewhere {
                    Some(other) => format!(
                        "{given} is a {}, no {name}; of these {}",
                        other.name(),
                        listed(here.into_iter())
                    ),
                    None => format!(
                        "there is no {name} {given}{}",
                        instead(&kind, here.into_iter())
                    ),
                };
                (format!("{at}/type"), message)
            }
            Some(_) => (format!("{at}/type"), "`type` is no text".to_owned()),
        };
        reader.said.findings.push(if at.ends_with("/type") {
            Finding::value(at, message)
        } else {
            Finding::key(at, message)
        });
        None
    }
}

fn on_reject(reader: &mut Reader<'_>, given: Option<Value>, at: &str) -> Option<OnReject> {
    const WORDS: [&str; 3] = ["reject", "skip_batch", "fail"];
    let given = given?;
    let read = serde_json::from_value(given.clone()).ok();
    if read.is_none() {
        let text = given.as_str().unwrap_or_default();
        let instead = instead(text, WORDS.into_iter());
        reader.said.value(
            format!("{at}/on_reject"),
            format!("`on_reject` is {given}{instead}"),
        );
    }
    read
}

fn plugin(
    reader: &mut Reader<'_>,
    map: Map<String, Value>,
    at: &str,
    place: Place,
) -> Option<(StageKind, Map<String, Value>)> {
    if place != Place::Transform && map.contains_key("sees_all") {
        reader.said.key(
            format!("{at}/sees_all"),
            format!(
                "`sees_all` is for transforms only, and this is a {}",
                place.name()
            ),
        );
    }
    let stage: PluginStage = formed(reader, map, at, &PLUGIN_SCHEMA, place)?;
    let id = PluginId::new(&stage.plugin).map_err(|e| e.to_string());
    let id = reader.said.take(format!("{at}/plugin"), id)?;
    if let Some(plugins) = reader.known.plugins() {
        let role = place.role();
        let message = match plugins.iter().find(|(there, _)| *there == id) {
            Some((_, roles)) if roles.contains(&role) => None,
            Some(_) => {
                let fitting = plugins.iter().filter(|(_, roles)| roles.contains(&role));
                let fitting = listed(fitting.map(|(id, _)| id.as_str()));
                Some(format!(
                    "the plugin {id} is no {}; of these {fitting}",
                    place.name()
                ))
            }
            None => {
                let names = plugins.iter().map(|(id, _)| id.as_str());
                Some(format!(
                    "there is no plugin {id}{}",
                    instead(id.as_str(), names)
                ))
            }
        };
        if let Some(message) = message {
            reader.said.value(format!("{at}/plugin"), message);
        }
    }
    let kind = StageKind::Plugin {
        plugin: id,
        sees_all: stage.sees_all.unwrap_or(false),
        arrow: stage.encoding == Some(EncodingWord::Arrow),
    };
    Some((kind, stage.config.unwrap_or_default()))
}

fn pipeline_source(
    reader: &mut Reader<'_>,
    map: Map<String, Value>,
    at: &str,
) -> Option<(StageKind, Map<String, Value>)> {
    let source: PipelineSource = formed(reader, map, at, &PIPELINE_SCHEMA, Place::Source)?;
    let (whole, at) = (at, format!("{at}/pipeline"));
    let id = reader.pipeline_id(&source.pipeline, &at, For::Source)?;
    let there = reader.known.pipeline(&id);
    if there.is_some_and(|p| !matches!(p.work, model::pipeline::Work::Flow(_))) {
        let message = format!(
            "the pipeline {id} runs other pipelines; only one with a source of its own can be a source"
        );
        reader.said.value(at, message);
    }
    let given = source.parameters.unwrap_or_default();
    reader.given(&id, &given, whole, "/pipeline");
    let given = (!given.is_empty()).then_some(Value::Object(given));
    let options = given.map(|given| ("parameters".to_owned(), given));
    Some((StageKind::Pipeline(id), options.into_iter().collect()))
}

/// Options as one of our own types.
fn formed<T: DeserializeOwned>(
    reader: &mut Reader<'_>,
    map: Map<String, Value>,
    at: &str,
    schema: &Value,
    place: Place,
) -> Option<T> {
    let value = Value::Object(map);
    let checker = reader.said.take(at, Checker::new(schema))?;
    let findings = checker.beside_keys(place.keys()).check(&value);
    if findings.is_empty() {
        return serde_json::from_value(value).ok();
    }
    let found = findings.into_iter().map(|f| f.below(at));
    reader.said.findings.extend(found);
    None
}

fn add(reader: &mut Reader<'_>, at: &str, misfits: Vec<Misfit>) {
    let found = misfits.into_iter().map(|m| Finding::from(m).below(at));
    reader.said.findings.extend(found);
}
