//! What plugins were granted and what they use: shown, counted, bounded, and denied without a word too many in the log.

use e2e::server::{Server, Setup};
use serde_json::{Value, json};

async fn shown(server: &Server, plugin: &str, what: &str) -> Value {
    let path = format!("/api/v1/plugins/{plugin}{what}");
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn grants_are_shown_as_asked_given_and_used() {
    let server = Setup::new()
        .guest("system/emitter.wasm")
        .guest("system/caller.wasm")
        .guest("system/callee.wasm")
        .start()
        .await;
    let emit = |topic: &str, count: u64| json!({"emit": topic, "count": count, "payload": {}});
    server.tell("emitter", &emit("orders.new", 3)).await;
    let watch = e2e::wait::Stopwatch::start();
    server.tell("emitter", &emit("other", 50)).await;
    let grants = shown(&server, "emitter", "/grants").await;
    assert_eq!(grants["asked"], json!(["events"]), "{grants}");
    assert_eq!(
        grants["granted"]["events"]["emit"],
        json!(["orders.*"]),
        "{grants}"
    );
    assert_eq!(grants["used"]["events"], json!({"used": 3, "denied": 50}));
    assert_eq!(grants["missing"], json!([]));
    // A plugin that is denied again and again does not fill the log.
    let log = e2e::wait::until("it is logged", e2e::wait::PATIENCE, async || {
        let log = server.log();
        log.contains("denied").then_some(log)
    })
    .await;
    let denials = log
        .lines()
        .filter(|l| l.contains("denied") && l.contains("emitter"));
    assert!(watch.elapsed() < std::time::Duration::from_secs(55));
    let denials: Vec<_> = denials.collect();
    assert_eq!(denials.len(), 1, "{denials:#?}");

    server.tell("caller", &json!({"call": "callee"})).await;
    let grants = shown(&server, "caller", "/grants").await;
    assert_eq!(grants["used"]["calls"], json!({"used": 1, "denied": 0}));
    let callee = &grants["details"]["dependencies"][0];
    assert_eq!(callee["id"], "callee", "{grants}");
    assert_eq!(callee["may_call"], true, "{grants}");
}

#[tokio::test]
async fn what_is_missing_is_shown_with_the_line_that_would_grant_it() {
    let manifest = json!({"id": "greedy", "version": "1.0.0", "topics": ["orders.*"]});
    let server = Setup::new()
        .actor("bus", "[grants]\noptional = [\"events\"]\n", &manifest)
        .start()
        .await;
    let grants = shown(&server, "greedy", "/grants").await;
    assert_eq!(grants["missing"][0]["capability"], "events", "{grants}");
    assert!(
        grants["missing"].to_string().contains("events ="),
        "{grants}"
    );
    assert_eq!(grants["details"]["topics"][0]["granted"], false, "{grants}");
    let emit = json!({"emit": "orders.x"});
    assert_eq!(server.tell("greedy", &emit).await, json!({"denied": 1}));
    let grants = shown(&server, "greedy", "/grants").await;
    assert_eq!(grants["used"]["events"], json!({"used": 0, "denied": 1}));
}

#[tokio::test]
async fn calls_and_fuel_of_a_minute_are_bounded() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("examples/echo.wasm")
        .file("echo.toml", b"limits = { calls_per_minute = 3 }")
        .guest("hostile/hostile.wasm")
        .file(
            "hostile.toml",
            b"limits = { fuel_per_minute = 20000000, fuel = 30000000 }",
        )
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(server.chat("echo", "hi").await.content(), "hi");
    }
    let refused = server.chat("echo", "hi").await;
    assert_limited(&refused, "calls_per_minute");
    assert_limited(&server.stream("echo", "hi").await, "calls_per_minute");
    let spun = server.chat("hostile.spin", "").await;
    assert_eq!(spun.json()["error"]["code"], "out_of_fuel");
    let refused = server.chat("hostile.environment", "").await;
    assert_limited(&refused, "fuel_per_minute");
    assert_eq!(server.chat("ok", "").await.content(), "ok", "others go on");
}

