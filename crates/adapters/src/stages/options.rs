//! The options of native stages, read in one way: described as JSON Schema, checked as they are written, and read when a stage is opened.
//!
//! What is opened holds secrets in the place of references. So what is wrong then is told by its place and by what the schema allows there, never by what was given.

use model::error::Fault;
use model::stage::{Misfit, is_open};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// The schema of these options. Nothing in it refers to another place unless a type contains itself.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// What is wrong with options as they are written: that they are none of these, or what `wrong` finds in them. An option that is no text and is filled in only when the
/// stage is opened is passed over.
pub(crate) fn check<T: DeserializeOwned>(
    options: &Value,
    wrong: impl FnOnce(T) -> Vec<Misfit>,
) -> Vec<Misfit> {
    let mut left = options.clone();
    loop {
        let (place, error) = match at::<T>(&left) {
            Ok(read) => return wrong(read),
            Err(error) => error,
        };
        if left.pointer(&pointer(&place)).is_some_and(is_filled_later) && take(&mut left, &place) {
            continue;
        }
        // What was passed over may be missed.
        if left == *options {
            return vec![Misfit::new(pointer(&place), error)];
        }
        return Vec::new();
    }
}

/// Reads options when a stage is opened.
///
/// # Errors
/// [`Fault::Invalid`]: which option it is, and what is allowed there.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(config: &str) -> Result<T, Fault> {
    let options: Value = serde_json::from_str(config)
        .map_err(|e| Fault::Invalid(format!("its options are no JSON: {:?}", e.classify())))?;
    at::<T>(&options).map_err(|(mut place, _)| {
        let schema = schema::<T>();
        // An option that there is not is told where it stands.
        if find(&schema, &place).is_null() {
            place.pop();
        }
        let given = options.pointer(&pointer(&place)).unwrap_or(&Value::Null);
        let said = unfit(&schema, find(&schema, &place), given);
        misfits(vec![Misfit::new(pointer(&place), said)])
    })
}

/// Nothing, where there are no misfits: what was a template may be anything now.
///
/// # Errors
/// [`misfits`].
pub(crate) fn refuse(wrong: Vec<Misfit>) -> Result<(), Fault> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(misfits(wrong))
}

/// All misfits as one fault, for a stage that is opened with options that do not fit.
pub(crate) fn misfits(misfits: Vec<Misfit>) -> Fault {
    let told: Vec<_> = misfits
        .into_iter()
        .map(|misfit| match misfit.pointer.as_str() {
            "" => misfit.message,
            pointer => format!("{pointer}: {}", misfit.message),
        })
        .collect();
    Fault::Invalid(format!("its options: {}", told.join("; ")))
}

type Place = Vec<String>;

/// The options, or where they are none and why. The reason may hold what was given.
fn at<T: DeserializeOwned>(options: &Value) -> Result<T, (Place, String)> {
    serde_path_to_error::deserialize(options).map_err(|error| {
        let place = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        });
        let place = place.collect();
        (place, error.into_inner().to_string())
    })
}

fn pointer(place: &[String]) -> String {
    let keys = place.iter();
    keys.map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")))
        .collect()
}

/// Is there a text in it that is filled in only when the stage is opened?
fn is_filled_later(value: &Value) -> bool {
    match value {
        Value::String(text) => is_open(text),
        Value::Array(items) => items.iter().any(is_filled_later),
        Value::Object(members) => members.values().any(is_filled_later),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Takes an option out; false for all of them.
fn take(options: &mut Value, place: &[String]) -> bool {
    let Some((last, above)) = place.split_last() else {
        return false;
    };
    match options.pointer_mut(&pointer(above)) {
        Some(Value::Object(members)) => members.shift_remove(last).is_some(),
        Some(Value::Array(items)) => {
            let index = last.parse().ok().filter(|index| *index < items.len());
            index.map(|index| items.remove(index)).is_some()
        }
        _ => false,
    }
}

/// The schema of an option.
fn find<'a>(schema: &'a Value, place: &[String]) -> &'a Value {
    let mut here = schema;
    for key in place {
        match step(schema, here, key) {
            Some(below) => here = below,
            None => return &Value::Null,
        }
    }
    resolved(schema, here)
}

fn step<'a>(schema: &'a Value, here: &'a Value, key: &str) -> Option<&'a Value> {
    let here = resolved(schema, here);
    let own = here["properties"].get(key);
    let own = own.or_else(|| here.get("additionalProperties").filter(|s| s.is_object()));
    own.or_else(|| here.get("items"))
        .or_else(|| branches(here).find_map(|branch| step(schema, branch, key)))
}

fn resolved<'a>(schema: &'a Value, here: &'a Value) -> &'a Value {
    match here["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        Some(reference) => schema.pointer(reference).unwrap_or(here),
        None => here,
    }
}

fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    let of = |key: &str| schema[key].as_array().into_iter().flatten();
    of("anyOf").chain(of("oneOf"))
}

/// How a value is none that this schema allows, without the value. Names of options are no secrets.
fn unfit(schema: &Value, here: &Value, given: &Value) -> String {
    if let (Some(there), Some(given)) = (here["properties"].as_object(), given.as_object()) {
        let required = here["required"].as_array().into_iter().flatten();
        let missing = required.filter_map(Value::as_str);
        if let Some(name) = missing.into_iter().find(|name| !given.contains_key(*name)) {
            return format!("`{name}` is missing");
        }
        if let Some(name) = given.keys().find(|name| !there.contains_key(*name)) {
            let there: Vec<_> = there.keys().map(|name| format!("`{name}`")).collect();
            return format!("there is no option `{name}`; of these {}", there.join(", "));
        }
    }
    let mut kinds = Vec::new();
    allowed(schema, here, &mut kinds);
    match kinds.as_slice() {
        [] => "is none that is allowed here".to_owned(),
        kinds => format!("has to be {}", kinds.join(" or ")),
    }
}

