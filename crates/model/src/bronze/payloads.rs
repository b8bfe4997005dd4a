//! Records of the log, one after the other, page by page.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Bronze, BronzeError, Kept, Position, Reading};
use crate::data::Most;
use crate::id::PipelineId;

/// How much is read at once.
const PAGE: Most = Most {
    records: 1_000,
    bytes: 4 << 20,
};

/// Which payloads of a pipeline are read in place of what a source would ask for.
#[derive(Debug, Clone)]
pub struct KeptInput {
    /// The log.
    pub log: Arc<dyn Bronze>,
    /// Whose payloads.
    pub pipeline: PipelineId,
    /// Received at this time or later, in milliseconds since 1970 UTC.
    pub from_ms: Option<u64>,
    /// Received before this time.
    pub until_ms: Option<u64>,
}

impl KeptInput {
    /// The payloads after this position, in order.
    #[must_use]
    pub fn after(self, after: Option<Position>) -> Payloads {
        Payloads {
            input: self,
            after,
            page: VecDeque::new(),
            damage: Vec::new(),
            ended: false,
        }
    }
}

/// How far a webhook's payloads were taken, as a source has it for a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct InboxCursor {
    /// All of this payload and those before it were given.
    pub after: Option<Position>,
    /// Of the next one, so many records were, too.
    #[serde(default)]
    pub given: u32,
}

impl InboxCursor {
    /// Reads one; nothing is the beginning.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: Option<&str>) -> Result<Self, String> {
        let read = text.map(serde_json::from_str).transpose();
        let read = read.map_err(|e| format!("the cursor is none of a webhook: {e}"))?;
        Ok(read.unwrap_or_default())
    }
}

/// Payloads while they are read.
#[derive(Debug)]
pub struct Payloads {
    input: KeptInput,
    after: Option<Position>,
    page: VecDeque<Kept>,
    damage: Vec<String>,
    ended: bool,
}

impl Payloads {
    /// The next one; none: there is nothing more by now.
    ///
    /// # Errors
    /// The log could not be read; the same may be asked again.
    pub async fn next(&mut self) -> Result<Option<Kept>, BronzeError> {
        loop {
            if let Some(kept) = self.page.pop_front() {
                return Ok(Some(kept));
            }
            if self.ended {
                return Ok(None);
            }
            let reading = Reading {
                after: self.after,
                from_ms: self.input.from_ms,
                until_ms: self.input.until_ms,
                most: PAGE,
            };
            let log = &self.input.log;
            let page = log.read(self.input.pipeline.clone(), reading).await?;
            self.ended = page.end;
            self.after = page.after.or(self.after);
            self.page = page.records.into();
            self.damage.extend(page.damage);
        }
    }

    /// What could not be read so far and was not told yet, a sentence each.
    pub fn damage(&mut self) -> Vec<String> {
        std::mem::take(&mut self.damage)
    }
}
