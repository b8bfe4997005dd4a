//! Records to an HTTP API: lists, lines or one at a time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use model::BoxFuture;
use model::data::Writer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SinkKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stages::options;
use crate::stages::span::Span;
use crate::stages::web::auth::{Auth, header_name};
use crate::stages::web::caller::{Caller, Manners, Web};
use crate::stages::web::delivery::{Delivery, Holds, Named, Results, Terms};
use crate::stages::web::document::Path;
use crate::stages::web::options::{Method, RateLimit, Retry, half_a_minute};
use crate::stages::web::{self, check_headers, check_url};

#[cfg(test)]
mod tests;

/// Records to a URL.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// An absolute URL, `http` or `https`. Templates and references work in it.
    url: String,
    /// The method.
    #[serde(default = "post")]
    #[schemars(schema_with = "sending")]
    method: Method,
    /// Headers by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Who the stage says it is.
    auth: Option<Auth>,
    /// What a request holds: a JSON list of records, one record, or records as NDJSON.
    #[serde(default)]
    body: Body,
    /// Most records of a request, with `records` and `ndjson`. Default: as many as come at once (`limits.batch_records` of the pipeline).
    batch: Option<NonZeroU32>,
    /// Requests under way at once. With more than 1 the records of a batch may arrive in another order.
    #[serde(default = "one")]
    #[schemars(range(max = 64))]
    concurrency: NonZeroU32,
    /// The header that names a request, the same when it is sent again, so that the server can tell. Empty: none.
    #[serde(default = "idempotency_key")]
    idempotency_header: String,
    /// Where an answer says what became of each record. Default: an answer of 2xx is taken to say that all went well.
    results: Option<ResultsOptions>,
    /// How a request is tried again. Default: not here; the whole step is tried again as `errors.retry` of the pipeline says, without the requests that were answered.
    retry: Option<Retry>,
    /// At most so many requests in a span of time.
    rate_limit: Option<RateLimit>,
    /// The longest wait for a connection, for an answer to begin, and between two pieces of it.
    #[serde(default = "half_a_minute")]
    timeout: Span,
}

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Body {
    /// A JSON list of records.
    #[default]
    Records,
    /// One record, JSON.
    Record,
    /// NDJSON.
    Ndjson,
}

/// Where an answer says what became of each record: a list, in the order of the records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResultsOptions {
    /// The keys that lead to the list: `items`. Default: the answer is the list.
    records: Option<String>,
    /// The keys that lead from a result to what went wrong: `error.message`. Missing, `null` and `false`: nothing did.
    #[serde(default = "error")]
    error: String,
}

fn post() -> Method {
    Method::Post
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn idempotency_key() -> String {
    "Idempotency-Key".into()
}

fn error() -> String {
    "error".into()
}

/// The methods that send something.
fn sending(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["POST", "PUT", "PATCH", "DELETE"]})
}

/// The sink `http_api`.
#[derive(Debug)]
struct HttpApi(Web);

impl Kind for HttpApi {
    fn described(&self) -> Described {
        Described {
            name: "http_api",
            summary: "Records to an HTTP API, as lists, as NDJSON or one at a time, with credentials, retries and a pace.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| options.check())
    }
}

impl SinkKind for HttpApi {
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        let opened = self.writer(&config, &context);
        Box::pin(async { opened.map(|w| Box::new(w) as Box<dyn Writer>) })
    }
}

impl HttpApi {
    fn writer(&self, config: &str, context: &Context) -> Result<Delivery, Fault> {
        let options: Options = options::read(config)?;
        options::refuse(options.check())?;
        let manners = Manners {
            headers: &options.headers,
            auth: options.auth.as_ref(),
            retry: options.retry.as_ref(),
            rate_limit: options.rate_limit.as_ref(),
            timeout: options.timeout,
            redirects: 0,
            signer: None,
        };
        let url = web::url(&options.url).map_err(Fault::Invalid)?;
        let caller = Caller::new(&self.0, context, &url, manners)?;
        let named = match options.idempotency_header.as_str() {
            "" => Named::No,
            name => Named::Key(header_name(name).map_err(Fault::Invalid)?),
        };
        let results = options.results.map(|r| r.results()).transpose();
        let terms = Terms {
            method: options.method.into(),
            url,
            holds: options.body.into(),
            most: options.batch.map(size),
            at_once: size(options.concurrency),
            named,
            results: results.map_err(Fault::Invalid)?,
        };
        Ok(Delivery::new(caller, terms))
    }
}

impl From<Body> for Holds {
    fn from(body: Body) -> Self {
        match body {
            Body::Records => Self::Records,
            Body::Record => Self::Record,
            Body::Ndjson => Self::Lines,
        }
    }
}

fn size(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

impl ResultsOptions {
    fn results(&self) -> Result<Results, String> {
        Ok(Results {
            records: self.records.as_deref().map(Path::read).transpose()?,
            error: Path::read(&self.error)?,
        })
    }
}

impl Options {
    fn check(&self) -> Vec<Misfit> {
        let mut wrong = check_url(&self.url);
        wrong.extend(self.auth.iter().flat_map(Auth::check));
        wrong.extend(self.retry.iter().flat_map(Retry::check));
        wrong.extend(check_headers(self.headers.keys()));
        let name = self.idempotency_header.as_str();
        if let (false, Err(m)) = (name.is_empty(), header_name(name)) {
            wrong.push(Misfit::new("/idempotency_header", m));
        }
        if self.method == Method::Get {
            let message = "a GET sends nothing; POST, PUT, PATCH and DELETE do";
            wrong.push(Misfit::new("/method", message));
        }
        let single = self.body == Body::Record;
        if single && self.batch.is_some() {
            let message = "with `body: record` each request holds one record";
            wrong.push(Misfit::new("/batch", message));
        }
        if single && self.results.is_some() {
            let message =
                "with `body: record` the status of an answer says what became of its record";
            wrong.push(Misfit::new("/results", message));
        }
        if let Some(Err(m)) = self.results.as_ref().map(ResultsOptions::results) {
            wrong.push(Misfit::new("/results", m));
        }
        wrong
    }
}

/// The sink `http_api`, for the list of kinds.
pub(in crate::stages) fn kind(web: &Web) -> Arc<dyn SinkKind> {
    Arc::new(HttpApi(web.clone()))
}
