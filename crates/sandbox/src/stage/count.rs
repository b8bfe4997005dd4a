//! How many records a batch of a plugin really holds. It reads ends of lines, and heads of Arrow messages; what the records say is read by whoever needs it.

use arrow_ipc::{MessageHeader, root_as_message};
use model::data::{Batch, Encoding};

/// Before the length of a message since Arrow 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Does a batch hold as many records as it says?
pub(super) fn check(batch: &Batch) -> Result<(), String> {
    let (held, things) = match batch.encoding {
        Encoding::Ndjson => (lines(&batch.data)?, "lines"),
        Encoding::ArrowIpc => (rows(&batch.data)?, "rows"),
    };
    if held == u64::from(batch.count) {
        return Ok(());
    }
    Err(format!(
        "it returned a batch of {} records that holds {held} {things}",
        batch.count
    ))
}

fn lines(data: &[u8]) -> Result<u64, String> {
    if data.last().is_some_and(|last| *last != b'\n') {
        return Err("it returned a batch whose last line does not end".into());
    }
    Ok(memchr::memchr_iter(b'\n', data).count() as u64)
}

/// The rows of an Arrow IPC stream: a schema, then batches, each message with its length before it and its body behind. Nothing at all is no rows.
fn rows(data: &[u8]) -> Result<u64, String> {
    let broken = |what: &str| format!("it returned an arrow-ipc batch that {what}");
    let (mut rest, mut rows, mut schema) = (data, 0, false);
    while !rest.is_empty() {
        let (head, behind) = split(rest).ok_or_else(|| broken("is cut off"))?;
        if head.is_empty() {
            let end = behind.is_empty() && schema;
            return end
                .then_some(rows)
                .ok_or_else(|| broken("does not end where it says, or has no schema"));
        }
        let message = root_as_message(head).map_err(|e| broken(&format!("is no message: {e}")))?;
        match message.header_type() {
            MessageHeader::Schema if !schema => schema = true,
            MessageHeader::RecordBatch if schema => {
                let batch = message.header_as_record_batch();
                let length = batch.and_then(|b| u64::try_from(b.length()).ok());
                let length = length.ok_or_else(|| broken("has a batch of no length"))?;
                rows = u64::checked_add(rows, length).ok_or_else(|| broken("has too many rows"))?;
            }
            MessageHeader::DictionaryBatch if schema => {}
            _ => return Err(broken("does not begin with its one schema")),
        }
        let body = usize::try_from(message.bodyLength()).ok();
        rest = body
            .and_then(|length| behind.get(length..))
            .ok_or_else(|| broken("is cut off"))?;
    }
    match schema || data.is_empty() {
        true => Ok(rows),
        false => Err(broken("has no schema")),
    }
}

/// The head of the next message, and what is behind it.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let data = data.strip_prefix(&CONTINUATION).unwrap_or(data);
    let (length, rest) = data.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(i32::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_batch(encoding: Encoding, count: u32, data: &[u8]) -> Result<(), String> {
        check(&Batch {
            encoding,
            count,
            data: data.to_vec().into(),
        })
    }

    /// Three rows in two batches, as arrow's own writer has them.
    fn stream() -> Vec<u8> {
        use arrow_ipc::writer::StreamWriter;
        let column = arrow::array::Int64Array::from(vec![1, 2, 3]);
        let all = arrow::array::RecordBatch::try_from_iter([(
            "n",
            std::sync::Arc::new(column) as arrow::array::ArrayRef,
        )])
        .unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &all.schema()).unwrap();
        writer.write(&all.slice(0, 2)).unwrap();
        writer.write(&all.slice(2, 1)).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn lines_are_counted() {
        let ndjson = |count, data| check_batch(Encoding::Ndjson, count, data);
        assert_eq!(ndjson(0, b""), Ok(()));
        assert_eq!(ndjson(2, b"1\n2\n"), Ok(()));
        assert!(ndjson(1, b"1").unwrap_err().contains("does not end"));
        assert!(ndjson(3, b"1\n2\n").unwrap_err().contains("holds 2 lines"));
    }

    #[test]
    fn rows_are_counted() {
        let arrow = |count, data: &[u8]| check_batch(Encoding::ArrowIpc, count, data);
        let whole = stream();
        assert_eq!(arrow(3, &whole), Ok(()));
        assert_eq!(arrow(0, b""), Ok(()));
        assert!(arrow(2, &whole).unwrap_err().contains("holds 3 rows"));
        // The end of a stream may be left out; 8 bytes mark it.
        assert_eq!(arrow(3, &whole[..whole.len() - 8]), Ok(()));
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        let whole = stream();
        for end in 1..whole.len() - 8 {
            // Cut after the schema or a batch, fewer rows are there than said.
            let said = check_batch(Encoding::ArrowIpc, 3, &whole[..end]);
            assert!(said.is_err(), "cut at {end}");
        }
        for place in 0..whole.len() {
            let mut bad = whole.clone();
            bad[place] ^= 0xff;
            let _either = check_batch(Encoding::ArrowIpc, 3, &bad);
        }
        let mut twice = whole.clone();
        twice.extend(&whole);
        assert!(check_batch(Encoding::ArrowIpc, 6, &twice).is_err());
        assert!(check_batch(Encoding::ArrowIpc, 1, b"{\"a\":1}\n").is_err());
        assert!(check_batch(Encoding::ArrowIpc, 0, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).is_err());
    }
}
