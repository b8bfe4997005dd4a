//! The source `http` against a real server that misbehaves in every way we could think of.

use std::sync::Arc;
use std::time::Duration;

use model::error::Fault;
use model::grants::HttpGrant;
use serde_json::{Value, json};

use super::*;
use crate::stages::web::testing::{Got, Reply, Seen, Time, Upstream, context, read, web};

mod kept;
mod pages;

const NDJSON: &str = "content-type: application/x-ndjson";
const CSV: &str = "content-type: text/csv";

/// Reads all that a source with these options gives, two records at a time; `url` is a path at the upstream.
async fn get(up: &Upstream, options: Value) -> (Got, Arc<Time>) {
    get_from(up, options, None).await
}

async fn get_from(up: &Upstream, mut options: Value, cursor: Option<String>) -> (Got, Arc<Time>) {
    let path = options["url"].as_str().unwrap_or("/").to_owned();
    options["url"] = format!("{}{path}", up.origin).into();
    let (web, time) = web();
    let got = read(&Http(web), &options, cursor, context(None), 2).await;
    (got, time)
}

async fn one(reply: Reply, options: Value) -> Got {
    get(&Upstream::replies(vec![reply]).await, options).await.0
}

fn seconds(waits: &[u64]) -> Vec<Duration> {
    waits.iter().copied().map(Duration::from_secs).collect()
}

fn retry() -> Value {
    json!({"max_retries": 3, "first": "1s", "factor": 2.0, "max_delay": "60s", "jitter": 0.0})
}

#[tokio::test]
async fn answers_of_each_format_become_records() {
    let lines = ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"];
    for (reply, options) in [
        (Reply::json("[{\"a\":1},\n{\"a\":2}, {\"a\":3}]"), json!({})),
        (
            Reply::json("{\"d\": {\"x\": [{\"a\":1},{\"a\":2},{\"a\":3}]}, \"n\": 1}"),
            json!({"records": "d.x"}),
        ),
        (
            Reply::new(
                &["201 Created", NDJSON],
                "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n",
            ),
            json!({}),
        ),
        (Reply::new(&["200 OK", CSV], "a\n1\n2\n3\n"), json!({})),
        (
            Reply::new(&["200 OK", "content-type: text/plain"], "a\n1\n2\n3\n"),
            json!({"url": "/x.csv?y"}),
        ),
        (
            Reply::raw(
                &["200 OK", CSV, "transfer-encoding: chunked"],
                "4\r\na\n1\n\r\n3\r\n2\n3\r\n0\r\n\r\n",
            ),
            json!({}),
        ),
    ] {
        assert_eq!(
            one(reply, options.clone()).await.whole(),
            lines,
            "{options}"
        );
    }
    let single = one(Reply::json("{\"a\":1}"), json!({})).await;
    assert_eq!(single.whole(), ["{\"a\":1}"]);
    for none in [
        Reply::raw(&["204 No Content"], ""),
        Reply::new(&["200 OK"], ""),
        Reply::json("[]"),
        Reply::json("{\"r\": []}"),
        Reply::json("{\"r\": null}"),
    ] {
        let got = one(none.clone(), json!({"records": "r"})).await;
        let is_list = format!("{none:?}").contains("91, 93]") && got.fault.is_some();
        assert!(is_list || got.records.is_empty(), "{none:?}");
    }
}

