//! A record's text as the values of a table's columns, still as they were written: nothing is read that need not be. What a value becomes is the database's business.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::stages::record::check_escapes;

/// A record by columns.
#[derive(Debug)]
pub(in super::super) struct Row<'a> {
    /// The value for each column, in the order of the table; none where the record has no such field.
    pub(in super::super) values: Vec<Option<&'a RawValue>>,
    /// Fields for which there is no column.
    pub(in super::super) extra: Vec<String>,
}

/// Reads a record, of equal names the last, as most readers of JSON do.
///
/// # Errors
/// Why it is no record: not JSON, not an object.
pub(in super::super) fn row<'a>(
    line: &'a [u8],
    columns: &HashMap<String, usize>,
) -> Result<Row<'a>, String> {
    let mut row = Row {
        values: vec![None; columns.len()],
        extra: Vec::new(),
    };
    each_field(line, |name, value| {
        match columns.get(&*name).and_then(|&at| row.values.get_mut(at)) {
            Some(place) => *place = Some(value),
            None => row.extra.push(name.into_owned()),
        }
    })?;
    Ok(row)
}

/// Shows each field of a record, in order.
///
/// # Errors
/// Why it is no record.
pub(in super::super) fn each_field<'a>(
    line: &'a [u8],
    show: impl FnMut(Cow<'a, str>, &'a RawValue),
) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    Fields(show)
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| format!("not a record: {error}"))?;
    check_escapes(line)
}

/// The text of a JSON string; borrowed where nothing in it is escaped.
///
/// # Errors
/// It holds half a surrogate pair, which is no character.
pub(in super::super) fn text(raw: &RawValue) -> Result<Cow<'_, str>, String> {
    let inner = raw
        .get()
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(plain) if memchr::memchr(b'\\', plain.as_bytes()).is_none() => {
            Ok(Cow::Borrowed(plain))
        }
        _ => serde_json::from_str::<String>(raw.get())
            .map(Cow::Owned)
            .map_err(|error| format!("not a text of whole characters: {error}")),
    }
}

/// What a JSON text begins with, which says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Shape {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// What kind of value a JSON text is.
pub(in super::super) fn shape(raw: &RawValue) -> Shape {
    match raw.get().as_bytes().first() {
        Some(b'n') | None => Shape::Null,
        Some(b't' | b'f') => Shape::Boolean,
        Some(b'"') => Shape::String,
        Some(b'[') => Shape::Array,
        Some(b'{') => Shape::Object,
        Some(_) => Shape::Number,
    }
}

struct Fields<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> DeserializeSeed<'de> for Fields<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            (self.0)(name, map.next_value()?);
        }
        Ok(())
    }
}

/// A field's name, borrowed where it can be.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
