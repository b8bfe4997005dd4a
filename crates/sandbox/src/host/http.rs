//! Outgoing `wasi:http`: hands requests to the host's own client, which checks where they go. Nothing leaves without a grant.

use std::sync::Arc;

use http::header;
use http_body_util::BodyExt;
use model::grants::Capability;
use model::limits::Limit;
use model::ports::{EgressError, HttpBody, HttpClient};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use crate::state::Shared;
use crate::usage::add;

/// What an instance needs to send requests.
pub(crate) struct HttpHooks {
    shared: Arc<Shared>,
    /// Requests of the call under way.
    requests: u64,
}

type IoFuture = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, IoFuture), Error>;

impl HttpHooks {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            requests: 0,
        }
    }

    /// A call begins: its own limit.
    pub(crate) fn begin(&mut self) {
        self.requests = 0;
    }

    /// The client, if this request is granted and within the limits.
    fn admit(&mut self) -> Result<Arc<dyn HttpClient>, Error> {
        let shared = &self.shared;
        let client = shared.http.clone().ok_or_else(|| {
            shared.denied(Capability::Http, || "the grant `http` is missing".into());
            Error::HttpRequestDenied
        })?;
        self.requests += 1;
        if self.requests > shared.limits.get(Limit::HttpRequests) {
            return Err(Error::ConnectionLimitReached);
        }
        add(&shared.counters.http_requests, 1);
        Ok(client)
    }
}

impl WasiHttpHooks for HttpHooks {
    /// What concerns the connection is the host's: WASI's own list, `te` and `trailer`.
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| {
            DEFAULT_FORBIDDEN_HEADERS.contains(name)
                || *name == header::TE
                || *name == header::TRAILER
        })
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_error: IoFuture,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let admitted = self.admit();
        let shared = Arc::clone(&self.shared);
        Box::new(async move {
            let client = admitted?;
            let first_byte = options.and_then(|o| o.first_byte_timeout);
            let sending = client.send(request.map(outgoing));
            let response = match first_byte {
                Some(limit) => tokio::time::timeout(limit, sending)
                    .await
                    .map_err(|_| Error::ConnectionReadTimeout)?,
                None => sending.await,
            };
            let response = response.map_err(|error| {
                match &error {
                    EgressError::Denied(why) => shared.denied(Capability::Http, || why.clone()),
                    _ => tracing::info!(%error, "outgoing request did not succeed"),
                }
                wasi_error(error)
            })?;
            shared.counters.used(Capability::Http);
            let body = response.map(|body| body.map_err(wasi_error).boxed_unsync());
            Ok((body, Box::new(std::future::ready(Ok(()))) as IoFuture))
        })
    }
}

fn outgoing(body: WasiBody) -> HttpBody {
    body.map_err(|e| EgressError::Broken(e.to_string()))
        .boxed_unsync()
}

/// What the guest sees; WASI has a fixed list of codes.
fn wasi_error(error: EgressError) -> Error {
    match error {
        EgressError::Denied(_) => Error::HttpRequestDenied,
        EgressError::BadRequest(_) => Error::HttpRequestUriInvalid,
        EgressError::Resolve(name) => Error::DnsError {
            rcode: Some(name),
            info_code: None,
        },
        EgressError::Connect(_) => Error::ConnectionRefused,
        EgressError::Tls(_) => Error::TlsProtocolError,
        EgressError::Timeout {
            step: "connect", ..
        } => Error::ConnectionTimeout,
        EgressError::Timeout { .. } => Error::HttpResponseTimeout,
        EgressError::TooBig {
            what: "request body",
            limit,
        } => Error::HttpRequestBodySize(Some(limit)),
        EgressError::TooBig { limit, .. } => Error::HttpResponseBodySize(Some(limit)),
        EgressError::Busy(_) => Error::ConnectionLimitReached,
        EgressError::Broken(_) => Error::HttpProtocolError,
    }
}
