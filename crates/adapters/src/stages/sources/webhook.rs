//! Records out of payloads that were sent to the pipeline's webhook and kept: the inbox is the log of raw records, and the cursor a position in it. Taking requests is the
//! engine's and the server's business.

use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::UTF_8;
use model::BoxFuture;
use model::bronze::{BronzeError, InboxCursor, Kept, KeptInput, Payloads, Position, RawRecord};
use model::data::{Batch, Encoding, Most, Opening, Pulled, Reader, Unreadable};
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SourceKind};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::stages::format::{CsvOptions, Gathered, Reading, Records, Stop, TextFormat};
use crate::stages::options;
use crate::stages::web::document::Path;

/// Payloads of one run. What is left is the next one's: a run that never ends would never show a file.
const PAYLOADS: u64 = 100_000;
/// Bytes of them.
const BYTES: u64 = 256 << 20;

/// What was sent to the pipeline's webhook.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How records stand in a payload. `auto`: one a line if its content type says so (`application/x-ndjson`), and else JSON.
    #[serde(default)]
    format: Format,
    /// JSON only: the keys that lead to the records, with dots between them: `data.items`. Default: the elements of the list that the payload is, or the payload itself as one record.
    records: Option<String>,
}

/// How records stand in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// As its content type says.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// One JSON document a line.
    Ndjson,
}

/// The source `webhook`.
#[derive(Debug)]
pub(super) struct WebhookSource;

impl Kind for WebhookSource {
    fn described(&self) -> Described {
        Described {
            name: "webhook",
            summary: "What was sent to the pipeline's webhook, each payload once.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| options.check())
    }
}

impl Options {
    fn check(&self) -> Vec<Misfit> {
        let mut wrong = Vec::new();
        if let Some(Err(m)) = self.records.as_deref().map(Path::read) {
            wrong.push(Misfit::new("/records", m));
        }
        if self.records.is_some() && self.format == Format::Ndjson {
            wrong.push(Misfit::new(
                "/records",
                "only JSON has a path to its records; leave it out, or say `format: json`",
            ));
        }
        wrong
    }
}

impl SourceKind for WebhookSource {
    fn open(&self, _: Opening, _: Context) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        Box::pin(async {
            Err(Fault::Invalid(
                "there is no webhook here: a server has one, and keeps what is sent to it".into(),
            ))
        })
    }

    fn goes_on(&self, _: &Value) -> bool {
        true
    }

    fn is_inbox(&self) -> bool {
        true
    }

    fn open_kept(
        &self,
        opening: Opening,
        context: Context,
        input: KeptInput,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        Box::pin(async move {
            let inbox = Inbox::new(&opening, context, input)?;
            Ok(Box::new(inbox) as Box<dyn Reader>)
        })
    }
}

/// The payloads while they are read.
struct Inbox {
    payloads: Payloads,
    reading: Reading,
    format: Format,
    context: Context,
    cursor: InboxCursor,
    /// The payload at hand.
    current: Option<Current>,
    /// Records so far, readable or not.
    number: u64,
    /// Payloads and bytes that this run may still take.
    left: (u64, u64),
}

/// A payload of which not all records were given.
struct Current {
    position: Position,
    lines: Bytes,
    left: u32,
    rejects: Vec<Unreadable>,
}

impl Inbox {
    fn new(opening: &Opening, context: Context, input: KeptInput) -> Result<Self, Fault> {
        let options: Options = options::read(&opening.config)?;
        options::refuse(options.check())?;
        let path = options.records.as_deref().map(Path::read).transpose();
        let path = path.map_err(Fault::Invalid)?;
        let cursor = InboxCursor::read(opening.cursor.as_deref()).map_err(Fault::Invalid)?;
        // It is none, but a reading has one.
        let csv = CsvOptions::default().checked("/csv", false);
        Ok(Self {
            payloads: input.after(cursor.after),
            reading: Reading {
                format: TextFormat::Json,
                csv: csv.map_err(options::misfits)?,
                records: path.map(|p| p.keys()).unwrap_or_default(),
                encoding: UTF_8,
                record_bytes: usize::try_from(context.record_bytes).unwrap_or(usize::MAX),
                check: !context.parsed_next,
            },
            format: options.format,
            cursor,
            context,
            current: None,
            number: 0,
            left: (PAYLOADS, BYTES),
        })
    }

    /// The next payload, read; none: there is nothing more for this run.
    async fn next(&mut self) -> Result<Option<Current>, Fault> {
        loop {
            let (payloads, bytes) = self.left;
            if payloads == 0 || bytes == 0 {
                return Ok(None);
            }
            let next = self.payloads.next().await;
            for damage in self.payloads.damage() {
                self.context.notes.say(&damage);
            }
            let Some(kept) = next.map_err(|e| unread(&e))? else {
                return Ok(None);
            };
            if !kept.record.is_for_inbox() {
                continue;
            }
            let size = kept.record.bytes.len() as u64;
            self.left = (payloads.saturating_sub(1), bytes.saturating_sub(size));
            self.context.progress.advance(size);
            let mut current = self.read(kept);
            let given = std::mem::take(&mut self.cursor.given).min(current.left);
            if given > 0 {
                // What was unreadable in it was told with the first of its records.
                current.rejects.clear();
                drop(current.take(given));
                self.cursor.given = given;
            }
            return Ok(Some(current));
        }
    }

