//! NDJSON batches as bytes: cut, picked from, joined. Lines are counted and copied, never parsed.

use bytes::{Bytes, BytesMut};
use model::data::{Batch, Encoding};
use serde::de::IgnoredAny;

/// The lines of a batch, without their ends.
pub(super) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split_inclusive(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Takes at most so many records and about so many bytes from the front of a batch, at least one record; the rest stays. Bytes are shared, not copied.
pub(super) fn take(batch: &mut Batch, records: u32, bytes: usize) -> Batch {
    if batch.count <= records.max(1) && batch.data.len() <= bytes {
        return std::mem::replace(batch, empty());
    }
    let mut end = 0;
    let mut count = 0;
    for line in batch.data.split_inclusive(|b| *b == b'\n') {
        if count > 0 && (count >= records || end + line.len() > bytes) {
            break;
        }
        end += line.len();
        count += 1;
    }
    let data = batch.data.split_to(end.min(batch.data.len()));
    let encoding = batch.encoding;
    batch.count = batch.count.saturating_sub(count);
    Batch {
        encoding,
        count,
        data,
    }
}

/// A batch without the lines that are no JSON, and those lines with their places and what is wrong with each.
pub(super) fn without_broken(batch: Batch) -> (Batch, Vec<(u32, Bytes, String)>) {
    if batch.encoding != Encoding::Ndjson {
        return (batch, Vec::new());
    }
    // UTF-8 is looked at once for all of them, which is much faster.
    let text = std::str::from_utf8(&batch.data).is_ok();
    let mut broken = Vec::new();
    let mut at = 0;
    for (place, line) in (0_u32..).zip(batch.data.split_inclusive(|b| *b == b'\n')) {
        let next = at + line.len();
        let wrong = match serde_json::from_slice::<IgnoredAny>(line) {
            Err(error) => Some(error.to_string().replace(" at line 1 column ", " at byte ")),
            Ok(_) if !text => std::str::from_utf8(line).err().map(|e| e.to_string()),
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            broken.push((place, batch.data.slice(at..next), wrong));
        }
        at = next;
    }
    if broken.is_empty() {
        return (batch, broken);
    }
    let places: Vec<u32> = broken.iter().map(|(place, ..)| *place).collect();
    let (_, sound) = split(&batch, &places);
    (sound, broken)
}

/// The records at these places, which are in order, and the others.
pub(super) fn split(batch: &Batch, places: &[u32]) -> (Batch, Batch) {
    let (mut picked, mut others) = (BytesMut::new(), BytesMut::new());
    let (mut there, mut rest) = (0, 0);
    for (place, line) in (0_u32..).zip(batch.data.split_inclusive(|b| *b == b'\n')) {
        if places.binary_search(&place).is_ok() {
            picked.extend_from_slice(line);
            there += 1;
        } else {
            others.extend_from_slice(line);
            rest += 1;
        }
    }
    let part = |count, data: BytesMut| Batch {
        encoding: batch.encoding,
        count,
        data: data.freeze(),
    };
    (part(there, picked), part(rest, others))
}

/// Two batches as one. Only lines are ever cut, so that either is empty where they are none.
pub(super) fn joined(first: Batch, second: &Batch) -> Batch {
    if second.count == 0 {
        return first;
    }
    let data = [&first.data[..], &second.data[..]].concat();
    Batch {
        encoding: Encoding::Ndjson,
        count: first.count + second.count,
        data: data.into(),
    }
}

/// No records.
pub(super) fn empty() -> Batch {
    Batch {
        encoding: Encoding::Ndjson,
        count: 0,
        data: Bytes::new(),
    }
}

/// The records at these places, which are in order.
pub(super) fn pick(data: &[u8], places: impl IntoIterator<Item = u32>) -> Vec<(u32, &[u8])> {
    let mut all = (0_u32..).zip(lines(data));
    let mut picked = Vec::new();
    for place in places {
        match all.find(|(at, _)| *at == place) {
            Some(found) => picked.push(found),
            None => break,
        }
    }
    picked
}

/// A batch without the records that are larger than this, and those records with their places.
pub(super) fn without_large(batch: Batch, most: u64) -> (Batch, Vec<(u32, Bytes)>) {
    if batch.data.len() as u64 <= most || batch.encoding != Encoding::Ndjson {
        return (batch, Vec::new());
    }
    let mut large = Vec::new();
    let mut kept = BytesMut::new();
    let mut count = 0;
    let mut at = 0;
    for (place, line) in (0_u32..).zip(batch.data.split_inclusive(|b| *b == b'\n')) {
        let next = at + line.len();
        if line.len() as u64 > most.saturating_add(1) {
            large.push((place, batch.data.slice(at..next)));
        } else {
            kept.extend_from_slice(line);
            count += 1;
        }
        at = next;
    }
    if large.is_empty() {
        return (batch, large);
    }
    let batch = Batch {
        encoding: batch.encoding,
        count,
        data: kept.freeze(),
    };
    (batch, large)
}

/// Small batches gathered until they are worth a step of their own.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    batches: Vec<Batch>,
    count: u32,
    bytes: usize,
}

