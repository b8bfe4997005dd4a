//! Walking through a segment frame by frame, past what is damaged. Nothing is changed here, and no record is decoded but where a frame is broken.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use memchr::memchr;

use super::frame::{FOOT, FRAME_MARK, HEAD, HEADER, Head, TAIL, Totals, check_header};
use super::record::{Decoded, decode_all};

/// Bytes read at once, where a frame is not longer.
const READ: usize = 256 * 1024;

/// What stands at a place of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame whose head is whole.
    Frame(Head),
    /// The footer.
    Foot(Totals),
    /// Nothing: here it ends.
    End,
    /// Neither: what can be read goes on at this place.
    Damage(u64),
}

/// A segment's bytes up to an end, of which a part is in memory.
pub(super) struct Walk {
    file: File,
    number: u64,
    end: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl Walk {
    /// The segment in a file, up to an end: what lies after it does not count.
    pub(super) fn new(file: File, number: u64, end: u64) -> Self {
        Self {
            file,
            number,
            end,
            start: 0,
            buffer: Vec::new(),
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// So many bytes at a place, fewer where it ends.
    fn at(&mut self, place: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.end.saturating_sub(place)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let inside = |walk: &Self| {
            let from = usize::try_from(place.checked_sub(walk.start)?).ok()?;
            let to = from.checked_add(count)?;
            (to <= walk.buffer.len()).then_some(from..to)
        };
        let range = match inside(self) {
            Some(range) => range,
            None => {
                self.fill(place, count.max(READ.min(left)))?;
                0..count.min(self.buffer.len())
            }
        };
        Ok(self.buffer.get(range).unwrap_or_default())
    }

    fn fill(&mut self, place: u64, count: usize) -> io::Result<()> {
        self.start = place;
        self.buffer.resize(count, 0);
        let mut read = 0;
        while let Some(rest) = self.buffer.get_mut(read..).filter(|r| !r.is_empty()) {
            match self.file.read_at(rest, place.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.buffer.clear();
                    return Err(e);
                }
            }
        }
        self.buffer.truncate(read);
        Ok(())
    }

    /// What is wrong with its header.
    pub(super) fn header(&mut self) -> io::Result<Result<(), String>> {
        let number = self.number;
        let bytes = self.at(0, HEADER)?;
        Ok(check_header(bytes, number))
    }

    /// What stands at a place.
    pub(super) fn step(&mut self, place: u64) -> io::Result<Step> {
        if place >= self.end {
            return Ok(Step::End);
        }
        let number = self.number;
        let bytes = self.at(place, HEAD)?;
        if let Some(head) = Head::read(bytes, number) {
            return Ok(Step::Frame(head));
        }
        let foot = Totals::read(self.at(place, FOOT)?, number);
        if let Some(totals) = foot.filter(|t| t.length == place) {
            return Ok(Step::Foot(totals));
        }
        self.next_frame(place.saturating_add(1)).map(Step::Damage)
    }

    /// Where the next whole head or footer is, or the end.
    fn next_frame(&mut self, mut place: u64) -> io::Result<u64> {
        let number = self.number;
        while place < self.end {
            let bytes = self.at(place, READ)?;
            let found = memchr(FRAME_MARK[0], bytes);
            let length = bytes.len() as u64;
            let Some(found) = found else {
                if length == 0 {
                    break;
                }
                place = place.saturating_add(length);
                continue;
            };
            place = place.saturating_add(found as u64);
            if Head::read(self.at(place, HEAD)?, number).is_some() {
                return Ok(place);
            }
            let foot = Totals::read(self.at(place, FOOT)?, number);
            if foot.is_some_and(|t| t.length == place) {
                return Ok(place);
            }
            place = place.saturating_add(1);
        }
        Ok(self.end)
    }

    /// A frame's body; none: it is damaged, or not all there.
    pub(super) fn body(&mut self, place: u64, head: &Head) -> io::Result<Option<&[u8]>> {
        let number = self.number;
        let body = self.stored(place, head)?;
        let good =
            body.len() == head.stored as usize && super::frame::sum(number, body) == head.body;
        Ok(good.then_some(body))
    }

    /// Is a frame's body as it was written?
    pub(super) fn is_whole(&mut self, place: u64, head: &Head) -> io::Result<bool> {
        self.body(place, head).map(|body| body.is_some())
    }

    /// As much of a frame's body as there is.
    fn stored(&mut self, place: u64, head: &Head) -> io::Result<&[u8]> {
        self.at(place.saturating_add(HEAD as u64), head.stored as usize)
    }

    /// The records of a frame whose body is damaged or not all there: those at its front that are whole and have the digest they had.
    pub(super) fn salvage(&mut self, place: u64, head: &Head) -> io::Result<Vec<Decoded>> {
        let most = u64::from(head.plain);
        let plain = partly(self.stored(place, head)?, most);
        let mut all = decode_all(plain.into());
        let good = all.iter().take_while(|r| r.is_genuine()).count();
        all.truncate(good.min(head.records as usize));
        Ok(all)
    }

    /// Was this frame written to its end?
    pub(super) fn is_finished(&mut self, place: u64, head: &Head) -> io::Result<bool> {
        let after = place
            .saturating_add(HEAD as u64)
            .saturating_add(u64::from(head.stored));
        Ok(self.at(after, TAIL)? == head.sum.to_le_bytes())
    }

    /// Is there nothing but zeros from a place on?
    pub(super) fn is_blank(&mut self, mut place: u64) -> io::Result<bool> {
        while place < self.end {
            let bytes = self.at(place, READ)?;
            if bytes.iter().any(|b| *b != 0) {
                return Ok(false);
            }
            if bytes.is_empty() {
                break;
            }
            place = place.saturating_add(bytes.len() as u64);
        }
        Ok(true)
    }
}

/// What decompresses of a body that is not whole.
fn partly(body: &[u8], most: u64) -> Vec<u8> {
    let mut plain = Vec::new();
    if let Ok(decoder) = zstd::stream::read::Decoder::with_buffer(body) {
        let mut decoder = decoder.take(most);
        let mut piece = [0; 8192];
        // It ends where the first block that is not whole begins; an error says no more than that.
        while let Ok(count @ 1..) = decoder.read(&mut piece) {
            plain.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
    }
    plain
}

/// Decompresses whole bodies.
pub(super) struct Expand(zstd::bulk::Decompressor<'static>);

impl Expand {
    pub(super) fn new() -> io::Result<Self> {
        zstd::bulk::Decompressor::new().map(Self)
    }

    /// The records of a frame as bytes; none: it does not decompress to what its head says.
    pub(super) fn plain(&mut self, body: &[u8], head: &Head) -> Option<Bytes> {
        let size = head.plain as usize;
        let plain = self.0.decompress(body, size).ok()?;
        (plain.len() == size).then(|| plain.into())
    }
}
