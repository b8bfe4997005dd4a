//! The sink `console`: shows records to a person, as a table or as JSON.
//!
//! What it shows comes from outside: characters that would steer the terminal are shown as what they are.

use std::io::ErrorKind;
use std::sync::Arc;

use model::BoxFuture;
use model::data::{Batch, Reject, Writer};
use model::error::Fault;
use model::stage::{Context, Described, Kind, RunNotes, SinkKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod table;

use super::super::Console;
use super::super::blocking::{Blocking, blocking};
use crate::stages::options;
use table::Table;

/// Rows of a table, where nothing else is said.
const TABLE_ROWS: u64 = 20;
/// Most records in the log of a run.
const LOGGED: u64 = 100;

/// The kind.
#[derive(Debug)]
pub(super) struct ConsoleSink {
    console: Console,
}

/// The options of the sink `console`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How records are shown: a table, one JSON document a line, or each one spread over lines.
    #[serde(default)]
    format: Layout,
    /// How many records are shown; the others are only counted. Default: 20 for a table, all for the others. On a server at most 100.
    #[serde(default)]
    limit: Option<u64>,
}

/// How records are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Layout {
    /// Columns, when all records are there.
    #[default]
    Table,
    /// A document over several lines for each record, as it comes.
    Json,
    /// A line for each record, as it comes.
    Ndjson,
}

impl ConsoleSink {
    pub(super) fn new(console: Console) -> Self {
        Self { console }
    }
}

impl Kind for ConsoleSink {
    fn described(&self) -> Described {
        Described {
            name: "console",
            summary: "Shows records on standard output, or on a server in the log of the run, as a table or as JSON.",
            options: options::schema::<Options>(),
        }
    }
}

impl SinkKind for ConsoleSink {
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        let console = self.console.clone();
        Box::pin(async move {
            let options: Options = options::read(&config)?;
            let limit = match (options.limit, options.format) {
                (Some(limit), _) => limit,
                (None, Layout::Table) => TABLE_ROWS,
                (None, Layout::Json | Layout::Ndjson) => u64::MAX,
            };
            let limit = if console.is_run_log() {
                limit.min(LOGGED)
            } else {
                limit
            };
            Ok(Box::new(Open {
                console,
                notes: context.notes,
                layout: options.format,
                limit,
                seen: 0,
                table: Blocking::new(Table::default()),
                last: None,
            }) as Box<dyn Writer>)
        })
    }
}

/// An open one.
struct Open {
    console: Console,
    notes: Arc<dyn RunNotes>,
    layout: Layout,
    limit: u64,
    /// Records so far, shown or not.
    seen: u64,
    table: Blocking<Table>,
    /// The batch that was shown last: it is not shown twice.
    last: Option<String>,
}

impl Open {
    async fn show(&self, text: Vec<u8>) -> Result<(), Fault> {
        let (console, notes) = (self.console.clone(), Arc::clone(&self.notes));
        blocking(move || {
            console.write(&text, &*notes).map_err(|e| match e.kind() {
                // Trying again would be of no use.
                ErrorKind::BrokenPipe => {
                    Fault::Invalid("nobody reads standard output any more".into())
                }
                _ => Fault::Transient {
                    message: format!("cannot write to standard output: {e}"),
                    retry_after_ms: None,
                },
            })
        })
        .await
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), Fault> {
        let left = usize::try_from(self.limit.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let end = memchr::memchr_iter(b'\n', &batch.data)
            .nth(left.saturating_sub(1))
            .map_or(batch.data.len(), |at| at.saturating_add(1));
        let lines = batch.data.slice(..if left == 0 { 0 } else { end });
        match self.layout {
            Layout::Table => {
                let add = move |table: &mut Table| {
                    lines
                        .split_inclusive(|b| *b == b'\n')
                        .for_each(|line| table.add(line));
                    Ok(())
                };
                self.table.with(add).await?;
            }
            Layout::Json | Layout::Ndjson if lines.is_empty() => {}
            Layout::Json | Layout::Ndjson => {
                let text = table::json(&lines, self.layout == Layout::Json);
                self.show(text).await?;
            }
        }
        self.seen = self.seen.saturating_add(u64::from(batch.count));
        Ok(())
    }
}

impl Writer for Open {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(async move {
            if self.last.as_ref() != Some(&key) {
                self.take(&batch).await?;
                self.last = Some(key);
            }
            Ok(vec![])
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            if self.layout == Layout::Table {
                let (width, seen) = (self.console.width(), self.seen);
                let draw = move |table: &mut Table| Ok(table.draw(width, seen));
                let text = self.table.with(draw).await?;
                self.show(text.into()).await?;
            } else if self.console.is_run_log() && self.seen > self.limit {
                let text = format!("{} of {} records", self.limit, self.seen);
                self.show(text.into()).await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