/// What a schema allows, in words.
fn allowed(schema: &Value, here: &Value, kinds: &mut Vec<String>) {
    let here = resolved(schema, here);
    let words = here["enum"].as_array().into_iter().flatten();
    let words: Vec<_> = words
        .chain(here.get("const"))
        .filter(|word| !word.is_null())
        .map(Value::to_string)
        .collect();
    let types = match &here["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => Vec::from_iter(one.as_str()),
    };
    let mut found = words.clone();
    for kind in types.iter().filter(|_| words.is_empty()) {
        let range = [("minimum", "at least"), ("maximum", "at most")];
        let range = range
            .iter()
            .filter_map(|(key, said)| Some(format!(", {said} {}", here.get(key)?)));
        let range: String = range.collect();
        found.push(match *kind {
            "boolean" => "true or false".to_owned(),
            "integer" => format!("a whole number{range}"),
            "number" => format!("a number{range}"),
            "string" => match here.pointer("/examples/0").and_then(Value::as_str) {
                Some(example) => format!("a text such as {example}"),
                None => "a text".to_owned(),
            },
            "array" => "a list".to_owned(),
            "object" => "a map".to_owned(),
            _ => continue,
        });
    }
    for found in found {
        if !kinds.contains(&found) {
            kinds.push(found);
        }
    }
    branches(here).for_each(|branch| allowed(schema, branch, kinds));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::stages::span::Span;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "they are only read from JSON")]
    struct Options {
        url: String,
        #[serde(default)]
        #[schemars(range(min = 1, max = 9))]
        most: u32,
        timeout: Option<Span>,
        mode: Option<Mode>,
        #[serde(default)]
        tags: Vec<bool>,
        #[serde(default)]
        columns: BTreeMap<String, Mode>,
        auth: Option<Auth>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Insert,
        Upsert,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
    #[expect(dead_code, reason = "they are only read from JSON")]
    enum Auth {
        Bearer { token: String },
    }

    /// Whatever is wrong, what was given is not said.
    #[track_caller]
    fn check_opened(options: &Value, said: &str) {
        let fault = read::<Options>(&options.to_string()).unwrap_err();
        assert_eq!(fault.to_string(), format!("invalid: its options: {said}"));
    }

    #[test]
    fn what_was_given_is_never_said_when_a_stage_is_opened() {
        let secret = "hunter22, expected `x`";
        let with = |key: &str, value: Value| {
            let mut options = json!({"url": secret});
            options[key] = value;
            options
        };
        check_opened(
            &with("most", secret.into()),
            "/most: has to be a whole number, at least 1, at most 9",
        );
        check_opened(
            &with("timeout", secret.into()),
            "/timeout: has to be a text such as 500ms",
        );
        check_opened(
            &with("mode", secret.into()),
            "/mode: has to be \"insert\" or \"upsert\"",
        );
        check_opened(
            &with("tags", json!([true, secret])),
            "/tags/1: has to be true or false",
        );
        check_opened(
            &with("columns", json!({"a": secret})),
            "/columns/a: has to be \"insert\" or \"upsert\"",
        );
        check_opened(&with("auth", secret.into()), "/auth: has to be a map");
        check_opened(
            &with("auth", json!({"type": "bearer", "token": 2290})),
            "/auth: has to be a map",
        );
        check_opened(&json!({"most": 1}), "`url` is missing");
        let said = read::<Options>(&with("x", secret.into()).to_string()).unwrap_err();
        assert!(!said.to_string().contains("hunter"), "{said}");
        assert!(said.to_string().contains("`most`"), "{said}");
        let said = read::<Options>(&format!("{{\"url\": {secret}")).unwrap_err();
        assert!(!said.to_string().contains("hunter"), "{said}");
        assert!(read::<Options>(&with("most", 3.into()).to_string()).is_ok());
    }

    #[track_caller]
    fn check_written(options: &Value, said: &[(&str, &str)]) {
        let found = check(options, |options: Options| match options.most {
            7 => vec![Misfit::new("/most", "is 7")],
            _ => Vec::new(),
        });
        let found: Vec<_> = found
            .iter()
            .map(|m| (m.pointer.as_str(), m.message.as_str()))
            .collect();
        assert_eq!(found, said, "{options}");
    }

    #[test]
    fn what_is_filled_in_later_may_be_anything_now() {
        let open = "{{params.n}}";
        check_written(
            &json!({"url": "x", "most": open, "timeout": "${env:T}"}),
            &[],
        );
        check_written(&json!({"url": "x", "tags": [open]}), &[]);
        check_written(&json!({"url": "x", "auth": {"type": open}}), &[]);
        check_written(&json!({"url": open, "most": 7}), &[("/most", "is 7")]);
        check_written(
            &json!({"url": "x", "timeout": open, "most": 7}),
            &[("/most", "is 7")],
        );
        check_written(
            &json!({"url": "x", "most": "many"}),
            &[("/most", "invalid type: string \"many\", expected u32")],
        );
    }
}
