//! What a JSON value is to SQLite.

use rusqlite::types::Value;
use serde_json::value::RawValue;

use super::super::sql::record::{Shape, shape, text};
use super::table::Column;

/// The value to bind. A column of text gets numbers as they were written, so that none loses a digit there.
///
/// # Errors
/// Why SQLite has no such value, without the name of the field.
pub(super) fn value(raw: &RawValue, column: &Column) -> Result<Value, String> {
    let written = raw.get();
    Ok(match shape(raw) {
        Shape::Null => Value::Null,
        Shape::String => Value::Text(text(raw)?.into_owned()),
        Shape::Array | Shape::Object => Value::Text(written.to_owned()),
        Shape::Boolean | Shape::Number if column.is_text => Value::Text(written.to_owned()),
        Shape::Boolean => Value::Integer(i64::from(written == "true")),
        Shape::Number => number(written)?,
    })
}

fn number(written: &str) -> Result<Value, String> {
    if !written.contains(['.', 'e', 'E']) {
        return written.parse().map(Value::Integer).map_err(|_| {
            format!("{written} is more than the 64 bits of SQLite's integers; a TEXT column keeps such numbers")
        });
    }
    match written.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Value::Real(float)),
        _ => Err(format!(
            "{written} is more than SQLite's numbers hold; a TEXT column keeps such numbers"
        )),
    }
}