fn assert_limited(answer: &e2e::http::Answer, limit: &str) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"]["code"], "rate_limited", "{body}");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(limit), "{message}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn what_a_plugin_uses_is_accounted() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("examples/counter.wasm")
        .start()
        .await;
    let usage = async || shown(&server, "counter", "").await["usage"].clone();
    let before = usage().await;
    for _ in 0..3 {
        assert_eq!(server.chat("counter", "").await.status, 200);
    }
    let after = usage().await;
    let grew = |key: &str| {
        let number = |usage: &Value| usage[key].as_u64().unwrap_or_else(|| panic!("{usage}"));
        number(&after) > number(&before)
    };
    for key in ["fuel", "cpu_us", "host_calls", "bytes_in", "bytes_out"] {
        assert!(grew(key), "{key}: {before} {after}");
    }
    assert!(
        after["memory_high_water"].as_u64() >= Some(65_536),
        "{after}"
    );
    let calls = shown(&server, "counter", "").await["calls"].clone();
    assert_eq!(calls["total"], 3, "{calls}");
}

/// Granted or not, a secret's value is in no log, no error, no metric and no answer of the API.
#[tokio::test]
async fn secrets_are_given_only_to_whom_they_were_granted() {
    const SECRET: &str = "c0ffee-5ecret-0f-the-h0use";
    let server = Setup::new()
        .env("E2E_KNOWN", SECRET)
        .env("E2E_OTHER", "another-5ecret-value")
        .config("[secrets]\nknown = \"${env:E2E_KNOWN}\"\nother = \"${env:E2E_OTHER}\"\n")
        .guest("hostile/system/probe.wasm")
        .guest("corpus/ok.wasm")
        .start()
        .await;
    let told = server.tell("probe", &json!({"secret": "known"})).await;
    assert_eq!(told, json!({"ok": SECRET}));
    for name in ["other", "unset", "", "known "] {
        let told = server.tell("probe", &json!({"secret": name})).await;
        assert!(told["error"].is_string(), "{name}: {told}");
    }
    let granted = server.tell("probe", &json!({"granted": true})).await;
    assert_eq!(granted, json!(["secrets", "metrics"]));
    for path in [
        "/metrics",
        "/api/v1/plugins",
        "/api/v1/plugins/probe",
        "/api/v1/plugins/probe/grants",
        "/openapi.json",
    ] {
        let seen = server.get(path).await.text();
        let line = seen.lines().find(|l| l.contains("5ecret"));
        assert_eq!(line, None, "{path}");
    }
    let log = server.log();
    let line = log.lines().find(|l| l.contains("5ecret"));
    assert_eq!(line, None);
    assert!(log.contains("the secret is"), "what it logged is there");
    assert_eq!(server.chat("ok", "").await.content(), "ok");
}

#[tokio::test]
async fn plugins_have_metrics_of_their_own_and_not_too_many() {
    let server = Setup::new()
        .guest("hostile/system/probe.wasm")
        .file(
            "probe.toml",
            b"limits = { metric_series = 20 }\n[grants]\nsecrets = []\nmetrics = true\n",
        )
        .guest("corpus/ok.wasm")
        .start()
        .await;
    server.tell("probe", &json!({"names": 2})).await;
    let metrics = server.get("/metrics").await.text();
    for line in [
        "weir_guest_probe_counter0_total",
        "weir_guest_probe_gauge1",
        "weir_guest_probe_histogram0_bucket",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    for order in [
        json!({"labels": 100_000}),
        json!({"names": 10_000}),
        json!({"odd": true}),
    ] {
        server.tell("probe", &order).await;
    }
    let metrics = server.get("/metrics").await.text();
    let series = metrics
        .lines()
        .filter(|l| l.starts_with("weir_guest_probe_"))
        .filter(|l| !l.contains("_bucket{") && !l.contains("_sum{"));
    assert!(series.count() <= 20, "{metrics}");
    well_formed(&metrics);
    assert_eq!(server.chat("ok", "").await.content(), "ok");
}

/// The text format, line by line: nothing a plugin wrote begins a line of its own.
fn well_formed(metrics: &str) {
    let name = r"[a-zA-Z_:][a-zA-Z0-9_:]*";
    let label = r#"[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*""#;
    let sample = format!(r"^{name}(\{{({label}(,{label})*)?\}})? \S+( \S+)?( # .*)?$");
    let sample = regex::Regex::new(&sample).unwrap();
    let mut families = std::collections::BTreeSet::new();
    for line in metrics.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let family = family.split(' ').next().unwrap();
            assert!(families.insert(family.to_owned()), "twice: {line}");
        }
        assert!(line.starts_with('#') || sample.is_match(line), "{line}");
        assert!(!line.starts_with("weir_up 0"), "{line}");
    }
}
