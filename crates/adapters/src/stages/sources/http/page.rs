//! One page: what its answer is, and the records in it, piece by piece. Which page is next is decided elsewhere.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::UTF_8;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use model::data::{Batch, Most, Unreadable};
use model::error::Fault;
use model::ports::HttpBody;
use model::stage::{Context, Progress};
use serde_json::Value;
use url::Url;

use super::paging::Known;
use super::plan::{Plan, Shape};
use super::shape::{self, Found};
use crate::stages::format::{Gathered, Reading, Records, Stop, TextFormat};
use crate::stages::web::body::{Coding, LOOKED_AT, Pieces, Unread, coding};
use crate::stages::web::caller::{Answer, Caller, Failure};
use crate::stages::web::document::{Document, Path};

/// A document of so many bytes is looked through on a thread for it.
const LARGE: usize = 1024 * 1024;

/// Where pages come from, the same for all of a run.
pub(super) struct Site {
    pub(super) caller: Caller,
    pub(super) plan: Arc<Plan>,
    pub(super) record_bytes: usize,
    pub(super) parsed_next: bool,
    pub(super) progress: Arc<Progress>,
}

/// A page while it is read.
pub(super) struct Page {
    pub(super) url: Url,
    /// What was asked, for messages.
    place: String,
    pub(super) headers: HeaderMap,
    pub(super) known: Known,
    /// Records so far, readable or not.
    pub(super) count: u64,
    pub(super) is_done: bool,
    records: Records,
    /// What is still to come from the network.
    pieces: Option<Pieces>,
    /// How it begins, for a message.
    begins: Vec<u8>,
    content: DefaultHasher,
    /// What came before the page was known to be sound, to be handed on first.
    first: Option<Part>,
    /// What ended it, to be told after what came before.
    failed: Option<Fault>,
}

/// Records of a page.
pub(super) struct Part {
    pub(super) batch: Batch,
    pub(super) rejects: Vec<Unreadable>,
}

impl Part {
    pub(super) fn none() -> Self {
        let (batch, rejects) = Gathered::new(
            Most {
                records: 1,
                bytes: 1,
            },
            0,
        )
        .done();
        Self { batch, rejects }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.count == 0 && self.rejects.is_empty()
    }
}

/// What an answer turned out to be.
struct Opened {
    reading: Reading,
    pieces: Option<Pieces>,
    /// The text, where it is there as a whole.
    text: Option<Bytes>,
    known: Known,
}

impl Site {
    pub(super) fn new(caller: Caller, plan: Plan, context: &Context) -> Self {
        Self {
            caller,
            plan: Arc::new(plan),
            record_bytes: usize::try_from(context.record_bytes).unwrap_or(usize::MAX),
            parsed_next: context.parsed_next,
            progress: Arc::clone(&context.progress),
        }
    }

    /// A page, with its first records read: until then it may be asked for again. `columns` is what the page before ended with.
    pub(super) async fn page(
        &self,
        answer: Answer,
        columns: Option<&Value>,
        most: Most,
        number: &mut u64,
    ) -> Result<Page, Failure> {
        let url = self.caller.strip(answer.url.clone());
        let headers = answer.headers.clone();
        let place = answer.place.clone();
        let at = place.as_str();
        let opened = self.opened(answer, &url).await?;
        let records = Records::new(&opened.reading, columns).map_err(|m| Self::bad(at, &m))?;
        let mut page = Page {
            url,
            place: place.clone(),
            headers,
            known: opened.known,
            count: 0,
            is_done: false,
            records,
            pieces: opened.pieces,
            begins: Vec::new(),
            content: DefaultHasher::new(),
            first: None,
            failed: None,
        };
        if let Some(text) = opened.text {
            page.feed(text).map_err(|m| Self::bad(at, &m))?;
        }
        let first = page.gather(self, most, number).await?;
        let is_markup = page.begins.trim_ascii_start().starts_with(b"<");
        if is_markup && opened.reading.format != TextFormat::Csv {
            return Err(page.unreadable(self, "is neither JSON nor NDJSON"));
        }
        page.first = Some(first);
        Ok(page)
    }

