//! Attacks on the host through outgoing HTTP, over real sockets: forbidden addresses, endless and slow bodies, too many of
//! everything. Names are resolved by a script.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{Empty, Full, StreamBody};
use model::grants::HttpGrant;
use model::limits::Limits;
use model::ports::Reach;

use super::*;
use upstream::Upstream;

mod upstream;

/// Answers with the next list of addresses each time; with the last one over and over.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Resolve for Script {
    fn resolve(&self, _: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let mut script = self.0.lock().unwrap();
        let next = if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        };
        Box::pin(async move { Ok(next.unwrap_or_default()) })
    }
}

/// How a client under test is made.
struct Setup {
    allow: Vec<String>,
    private: Vec<&'static str>,
    names: Vec<Vec<&'static str>>,
    limits: Vec<(&'static str, u64)>,
}

impl Setup {
    /// May reach this origin, on loopback too.
    fn to(origin: &str) -> Self {
        Self {
            allow: vec![origin.into()],
            private: vec!["127.0.0.0/8"],
            names: vec![vec!["127.0.0.1"]],
            limits: vec![],
        }
    }

    fn limit(mut self, name: &'static str, value: u64) -> Self {
        self.limits.push((name, value));
        self
    }

    fn client(self) -> Arc<dyn HttpClient> {
        let mut limits = Limits::defaults();
        for (name, value) in self.limits {
            limits.set(name, value, &Limits::ceilings()).unwrap();
        }
        let names = self.names.iter();
        let script = names.map(|list| list.iter().map(|a| a.parse().unwrap()).collect());
        let resolver = Script(Mutex::new(script.collect()));
        let roots = rustls::RootCertStore::empty();
        let egress = HyperEgress::with(Arc::new(resolver), roots).unwrap();
        egress.client(EgressPolicy {
            sender: "test".into(),
            reach: Reach::granted(HttpGrant {
                allow: self.allow.iter().map(|r| r.parse().unwrap()).collect(),
                private: self.private.iter().map(|n| n.parse().unwrap()).collect(),
            }),
            limits,
        })
    }
}

fn no_body() -> HttpBody {
    Empty::new().map_err(|e| match e {}).boxed_unsync()
}

fn get(uri: &str) -> Request<HttpBody> {
    Request::get(uri).body(no_body()).unwrap()
}

fn post(uri: &str, body: impl Into<Bytes>) -> Request<HttpBody> {
    let body = Full::new(body.into()).map_err(|e| match e {});
    Request::post(uri).body(body.boxed_unsync()).unwrap()
}

/// A body of pieces, its length unknown before.
fn pieces(list: Vec<&'static [u8]>) -> HttpBody {
    let frames = list
        .into_iter()
        .map(|p| Ok(http_body::Frame::data(Bytes::from_static(p))));
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

#[expect(
    clippy::disallowed_methods,
    reason = "bodies of the client under test are bounded by http_response_bytes"
)]
async fn text(response: Response<HttpBody>) -> Result<String, EgressError> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn an_allowed_request_is_answered_and_its_connection_used_again() {
    let up = Upstream::start(HELLO).await;
    let client = Setup::to(&up.origin("api.test")).client();
    for _ in 0..3 {
        let uri = format!("{}/a?b=c", up.origin("API.test"));
        let answer = client.send(get(&uri)).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "hello");
    }
    let head = up.head(0);
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    let host = format!("host: api.test:{}\r\n", up.port);
    assert!(head.contains(&host), "{head}");
    assert_eq!(up.connections(), 1);
}

#[tokio::test]
async fn connections_are_not_shared_between_clients() {
    let up = Upstream::start(HELLO).await;
    let egress = HyperEgress::with(
        Arc::new(Script(Mutex::new(
            [vec!["127.0.0.1".parse().unwrap()]].into(),
        ))),
        rustls::RootCertStore::empty(),
    )
    .unwrap();
    let policy = EgressPolicy {
        sender: "test".into(),
        reach: Reach::granted(HttpGrant {
            allow: vec![up.origin("api.test").parse().unwrap()],
            private: vec!["127.0.0.1".parse().unwrap()],
        }),
        limits: Limits::defaults(),
    };
    for _ in 0..2 {
        let client = egress.client(policy.clone());
        let answer = client.send(get(&up.origin("api.test"))).await.unwrap();
        text(answer).await.unwrap();
    }
    assert_eq!(up.connections(), 2);
}