impl Gathered {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds a batch. Answers those that are complete by now, in order.
    pub(super) fn add(&mut self, batch: Batch, records: u32, bytes: usize) -> Vec<Batch> {
        let large = batch.count >= records / 2 || batch.data.len() >= bytes / 2;
        let full = self.count.saturating_add(batch.count) > records
            || self.bytes + batch.data.len() > bytes;
        let mut done = Vec::new();
        // Arrow batches are whole files: they cannot be joined without being read.
        let apart = large || batch.encoding != Encoding::Ndjson;
        if apart || full {
            done.extend(self.all());
        }
        if apart {
            done.push(batch);
        } else if batch.count > 0 {
            self.count += batch.count;
            self.bytes += batch.data.len();
            self.batches.push(batch);
        }
        done
    }

    /// What was gathered, as one batch.
    pub(super) fn all(&mut self) -> Option<Batch> {
        let batches = std::mem::take(&mut self.batches);
        let (count, bytes) = (self.count, self.bytes);
        (self.count, self.bytes) = (0, 0);
        match batches.as_slice() {
            [] => None,
            [_] => batches.into_iter().next(),
            many => {
                let mut data = BytesMut::with_capacity(bytes);
                many.iter().for_each(|b| data.extend_from_slice(&b.data));
                Some(Batch {
                    encoding: Encoding::Ndjson,
                    count,
                    data: data.freeze(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &'static str) -> Batch {
        Batch {
            encoding: Encoding::Ndjson,
            count: u32::try_from(lines(text.as_bytes()).count()).unwrap(),
            data: Bytes::from_static(text.as_bytes()),
        }
    }

    #[test]
    fn a_batch_is_cut_at_records_and_bytes() {
        let check = |records, bytes, sizes: &[(u32, usize)]| {
            let mut rest = batch("1\n22\n333\n4444\n");
            let mut cut = Vec::new();
            while rest.count > 0 {
                let piece = take(&mut rest, records, bytes);
                cut.push((piece.count, piece.data.len()));
            }
            assert_eq!(cut, sizes, "{records} records, {bytes} bytes");
        };
        check(10, 100, &[(4, 14)]);
        check(3, 100, &[(3, 9), (1, 5)]);
        check(10, 5, &[(2, 5), (1, 4), (1, 5)]);
        check(0, 0, &[(1, 2), (1, 3), (1, 4), (1, 5)]);
    }

    #[test]
    fn records_are_picked_and_large_ones_taken_out() {
        let data = b"a\nbb\nccc\n";
        assert_eq!(pick(data, [0, 2]), [(0, &b"a"[..]), (2, &b"ccc"[..])]);
        assert_eq!(pick(data, [2, 7]).len(), 1);
        let (kept, large) = without_large(batch("a\nbb\nccc\nd\n"), 2);
        assert_eq!((kept.count, &kept.data[..]), (3, &b"a\nbb\nd\n"[..]));
        assert_eq!(large, [(2, Bytes::from_static(b"ccc\n"))]);
        let (kept, large) = without_large(batch("a\nbb\n"), 2);
        assert_eq!((kept.count, large.len()), (2, 0));
    }

    #[test]
    fn lines_that_are_no_json_are_taken_out() {
        let (sound, broken) = without_broken(batch("1\n{\n{\"a\":[]}\n\n2 3\n"));
        assert_eq!((sound.count, &sound.data[..]), (2, &b"1\n{\"a\":[]}\n"[..]));
        let places: Vec<_> = broken.iter().map(|(place, ..)| *place).collect();
        assert_eq!(places, [1, 3, 4]);
        let (whole, none) = without_broken(batch("1\n2\n"));
        assert_eq!((whole.count, none.len()), (2, 0));
        let bad = Batch {
            data: Bytes::from_static(b"\"\xff\"\n\"x\"\n"),
            ..batch("1\n2\n")
        };
        assert_eq!(without_broken(bad).0.data[..], b"\"x\"\n"[..]);
    }

    #[test]
    fn a_batch_is_split_by_places_and_put_together_again() {
        let (picked, others) = split(&batch("a\nbb\nccc\n"), &[0, 2, 9]);
        assert_eq!((picked.count, &picked.data[..]), (2, &b"a\nccc\n"[..]));
        assert_eq!((others.count, &others.data[..]), (1, &b"bb\n"[..]));
        let both = joined(others, &picked);
        assert_eq!((both.count, &both.data[..]), (3, &b"bb\na\nccc\n"[..]));
        assert_eq!(joined(both.clone(), &empty()), both);
    }

    #[test]
    fn small_batches_are_joined_and_large_ones_passed_on_in_order() {
        let mut gathered = Gathered::default();
        assert!(gathered.add(batch("1\n"), 6, 100).is_empty());
        assert!(gathered.add(batch("2\n"), 6, 100).is_empty());
        let done = gathered.add(batch("3\n4\n5\n"), 6, 100);
        let texts: Vec<_> = done.iter().map(|b| (b.count, &b.data[..])).collect();
        assert_eq!(texts, [(2, &b"1\n2\n"[..]), (3, &b"3\n4\n5\n"[..])]);
        assert!(gathered.is_empty() && gathered.all().is_none());
    }
}
