//! Template `stage`: a source, a transform and a sink that do what a stage's settings say: `{"does": <what>, "records": <number>}`.
//!
//! - an action of `actors::act`, done with each batch, or
//! - the source: counts, `{"n": 0}`, `{"n": 1}` and so on up to `records` from its cursor on; `"too_many"` returns more than it was asked for,
//!   `"cursor"` a cursor of `cursor` bytes;
//! - the transform: passes records on; `"hold"` holds all back until the end, `"lose"` for ever, `"double"` returns each twice, `"last_twice"` rejects the last record twice,
//!   `"past_end"` one that is not there, `"leave_out"` leaves all out;
//! - the sink: takes records; `"last_twice"` and `"past_end"` as well, `"silent"` rejects all without a reason;
//! - each that returns a batch: `"count"` says one too many, `"no_end"` leaves out the last end of a line, `"arrow"` calls it Arrow IPC, `"no_json"` returns lines that are no JSON.

use actors::act;
use weir_sdk::{
    Batch, Encoding, Failure, Plugin, Pulled, Reader, Reject, Sink, Source, Transform, Transformed,
    Transformer, Window, Writer,
    serde_json::{Value, json},
};

#[derive(Default)]
struct Stage;

impl Plugin for Stage {}
impl Source for Stage {
    type Reader = Count;
}
impl Transform for Stage {
    type Transformer = Pass;
}
impl Sink for Stage {
    type Writer = Take;
}

struct Count {
    does: Value,
    next: u64,
    end: u64,
    /// Bytes of the cursor, where it is not to be a number.
    cursor: u64,
}

impl Reader for Count {
    fn open(config: Value, cursor: Option<Value>, _: Option<Window>) -> Result<Self, Failure> {
        Ok(Self {
            does: opened(&config)?,
            next: cursor
                .and_then(|cursor| cursor.as_u64())
                .unwrap_or_default(),
            end: config
                .get("records")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            cursor: config
                .get("cursor")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        })
    }

    fn pull(&mut self, max_records: u32, max_bytes: u32) -> Result<Pulled, Failure> {
        // No record is longer than 27 bytes.
        let fit = u64::from(max_bytes / 27).max(1);
        let most = u64::from(max_records).min(fit) + u64::from(self.does == "too_many");
        let end = self.end.min(self.next.saturating_add(most));
        let records: Vec<_> = (self.next..end).map(|n| json!({"n": n})).collect();
        self.next = end;
        let cursor = match self.does.as_str() {
            // The quotation marks count.
            Some("cursor") => "x".repeat(usize::try_from(self.cursor - 2)?).into(),
            _ => end.into(),
        };
        Ok(Pulled {
            batch: spoilt(&self.does, Batch::ndjson(&records)?)?,
            cursor: Some(cursor),
            done: end == self.end,
        })
    }
}

struct Pass {
    does: Value,
    /// Lines, and how many.
    held: (Vec<u8>, u32),
}

impl Transformer for Pass {
    fn open(config: Value) -> Result<Self, Failure> {
        Ok(Self {
            does: opened(&config)?,
            held: (Vec::new(), 0),
        })
    }

    fn apply(&mut self, batch: Batch) -> Result<Transformed, Failure> {
        let mut rejects = rejects(&self.does, batch.count);
        let batch = match self.does.as_str() {
            Some("hold" | "lose") => {
                self.held.0.extend(batch.data);
                self.held.1 += batch.count;
                Batch::ndjson::<Value>(&[])?
            }
            Some("leave_out") => {
                rejects = (0..batch.count).map(|index| reject(index, "")).collect();
                Batch::ndjson::<Value>(&[])?
            }
            Some("double") => {
                let records: Vec<Value> = batch.records()?;
                Batch::ndjson(&[records.clone(), records].concat())?
            }
            _ => spoilt(&self.does, batch)?,
        };
        Ok(Transformed { batch, rejects })
    }

    fn finish(&mut self) -> Result<Option<Batch>, Failure> {
        let (data, count) = std::mem::take(&mut self.held);
        let held = Batch {
            encoding: Encoding::Ndjson,
            count,
            data,
        };
        Ok((self.does == "hold").then_some(held))
    }
}

struct Take {
    does: Value,
}

impl Writer for Take {
    fn open(config: Value) -> Result<Self, Failure> {
        Ok(Self {
            does: opened(&config)?,
        })
    }

    fn push(&mut self, batch: Batch, _: &str) -> Result<Vec<Reject>, Failure> {
        if self.does == "silent" {
            return Ok((0..batch.count).map(|index| reject(index, "")).collect());
        }
        let rejects = rejects(&self.does, batch.count);
        spoilt(&self.does, batch).map(|_| rejects)
    }
}

/// What it is to do. A number there is a wrong configuration.
fn opened(config: &Value) -> Result<Value, Failure> {
    match config.get("does") {
        Some(Value::Number(number)) => {
            Err(Failure::invalid(format!("does: {number} is no action")))
        }
        does => Ok(does.cloned().unwrap_or_default()),
    }
}

fn spoilt(does: &Value, mut batch: Batch) -> Result<Batch, Failure> {
    match does.as_str() {
        Some("count") => batch.count += 1,
        Some("no_end") => batch.data.truncate(batch.data.len().saturating_sub(1)),
        Some("arrow") => batch.encoding = Encoding::ArrowIpc,
        Some("no_json") => {
            batch.data = b"{\n".repeat(usize::try_from(batch.count)?);
        }
        Some("too_many" | "cursor" | "last_twice" | "past_end") => {}
        _ => act(does)?,
    }
    Ok(batch)
}

fn rejects(does: &Value, count: u32) -> Vec<Reject> {
    match does.as_str() {
        Some("last_twice") => vec![reject(count - 1, "once"), reject(count - 1, "twice")],
        Some("past_end") => vec![reject(count, "there is none")],
        _ => Vec::new(),
    }
}

fn reject(index: u32, reason: &str) -> Reject {
    Reject {
        index,
        reason: reason.into(),
    }
}

actors::actor!(Stage: source, transform, sink);
