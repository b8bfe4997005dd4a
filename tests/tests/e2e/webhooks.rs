//! Webhooks: signed requests become records, each kept on disk before it is answered, whatever happens then.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::http::{Answer, Request, send};
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::pipelines::{Place, copy, send_spec, start};

const SECRET: &str = "topsecret";
/// Base64 of a key.
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn signature(secret: &str, body: &[u8]) -> String {
    hex(&mac(secret.as_bytes(), &[body]))
}

fn now() -> u64 {
    let now = e2e_now();
    now.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a message is signed with the time of the machine"
)]
fn e2e_now() -> SystemTime {
    SystemTime::now()
}

/// A pipeline that writes what its webhook receives to a file for each run.
pub(crate) fn hook(id: &str, more: &str) -> String {
    format!(
        "id: {id}\ntrigger: {{webhook: {{secret: '${{env:WEIR_TEST_HOOK}}'{more}}}}}\nsink: {{type: file, path: '{id}-{{{{run.id}}}}.ndjson'}}\n"
    )
}

fn to(id: &str, body: &[u8]) -> Request {
    Request::new("POST", &format!("/webhooks/{id}")).body(body.to_vec())
}

pub(crate) fn signed(id: &str, body: &[u8]) -> Request {
    to(id, body)
        .header("content-type", "application/json")
        .header("x-webhook-signature", &signature(SECRET, body))
}

/// A message of Standard Webhooks.
fn message(id: &str, name: &str, sent: u64, body: &[u8]) -> Request {
    let key = STANDARD_SECRET.strip_prefix("whsec_").unwrap();
    let key = STANDARD.decode(key).unwrap();
    let sent = sent.to_string();
    let signature = mac(&key, &[name.as_bytes(), b".", sent.as_bytes(), b".", body]);
    to(id, body)
        .header("webhook-id", name)
        .header("webhook-timestamp", &sent)
        .header(
            "webhook-signature",
            &format!("v1,{}", STANDARD.encode(signature)),
        )
}

async fn send_to(server: &Server, request: &Request) -> Answer {
    send(server.host, request).await.unwrap()
}

