//! Valves: the spec a plugin gives as JSON Schema, defaults, and values made to fit it. Storing them is an adapter's business.

use serde_json::Value;

/// One value that does not fit, as pydantic would put it.
#[derive(Debug, Clone, PartialEq)]
pub struct ValveError {
    /// Where: keys and indexes from the outside in.
    pub loc: Vec<String>,
    /// Pydantic's name of the error: `missing`, `int_parsing`, ..
    pub kind: &'static str,
    /// Pydantic's words.
    pub message: String,
    /// The value given; of a missing field, the whole object.
    pub input: Value,
}

impl std::fmt::Display for ValveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.loc.join("."), self.message)
    }
}
