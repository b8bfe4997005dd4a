//! A JSON document, read as it comes: the records are the elements of a list in it, and only one of them is held at a time. Several documents may stand one after
//! the other. What is inside a record is looked at by `serde_json`; here it is only found where one ends.

use bytes::{Buf, BytesMut};
use memchr::memchr2;
use serde::de::IgnoredAny;

use crate::stages::record::check_json;

use super::ndjson::without_line;
use super::{Decode, Gathered, Place, not_in, start_of, too_large};

/// Finds records in a document.
#[derive(Debug)]
pub(super) struct Json {
    /// Keys that lead to the records.
    path: Vec<String>,
    most: usize,
    encoding: &'static str,
    at: At,
    span: Span,
    /// Documents and records may pass that are too large to hold: the beginning of the one that is passing.
    passing: Option<Vec<u8>>,
    /// Keys of the path that were found.
    found: usize,
    offset: u64,
    line: u64,
    records: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A value on the way to the records, or the records.
    Value,
    /// A key of an object on the way, or its end.
    Key,
    /// The colon after a key; is it the one that leads on?
    Colon(bool),
    /// A value that is passed over.
    Other,
    /// An element of the list, or (only at its beginning) its end.
    Element { first: bool },
    /// A comma in the list, or its end.
    Comma,
    /// A single record that is no element of a list.
    Single,
    /// What follows the records, which is not looked at.
    Rest,
}

/// How far the end of a value was looked for.
#[derive(Debug, Default)]
struct Span {
    depth: u32,
    in_string: bool,
    escaped: bool,
    seen: usize,
}

impl Span {
    /// The length of the value at the front, once it is all there. A number or a word ends before what is no part of it, or with the input.
    fn end(&mut self, input: &[u8], last: bool) -> Option<usize> {
        while let Some(byte) = input.get(self.seen) {
            if self.in_string {
                self.string(input);
                if !self.in_string && self.depth == 0 {
                    return Some(self.seen);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' if self.depth == 0 => return Some(self.seen),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.seen.saturating_add(1));
                    }
                }
                b',' | b':' if self.depth == 0 => return Some(self.seen),
                space if self.depth == 0 && space.is_ascii_whitespace() => return Some(self.seen),
                _ => {}
            }
            self.seen = self.seen.saturating_add(1);
        }
        (last && self.depth == 0 && !self.in_string && !input.is_empty()).then_some(input.len())
    }

    /// Moves to the end of the string, or of the input.
    fn string(&mut self, input: &[u8]) {
        while self.in_string {
            let rest = input.get(self.seen..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
            if self.escaped {
                self.escaped = false;
                self.seen = self.seen.saturating_add(1);
                continue;
            }
            let Some(at) = memchr2(b'"', b'\\', rest) else {
                self.seen = input.len();
                return;
            };
            self.seen = self.seen.saturating_add(at).saturating_add(1);
            match rest.get(at) {
                Some(b'\\') => self.escaped = true,
                _ => self.in_string = false,
            }
        }
    }
}

/// A value at the front of the input.
enum Held {
    Whole(BytesMut),
    /// It was too large; its beginning.
    Passed(Vec<u8>),
}

impl Json {
    pub(super) fn new(path: Vec<String>, most: usize, encoding: &'static str) -> Self {
        Self {
            path,
            most,
            encoding,
            at: At::Value,
            span: Span::default(),
            passing: None,
            found: 0,
            offset: 0,
            line: 0,
            records: 0,
        }
    }

    fn drop_front(&mut self, input: &mut BytesMut, bytes: usize) -> BytesMut {
        let front = input.split_to(bytes.min(input.len()));
        self.offset = self
            .offset
            .saturating_add(u64::try_from(front.len()).unwrap_or(0));
        let lines = memchr::memchr_iter(b'\n', &front).count();
        self.line = self.line.saturating_add(u64::try_from(lines).unwrap_or(0));
        front
    }

