//! Checking and skipping JSON: what RFC 8259 allows, in UTF-8 that was checked before, nested at most 127 deep, with no lone surrogates. Exactly what `serde_json` takes for a
//! value; the tests hold the two side by side.

use std::fmt;

/// Containers in one another.
const DEEPEST: u8 = 127;

/// Why a line is no JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// What is wrong.
    pub(crate) what: &'static str,
    /// Where in the line, in bytes from 0.
    pub(crate) at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON: {} at byte {}", self.what, self.at)
    }
}

/// Is this one JSON document with nothing behind it? Its UTF-8 is checked too.
pub(crate) fn check_document(line: &[u8]) -> Result<(), Malformed> {
    check_utf8(line)?;
    check_json(line)
}

/// The same of a text that was taken for JSON by a reader that looks away from what escapes stand for: halves of surrogate pairs are no characters, and no JSON here.
///
/// # Errors
/// A sentence.
pub(crate) fn check_escapes(line: &[u8]) -> Result<(), String> {
    if memchr::memchr(b'\\', line).is_none() {
        return Ok(());
    }
    check_json(line).map_err(|malformed| malformed.to_string())
}

/// Is this one JSON document? Its UTF-8 is checked elsewhere.
pub(crate) fn check_json(line: &[u8]) -> Result<(), Malformed> {
    let mut scan = Scan::new(line);
    scan.space();
    scan.skip()?;
    scan.end()
}

/// Is this UTF-8?
pub(crate) fn check_utf8(line: &[u8]) -> Result<(), Malformed> {
    std::str::from_utf8(line).map(drop).map_err(|e| Malformed {
        what: "a byte that is no UTF-8",
        at: e.valid_up_to(),
    })
}

/// A place in a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    data: &'a [u8],
    at: usize,
    depth: u8,
}

