//! One request of a stage, with its pace, its redirects and what its answer means: 2xx or a failure that says whether it may work later. Who tries again, and what is in a
//! body, is decided by who calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use model::error::Fault;
use model::limits::{Limit, Limits};
use model::pipeline::Backoff;
use model::ports::{Clock, Egress, EgressError, EgressPolicy, HttpBody, HttpClient, Reach, Timer};
use model::stage::{Context, KeepRaw};
use url::{Origin, Url};

use super::auth::{Auth, Credentials, header_name};
use super::backoff::{Tries, retry_after};
use super::body;
use super::keeping::keeping;
use super::options::{RateLimit, Retry};
use super::pace::Pace;
use super::sign::Signer;
use crate::stages::StagePorts;
use crate::stages::span::Span;

/// What the stages that speak HTTP work with.
#[derive(Debug, Clone)]
pub(in crate::stages) struct Web {
    pub(in crate::stages) egress: Arc<dyn Egress>,
    pub(in crate::stages) clock: Arc<dyn Clock>,
    pub(in crate::stages) timer: Arc<dyn Timer>,
}

impl Web {
    pub(in crate::stages) fn new(ports: &StagePorts) -> Self {
        Self {
            egress: Arc::clone(&ports.egress),
            clock: Arc::clone(&ports.clock),
            timer: Arc::clone(&ports.timer),
        }
    }
}

/// How a stage sends its requests.
pub(in crate::stages) struct Manners<'a> {
    /// Headers of every request.
    pub(in crate::stages) headers: &'a BTreeMap<String, String>,
    pub(in crate::stages) auth: Option<&'a Auth>,
    pub(in crate::stages) retry: Option<&'a Retry>,
    pub(in crate::stages) rate_limit: Option<&'a RateLimit>,
    pub(in crate::stages) timeout: Span,
    pub(in crate::stages) redirects: u32,
    pub(in crate::stages) signer: Option<Signer>,
}

/// Sends the requests of one stage of one run, to one origin.
pub(in crate::stages) struct Caller {
    web: Web,
    client: Arc<dyn HttpClient>,
    origin: Origin,
    headers: HeaderMap,
    credentials: Credentials,
    signer: Option<Signer>,
    pace: Option<Pace>,
    backoff: Option<Backoff>,
    redirects: u32,
    /// Keeps the bodies of answers as they come.
    raw: Option<Arc<dyn KeepRaw>>,
}

/// A request before it goes out.
#[derive(Clone)]
pub(in crate::stages) struct Draft {
    pub(in crate::stages) method: Method,
    pub(in crate::stages) url: Url,
    /// Beside those of every request.
    pub(in crate::stages) headers: HeaderMap,
    pub(in crate::stages) body: Bytes,
    /// What names the delivery, for a signature.
    pub(in crate::stages) id: String,
}

/// An answer with a status of 2xx.
pub(in crate::stages) struct Answer {
    pub(in crate::stages) status: StatusCode,
    pub(in crate::stages) headers: HeaderMap,
    pub(in crate::stages) body: HttpBody,
    /// Where it came from, after redirects.
    pub(in crate::stages) url: Url,
    /// What was asked there, as messages name it ([`Caller::place_of`]).
    pub(in crate::stages) place: String,
}

/// Why there is no such answer.
#[derive(Debug, Clone)]
pub(in crate::stages) enum Failure {
    /// None came, it was cut, or it said 408, 425, 429 or 5xx.
    Passing {
        message: String,
        retry_after: Option<Duration>,
    },
    /// It said no: any other status.
    Answered { status: StatusCode, message: String },
    /// The request cannot or must not be sent, or its answer not be used.
    Final(Fault),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing {
                message,
                retry_after,
            } => Self::Transient {
                message,
                retry_after_ms: retry_after
                    .map(|w| u32::try_from(w.as_millis()).unwrap_or(u32::MAX)),
            },
            Failure::Answered { message, .. } => Self::Invalid(message),
            Failure::Final(fault) => fault,
        }
    }
}

