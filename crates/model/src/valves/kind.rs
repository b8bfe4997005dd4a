//! What one valve may be. How a value is made to fit is in `coerce`, how a kind is read in `spec`.

use serde_json::{Number, Value};

use super::number::Bound;

/// The kind of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Any,
    Null,
    Bool,
    Int(Range),
    Float(Range),
    Text(Length),
    /// One of these, exactly.
    Literal(Vec<Value>),
    List {
        items: Box<Kind>,
        length: Length,
        unique: bool,
    },
    Dict {
        values: Box<Kind>,
        length: Length,
    },
    /// This, or null.
    Nullable(Box<Kind>),
    /// The first of these that fits best.
    Union(Vec<Kind>),
}

/// Bounds of a number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Range {
    pub(super) ge: Option<Bound>,
    pub(super) gt: Option<Bound>,
    pub(super) le: Option<Bound>,
    pub(super) lt: Option<Bound>,
    pub(super) multiple_of: Option<Bound>,
}

/// How long a text, list or dictionary may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
}

impl Kind {
    /// What pydantic calls it in the place of an error within a union.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Any => "any".into(),
            Self::Null => "none".into(),
            Self::Bool => "bool".into(),
            Self::Int(range) => constrained("int", *range != Range::default()),
            Self::Float(range) => constrained("float", *range != Range::default()),
            Self::Text(length) => constrained("str", *length != Length::default()),
            Self::Literal(of) => {
                let texts: Vec<_> = of.iter().map(python).collect();
                format!("literal[{}]", texts.join(","))
            }
            Self::List { items, unique, .. } => {
                let list = if *unique { "set" } else { "list" };
                format!("{list}[{}]", items.label())
            }
            Self::Dict { values, .. } => format!("dict[str,{}]", values.label()),
            Self::Nullable(kind) => format!("nullable[{}]", kind.label()),
            Self::Union(of) => {
                let labels: Vec<_> = of.iter().map(Self::label).collect();
                format!("union[{}]", labels.join(","))
            }
        }
    }

    /// May it be null?
    pub(super) fn takes_null(&self) -> bool {
        match self {
            Self::Any | Self::Null | Self::Nullable(_) => true,
            Self::Union(of) => of.iter().any(Self::takes_null),
            Self::Literal(of) => of.contains(&Value::Null),
            Self::Bool
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::List { .. }
            | Self::Dict { .. } => false,
        }
    }
}

fn constrained(name: &str, is: bool) -> String {
    if is {
        format!("constrained-{name}")
    } else {
        name.into()
    }
}

/// A literal as Python writes it.
pub(super) fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(n) => Number::to_string(n),
        Value::String(s) if s.contains('\'') && !s.contains('"') => format!("\"{s}\""),
        Value::String(s) => format!("'{}'", s.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
