//! NDJSON batches as bytes: cut, picked from, joined. Lines are counted and copied, and parsed only where [`sound`] is asked for JSON.

use bytes::{Bytes, BytesMut};
use model::data::{Batch, Encoding};
use serde::de::IgnoredAny;

/// The lines of a batch, without their ends.
pub(crate) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
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

/// A record that may not go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsound {
    /// Its place in the batch it came in.
    pub(super) place: u32,
    pub(super) record: Bytes,
    /// What is wrong with it.
    pub(super) reason: String,
}

/// A batch without the records of more than so many bytes and, where they are to be JSON, without those that are none; and these.
pub(super) fn sound(batch: Batch, most: u64, json: bool) -> (Batch, Vec<Unsound>) {
    let some_large = batch.data.len() as u64 > most;
    if batch.encoding != Encoding::Ndjson || !(some_large || json) {
        return (batch, Vec::new());
    }
    // UTF-8 is looked at once for all of them, which is much faster.
    let is_text = !json || std::str::from_utf8(&batch.data).is_ok();
    let mut unsound = Vec::new();
    let mut at = 0;
    for (place, line) in (0_u32..).zip(batch.data.split_inclusive(|b| *b == b'\n')) {
        let next = at + line.len();
        let reason = match line.len() as u64 {
            bytes if bytes > most.saturating_add(1) => Some(format!(
                "the record it made has {bytes} bytes; limits.record_bytes allows {most}"
            )),
            _ if json => no_json(line, is_text),
            _ => None,
        };
        unsound.extend(reason.map(|reason| Unsound {
            place,
            record: batch.data.slice(at..next),
            reason,
        }));
        at = next;
    }
    if unsound.is_empty() {
        return (batch, unsound);
    }
    let places: Vec<u32> = unsound.iter().map(|u| u.place).collect();
    let (_, sound) = split(&batch, &places);
    (sound, unsound)
}

/// Why a line is no JSON; none where it is.
fn no_json(line: &[u8], is_text: bool) -> Option<String> {
    let wrong = match serde_json::from_slice::<IgnoredAny>(line) {
        Err(error) => error.to_string().replace(" at line 1 column ", " at byte "),
        Ok(_) if is_text => return None,
        Ok(_) => std::str::from_utf8(line).err()?.to_string(),
    };
    Some(format!("the record it made is no JSON: {wrong}"))
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
    fn records_are_picked() {
        let data = b"a\nbb\nccc\n";
        assert_eq!(pick(data, [0, 2]), [(0, &b"a"[..]), (2, &b"ccc"[..])]);
        assert_eq!(pick(data, [2, 7]).len(), 1);
    }

    #[test]
    fn records_too_large_or_no_json_are_taken_out_with_their_places() {
        let check = |data: &'static [u8], most, json, kept: &[u8], out: &[(u32, &str)]| {
            let count = u32::try_from(lines(data).count()).unwrap();
            let batch = Batch {
                count,
                data: Bytes::from_static(data),
                ..empty()
            };
            let (sound, unsound) = sound(batch, most, json);
            assert_eq!(sound.data[..], *kept);
            assert_eq!(sound.count as usize, lines(kept).count());
            assert_eq!(unsound.len(), out.len(), "{unsound:?}");
            for (unsound, (place, reason)) in unsound.iter().zip(out) {
                let record = lines(data).nth(*place as usize).unwrap();
                assert_eq!(
                    (unsound.place, unsound.record.trim_ascii_end()),
                    (*place, record)
                );
                assert!(unsound.reason.contains(reason), "{unsound:?}");
            }
        };
        check(b"a\nbb\n", 2, false, b"a\nbb\n", &[]);
        let large = "has 4 bytes; limits.record_bytes allows 2";
        check(b"a\nbb\nccc\nd\n", 2, false, b"a\nbb\nd\n", &[(2, large)]);
        check(b"1\n2\n", 9, true, b"1\n2\n", &[]);
        let none = "is no JSON: ";
        let out = [(1, none), (3, none), (4, none)];
        check(
            b"1\n{\n{\"a\":[]}\n\n2 3\n",
            99,
            true,
            b"1\n{\"a\":[]}\n",
            &out,
        );
        check(b"\"\xff\"\n\"x\"\n", 99, true, b"\"x\"\n", &[(0, none)]);
        // A place is that in the batch as it came, whatever else is wrong with it.
        let both = [(0, large), (2, none)];
        check(b"123\n1\n{\n2\n", 2, true, b"1\n2\n", &both);
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