#[tokio::test]
async fn encoded_answers_are_decoded() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"[{\"a\":1}]").unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&b"[{\"a\":1}]"[..], 1).unwrap();
    fn head(coding: &str) -> [&str; 3] {
        ["200 OK", "content-type: application/json", coding]
    }
    for (coding, body) in [("gzip", &gzip), ("zstd", &zstd)] {
        let coding = format!("content-encoding: {coding}");
        let got = one(Reply::new(&head(&coding), body), json!({})).await;
        assert_eq!(got.whole(), ["{\"a\":1}"]);
        let cut = one(
            Reply::new(&head(&coding), &body[..body.len() - 3]),
            json!({}),
        )
        .await;
        assert!(cut.failed().contains("its encoding is broken"), "{cut:?}");
    }
    let file = ["200 OK", "content-type: application/gzip"];
    let got = one(Reply::new(&file, &gzip), json!({"url": "/x.json.gz"})).await;
    assert_eq!(got.whole(), ["{\"a\":1}"]);
    let got = one(Reply::new(&head("content-encoding: br"), "x"), json!({})).await;
    assert!(got.failed().contains("encoded with \"br\""), "{got:?}");
    // A bomb is no more than the cap where an answer is held, and a stream elsewhere.
    let bomb = zstd::encode_all(&vec![b' '; 4 << 20][..], 19).unwrap();
    let got = one(
        Reply::new(&head("content-encoding: zstd"), &bomb),
        json!({"records": "r", "max_response_bytes": 100_000, "pagination": {"type": "next_url", "path": "n"}}),
    )
    .await;
    let said = got.failed();
    assert!(
        said.contains("larger than `max_response_bytes: 100000`"),
        "{said}"
    );
}

#[tokio::test]
async fn requests_are_what_the_options_say() {
    let up = Upstream::replies(vec![Reply::json("[]")]).await;
    let options = json!({
        "url": "/p?a=1", "query": {"q": "x y&z=1#\r\n", "n": 2, "l": ["u", "v"]},
        "headers": {"X-One": "1", "Accept": "application/json"},
        "auth": {"type": "basic", "user": "u", "password": "p"},
    });
    get(&up, options).await.0.whole();
    let seen = &up.seen()[0];
    assert_eq!(seen.line, "GET /p?a=1&l=u&l=v&n=2&q=x+y%26z%3D1%23%0D%0A");
    assert_eq!(seen.header("x-one"), Some("1"));
    assert_eq!(seen.header("authorization"), Some("Basic dTpw"));
    assert!(seen.header("user-agent").unwrap().starts_with("weir/"));
    let post =
        json!({"method": "POST", "body": {"a": [1]}, "auth": {"type": "bearer", "token": "t"}});
    get(&up, post).await.0.whole();
    let seen = &up.seen()[1];
    assert_eq!(
        (seen.line.as_str(), seen.body.as_str()),
        ("POST /", "{\"a\":[1]}")
    );
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("authorization"), Some("Bearer t"));
    let key = json!({"url": "/?k=old", "auth": {"type": "api_key", "query": "k", "value": "s&c"}});
    get(&up, key).await.0.whole();
    let key = json!({"auth": {"type": "api_key", "header": "X-Api-Key", "value": "s"}});
    get(&up, key).await.0.whole();
    assert_eq!(up.seen()[2].line, "GET /?k=s%26c");
    assert_eq!(up.seen()[3].header("x-api-key"), Some("s"));
}

#[tokio::test]
async fn what_cannot_stand_in_a_header_or_url_is_not_sent_and_not_shown() {
    let up = Upstream::replies(vec![Reply::json("[]")]).await;
    for options in [
        json!({"headers": {"x": "s3cret\r\nx-evil: 1"}}),
        json!({"headers": {"x": "s3cret\n"}}),
        json!({"headers": {"x\r\ny": "s3cret"}}),
        json!({"auth": {"type": "bearer", "token": "s3cret\r\nx-evil: 1"}}),
        json!({"auth": {"type": "api_key", "header": "x", "value": "s3cret\0"}}),
        json!({"url": "/\r\nx-evil: s3cret"}),
        json!({"url": "/ s3cret"}),
        json!({"headers": "s3cret"}),
        json!({"auth": "s3cret"}),
    ] {
        let said = get(&up, options.clone()).await.0.failed();
        assert!(
            said.starts_with("invalid: ") && !said.contains("s3cret"),
            "{options}: {said}"
        );
    }
    assert!(up.seen().is_empty());
}

