//! NDJSON: lines are found and handed on as they are, uncopied where all of a stretch are sound.

use bytes::{Buf, BytesMut};
use memchr::{memchr, memchr_iter};

use crate::stages::record::check_json;

use super::{Decode, Gathered, Place, not_in, start_of, too_large};

/// Finds lines.
#[derive(Debug)]
pub(super) struct Ndjson {
    most: usize,
    /// Is every line parsed? Else only its ends are looked at.
    check: bool,
    encoding: &'static str,
    offset: u64,
    line: u64,
    /// Bytes at the front of the input that hold no line end.
    seen: usize,
    /// The beginning of a line that is too large, while the rest of it passes.
    passing: Option<Vec<u8>>,
}

/// Whole lines at the front of the input.
struct Stretch {
    bytes: usize,
    count: u32,
    /// Can they be handed on as they are?
    sound: bool,
}

impl Ndjson {
    pub(super) fn new(
        most: usize,
        check: bool,
        encoding: &'static str,
        at: Option<&Place>,
    ) -> Self {
        Self {
            most,
            check,
            encoding,
            offset: at.map_or(0, |p| p.offset),
            line: at.map_or(0, |p| p.line),
            seen: 0,
            passing: None,
        }
    }

    /// Takes bytes off the front; `lines` of them end there.
    fn took(&mut self, bytes: usize, lines: u64) {
        self.seen = 0;
        self.offset = self
            .offset
            .saturating_add(u64::try_from(bytes).unwrap_or(0));
        self.line = self.line.saturating_add(lines);
    }

    /// Lets a line that is too large pass; false while it has not ended.
    fn pass(&mut self, input: &mut BytesMut, last: bool, out: &mut Gathered) -> bool {
        let end = memchr(b'\n', input);
        let bytes = end.map_or(input.len(), |at| at.saturating_add(1));
        input.advance(bytes);
        self.took(bytes, u64::from(end.is_some()));
        if end.is_none() && !last {
            return false;
        }
        let start = self.passing.take().unwrap_or_default();
        let line = if end.is_some() {
            self.line
        } else {
            self.line.saturating_add(1)
        };
        out.reject(&start, format!("line {line}: {}", too_large(self.most)));
        true
    }

    /// The whole lines at the front, as many as there is room for.
    fn stretch(&self, input: &[u8], out: &Gathered) -> Stretch {
        let (room, room_bytes) = (out.room(), out.room_bytes());
        let mut found = Stretch {
            bytes: 0,
            count: 0,
            sound: out.takes_lines(),
        };
        let unseen = input.get(self.seen..).unwrap_or_default();
        for at in memchr_iter(b'\n', unseen) {
            let end = at.saturating_add(self.seen);
            let line = input.get(found.bytes..end).unwrap_or_default();
            found.sound &= line.len() <= self.most && self.is_sound(line);
            found.bytes = end.saturating_add(1);
            found.count = found.count.saturating_add(1);
            if found.count >= room || found.bytes >= room_bytes {
                break;
            }
        }
        // UTF-8 is looked at once for all of them, which is much faster.
        let lines = input.get(..found.bytes).unwrap_or_default();
        found.sound &= std::str::from_utf8(lines).is_ok();
        found
    }

    /// Is it a JSON document? Its UTF-8 is another matter. Blank lines are none.
    fn is_sound(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        let looks = line.first() == Some(&b'{') && line.last() == Some(&b'}');
        (looks && !self.check) || check_json(line).is_ok()
    }

    /// Adds one line, or sets it aside. A blank one is nothing.
    fn add(&mut self, line: &[u8], out: &mut Gathered) {
        let number = self.line.saturating_add(1);
        let kept = line.trim_ascii();
        if kept.is_empty() {
            return;
        }
        let reason = if line.len() > self.most {
            Some(too_large(self.most))
        } else if std::str::from_utf8(kept).is_err() {
            Some(not_in(self.encoding))
        } else if self.is_sound(kept) {
            None
        } else {
            check_json(kept)
                .err()
                .map(|malformed| malformed.to_string())
        };
        match reason {
            Some(reason) => {
                let raw = if line.len() > self.most {
                    start_of(kept)
                } else {
                    kept
                };
                out.reject(raw, format!("line {number}: {reason}"));
            }
            None => out.add(kept, |own| {
                own.extend_from_slice(kept);
                Ok(())
            }),
        }
    }
}

impl Decode for Ndjson {
    fn decode(
        &mut self,
        input: &mut BytesMut,
        last: bool,
        out: &mut Gathered,
    ) -> Result<(), String> {
        while !out.is_full() && (self.passing.is_some() || !input.is_empty()) {
            if self.passing.is_some() {
                if !self.pass(input, last, out) {
                    return Ok(());
                }
                continue;
            }
            let found = self.stretch(input, out);
            if found.count > 0 && found.sound {
                let lines = input.split_to(found.bytes).freeze();
                self.took(found.bytes, u64::from(found.count));
                out.add_lines(lines, found.count);
            } else if found.count > 0 {
                let lines = input.split_to(found.bytes);
                for line in lines.split_inclusive(|b| *b == b'\n') {
                    self.add(line.strip_suffix(b"\n").unwrap_or(line), out);
                    self.took(line.len(), 1);
                }
            } else if last {
                let line = input.split();
                self.add(&line, out);
                self.took(line.len(), 0);
            } else if input.len() > self.most {
                self.passing = Some(start_of(input).to_vec());
                self.took(input.len(), 0);
                input.clear();
            } else {
                self.seen = input.len();
                return Ok(());
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

/// What serde_json says, without its line, which is always the first; the column stays.
pub(super) fn without_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at byte ")
}
