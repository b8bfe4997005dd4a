//! A JSON answer that is held as a whole: values at a path, without making a tree of the rest. Where records are taken from is the decoder's business.

use std::collections::HashMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::stages::record::check_escapes;

/// Keys from the outside in, written with dots; numbers are places in lists, counted from the end if negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::stages) struct Path(Vec<String>);

impl Path {
    /// Reads `a.b.c`.
    pub(in crate::stages) fn read(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        if parts.iter().any(String::is_empty) {
            return Err(format!(
                "{text:?} is no path: keys from the outside in with dots between them, such as `meta.next`"
            ));
        }
        Ok(Self(parts))
    }

    /// These keys.
    pub(in crate::stages) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|k| (*k).to_owned()).collect())
    }

    pub(in crate::stages) fn keys(&self) -> Vec<String> {
        self.0.clone()
    }

    /// The same with more keys inside.
    pub(in crate::stages) fn then(&self, keys: &[&str]) -> Self {
        let more = keys.iter().map(|k| (*k).to_owned());
        Self(self.0.iter().cloned().chain(more).collect())
    }

    /// Puts a value at this place of an object; objects on the way are made.
    pub(in crate::stages) fn set(&self, object: &mut Map<String, Value>, value: Value) {
        let Some((last, way)) = self.0.split_last() else {
            return;
        };
        let mut here = object;
        for key in way {
            let next = here.entry(key.clone()).or_insert(Value::Null);
            if !next.is_object() {
                *next = Value::Object(Map::new());
            }
            let Value::Object(inner) = next else { return };
            here = inner;
        }
        here.insert(last.clone(), value);
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A JSON document.
#[derive(Debug, Clone, Copy)]
pub(in crate::stages) struct Document<'a>(&'a RawValue);

impl<'a> Document<'a> {
    /// Checks that it is one.
    ///
    /// # Errors
    /// Where it is not.
    pub(in crate::stages) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let document = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        check_escapes(bytes)?;
        Ok(Self(document))
    }

    /// What is at a path; none if there is nothing, or `null`.
    pub(in crate::stages) fn at(self, path: &Path) -> Option<&'a RawValue> {
        let found = path.0.iter().try_fold(self.0, |here, key| inner(here, key));
        found.filter(|v| v.get() != "null")
    }

    /// The same as a value; for small ones.
    pub(in crate::stages) fn value(self, path: &Path) -> Option<Value> {
        serde_json::from_str(self.at(path)?.get()).ok()
    }

    /// The elements of the list at a path, or of the document; none if there is no list.
    pub(in crate::stages) fn elements(self, path: Option<&Path>) -> Option<Vec<&'a RawValue>> {
        let list = path.map_or(Some(self.0), |p| self.at(p))?;
        serde_json::from_str(list.get()).ok()
    }
}

/// What is at a key or place of a value.
pub(in crate::stages) fn inner<'a>(here: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    if here.get().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(here.get()).ok()?;
        let place: i64 = key.parse().ok()?;
        let back = usize::try_from(place.unsigned_abs()).ok()?;
        let place = if place < 0 {
            list.len().checked_sub(back)?
        } else {
            back
        };
        return list.get(place).copied();
    }
    let object: HashMap<String, &RawValue> = serde_json::from_str(here.get()).ok()?;
    object.get(key).copied()
}

/// A value on one line. White space between its parts may hold line ends, its strings cannot.
pub(in crate::stages) fn push_line(value: &RawValue, out: &mut Vec<u8>) {
    let text = value.get().bytes();
    out.extend(text.filter(|b| !matches!(b, b'\n' | b'\r')));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_path() {
        let text = r#"{"a": {"b": [1, {"c": 2.50}, null]}, "a.b": 3, "n": null}"#;
        let check = |path: &str, want: Option<&str>| {
            let document = Document::read(text.as_bytes()).unwrap();
            let found = document.at(&Path::read(path).unwrap());
            assert_eq!(found.map(RawValue::get), want, "{path}");
        };
        check("a.b.0", Some("1"));
        check("a.b.1.c", Some("2.50"));
        check("a.b.-2.c", Some("2.50"));
        check("a.b.-4", None);
        check("a.b.3", None);
        check("a.b.2", None);
        check("a.x", None);
        check("n", None);
        check("a.b.0.x", None);
        for bad in ["", ".", "a..b", "a."] {
            assert!(Path::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_put_at_a_path() {
        let mut object = Map::new();
        let set = |object: &mut Map<String, Value>, path: &str, value: Value| {
            Path::read(path).unwrap().set(object, value);
        };
        set(&mut object, "a.b", 1.into());
        set(&mut object, "a.c", 2.into());
        set(&mut object, "a.b.d", 3.into());
        let text = serde_json::to_string(&object).unwrap();
        assert_eq!(text, r#"{"a":{"b":{"d":3},"c":2}}"#);
    }

    #[test]
    fn a_value_becomes_one_line() {
        let document = Document::read(b"{\n \"a\": \"x\\ny\",\r\n \"b\": [1,\n2]\n}").unwrap();
        let mut out = Vec::new();
        push_line(document.0, &mut out);
        assert_eq!(out, b"{ \"a\": \"x\\ny\", \"b\": [1,2]}\n");
    }
}
