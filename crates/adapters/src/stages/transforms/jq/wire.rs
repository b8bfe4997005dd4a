//! How the host and the process of a `jq` talk. To it: its filter, then records, each a length (u32, little-endian) and bytes; a length of [`ANSWER_NOW`] asks for all answers. From it:
//! an answer to the filter, then one to each record, each a letter, a length and bytes.

use std::io::{self, Read, Write};

/// In place of a length: no record, but a wish for the answers so far.
pub(super) const ANSWER_NOW: u32 = u32::MAX;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// This instead; no line break in it.
    Record(Vec<u8>),
    /// Nothing.
    LeftOut,
    /// The record is rejected; a filter does not compile.
    Rejected(String),
}

impl Answer {
    pub(super) fn letter(&self) -> u8 {
        match self {
            Self::Record(_) => b'r',
            Self::LeftOut => b'n',
            Self::Rejected(_) => b'e',
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Record(record) => record,
            Self::LeftOut => &[],
            Self::Rejected(reason) => reason.as_bytes(),
        }
    }

    /// The answer of this letter; none: there is no such.
    pub(super) fn of(letter: u8, bytes: Vec<u8>) -> Option<Self> {
        match letter {
            b'r' => Some(Self::Record(bytes)),
            b'n' => Some(Self::LeftOut),
            b'e' => Some(Self::Rejected(String::from_utf8_lossy(&bytes).into_owned())),
            _ => None,
        }
    }
}

/// What the process reads.
#[derive(Debug)]
pub(super) enum Asked {
    Record(Vec<u8>),
    AnswerNow,
}

/// Reads what is asked next; none at the end. `longest`: of more bytes nothing is read.
pub(super) fn read(from: &mut impl Read, longest: u64) -> io::Result<Option<Asked>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length);
    if length == ANSWER_NOW {
        return Ok(Some(Asked::AnswerNow));
    }
    if u64::from(length) > longest {
        return Err(io::Error::other("a record that is too long"));
    }
    let mut record = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut record)?;
    Ok(Some(Asked::Record(record)))
}

/// Writes an answer.
pub(super) fn write(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let bytes = answer.bytes();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&[answer.letter()])?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)
}
