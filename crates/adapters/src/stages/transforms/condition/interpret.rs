//! The parts of a condition that run in the CEL interpreter. It gets the fields that the part names, and nothing else of the record.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cel::common::ast::IdedExpr;
use cel::objects::Key;
use serde_json::Value as Json;

use crate::stages::record::{Number, Path, Projection, Slots, Step};

use super::bound;
use super::evaluate::Trouble;

/// The variable that is the whole record.
pub(super) const RECORD: &str = "record";

/// Names that CEL has for types. They are fields only through `record`.
const TYPES: [&str; 15] = [
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "google",
    "int",
    "list",
    "map",
    "null_type",
    "optional",
    "optional_type",
    "string",
    "timestamp",
    "uint",
];

/// What the field `type` is called for the interpreter, which would take the name for its own function.
const TYPE: &str = "field type";

/// Is a name a field of the record? `type` is one: fields are often called so, and as a type it is of no use.
pub(super) fn is_field(name: &str) -> bool {
    !name.starts_with('@') && !TYPES.contains(&name)
}

/// A part for the interpreter.
pub(super) struct Interpreted {
    part: IdedExpr,
    environment: Arc<cel::Env>,
    fields: Vec<(String, usize)>,
    whole: bool,
    most_bytes: usize,
}

impl fmt::Debug for Interpreted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreted")
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

impl Interpreted {
    pub(super) fn new(part: &IdedExpr, projection: &mut Projection) -> Self {
        let mut names = BTreeSet::new();
        bound::free(part, &mut names);
        let whole = names.remove(RECORD);
        let mut slot = |name: &str| {
            projection.want(&Path::of_steps(vec![Step::Key(name.into())], name.into()))
        };
        let mut part = part.clone();
        bound::rename(&mut part, "type", TYPE);
        Self {
            environment: Arc::new(cel::Env::stdlib()),
            fields: names
                .into_iter()
                .filter(|name| is_field(name))
                .map(|name| (name.to_owned(), slot(name)))
                .collect(),
            whole,
            most_bytes: bound::most_bytes(bound::degree(&part)),
            part,
        }
    }

    pub(super) fn holds(&self, line: &[u8], slots: &Slots) -> Result<bool, Trouble> {
        let mut context = cel::Context::with_env(Arc::clone(&self.environment));
        let mut bytes = if self.whole { line.len() } else { 0 };
        for (_, slot) in &self.fields {
            bytes = bytes.saturating_add(slots.get(line, *slot).map_or(0, <[u8]>::len));
        }
        if bytes > self.most_bytes {
            return Err(Trouble::Said(format!(
                "its loops would go over {bytes} bytes of fields, and {} are allowed where a loop looks at more than its own element",
                self.most_bytes
            )));
        }
        if self.whole {
            context.add_variable_from_value(RECORD, value(line)?);
        }
        for (name, slot) in &self.fields {
            match slots.get(line, *slot) {
                Some(raw) if name == "type" => context.add_variable_from_value(TYPE, value(raw)?),
                Some(raw) => context.add_variable_from_value(name.as_str(), value(raw)?),
                None => (),
            }
        }
        match cel::Value::resolve(&self.part, &context) {
            Ok(cel::Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(Trouble::Said(format!(
                "it gives {}, and has to give true or false",
                other.type_of()
            ))),
            Err(error) => Err(Trouble::Said(error.to_string())),
        }
    }
}

/// A value as CEL has it. Whole numbers are int, or uint where they only fit so; all others are double.
fn value(raw: &[u8]) -> Result<cel::Value, Trouble> {
    let json = serde_json::from_slice(raw).map_err(|error| Trouble::Said(error.to_string()))?;
    Ok(of_json(json))
}

fn of_json(json: Json) -> cel::Value {
    match json {
        Json::Null => cel::Value::Null,
        Json::Bool(value) => cel::Value::Bool(value),
        Json::Number(number) => match Number::read(number.as_str().as_bytes()) {
            Number::Int(int) => cel::Value::Int(int),
            Number::UInt(uint) => cel::Value::UInt(uint),
            Number::Float(float) => cel::Value::Float(float),
        },
        Json::String(text) => cel::Value::String(Arc::new(text)),
        Json::Array(items) => cel::Value::List(Arc::new(items.into_iter().map(of_json).collect())),
        Json::Object(members) => {
            let members: HashMap<Key, cel::Value> = members
                .into_iter()
                .map(|(name, value)| (Key::String(Arc::new(name)), of_json(value)))
                .collect();
            cel::Value::Map(members.into())
        }
    }
}
