//! What a spec says of a `map`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::apply::Operation;

/// Options of `map`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// The fields of the new record, in this order: a name, and where its value comes from. A text is a path into the old record (`id`, `user.id`, `tags[0]`, `user["odd key"]`, or a
    /// JSON pointer `/user/id`). An object says more: `path` with `default`, `apply` and `missing`; or `value`, a constant; or `fields`, for an object inside.
    pub(super) fields: Fields,
    /// Keep the other fields of the old record, behind the new ones. A field that a path names as a whole, or that a new one takes the name of, is not kept; one that a path only goes
    /// into is. Default: false.
    #[serde(default)]
    pub(super) rest: bool,
    /// What to do where the old record has nothing at a path, and the field says nothing itself. Default: null.
    #[serde(default)]
    pub(super) missing: Missing,
}

/// What becomes of a field that the old record has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// It is null.
    #[default]
    Null,
    /// It is left out.
    Omit,
    /// The record is rejected.
    Reject,
}

/// Fields in the order they are written in.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Vec<(String, Field)>);

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Field {
    /// Out of the old record.
    Path {
        path: String,
        /// Instead of null and of nothing, if it is given.
        default: Option<Value>,
        apply: Vec<Operation>,
        missing: Option<Missing>,
    },
    /// Always this.
    Constant(Value),
    /// An object of these.
    Object(Fields),
}

/// A field written as an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The path into the old record.
    path: Option<String>,
    /// What stands in where the old record has nothing there, or null.
    #[serde(default, deserialize_with = "given")]
    default: Option<Value>,
    /// Changes of the value, in this order. Null is not changed.
    apply: Option<Vec<Operation>>,
    /// What to do where the old record has nothing at the path and there is no default.
    missing: Option<Missing>,
    /// A constant.
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
    /// The fields of an object inside, as above.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Value>>")]
    fields: Option<Fields>,
}

/// A value that is there, even if it is null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Value::String(path) = value {
            return Ok(Self::Path {
                path,
                default: None,
                apply: Vec::new(),
                missing: None,
            });
        }
        let written: Written = serde_json::from_value(value).map_err(D::Error::custom)?;
        let takes = "a field takes one of `path` (with `default`, `apply`, `missing`), `value` and `fields`";
        let alone =
            written.default.is_none() && written.apply.is_none() && written.missing.is_none();
        match (written.path, written.value, written.fields) {
            (Some(path), None, None) => Ok(Self::Path {
                path,
                default: written.default,
                apply: written.apply.unwrap_or_default(),
                missing: written.missing,
            }),
            (None, Some(value), None) if alone => Ok(Self::Constant(value)),
            (None, None, Some(fields)) if alone => Ok(Self::Object(fields)),
            _ => Err(D::Error::custom(takes)),
        }
    }
}

impl JsonSchema for Field {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let written = Written::json_schema(generator);
        json_schema!({ "anyOf": [{ "type": "string", "description": "A path into the old record." }, written] })
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let field = map
                        .next_value()
                        .map_err(|e| A::Error::custom(format!("field {name}: {e}")))?;
                    fields.push((name, field));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for Fields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let field = Field::json_schema(generator);
        json_schema!({ "type": "object", "additionalProperties": field })
    }
}
