//! Reading bodies as the reference does: Python's `json.loads` behind FastAPI's rules about content types. Says what Python would say and
//! where; building values is serde_json's work.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::python;

/// What became of a body.
#[derive(Debug, PartialEq)]
pub(crate) enum Decoded {
    /// No bytes at all, or `null`: as if the body were absent.
    Absent,
    /// JSON, its numbers as Python would print them.
    Json(Value),
    /// Another content type: the text as it came.
    Text(String),
    /// `json.JSONDecodeError`: in characters, and its words.
    Broken {
        /// Characters before the error.
        at: usize,
        /// `Expecting value`, ..
        words: &'static str,
    },
    /// Bad UTF-8, or nested too deep.
    Unreadable,
    /// Python reads it (NaN, an unpaired surrogate) and then cannot write it.
    Unwritable,
}

/// Deeper than this, Python's reader gives up.
const MAX_DEPTH: usize = 990;

/// Reads a body.
pub(crate) fn decode(headers: &HeaderMap, body: &[u8]) -> Decoded {
    if body.is_empty() {
        return Decoded::Absent;
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return Decoded::Unreadable;
    };
    if !is_json(headers) {
        return Decoded::Text(text.to_owned());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Null) => Decoded::Absent,
        Ok(mut value) => {
            if python::reprint_numbers(&mut value) {
                Decoded::Json(value)
            } else {
                Decoded::Unwritable
            }
        }
        Err(_) => match Scanner::new(text).document() {
            Err(Stop::Broken(at, words)) => Decoded::Broken { at, words },
            // Deeper than the contract with plugins allows, though Python would go on.
            Err(Stop::TooDeep) | Ok(Seen { odd: false }) => Decoded::Unreadable,
            Ok(Seen { odd: true }) => Decoded::Unwritable,
        },
    }
}

/// No content type counts as JSON; else `application/json` or `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).filter(|v| !v.is_empty()) else {
        return true;
    };
    let text = value.to_str().unwrap_or("").to_ascii_lowercase();
    let kind = text.split(';').next().unwrap_or("").trim();
    kind.strip_prefix("application/")
        .is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

/// Walks through a text as CPython 3.11's `_json` does, to find its error.
struct Scanner<'a> {
    text: &'a str,
    odd: bool,
}

/// What a whole document held.
struct Seen {
    /// NaN, an infinity, or an unpaired surrogate.
    odd: bool,
}

