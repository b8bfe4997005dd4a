//! Bodies of answers: decoded, bounded, piece by piece or as a whole. What stands in them is not looked at.

use std::io;

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use model::ports::{EgressError, HttpBody};
use zstd::stream::raw::{DParameter, Decoder, Operation};

/// What answers may be encoded with.
pub(super) const ACCEPTED: &str = "gzip, zstd";
/// RFC 9659: larger windows need not be decoded.
const ZSTD_WINDOW_LOG: u32 = 23;
/// The largest window of gzip, as a power of two.
const WINDOW_BITS: u8 = 15;
/// Most bytes that are decoded at once: a bomb gives no more than this for a piece.
const DECODED: usize = 64 * 1024;
/// Bytes of an answer shown in a message.
const SHOWN: usize = 256;
/// Bytes of an answer kept for a message.
pub(in crate::stages) const LOOKED_AT: usize = 4096;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stages) enum Coding {
    Gzip,
    Zstd,
}

/// How the body of an answer with these headers is encoded.
pub(in crate::stages) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, String> {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let lines: Vec<_> = lines.map(|l| l.to_str().unwrap_or("?")).collect();
    let names = lines.join(",").to_ascii_lowercase();
    let names: Vec<&str> = names
        .split(',')
        .map(str::trim)
        .filter(|n| !matches!(*n, "" | "identity"))
        .collect();
    match names.as_slice() {
        [] => Ok(None),
        ["gzip" | "x-gzip"] => Ok(Some(Coding::Gzip)),
        ["zstd"] => Ok(Some(Coding::Zstd)),
        others => {
            let others: String = others.join(", ").chars().take(64).collect();
            Err(format!(
                "the answer is encoded with {others:?}; asked for was one of {ACCEPTED}"
            ))
        }
    }
}

/// Why a body is not there as a whole.
#[derive(Debug, Clone)]
pub(in crate::stages) enum Unread {
    /// The connection.
    Egress(EgressError),
    /// It is too large, or its encoding is broken.
    Bad(String),
}

/// A body as it comes in.
pub(in crate::stages) struct Pieces {
    body: HttpBody,
    unpack: Option<Unpack>,
    raw: Bytes,
    ended: bool,
    read: u64,
}

impl Pieces {
    pub(in crate::stages) fn new(body: HttpBody, coding: Option<Coding>) -> Result<Self, Unread> {
        let unpack = coding.map(Unpack::new).transpose();
        Ok(Self {
            body,
            unpack: unpack.map_err(|e| Unread::Bad(format!("its encoding cannot be read: {e}")))?,
            raw: Bytes::new(),
            ended: false,
            read: 0,
        })
    }

    /// Bytes that came from the network so far.
    pub(in crate::stages) fn read(&self) -> u64 {
        self.read
    }

