//! Request bodies as JSON text: checked once, passed on as they came. Nothing is parsed into a tree here, so that numbers keep every
//! digit, objects the order of their keys, and large bodies their one copy.

pub(crate) mod messages;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a body cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Syntax(String),
    /// JSON, but not an object.
    #[error("the body is {0}; a JSON object is needed")]
    NotAnObject(&'static str),
    /// Too many arrays and objects in each other.
    #[error("the body nests deeper than {0} levels")]
    TooDeep(usize),
    /// An object with more keys than any request has.
    #[error("an object has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// Half of a UTF-16 pair, which is no character.
    #[error("the body has an unpaired surrogate (\\ud800 to \\udfff)")]
    LoneSurrogate,
}

/// An object's fields: each key once, in the order of first appearance, with the value that came last.
#[derive(Debug)]
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Keys an object may have that the server itself reads.
const MAX_KEYS: usize = 10_000;
/// Up to so many keys are compared one by one.
const FEW: usize = 16;

impl<'a> Fields<'a> {
    /// Reads a body: valid JSON, an object, no deeper than `depth`.
    ///
    /// # Errors
    /// Each of [`Unusable`].
    pub(crate) fn parse(body: &'a [u8], depth: usize) -> Result<Self, Unusable> {
        check(body, depth)?;
        let text = std::str::from_utf8(body).map_err(|e| Unusable::Syntax(e.to_string()))?;
        if text.trim_ascii_start().starts_with('{') {
            return Self::read(text);
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => Err(Unusable::NotAnObject(kind(raw))),
            Err(e) => Err(Unusable::Syntax(e.to_string())),
        }
    }

    /// The fields of a value that is known to be JSON.
    ///
    /// # Errors
    /// [`Unusable::NotAnObject`].
    pub(crate) fn of(raw: &'a RawValue) -> Result<Self, Unusable> {
        match kind(raw) {
            "an object" => Self::read(raw.get()),
            other => Err(Unusable::NotAnObject(other)),
        }
    }

    fn read(object: &'a str) -> Result<Self, Unusable> {
        let fields: Self =
            serde_json::from_str(object).map_err(|e| Unusable::Syntax(e.to_string()))?;
        if fields.0.len() > MAX_KEYS {
            return Err(Unusable::TooManyKeys);
        }
        Ok(fields)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| *v)
    }

    /// The value of a key, where it is there and not `null`.
    pub(crate) fn present(&self, key: &str) -> Option<&'a RawValue> {
        self.get(key).filter(|v| v.get() != "null")
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(k, v)| (k.as_ref(), *v))
    }
}

/// What a JSON value is, with its article.
pub(crate) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The text of a JSON string.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(raw.get())
            .ok()
            .map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Appends a text as a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"\""),
    }
}

/// One pass over the bytes, valid or not: how deep do they nest, and is there an unpaired surrogate?
fn check(body: &[u8], max_depth: usize) -> Result<(), Unusable> {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > max_depth {
                    return Err(Unusable::TooDeep(max_depth));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at = after_string(body, at)?,
            _ => {}
        }
    }
    Ok(())
}

/// The place after the string that begins at `at`.
fn after_string(body: &[u8], mut at: usize) -> Result<usize, Unusable> {
    loop {
        let rest = body.get(at..).unwrap_or(&[]);
        let Some(stop) = rest.iter().position(|b| matches!(b, b'"' | b'\\')) else {
            return Ok(body.len());
        };
        at += stop;
        if body.get(at) == Some(&b'"') {
            return Ok(at + 1);
        }
        match unit(body, at) {
            Some(0xD800..=0xDBFF) if matches!(unit(body, at + 6), Some(0xDC00..=0xDFFF)) => {
                at += 12;
            }
            Some(0xD800..=0xDFFF) => return Err(Unusable::LoneSurrogate),
            _ => at += 2,
        }
    }
}

/// The UTF-16 unit of a `\uXXXX` at this place.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let hex = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut all: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(Text(key)) = map.next_key()? {
                    let value = map.next_value()?;
                    // One too many is enough to know.
                    if all.len() <= MAX_KEYS {
                        all.push((key, value));
                    }
                }
                if all.len() > MAX_KEYS {
                    return Ok(Fields(all));
                }
                Ok(Fields(last_wins(all)))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Keeps of each key the first place and the last value.
fn last_wins<'a>(all: Vec<(Cow<'a, str>, &'a RawValue)>) -> Vec<(Cow<'a, str>, &'a RawValue)> {
    let is_repeated =
        |(n, (key, _)): (usize, &(Cow<'a, str>, _))| all.iter().take(n).any(|(k, _)| k == key);
    if all.len() <= FEW && !all.iter().enumerate().any(is_repeated) {
        return all;
    }
    let mut seen: HashMap<Cow<'a, str>, usize> = HashMap::with_capacity(all.len());
    let mut kept: Vec<(Cow<'a, str>, &'a RawValue)> = Vec::with_capacity(all.len());
    for (key, value) in all {
        if let Some(slot) = seen.get(&key).and_then(|at| kept.get_mut(*at)) {
            slot.1 = value;
            continue;
        }
        seen.insert(key.clone(), kept.len());
        kept.push((key, value));
    }
    kept
}

/// A string, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }

            fn visit_str<E>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.into())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Result<Vec<(String, String)>, Unusable> {
        let parsed = Fields::parse(body.as_bytes(), 4)?;
        Ok(parsed
            .iter()
            .map(|(k, v)| (k.to_owned(), v.get().to_owned()))
            .collect())
    }

    #[test]
    fn numbers_and_order_stay_and_the_last_duplicate_wins() {
        let pairs = fields(r#"{"z":1E5,"a":0.10,"z\u0061":-0,"z":[1, 2]}"#).unwrap();
        let flat: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(flat, ["z=[1, 2]", "a=0.10", "za=-0"]);
    }

    #[test]
    fn what_cannot_be_used_is_told_apart() {
        assert!(matches!(fields(r#"{"a":}"#), Err(Unusable::Syntax(_))));
        assert!(matches!(
            fields("[1]"),
            Err(Unusable::NotAnObject("an array"))
        ));
        assert_eq!(fields("[[[[[").unwrap_err(), Unusable::TooDeep(4));
        assert!(fields(r#"{"a":[[[1]]],"b":"[[[[[["}"#).is_ok());
        for lone in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":"\udc00"}"#,
        ] {
            assert_eq!(fields(lone).unwrap_err(), Unusable::LoneSurrogate, "{lone}");
        }
        let many: Vec<_> = (0..=MAX_KEYS).map(|n| format!("\"{n}\":1")).collect();
        let many = format!("{{{}}}", many.join(","));
        assert_eq!(fields(&many).unwrap_err(), Unusable::TooManyKeys);
        assert!(fields(r#"{"a":"\ud83d\ude00 \\ud800"}"#).is_ok());
        assert!(matches!(
            Fields::parse(b"{\"a\":\"\xff\"}", 4),
            Err(Unusable::Syntax(_))
        ));
    }
}
