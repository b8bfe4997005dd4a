//! Outgoing HTTP/1.1 within a policy: the one door to the network for plugins, and for adding plugins by URL.
//!
//! A name is resolved once, every address is checked, and the connection goes to a checked one. No redirects are followed, no
//! proxy is used, time and bytes are capped, headers that steer a connection are not the sender's. No caching, no cookies, no
//! decompression. Trailers are dropped in both directions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use model::BoxFuture;
use model::limits::Limit;
use model::ports::{Egress, EgressError, EgressPolicy, HttpBody, HttpClient};
use tokio::sync::Semaphore;

use body::{CappedRequest, CappedResponse, Progress};
use connect::{Checked, Connector};
use resolve::{Resolve, SystemResolver};
use target::Target;

mod body;
mod connect;
mod headers;
mod resolve;
mod target;
pub(crate) mod tls;

/// How long an unused connection is kept for the next request of the same client.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Unused connections kept to one origin.
const POOL_PER_ORIGIN: usize = 8;
/// Longest head of a response, in bytes; it is also the size of the read buffer.
const MAX_HEAD: usize = 64 * 1024;
/// Most header lines of a response.
const MAX_HEADERS: usize = 100;

/// Opens clients over the system's network and its root certificates.
#[derive(Clone)]
pub struct HyperEgress {
    resolver: Arc<dyn Resolve>,
    tls: rustls::ClientConfig,
}

impl HyperEgress {
    /// Reads the system's root certificates. Without any it works all the same, for `http` only, and says so in the log.
    ///
    /// # Errors
    /// [`EgressError::Tls`] when TLS cannot be set up at all.
    pub fn new() -> Result<Self, EgressError> {
        Self::with(Arc::new(SystemResolver::new()), tls::system_roots())
    }

    fn with(resolver: Arc<dyn Resolve>, roots: rustls::RootCertStore) -> Result<Self, EgressError> {
        Ok(Self {
            resolver,
            tls: tls::config(roots)?,
        })
    }
}

impl fmt::Debug for HyperEgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperEgress").finish_non_exhaustive()
    }
}

impl Egress for HyperEgress {
    fn client(&self, policy: EgressPolicy) -> Arc<dyn HttpClient> {
        let reach = Arc::new(policy.reach.clone());
        let checked = Checked::new(Arc::clone(&self.resolver), reach);
        let connector = Connector::new(
            checked,
            tls::own_sessions(&self.tls),
            policy.limits.time(Limit::HttpConnectMs),
        );
        let hyper = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_PER_ORIGIN)
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        let turns = policy
            .limits
            .size(Limit::HttpConcurrency)
            .min(Semaphore::MAX_PERMITS);
        Arc::new(Client {
            inner: Arc::new(Inner {
                turns: Arc::new(Semaphore::new(turns)),
                policy,
                hyper,
            }),
        })
    }
}

/// A client for one policy, with connections of its own.
struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    policy: EgressPolicy,
    hyper: legacy::Client<Connector, CappedRequest>,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

impl HttpClient for Client {
    fn send(
        &self,
        request: Request<HttpBody>,
    ) -> BoxFuture<'static, Result<Response<HttpBody>, EgressError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let sender = inner.policy.sender.clone();
            let answer = inner.send(request).await;
            if let Err(error @ EgressError::Denied(_)) = &answer {
                tracing::warn!(%sender, %error, "an outgoing request was denied");
            }
            answer
        })
    }
}

impl Inner {
    async fn send(
        self: Arc<Self>,
        request: Request<HttpBody>,
    ) -> Result<Response<HttpBody>, EgressError> {
        let limits = &self.policy.limits;
        let turn = Arc::clone(&self.turns)
            .try_acquire_owned()
            .map_err(|_| EgressError::Busy(limits.get(Limit::HttpConcurrency)))?;
        let target = Target::of(request.uri())?;
        target.check(&self.policy.reach)?;
        let progress = Progress::default();
        let request = self.prepare(request, target.uri()?, &progress)?;
        let response = self.head(request, &progress).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Broken("it switched protocols".into()));
        }
        let (mut parts, incoming) = response.into_parts();
        headers::clean_response(&mut parts.headers);
        parts.extensions.clear();
        let cap = limits.get(Limit::HttpResponseBytes);
        let idle = limits.time(Limit::HttpIdleMs);
        let body = CappedResponse::new(incoming, cap, idle, turn)?;
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }

    /// The request as it goes out: only what was checked is taken over.
    fn prepare(
        &self,
        request: Request<HttpBody>,
        uri: Uri,
        progress: &Progress,
    ) -> Result<Request<CappedRequest>, EgressError> {
        let (parts, body) = request.into_parts();
        if matches!(parts.method, http::Method::CONNECT | http::Method::TRACE) {
            return Err(EgressError::BadRequest(format!(
                "the method {} is not allowed",
                parts.method
            )));
        }
        let declared = headers::content_length(&parts.headers)?;
        let cap = self.policy.limits.get(Limit::HttpRequestBytes);
        let body = CappedRequest::new(body, declared, cap, Arc::clone(progress))?;
        let mut out = Request::new(body);
        *out.method_mut() = parts.method;
        *out.uri_mut() = uri;
        *out.version_mut() = Version::HTTP_11;
        *out.headers_mut() = headers::clean_request(parts.headers)?;
        Ok(out)
    }

    /// Connects (the connector has its own time-out) and waits for the head: as long as the request's body goes on, and then
    /// for `http_idle_ms`.
    async fn head(
        &self,
        mut request: Request<CappedRequest>,
        progress: &Progress,
    ) -> Result<Response<hyper::body::Incoming>, EgressError> {
        let limit_ms = self.policy.limits.get(Limit::HttpIdleMs);
        let mut connected = capture_connection(&mut request);
        let mut answer = std::pin::pin!(self.hyper.request(request));
        tokio::select! {
            early = &mut answer => return early.map_err(|e| translate(&e)),
            () = async { drop(connected.wait_for_connection_metadata().await) } => {}
        }
        let mut seen = progress.load(Ordering::Relaxed);
        loop {
            let wait = tokio::time::timeout(Duration::from_millis(limit_ms), &mut answer).await;
            if let Ok(answer) = wait {
                return answer.map_err(|e| translate(&e));
            }
            let now = progress.load(Ordering::Relaxed);
            if now == seen {
                return Err(EgressError::Timeout {
                    step: "response",
                    limit_ms,
                });
            }
            seen = now;
        }
    }
}

/// Our own error where there is one in the chain; else the innermost reason.
fn translate(error: &(dyn std::error::Error + 'static)) -> EgressError {
    let mut current = error;
    loop {
        if let Some(own) = current.downcast_ref::<EgressError>() {
            return own.clone();
        }
        match current.source() {
            Some(source) => current = source,
            None => return EgressError::Broken(current.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
