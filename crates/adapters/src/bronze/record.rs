//! A record as bytes: written before it waits for the disk, read back out of a frame.

use bytes::Bytes;
use model::bronze::{BronzeError, RawRecord};
use sha2::{Digest, Sha256};

use super::frame::{Cut, sum};

/// Bytes of a record beside its headers and payload.
const AROUND: usize = 4 + 8 + 32 + 2 + 4 + 8;
/// Bytes of a header beside its name and value.
const HEADER: usize = 2 + 4;

/// A record on its way into a frame.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) received: u64,
    /// Bytes of its payload.
    pub(super) payload: u64,
}

/// Bytes of a record's headers and payload.
pub(super) fn size(record: &RawRecord) -> usize {
    let headers = record.headers.iter().map(|(n, v)| n.len() + v.len());
    headers.sum::<usize>().saturating_add(record.bytes.len())
}

/// A record as bytes.
///
/// # Errors
/// [`BronzeError::Invalid`]: too many headers, too long a name.
pub(super) fn encode(record: &RawRecord) -> Result<Encoded, BronzeError> {
    let long = |what: &str| BronzeError::Invalid(format!("a record has {what}"));
    let all = AROUND + size(record) + record.headers.len() * HEADER;
    let rest = u32::try_from(all - 4).map_err(|_| long("more than 4 GiB"))?;
    let count = u16::try_from(record.headers.len()).map_err(|_| long("more than 65535 headers"))?;
    let mut out = Vec::with_capacity(all);
    out.extend_from_slice(&rest.to_le_bytes());
    out.extend_from_slice(&record.received_ms.to_le_bytes());
    out.extend_from_slice(&Sha256::digest(&record.bytes));
    out.extend_from_slice(&count.to_le_bytes());
    for (name, value) in &record.headers {
        let length = u16::try_from(name.len())
            .map_err(|_| long("a header whose name is longer than 65535 bytes"))?;
        let size = u32::try_from(value.len()).map_err(|_| long("a header larger than 4 GiB"))?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value);
    }
    let payload = u32::try_from(record.bytes.len()).map_err(|_| long("more than 4 GiB"))?;
    out.extend_from_slice(&payload.to_le_bytes());
    out.extend_from_slice(&record.bytes);
    let sum = sum(0, &out);
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(Encoded {
        bytes: out,
        received: record.received_ms,
        payload: u64::from(payload),
    })
}

/// A record out of a frame.
pub(super) struct Decoded {
    pub(super) digest: [u8; 32],
    pub(super) record: RawRecord,
    /// Its bytes in the frame.
    pub(super) size: usize,
}

impl Decoded {
    /// Is its payload what was appended?
    pub(super) fn is_genuine(&self) -> bool {
        Sha256::digest(&self.record.bytes).as_slice() == self.digest
    }
}

/// The record at the front of these bytes, which it shares; none: there is no whole one.
pub(super) fn decode(bytes: &Bytes) -> Option<Decoded> {
    let rest = Cut(bytes).u32()?;
    let size = usize::try_from(rest).ok()?.checked_add(4)?;
    let (before, stored) = bytes.get(..size)?.split_last_chunk()?;
    if sum(0, before) != u64::from_le_bytes(*stored) {
        return None;
    }
    let mut cut = Cut(before);
    cut.u32()?;
    let received_ms = cut.u64()?;
    let digest = cut.array()?;
    let count = cut.u16()?;
    let mut headers = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = cut.u16()?;
        let value = usize::try_from(cut.u32()?).ok()?;
        let name = std::str::from_utf8(cut.bytes(usize::from(name))?).ok()?;
        headers.push((name.to_owned(), bytes.slice_ref(cut.bytes(value)?)));
    }
    let payload = usize::try_from(cut.u32()?).ok()?;
    let payload = bytes.slice_ref(cut.bytes(payload)?);
    cut.0.is_empty().then_some(Decoded {
        digest,
        record: RawRecord {
            headers,
            received_ms,
            bytes: payload,
        },
        size,
    })
}

/// All whole records at the front of these bytes.
pub(super) fn decode_all(mut bytes: Bytes) -> Vec<Decoded> {
    let mut all = Vec::new();
    while let Some(record) = decode(&bytes) {
        if record.size > bytes.len() {
            break;
        }
        bytes = bytes.slice(record.size..);
        all.push(record);
    }
    all
}