    /// The records of a payload. One that cannot be read as a whole is set aside as a whole.
    fn read(&mut self, kept: Kept) -> Current {
        let Kept {
            position, record, ..
        } = kept;
        let reading = Reading {
            format: self.format.of(&record),
            ..self.reading.clone()
        };
        let (lines, left, mut rejects) = match records(&reading, &record.bytes, self.number) {
            // What comes after the first of it that is no JSON was not looked at.
            Ok((batch, rejects)) if batch.count == 0 && reading.format == TextFormat::Json => {
                let whole = rejects.into_iter().next().map(|first| Unreadable {
                    raw: record.bytes,
                    ..first
                });
                (Bytes::new(), 0, whole.into_iter().collect())
            }
            Ok((batch, rejects)) => (batch.data, batch.count, rejects),
            Err(reason) => {
                let whole = Unreadable {
                    number: self.number.saturating_add(1),
                    reason,
                    raw: record.bytes,
                };
                (Bytes::new(), 0, vec![whole])
            }
        };
        for reject in &mut rejects {
            reject.reason = format!("payload {position}: {}", reject.reason);
        }
        let here = u64::from(left).saturating_add(rejects.len() as u64);
        self.number = self.number.saturating_add(here);
        Current {
            position,
            lines,
            left,
            rejects,
        }
    }
}

impl Format {
    fn of(self, record: &RawRecord) -> TextFormat {
        let is_lines = || {
            let kind = record.header("content-type").unwrap_or_default();
            let kind = String::from_utf8_lossy(kind).to_ascii_lowercase();
            let essence = kind.split(';').next().unwrap_or_default().trim();
            matches!(
                essence,
                "application/x-ndjson"
                    | "application/ndjson"
                    | "application/jsonl"
                    | "application/x-jsonlines"
            )
        };
        match self {
            Self::Json => TextFormat::Json,
            Self::Ndjson => TextFormat::Ndjson,
            Self::Auto if is_lines() => TextFormat::Ndjson,
            Self::Auto => TextFormat::Json,
        }
    }
}

/// All records of a payload.
///
/// # Errors
/// Why it cannot be read.
fn records(
    reading: &Reading,
    payload: &Bytes,
    number: u64,
) -> Result<(Batch, Vec<Unreadable>), String> {
    if payload.trim_ascii().is_empty() {
        return Err("is empty".into());
    }
    let all = Most {
        records: u32::MAX,
        bytes: u32::MAX,
    };
    let mut out = Gathered::new(all, number);
    let mut records = Records::new(reading, None)?;
    records.feed(payload.clone())?;
    records.end()?;
    while records.take(&mut out)? == Stop::Hungry {}
    Ok(out.done())
}

impl Current {
    /// Takes so many of its records off.
    fn take(&mut self, records: u32) -> Bytes {
        let mut end = 0;
        for _ in 0..records {
            let rest = self.lines.get(end..).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', rest) else {
                end = self.lines.len();
                break;
            };
            end = end.saturating_add(at).saturating_add(1);
        }
        self.left = self.left.saturating_sub(records);
        self.lines.split_to(end)
    }
}

fn unread(error: &BronzeError) -> Fault {
    if error.is_retryable() {
        return Fault::Transient {
            message: error.to_string(),
            retry_after_ms: None,
        };
    }
    Fault::Internal(error.to_string())
}

impl Reader for Inbox {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(async move {
            let mut data = Vec::new();
            let mut count = 0_u32;
            let mut rejects = Vec::new();
            let mut done = false;
            let bytes = usize::try_from(most.bytes).unwrap_or(usize::MAX);
            while count < most.records && data.len() < bytes && rejects.len() < 1_000 {
                if self.current.is_none() {
                    // What was gathered so far is not lost where the log cannot be read: the next pull tells.
                    match self.next().await {
                        Ok(next) => self.current = next,
                        Err(fault) if count == 0 && rejects.is_empty() => return Err(fault),
                        Err(_) => break,
                    }
                }
                let Some(current) = &mut self.current else {
                    done = true;
                    break;
                };
                rejects.append(&mut current.rejects);
                let room = most.records.saturating_sub(count).min(current.left);
                data.extend_from_slice(&current.take(room));
                count = count.saturating_add(room);
                self.cursor.given = self.cursor.given.saturating_add(room);
                if current.left == 0 {
                    self.cursor = InboxCursor {
                        after: Some(current.position),
                        given: 0,
                    };
                    self.current = None;
                }
            }
            let batch = Batch {
                encoding: Encoding::Ndjson,
                count,
                data: data.into(),
            };
            Ok(Pulled {
                batch,
                cursor: serde_json::to_string(&self.cursor).ok(),
                done,
                rejects,
            })
        })
    }
}

/// The source `webhook`, for the list of kinds.
pub(super) fn kind() -> Arc<dyn SourceKind> {
    Arc::new(WebhookSource)
}

#[cfg(test)]
mod tests;
