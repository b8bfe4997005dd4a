//! Outgoing HTTP of a kit: no network, but the grant, the caps on bytes and the rules for targets that a server has. Names are not
//! resolved; a host that is an address is checked as such.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use model::BoxFuture;
use model::limits::Limit;
use model::ports::{Egress, EgressError, EgressPolicy, HttpBody, HttpClient};
use url::{Host, Url};

use super::lock;
use crate::upstream::{Answer, Sent, Upstream, UpstreamReply, UpstreamRequest};

/// Most requests that are kept for a test to look at.
const MAX_KEPT: usize = 10_000;

/// Routes, and what was sent to them.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    routes: Vec<(Upstream, Pattern)>,
    sent: Mutex<Vec<Sent>>,
}

/// A URL as requests are compared with it.
#[derive(Debug)]
struct Pattern {
    url: String,
    is_prefix: bool,
}

impl Routes {
    /// Checks the URLs of the routes.
    ///
    /// # Errors
    /// A sentence that names the one that is none.
    pub(crate) fn new(routes: Vec<Upstream>) -> Result<Self, String> {
        let checked = routes.into_iter().map(|route| {
            let pattern = Pattern::parse(&route.url)?;
            Ok((route, pattern))
        });
        Ok(Self {
            routes: checked.collect::<Result<_, String>>()?,
            sent: Mutex::default(),
        })
    }

    /// How many requests there were.
    pub(crate) fn count(&self) -> usize {
        lock(&self.sent).len()
    }

    /// The requests after the first `skip`.
    pub(crate) fn sent_after(&self, skip: usize) -> Vec<Sent> {
        lock(&self.sent).iter().skip(skip).cloned().collect()
    }

    fn note(&self, request: UpstreamRequest, outcome: Result<u16, String>) {
        let mut sent = lock(&self.sent);
        if sent.len() < MAX_KEPT {
            sent.push(Sent { request, outcome });
        }
    }

    fn find(&self, request: &UpstreamRequest) -> Option<&Answer> {
        let matches = |(route, pattern): &&(Upstream, Pattern)| {
            let method = route.method.as_ref();
            method.is_none_or(|m| *m == request.method) && pattern.covers(&request.url)
        };
        self.routes
            .iter()
            .find(matches)
            .map(|(route, _)| &route.answer)
    }

    /// What a test has said for this request.
    fn answer(
        &self,
        request: &UpstreamRequest,
        idle_ms: u64,
    ) -> Result<UpstreamReply, EgressError> {
        match self.find(request) {
            Some(Answer::Fixed(reply)) => Ok(reply.clone()),
            Some(Answer::Computed(answer)) => Ok(answer(request)),
            Some(Answer::Unreachable) => Err(EgressError::Connect(request.url.clone())),
            Some(Answer::Silent) => Err(EgressError::Timeout {
                step: "response",
                limit_ms: idle_ms,
            }),
            None => {
                let routes: Vec<_> = self.routes.iter().map(|(r, _)| format!("{r:?}")).collect();
                let there = match routes.as_slice() {
                    [] => "the test has none".to_owned(),
                    routes => format!("there are: {}", routes.join(", ")),
                };
                let (method, url) = (&request.method, &request.url);
                Err(EgressError::Broken(format!(
                    "no upstream of the test answers {method} {url}; {there}"
                )))
            }
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (body, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        let url = Url::parse(body)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.host().is_some());
        match url {
            Some(url) => Ok(Self {
                url: url.to_string(),
                is_prefix,
            }),
            None => Err(format!(
                "upstream {text:?} is no URL; http://host/path or https://host/path is needed, with a * at the end for all that begin so"
            )),
        }
    }

    fn covers(&self, url: &str) -> bool {
        if self.is_prefix {
            url.starts_with(&self.url)
        } else {
            url == self.url
        }
    }
}

/// Opens clients that reach the routes of a kit.
#[derive(Debug)]
pub(crate) struct FakeEgress(pub(crate) Arc<Routes>);

impl Egress for FakeEgress {
    fn client(&self, policy: EgressPolicy) -> Arc<dyn HttpClient> {
        Arc::new(Client(Arc::new(Inner {
            policy,
            routes: Arc::clone(&self.0),
        })))
    }
}

#[derive(Debug)]
struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: EgressPolicy,
    routes: Arc<Routes>,
}

