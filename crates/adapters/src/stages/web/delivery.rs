//! A sink at work over HTTP: batches become requests, answers become rejects. What is in a record is not looked at.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use model::BoxFuture;
use model::data::{Batch, Partly, Reject, Writer};
use model::error::Fault;
use model::text::hex;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use url::Url;

use super::body::{Pieces, Unread, coding, drain};
use super::caller::{Answer, Caller, Draft, Failure};
use super::document::{Document, Path, inner};

/// Most bytes of an answer that names results.
const ANSWER: u64 = 16 * 1024 * 1024;

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stages) enum Holds {
    /// A list of records.
    Records,
    /// One record.
    Record,
    /// Records, one a line.
    Lines,
}

/// How a request is named, the same when it is sent again.
#[derive(Debug, Clone)]
pub(in crate::stages) enum Named {
    /// Not at all.
    No,
    /// By the key of the delivery, in a header.
    Key(HeaderName),
    /// By a message's id, `msg_` and 32 hexadecimal digits, in `webhook-id`.
    Message,
}

/// Where an answer tells what became of each record.
#[derive(Debug, Clone)]
pub(in crate::stages) struct Results {
    /// The list of results, in the order of the records; none: the answer itself.
    pub(in crate::stages) records: Option<Path>,
    /// What went wrong, in a result; `null` and `false` are nothing.
    pub(in crate::stages) error: Path,
}

/// How records are delivered.
pub(in crate::stages) struct Terms {
    pub(in crate::stages) method: Method,
    pub(in crate::stages) url: Url,
    pub(in crate::stages) holds: Holds,
    /// Most records of a request; none: as many as come at once.
    pub(in crate::stages) most: Option<usize>,
    /// Requests under way at once.
    pub(in crate::stages) at_once: usize,
    pub(in crate::stages) named: Named,
    pub(in crate::stages) results: Option<Results>,
}

/// A sink at work.
pub(in crate::stages) struct Delivery {
    caller: Arc<Caller>,
    terms: Arc<Terms>,
    /// What was delivered of the last batch: should it come again, that is not sent again.
    begun: Option<Begun>,
}

struct Begun {
    key: String,
    /// The records of each request.
    parts: Vec<Range<usize>>,
    /// Requests that were answered, by their number in the batch.
    done: BTreeMap<usize, Vec<Reject>>,
}

impl Delivery {
    pub(in crate::stages) fn new(caller: Caller, terms: Terms) -> Self {
        Self {
            caller: Arc::new(caller),
            terms: Arc::new(terms),
            begun: None,
        }
    }

    async fn deliver(&mut self, batch: Batch, key: String) -> Result<Vec<Reject>, Fault> {
        let lines = lines(&batch.data);
        let size = match self.terms.holds {
            Holds::Record => 1,
            Holds::Records | Holds::Lines => self.terms.most.unwrap_or(usize::MAX),
        };
        let parts = parts(lines.len(), size);
        let mut begun = self.begun.take().filter(|b| b.key == key).unwrap_or(Begun {
            key,
            parts: parts.clone(),
            done: BTreeMap::new(),
        });
        let mut waiting = (0..parts.len())
            .filter(|n| !begun.done.contains_key(n))
            .collect::<Vec<_>>()
            .into_iter();
        let mut under_way = JoinSet::new();
        let mut failure = None;
        loop {
            while failure.is_none() && under_way.len() < self.terms.at_once {
                let Some(number) = waiting.next() else { break };
                let Some(part) = parts.get(number).cloned() else {
                    break;
                };
                let records = lines.get(part.clone()).unwrap_or_default();
                let draft = self.terms.draft(records, &begun.key, number, parts.len());
                let (caller, terms) = (Arc::clone(&self.caller), Arc::clone(&self.terms));
                under_way.spawn(async move { (number, send(&caller, &terms, &draft, part).await) });
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok((number, Ok(rejects)))) => {
                    begun.done.insert(number, rejects);
                }
                Some(Ok((_, Err(failed)))) => failure = failure.or(Some(Fault::from(failed))),
                Some(Err(e)) => failure = failure.or(Some(Fault::Internal(e.to_string()))),
            }
        }
        let rejects = begun.done.values().flatten().cloned().collect();
        self.begun = Some(begun);
        failure.map_or(Ok(rejects), Err)
    }
}

impl Writer for Delivery {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(self.deliver(batch, key))
    }

    fn partly(&self, key: &str) -> Partly {
        let Some(begun) = self.begun.as_ref().filter(|b| b.key == key) else {
            return Partly::default();
        };
        let answered = begun.done.keys().filter_map(|at| begun.parts.get(*at));
        let rejects: Vec<_> = begun.done.values().flatten().cloned().collect();
        Partly::of(answered.cloned().flatten(), &rejects)
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

/// The records of a batch.
fn lines(data: &Bytes) -> Vec<Bytes> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', data).chain([data.len()]);
    let found = ends.map(|end| {
        let line = data.slice(start..end);
        start = end.saturating_add(1).min(data.len());
        line
    });
    found.filter(|line| !line.is_empty()).collect()
}

/// Which records go together.
fn parts(count: usize, size: usize) -> Vec<Range<usize>> {
    let size = size.max(1);
    let starts = (0..count).step_by(size);
    starts
        .map(|start| start..start.saturating_add(size).min(count))
        .collect()
}