#[tokio::test]
async fn secrets_are_in_no_error() {
    let echo = |_: usize, seen: &Seen| {
        let all = format!(
            "{} {:?} {:?}",
            seen.line,
            seen.header("authorization"),
            seen.header("x-token")
        );
        Reply::new(&["403 Forbidden"], all)
    };
    let up = Upstream::start(echo).await;
    for auth in [
        json!({"type": "bearer", "token": "s3cret"}),
        json!({"type": "basic", "user": "u", "password": "s3cret"}),
        json!({"type": "api_key", "query": "k", "value": "s3cret"}),
        json!({"type": "api_key", "query": "k", "value": "s3cret &"}),
        json!({"type": "api_key", "header": "authorization", "value": "s3cret"}),
    ] {
        let options = json!({"auth": auth, "headers": {"X-Token": "t0ken"}});
        let said = get(&up, options).await.0.failed();
        for secret in ["s3cret", "t0ken", "dTpzM2NyZXQ"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert!(
            said.contains("403 Forbidden") && said.contains("***"),
            "{said}"
        );
    }
    // Errors name the path, without the query, and without what a reference stands for.
    let quiet = Upstream::start(|_: usize, _: &Seen| Reply::new(&["404 Not Found"], "")).await;
    let said = get(&quiet, json!({"url": "/v1/flights?k=s3cret"})).await.0;
    let origin = &quiet.origin;
    assert_eq!(
        said.failed(),
        format!("invalid: GET {origin}/v1/flights answered 404 Not Found")
    );
    for value in ["t0 ken", "v1/t0%20ken\n", "http://x/t0%20ken/"] {
        let (web, _) = web();
        let within = context(None);
        within.secrets.learn(value);
        let options = json!({"url": format!("{origin}/v1/t0%20ken/x")});
        let said = read(&Http(web), &options, None, within, 2).await.failed();
        assert_eq!(
            said,
            format!("invalid: GET {origin}/v1/***/x answered 404 Not Found")
        );
    }
    // Nor what stands in the URL.
    let said = get(&up, json!({"url": "/s3cret?k=s3cret"}))
        .await
        .0
        .failed();
    assert!(said.contains(&up.origin), "{said}");
}

#[tokio::test]
async fn failures_that_pass_are_tried_again_with_growing_waits() {
    let bad = |status| Reply::new(&[status], "no");
    for status in [
        "408 Request Timeout",
        "425 Too Early",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let replies = vec![bad(status), bad(status), Reply::json("[1]")];
        let up = Upstream::replies(replies).await;
        let (got, time) = get(&up, json!({"retry": retry()})).await;
        assert_eq!(got.whole(), ["1"]);
        assert_eq!(time.waits(), seconds(&[1, 2]), "{status}");
    }
    let up = Upstream::replies(vec![bad("502 Bad Gateway")]).await;
    let (got, time) = get(&up, json!({"retry": retry()})).await;
    assert_eq!(up.seen().len(), 4);
    assert_eq!(time.waits(), seconds(&[1, 2, 4]));
    let want = format!(
        "transient: GET {}/ answered 502 Bad Gateway: no (tried 4 times)",
        up.origin
    );
    assert_eq!(got.failed(), want);
    // Without `retry` the run tries again.
    let (got, time) = get(&up, json!({})).await;
    assert!(got.fault.unwrap().is_retryable() && time.waits().is_empty());
    assert_eq!(up.seen().len(), 5);
}

#[tokio::test]
async fn refusals_are_final() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "304 Not Modified",
    ] {
        let up = Upstream::replies(vec![Reply::new(&[status], "why\n  not")]).await;
        let (got, _) = get(&up, json!({"retry": retry()})).await;
        let said = got.failed();
        assert!(
            said.starts_with("invalid: ") && said.contains(status),
            "{said}"
        );
        assert_eq!(up.seen().len(), 1);
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_up_to_the_longest_wait() {
    let wait = |value: &str| {
        let line = format!("retry-after: {value}");
        Reply::new(&["429 Too Many Requests", &line], "")
    };
    let check = async |value: &str, want: Option<u64>| {
        let up = Upstream::replies(vec![wait(value), Reply::json("[1]")]).await;
        let (got, time) = get(&up, json!({"retry": retry()})).await;
        match want {
            Some(want) => {
                assert_eq!(got.whole(), ["1"]);
                assert_eq!(time.waits(), seconds(&[want]), "{value}");
            }
            None => {
                let Some(Fault::Transient { retry_after_ms, .. }) = got.fault else {
                    panic!("{value}: {got:?}");
                };
                assert_eq!((retry_after_ms, up.seen().len()), (Some(3_600_000), 1));
            }
        }
    };
    check("7", Some(7)).await;
    check("0", Some(1)).await;
    check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)).await;
    check("nonsense", Some(1)).await;
    check("3600", None).await;
}