    async fn opened(&self, answer: Answer, url: &Url) -> Result<Opened, Failure> {
        let Answer {
            status,
            headers,
            body,
            place,
            ..
        } = answer;
        let at = place.as_str();
        let size = body.size_hint().exact();
        let is_empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
        if is_empty || size == Some(0) {
            return self.held(at, Bytes::new(), None).await;
        }
        let encoded = coding(&headers).map_err(|m| Self::bad(at, &m))?;
        let Some(found) = shape::found(self.plan.read.format, &headers, url) else {
            return Err(self.wrong_type(at, &headers, body, encoded).await);
        };
        self.progress.expect(size.unwrap_or(0));
        let pieces = Pieces::new(body, encoded.or(found.packed));
        let mut pieces = pieces.map_err(|e| Self::unread(at, e))?;
        if !self.plan.wants_document() {
            return Ok(Opened {
                reading: self.reading(found)?,
                pieces: Some(pieces),
                text: None,
                known: Known::default(),
            });
        }
        if found.format != TextFormat::Json {
            return Err(Self::bad(
                at,
                "is no JSON, and with this pagination it has to be",
            ));
        }
        let whole = pieces.whole(self.plan.most).await;
        self.progress.advance(pieces.read());
        let whole = whole.map_err(|e| Self::unread(at, e))?;
        self.held(at, whole, Some(found)).await
    }

    /// A document that is there as a whole, looked through.
    async fn held(&self, at: &str, text: Bytes, found: Option<Found>) -> Result<Opened, Failure> {
        let found = found.unwrap_or(Found {
            format: TextFormat::Ndjson,
            tabs: false,
            encoding: UTF_8,
            packed: None,
        });
        let reading = self.reading(found)?;
        if text.trim_ascii().is_empty() {
            let reading = Reading {
                format: TextFormat::Ndjson,
                ..reading
            };
            return Ok(Opened {
                reading,
                pieces: None,
                text: None,
                known: Known::default(),
            });
        }
        let (plan, kept) = (Arc::clone(&self.plan), text.clone());
        let looked = if text.len() < LARGE {
            look(&kept, &plan)
        } else {
            let work = tokio::task::spawn_blocking(move || look(&kept, &plan));
            let done = work.await;
            done.map_err(|e| Failure::Final(Fault::Internal(e.to_string())))?
        };
        let (known, nodes) = looked.map_err(|m| {
            let begins = self.caller.quote(&text);
            Failure::invalid(format!(
                "{}: {}; it begins: {begins}",
                answer(at),
                self.caller.quote(m.as_bytes())
            ))
        })?;
        let format = if nodes.is_some() {
            TextFormat::Ndjson
        } else {
            reading.format
        };
        Ok(Opened {
            reading: Reading { format, ..reading },
            pieces: None,
            text: Some(nodes.map_or(text, Bytes::from)),
            known,
        })
    }

    fn reading(&self, found: Found) -> Result<Reading, Failure> {
        let read = &self.plan.read;
        let csv = read.csv.checked("/csv", found.tabs);
        let csv = csv.map_err(|wrong| {
            let first = wrong.into_iter().next();
            Failure::invalid(
                first.map_or_else(String::new, |m| format!("{}: {}", m.pointer, m.message)),
            )
        })?;
        Ok(Reading {
            format: found.format,
            csv,
            records: read.records.as_ref().map(Path::keys).unwrap_or_default(),
            encoding: read.encoding.unwrap_or(found.encoding),
            record_bytes: self.record_bytes,
            check: !self.parsed_next,
        })
    }

    fn bad(at: &str, what: &str) -> Failure {
        Failure::invalid(format!("{}: {what}", answer(at)))
    }

    fn unread(at: &str, unread: Unread) -> Failure {
        match unread {
            Unread::Egress(error) => Caller::broke(at, error),
            Unread::Bad(what) => Self::bad(at, &what),
        }
    }

    async fn wrong_type(
        &self,
        at: &str,
        headers: &HeaderMap,
        body: HttpBody,
        encoded: Option<Coding>,
    ) -> Failure {
        let given = headers
            .get(CONTENT_TYPE)
            .map(|v| self.caller.quote(v.as_bytes()));
        let given = given.map_or_else(
            || "has no content type".into(),
            |g| format!("has the content type {g}"),
        );
        let mut begins = Vec::new();
        if let Ok(mut pieces) = Pieces::new(body, encoded) {
            while let (true, Ok(Some(piece))) = (begins.len() < LOOKED_AT, pieces.next().await) {
                begins.extend(piece.into_iter().take(LOOKED_AT));
            }
        }
        let hint = if self.plan.read.format == super::Format::Auto {
            ", which is none of JSON, NDJSON and CSV; if it is one all the same, say which: `format: json`"
        } else {
            ", which is not the `format` that was asked for"
        };
        Self::bad(
            at,
            &format!("{given}{hint}; it begins: {}", self.caller.quote(&begins)),
        )
    }
}

