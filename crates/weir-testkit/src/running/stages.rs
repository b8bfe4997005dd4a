//! The stages of data pipelines: a source read to its end, a transform and a sink given records. They are opened in the plugin itself, as a run opens
//! them, each call with a stage of its own.

#[cfg(test)]
mod conformance;

use std::sync::Arc;

use model::data::{Batch, Encoding, Most, Opening, Reject, Window};
use model::exchange::Cause;
use model::plugin::Plugin;
use serde_json::{Value, json};

use super::Running;
use super::calls::{failed, of_fault, of_stage};
use crate::outcome::{Failed, Outcome, Reply};

/// What a run asks of a source at once.
const MOST: Most = Most {
    records: 1_000,
    bytes: 1 << 20,
};
/// Most records that are read of a source, and most often that it is asked.
const MAX_RECORDS: usize = 100_000;
const MAX_PULLS: usize = 10_000;

impl Running {
    /// Reads the source to its end, from `cursor` on: `{"records": [..], "cursor": ..}` with the last cursor. One that does not end fails after 100,000 records, or when it was asked 10,000 times.
    pub async fn read(&self, config: &Value, cursor: Option<&Value>) -> Outcome {
        self.read_window(config, cursor, None).await
    }

    /// The same, of the half-open span of time that a run covers, from its first instant to the first one after it, both RFC 3339 with offset.
    pub async fn read_window(
        &self,
        config: &Value,
        cursor: Option<&Value>,
        window: Option<(&str, &str)>,
    ) -> Outcome {
        let opening = Opening {
            config: config.to_string(),
            cursor: cursor.map(Value::to_string),
            window: window.map(|(start, end)| Window {
                start: start.into(),
                end: end.into(),
            }),
        };
        let (plugin, kept) = (self.plugin(), cursor.cloned());
        self.observe("source", async move {
            let opened = plugin?.open_source(opening, Cause::default()).await;
            let mut reader = opened.map_err(of_stage)?;
            let (mut all, mut cursor) = (Vec::new(), kept);
            for _ in 0..MAX_PULLS {
                let pulled = reader.pull(MOST).await.map_err(of_fault)?;
                all.extend(records(&pulled.batch)?);
                if let Some(text) = pulled.cursor {
                    cursor = serde_json::from_str(&text).ok();
                }
                if pulled.done {
                    return Ok(Reply::of_value(json!({"records": all, "cursor": cursor})));
                }
                if all.len() > MAX_RECORDS {
                    break;
                }
            }
            let words = format!("it does not end: {} records so far", all.len());
            Err(failed("endless", words))
        })
        .await
    }

    /// Gives the transform one batch after the other and lets it finish: `{"records": [..], "rejects": [{"record": .., "reason": ".."}]}`, all together.
    pub async fn transform(&self, config: &Value, batches: &[Vec<Value>]) -> Outcome {
        let (plugin, config, batches) = (self.plugin(), config.to_string(), batches.to_vec());
        self.observe("transform", async move {
            let opened = plugin?.open_transform(config, Cause::default()).await;
            let mut transformer = opened.map_err(of_stage)?;
            let (mut out, mut rejects) = (Vec::new(), Vec::new());
            for given in &batches {
                let done = transformer.apply(batch(given)?).await.map_err(of_fault)?;
                out.extend(records(&done.batch)?);
                rejects.extend(named(given, done.rejects));
            }
            if let Some(rest) = transformer.finish().await.map_err(of_fault)? {
                out.extend(records(&rest)?);
            }
            Ok(Reply::of_value(json!({"records": out, "rejects": rejects})))
        })
        .await
    }

    /// Gives the sink one batch after the other, with the keys `test-0`, `test-1` and so on, and lets it finish: `{"rejects": [{"record": .., "reason": ".."}]}`.
    pub async fn write(&self, config: &Value, batches: &[Vec<Value>]) -> Outcome {
        let (plugin, config, batches) = (self.plugin(), config.to_string(), batches.to_vec());
        self.observe("sink", async move {
            let opened = plugin?.open_sink(config, Cause::default()).await;
            let mut writer = opened.map_err(of_stage)?;
            let mut rejects = Vec::new();
            for (number, given) in batches.iter().enumerate() {
                let pushed = writer.push(batch(given)?, format!("test-{number}")).await;
                rejects.extend(named(given, pushed.map_err(of_fault)?));
            }
            writer.finish().await.map_err(of_fault)?;
            Ok(Reply::of_value(json!({"rejects": rejects})))
        })
        .await
    }

    fn plugin(&self) -> Result<Arc<dyn Plugin>, Failed> {
        let live = self.world.watch.live(&self.target);
        live.ok_or_else(|| self.gone())
    }
}

fn batch(records: &[Value]) -> Result<Batch, Failed> {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    Ok(Batch {
        encoding: Encoding::Ndjson,
        count: u32::try_from(records.len()).map_err(|e| failed("given", e.to_string()))?,
        data: lines.into(),
    })
}

fn records(batch: &Batch) -> Result<Vec<Value>, Failed> {
    // The border has made sure that the last line ends.
    let lines = batch
        .data
        .strip_suffix(b"\n")
        .map(|lines| lines.split(|byte| *byte == b'\n'));
    let read = |(index, line)| {
        serde_json::from_slice(line)
            .map_err(|e| failed("internal", format!("record {index} that came out: {e}")))
    };
    lines.into_iter().flatten().enumerate().map(read).collect()
}

fn named(given: &[Value], rejects: Vec<Reject>) -> impl Iterator<Item = Value> {
    rejects.into_iter().map(|reject| {
        let record = usize::try_from(reject.index)
            .ok()
            .and_then(|index| given.get(index));
        json!({"record": record, "reason": reject.reason})
    })
}
