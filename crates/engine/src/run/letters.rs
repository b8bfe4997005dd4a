//! Dead letters that a run tries again: taken from the store page by page in the order they came, given to the stages as a source would, and settled one by one as the sinks take them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use model::BoxFuture;
use model::data::{Batch, Encoding, Most, Pulled, Reader};
use model::error::Fault;
use model::store::{
    Failure as StoreFailure, Fence, Letter, LetterFilter, LetterId, MOST_ROWS, Redriven, Store,
};

use super::feed::LetterFeed;
use crate::slot::lock;

/// The dead letters of one run that tries them again.
#[derive(Debug)]
pub(super) struct Redrive {
    store: Arc<dyn Store>,
    fence: Fence,
    filter: LetterFilter,
    feed: LetterFeed,
    /// The stage that is given the records as they are: it is known which of them it rejects.
    first: String,
    /// Is that the only sink, so that it is known of each record whether it is delivered?
    only_sink: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    after: Option<LetterId>,
    /// Places in `feed.ids` that were looked at.
    looked: usize,
    /// Those that were given to the stages and are not settled, in order.
    open: VecDeque<LetterId>,
    /// How many were settled before them.
    settled: u64,
    /// Those that were rejected, by their number from 1.
    rejected: BTreeMap<u64, String>,
    /// Those that are no record.
    unfit: Vec<(LetterId, Redriven)>,
}

impl Redrive {
    pub(super) fn new(
        store: Arc<dyn Store>,
        fence: Fence,
        filter: LetterFilter,
        feed: LetterFeed,
        first: String,
        only_sink: bool,
    ) -> Self {
        Self {
            store,
            fence,
            filter,
            feed,
            first,
            only_sink,
            state: Mutex::default(),
        }
    }

    /// A stage rejected a record; false: it cannot be told which letter that is.
    pub(super) fn rejected(&self, stage: &str, number: u64, reason: &str) -> bool {
        if stage != self.first {
            return false;
        }
        let mut state = lock(&self.state);
        state.rejected.insert(number, reason.to_owned());
        true
    }

    /// What became of the letters up to a place: `read` were read before the last mark that all sinks are past, and all sinks have `taken` records.
    pub(super) fn delivered(&self, read: u64, taken: u64) -> Vec<(LetterId, Redriven)> {
        let upto = if self.only_sink { taken } else { read };
        let mut state = lock(&self.state);
        let mut all = std::mem::take(&mut state.unfit);
        while state.settled < upto
            && let Some(id) = state.open.pop_front()
        {
            state.settled += 1;
            let number = state.settled;
            let redriven = match state.rejected.remove(&number) {
                Some(reason) => Redriven::Rejected { reason },
                None => Redriven::Resolved,
            };
            all.push((id, redriven));
        }
        all
    }

    /// The others, when the run is over: delivered, or the first tried in vain and the rest not tried.
    pub(super) fn rest(&self, complete: bool, why: Option<&str>) -> Vec<(LetterId, Redriven)> {
        if complete {
            return self.delivered(u64::MAX, u64::MAX);
        }
        let mut state = lock(&self.state);
        let mut why = why;
        let open: Vec<_> = state.open.drain(..).collect();
        let untried = open.into_iter().map(|id| {
            let redriven = match why.take() {
                Some(why) => Redriven::Failed { reason: why.into() },
                None => Redriven::Untried,
            };
            (id, redriven)
        });
        untried.collect()
    }

    /// The store was not told of these.
    pub(super) fn take_back(&self, redriven: Vec<(LetterId, Redriven)>) {
        lock(&self.state).unfit.extend(redriven);
    }

    async fn page(&self, most: u32) -> Result<Vec<Letter>, StoreFailure> {
        let take = |filter, most| self.store.take_letters(self.fence, filter, most);
        if self.feed.ids.is_empty() {
            let filter = LetterFilter {
                after: lock(&self.state).after,
                ..self.filter.clone()
            };
            let page = take(filter, most.min(MOST_ROWS)).await?;
            if let Some(last) = page.last() {
                lock(&self.state).after = Some(last.id);
            }
            return Ok(page);
        }
        let mut page = Vec::new();
        while page.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            let at = lock(&self.state).looked;
            let Some(id) = self.feed.ids.get(at) else {
                break;
            };
            let filter = LetterFilter {
                id: Some(LetterId(*id)),
                ..self.filter.clone()
            };
            page.extend(take(filter, 1).await?);
            lock(&self.state).looked = at.saturating_add(1);
        }
        Ok(page)
    }

    async fn pull(&self, most: Most) -> Result<Pulled, Fault> {
        let page = self.page(most.records).await.map_err(|e| match e {
            passing if passing.is_retryable() => Fault::Transient {
                message: passing.to_string(),
                retry_after_ms: None,
            },
            other => Fault::Refused(other.to_string()),
        })?;
        let mut data = BytesMut::new();
        let mut count = 0_u32;
        let done = page.is_empty();
        let mut state = lock(&self.state);
        for letter in page {
            let record = letter.edited.as_ref().unwrap_or(&letter.new.original);
            match line(record) {
                Ok(line) => {
                    data.extend_from_slice(&line);
                    data.extend_from_slice(b"\n");
                    count = count.saturating_add(1);
                    state.open.push_back(letter.id);
                }
                Err(reason) => state.unfit.push((letter.id, Redriven::Rejected { reason })),
            }
        }
        drop(state);
        Ok(Pulled {
            batch: Batch {
                encoding: Encoding::Ndjson,
                count,
                data: data.freeze(),
            },
            // How far it is, the store knows: letters that are settled are not taken again.
            cursor: Some("null".into()),
            done,
            rejects: Vec::new(),
        })
    }
}

/// A record as the stages take it: one JSON document on a line.
fn line(record: &Bytes) -> Result<Bytes, String> {
    let trimmed = record.trim_ascii();
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(trimmed);
    read.map_err(|e| format!("it is no JSON, and has to be edited first: {e}"))?;
    if !trimmed.contains(&b'\n') {
        return Ok(record.slice_ref(trimmed));
    }
    let value: serde_json::Value =
        serde_json::from_slice(trimmed).map_err(|e| format!("it is no JSON: {e}"))?;
    Ok(value.to_string().into())
}

/// Reads them as a source.
pub(super) struct Letters(pub(super) Arc<Redrive>);

impl Reader for Letters {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(self.0.pull(most))
    }
}