impl HttpClient for Client {
    fn send(
        &self,
        request: Request<HttpBody>,
    ) -> BoxFuture<'static, Result<Response<HttpBody>, EgressError>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.send(request).await })
    }
}

impl Inner {
    async fn send(&self, request: Request<HttpBody>) -> Result<Response<HttpBody>, EgressError> {
        let (parts, body) = request.into_parts();
        let mut seen = UpstreamRequest {
            plugin: self.policy.sender.clone(),
            method: parts.method.to_string(),
            url: parts.uri.to_string(),
            headers: texts(&parts.headers),
            body: Bytes::new(),
        };
        let outcome = self
            .exchange(&parts.uri, &parts.method, body, &mut seen)
            .await;
        let said = outcome
            .as_ref()
            .map(|r| r.status)
            .map_err(ToString::to_string);
        self.routes.note(seen, said);
        outcome.and_then(|reply| self.response(reply))
    }

    async fn exchange(
        &self,
        uri: &http::Uri,
        method: &Method,
        body: HttpBody,
        seen: &mut UpstreamRequest,
    ) -> Result<UpstreamReply, EgressError> {
        let url = target(uri)?;
        self.check(&url)?;
        seen.url = url.to_string();
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            let reason = format!("the method {method} is not allowed");
            return Err(EgressError::BadRequest(reason));
        }
        seen.body = self.read(body).await?;
        let idle_ms = self.policy.limits.get(Limit::HttpIdleMs);
        self.routes.answer(seen, idle_ms)
    }

    /// The plugin's grant, as a server checks it.
    fn check(&self, url: &Url) -> Result<(), EgressError> {
        let reach = &self.policy.reach;
        let scheme = url.scheme();
        let port = url.port_or_known_default().unwrap_or(0);
        let (host, address) = match url.host() {
            Some(Host::Domain(name)) => (name.trim_end_matches('.').to_owned(), None),
            Some(Host::Ipv4(a)) => (a.to_string(), Some(IpAddr::from(a))),
            Some(Host::Ipv6(a)) => (a.to_string(), Some(IpAddr::from(a))),
            None => return Err(EgressError::BadRequest("its URI has no host".into())),
        };
        reach.check_origin(scheme, &host, port)?;
        match address {
            Some(address) => reach.check_address(&host, address),
            None => Ok(()),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the body is bounded by http_request_bytes"
    )]
    async fn read(&self, body: HttpBody) -> Result<Bytes, EgressError> {
        let limit = self.policy.limits.get(Limit::HttpRequestBytes);
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        match Limited::new(body, most).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => Err(EgressError::TooBig {
                what: "request body",
                limit,
            }),
            Err(e) => Err(EgressError::Broken(e.to_string())),
        }
    }

    fn response(&self, reply: UpstreamReply) -> Result<Response<HttpBody>, EgressError> {
        let limit = self.policy.limits.get(Limit::HttpResponseBytes);
        if reply.body.len() as u64 > limit {
            return Err(EgressError::TooBig {
                what: "response body",
                limit,
            });
        }
        let wrong = |e: http::Error| {
            EgressError::Broken(format!("the test's upstream answers what is no HTTP: {e}"))
        };
        let body = Full::new(reply.body).map_err(|never| match never {});
        let mut response = Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            let name = HeaderName::try_from(name).map_err(|e| wrong(e.into()))?;
            let value = HeaderValue::try_from(value).map_err(|e| wrong(e.into()))?;
            response = response.header(name, value);
        }
        response.body(body.boxed_unsync()).map_err(wrong)
    }
}

/// An absolute URL with a host, without user names.
fn target(uri: &http::Uri) -> Result<Url, EgressError> {
    let bad = |reason: &str| EgressError::BadRequest(reason.into());
    let authority = uri.authority().ok_or_else(|| bad("its URI has no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("its URI holds a user name; use a header"));
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("its URI has to begin with http:// or https://"));
    }
    let url =
        Url::parse(&uri.to_string()).map_err(|e| bad(&format!("its URI is not valid: {e}")))?;
    if url.port() == Some(0) {
        return Err(bad("port 0 cannot be connected to"));
    }
    Ok(url)
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// Fetches nothing: a kit adds no plugins by URL.
#[derive(Debug)]
pub(crate) struct NoFetch;

impl HttpClient for NoFetch {
    fn send(
        &self,
        _: Request<HttpBody>,
    ) -> BoxFuture<'static, Result<Response<HttpBody>, EgressError>> {
        let error = EgressError::Denied("a kit fetches nothing".into());
        Box::pin(std::future::ready(Err(error)))
    }
}