    /// Takes one byte that is no line end off the front.
    fn eat(&mut self, input: &mut BytesMut) {
        if !input.is_empty() {
            input.advance(1);
            self.offset = self.offset.saturating_add(1);
        }
    }

    /// The first byte that is no white space, which is then at the front.
    fn next(&mut self, input: &mut BytesMut) -> Option<u8> {
        let blank = input.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.drop_front(input, blank);
        input.first().copied()
    }

    /// The value at the front, once it is all there.
    fn value(&mut self, input: &mut BytesMut, last: bool) -> Option<Held> {
        let end = self.span.end(input, last);
        if let Some(end) = end {
            self.span = Span::default();
            let value = self.drop_front(input, end);
            return Some(match self.passing.take() {
                Some(start) => Held::Passed(start),
                None if value.len() > self.most => Held::Passed(start_of(&value).to_vec()),
                None => Held::Whole(value),
            });
        }
        if input.len() > self.most || self.passing.is_some() {
            let front = self.drop_front(input, usize::MAX);
            self.span.seen = 0;
            self.passing
                .get_or_insert_with(|| start_of(&front).to_vec());
        }
        None
    }

    /// One step; false when more input is wanted.
    fn step(
        &mut self,
        input: &mut BytesMut,
        last: bool,
        out: &mut Gathered,
    ) -> Result<bool, String> {
        if self.at == At::Rest {
            self.drop_front(input, usize::MAX);
            return Ok(false);
        }
        let in_value = self.passing.is_some() || self.span.seen > 0;
        let next = if in_value {
            input.first().copied()
        } else {
            self.next(input)
        };
        if next.is_none() && !in_value {
            return Ok(false);
        }
        match self.at {
            At::Value => return self.begin(next, input, last),
            At::Key => match next {
                Some(b'}') => return Err(self.missing()),
                Some(b',') => self.eat(input),
                Some(b'"') => return Ok(self.key(input, last)),
                _ => return Err(self.unexpected("a key in quotes")),
            },
            At::Colon(leads) => match next {
                Some(b':') => {
                    self.eat(input);
                    self.at = if leads { At::Value } else { At::Other };
                }
                _ => return Err(self.unexpected("`:`")),
            },
            At::Other => match self.value(input, last) {
                Some(_) => self.at = At::Key,
                None => return Ok(false),
            },
            At::Element { first: true } if next == Some(b']') => self.end_list(input),
            At::Comma if next == Some(b']') => self.end_list(input),
            At::Comma if next == Some(b',') => {
                self.eat(input);
                self.at = At::Element { first: false };
            }
            At::Comma => return Err(self.unexpected("`,` or `]` after a record")),
            At::Element { .. } if !in_value && matches!(next, Some(b',' | b']' | b'}' | b':')) => {
                return Err(self.unexpected("a record"));
            }
            At::Element { .. } | At::Single => return Ok(self.record(input, last, out)),
            At::Rest => {}
        }
        Ok(true)
    }

    /// A value on the way to the records begins.
    fn begin(
        &mut self,
        next: Option<u8>,
        input: &mut BytesMut,
        last: bool,
    ) -> Result<bool, String> {
        let there = self.found == self.path.len();
        match next {
            Some(b'[') if there => {
                self.eat(input);
                self.at = At::Element { first: true };
            }
            Some(b'n') if there && !self.path.is_empty() => match self.value(input, last) {
                Some(Held::Whole(word)) if word.as_ref() == b"null" => self.at = At::Rest,
                Some(_) => return Err(self.unexpected("a list or a record")),
                None => return Ok(false),
            },
            Some(b',' | b']' | b'}' | b':') => return Err(self.unexpected("a JSON document")),
            _ if there => self.at = At::Single,
            Some(b'{') => {
                self.eat(input);
                self.at = At::Key;
            }
            _ => {
                let key = self.path.get(self.found).map_or("", String::as_str);
                return Err(self.unexpected(&format!(
                    "an object with the key `{key}`, as `records: {}` says",
                    self.path.join(".")
                )));
            }
        }
        Ok(true)
    }

