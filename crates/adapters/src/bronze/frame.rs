//! The parts of a segment as bytes: its header, the heads of frames, its footer. Format: see the head of the module above. Nothing is read or written here.

use model::bronze::Position;
use twox_hash::XxHash64;

/// Bytes of a segment's header.
pub(super) const HEADER: usize = 32;
/// Where the first frame begins.
pub(super) const START: u64 = HEADER as u64;
/// Bytes of a frame's head.
pub(super) const HEAD: usize = 56;
/// Bytes after a frame's body: they say that it was written to its end, and count for nothing where the body is whole.
pub(super) const TAIL: usize = 8;
/// Bytes of a footer. No frame is shorter.
pub(super) const FOOT: usize = 72;
/// Most bytes of a frame, compressed or not: whatever a file says, no more memory is taken for one.
pub(super) const MOST: u32 = 1 << 30;

const MAGIC: &[u8; 8] = b"weirbrnz";
const VERSION: u32 = 1;
/// How a frame begins: no UTF-8, so that it is rare in what is kept.
pub(super) const FRAME_MARK: &[u8; 4] = b"\xb7frm";
const FOOT_MARK: &[u8; 4] = b"\xb7end";

/// XXH64. The seed ties a part to its segment.
pub(super) fn sum(seed: u64, bytes: &[u8]) -> u64 {
    XxHash64::oneshot(seed, bytes)
}

/// Takes numbers off the front of bytes.
pub(super) struct Cut<'a>(pub(super) &'a [u8]);

impl<'a> Cut<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Whether the last 8 bytes of a part are the sum of those before.
fn is_whole(seed: u64, part: &[u8]) -> bool {
    part.split_last_chunk()
        .is_some_and(|(before, last)| sum(seed, before) == u64::from_le_bytes(*last))
}

fn with_sum(seed: u64, mut part: Vec<u8>) -> Vec<u8> {
    let sum = sum(seed, &part);
    part.extend_from_slice(&sum.to_le_bytes());
    part
}

/// The header of a segment.
pub(super) fn header(number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&number.to_le_bytes());
    with_sum(0, bytes)
}

/// What is wrong with these bytes as the header of the segment of this number; nothing if all is well.
pub(super) fn check_header(bytes: &[u8], number: u64) -> Result<(), String> {
    let mut cut = Cut(bytes);
    if cut.array() != Some(*MAGIC) {
        return Err("it does not begin as a segment does".into());
    }
    if !is_whole(0, bytes) {
        return Err("its header is damaged".into());
    }
    match (cut.u32(), cut.u32(), cut.u64()) {
        (Some(VERSION), _, Some(found)) if found == number => Ok(()),
        (Some(VERSION), _, Some(found)) => {
            Err(format!("it is segment {found}, and its name says {number}"))
        }
        (version, _, _) => Err(format!(
            "it has the format version {}; this Weir knows {VERSION}",
            version.unwrap_or_default()
        )),
    }
}

/// What is known of a frame without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the body.
    pub(super) stored: u32,
    /// Bytes of the records in it.
    pub(super) plain: u32,
    /// Number of records.
    pub(super) records: u32,
    /// Bytes of their payloads.
    pub(super) bytes: u64,
    /// When the earliest and the latest of them were received.
    pub(super) earliest: u64,
    pub(super) latest: u64,
    /// Sum of the body.
    pub(super) body: u64,
    /// Sum of the head.
    pub(super) sum: u64,
}

impl Head {
    /// The head of a frame of a segment; none: these bytes are none.
    pub(super) fn read(bytes: &[u8], segment: u64) -> Option<Self> {
        let bytes = bytes.get(..HEAD)?;
        let mut cut = Cut(bytes);
        if cut.array() != Some(*FRAME_MARK) || !is_whole(segment, bytes) {
            return None;
        }
        let head = Self {
            stored: cut.u32()?,
            plain: cut.u32()?,
            records: cut.u32()?,
            bytes: cut.u64()?,
            earliest: cut.u64()?,
            latest: cut.u64()?,
            body: cut.u64()?,
            sum: cut.u64()?,
        };
        (head.stored <= MOST && head.plain <= MOST).then_some(head)
    }

    /// Bytes of the frame.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.stored).saturating_add((HEAD + TAIL) as u64)
    }
}

