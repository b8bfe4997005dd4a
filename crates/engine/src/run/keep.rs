//! What a source was given, kept as it came: the stage keeps it by a port, a plugin's batches are kept for it. And plugins' batches read again, for a replay.

use std::sync::Arc;

use bytes::Bytes;
use model::BoxFuture;
use model::bronze::{Bronze, BronzeError, OF_STAGE, Payloads, RUN, RawRecord};
use model::data::{Batch, Encoding, Most, Pulled, Reader};
use model::error::Fault;
use model::id::PipelineId;
use model::ports::Clock;
use model::run::RunId;
use model::stage::KeepRaw;

use super::lines::{empty, lines, take};
use crate::raw::millis;

/// Keeps what one source of one run was given.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) log: Arc<dyn Bronze>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pipeline: PipelineId,
    pub(super) run: RunId,
    pub(super) stage: Arc<str>,
}

impl KeepRaw for Keeper {
    fn keep(
        &self,
        headers: Vec<(String, Bytes)>,
        bytes: Bytes,
    ) -> BoxFuture<'static, Result<(), Fault>> {
        let own = [
            (OF_STAGE, self.stage.as_bytes()),
            (RUN, self.run.as_str().as_bytes()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value)));
        let record = RawRecord {
            headers: own.into_iter().chain(headers).collect(),
            received_ms: millis(self.clock.now()),
            bytes,
        };
        let appended = self.log.append(self.pipeline.clone(), vec![record]);
        Box::pin(async move { appended.await.map(drop).map_err(|e| unkept(&e)) })
    }
}

fn unkept(error: &BronzeError) -> Fault {
    if error.is_retryable() {
        return Fault::Transient {
            message: error.to_string(),
            retry_after_ms: None,
        };
    }
    Fault::Internal(error.to_string())
}

/// The batches that a plugin handed over in a span of time.
pub(super) struct KeptBatches {
    payloads: Payloads,
    stage: Arc<str>,
    rest: Batch,
}

impl KeptBatches {
    pub(super) fn new(payloads: Payloads, stage: Arc<str>) -> Self {
        Self {
            payloads,
            stage,
            rest: empty(),
        }
    }

    async fn more(&mut self, most: Most) -> Result<Pulled, Fault> {
        let mut done = false;
        while self.rest.count == 0 && !done {
            match self.payloads.next().await.map_err(|e| unkept(&e))? {
                None => done = true,
                Some(kept) if kept.record.header(OF_STAGE) == Some(self.stage.as_bytes()) => {
                    let data = kept.record.bytes;
                    let count = lines(&data).count();
                    self.rest = Batch {
                        encoding: Encoding::Ndjson,
                        count: u32::try_from(count).unwrap_or(u32::MAX),
                        data,
                    };
                }
                Some(_) => {}
            }
        }
        let bytes = usize::try_from(most.bytes).unwrap_or(usize::MAX);
        Ok(Pulled {
            batch: take(&mut self.rest, most.records, bytes),
            cursor: None,
            done,
            rejects: Vec::new(),
        })
    }
}

impl Reader for KeptBatches {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(self.more(most))
    }
}
