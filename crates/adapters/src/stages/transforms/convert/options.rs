//! What a spec says of a `convert`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Options of `convert`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Paths of fields (`amount`, `user.id`, `tags[0]`, `/user/id`), and what their values are to be: a type, or an object with `type`, `format`, `zone` and `to`. A field that a record has
    /// not, and one that is null, stays so.
    pub(super) fields: BTreeMap<String, Written>,
    /// What to do with a value that cannot be converted. Default: strict.
    #[serde(default)]
    pub(super) mode: Mode,
    /// With `mode: lenient`: the field that lists the paths of the values that became null, for records with such. What it had before is replaced. Default: no such field.
    pub(super) failed: Option<String>,
}

/// What to do with a value that cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// The record is rejected, with the field, its value and the type.
    #[default]
    Strict,
    /// The value becomes null.
    Lenient,
}

/// What a value can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Type {
    /// A whole number of any size: of a number without a part (`2.0`, `1e3`), or of a string that holds one.
    Integer,
    /// A number: of a string that holds one.
    Number,
    /// A string: of anything else, as JSON writes it.
    String,
    /// True or false: of the strings true, t, yes, y, on, 1 and false, f, no, n, off, 0 in any case, or of the numbers 1 and 0.
    Boolean,
    /// An instant: of a string in `format`, or of a number of seconds since 1970.
    Timestamp,
    /// A day: of the same as a timestamp.
    Date,
    /// Any value: of a string that holds JSON.
    Json,
}

/// A type, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Conversion {
    /// The type.
    #[serde(rename = "type")]
    pub(super) kind: Type,
    /// For timestamps and dates: how the value is written now, as strptime has it (`%d.%m.%Y %H:%M`), or `unix` or `unix_ms`. Default: as RFC 3339 and ISO 8601 have it; numbers are
    /// seconds since 1970.
    pub(super) format: Option<String>,
    /// For timestamps and dates: the time zone (IANA name) of values that say none, and of what `to` and dates are written in. A time that is skipped when clocks go forward is taken as much
    /// later, one that comes twice is taken as the first. Default: UTC.
    pub(super) zone: Option<String>,
    /// For timestamps and dates: how it is written then, as strftime has it, or `unix` or `unix_ms` (timestamps only). Default: `2026-01-31T12:00:00Z`, and `2026-01-31` for dates.
    pub(super) to: Option<String>,
}

impl Conversion {
    fn of(kind: Type) -> Self {
        Self {
            kind,
            format: None,
            zone: None,
            to: None,
        }
    }
}

/// What a spec writes for a field.
#[derive(Debug, Clone)]
pub(super) struct Written(pub(super) Conversion);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_string() {
            let kind = serde_json::from_value(value).map_err(D::Error::custom)?;
            return Ok(Self(Conversion::of(kind)));
        }
        serde_json::from_value(value)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

impl JsonSchema for Written {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Conversion".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (kind, whole) = (
            Type::json_schema(generator),
            Conversion::json_schema(generator),
        );
        json_schema!({ "anyOf": [kind, whole] })
    }
}