#[tokio::test]
async fn silence_and_no_connection_are_tried_again() {
    let up = Upstream::replies(vec![Reply::silence(), Reply::json("[1]")]).await;
    let (got, time) = get(&up, json!({"timeout": "50ms", "retry": retry()})).await;
    assert_eq!((got.whole(), time.waits().len()), (vec!["1".to_owned()], 1));
    // A body that stops.
    let half = Reply::raw(&["200 OK", NDJSON, "content-length: 9"], "1\n2");
    let up = Upstream::replies(vec![half, Reply::json("[1]")]).await;
    let (got, _) = get(&up, json!({"timeout": "50ms", "retry": retry()})).await;
    assert_eq!(got.whole(), ["1"]);
    let (web, time) = web();
    let options = json!({"url": "http://127.0.0.1:9", "retry": retry()});
    let got = read(&Http(web), &options, None, context(None), 2).await;
    assert!(
        got.failed().contains("cannot connect to 127.0.0.1:9"),
        "{got:?}"
    );
    assert_eq!(time.waits().len(), 3);
}

#[tokio::test]
async fn a_cut_body_is_asked_for_again_until_records_were_handed_on() {
    let cut = |body: &str| Reply::raw(&["200 OK", NDJSON, "content-length: 99"], body).closing();
    let whole = Reply::new(&["200 OK", NDJSON], "1\n2\n3\n");
    let chunks = Reply::raw(
        &["200 OK", NDJSON, "transfer-encoding: chunked"],
        "2\r\n1\n\r\n",
    )
    .closing();
    for early in [cut("1\n"), cut(""), chunks] {
        let up = Upstream::replies(vec![early, whole.clone()]).await;
        let (got, _) = get(&up, json!({"retry": retry()})).await;
        assert_eq!(got.whole(), ["1", "2", "3"]);
    }
    // Two records were handed on: no third request, and the third record is not lost in silence.
    let up = Upstream::replies(vec![cut("1\n2\n3\n"), whole]).await;
    let (got, _) = get(&up, json!({"retry": retry()})).await;
    assert_eq!(got.records, ["1", "2", "3"]);
    let said = got.failed();
    assert!(
        said.starts_with("failed: ") && said.contains("3 records of the page"),
        "{said}"
    );
    assert_eq!(up.seen().len(), 1);
    // A document that is held for its cursor comes again as a whole.
    let document = Reply::raw(
        &[
            "200 OK",
            "content-type: application/json",
            "content-length: 99",
        ],
        "{\"r\":[1,2,3]",
    )
    .closing();
    let up = Upstream::replies(vec![document, Reply::json("{\"r\":[1,2,3]}")]).await;
    let options = json!({"retry": retry(), "records": "r", "pagination": {"type": "cursor", "path": "next", "parameter": "c"}});
    assert_eq!(get(&up, options).await.0.whole(), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_wrong_content_type_is_shown_with_how_the_answer_begins() {
    let page = "<!DOCTYPE html>\n<h1>Please log in</h1>";
    let html = Reply::new(&["200 OK", "content-type: text/html; charset=utf-8"], page);
    for format in ["auto", "ndjson", "csv", "json"] {
        let said = one(html.clone(), json!({"format": format})).await.failed();
        assert!(
            said.starts_with("invalid: ") && said.contains("Please log in"),
            "{format}: {said}"
        );
    }
    let said = one(html, json!({})).await.failed();
    assert!(said.contains("has the content type text/html"), "{said}");
    let nothing = Reply::new(&["200 OK"], "x");
    let said = one(nothing, json!({})).await.failed();
    assert!(said.contains("has no content type"), "{said}");
    let xml = Reply::new(&["200 OK", "content-type: application/xml"], "[1]");
    assert_eq!(one(xml, json!({"format": "json"})).await.whole(), ["1"]);
}

#[tokio::test]
async fn malformed_records_are_set_aside_and_what_is_no_document_fails() {
    let lines = Reply::new(
        &["200 OK", NDJSON],
        b"{\"a\":1}\n{\"a\":\n\n{\"a\":3}\n\"\xff\"\n",
    );
    let got = one(lines, json!({})).await;
    assert_eq!((got.records.len(), &got.fault), (2, &None));
    let numbers: Vec<u64> = got.rejects.iter().map(|r| r.number).collect();
    assert_eq!(numbers, [2, 4]);
    let large = format!("[1, \"{}\", 3]", "x".repeat(2000));
    let got = one(Reply::json(large), json!({})).await;
    assert_eq!(got.records, ["1", "3"]);
    assert!(
        got.rejects[0].reason.contains("record_bytes is 1000"),
        "{got:?}"
    );
    let got = one(Reply::json("[1, 2, 3 4]"), json!({})).await;
    assert_eq!(got.records, ["1", "2", "3"]);
    assert!(got.failed().contains("it begins: [1, 2, 3 4]"), "{got:?}");
    let options = json!({"records": "r", "pagination": {"type": "next_url", "path": "n"}});
    let got = one(Reply::json("{\"r\": [1, 2}"), options).await;
    assert!(got.failed().contains("is no JSON: "), "{got:?}");
    let got = one(Reply::json("{\"items\": []}"), json!({"records": "data"})).await;
    assert!(got.failed().contains("no key `data`"), "{got:?}");
}

#[tokio::test]
async fn a_large_body_streams() {
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(90));
    let body = line.repeat(200_000);
    let up = Upstream::replies(vec![Reply::new(&["200 OK", NDJSON], body)]).await;
    let (web, _) = web();
    let context = context(None);
    let progress = Arc::clone(&context.progress);
    let options = json!({"url": up.origin, "max_response_bytes": 1000});
    let got = read(&Http(web), &options, None, context, 10_000).await;
    assert_eq!((got.records.len(), &got.fault), (200_000, &None));
    let size = 200_000 * line.len() as u64;
    assert_eq!(progress.now(), (size, Some(size)));
}

#[tokio::test]
async fn redirects_are_followed_at_home_only() {
    let to = |status: &str, location: &str| {
        let location = format!("location: {location}");
        Reply::new(&[status, &location], "")
    };
    let up = Upstream::replies(vec![
        to("302 Found", "/b"),
        to("308 Permanent Redirect", "c"),
        Reply::json("[1]"),
    ])
    .await;
    let options = json!({"url": "/a", "auth": {"type": "bearer", "token": "t"}});
    assert_eq!(get(&up, options).await.0.whole(), ["1"]);
    assert_eq!(up.lines(), ["GET /a", "GET /b", "GET /c"]);
    let up = Upstream::replies(vec![to("302 Found", "/a")]).await;
    let said = get(&up, json!({})).await.0.failed();
    assert!(
        said.contains("redirects more than 5 times") && up.seen().len() == 6,
        "{said}"
    );
    let other = Upstream::replies(vec![Reply::json("[]")]).await;
    for location in [
        other.origin.as_str(),
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "\\",
    ] {
        let up = Upstream::replies(vec![to("302 Found", location)]).await;
        let said = get(&up, json!({})).await.0.failed();
        assert!(said.starts_with("invalid: "), "{location}: {said}");
    }
    assert!(other.seen().is_empty());
    let up = Upstream::replies(vec![to("302 Found", "/b")]).await;
    let said = get(&up, json!({"method": "POST", "body": "x"}))
        .await
        .0
        .failed();
    assert!(
        said.contains("not sent again") && up.seen().len() == 1,
        "{said}"
    );
    let up = Upstream::replies(vec![to("303 See Other", "/b"), Reply::json("[1]")]).await;
    get(&up, json!({"method": "POST", "body": "x"}))
        .await
        .0
        .whole();
    assert_eq!(up.lines(), ["POST /", "GET /b"]);
}

#[tokio::test]
async fn what_access_does_not_allow_is_denied() {
    let up = Upstream::replies(vec![Reply::json("[]")]).await;
    let check = async |url: String, allow: &[&str], private: &[&str], want: Option<&str>| {
        let grant = HttpGrant {
            allow: allow.iter().map(|r| r.parse().unwrap()).collect(),
            private: private.iter().map(|n| n.parse().unwrap()).collect(),
        };
        let (web, _) = web();
        let options = json!({"url": url, "retry": retry()});
        let got = read(&Http(web), &options, None, context(Some(grant)), 2).await;
        match want {
            None => assert_eq!(got.fault, None),
            Some(want) => {
                let said = got.failed();
                assert!(
                    said.starts_with("denied: ") && said.contains(want),
                    "{said}"
                );
            }
        }
    };
    let origin = up.origin.as_str();
    check(
        origin.into(),
        &[],
        &[],
        Some("no rule in pipelines.http.allow covers"),
    )
    .await;
    check(
        origin.into(),
        &[origin],
        &[],
        Some("pipelines.http.private = [\"127.0.0.1\"]"),
    )
    .await;
    let by_name = origin.replace("127.0.0.1", "localhost");
    check(
        by_name.clone(),
        &[&by_name],
        &[],
        Some("localhost resolves to"),
    )
    .await;
    assert!(up.seen().is_empty());
    check(origin.into(), &[origin], &["127.0.0.0/8"], None).await;
}

#[test]
fn options_that_do_not_fit_are_all_named() {
    let (web, _) = web();
    let check = |options: Value, want: &[&str]| {
        let wrong = Http(web.clone()).check(&options);
        let pointers: Vec<_> = wrong.iter().map(|m| m.pointer.as_str()).collect();
        assert_eq!(pointers, want, "{wrong:?}");
    };
    check(
        json!({"url": "${env:URL}", "headers": {"a": "${env:A}"}}),
        &[],
    );
    check(json!({"url": "https://h/{{window.start}}"}), &[]);
    check(
        json!({"url": "ftp://h", "headers": {"a b": ""}, "auth": {"type": "api_key", "value": "x"}, "records": "a..b",
            "retry": {"first": "2m", "max_delay": "1m"}, "body": "x", "encoding": "nonsense",
            "pagination": {"type": "page", "in": "body", "stop": "short"}}),
        &[
            "/url",
            "/auth",
            "/retry/first",
            "/headers",
            "/records",
            "/encoding",
            "/body",
            "/pagination",
            "/pagination/in",
        ],
    );
    check(json!({"url": "http://u:p@h"}), &["/url"]);
    check(
        json!({"url": "http://h", "format": "csv", "records": "a"}),
        &["/records"],
    );
    check(
        json!({"url": "http://h", "format": "csv", "pagination": {"type": "cursor", "path": "a", "parameter": "b"}}),
        &["/pagination", "/records"],
    );
    check(json!({"url": "http://h", "x": 1}), &["/x"]);
}