impl Failure {
    pub(in crate::stages) fn invalid(message: impl Into<String>) -> Self {
        Self::Final(Fault::Invalid(message.into()))
    }
}

impl Caller {
    /// For requests to the origin of `url`.
    pub(in crate::stages) fn new(
        web: &Web,
        context: &Context,
        url: &Url,
        manners: Manners<'_>,
    ) -> Result<Self, Fault> {
        let headers = headers(manners.headers)?;
        let policy = EgressPolicy {
            sender: format!("pipeline {}, stage {}", context.pipeline, context.stage),
            reach: Reach::of_pipeline(context.access.http.clone()),
            limits: limits(manners.timeout)?,
        };
        Ok(Self {
            client: web.egress.client(policy),
            web: web.clone(),
            origin: url.origin(),
            credentials: Credentials::new(manners.auth, &headers, Arc::clone(&context.secrets))?,
            headers,
            signer: manners.signer,
            pace: manners.rate_limit.map(Pace::new),
            backoff: manners.retry.map(Retry::backoff),
            redirects: manners.redirects,
            raw: context.raw.clone(),
        })
    }

    /// The tries of a request.
    pub(in crate::stages) fn tries(&self) -> Tries {
        Tries::new(self.backoff)
    }

    /// Waits until the next try, where there is one; else the failure.
    pub(in crate::stages) async fn again(
        &self,
        tries: &mut Tries,
        failure: Failure,
    ) -> Result<(), Failure> {
        let wait = tries.after(failure)?;
        self.web.timer.wait(wait).await;
        Ok(())
    }