    /// The next piece, decoded and never empty; none at the end.
    pub(in crate::stages) async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        loop {
            let more = self.unpack.as_ref().is_some_and(|u| u.has_more);
            if self.raw.is_empty() && !self.ended && !more {
                self.receive().await?;
            }
            let Some(unpack) = &mut self.unpack else {
                let piece = std::mem::take(&mut self.raw);
                match (piece.is_empty(), self.ended) {
                    (true, true) => return Ok(None),
                    (true, false) => continue,
                    (false, _) => return Ok(Some(piece)),
                }
            };
            let broken = |e: io::Error| Unread::Bad(format!("its encoding is broken: {e}"));
            let piece = unpack.step(&mut self.raw).map_err(broken)?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if self.raw.is_empty() && self.ended {
                return match unpack.is_whole {
                    true => Ok(None),
                    false => Err(Unread::Bad(
                        "its encoding is broken: it ends too early".into(),
                    )),
                };
            }
        }
    }

    async fn receive(&mut self) -> Result<(), Unread> {
        match self.body.frame().await {
            None => self.ended = true,
            Some(frame) => {
                let frame = frame.map_err(Unread::Egress)?;
                self.raw = frame.into_data().unwrap_or_default();
                let came = u64::try_from(self.raw.len()).unwrap_or(0);
                self.read = self.read.saturating_add(came);
            }
        }
        Ok(())
    }

    /// All that is left; at most `most` bytes.
    pub(in crate::stages) async fn whole(&mut self, most: u64) -> Result<Bytes, Unread> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            let size = all.len().saturating_add(piece.len());
            if u64::try_from(size).is_ok_and(|n| n > most) {
                return Err(Unread::Bad(format!(
                    "it is larger than `max_response_bytes: {most}`"
                )));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

/// Decodes pieces, a bounded part at a time.
struct Unpack {
    coder: Coder,
    out: Vec<u8>,
    /// Did it end where a frame or member ends?
    is_whole: bool,
    /// May there be more without more input?
    has_more: bool,
    /// Bytes in and out of the member so far.
    before: (u64, u64),
}

enum Coder {
    Gzip(Decompress),
    Zstd(Decoder<'static>),
}

impl Unpack {
    fn new(coding: Coding) -> io::Result<Self> {
        let coder = match coding {
            Coding::Gzip => Coder::Gzip(Decompress::new_gzip(WINDOW_BITS)),
            Coding::Zstd => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                Coder::Zstd(decoder)
            }
        };
        Ok(Self {
            coder,
            out: vec![0; DECODED],
            is_whole: true,
            has_more: false,
            before: (0, 0),
        })
    }

    /// Takes something off the front and gives what it means, which may be nothing yet.
    fn step(&mut self, raw: &mut Bytes) -> io::Result<Bytes> {
        if self.is_whole && raw.is_empty() {
            self.has_more = false;
            return Ok(Bytes::new());
        }
        let (took, gave) = match &mut self.coder {
            Coder::Gzip(coder) => {
                let status = coder.decompress(raw, &mut self.out, FlushDecompress::None)?;
                let counts = (coder.total_in(), coder.total_out());
                self.is_whole = status == Status::StreamEnd;
                let size =
                    |now: u64, before| usize::try_from(now.saturating_sub(before)).unwrap_or(0);
                let step = (size(counts.0, self.before.0), size(counts.1, self.before.1));
                self.before = counts;
                if self.is_whole {
                    // Another member may follow.
                    *coder = Decompress::new_gzip(WINDOW_BITS);
                    self.before = (0, 0);
                }
                step
            }
            Coder::Zstd(coder) => {
                let status = coder.run_on_buffers(raw, &mut self.out)?;
                self.is_whole = status.remaining == 0;
                (status.bytes_read, status.bytes_written)
            }
        };
        self.has_more = gave == self.out.len();
        if took == 0 && gave == 0 && !raw.is_empty() {
            return Err(io::Error::other("it does not go on"));
        }
        raw.advance(took.min(raw.len()));
        let decoded = self.out.get(..gave).unwrap_or_default();
        Ok(Bytes::copy_from_slice(decoded))
    }
}

/// How a body begins, for a message. What is encoded is not shown.
pub(super) async fn start(mut body: HttpBody, headers: &HeaderMap) -> Vec<u8> {
    let mut first = Vec::new();
    if coding(headers) != Ok(None) {
        return first;
    }
    while first.len() < LOOKED_AT {
        let Some(Ok(frame)) = body.frame().await else {
            break;
        };
        if let Ok(data) = frame.into_data() {
            first.extend(data.into_iter().take(LOOKED_AT));
        }
    }
    first
}

/// A text of the server's as it may be shown: in one line, not too long, and without secrets, which are taken out before it is cut.
pub(super) fn shown(bytes: &[u8], redact: impl FnOnce(&str) -> String) -> String {
    let first = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let text = redact(&String::from_utf8_lossy(first));
    let parts = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = parts.filter(|w| !w.is_empty()).collect();
    let mut line = words.join(" ");
    line.truncate(line.floor_char_boundary(SHOWN));
    line
}

/// Reads what is left of a small body, so that its connection can be used again; gives up on a larger one.
pub(super) async fn drain(mut body: HttpBody) {
    let mut left: usize = 64 * 1024;
    while let Some(Ok(frame)) = body.frame().await {
        let size = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
