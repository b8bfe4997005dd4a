//! Reads one node of a spec: which kind of value it is, and how it is shown. References are put in their place here.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::kind::{Kind, Length, Range};
use super::number::{self, Bound};
use super::{MAX_DEPTH, MAX_NODES, SpecError};

/// Keywords that say what a value is; all others are shown as they are.
const STRUCTURE: [&str; 22] = [
    "type",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "items",
    "additionalProperties",
    "properties",
    "required",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
];

/// Keywords that valves cannot be described with.
const REFUSED: [&str; 9] = [
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "prefixItems",
    "dependentSchemas",
    "contains",
    "$dynamicRef",
];

/// Most members of an `anyOf` or `oneOf`: every value is tried against each.
const MAX_MEMBERS: usize = 64;

/// A kind, and the node as it is shown.
type Read = (Kind, Map<String, Value>);

/// Reads nodes of one document.
pub(super) struct Reader<'a> {
    root: &'a Value,
    nodes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, nodes: 0 }
    }

    /// The node itself, its `$ref` or single `allOf` put in its place; keys beside a reference win.
    pub(super) fn resolve(&self, node: &Value, at: &str) -> Result<Map<String, Value>, SpecError> {
        let mut merged = match node {
            Value::Object(map) => map.clone(),
            Value::Bool(true) => Map::new(),
            _ => return wrong(at, "is not a schema; an object is needed"),
        };
        for _ in 0..MAX_DEPTH {
            let target = match (merged.shift_remove("$ref"), merged.get("allOf")) {
                (Some(Value::String(path)), _) => match path
                    .strip_prefix('#')
                    .and_then(|pointer| self.root.pointer(pointer))
                {
                    Some(target) => target.clone(),
                    None => {
                        return wrong(
                            at,
                            &format!("refers to {path:?}, which is not in this spec"),
                        );
                    }
                },
                (Some(_), _) => return wrong(at, "has a `$ref` that is not a text"),
                (None, Some(Value::Array(all))) if all.len() == 1 => {
                    let only = all.first().cloned().unwrap_or(Value::Null);
                    merged.shift_remove("allOf");
                    only
                }
                (None, Some(_)) => {
                    return wrong(at, "has an `allOf`; only one with one member is understood");
                }
                (None, None) => return Ok(merged),
            };
            let Value::Object(mut target) = target else {
                return wrong(at, "refers to what is not a schema");
            };
            // A definition's own title is the name of a type.
            target.shift_remove("title");
            for (key, value) in merged {
                target.insert(key, value);
            }
            merged = target;
        }
        wrong(
            at,
            &format!("refers to itself, or through more than {MAX_DEPTH} others"),
        )
    }

    /// Reads a node.
    pub(super) fn node(&mut self, node: &Value, at: &str, depth: usize) -> Result<Read, SpecError> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return wrong(
                at,
                &format!(
                    "is too much: a spec may be {MAX_DEPTH} levels deep and have {MAX_NODES} nodes"
                ),
            );
        }
        let map = self.resolve(node, at)?;
        if let Some(key) = REFUSED.iter().find(|k| map.contains_key(**k)) {
            return wrong(
                at,
                &format!("uses `{key}`, which valves cannot be described with"),
            );
        }
        let (kind, structure) = self.structure(&map, at, depth)?;
        let mut shown: BTreeMap<String, Value> = map
            .iter()
            .filter(|(key, _)| !STRUCTURE.contains(&key.as_str()))
            .filter(|(key, _)| depth == 0 || key.as_str() != "title")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        // Formats of numbers are noise from typed languages; others tell a form something.
        if let Some(format) = map.get("format").filter(|f| number_format(f).is_none()) {
            shown.insert("format".into(), format.clone());
        }
        shown.extend(structure);
        Ok((kind, shown.into_iter().collect()))
    }

    /// What the node is, and the keys that say so.
    fn structure(
        &mut self,
        map: &Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Result<Read, SpecError> {
        if let Some(constant) = map.get("const") {
            return literal(vec![constant.clone()], Some(constant), at);
        }
        match map.get("enum") {
            Some(Value::Array(of)) if !of.is_empty() => return literal(of.clone(), None, at),
            Some(_) => return wrong(at, "has an `enum` that is not a list of values"),
            None => {}
        }
        if let Some(members) = map.get("anyOf").or_else(|| map.get("oneOf")) {
            let Value::Array(members) = members else {
                return wrong(at, "has an `anyOf` that is not a list");
            };
            return self.members(members, at, depth);
        }
        match map.get("type") {
            Some(Value::String(name)) => self.typed(name, map, at, depth),
            Some(Value::Array(names)) => {
                let members: Vec<Value> = names
                    .iter()
                    .map(|name| {
                        let mut member: Map<String, Value> = map
                            .iter()
                            .filter(|(k, _)| STRUCTURE.contains(&k.as_str()))
                            .map(|(k, v)| (k.clone(), v.clone()))
                            .collect();
                        member.insert("type".into(), name.clone());
                        Value::Object(member)
                    })
                    .collect();
                self.members(&members, at, depth)
            }
            Some(_) => wrong(at, "has a `type` that is not a name"),
            None if map.contains_key("properties") => self.typed("object", map, at, depth),
            None => Ok((Kind::Any, Map::new())),
        }
    }

    /// `anyOf`, `oneOf`, or a list of types.
    fn members(&mut self, members: &[Value], at: &str, depth: usize) -> Result<Read, SpecError> {
        if members.len() > MAX_MEMBERS {
            return wrong(
                at,
                &format!(
                    "has an `anyOf` of {} members; at most {MAX_MEMBERS} are allowed",
                    members.len()
                ),
            );
        }
        let mut kinds = Vec::new();
        let mut shown = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let (kind, node) = self.node(member, &format!("{at}.anyOf.{index}"), depth + 1)?;
            kinds.push(kind);
            shown.push(node);
        }
        let constants: Option<Vec<Value>> = kinds
            .iter()
            .map(|kind| match kind {
                Kind::Literal(of) => Some(of.clone()),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(|of| of.concat());
        if let Some(constants) = constants.filter(|c| !c.is_empty()) {
            return literal(constants, None, at);
        }
        let nullable = kinds.contains(&Kind::Null);
        kinds.retain(|kind| *kind != Kind::Null);
        // As pydantic writes it: null comes last.
        shown.sort_by_key(|node| node.get("type").is_some_and(|t| t == "null"));
        let many = kinds.len() > 1;
        let kind = match (kinds.pop(), many) {
            (Some(kind), false) => kind,
            (Some(kind), true) => Kind::Union(kinds.into_iter().chain([kind]).collect()),
            (None, _) if nullable => return Ok((Kind::Null, type_of("null"))),
            (None, _) => return wrong(at, "has an `anyOf` without members"),
        };
        if !nullable && !many {
            return Ok((kind, shown.pop().unwrap_or_default()));
        }
        let mut node = Map::new();
        node.insert(
            "anyOf".into(),
            shown.into_iter().map(Value::Object).collect(),
        );
        let kind = if nullable {
            Kind::Nullable(Box::new(kind))
        } else {
            kind
        };
        Ok((kind, node))
    }

    /// A node with one type.
    fn typed(
        &mut self,
        name: &str,
        map: &Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Result<Read, SpecError> {
        let mut node = type_of(name);
        let kind = match name {
            "string" => Kind::Text(length(map, ("minLength", "maxLength"), at, &mut node)?),
            "boolean" => Kind::Bool,
            "null" => Kind::Null,
            "integer" => Kind::Int(range(map, false, at, &mut node)?),
            "number" => Kind::Float(range(map, true, at, &mut node)?),
            "array" => {
                let length = length(map, ("minItems", "maxItems"), at, &mut node)?;
                let unique = map.get("uniqueItems") == Some(&Value::Bool(true));
                if unique {
                    node.insert("uniqueItems".into(), true.into());
                }
                let any = Value::Bool(true);
                let items = map.get("items").unwrap_or(&any);
                let (items, shown) = self.node(items, &format!("{at}.items"), depth + 1)?;
                node.insert("items".into(), Value::Object(shown));
                Kind::List {
                    items: Box::new(items),
                    length,
                    unique,
                }
            }
            "object" => return self.dictionary(map, at, depth, node),
            _ => {
                return wrong(
                    at,
                    &format!(
                        "has the type {name:?}; there are: string, integer, number, boolean, array, object, null"
                    ),
                );
            }
        };
        Ok((kind, node))
    }

    fn dictionary(
        &mut self,
        map: &Map<String, Value>,
        at: &str,
        depth: usize,
        mut node: Map<String, Value>,
    ) -> Result<Read, SpecError> {
        let nested = |key: &str| {
            map.get(key)
                .and_then(Value::as_object)
                .is_some_and(|p| !p.is_empty())
        };
        if nested("properties") {
            return wrong(
                at,
                "is an object with properties of its own; of objects, only those of any keys are allowed (`additionalProperties`)",
            );
        }
        let values = match map.get("additionalProperties") {
            None | Some(Value::Bool(true)) => Kind::Any,
            Some(values) => {
                let place = format!("{at}.additionalProperties");
                let (kind, shown) = self.node(values, &place, depth + 1)?;
                if !shown.is_empty() {
                    node.insert("additionalProperties".into(), Value::Object(shown));
                }
                kind
            }
        };
        let kind = Kind::Dict {
            values: Box::new(values),
            length: Length::default(),
        };
        Ok((kind, node))
    }
}

fn wrong<T>(at: &str, what: &str) -> Result<T, SpecError> {
    Err(SpecError {
        at: at.into(),
        what: what.into(),
    })
}

fn type_of(name: &str) -> Map<String, Value> {
    let mut node = Map::new();
    node.insert("type".into(), name.into());
    node
}

fn literal(of: Vec<Value>, constant: Option<&Value>, at: &str) -> Result<Read, SpecError> {
    if of.iter().any(|v| v.is_array() || v.is_object()) {
        return wrong(
            at,
            "has an `enum` of more than texts, numbers, booleans and null",
        );
    }
    let mut node = Map::new();
    node.insert("enum".into(), Value::Array(of.clone()));
    if let Some(constant) = constant {
        node.insert("const".into(), constant.clone());
    }
    let name = |v: &Value| match v {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(n) if number::is_float(n) => "number",
        Value::Number(_) => "integer",
        Value::Null | Value::Array(_) | Value::Object(_) => "",
    };
    let first = of.first().map_or("", name);
    if !first.is_empty() && of.iter().all(|v| name(v) == first) {
        node.insert("type".into(), first.into());
    }
    Ok((Kind::Literal(of), node))
}

/// The range of a number format that schemars writes, where there is one.
fn number_format(format: &Value) -> Option<Option<(i128, i128)>> {
    Some(match format.as_str()? {
        "float" | "double" => None,
        "int8" => Some((i8::MIN.into(), i8::MAX.into())),
        "int16" => Some((i16::MIN.into(), i16::MAX.into())),
        "int32" => Some((i32::MIN.into(), i32::MAX.into())),
        "int64" | "int" => Some((i64::MIN.into(), i64::MAX.into())),
        "uint8" => Some((0, u8::MAX.into())),
        "uint16" => Some((0, u16::MAX.into())),
        "uint32" => Some((0, u32::MAX.into())),
        "uint64" | "uint" => Some((0, u64::MAX.into())),
        "int128" | "uint128" => None,
        _ => return None,
    })
}

fn range(
    map: &Map<String, Value>,
    float: bool,
    at: &str,
    node: &mut Map<String, Value>,
) -> Result<Range, SpecError> {
    let mut bound = |key: &str| -> Result<Option<Bound>, SpecError> {
        let Some(given) = map.get(key) else {
            return Ok(None);
        };
        let Some(bound) = given.as_number().and_then(Bound::of) else {
            return wrong(at, &format!("has a `{key}` that is not a number"));
        };
        let shown = match Number::from_f64(bound.as_f64()) {
            Some(number) if float => Value::Number(number),
            _ => given.clone(),
        };
        node.insert(key.into(), shown);
        Ok(Some(bound))
    };
    let mut range = Range {
        ge: bound("minimum")?,
        gt: bound("exclusiveMinimum")?,
        le: bound("maximum")?,
        lt: bound("exclusiveMaximum")?,
        multiple_of: bound("multipleOf")?,
    };
    if range.multiple_of.is_some_and(|step| step.as_f64() <= 0.0) {
        return wrong(at, "has a `multipleOf` that is not above 0");
    }
    // What the guest's own type cannot hold must not reach it.
    if let Some((low, high)) = map.get("format").and_then(number_format).flatten() {
        range.ge = range.ge.or(Some(Bound::Int(low)));
        range.le = range.le.or(Some(Bound::Int(high)));
    }
    Ok(range)
}

fn length(
    map: &Map<String, Value>,
    (least, most): (&str, &str),
    at: &str,
    node: &mut Map<String, Value>,
) -> Result<Length, SpecError> {
    let mut size = |key: &str| -> Result<Option<usize>, SpecError> {
        let Some(given) = map.get(key) else {
            return Ok(None);
        };
        let Some(size) = given.as_u64().and_then(|n| usize::try_from(n).ok()) else {
            return wrong(
                at,
                &format!("has a `{key}` that is not a whole number from 0"),
            );
        };
        node.insert(key.into(), given.clone());
        Ok(Some(size))
    };
    Ok(Length {
        min: size(least)?,
        max: size(most)?,
    })
}