/// An answer, for messages.
fn answer(at: &str) -> String {
    format!("the answer to {at}")
}

/// What matters of a document for the next page; with GraphQL its nodes, one a line.
fn look(text: &[u8], plan: &Plan) -> Result<(Known, Option<Vec<u8>>), String> {
    let document = Document::read(text).map_err(|e| format!("is no JSON: {e}"))?;
    if let Some(errors) = shape::graphql_errors(document, plan.shape) {
        return Err(errors);
    }
    let known = plan.paging.as_ref().map(|p| p.known(document));
    let nodes = match (plan.shape, &plan.read.records) {
        (Shape::GraphQl { nodes: true, .. }, Some(at)) => Some(shape::nodes(document, at)?),
        _ => None,
    };
    Ok((known.unwrap_or_default(), nodes))
}

impl Page {
    /// Its next records.
    pub(super) async fn gather(
        &mut self,
        site: &Site,
        most: Most,
        number: &mut u64,
    ) -> Result<Part, Failure> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        if let Some(fault) = self.failed.take() {
            return Err(Failure::Final(fault));
        }
        let mut out = Gathered::new(most, *number);
        let failure = self.fill(site, &mut out).await.err();
        let came = out.number().saturating_sub(*number);
        if let Some(failure) = failure {
            let is_untouched = self.count == 0;
            if is_untouched && matches!(failure, Failure::Passing { .. }) {
                return Err(failure);
            }
            let fault = self.ended(failure, came);
            if came == 0 {
                return Err(Failure::Final(fault));
            }
            // What came before it is handed on first.
            self.failed = Some(fault);
        }
        *number = out.number();
        self.count = self.count.saturating_add(came);
        let (batch, rejects) = out.done();
        batch.data.hash(&mut self.content);
        Ok(Part { batch, rejects })
    }

    /// A failure in the middle: records were handed on, so the page is not asked for again, which would deliver them twice.
    fn ended(&self, failure: Failure, came: u64) -> Fault {
        match Fault::from(failure) {
            Fault::Transient { message, .. } => Fault::Internal(format!(
                "{message}; {} records of the page had been handed on, so it is not asked for again",
                self.count.saturating_add(came)
            )),
            other => other,
        }
    }

    async fn fill(&mut self, site: &Site, out: &mut Gathered) -> Result<(), Failure> {
        loop {
            let stop = self.records.take(out);
            match stop.map_err(|m| self.unreadable(site, &m))? {
                Stop::Full => return Ok(()),
                Stop::Done => {
                    self.is_done = true;
                    return Ok(());
                }
                Stop::Hungry => {}
            }
            let piece = match &mut self.pieces {
                None => None,
                Some(pieces) => {
                    let before = pieces.read();
                    let piece = pieces.next().await;
                    site.progress.advance(pieces.read().saturating_sub(before));
                    piece.map_err(|e| Site::unread(&self.place, e))?
                }
            };
            let fed = match piece {
                Some(piece) => self.feed(piece),
                None => self.records.end(),
            };
            fed.map_err(|m| self.unreadable(site, &m))?;
        }
    }

    fn feed(&mut self, piece: Bytes) -> Result<(), String> {
        let room = LOOKED_AT.saturating_sub(self.begins.len());
        self.begins.extend(piece.iter().take(room));
        self.records.feed(piece)
    }

    fn unreadable(&self, site: &Site, what: &str) -> Failure {
        let begins = site.caller.quote(&self.begins);
        Site::bad(&self.place, &format!("{what}; it begins: {begins}"))
    }

    /// What the page consists of, to be compared with others.
    pub(super) fn content(&self) -> u64 {
        self.content.finish()
    }

    /// What the columns of CSV are, for the next page.
    pub(super) fn columns(&self) -> Option<Value> {
        self.records.place().known
    }
}