#[tokio::test]
async fn origins_without_a_rule_are_denied() {
    let client = Setup::to("http://api.test:81").client();
    for other in [
        "http://api.test",
        "https://api.test:81",
        "http://evil.test:81",
        "http://api.test.evil.test:81",
        "http://127.0.0.1:81",
    ] {
        let e = client.send(get(other)).await.unwrap_err();
        assert!(matches!(&e, EgressError::Denied(_)), "{other}: {e}");
        assert!(e.to_string().contains("grants.http.allow"), "{e}");
    }
}

/// Every address that is not public, as a literal and behind a name, without a grant for it.
#[tokio::test]
async fn addresses_that_are_not_public_are_denied() {
    for (host, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0x7f.0.0.1", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("[::1]", "::1"),
        ("0.0.0.0", "0.0.0.0"),
        ("169.254.169.254", "169.254.169.254"),
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00:ec2::254]", "fd00:ec2::254"),
        ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
        ("[fe80::1]", "fe80::1"),
    ] {
        let canonical = Target::of(&format!("http://{host}").parse().unwrap()).unwrap();
        let literal = Setup {
            allow: vec![canonical.to_string()],
            private: vec![],
            names: vec![],
            limits: vec![],
        };
        let uri = format!("http://{host}/");
        denied_address(literal.client().send(get(&uri)).await, &uri);
        let mut named = Setup::to("http://innocent.test");
        named.private = vec!["192.0.2.0/24"];
        named.names = vec![vec![address]];
        let uri = format!("http://innocent.test/?{address}");
        denied_address(named.client().send(get(&uri)).await, &uri);
    }
}

fn denied_address(answer: Result<Response<HttpBody>, EgressError>, what: &str) {
    let e = answer.unwrap_err();
    assert!(matches!(e, EgressError::Denied(_)), "{what}: {e}");
    assert!(e.to_string().contains("not public"), "{what}: {e}");
}

