//! The schema of the written form: derived from the twin, and published with the options of every native stage, for editors. What a schema cannot say is checked
//! beside it.

use model::stage::Natives;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::stages::{INCREMENTAL, PIPELINE, PLUGIN, Place};
use super::work::COMPOSITIONS;
use super::written::{OnRejectWord, PipelineSource, PipelineStep, PluginStage, Written};

/// One JSON Schema (2020-12) for pipeline specs with these native stages, for editors that complete and check. It knows the form of everything; that what is named
/// exists, and what durations, conditions and the like hold, is for [`super::read`].
#[must_use]
pub fn schema(natives: &Natives) -> Value {
    let mut whole = derived();
    let mut defs = take(&mut whole, "$defs");
    defs.insert("OnReject".into(), derived_of::<OnRejectWord>());
    for place in [Place::Source, Place::Transform, Place::Sink] {
        let stage = stage(place, natives, &mut defs);
        let name = match place {
            Place::Source => "Source",
            Place::Transform => "Transform",
            Place::Sink => "Sink",
        };
        defs.insert(name.into(), stage);
    }
    let step = json!({
        "description": "The id of a pipeline, the id and what it is given, or a pipeline in place.",
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/PipelineStep"}, {"$ref": "#"}],
    });
    let mut named = derived_of::<PipelineStep>();
    take(&mut named, "$schema");
    defs.insert("PipelineStep".into(), named);
    defs.insert("Step".into(), step);
    let one_of =
        |keys: &[&str]| -> Value { keys.iter().map(|key| json!({"required": [key]})).collect() };
    let tables: [(&str, Value); 2] = [
        (
            "TriggerTable",
            one_of(&["every", "cron", "webhook", "after"]),
        ),
        (
            "ScopeTable",
            json!([{"required": ["every"]}, {"required": ["start", "end"]}]),
        ),
    ];
    for (name, one_of) in tables {
        if let Some(Value::Object(table)) = defs.get_mut(name) {
            table.insert("oneOf".into(), one_of);
        }
    }
    if let Some(Value::Object(table)) = defs.get_mut("TriggerTable") {
        let goes_with =
            json!({"mode": ["every"], "zone": ["cron"], "missed": ["cron"], "on": ["after"]});
        table.insert("dependentRequired".into(), goes_with);
        let timed = json!({"anyOf": one_of(&["every", "cron"])});
        let goes_with = json!({"overlap": timed, "jitter": timed});
        table.insert("dependentSchemas".into(), goes_with);
    }
    if let Value::Object(whole) = &mut whole {
        // Without a source a pipeline reads what its webhook receives.
        let hooked = json!({"required": ["trigger"], "properties": {"trigger": {"type": "object", "required": ["webhook"]}}});
        let mut works = vec![json!({
            "anyOf": [{"required": ["source"]}, hooked],
            "oneOf": one_of(&["sinks", "sink"]),
        })];
        works.extend(COMPOSITIONS.map(|key| json!({"required": [key]})));
        whole.insert("oneOf".into(), Value::Array(works));
        whole.insert("$defs".into(), Value::Object(defs));
    }
    whole
}

/// The schema of a document, without what stages and compositions hold.
pub(super) fn derived() -> Value {
    derived_of::<Written>()
}

pub(super) fn derived_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    without_null(&mut schema);
    schema
}