/// The answer says exactly this.
async fn check(server: &Server, request: &Request, status: u16, text: &str) -> Answer {
    let answer = send_to(server, request).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (status, format!(r#"{{"error":"{text}"}}"#).as_str())
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer
}

/// It is taken; the run that takes it.
pub(crate) async fn taken(server: &Server, request: &Request, id: &str) -> String {
    let answer = send_to(server, request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let run = answer.json()["run_id"].as_str().unwrap().to_owned();
    let want = format!(r#"{{"status":"received","pipeline_id":"{id}","run_id":"{run}"}}"#);
    assert_eq!(answer.text(), want);
    run
}

pub(crate) fn setup(place: &Place, setup: Setup) -> Setup {
    place.setup(setup).env("WEIR_TEST_HOOK", SECRET)
}

pub(crate) async fn serve(place: &Place) -> Server {
    setup(place, Setup::new()).start().await
}

/// All that the runs of a pipeline wrote, in the order of the records' `n`.
fn written(place: &Place, id: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(place.data("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(&format!("{id}-run_")) && name.ends_with(".ndjson") {
            let text = std::fs::read_to_string(&path).unwrap();
            all.extend(text.lines().map(|l| serde_json::from_str(l).unwrap()));
        }
    }
    all.sort_by_key(|record: &Value| record["n"].as_u64());
    all
}

async fn until_written(place: &Place, id: &str, count: usize) -> Vec<Value> {
    until("the payloads are delivered", PATIENCE, async || {
        let all = written(place, id);
        (all.len() >= count).then_some(all)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_told_so_byte_for_byte() {
    let place = Place::new().await;
    place.spec("hook", &hook("hook", ", max_bytes: 64"));
    place.spec("other", &copy("other", "other.ndjson"));
    place.spec("late", &format!("{}status: paused\n", hook("late", "")));
    let unset = hook("unset", "").replace("WEIR_TEST_HOOK", "WEIR_TEST_UNSET");
    place.spec("unset", &unset);
    let server = serve(&place).await;
    let body = br#"{"n":1}"#;
    check(&server, &signed("nope", body), 404, "Pipeline not found").await;
    check(&server, &signed("%00", body), 404, "Pipeline not found").await;
    let not = "Pipeline not configured for webhooks";
    check(&server, &signed("other", body), 400, not).await;
    check(&server, &signed("late", body), 400, not).await;
    let large = [b' '; 65];
    check(&server, &signed("hook", &large), 413, "Payload too large").await;
    let mut chunked = signed("hook", &large);
    chunked.chunked = true;
    check(&server, &chunked, 413, "Payload too large").await;
    let bad = "Invalid signature";
    check(&server, &to("hook", body), 401, bad).await;
    let good = signature(SECRET, body);
    for given in [
        "",
        "x",
        &good[1..],
        &good.to_uppercase(),
        &format!("sha1={good}"),
        &signature("other", body),
        &signature(SECRET, br#"{"n":2}"#),
        &"0".repeat(64),
        &"a".repeat(4000),
    ] {
        let request = to("hook", body).header("x-webhook-signature", given);
        check(&server, &request, 401, bad).await;
    }
    let twice = signed("hook", body).header("x-webhook-signature", &good);
    check(&server, &twice, 401, bad).await;
    let half = to("hook", body).header("webhook-signature", "v1,x");
    check(&server, &half, 401, bad).await;
    // The server's key is none of the sender's.
    check(
        &server,
        &to("hook", body).bearer(e2e::server::KEY),
        401,
        bad,
    )
    .await;
    let answer = check(
        &server,
        &signed("unset", body),
        503,
        "Webhook not available",
    )
    .await;
    assert!(answer.header("retry-after").is_some());
    assert!(server.log().contains("WEIR_TEST_UNSET"));
    let answer = send_to(&server, &Request::new("GET", "/webhooks/hook")).await;
    assert_eq!(answer.status, 405);
    // Nothing of all that was kept.
    for id in ["hook", "other", "late", "unset"] {
        let path = format!("/api/v1/pipelines/{id}/raw");
        assert_eq!(
            server.get(&path).await.json()["segments"],
            json!([]),
            "{id}"
        );
    }
    taken(&server, &signed("hook", body), "hook").await;
    let prefixed = to("hook", body).header("x-webhook-signature", &format!("sha256={good}"));
    taken(&server, &prefixed, "hook").await;
    let metrics = server.get("/metrics").await.text();
    for (pipeline, outcome, count) in [("hook", "received", 2), ("unset", "unavailable", 1)] {
        let line = format!(
            "weir_webhook_requests_total{{pipeline=\"{pipeline}\",outcome=\"{outcome}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_become_records_and_are_kept_as_they_came() {
    let place = Place::new().await;
    place.spec("hook", &hook("hook", ""));
    let server = serve(&place).await;
    let request = signed("hook", br#"{"n": 1}"#)
        .header("authorization", "Bearer of-the-sender")
        .header("cookie", "a=b")
        .header("weir-stage", "forged")
        .header("x-event", "ping");
    let run = taken(&server, &request, "hook").await;
    let list = br#"[{"n":2},{"n":3}]"#;
    taken(&server, &signed("hook", list), "hook").await;
    let bad = b"\xff no json";
    taken(&server, &signed("hook", bad), "hook").await;
    let lines = b"{\"n\":4}\n{\"n\":5}\n";
    let lines = to("hook", lines)
        .header("content-type", "application/x-ndjson")
        .header("x-webhook-signature", &signature(SECRET, lines));
    taken(&server, &lines, "hook").await;
    let all = until_written(&place, "hook", 5).await;
    let numbers: Vec<_> = all.iter().map(|r| r["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let shown = server.get(&format!("/api/v1/runs/{run}")).await.json();
    assert_eq!(shown["started_by"], "webhook", "{shown:#}");
    let path = "/api/v1/pipelines/hook/raw/records";
    let page = server.get(path).await.json();
    let records = page["records"].as_array().unwrap();
    assert_eq!(records.len(), 4, "{page:#}");
    assert_eq!(records[0]["text"], r#"{"n": 1}"#);
    assert_eq!(records[2]["base64"], STANDARD.encode(bad));
    let headers = records[0]["headers"].as_object().unwrap();
    assert_eq!(headers["x-event"], "ping");
    for gone in [
        "authorization",
        "cookie",
        "x-webhook-signature",
        "weir-stage",
    ] {
        assert!(!headers.contains_key(gone), "{headers:?}");
    }
    // In pages, from a place on, and by time.
    let page = server.get(&format!("{path}?limit=1")).await.json();
    let after = page["next"].as_str().unwrap();
    let rest = server.get(&format!("{path}?after={after}")).await.json();
    assert_eq!(rest["records"].as_array().unwrap()[..], records[1..]);
    let none = server.get(&format!("{path}?until=2000-01-01")).await.json();
    assert_eq!(none["records"], json!([]));
    for bad in [
        "after=x",
        "limit=0",
        "limit=501",
        "from=yesterday",
        "until=x",
    ] {
        let answer = server.get(&format!("{path}?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
    let segments = server.get("/api/v1/pipelines/hook/raw").await.json();
    let first = &segments["segments"][0];
    assert_eq!(
        (&first["state"], &first["records"]),
        (&json!("open"), &json!(4))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_webhooks_are_taken_once_and_not_when_they_are_old() {
    let place = Place::new().await;
    let two = ", other_secret: '${env:WEIR_TEST_STANDARD}'";
    place.spec("hook", &hook("hook", two));
    let serve = || setup(&place, Setup::new()).env("WEIR_TEST_STANDARD", STANDARD_SECRET);
    let server = serve().start().await;
    let body = br#"{"n":1}"#;
    let bad = "Invalid signature";
    for sent in [now() - 301, now() + 330, 0] {
        check(&server, &message("hook", "m1", sent, body), 401, bad).await;
    }
    let first = message("hook", "m1", now(), body);
    taken(&server, &first, "hook").await;
    let seen = "Message already received";
    check(&server, &first, 409, seen).await;
    check(
        &server,
        &message("hook", "m1", now(), br#"{"n":9}"#),
        409,
        seen,
    )
    .await;
    taken(
        &server,
        &message("hook", "m2", now(), br#"{"n":2}"#),
        "hook",
    )
    .await;
    // Either secret is good.
    taken(&server, &signed("hook", br#"{"n":3}"#), "hook").await;
    until_written(&place, "hook", 3).await;
    // A restart is no way to send it twice.
    server.signal(Signal::KILL);
    let setup = server.into_setup().await;
    let again = place.setup(setup).env("WEIR_TEST_HOOK", SECRET);
    let server = again
        .env("WEIR_TEST_STANDARD", STANDARD_SECRET)
        .start()
        .await;
    until("the message is known again", PATIENCE, async || {
        let answer = send_to(&server, &message("hook", "m1", now(), b"{}")).await;
        assert!([409].contains(&answer.status), "{}", answer.text());
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_a_hundred_are_taken_in_a_minute_and_only_signed_ones_count() {
    let place = Place::new().await;
    place.spec("hook", &hook("hook", ""));
    let few = ", rate: {requests: 2, per: 1h}";
    place.spec("few", &hook("few", few));
    let server = serve(&place).await;
    for _ in 0..150 {
        let answer = send_to(
            &server,
            &to("hook", b"{}").header("x-webhook-signature", "x"),
        )
        .await;
        assert_eq!(answer.status, 401);
    }
    for n in 0..100 {
        let body = format!("{{\"n\":{n}}}");
        taken(&server, &signed("hook", body.as_bytes()), "hook").await;
    }
    let limit = "Rate limit exceeded";
    for _ in 0..3 {
        let answer = check(&server, &signed("hook", b"{}"), 429, limit).await;
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
    }
    check(&server, &to("hook", b"{}"), 401, "Invalid signature").await;
    // Another pipeline has its own.
    for _ in 0..2 {
        taken(&server, &signed("few", b"{\"n\":1}"), "few").await;
    }
    check(&server, &signed("few", b"{}"), 429, limit).await;
    let all = until_written(&place, "hook", 100).await;
    assert_eq!(all.len(), 100);
}

/// Something else takes all the turns: what is answered waits for its run when the server is killed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_delivered_after_a_crash() {
    let place = Place::new().await;
    place.spec("hook", &hook("hook", ""));
    place.spec("stuck", &place.stuck("stuck", "stuck.ndjson"));
    let busy = |setup: Setup| {
        let config = place
            .config()
            .replace("[pipelines]\n", "[pipelines]\nparallel_runs = 1\n");
        setup.config(&config).env("WEIR_TEST_HOOK", SECRET)
    };
    let server = busy(Setup::new()).start().await;
    let stuck = start(&server, "stuck").await;
    let mut runs = Vec::new();
    for n in 1..=20 {
        let body = format!("{{\"n\":{n}}}");
        runs.push(taken(&server, &signed("hook", body.as_bytes()), "hook").await);
    }
    assert_eq!(written(&place, "hook"), Vec::<Value>::new());
    server.signal(Signal::KILL);
    let server = busy(server.into_setup().await).start().await;
    // The runs that were answered are known.
    for run in &runs {
        let answer = server.get(&format!("/api/v1/runs/{run}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let cancel = format!("/api/v1/runs/{stuck}/cancel");
    // Or it is over: its last attempt was lost.
    let cancelled = server.call("POST", &cancel).await.status;
    assert!([202, 409].contains(&cancelled), "{cancelled}");
    let all = until_written(&place, "hook", 20).await;
    let numbers: Vec<_> = all.iter().map(|r| r["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>(), "each once");
    // What comes next is taken from there on, and nothing twice.
    taken(&server, &signed("hook", b"{\"n\":21}"), "hook").await;
    let all = until_written(&place, "hook", 21).await;
    assert_eq!(all.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_source_a_webhook_starts_runs() {
    let place = Place::new().await;
    let spec = hook("hook", "") + "source: {type: file, path: in.ndjson}\n";
    place.spec("hook", &spec);
    let server = serve(&place).await;
    let run = taken(&server, &signed("hook", b"anything"), "hook").await;
    let over = until("the run is over", PATIENCE, async || {
        let run = server.get(&format!("/api/v1/runs/{run}")).await.json();
        (run["state"] == "partial" || run["state"] == "succeeded").then_some(run)
    })
    .await;
    assert_eq!(over["started_by"], "webhook");
    let page = server
        .get("/api/v1/pipelines/hook/raw/records")
        .await
        .json();
    assert_eq!(page["records"][0]["text"], "anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_that_type_needs_a_webhook() {
    let place = Place::new().await;
    let server = serve(&place).await;
    let said = async |text: &str| {
        let answer = send_spec(&server, "POST", "/api/v1/pipelines/check", text).await;
        answer.json()["problems"].to_string()
    };
    let sink = "sink: {type: file, path: out.ndjson}\n";
    let problems = said(&format!("id: a\nsource: {{type: webhook}}\n{sink}")).await;
    assert!(problems.contains("there is none"), "{problems}");
    let problems = said(&format!("id: a\ntrigger: {{every: 1m}}\n{sink}")).await;
    assert!(problems.contains("`source` is missing"), "{problems}");
    let again = "source: {type: webhook, incremental: false}\n";
    let problems = said(&(hook("a", "") + again)).await;
    assert!(problems.contains("is taken once"), "{problems}");
    let options = "source: {type: webhook, records: data.items}\n";
    let good = hook("a", "") + options;
    assert_eq!(said(&good).await, "[]");
    assert_eq!(said(&hook("a", "")).await, "[]");
}

/// The lines of the guide that sign and send, as a shell runs them.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_signs_as_the_server_verifies() {
    let page = e2e::guests::root().join("docs/pipeline-guide/webhooks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = |kind: &str| -> Vec<String> {
        let fence = format!("```{kind}\n");
        let all = page.split(&fence).skip(1);
        all.map(|rest| rest.split("```").next().unwrap().to_owned())
            .collect()
    };
    let place = Place::new().await;
    let spec = blocks("yaml").remove(0);
    let spec = spec.replace("ORDERS_SECRET", "WEIR_TEST_ORDERS");
    place.spec("orders", &spec);
    let server = place
        .setup(Setup::new())
        .env("WEIR_TEST_ORDERS", STANDARD_SECRET);
    let server = server.start().await;
    let scripts = blocks("sh");
    assert_eq!(scripts.len(), 2);
    for script in scripts {
        let mut command = tokio::process::Command::new("sh");
        command
            .args(["-euc", &script])
            .env("WEIR", format!("http://{}", server.host))
            .env("ORDERS_SECRET", STANDARD_SECRET);
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.starts_with(r#"{"status":"received","pipeline_id":"orders","run_id":"run_"#),
            "{script}\n{said}\n{output:?}"
        );
    }
    until("both are delivered", PATIENCE, async || {
        let entries = std::fs::read_dir(place.data("")).unwrap();
        let texts = entries.filter_map(|e| std::fs::read_to_string(e.unwrap().path()).ok());
        let orders: usize = texts.map(|t| t.matches("\"order\"").count()).sum();
        (orders == 2).then_some(())
    })
    .await;
}