    /// Is this URL at the stage's own origin?
    pub(in crate::stages) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.origin
    }

    /// A URL that the server gave, without what only we know.
    pub(in crate::stages) fn strip(&self, mut url: Url) -> Url {
        self.credentials.strip(&mut url);
        url
    }

    /// The origin, for messages.
    pub(in crate::stages) fn place(&self) -> String {
        self.origin.ascii_serialization()
    }

    /// What is asked where, for messages: method, origin and path. The query may hold secrets, and a secret in the path is left out.
    pub(in crate::stages) fn place_of(&self, draft: &Draft) -> String {
        let Draft { method, url, .. } = draft;
        let origin = url.origin().ascii_serialization();
        format!("{method} {origin}{}", self.credentials.path(url))
    }

    /// Something went wrong on the way; `place` is what was asked.
    pub(in crate::stages) fn broke(place: &str, error: EgressError) -> Failure {
        let message = format!("{place}: {error}");
        match error {
            EgressError::Denied(text) => Failure::Final(Fault::Denied(text)),
            EgressError::BadRequest(_) | EgressError::TooBig { .. } => Failure::invalid(message),
            EgressError::Resolve(_)
            | EgressError::Connect(_)
            | EgressError::Tls(_)
            | EgressError::Timeout { .. }
            | EgressError::Busy(_)
            | EgressError::Broken(_) => Failure::Passing {
                message,
                retry_after: None,
            },
        }
    }

    /// Sends it once. Redirects at the same origin are followed; credentials never leave it.
    pub(in crate::stages) async fn send(&self, draft: &Draft) -> Result<Answer, Failure> {
        let mut draft = draft.clone();
        for _ in 0..=self.redirects {
            let response = self.hop(&draft).await?;
            let status = response.status();
            if status.is_success() {
                let (parts, body) = response.into_parts();
                let place = self.place_of(&draft);
                let headers = parts.headers;
                let body = match &self.raw {
                    Some(raw) => keeping(body, status, &headers, &place, Arc::clone(raw)),
                    None => body,
                };
                return Ok(Answer {
                    status,
                    headers,
                    body,
                    place,
                    url: draft.url,
                });
            }
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Err(self.refused(&draft, response).await);
            }
            draft = self.redirected(draft, &response)?;
        }
        Err(Failure::invalid(format!(
            "{} redirects more than {} times",
            self.place_of(&draft),
            self.redirects
        )))
    }

    async fn hop(&self, draft: &Draft) -> Result<Response<HttpBody>, Failure> {
        let request = self.request(draft)?;
        if let Some(pace) = &self.pace {
            pace.turn(&*self.web.clock, &*self.web.timer).await;
        }
        let answer = self.client.send(request).await;
        answer.map_err(|e| Self::broke(&self.place_of(draft), e))
    }

    fn request(&self, draft: &Draft) -> Result<Request<HttpBody>, Failure> {
        let mut url = draft.url.clone();
        url.set_fragment(None);
        let mut headers = HeaderMap::new();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(body::ACCEPTED));
        headers.extend(draft.headers.clone());
        headers.extend(self.headers.clone());
        self.credentials.apply(&mut url, &mut headers);
        if let Some(signer) = &self.signer {
            signer.sign(&draft.id, &draft.body, self.web.clock.now(), &mut headers);
        }
        let sent = Full::new(draft.body.clone()).map_err(|e| match e {});
        let mut request = Request::new(sent.boxed_unsync());
        *request.method_mut() = draft.method.clone();
        *request.uri_mut() = url.as_str().parse().map_err(|_| {
            Failure::invalid("`url` with its query is no URI, or longer than 64 KiB")
        })?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The request to follow a redirect with.
    fn redirected(&self, draft: Draft, response: &Response<HttpBody>) -> Result<Draft, Failure> {
        let status = response.status();
        let place = self.place_of(&draft);
        let bad = |what: &str| Failure::invalid(format!("{place} answered {status} {what}"));
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|l| l.to_str().ok());
        let next = location.and_then(|l| draft.url.join(l).ok());
        let next = next.ok_or_else(|| bad("without a `location` that is a URL"))?;
        if !self.is_home(&next) {
            let there = next.origin().ascii_serialization();
            return Err(bad(&format!(
                "and points to {there}, another origin, which is not followed: the request may hold credentials; if it is right, write it as `url`"
            )));
        }
        if self.redirects == 0 {
            return Err(bad("and redirects are not followed here"));
        }
        let url = self.strip(next);
        if status == StatusCode::SEE_OTHER {
            let mut headers = draft.headers;
            headers.remove(CONTENT_TYPE);
            return Ok(Draft {
                method: Method::GET,
                url,
                headers,
                body: Bytes::new(),
                id: draft.id,
            });
        }
        let keeps = matches!(
            status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        if draft.method != Method::GET && !keeps {
            return Err(bad(&format!(
                "to a {}, which is not sent again to another place",
                draft.method
            )));
        }
        Ok(Draft { url, ..draft })
    }

    /// What an answer that is no 2xx means.
    async fn refused(&self, draft: &Draft, response: Response<HttpBody>) -> Failure {
        let status = response.status();
        let wait = retry_after(response.headers(), self.web.clock.now());
        let (parts, body) = response.into_parts();
        let said = self.quote(&body::start(body, &parts.headers).await);
        let mut message = format!("{} answered {status}", self.place_of(draft));
        if !said.is_empty() {
            message = format!("{message}: {said}");
        }
        let passes = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
            );
        if passes {
            Failure::Passing {
                message,
                retry_after: wait,
            }
        } else {
            Failure::Answered { status, message }
        }
    }

    /// A text of the server's, fit to be shown.
    pub(in crate::stages) fn quote(&self, bytes: &[u8]) -> String {
        body::shown(bytes, |text| self.credentials.redact(text))
    }
}

/// The headers that a stage is given. Values are never shown: they may be secrets.
fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name = header_name(name).map_err(Fault::Invalid)?;
        let value = HeaderValue::from_str(value).map_err(|_| {
            Fault::Invalid(format!(
                "the value of the header {name} holds a line end or another character that cannot stand in a header"
            ))
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Time-outs of a stage's client. Bytes are counted where they are kept.
fn limits(timeout: Span) -> Result<Limits, Fault> {
    let ms = u64::try_from(timeout.0.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let mut limits = Limits::unlimited();
    for limit in [Limit::HttpConnectMs, Limit::HttpIdleMs] {
        limits
            .set(limit.name(), ms, &Limits::unlimited())
            .map_err(|e| Fault::Invalid(format!("`timeout`: {e}")))?;
    }
    Ok(limits)
}
