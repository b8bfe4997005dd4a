//! The characters of a text: what encoding its first bytes and its reader name, and everything else turned into UTF-8. A sequence that means nothing becomes a
//! byte that no UTF-8 has, so that the record around it is found unreadable, and no other.

use bytes::{Bytes, BytesMut};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

/// Stands for a sequence that means nothing in the text's encoding.
const MEANINGLESS: u8 = 0xff;
/// The longest mark at the beginning of a text.
const MARK: usize = 3;

/// The encoding of this name, as the WHATWG lists them.
///
/// # Errors
/// A sentence with names that are known.
pub(crate) fn encoding_of(label: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label(label.as_bytes())
        .filter(|e| e.name() != "replacement")
        .ok_or_else(|| {
            format!(
                "`{label}` is no encoding that is known; some that are: utf-8, utf-16le, utf-16be, windows-1252 (also as latin1), iso-8859-2, iso-8859-15, shift_jis, \
                 gb18030, euc-kr, macintosh (all names of the WHATWG encoding standard)"
            )
        })
}

/// A text as its bytes come in.
pub(super) struct Text {
    state: State,
    named: &'static Encoding,
    /// Bytes of the mark it began with.
    mark: usize,
}

enum State {
    /// Too few bytes to tell whether it begins with a mark.
    Start(Vec<u8>),
    /// UTF-8: passed on as it is.
    Plain,
    /// Anything else.
    Other(Decoder),
}

impl Text {
    pub(super) fn new(named: &'static Encoding) -> Self {
        Self {
            state: State::Start(Vec::new()),
            named,
            mark: 0,
        }
    }

    /// UTF-8 text from somewhere in its middle.
    pub(super) fn after_start() -> Self {
        Self {
            state: State::Plain,
            named: UTF_8,
            mark: 0,
        }
    }

    /// Is it known to be UTF-8?
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.state, State::Plain)
    }

    /// Are there enough bytes to know its encoding?
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.state, State::Start(_))
    }

    pub(super) fn mark_bytes(&self) -> u64 {
        u64::try_from(self.mark).unwrap_or(0)
    }

    /// Appends what the piece means to `out`.
    pub(super) fn push(
        &mut self,
        piece: Bytes,
        last: bool,
        out: &mut BytesMut,
    ) -> Result<(), String> {
        let piece = match &mut self.state {
            State::Start(held) => {
                held.extend_from_slice(&piece);
                if held.len() < MARK && !last {
                    return Ok(());
                }
                let start = Bytes::from(std::mem::take(held));
                self.begin(&start);
                start.slice(self.mark.min(start.len())..)
            }
            State::Plain | State::Other(_) => piece,
        };
        match &mut self.state {
            State::Other(decoder) => decode(decoder, &piece, last, out)?,
            _ if out.is_empty() => *out = piece.into(),
            _ => out.extend_from_slice(&piece),
        }
        Ok(())
    }

    /// Settles the encoding by the first bytes.
    fn begin(&mut self, start: &[u8]) {
        let (encoding, mark) = Encoding::for_bom(start).unwrap_or((self.named, 0));
        self.mark = mark;
        self.state = if encoding == UTF_8 {
            State::Plain
        } else {
            State::Other(encoding.new_decoder_without_bom_handling())
        };
    }
}

fn decode(
    decoder: &mut Decoder,
    mut piece: &[u8],
    last: bool,
    out: &mut BytesMut,
) -> Result<(), String> {
    loop {
        let room = decoder
            .max_utf8_buffer_length_without_replacement(piece.len())
            .ok_or("a piece of the text is too large to decode")?;
        let before = out.len();
        out.resize(before.saturating_add(room), 0);
        let free = out.get_mut(before..).unwrap_or_default();
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(piece, free, last);
        out.truncate(before.saturating_add(written));
        piece = piece.get(read..).unwrap_or_default();
        match result {
            DecoderResult::InputEmpty => return Ok(()),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => out.extend_from_slice(&[MEANINGLESS]),
        }
    }
}
