//! Answers that were kept, read again as they were when they came. Nobody is asked for anything, so that pages are those that there were, in that order.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use model::BoxFuture;
use model::bronze::{END, KeptInput, OF_STAGE, PART, Payloads, RUN, RawRecord, STATUS, URL};
use model::data::{Most, Pulled, Reader};
use model::error::Fault;
use model::ports::EgressError;
use model::stage::Context;
use serde_json::Value;
use tokio::sync::Mutex;

use super::page::{Page, Part, Site};
use super::plan::Plan;
use crate::stages::web::caller::{Answer, Caller};

/// The answers of a span of time.
pub(in crate::stages::sources) struct KeptPages {
    site: Site,
    context: Context,
    log: Arc<Mutex<Log>>,
    page: Option<Page>,
    /// The run whose answers are read: columns of CSV carry over within one.
    run: Option<Bytes>,
    columns: Option<Value>,
    number: u64,
}

/// The payloads of one stage.
struct Log {
    payloads: Payloads,
    stage: Arc<str>,
    /// The payload that was read ahead.
    ahead: Option<RawRecord>,
}

impl Log {
    /// The next payload of the stage.
    async fn next(&mut self) -> Result<Option<RawRecord>, Fault> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        loop {
            let next = self.payloads.next().await;
            let next = next.map_err(|error| Fault::Transient {
                message: error.to_string(),
                retry_after_ms: None,
            })?;
            let Some(kept) = next else { return Ok(None) };
            if kept.record.header(OF_STAGE) == Some(self.stage.as_bytes()) {
                return Ok(Some(kept.record));
            }
        }
    }

    /// The next part of an answer: of the same run, with the number that follows.
    async fn part(&mut self, of: &RawRecord, number: u64) -> Result<Option<RawRecord>, Fault> {
        let Some(next) = self.next().await? else {
            return Ok(None);
        };
        let same_run = next.header(RUN) == of.header(RUN);
        if same_run && next.header(PART) == Some(number.to_string().as_bytes()) {
            return Ok(Some(next));
        }
        self.ahead = Some(next);
        Ok(None)
    }
}

impl KeptPages {
    pub(in crate::stages::sources) fn new(
        caller: Caller,
        plan: Plan,
        context: Context,
        input: KeptInput,
    ) -> Self {
        let log = Log {
            payloads: input.after(None),
            stage: Arc::clone(&context.stage),
            ahead: None,
        };
        Self {
            site: Site::new(caller, plan, &context),
            context,
            log: Arc::new(Mutex::new(log)),
            page: None,
            run: None,
            columns: None,
            number: 0,
        }
    }

    /// The next answer; none: there is no more.
    async fn answer(&mut self) -> Result<Option<Answer>, Fault> {
        loop {
            let first = {
                let mut log = self.log.lock().await;
                let first = log.next().await?;
                for damage in log.payloads.damage() {
                    self.context.notes.say(&damage);
                }
                first
            };
            let Some(first) = first else { return Ok(None) };
            // Parts whose beginning is out of the span are no answer.
            if first.header(PART) != Some(b"0") {
                continue;
            }
            let run = first.headers.iter().find(|(name, _)| name == RUN);
            let run = run.map(|(_, run)| run.clone());
            if run != self.run {
                self.run = run;
                self.columns = None;
            }
            return Ok(Some(self.opened(first)));
        }
    }

    /// An answer as it came, its other parts read as they are needed.
    fn opened(&self, first: RawRecord) -> Answer {
        let place = String::from_utf8_lossy(first.header(URL).unwrap_or_default()).into_owned();
        let status = first.header(STATUS).unwrap_or_default();
        Answer {
            status: StatusCode::from_bytes(status).unwrap_or(StatusCode::OK),
            headers: headers(&first),
            url: self.site.plan.draft.url.clone(),
            place,
            body: StreamBody::new(parts(Arc::clone(&self.log), first)).boxed_unsync(),
        }
    }

    async fn more(&mut self, most: Most) -> Result<Pulled, Fault> {
        loop {
            let mut page = match self.page.take() {
                Some(page) => page,
                None => {
                    let Some(answer) = self.answer().await? else {
                        return Ok(pulled(Part::none(), true));
                    };
                    let place = answer.place.clone();
                    let columns = self.columns.clone();
                    let opened = self
                        .site
                        .page(answer, columns.as_ref(), most, &mut self.number);
                    match opened.await {
                        Ok(page) => page,
                        Err(failure) => {
                            // As it was then: it was asked for again, or its run failed.
                            let said = format!("{place}: {}", Fault::from(failure));
                            self.context.notes.say(&said);
                            continue;
                        }
                    }
                }
            };
            let part = match page.gather(&self.site, most, &mut self.number).await {
                Ok(part) => part,
                Err(failure) => {
                    self.context.notes.say(&Fault::from(failure).to_string());
                    continue;
                }
            };
            if page.is_done {
                self.columns = page.columns();
            } else {
                self.page = Some(page);
            }
            if !part.is_empty() {
                return Ok(pulled(part, false));
            }
        }
    }
}

impl Reader for KeptPages {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(self.more(most))
    }
}

fn pulled(part: Part, done: bool) -> Pulled {
    Pulled {
        batch: part.batch,
        cursor: None,
        done,
        rejects: part.rejects,
    }
}

/// The headers an answer had.
fn headers(record: &RawRecord) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &record.headers {
        let name = HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The parts of an answer, one after the other.
fn parts(
    log: Arc<Mutex<Log>>,
    first: RawRecord,
) -> impl stream::Stream<Item = Result<Frame<Bytes>, EgressError>> + Send {
    stream::unfold(Some((first, 1_u64, true)), move |state| {
        let log = Arc::clone(&log);
        async move {
            let (last, number, is_new) = state?;
            let frame = |record: &RawRecord| Ok(Frame::data(record.bytes.clone()));
            if is_new {
                return Some((frame(&last), Some((last, number, false))));
            }
            if last.header(END).is_some() {
                return None;
            }
            let broken = |said: String| Some((Err(EgressError::Broken(said)), None));
            match log.lock().await.part(&last, number).await {
                Ok(Some(next)) => {
                    let framed = frame(&next);
                    Some((framed, Some((next, number.saturating_add(1), false))))
                }
                Ok(None) => broken("it broke off when it came".into()),
                Err(fault) => broken(fault.to_string()),
            }
        }
    })
}
