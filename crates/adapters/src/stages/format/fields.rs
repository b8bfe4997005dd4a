//! The fields of a record, as they stand in it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::stages::record::check_escapes;

/// The fields of a record in their order, with their JSON text. A field that stands there twice is there twice.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Of one line.
    ///
    /// # Errors
    /// Why it is no record with fields.
    pub(crate) fn of(line: &'a [u8]) -> Result<Self, String> {
        let fields = serde_json::from_slice(line).map_err(|e| {
            format!(
                "is no record with fields: {}",
                super::ndjson::without_line(&e)
            )
        })?;
        check_escapes(line)?;
        Ok(fields)
    }

    /// The JSON text of a field; the last one of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let mut found = self.0.iter().rev().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut all = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    all.push((key, value));
                }
                Ok(all)
            }
        }
        from.deserialize_map(All).map(Self)
    }
}

/// A key, borrowed where it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        from.deserialize_str(Text).map(Self)
    }
}

/// A value as text for a cell or a name: strings without their quotes, null as none, lists and objects as JSON.
pub(crate) fn plain(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') => match serde_json::from_str::<Key<'_>>(json) {
            Ok(Key(text)) => Some(text),
            Err(_) => Some(Cow::Borrowed(json)),
        },
        _ => Some(Cow::Borrowed(json)),
    }
}