    /// A key on the way; false when it is not all there.
    fn key(&mut self, input: &mut BytesMut, last: bool) -> bool {
        let Some(key) = self.value(input, last) else {
            return false;
        };
        let leads = match key {
            Held::Whole(text) => serde_json::from_slice::<String>(&text)
                .is_ok_and(|key| Some(&key) == self.path.get(self.found)),
            Held::Passed(_) => false,
        };
        self.found = self.found.saturating_add(usize::from(leads));
        self.at = At::Colon(leads);
        true
    }

    fn end_list(&mut self, input: &mut BytesMut) {
        self.eat(input);
        self.end();
    }

    /// The records are over; with no path, another document may follow.
    fn end(&mut self) {
        self.at = if self.path.is_empty() {
            At::Value
        } else {
            At::Rest
        };
    }

    /// A record; false when it is not all there.
    fn record(&mut self, input: &mut BytesMut, last: bool, out: &mut Gathered) -> bool {
        let line = self.line.saturating_add(1);
        // In a list, what ends with the text may go on after it.
        let last = last && self.at == At::Single;
        let Some(held) = self.value(input, last) else {
            return false;
        };
        self.records = self.records.saturating_add(1);
        match held {
            Held::Passed(start) => {
                out.reject(&start, format!("line {line}: {}", too_large(self.most)));
            }
            Held::Whole(text) => out.add(&text, |own| {
                add(&text, self.encoding, own).map_err(|e| format!("line {line}: {e}"))
            }),
        }
        if self.at == At::Single {
            self.end();
        } else {
            self.at = At::Comma;
        }
        true
    }

    fn unexpected(&self, wanted: &str) -> String {
        format!(
            "line {}, byte {}: expected {wanted}; {} records were read before it",
            self.line.saturating_add(1),
            self.offset.saturating_add(1),
            self.records
        )
    }

    fn missing(&self) -> String {
        let key = self.path.get(self.found).map_or("", String::as_str);
        format!(
            "there is no key `{key}` in the document (`records: {}`)",
            self.path.join(".")
        )
    }

    /// Why the document may not end here.
    fn cut(&self) -> Option<String> {
        let whole = match self.at {
            At::Value => self.found == 0,
            At::Rest => true,
            _ => false,
        };
        (!whole).then(|| {
            format!(
                "the document ends in its middle, after {} whole records ({} bytes)",
                self.records, self.offset
            )
        })
    }
}

impl Decode for Json {
    fn decode(
        &mut self,
        input: &mut BytesMut,
        last: bool,
        out: &mut Gathered,
    ) -> Result<(), String> {
        while !out.is_full() {
            if !self.step(input, last, out)? {
                let cut = if last { self.cut() } else { None };
                return cut.map_or(Ok(()), |cut| {
                    input.clear();
                    Err(cut)
                });
            }
        }
        Ok(())
    }

    fn place(&self) -> Place {
        Place {
            offset: self.offset,
            line: self.line,
            known: None,
        }
    }
}

/// Appends a record to `own`, on one line.
fn add(text: &[u8], encoding: &str, own: &mut Vec<u8>) -> Result<(), String> {
    if std::str::from_utf8(text).is_err() {
        return Err(not_in(encoding));
    }
    if let Err(malformed) = check_json(text) {
        // What serde_json says is told where it finds something; it looks away from what escapes stand for.
        let error = serde_json::from_slice::<IgnoredAny>(text).err();
        return Err(error.map_or_else(
            || malformed.to_string(),
            |e| format!("is no JSON: {}", without_line(&e)),
        ));
    }
    if memchr2(b'\n', b'\r', text).is_none() {
        own.extend_from_slice(text);
        return Ok(());
    }
    // It is JSON, so white space is either between tokens or in a string, where it is no line end.
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        if !in_string && byte.is_ascii_whitespace() {
            continue;
        }
        own.push(*byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    Ok(())
}