impl<'a> Scan<'a> {
    /// Its beginning.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            depth: 0,
        }
    }

    /// Where it is.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    /// Over one byte.
    #[inline]
    pub(super) fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// Over white space.
    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.step();
        }
    }

    /// What is wrong here.
    #[cold]
    pub(super) fn wrong(&self, what: &'static str) -> Malformed {
        let what = if self.at >= self.data.len() {
            "it ends too early"
        } else {
            what
        };
        Malformed { what, at: self.at }
    }

    /// Nothing more but white space.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.space();
        if self.at < self.data.len() {
            return Err(self.wrong("something after the end of the value"));
        }
        Ok(())
    }

    /// Into a container, over its opening bracket.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), Malformed> {
        if self.depth >= DEEPEST {
            return Err(self.wrong("more than 127 containers in one another"));
        }
        self.depth = self.depth.wrapping_add(1);
        self.step();
        Ok(())
    }

    /// Out of a container, over its closing bracket.
    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth = self.depth.wrapping_sub(1);
        self.step();
    }

    /// Over a value.
    #[inline]
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.skip_object(),
            Some(b'[') => self.skip_array(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.wrong("no value")),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Malformed> {
        let end = self.at.wrapping_add(word.len());
        if self.data.get(self.at..end) == Some(word) {
            self.at = end;
            return Ok(());
        }
        Err(self.wrong("no value"))
    }

    fn skip_object(&mut self) -> Result<(), Malformed> {
        self.enter()?;
        self.space();
        if self.peek() == Some(b'}') {
            self.leave();
            return Ok(());
        }
        loop {
            self.key()?;
            self.skip()?;
            if !self.comma(b'}')? {
                return Ok(());
            }
        }
    }

    fn skip_array(&mut self) -> Result<(), Malformed> {
        self.enter()?;
        self.space();
        if self.peek() == Some(b']') {
            self.leave();
            return Ok(());
        }
        loop {
            self.skip()?;
            if !self.comma(b']')? {
                return Ok(());
            }
        }
    }

    /// Over a key and its colon, to its value. Returns the key with its quotes, and whether it has escapes.
    #[inline]
    pub(super) fn key(&mut self) -> Result<(&'a [u8], bool), Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("no `\"` of a key"));
        }
        let start = self.at;
        let escaped = self.string()?;
        let key = self.data.get(start..self.at).unwrap_or_default();
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.wrong("no `:` after a key"));
        }
        self.step();
        self.space();
        Ok((key, escaped))
    }

    /// After a member or item: is there another? Otherwise this leaves the container.
    #[inline]
    pub(super) fn comma(&mut self, close: u8) -> Result<bool, Malformed> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.step();
                self.space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.leave();
                Ok(false)
            }
            _ if close == b'}' => Err(self.wrong("no `,` or `}` in an object")),
            _ => Err(self.wrong("no `,` or `]` in a list")),
        }
    }

    /// Over a string. Returns whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, Malformed> {
        self.step();
        let mut escaped = false;
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.wrong("a control character in a string")),
            }
        }
    }

    /// To the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const TOPS: u64 = ONES << 7;
        let any = |word: u64, byte: u8| {
            let word = word ^ (ONES * u64::from(byte));
            word.wrapping_sub(ONES) & !word
        };
        while let Some(chunk) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let found = (any(word, b'"') | any(word, b'\\') | control) & TOPS;
            if found != 0 {
                self.at = self.at.wrapping_add((found.trailing_zeros() / 8) as usize);
                return;
            }
            self.at = self.at.wrapping_add(8);
        }
        while let Some(byte) = self.peek() {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.step();
        }
    }

    /// Over an escape.
    #[cold]
    fn escape(&mut self) -> Result<(), Malformed> {
        self.step();
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.step();
                Ok(())
            }
            Some(b'u') => {
                self.step();
                match self.hex()? {
                    0xD800..=0xDBFF => {
                        if self.peek() != Some(b'\\') {
                            return Err(self.wrong("half of a surrogate pair"));
                        }
                        self.step();
                        if self.peek() != Some(b'u') {
                            return Err(self.wrong("half of a surrogate pair"));
                        }
                        self.step();
                        if (0xDC00..=0xDFFF).contains(&self.hex()?) {
                            Ok(())
                        } else {
                            Err(self.wrong("half of a surrogate pair"))
                        }
                    }
                    0xDC00..=0xDFFF => Err(self.wrong("half of a surrogate pair")),
                    _ => Ok(()),
                }
            }
            _ => Err(self.wrong("an escape that JSON does not have")),
        }
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u32;
        for _ in 0..4 {
            let digit = self
                .peek()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(|| self.wrong("no four hexadecimal digits"))?;
            value = value << 4 | digit;
            self.step();
        }
        Ok(value)
    }

    /// Over a number.
    #[inline]
    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.step();
        }
        match self.peek() {
            Some(b'0') => self.step(),
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.wrong("a number without digits")),
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.step();
            if let Some(b'+' | b'-') = self.peek() {
                self.step();
            }
            self.some_digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.step();
        }
    }

    fn some_digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.digits();
        if self.at == start {
            return Err(self.wrong("a number without digits"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both say the same of a line.
    fn check(line: &[u8]) -> bool {
        let ours = check_document(line);
        let theirs = serde_json::from_slice::<serde_json::Value>(line);
        assert_eq!(
            ours.is_ok(),
            theirs.is_ok(),
            "{:?}: {ours:?} and {theirs:?}",
            String::from_utf8_lossy(line)
        );
        ours.is_ok()
    }

    #[test]
    fn bad_lines_are_refused_where_serde_json_refuses_them() {
        for bad in [
            "",
            " ",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "{1:2}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "tru",
            "nul",
            "NaN",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"a\tb\"",
            "{} {}",
            "1 1",
            "[[]",
            "{\"a\":[1,{\"b\":2]}",
        ] {
            assert!(!check(bad.as_bytes()), "{bad}");
        }
        assert!(!check(b"\"\xff\""));
        assert!(!check("[".repeat(128).as_bytes()));
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check(nested(127).as_bytes()));
        assert!(!check(nested(128).as_bytes()));
    }

    #[test]
    fn a_mutated_line_is_taken_as_serde_json_takes_it() {
        let seeds = [
            r#"{"id":1,"ts":"2026-01-01T00:00:00Z","user":{"id":-0.5e-3,"name":"ana \u00e9\ud83d\ude00"},"tags":["t1","t2"],"ok":true,"no":null,"x":false}"#,
            " [ 1 , 2.5 , { } , [ ] , \"\\\\\\\"\" , 123456789012345678901234567890 ] ",
            "{\"grüße\":\"日本語 is more than eight bytes\",\"e\":\"\",\"n\":1E400}",
        ];
        let mut random = 42_u64;
        let mut next = |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % below
        };
        let alphabet = b"{}[]\",:\\u0e1-+. \t\x01d8tfn\xff\xc3";
        let mut taken = 0;
        for seed in seeds {
            assert!(check(seed.as_bytes()));
            for _ in 0..20_000 {
                let mut line = seed.as_bytes().to_vec();
                for _ in 0..=next(2) {
                    let at = next(line.len());
                    match next(3) {
                        0 => line[at] = alphabet[next(alphabet.len())],
                        1 => drop(line.remove(at)),
                        _ => line.insert(at, alphabet[next(alphabet.len())]),
                    }
                }
                taken += u32::from(check(&line));
            }
        }
        assert!(taken > 1_000, "{taken}");
    }
}
