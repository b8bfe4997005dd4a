//! What every sink has to do.

use bytes::Bytes;
use model::BoxFuture;
use model::data::{Batch, Encoding, Reject, Writer};
use model::error::Fault;
use model::stage::Convert;
use serde_json::Value;

use super::source::same;
use crate::stages::convert::ArrowConvert;

/// Opens the sink anew.
pub type OpenSink<'a> = &'a (dyn Fn() -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> + Sync);

/// What can be seen of what a sink wrote; none where nothing can be.
pub type Shown<'a> = &'a (dyn Fn() -> Option<Vec<Value>> + Sync);

/// When a sink shows what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// At the end of the run, all at once; nothing without it.
    AtTheEnd,
    /// With each batch.
    AsItComes,
}

/// Checks a sink with these records, at least four, given in this encoding: after the end all are there in their order, but for those it rejects, each with its place and a reason; it takes an
/// empty batch; the same batch given twice in a row is there once; and dropped before the end, it shows what [`Shows`] says. `clear` takes away what was written before.
///
/// # Errors
/// The first thing that is wrong.
pub async fn sink(
    open: OpenSink<'_>,
    shown: Shown<'_>,
    clear: &(dyn Fn() + Sync),
    shows: Shows,
    encoding: Encoding,
    records: &[Value],
) -> Result<(), String> {
    if records.len() < 4 {
        return Err("give it at least four records, or little is checked".into());
    }
    let batches: Vec<_> = records.chunks(3).collect();
    clear();
    let mut dropped = open().await.map_err(|e| format!("open: {e}"))?;
    let first = batches.first().copied().unwrap_or_default();
    push(&mut dropped, first, encoding, "0").await?;
    drop(dropped);
    let left = shown().unwrap_or_default();
    if shows == Shows::AtTheEnd && shown().is_some() {
        return Err(format!(
            "dropped before its end, it shows {} records",
            left.len()
        ));
    }
    clear();
    let mut writer = open().await.map_err(|e| format!("open: {e}"))?;
    let mut wanted = vec![];
    for (number, batch) in batches.iter().enumerate() {
        let key = number.to_string();
        let rejects = push(&mut writer, batch, encoding, &key).await?;
        if push(&mut writer, batch, encoding, &key).await? != rejects {
            return Err("given a batch again, it rejects other records".into());
        }
        let kept = (0_u32..).zip(batch.iter());
        let kept = kept.filter(|(at, _)| !rejects.iter().any(|r| r.index == *at));
        wanted.extend(kept.map(|(_, record)| record.clone()));
        if shows == Shows::AtTheEnd && shown().is_some() {
            return Err("it shows records before its end".into());
        }
    }
    push(&mut writer, &[], encoding, "empty").await?;
    writer.finish().await.map_err(|e| format!("finish: {e}"))?;
    drop(writer);
    same("after the end", &shown().unwrap_or_default(), &wanted)
}

async fn push(
    writer: &mut Box<dyn Writer>,
    records: &[Value],
    encoding: Encoding,
    key: &str,
) -> Result<Vec<Reject>, String> {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let count = u32::try_from(records.len()).map_err(|e| e.to_string())?;
    let batch = Batch {
        encoding: Encoding::Ndjson,
        count,
        data: Bytes::from(lines),
    };
    let batch = ArrowConvert.convert(batch, encoding);
    let batch = batch.map_err(|e| format!("the records cannot be given to it: {e}"))?;
    let rejects = writer.push(batch, key.to_owned()).await;
    let rejects = rejects.map_err(|e| format!("push: {e}"))?;
    let mut places = std::collections::HashSet::new();
    for reject in &rejects {
        if reject.index >= count || !places.insert(reject.index) || reject.reason.is_empty() {
            return Err(format!("a reject of {count} records is {reject:?}"));
        }
    }
    Ok(rejects)
}
