//! Rows as the text form of COPY. Values go over as they were written, so that PostgreSQL itself reads them by the column's type and no number loses a digit.

use std::io::Write as _;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::sql::record::{Shape, shape, text};

/// How deep arrays of PostgreSQL go.
const DEEPEST: usize = 6;

/// How a column takes values, where a JSON text is not simply its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The text of a string, and anything else as it was written.
    Plain,
    /// Whole numbers, so that `2.0` is 2.
    Integer,
    /// `json` and `jsonb`: JSON text, strings in their quotes.
    Json,
    /// An array of plain elements.
    Array,
    /// An array of `json` or `jsonb`.
    JsonArray,
}

/// Rows, one after the other, that can be taken apart again.
#[derive(Debug, Default)]
pub(super) struct Rows {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Place of each in the batch.
    pub(super) places: Vec<usize>,
}

impl Rows {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Adds one: its number among the rows, then what `fields` writes. What it wrote is taken back when it fails.
    pub(super) fn add<E>(
        &mut self,
        place: usize,
        fields: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.text.len();
        let mut number = [0_u8; 20];
        let mut rest = number.as_mut_slice();
        let written =
            write!(rest, "{}", self.places.len()).map(|()| 20_usize.saturating_sub(rest.len()));
        let digits = written.ok().and_then(|n| number.get(..n));
        self.text.extend_from_slice(digits.unwrap_or_default());
        match fields(&mut self.text) {
            Ok(()) => {
                self.text.push(b'\n');
                self.ends.push(self.text.len());
                self.places.push(place);
                Ok(())
            }
            Err(error) => {
                self.text.truncate(start);
                Err(error)
            }
        }
    }

    /// No more will be added.
    pub(super) fn done(self) -> (Bytes, Vec<usize>, Vec<usize>) {
        (self.text.into(), self.ends, self.places)
    }
}

/// Adds a tab and a value.
///
/// # Errors
/// Why PostgreSQL could not take it, without the name of the field.
pub(super) fn value(out: &mut Vec<u8>, value: Option<&RawValue>, form: Form) -> Result<(), String> {
    out.push(b'\t');
    let Some(raw) = value.filter(|raw| shape(raw) != Shape::Null) else {
        out.extend_from_slice(b"\\N");
        return Ok(());
    };
    match (shape(raw), form) {
        (_, Form::Json) => escaped(out, raw.get()),
        (Shape::String, _) => escaped(out, &checked_text(raw)?),
        (Shape::Number, Form::Integer) => out.extend_from_slice(whole(raw.get()).as_bytes()),
        (Shape::Array, Form::Array | Form::JsonArray) => {
            let mut literal = String::new();
            array(&mut literal, raw, form, 1)?;
            escaped(out, &literal);
        }
        _ => escaped(out, raw.get()),
    }
    Ok(())
}

/// Adds a tab and a truth value.
pub(super) fn flag(out: &mut Vec<u8>, set: bool) {
    out.extend_from_slice(if set { b"\tt" } else { b"\tf" });
}

/// A string's text, without the one character that PostgreSQL has none of.
fn checked_text(raw: &RawValue) -> Result<std::borrow::Cow<'_, str>, String> {
    let text = text(raw)?;
    match memchr::memchr(0, text.as_bytes()) {
        None => Ok(text),
        Some(_) => {
            Err("it holds the character NUL (\\u0000), which PostgreSQL has in no text".into())
        }
    }
}

/// A number's text, without a fraction of nothing.
fn whole(number: &str) -> std::borrow::Cow<'_, str> {
    // Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.parse::<f64>() {
        Ok(float)
            if number.contains(['.', 'e', 'E']) && float.fract() == 0.0 && float.abs() < EXACT =>
        {
            format!("{float:.0}").into()
        }
        _ => number.into(),
    }
}

/// PostgreSQL's way of writing an array.
fn array(out: &mut String, raw: &RawValue, form: Form, depth: usize) -> Result<(), String> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    out.push('{');
    for (at, element) in elements.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match (shape(element), form) {
            (Shape::Null, _) => out.push_str("NULL"),
            (Shape::Array, Form::Array) if depth < DEEPEST => {
                array(out, element, form, depth.saturating_add(1))?;
            }
            (Shape::String, Form::Array) => in_quotes(out, &checked_text(element)?),
            _ => in_quotes(out, element.get()),
        }
    }
    out.push('}');
    Ok(())
}

fn in_quotes(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

/// Adds a text with what COPY reads otherwise escaped.
fn escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    let special = |byte: &u8| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t');
    while let Some(at) = rest.iter().position(special) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let (letter, after) = from.split_first().unwrap_or((&b'\\', &[]));
        out.push(b'\\');
        out.push(match letter {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => *other,
        });
        rest = after;
    }
    out.extend_from_slice(rest);
}
