//! Records from an HTTP API or a file behind a URL: one request, or one after the other for as long as there are pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use model::BoxFuture;
use model::bronze::KeptInput;
use model::data::{Opening, Reader};
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SourceKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stages::format::{CsvOptions, encoding_of};
use crate::stages::options;
use crate::stages::span::Span;
use crate::stages::web::auth::{Auth, set_query};
use crate::stages::web::caller::{Caller, Draft, Manners, Web};
use crate::stages::web::document::Path;
use crate::stages::web::options::{Method, RateLimit, Retry, half_a_minute};
use crate::stages::web::{self, check_url};

pub(super) mod kept;
mod page;
mod pagination;
pub(super) mod paging;
pub(super) mod plan;
pub(super) mod reader;
mod shape;

#[cfg(test)]
mod tests;

use kept::KeptPages;
use pagination::Pagination;
use plan::{Plan, Read, Shape};
use reader::Pages;

/// Records from a URL.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// An absolute URL, `http` or `https`. Templates and references work in it.
    url: String,
    /// The method.
    #[serde(default = "get")]
    method: Method,
    /// Headers by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Parameters of the query by name: encoded and added to the URL. A list gives a parameter several times.
    #[serde(default)]
    query: BTreeMap<String, Parameter>,
    /// The body: a text is sent as it is, anything else as JSON.
    body: Option<Value>,
    /// Who the stage says it is.
    auth: Option<Auth>,
    /// How records stand in the answer. `auto` goes by its content type, and where that says nothing (`text/plain`, `application/octet-stream`) by how the URL ends.
    #[serde(default)]
    format: Format,
    /// JSON only: the keys that lead to the records, with dots between them: `data.items`. Default: the elements of the list that the answer is, or the answer itself as one record.
    records: Option<String>,
    /// CSV only: how it is written.
    #[serde(default)]
    csv: CsvOptions,
    /// The encoding of the characters, by its WHATWG name. Default: what the content type says, else `utf-8`.
    encoding: Option<String>,
    /// How the next page is asked for. Default: there is one page.
    pagination: Option<Pagination>,
    /// Most pages of a run. When it is reached, the run ends there, and the next one goes on after it. Default: as many as there are.
    #[schemars(range(min = 1))]
    max_pages: Option<u64>,
    /// JSON with pagination: most bytes of an answer, after decoding. Other answers are not held as a whole and may have any size.
    #[serde(default = "plan::default_most")]
    #[schemars(range(min = 1, max = 1_073_741_824_u64))]
    max_response_bytes: u64,
    /// How a request is tried again, before records of its answer were handed on. Default: not here; the whole step is tried again as `errors.retry` of the pipeline says.
    retry: Option<Retry>,
    /// At most so many requests in a span of time.
    rate_limit: Option<RateLimit>,
    /// The longest wait for a connection, for an answer to begin, and between two pieces of it.
    #[serde(default = "half_a_minute")]
    timeout: Span,
    /// Most redirects of a request that are followed. They have to stay at the same scheme, host and port.
    #[serde(default = "five")]
    #[schemars(range(max = 20))]
    redirects: u32,
}

/// The value of a parameter of a query.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Parameter {
    /// Text.
    Text(String),
    /// A number.
    Number(serde_json::Number),
    /// `true` or `false`.
    Flag(bool),
    /// The parameter several times.
    Several(Vec<Parameter>),
}

impl Parameter {
    fn texts(&self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::Number(number) => vec![number.to_string()],
            Self::Flag(flag) => vec![flag.to_string()],
            Self::Several(all) => all.iter().flat_map(Self::texts).collect(),
        }
    }
}

/// How records stand in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// As the answer says.
    #[default]
    Auto,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
    /// Rows of fields.
    Csv,
}

fn get() -> Method {
    Method::Get
}

fn five() -> u32 {
    5
}

/// The source `http`.
#[derive(Debug)]
pub(super) struct Http(pub(super) Web);

impl Kind for Http {
    fn described(&self) -> Described {
        Described {
            name: "http",
            summary: "Records from a URL: JSON, NDJSON or CSV, with credentials, pagination, retries and a pace.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| options.check())
    }
}

impl SourceKind for Http {
    fn open(
        &self,
        opening: Opening,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        let opened = self.reader(&opening, &context);
        Box::pin(async { opened.map(|r| Box::new(r) as Box<dyn Reader>) })
    }