#[cfg(test)]
mod tests {
    use model::grants::HttpGrant;
    use model::limits::Limits;
    use model::ports::Reach;

    use super::*;

    fn egress(
        routes: Vec<Upstream>,
        allow: &[&str],
        private: &[&str],
    ) -> (Arc<Routes>, Arc<dyn HttpClient>) {
        let routes = Arc::new(Routes::new(routes).unwrap());
        let policy = EgressPolicy {
            sender: "p".into(),
            reach: Reach::granted(HttpGrant {
                allow: allow.iter().map(|r| r.parse().unwrap()).collect(),
                private: private.iter().map(|n| n.parse().unwrap()).collect(),
            }),
            limits: Limits::defaults(),
        };
        let client = FakeEgress(Arc::clone(&routes)).client(policy);
        (routes, client)
    }

    #[expect(clippy::disallowed_methods, reason = "a small body of this test")]
    async fn send(
        client: &Arc<dyn HttpClient>,
        method: &str,
        url: &str,
    ) -> Result<(u16, Bytes), EgressError> {
        let body = Full::new(Bytes::from("asked")).map_err(|never| match never {});
        let request = Request::builder().method(method).uri(url);
        let response = client
            .send(request.body(body.boxed_unsync()).unwrap())
            .await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    #[tokio::test]
    async fn routes_answer_in_order_and_requests_are_kept() {
        let routes = vec![
            Upstream::get("https://a.b/x").body("exact"),
            Upstream::any("https://a.b/*").reply(|r| UpstreamReply::body(r.body.clone())),
            Upstream::post("https://a.b/x").unreachable(),
        ];
        let (seen, client) = egress(routes, &["https://a.b"], &[]);
        let answer = |status, body: &'static str| Ok((status, Bytes::from(body)));
        assert_eq!(
            send(&client, "GET", "https://A.b:443/x").await,
            answer(200, "exact")
        );
        assert_eq!(
            send(&client, "POST", "https://a.b/x").await,
            answer(200, "asked")
        );
        let sent = seen.sent_after(0);
        assert_eq!(sent.len(), 2);
        assert_eq!(
            (sent[0].request.url.as_str(), &sent[0].outcome),
            ("https://a.b/x", &Ok(200))
        );
        assert_eq!(sent[1].request.text(), "asked");
    }

    #[tokio::test]
    async fn what_is_not_listed_is_named() {
        let (_, client) = egress(vec![Upstream::get("https://a.b/x")], &["https://a.b"], &[]);
        let e = send(&client, "GET", "https://a.b/y")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            e.contains("GET https://a.b/y") && e.contains("GET https://a.b/x"),
            "{e}"
        );
        let (_, client) = egress(
            vec![Upstream::get("https://a.b/x").silent()],
            &["https://a.b"],
            &[],
        );
        let e = send(&client, "GET", "https://a.b/x").await;
        assert!(matches!(e, Err(EgressError::Timeout { .. })), "{e:?}");
    }

    #[tokio::test]
    async fn grants_are_checked() {
        let all = || {
            vec![
                Upstream::any("http://127.0.0.1/*"),
                Upstream::any("https://a.b/*"),
            ]
        };
        let denied = |e: Result<_, EgressError>| matches!(e, Err(EgressError::Denied(_)));
        let (_, client) = egress(all(), &["http://127.0.0.1"], &[]);
        assert!(denied(send(&client, "GET", "https://a.b/").await));
        assert!(denied(send(&client, "GET", "http://0x7f.1/").await));
        let (_, client) = egress(all(), &["http://127.0.0.1"], &["127.0.0.0/8"]);
        assert!(send(&client, "GET", "http://127.0.0.1/").await.is_ok());
        for bad in ["http://u@127.0.0.1/", "ftp://127.0.0.1/"] {
            let e = send(&client, "GET", bad).await;
            assert!(matches!(e, Err(EgressError::BadRequest(_))), "{bad}: {e:?}");
        }
    }

    #[test]
    fn urls_of_routes_are_checked() {
        for bad in ["", "a.b/x", "ftp://a.b/", "/x"] {
            let e = Routes::new(vec![Upstream::get(bad)]).unwrap_err();
            assert!(e.contains(&format!("{bad:?}")), "{e}");
        }
    }
}
