//! Valves: the spec a plugin gives as JSON Schema, its defaults, and values made to fit it, as pydantic 2.7 does in its lax mode.
//!
//! Storing values and telling plugins about them is not done here. A `pattern` is shown but not checked: the plugin's `updated` is the place for that.

mod coerce;
mod kind;
mod layers;
mod node;
mod number;
mod spec;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use kind::Kind;
pub use layers::{Layer, LayerError};

/// Most bytes a spec may have, as JSON text.
pub const MAX_SPEC_BYTES: usize = 128 * 1024;
/// Most bytes the values of one plugin may have, as JSON text.
pub const MAX_VALUES_BYTES: usize = 1024 * 1024;
/// How deep a spec may nest.
pub const MAX_DEPTH: usize = 16;
/// Most nodes of a spec once every `$ref` is put in its place.
pub const MAX_NODES: usize = 1_000;

/// A checked spec. Cheap to clone.
#[derive(Clone)]
pub struct Spec {
    fields: Arc<[Field]>,
    shown: Arc<Value>,
}

/// One valve.
#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    /// What it is where nobody says otherwise; none: it must be given, or stays away.
    default: Option<Value>,
    required: bool,
}

/// Why a text is no spec of valves: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct SpecError {
    /// Path from the outside in, such as `properties.limit.anyOf.0`; `the spec` for the whole.
    pub at: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

/// One value that does not fit, as pydantic would put it.
#[derive(Debug, Clone, PartialEq)]
pub struct ValveError {
    /// Where: keys and indexes from the outside in; in a union also the label of the member, such as `int`.
    pub loc: Vec<String>,
    /// Pydantic's name of the error: `missing`, `int_parsing`, ..; `too_big` is our own.
    pub kind: &'static str,
    /// Pydantic's words.
    pub message: String,
    /// The value given; of a missing field, the whole object.
    pub input: Value,
}

impl Spec {
    /// Reads a spec: JSON Schema as schemars or pydantic write it. `$ref`s are put in their place.
    ///
    /// # Errors
    /// [`SpecError`] when it is no JSON, too large, too deep, or uses what valves cannot be.
    pub fn parse(json: &str) -> Result<Self, SpecError> {
        spec::parse(json)
    }

    /// The spec in the shape pydantic 2.7 gives a schema: keys in order of their names, except that `properties` keeps the order of the fields.
    #[must_use]
    pub fn shown(&self) -> &Arc<Value> {
        &self.shown
    }

    /// The names of the valves, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|f| f.name.as_str())
    }

    /// Values for all valves, made from these alone: strings are read as numbers and the like, what is left out gets its default
    /// from the spec, unknown keys are dropped.
    ///
    /// # Errors
    /// Everything that does not fit, in the order of the fields.
    pub fn fit(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Vec<ValveError>> {
        check_size(given)?;
        let mut values = Map::new();
        let mut errors = Vec::new();
        for field in self.fields.iter() {
            match (given.get(&field.name), &field.default) {
                (Some(value), _) => match field.kind.fit(value, &[&field.name]) {
                    Ok(value) => {
                        values.insert(field.name.clone(), value);
                    }
                    Err(wrong) => errors.extend(wrong),
                },
                (None, Some(default)) => {
                    values.insert(field.name.clone(), default.clone());
                }
                (None, None) if field.required => errors.push(ValveError {
                    loc: vec![field.name.clone()],
                    kind: "missing",
                    message: "Field required".into(),
                    input: Value::Object(given.clone()),
                }),
                (None, None) => {}
            }
        }
        if errors.is_empty() {
            Ok(values)
        } else {
            Err(errors)
        }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl fmt::Display for ValveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.loc.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.loc.join("."), self.message)
        }
    }
}

/// Refuses values that would take too much room.
fn check_size(given: &Map<String, Value>) -> Result<(), Vec<ValveError>> {
    let size = serde_json::to_string(given).map_or(usize::MAX, |t| t.len());
    if size <= MAX_VALUES_BYTES {
        return Ok(());
    }
    Err(vec![ValveError {
        loc: Vec::new(),
        kind: "too_big",
        message: format!("The values have {size} bytes; at most {MAX_VALUES_BYTES} are allowed"),
        input: Value::Null,
    }])
}