/// The resolver answers with a good address first and a forbidden one after: what is connected to is what was checked.
#[tokio::test]
async fn rebinding_a_name_gains_nothing() {
    let up =
        Upstream::start(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    let mut setup = Setup::to(&up.origin("rebind.test"));
    setup.private = vec!["127.0.0.1"];
    setup.names = vec![vec!["127.0.0.1"], vec!["127.0.0.2"]];
    let client = setup.client();
    let uri = up.origin("rebind.test");
    text(client.send(get(&uri)).await.unwrap()).await.unwrap();
    denied_address(client.send(get(&uri)).await, "second");
    assert_eq!(up.connections(), 1);
}

#[tokio::test]
async fn of_mixed_addresses_only_the_good_ones_are_used() {
    let up = Upstream::start(HELLO).await;
    let mut setup = Setup::to(&up.origin("mixed.test"));
    setup.private = vec!["127.0.0.1"];
    setup.names = vec![vec!["127.0.0.2", "10.0.0.1", "127.0.0.1"]];
    let answer = setup.client().send(get(&up.origin("mixed.test"))).await;
    assert_eq!(text(answer.unwrap()).await.unwrap(), "hello");
}

#[tokio::test]
async fn redirects_are_returned_not_followed() {
    let up = Upstream::start(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let client = Setup::to(&up.origin("api.test")).client();
    let answer = client.send(get(&up.origin("api.test"))).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "http://127.0.0.1:1/");
    assert_eq!(up.connections(), 1);
}

#[tokio::test]
async fn steering_headers_pass_in_neither_direction() {
    let up = Upstream::start(
        b"HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: x\r\nx-stays: 1\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let client = Setup::to(&up.origin("api.test")).client();
    let mut request = post(&up.origin("api.test"), "abc");
    for (name, value) in [
        ("host", "evil.test"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic x"),
        ("te", "trailers"),
        ("content-length", "3"),
        ("x-mine", "1"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = client.send(request).await.unwrap();
    let mut names: Vec<_> = answer.headers().keys().map(|n| n.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-stays"]);
    let head = up.head(0).to_lowercase();
    for gone in ["evil", "chunked", "upgrade", "proxy", "te:"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(
        head.contains("x-mine: 1\r\n") && head.contains("content-length: 3\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_body_is_as_long_as_it_says() {
    let up = Upstream::start(HELLO).await;
    let client = Setup::to(&up.origin("api.test")).client();
    for length in ["2", "4", "3, 3", "x"] {
        let mut request = post(&up.origin("api.test"), "abc");
        let value = length.parse().unwrap();
        request.headers_mut().insert("content-length", value);
        let e = client.send(request).await.unwrap_err();
        assert!(matches!(e, EgressError::BadRequest(_)), "{length}: {e}");
    }
    // The length is known only while it is sent.
    for (length, what) in [("5", "short"), ("3", "long")] {
        let mut request = post(&up.origin("api.test"), "");
        *request.body_mut() = pieces(vec![b"ab", b"cd"]);
        let value = length.parse().unwrap();
        request.headers_mut().insert("content-length", value);
        let e = client.send(request).await.unwrap_err();
        assert!(matches!(e, EgressError::BadRequest(_)), "{what}: {e}");
    }
}

#[tokio::test]
async fn request_bodies_are_capped() {
    let up = Upstream::start(HELLO).await;
    let client = Setup::to(&up.origin("api.test"))
        .limit("http_request_bytes", 3)
        .client();
    let uri = up.origin("api.test");
    let too_big = |e: EgressError| {
        assert!(
            matches!(&e, EgressError::TooBig { what, limit: 3 } if *what == "request body"),
            "{e}"
        );
    };
    too_big(client.send(post(&uri, "abcd")).await.unwrap_err());
    let mut streamed = post(&uri, "");
    *streamed.body_mut() = pieces(vec![b"ab", b"cd"]);
    too_big(client.send(streamed).await.unwrap_err());
    let answer = client.send(post(&uri, "abc")).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn response_bodies_are_capped() {
    let declared = Upstream::start(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n").await;
    let client = Setup::to(&declared.origin("api.test"))
        .limit("http_response_bytes", 10)
        .client();
    let e = client.send(get(&declared.origin("api.test"))).await;
    assert!(matches!(e, Err(EgressError::TooBig { limit: 10, .. })));
    let endless = Upstream::endless(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"4\r\nabcd\r\n",
    )
    .await;
    let client = Setup::to(&endless.origin("api.test"))
        .limit("http_response_bytes", 10_000)
        .client();
    let answer = client.send(get(&endless.origin("api.test"))).await.unwrap();
    let e = text(answer).await.unwrap_err();
    assert!(
        matches!(e, EgressError::TooBig { limit: 10_000, .. }),
        "{e}"
    );
    endless.closed().await;
}

#[tokio::test]
async fn a_silent_upstream_times_out() {
    let up = Upstream::start(b"").await;
    let client = Setup::to(&up.origin("api.test"))
        .limit("http_idle_ms", 20)
        .client();
    let e = client.send(get(&up.origin("api.test"))).await.unwrap_err();
    assert!(
        matches!(
            e,
            EgressError::Timeout {
                step: "response",
                limit_ms: 20
            }
        ),
        "{e}"
    );
    up.closed().await;
}

#[tokio::test]
async fn a_body_that_stops_times_out() {
    let up = Upstream::start(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    let client = Setup::to(&up.origin("api.test"))
        .limit("http_idle_ms", 20)
        .client();
    let answer = client.send(get(&up.origin("api.test"))).await.unwrap();
    let e = text(answer).await.unwrap_err();
    assert!(
        matches!(e, EgressError::Timeout { step: "body", .. }),
        "{e}"
    );
}

#[tokio::test]
async fn a_slow_body_may_take_its_time_between_two_pieces_only() {
    let up = Upstream::dripping(
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n",
        b"abcdef",
        30,
    )
    .await;
    let client = Setup::to(&up.origin("api.test"))
        .limit("http_idle_ms", 150)
        .client();
    let answer = client.send(get(&up.origin("api.test"))).await.unwrap();
    assert_eq!(text(answer).await.unwrap(), "abcdef");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_times_out_or_fails() {
    let client = Setup::to("https://api.test:9").client();
    let e = client.send(get("https://api.test:9/")).await.unwrap_err();
    assert!(matches!(e, EgressError::Connect(_)), "{e}");
    // It accepts, and then never shakes hands.
    let mute = Upstream::start(b"").await;
    let origin = mute.origin("api.test").replace("http:", "https:");
    let client = Setup::to(&origin).limit("http_connect_ms", 20).client();
    let e = client.send(get(&origin)).await.unwrap_err();
    assert!(
        matches!(
            e,
            EgressError::Timeout {
                step: "connect",
                limit_ms: 20
            }
        ),
        "{e}"
    );
    let plain = Upstream::greeting(HELLO).await;
    let origin = plain.origin("api.test").replace("http:", "https:");
    let e = Setup::to(&origin).client().send(get(&origin)).await;
    assert!(matches!(e, Err(EgressError::Tls(_))), "{e:?}");
}

#[tokio::test]
async fn header_bombs_are_broken_off() {
    let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
    for n in 0..40_000 {
        many.extend(format!("x-{n}: v\r\n").bytes());
    }
    many.extend(b"\r\n");
    let mut long = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    long.extend([b'v'; 200 * 1024]);
    long.extend(b"\r\n\r\n");
    for bomb in [many, long] {
        let up = Upstream::start(&bomb).await;
        let client = Setup::to(&up.origin("api.test")).client();
        let e = client.send(get(&up.origin("api.test"))).await.unwrap_err();
        assert!(matches!(e, EgressError::Broken(_)), "{e}");
    }
}

#[tokio::test]
async fn smuggled_lengths_and_nonsense_are_broken_off() {
    for bad in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let up = Upstream::start(bad).await;
        let client = Setup::to(&up.origin("api.test")).client();
        let e = client.send(get(&up.origin("api.test"))).await.unwrap_err();
        assert!(matches!(e, EgressError::Broken(_)), "{e}");
    }
}

#[tokio::test]
async fn interim_responses_without_end_are_no_response() {
    let up = Upstream::endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n").await;
    let client = Setup::to(&up.origin("api.test"))
        .limit("http_idle_ms", 50)
        .client();
    let e = client.send(get(&up.origin("api.test"))).await.unwrap_err();
    assert!(matches!(e, EgressError::Timeout { .. }), "{e}");
    up.closed().await;
}

#[tokio::test]
async fn a_truncated_body_is_an_error() {
    let up = Upstream::closing(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    let client = Setup::to(&up.origin("api.test")).client();
    let answer = client.send(get(&up.origin("api.test"))).await.unwrap();
    assert!(matches!(text(answer).await, Err(EgressError::Broken(_))));
}

#[tokio::test]
async fn requests_at_once_are_capped_until_their_bodies_end() {
    let up = Upstream::start(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
    let client = Setup::to(&up.origin("api.test"))
        .limit("http_concurrency", 2)
        .client();
    let uri = up.origin("api.test");
    let first = client.send(get(&uri)).await.unwrap();
    let _second = client.send(get(&uri)).await.unwrap();
    let third = client.send(get(&uri)).await;
    assert!(matches!(third, Err(EgressError::Busy(2))));
    drop(first);
    assert!(client.send(get(&uri)).await.is_ok());
}

#[tokio::test]
async fn a_caller_that_gives_up_closes_the_connection() {
    let up = Upstream::start(b"").await;
    let client = Setup::to(&up.origin("api.test")).client();
    let request = client.send(get(&up.origin("api.test")));
    tokio::select! {
        _ = request => panic!("there is no answer"),
        () = up.asked() => {}
    }
    up.closed().await;
}

#[tokio::test]
async fn methods_for_proxies_are_refused() {
    let client = Setup::to("http://api.test").client();
    for method in ["CONNECT", "TRACE"] {
        let mut request = get("http://api.test/");
        *request.method_mut() = method.parse().unwrap();
        let e = client.send(request).await.unwrap_err();
        assert!(matches!(e, EgressError::BadRequest(_)), "{e}");
    }
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let found = SystemResolver::new().resolve("localhost".into()).await;
    assert!(found.unwrap().iter().any(|a| a.is_loopback()));
    let e = SystemResolver::new().resolve("no.such.name.invalid".into());
    assert!(e.await.is_err());
}
