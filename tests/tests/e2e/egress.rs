//! Outgoing HTTP from plugins: what is not granted is not reached, and nothing an upstream or a plugin does goes on without end.

use std::time::Duration;

use e2e::server::{Server, Setup};
use e2e::upstream::{Reply, Upstream};
use e2e::wait::Stopwatch;

/// A server whose hostile plugin may reach the upstream, and names and addresses that are nobody's.
async fn server(up: &Upstream, more: &str) -> Server {
    let port = up.host.port();
    let settings = format!(
        "[limits]\ndeadline_ms = 2000\nhttp_idle_ms = 500\nhttp_connect_ms = 500\nhttp_response_bytes = 1000000\nhttp_request_bytes = 1000000\nhttp_requests = 20\nhttp_concurrency = 4\n{more}\n[grants.http]\nallow = [\"http://127.0.0.1:{port}\", \"http://localhost:{port}\", \"http://169.254.169.254\", \"http://10.0.0.1\", \"http://[::1]:{port}\", \"http://0.0.0.0:{port}\"]\nprivate = [\"127.0.0.1\"]\n"
    );
    Setup::new()
        .guest("hostile/hostile-http.wasm")
        .file("hostile-http.toml", settings.as_bytes())
        .guest("corpus/ok.wasm")
        .config("[quarantine]\nfaults = 1000000\n")
        .start()
        .await
}

fn url(up: &Upstream, path: &str) -> String {
    format!("http://{}{path}", up.host)
}

#[tokio::test]
async fn forbidden_addresses_are_not_reached() {
    let up = Upstream::start(vec![("/", Reply::Body(b"reached".to_vec()))]).await;
    let server = server(&up, "").await;
    let get = async |url: &str| server.chat("hostile-http.get", url).await.content();
    assert!(
        get(&url(&up, "/")).await.contains("200  reached"),
        "the granted one works"
    );
    let port = up.host.port();
    let reached = up.seen().len();
    for bad in [
        format!("http://127.0.0.2:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://2130706434:{port}/"),
        format!("http://0x7f.0.0.2:{port}/"),
        format!("http://0177.0.0.2:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        format!("https://127.0.0.1:{port}/"),
        "http://example.com/".to_owned(),
        format!("http://user@127.0.0.1:{port}/"),
    ] {
        let said = get(&bad).await;
        assert!(
            !said.contains("reached") && !said.starts_with("200"),
            "{bad}: {said}"
        );
    }
    assert_eq!(up.seen().len(), reached, "nothing else arrived");
}

#[tokio::test]
async fn redirects_are_the_plugins_to_follow_within_its_grant() {
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let up = Upstream::start(vec![("/", Reply::Raw(vec![redirect.to_vec()]))]).await;
    let server = server(&up, "").await;
    let said = server
        .chat("hostile-http.get", &url(&up, "/"))
        .await
        .content();
    assert!(said.starts_with("302 http://169.254.169.254/"), "{said}");
}

#[tokio::test]
async fn headers_and_targets_cannot_be_smuggled() {
    let up = Upstream::start(vec![("/", Reply::Body(b"ok".to_vec()))]).await;
    let server = server(&up, "").await;
    // A guest may set `te` in a list of headers; it is dropped on the way.
    let said = server.chat("hostile-http.forbidden-headers", "").await;
    assert!(
        ["none", "te"].contains(&said.content().as_str()),
        "{}",
        said.text()
    );
    server.chat("hostile-http.smuggle", &url(&up, "/")).await;
    for request in up.seen() {
        let lower = request.to_lowercase();
        assert!(
            !lower.contains("evil") && !lower.contains("x: y"),
            "{request}"
        );
        let host = format!("host: {}", up.host);
        assert!(lower.contains(&host), "{request}");
        assert!(
            request.split(' ').nth(1).unwrap().starts_with('/'),
            "{request}"
        );
    }
}

#[tokio::test]
async fn what_has_no_end_is_ended() {
    let ok = b"HTTP/1.1 200 OK\r\n\r\n";
    let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
    for n in 0..33_000 {
        many.extend(format!("x-{n}: v\r\n").bytes());
    }
    let up = Upstream::start(vec![
        ("/endless", Reply::Endless(ok.to_vec(), vec![b'x'; 65536])),
        ("/silent", Reply::Stall(vec![])),
        ("/stalled", Reply::Stall(ok.to_vec())),
        ("/drip", Reply::Drip(ok.to_vec(), 100)),
        ("/headers", Reply::Raw(vec![many, b"\r\n".to_vec()])),
        ("/", Reply::Stall(vec![])),
    ])
    .await;
    let server = server(&up, "").await;
    let before = server.footprint();
    let mut wrong = Vec::new();
    for (attack, path) in [
        ("read-forever", "/endless"),
        ("get", "/silent"),
        ("read-forever", "/stalled"),
        ("read-forever", "/drip"),
        ("get", "/headers"),
        ("drip", "/"),
        ("huge-body", "/"),
        ("parallel", "/"),
        ("flood", "/missing"),
        ("many-headers", "/missing"),
        ("long-header", "/missing"),
    ] {
        let watch = Stopwatch::start();
        let answer = server
            .chat(&format!("hostile-http.{attack}"), &url(&up, path))
            .await;
        let took = watch.elapsed();
        let text = answer.text();
        println!(
            "{attack} {path}: {} after {took:?}: {}",
            answer.status,
            text.chars().take(200).collect::<String>()
        );
        if took > Duration::from_millis(2100)
            || text.contains("no end")
            || text.contains("10000 requests")
        {
            wrong.push(format!("{attack} {path}: after {took:?}: {text}"));
        }
        assert_eq!(server.chat("ok", "").await.content(), "ok");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    e2e::wait::until("connections are closed", e2e::wait::PATIENCE, async || {
        (server.footprint().files <= before.files + 8).then_some(())
    })
    .await;
    let grown = server
        .footprint()
        .anonymous
        .saturating_sub(before.anonymous);
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}
