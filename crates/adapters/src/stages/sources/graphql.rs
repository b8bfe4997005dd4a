//! Records from a GraphQL API over HTTP: a query, its variables, and the pages of a Relay connection. Requests, retries and pages are those of [`super::http`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use model::BoxFuture;
use model::bronze::KeptInput;
use model::data::{Opening, Reader};
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SourceKind, is_open};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::Format;
use super::http::kept::KeptPages;
use super::http::paging::{Paging, Slot};
use super::http::plan::{self, Plan, Read, Shape};
use super::http::reader::Pages;
use crate::stages::format::CsvOptions;
use crate::stages::options;
use crate::stages::span::Span;
use crate::stages::web::auth::Auth;
use crate::stages::web::caller::{Caller, Draft, Manners, Web};
use crate::stages::web::document::Path;
use crate::stages::web::options::{RateLimit, Retry, half_a_minute};
use crate::stages::web::{self, check_url};

#[cfg(test)]
mod tests;

/// Records from a GraphQL API.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// An absolute URL, `http` or `https`. Templates and references work in it.
    url: String,
    /// The query: one operation, with its fragments.
    query: String,
    /// Variables by name.
    #[serde(default)]
    variables: Map<String, Value>,
    /// The keys that lead to the records, from `data` on: `data.countries`. A list gives its elements, anything else is one record. With `pagination` it is left out: the
    /// records are the connection's nodes.
    records: Option<String>,
    /// Relay pages.
    pagination: Option<Relay>,
    /// Most pages of a run. When it is reached, the run ends there, and the next one goes on after it. Default: as many as there are.
    #[schemars(range(min = 1))]
    max_pages: Option<u64>,
    /// Use data that comes beside errors? Else an answer with `errors` fails, whatever else is in it.
    #[serde(default)]
    partial: bool,
    /// Headers by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Who the stage says it is.
    auth: Option<Auth>,
    /// Most bytes of an answer, after decoding.
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
}

/// The pages of a connection, as Relay has them: `edges { node }` and `pageInfo { hasNextPage endCursor }`, which the query has to ask for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Relay {
    /// The keys that lead to the connection, from `data` on: `data.repository.issues`.
    connection: String,
    /// The variable that is given the cursor of the last record; it is `null` for the first page, unless `variables` sets it.
    #[serde(default = "after")]
    variable: String,
}

fn after() -> String {
    "after".into()
}

/// The source `graphql`.
#[derive(Debug)]
struct GraphQl(Web);

impl Kind for GraphQl {
    fn described(&self) -> Described {
        Described {
            name: "graphql",
            summary: "Records from a GraphQL API, with the pages of Relay connections; errors in an answer are failures.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| options.check())
    }
}

impl SourceKind for GraphQl {
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

impl GraphQl {
    fn reader(&self, opening: &Opening, context: &Context) -> Result<Pages, Fault> {
        let (caller, plan) = self.parts(opening, context)?;
        Pages::new(caller, plan, context, opening.cursor.as_deref())
    }

    /// Who asks, and for what.
    fn parts(&self, opening: &Opening, context: &Context) -> Result<(Caller, Plan), Fault> {
        let options: Options = options::read(&opening.config)?;
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
        Ok((caller, options.plan(url).map_err(Fault::Invalid)?))
    }
}

impl Options {
    fn check(&self) -> Vec<Misfit> {
        let mut wrong = check_url(&self.url);
        wrong.extend(self.auth.iter().flat_map(Auth::check));
        wrong.extend(self.retry.iter().flat_map(Retry::check));
        wrong.extend(web::check_headers(self.headers.keys()));
        let message = match (&self.records, &self.pagination) {
            (None, None) => {
                Some("give `records`, the keys that lead to the records, or `pagination`".into())
            }
            (Some(_), Some(_)) => Some(
                "with `pagination` the records are the connection's nodes: leave `records` out"
                    .into(),
            ),
            (Some(path), None) => Path::read(path).err(),
            (None, Some(_)) => None,
        };
        wrong.extend(message.map(|m: String| Misfit::new("/records", m)));
        if let Some(relay) = &self.pagination {
            if let Err(message) = Path::read(&relay.connection) {
                wrong.push(Misfit::new("/pagination/connection", message));
            }
            if !is_open(&self.query) && !self.query.contains(&format!("${}", relay.variable)) {
                wrong.push(Misfit::new(
                    "/query",
                    format!(
                        "does not use the variable `${}` that `pagination` sets",
                        relay.variable
                    ),
                ));
            }
        }
        wrong
    }

    fn plan(self, url: url::Url) -> Result<Plan, String> {
        let mut variables = self.variables;
        let mut records = self.records.as_deref().map(Path::read).transpose()?;
        let mut paging = None;
        if let Some(relay) = &self.pagination {
            let connection = Path::read(&relay.connection)?;
            variables
                .entry(relay.variable.clone())
                .or_insert(Value::Null);
            paging = Some(Paging::Token {
                at: connection.then(&["pageInfo", "endCursor"]),
                more: Some(connection.then(&["pageInfo", "hasNextPage"])),
                parameter: Slot::Body(Path::of(&["variables", &relay.variable])),
            });
            records = Some(connection);
        }
        let body = json!({"query": self.query, "variables": variables});
        let json = HeaderValue::from_static("application/json");
        let accept =
            HeaderValue::from_static("application/graphql-response+json, application/json");
        Ok(Plan {
            draft: Draft {
                method: Method::POST,
                url,
                headers: HeaderMap::from_iter([(CONTENT_TYPE, json), (ACCEPT, accept)]),
                body: Bytes::from(body.to_string()),
                id: String::new(),
            },
            body: Some(body),
            read: Read {
                format: Format::Json,
                records,
                csv: CsvOptions::default(),
                encoding: None,
            },
            shape: Shape::GraphQl {
                nodes: paging.is_some(),
                partial: self.partial,
            },
            paging,
            max_pages: self.max_pages,
            most: self.max_response_bytes,
        })
    }
}

/// The source `graphql`, for the list of kinds.
pub(in crate::stages) fn kind(web: &Web) -> Arc<dyn SourceKind> {
    Arc::new(GraphQl(web.clone()))
}