/// A key that stands there with nothing after it is a mistake, not a way to leave it out.
pub(super) fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(members) => {
            members.values_mut().for_each(without_null);
            if members.get("default") == Some(&Value::Null) {
                members.shift_remove("default");
            }
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|t| t != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    members.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(branches)) = members.get_mut("anyOf") {
                branches.retain(|b| b != &json!({"type": "null"}));
                if let [Value::Object(one)] = branches.as_slice() {
                    let one = one.clone();
                    members.shift_remove("anyOf");
                    one.into_iter().for_each(|(key, value)| {
                        members.entry(key).or_insert(value);
                    });
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A stage: its keys depend on its `type`.
fn stage(place: Place, natives: &Natives, defs: &mut Map<String, Value>) -> Value {
    let mut kinds: Vec<(&str, String, Value)> = place
        .kinds(natives)
        .into_iter()
        .map(|kind| kind.described())
        .map(|d| (d.name, d.summary.to_owned(), opened(d.options)))
        .collect();
    let mut plugin = derived_of::<PluginStage>();
    if place != Place::Transform
        && let Some(properties) = plugin
            .pointer_mut("/properties")
            .and_then(Value::as_object_mut)
    {
        properties.shift_remove("sees_all");
    }
    kinds.push((
        PLUGIN,
        format!("A plugin with the role {}.", place.name()),
        plugin,
    ));
    if place == Place::Source {
        let summary = "What another pipeline's transforms give.".to_owned();
        kinds.push((PIPELINE, summary, derived_of::<PipelineSource>()));
    }
    let types: Vec<_> = kinds
        .iter()
        .map(|(name, summary, _)| json!({"const": name, "description": summary}))
        .collect();
    let mut branches = Vec::new();
    for (name, summary, options) in kinds {
        let def = format!("{}_{name}", place.name());
        let schema = kind(place, &def, &summary, options, defs);
        defs.insert(def.clone(), schema);
        branches.push(json!({
            "if": {"required": ["type"], "properties": {"type": {"const": name}}},
            "then": {"$ref": format!("#/$defs/{def}")},
        }));
    }
    json!({
        "description": format!("A {}: its other keys depend on its `type`.", place.name()),
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"description": format!("Which {} it is.", place.name()), "oneOf": types}},
        "allOf": branches,
    })
}

/// The options of a kind and the keys of every stage in one schema. Its definitions go to those of the whole.
fn kind(
    place: Place,
    def: &str,
    summary: &str,
    mut options: Value,
    defs: &mut Map<String, Value>,
) -> Value {
    renamed(&mut options, def);
    for (name, schema) in take(&mut options, "$defs") {
        defs.insert(format!("{def}.{name}"), schema);
    }
    if let Value::Object(members) = &mut options {
        members.shift_remove("$schema");
        members.shift_remove("title");
        members.insert("description".into(), summary.into());
        let properties = members.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.insert("type".into(), json!({"type": "string"}));
            let name = json!({
                "description": "The stage's name in this pipeline, for counts, errors and logs. Default: its type, with a number where that is taken.",
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "pattern": "^[A-Za-z0-9_.-]*$",
            });
            properties.insert("name".into(), name);
            properties.insert("on_reject".into(), json!({"$ref": "#/$defs/OnReject"}));
            if place == Place::Source {
                let incremental = json!({
                    "description": "Does a run on a server go on where the sinks of the run before had taken everything, so that it reads only what has come since? Default: false, each run reads all.",
                    "type": "boolean",
                });
                properties.insert(INCREMENTAL.into(), incremental);
            }
        }
    }
    options
}

/// Lets a template or a reference stand where a number or a truth value is asked for.
fn opened(mut schema: Value) -> Value {
    without_null(&mut schema);
    open(&mut schema);
    schema
}

fn open(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(open),
        Value::Object(members) => {
            let scalar = |t: &Value| ["integer", "number", "boolean"].iter().any(|s| t == s);
            let is_scalar = match members.get("type") {
                Some(Value::Array(types)) => types.iter().all(|t| scalar(t) || t == "null"),
                Some(one) => scalar(one),
                None => false,
            };
            if is_scalar && !members.contains_key("const") && !members.contains_key("enum") {
                let description = members.shift_remove("description");
                let plain = Value::Object(std::mem::take(members));
                let template = json!({"type": "string", "pattern": "\\{\\{|\\$\\{"});
                members.extend(description.map(|text| ("description".to_owned(), text)));
                members.insert("anyOf".into(), json!([plain, template]));
            } else {
                members.values_mut().for_each(open);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Points references at the place that definitions have in the whole.
fn renamed(schema: &mut Value, def: &str) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| renamed(item, def)),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(reference) if key == "$ref" => {
                        if let Some(name) = reference.strip_prefix("#/$defs/") {
                            *reference = format!("#/$defs/{def}.{name}");
                        } else if reference == "#" {
                            *reference = format!("#/$defs/{def}");
                        }
                    }
                    other => renamed(other, def),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn take(schema: &mut Value, key: &str) -> Map<String, Value> {
    let members = schema.as_object_mut();
    match members.and_then(|m| m.shift_remove(key)) {
        Some(Value::Object(taken)) => taken,
        _ => Map::new(),
    }
}