impl Terms {
    fn draft(&self, records: &[Bytes], key: &str, number: usize, of: usize) -> Draft {
        let mut body = Vec::with_capacity(records.iter().map(|r| r.len().saturating_add(1)).sum());
        let content_type = match self.holds {
            Holds::Record => {
                records.iter().for_each(|r| body.extend_from_slice(r));
                "application/json"
            }
            Holds::Records => {
                for record in records {
                    body.push(if body.is_empty() { b'[' } else { b',' });
                    body.extend_from_slice(record);
                }
                body.push(b']');
                "application/json"
            }
            Holds::Lines => {
                for record in records {
                    body.extend_from_slice(record);
                    body.push(b'\n');
                }
                "application/x-ndjson"
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let id = match &self.named {
            Named::No => String::new(),
            Named::Key(_) => plain(key, number, of),
            Named::Message => format!("msg_{}", digest(key, number)),
        };
        let name = match &self.named {
            Named::No => None,
            Named::Key(name) => Some(name.clone()),
            Named::Message => Some(HeaderName::from_static("webhook-id")),
        };
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(&id)) {
            headers.insert(name, value);
        }
        Draft {
            method: self.method.clone(),
            url: self.url.clone(),
            headers,
            body: body.into(),
            id,
        }
    }
}

/// A delivery's key with the number of the request, where it can stand in a header.
fn plain(key: &str, number: usize, of: usize) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if key.is_empty() || key.len() > 200 || !key.chars().all(is_plain) {
        return digest(key, number);
    }
    if of == 1 {
        key.into()
    } else {
        format!("{key}-{number}")
    }
}

fn digest(key: &str, number: usize) -> String {
    let digest = Sha256::digest(format!("{key}\n{number}"));
    hex(digest.get(..16).unwrap_or_default())
}

/// Sends a request until it is answered, and says which records were not taken.
async fn send(
    caller: &Caller,
    terms: &Terms,
    draft: &Draft,
    part: Range<usize>,
) -> Result<Vec<Reject>, Failure> {
    let mut tries = caller.tries();
    loop {
        let sent = match caller.send(draft).await {
            Ok(answer) => taken(caller, terms, answer, &part).await,
            Err(Failure::Answered { status, message }) if is_of_records(status) => {
                return Ok(part.map(|at| Reject::new(at, message.as_str())).collect());
            }
            Err(failure) => Err(failure),
        };
        match sent {
            Ok(rejects) => return Ok(rejects),
            Err(failure) => caller.again(&mut tries, failure).await?,
        }
    }
}

/// Does a status of 4xx say that the records are wrong? Else the address, the method or who we are is, and no other record would fare better.
fn is_of_records(status: StatusCode) -> bool {
    let of_us = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::PAYMENT_REQUIRED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::GONE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::UPGRADE_REQUIRED
    );
    status.is_client_error() && !of_us
}

/// Reads an answer of 2xx.
async fn taken(
    caller: &Caller,
    terms: &Terms,
    answer: Answer,
    part: &Range<usize>,
) -> Result<Vec<Reject>, Failure> {
    let Some(results) = &terms.results else {
        drain(answer.body).await;
        return Ok(Vec::new());
    };
    let place = &answer.place;
    let bad = |what: &str| {
        Failure::invalid(format!(
            "{place} took the records, but its answer does not say what became of each: {what}"
        ))
    };
    let coding = coding(&answer.headers).map_err(|m| bad(&m))?;
    let unread = |unread| match unread {
        Unread::Egress(error) => Caller::broke(place, error),
        Unread::Bad(what) => bad(&what),
    };
    let mut pieces = Pieces::new(answer.body, coding).map_err(unread)?;
    let text = pieces.whole(ANSWER).await.map_err(unread)?;
    let document = Document::read(&text).map_err(|e| bad(&format!("it is no JSON: {e}")))?;
    let list = document.elements(results.records.as_ref());
    let list = list.ok_or_else(|| bad("there is no list of results"))?;
    if list.len() != part.len() {
        return Err(bad(&format!(
            "there are {} results for {} records",
            list.len(),
            part.len()
        )));
    }
    let failed = list
        .into_iter()
        .zip(part.clone())
        .filter_map(|(result, at)| {
            let error = results.error.keys();
            let error = error
                .iter()
                .try_fold(result, |here, key| inner(here, key))?;
            let text = error.get();
            (!matches!(text, "null" | "false")).then(|| {
                let said: Result<String, _> = serde_json::from_str(text);
                let said = said.unwrap_or_else(|_| text.to_owned());
                let said = caller.quote(said.as_bytes());
                Reject::new(at, format!("{place} did not take it: {said}"))
            })
        });
    Ok(failed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_put_together_as_many_as_may_be() {
        let data = Bytes::from_static(b"1\n2\n3\n");
        let lines = lines(&data);
        assert_eq!(lines, ["1", "2", "3"].map(Bytes::from));
        assert_eq!(parts(3, 2), [0..2, 2..3]);
        assert_eq!(parts(3, usize::MAX), parts(3, 3));
        assert!(parts(0, 2).is_empty());
    }

    #[test]
    fn keys_stand_in_headers_as_they_are_or_as_a_digest() {
        assert_eq!(plain("run_1:a-2", 0, 1), "run_1:a-2");
        assert_eq!(plain("run_1", 3, 4), "run_1-3");
        let digested = plain("a b\r\nx: y", 0, 1);
        assert!(digested.len() == 32 && digested.chars().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(digest("k", 1), digest("k", 1));
        assert_ne!(digest("k", 1), digest("k", 2));
    }
}
