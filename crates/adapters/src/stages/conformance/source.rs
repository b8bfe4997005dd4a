//! What every source has to do.

use model::BoxFuture;
use model::data::{Batch, Encoding, Most, Reader};
use model::error::Fault;
use model::stage::Convert;
use serde_json::Value;

use crate::stages::convert::ArrowConvert;

/// Opens the source anew, from a cursor or the beginning.
pub type OpenSource<'a> =
    &'a (dyn Fn(Option<String>) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> + Sync);

/// Pulls that bring no record, in a row, before a source is taken to be stuck.
const IDLE_PULLS: usize = 100;

/// Checks a source that gives these records, at least four of them, in this order: whatever is asked for at once it gives all, never more than asked for; it goes on
/// exactly after what a cursor says; and being dropped early harms nothing.
///
/// # Errors
/// The first thing that is wrong.
pub async fn source(open: OpenSource<'_>, wanted: &[Value]) -> Result<(), String> {
    if wanted.len() < 4 {
        return Err("give it at least four records, or little is checked".into());
    }
    for records in [1_000, 1, 3] {
        let most = Most {
            records,
            bytes: 1 << 20,
        };
        same(
            &format!("{records} at once"),
            &rest(open, None, most).await?,
            wanted,
        )?;
    }
    let few = Most {
        records: 1_000,
        bytes: 16,
    };
    same("16 bytes at once", &rest(open, None, few).await?, wanted)?;
    let mut early = open(None).await.map_err(|e| format!("open: {e}"))?;
    early.pull(few).await.map_err(|e| format!("pull: {e}"))?;
    drop(early);
    cursors(open, wanted).await
}

/// Everything from a cursor on.
async fn rest(
    open: OpenSource<'_>,
    cursor: Option<String>,
    most: Most,
) -> Result<Vec<Value>, String> {
    let mut reader = open(cursor).await.map_err(|e| format!("open: {e}"))?;
    let (mut all, mut idle) = (vec![], 0_usize);
    loop {
        let pulled = reader.pull(most).await.map_err(|e| format!("pull: {e}"))?;
        let given = pulled.batch.count;
        let records = values(pulled.batch, most)?;
        if !pulled.rejects.is_empty() {
            return Err(format!("unreadable: {:?}", pulled.rejects));
        }
        all.extend(records);
        if pulled.done {
            return Ok(all);
        }
        idle = if given == 0 {
            idle.saturating_add(1)
        } else {
            0
        };
        if idle > IDLE_PULLS {
            return Err(format!(
                "{IDLE_PULLS} pulls brought nothing, and it is not done"
            ));
        }
    }
}

/// Goes on after every batch from its cursor.
async fn cursors(open: OpenSource<'_>, wanted: &[Value]) -> Result<(), String> {
    let two = Most {
        records: 2,
        bytes: 1 << 20,
    };
    let mut reader = open(None).await.map_err(|e| format!("open: {e}"))?;
    let mut had = 0_usize;
    loop {
        let pulled = reader.pull(two).await.map_err(|e| format!("pull: {e}"))?;
        had = had.saturating_add(usize::try_from(pulled.batch.count).unwrap_or(usize::MAX));
        if let Some(cursor) = pulled.cursor {
            let left = wanted.get(had..).unwrap_or_default();
            let what = format!("from the cursor after {had} records, {cursor}");
            same(&what, &rest(open, Some(cursor), two).await?, left)?;
        }
        if pulled.done {
            return Ok(());
        }
    }
}

/// The records of a batch that keeps to what was asked for.
fn values(batch: Batch, most: Most) -> Result<Vec<Value>, String> {
    let count = batch.count;
    if count > most.records {
        return Err(format!(
            "{count} records came, {} were asked for",
            most.records
        ));
    }
    let batch = ArrowConvert
        .convert(batch, Encoding::Ndjson)
        .map_err(|e| e.to_string())?;
    let lines: Vec<_> = batch.data.split_inclusive(|b| *b == b'\n').collect();
    if lines.len() != usize::try_from(count).unwrap_or(usize::MAX) {
        return Err(format!(
            "{} lines came, and a count of {count}",
            lines.len()
        ));
    }
    if lines.last().is_some_and(|line| !line.ends_with(b"\n")) {
        return Err("the last line has no end".into());
    }
    let longest = lines.iter().map(|line| line.len()).max().unwrap_or(0);
    let bytes = usize::try_from(most.bytes).unwrap_or(usize::MAX);
    // It is to be about so many: the last record may go over, and so may what is kept together inside.
    if batch.data.len()
        > bytes
            .saturating_mul(2)
            .saturating_add(longest.saturating_mul(2))
    {
        return Err(format!(
            "{} bytes came, {bytes} were asked for",
            batch.data.len()
        ));
    }
    let values = lines.iter().map(|line| serde_json::from_slice(line));
    values
        .collect::<Result<_, _>>()
        .map_err(|e| format!("a line is no JSON: {e}"))
}

/// Are these the same records?
pub(super) fn same(what: &str, had: &[Value], wanted: &[Value]) -> Result<(), String> {
    if had == wanted {
        return Ok(());
    }
    let differ = had.iter().zip(wanted).position(|(a, b)| a != b);
    let at = differ.unwrap_or(had.len().min(wanted.len()));
    Err(format!(
        "{what}: {} records came, {} were wanted; they differ from record {} on: {:?}, wanted {:?}",
        had.len(),
        wanted.len(),
        at.saturating_add(1),
        had.get(at),
        wanted.get(at)
    ))
}