enum Stop {
    Broken(usize, &'static str),
    TooDeep,
}

const VALUE: &str = "Expecting value";
const COMMA: &str = "Expecting ',' delimiter";
const NAME: &str = "Expecting property name enclosed in double quotes";

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, odd: false }
    }

    /// Places are bytes on the way and characters in the end, as Python counts.
    fn document(mut self) -> Result<Seen, Stop> {
        self.whole().map_err(|stop| match stop {
            Stop::Broken(at, words) => {
                let before = self.text.get(..at).unwrap_or(self.text);
                Stop::Broken(before.chars().count(), words)
            }
            Stop::TooDeep => Stop::TooDeep,
        })
    }

    fn whole(&mut self) -> Result<Seen, Stop> {
        let start = self.space(0);
        let end = self.value(start, 0)?;
        let end = self.space(end);
        if end < self.text.len() {
            return Err(Stop::Broken(end, "Extra data"));
        }
        Ok(Seen { odd: self.odd })
    }

    /// The byte at a place, as a character: all that matters here is ASCII.
    fn at(&self, index: usize) -> Option<char> {
        self.text.as_bytes().get(index).map(|b| char::from(*b))
    }

    fn space(&self, mut index: usize) -> usize {
        while matches!(self.at(index), Some(' ' | '\t' | '\n' | '\r')) {
            index += 1;
        }
        index
    }

    fn word(&self, index: usize, word: &str) -> Option<usize> {
        word.chars()
            .enumerate()
            .all(|(i, c)| self.at(index + i) == Some(c))
            .then(|| index + word.len())
    }

    fn value(&mut self, index: usize, depth: usize) -> Result<usize, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        let words: &[&str] = match self.at(index) {
            Some('"') => return self.string(index),
            Some('{') => return self.object(index + 1, depth),
            Some('[') => return self.array(index + 1, depth),
            Some('n') => &["null"],
            Some('t') => &["true"],
            Some('f') => &["false"],
            Some('N') => &["NaN"],
            Some('I') => &["Infinity"],
            Some('-') => &["-Infinity"],
            _ => &[],
        };
        if let Some(end) = words.iter().find_map(|w| self.word(index, w)) {
            self.odd |= matches!(self.at(index), Some('N' | 'I' | '-'));
            return Ok(end);
        }
        self.number(index).ok_or(Stop::Broken(index, VALUE))
    }

    fn digits(&self, mut index: usize) -> usize {
        while self.at(index).is_some_and(|c| c.is_ascii_digit()) {
            index += 1;
        }
        index
    }

    fn number(&self, start: usize) -> Option<usize> {
        let first = if self.at(start) == Some('-') {
            start + 1
        } else {
            start
        };
        let mut end = match self.at(first)? {
            '0' => first + 1,
            '1'..='9' => self.digits(first),
            _ => return None,
        };
        if self.at(end) == Some('.') && self.digits(end + 1) > end + 1 {
            end = self.digits(end + 1);
        }
        if matches!(self.at(end), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.at(end + 1), Some('+' | '-')));
            let from = end + 1 + sign;
            if self.digits(from) > from {
                end = self.digits(from);
            }
        }
        Some(end)
    }

    fn object(&mut self, index: usize, depth: usize) -> Result<usize, Stop> {
        let mut i = self.space(index);
        if self.at(i) == Some('}') {
            return Ok(i + 1);
        }
        loop {
            if self.at(i) != Some('"') {
                return Err(Stop::Broken(i, NAME));
            }
            i = self.string(i)?;
            i = self.space(i);
            if self.at(i) != Some(':') {
                return Err(Stop::Broken(i, "Expecting ':' delimiter"));
            }
            i = self.space(i + 1);
            i = self.value(i, depth + 1)?;
            i = self.space(i);
            match self.at(i) {
                Some('}') => return Ok(i + 1),
                Some(',') => i = self.space(i + 1),
                _ => return Err(Stop::Broken(i, COMMA)),
            }
        }
    }

    fn array(&mut self, index: usize, depth: usize) -> Result<usize, Stop> {
        let mut i = self.space(index);
        if self.at(i) == Some(']') {
            return Ok(i + 1);
        }
        loop {
            i = self.value(i, depth + 1)?;
            i = self.space(i);
            match self.at(i) {
                Some(']') => return Ok(i + 1),
                Some(',') => i = self.space(i + 1),
                _ => return Err(Stop::Broken(i, COMMA)),
            }
        }
    }

    fn string(&mut self, begin: usize) -> Result<usize, Stop> {
        const OPEN: &str = "Unterminated string starting at";
        let mut i = begin + 1;
        loop {
            match self.at(i) {
                None => return Err(Stop::Broken(begin, OPEN)),
                Some('"') => return Ok(i + 1),
                Some('\\') => match self.at(i + 1) {
                    None => return Err(Stop::Broken(begin, OPEN)),
                    Some('u') => i = self.unicode(i + 1)?,
                    Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => i += 2,
                    Some(_) => return Err(Stop::Broken(i, "Invalid \\escape")),
                },
                Some(c) if c <= '\u{1f}' => {
                    return Err(Stop::Broken(i, "Invalid control character at"));
                }
                Some(_) => i += 1,
            }
        }
    }

    /// A `uXXXX` whose `u` is at `index`, and the second half of a pair.
    fn unicode(&mut self, index: usize) -> Result<usize, Stop> {
        const BAD: &str = "Invalid \\uXXXX escape";
        // As CPython: the digits must not be the end of the text.
        if index + 5 >= self.text.len() {
            return Err(Stop::Broken(index, BAD));
        }
        let unit = self.hex(index).ok_or(Stop::Broken(index, BAD))?;
        let mut end = index + 5;
        if matches!(unit, 0xDC00..=0xDFFF) {
            self.odd = true;
        }
        if matches!(unit, 0xD800..=0xDBFF) {
            let pair = end + 6 < self.text.len()
                && self.at(end) == Some('\\')
                && self.at(end + 1) == Some('u');
            let second = if pair {
                Some(self.hex(end + 1).ok_or(Stop::Broken(end + 1, BAD))?)
            } else {
                None
            };
            if matches!(second, Some(0xDC00..=0xDFFF)) {
                end += 6;
            } else {
                self.odd = true;
            }
        }
        Ok(end)
    }

    fn hex(&self, u: usize) -> Option<u32> {
        (1..=4).try_fold(0, |sum, i| Some(sum * 16 + self.at(u + i)?.to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn broken(text: &str) -> Option<(usize, &'static str)> {
        match decode(&HeaderMap::new(), text.as_bytes()) {
            Decoded::Broken { at, words } => Some((at, words)),
            _ => None,
        }
    }

    #[test]
    fn errors_stand_where_python_puts_them() {
        // Each checked with CPython 3.11.
        let check = |text: &str, at: usize, words: &'static str| {
            assert_eq!(broken(text), Some((at, words)), "{text}");
        };
        check("{", 1, NAME);
        check(r#"{"model": "#, 10, VALUE);
        check(" ", 1, VALUE);
        check("[", 1, VALUE);
        check("[1,]", 3, VALUE);
        check(r#"{"a":1,}"#, 7, NAME);
        check(r#"{"a" 1}"#, 5, "Expecting ':' delimiter");
        check(r#"{"a":1 "b":2}"#, 7, COMMA);
        check("{} x", 3, "Extra data");
        check("01", 1, "Extra data");
        check("-", 0, VALUE);
        check("nul", 0, VALUE);
        check(r#"{"ü":"x"#, 5, "Unterminated string starting at");
        check("[\"a\nb\"]", 3, "Invalid control character at");
        check(r#"["\x"]"#, 2, "Invalid \\escape");
        check(r#"["\u12g4"]"#, 3, "Invalid \\uXXXX escape");
        check("{'a':1}", 1, NAME);
        check("[\"ü😀\" x", 6, COMMA);
        check("[\"ü😀\\u12ü\"]", 5, "Invalid \\uXXXX escape");
    }

    #[test]
    fn other_bodies_are_told_apart() {
        let none = HeaderMap::new();
        assert_eq!(decode(&none, b""), Decoded::Absent);
        assert_eq!(decode(&none, b"null"), Decoded::Absent);
        assert_eq!(decode(&none, b"{\"x\":NaN}"), Decoded::Unwritable);
        assert_eq!(decode(&none, b"[-Infinity]"), Decoded::Unwritable);
        assert_eq!(decode(&none, b"[1e999]"), Decoded::Unwritable);
        assert_eq!(decode(&none, br#"["\ud800"]"#), Decoded::Unwritable);
        assert_eq!(decode(&none, b"\"\xff\""), Decoded::Unreadable);
        let deep = "[".repeat(5000);
        assert_eq!(decode(&none, deep.as_bytes()), Decoded::Unreadable);
        let mut text = HeaderMap::new();
        text.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert_eq!(decode(&text, b"{}"), Decoded::Text("{}".into()));
        let mut json = HeaderMap::new();
        json.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("Application/x+JSON; a=b"),
        );
        assert!(matches!(decode(&json, b"{}"), Decoded::Json(_)));
    }
}