/// Records that become a frame.
#[derive(Debug, Default)]
pub(super) struct Filling {
    pub(super) plain: Vec<u8>,
    pub(super) records: u32,
    /// Bytes of payloads.
    pub(super) bytes: u64,
    pub(super) earliest: u64,
    pub(super) latest: u64,
}

impl Filling {
    /// Adds an encoded record.
    pub(super) fn add(&mut self, record: &[u8], received: u64, payload: u64) {
        self.earliest = if self.records == 0 {
            received
        } else {
            self.earliest.min(received)
        };
        self.latest = self.latest.max(received);
        self.plain.extend_from_slice(record);
        self.bytes = self.bytes.saturating_add(payload);
        self.records = self.records.saturating_add(1);
    }

    /// Writes the frame behind `out`.
    pub(super) fn write(
        &self,
        segment: u64,
        squeeze: &mut zstd::bulk::Compressor<'_>,
        out: &mut Vec<u8>,
    ) -> std::io::Result<Head> {
        let body = squeeze.compress(&self.plain)?;
        let size = |bytes: &[u8]| {
            u32::try_from(bytes.len()).map_err(|_| std::io::Error::other("a frame is too large"))
        };
        let mut head = Head {
            stored: size(&body)?,
            plain: size(&self.plain)?,
            records: self.records,
            bytes: self.bytes,
            earliest: self.earliest,
            latest: self.latest,
            body: sum(segment, &body),
            sum: 0,
        };
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(FRAME_MARK);
        for number in [head.stored, head.plain, head.records] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [head.bytes, head.earliest, head.latest, head.body] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        head.sum = sum(segment, &bytes);
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&head.sum.to_le_bytes());
        out.extend_from_slice(&body);
        out.extend_from_slice(&head.sum.to_le_bytes());
        Ok(head)
    }
}

/// What a segment holds: its footer, once it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) frames: u32,
    pub(super) records: u64,
    /// Bytes of payloads.
    pub(super) bytes: u64,
    pub(super) earliest: u64,
    pub(super) latest: u64,
    /// The last frame and the last record in it.
    pub(super) last: (u32, u32),
    /// Where its frames end.
    pub(super) length: u64,
    /// The sums of all heads, each taken with the one before as its seed.
    pub(super) chain: u64,
}

impl Totals {
    /// Those of a segment without frames.
    pub(super) const NONE: Self = Self {
        frames: 0,
        records: 0,
        bytes: 0,
        earliest: 0,
        latest: 0,
        last: (0, 0),
        length: START,
        chain: 0,
    };

    /// Counts a frame that lies at the end.
    pub(super) fn add(&mut self, head: &Head) {
        self.earliest = if self.records == 0 {
            head.earliest
        } else {
            self.earliest.min(head.earliest)
        };
        self.latest = self.latest.max(head.latest);
        self.frames = self.frames.saturating_add(1);
        self.records = self.records.saturating_add(u64::from(head.records));
        self.bytes = self.bytes.saturating_add(head.bytes);
        let at = u32::try_from(self.length).unwrap_or(u32::MAX);
        self.last = (at, head.records.saturating_sub(1));
        self.length = self.length.saturating_add(head.size());
        self.chain = sum(self.chain, &head.sum.to_le_bytes());
    }

    /// The last record's position.
    pub(super) fn last_position(&self, segment: u64) -> Option<Position> {
        let (frame, record) = self.last;
        (self.records > 0).then(|| Position::new(segment, frame, record))
    }

    /// The footer.
    pub(super) fn footer(&self, segment: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOT);
        bytes.extend_from_slice(FOOT_MARK);
        bytes.extend_from_slice(&self.frames.to_le_bytes());
        for number in [self.records, self.bytes, self.earliest, self.latest] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.last.0.to_le_bytes());
        bytes.extend_from_slice(&self.last.1.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        with_sum(segment, bytes)
    }

    /// Reads a footer; none: these bytes are none of this segment.
    pub(super) fn read(bytes: &[u8], segment: u64) -> Option<Self> {
        let bytes = bytes.get(..FOOT)?;
        let mut cut = Cut(bytes);
        if cut.array() != Some(*FOOT_MARK) || !is_whole(segment, bytes) {
            return None;
        }
        Some(Self {
            frames: cut.u32()?,
            records: cut.u64()?,
            bytes: cut.u64()?,
            earliest: cut.u64()?,
            latest: cut.u64()?,
            last: (cut.u32()?, cut.u32()?),
            length: cut.u64()?,
            chain: cut.u64()?,
        })
    }
}