    fn keeps_raw(&self) -> bool {
        true
    }

    fn open_kept(
        &self,
        opening: Opening,
        context: Context,
        input: KeptInput,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        let parts = self.parts(&opening, &context);
        Box::pin(async {
            let (caller, plan) = parts?;
            let pages = KeptPages::new(caller, plan, context, input);
            Ok(Box::new(pages) as Box<dyn Reader>)
        })
    }
}

impl Http {
    fn reader(&self, opening: &Opening, context: &Context) -> Result<Pages, Fault> {
        let (caller, plan) = self.parts(opening, context)?;
        Pages::new(caller, plan, context, opening.cursor.as_deref())
    }

    /// Who asks, and for what.
    fn parts(&self, opening: &Opening, context: &Context) -> Result<(Caller, Plan), Fault> {
        let options: Options = options::read(&opening.config)?;
        options::refuse(options.check())?;
        let draft = options.draft()?;
        let manners = Manners {
            headers: &options.headers,
            auth: options.auth.as_ref(),
            retry: options.retry.as_ref(),
            rate_limit: options.rate_limit.as_ref(),
            timeout: options.timeout,
            redirects: options.redirects,
            signer: None,
        };
        let caller = Caller::new(&self.0, context, &draft.url, manners)?;
        Ok((caller, options.plan(draft)?))
    }
}

impl Options {
    fn check(&self) -> Vec<Misfit> {
        let mut wrong = check_url(&self.url);
        wrong.extend(self.auth.iter().flat_map(Auth::check));
        wrong.extend(self.retry.iter().flat_map(Retry::check));
        wrong.extend(self.csv.checked("/csv", false).err().into_iter().flatten());
        wrong.extend(web::check_headers(self.headers.keys()));
        if let Some(Err(m)) = self.records.as_deref().map(Path::read) {
            wrong.push(Misfit::new("/records", m));
        }
        if let Some(Err(m)) = self.encoding.as_deref().map(encoding_of) {
            wrong.push(Misfit::new("/encoding", m));
        }
        if let (Some(_), Format::Ndjson | Format::Csv) = (&self.records, self.format) {
            wrong.push(Misfit::new(
                "/records",
                "only JSON has a path to its records; leave it out, or say `format: json`",
            ));
        }
        if self.method == Method::Get && self.body.is_some() {
            wrong.push(Misfit::new(
                "/body",
                "a GET has no body; say `method: POST`, or put it into `query`",
            ));
        }
        if let Some(pagination) = &self.pagination {
            let json = matches!(self.format, Format::Auto | Format::Json);
            let body = self.body.as_ref().is_some_and(Value::is_object);
            wrong.extend(pagination.check(json, self.records.is_some(), body));
        }
        wrong
    }

    /// The request for the first page.
    fn draft(&self) -> Result<Draft, Fault> {
        let mut url = web::url(&self.url).map_err(Fault::Invalid)?;
        for (name, value) in &self.query {
            set_query(&mut url, name, None);
            for text in value.texts() {
                url.query_pairs_mut().append_pair(name, &text);
            }
        }
        let mut headers = HeaderMap::new();
        let body = match &self.body {
            None => Bytes::new(),
            Some(Value::String(text)) => Bytes::from(text.clone()),
            Some(json) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Bytes::from(json.to_string())
            }
        };
        Ok(Draft {
            method: self.method.into(),
            url,
            headers,
            body,
            id: String::new(),
        })
    }

    fn plan(self, draft: Draft) -> Result<Plan, Fault> {
        let invalid = |m: String| Fault::Invalid(m);
        let encoding = self.encoding.as_deref().map(encoding_of).transpose();
        let records = self.records.as_deref().map(Path::read).transpose();
        Ok(Plan {
            draft,
            body: self.body.filter(Value::is_object),
            read: Read {
                format: self.format,
                records: records.map_err(invalid)?,
                csv: self.csv,
                encoding: encoding.map_err(invalid)?,
            },
            shape: Shape::Plain,
            paging: self
                .pagination
                .map(|p| p.paging())
                .transpose()
                .map_err(invalid)?,
            max_pages: self.max_pages,
            most: self.max_response_bytes,
        })
    }
}

/// The source `http`, for the list of kinds.
pub(in crate::stages) fn kind(web: &Web) -> Arc<dyn SourceKind> {
    Arc::new(Http(web.clone()))
}
