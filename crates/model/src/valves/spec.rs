//! Reads a whole spec: its size, its fields, and how it is shown. A single node is read in `node`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::node::Reader;
use super::{Field, MAX_SPEC_BYTES, Spec, SpecError};

/// Keys of the whole that are not shown, or are written anew.
const DROPPED: [&str; 9] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "format",
    "properties",
    "required",
    "title",
    "type",
];

pub(super) fn parse(json: &str) -> Result<Spec, SpecError> {
    let whole = |what: String| SpecError {
        at: "the spec".into(),
        what,
    };
    if json.len() > MAX_SPEC_BYTES {
        return Err(whole(format!(
            "has {} bytes; at most {MAX_SPEC_BYTES} are allowed",
            json.len()
        )));
    }
    let root: Value = serde_json::from_str(json).map_err(|e| whole(format!("is not JSON: {e}")))?;
    let mut reader = Reader::new(&root);
    let schema = match root {
        Value::Object(_) => reader.resolve(&root, "the spec")?,
        _ => Map::new(),
    };
    let is_object = schema.get("type").is_none_or(|t| t == "object");
    if !root.is_object() || !is_object {
        return Err(whole(
            "is not a schema of an object; one with `\"type\": \"object\"` and `properties` is needed".into(),
        ));
    }
    let required = required(&schema)?;
    let none = Map::new();
    let properties = match schema.get("properties") {
        Some(Value::Object(properties)) => properties,
        Some(_) => {
            return Err(SpecError {
                at: "properties".into(),
                what: "is not an object".into(),
            });
        }
        None => &none,
    };
    let mut fields = Vec::with_capacity(properties.len());
    let mut shown = Map::new();
    for (name, node) in properties {
        let (field, node) = field(&mut reader, name, node, required.contains(name.as_str()))?;
        fields.push(field);
        shown.insert(name.clone(), Value::Object(node));
    }
    if let Some(name) = required
        .iter()
        .find(|name| !properties.contains_key(**name))
    {
        return Err(SpecError {
            at: "required".into(),
            what: format!("names {name:?}, which is not among the properties"),
        });
    }
    Ok(Spec {
        shown: Arc::new(whole_node(&schema, shown, &fields)),
        fields: fields.into(),
    })
}

fn required(schema: &Map<String, Value>) -> Result<BTreeSet<&str>, SpecError> {
    let wrong = || SpecError {
        at: "required".into(),
        what: "is not a list of names".into(),
    };
    match schema.get("required") {
        None => Ok(BTreeSet::new()),
        Some(Value::Array(names)) => names.iter().map(|n| n.as_str().ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

fn field(
    reader: &mut Reader<'_>,
    name: &str,
    node: &Value,
    required: bool,
) -> Result<(Field, Map<String, Value>), SpecError> {
    let at = format!("properties.{name}");
    let (kind, mut shown) = reader.node(node, &at, 0)?;
    let default = match shown.get("default") {
        Some(given) => Some(kind.fit(given, &[name]).map_err(|wrong| {
            SpecError {
                at: format!("{at}.default"),
                what: wrong
                    .iter()
                    .map(|e| e.message.clone())
                    .collect::<Vec<_>>()
                    .join("; "),
            }
        })?),
        // JSON Schema as schemars writes it: what may be null and need not be there is null.
        None if !required && kind.takes_null() => Some(Value::Null),
        None => None,
    };
    if let Some(default) = &default {
        shown.insert("default".into(), default.clone());
    }
    shown
        .entry("title".to_string())
        .or_insert_with(|| Value::String(title(name)));
    let required = required && default.is_none();
    let field = Field {
        name: name.into(),
        kind,
        default,
        required,
    };
    Ok((
        field,
        shown
            .into_iter()
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
    ))
}

/// The whole as it is shown.
fn whole_node(
    schema: &Map<String, Value>,
    properties: Map<String, Value>,
    fields: &[Field],
) -> Value {
    let mut node: BTreeMap<String, Value> = schema
        .iter()
        .filter(|(key, _)| !DROPPED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    node.insert("properties".into(), Value::Object(properties));
    node.insert("title".into(), "Valves".into());
    node.insert("type".into(), "object".into());
    let required: Vec<Value> = fields
        .iter()
        .filter(|f| f.required)
        .map(|f| Value::String(f.name.clone()))
        .collect();
    if !required.is_empty() {
        node.insert("required".into(), required.into());
    }
    Value::Object(node.into_iter().collect())
}

/// The title pydantic gives a field: `API_KEY` becomes `Api Key`, as Python's `str.title` does it.
fn title(name: &str) -> String {
    let mut after_letter = false;
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c == '_' { ' ' } else { c };
        if after_letter {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        after_letter = c.is_alphabetic();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_pythons() {
        for (name, expected) in [
            ("API_KEY", "Api Key"),
            ("api_key2_URL", "Api Key2 Url"),
            ("x__y", "X  Y"),
            ("http2Server3d", "Http2Server3D"),
        ] {
            assert_eq!(title(name), expected);
        }
    }
}
