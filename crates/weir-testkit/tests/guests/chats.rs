//! The examples that serve chats: echo, redact, rate-limit, manifold, openai-proxy, counter.

use std::time::Duration;

use weir_testkit::serde_json::{Value, json};
use weir_testkit::{Item, Upstream, UpstreamReply};

use crate::{dist, examples};

#[test]
fn echo_says_what_was_said() {
    let echo = examples(&["echo"]).start_blocking().unwrap();
    let outcome = echo.chat("hello there");
    outcome
        .assert_text("hello there")
        .assert_nothing_denied()
        .assert_fuel_below(1_000_000);
    assert!(outcome.used.fuel > 0 && outcome.used.memory > 0 && outcome.used.host_calls > 0);
    assert_eq!((echo.id(), echo.life()), ("echo", echo.on("echo").life()));
    echo.describe()
        .assert_json(&json!({"id": "echo", "name": "Echo", "roles": ["pipe"], "track": "0.1"}));
    assert!(echo.used().fuel >= outcome.used.fuel);
}

fn said(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

#[test]
fn redact_takes_addresses_out() {
    let kit = examples(&["redact"]).valves(&json!({"replacement": "<gone>"}));
    let redact = kit.start_blocking().unwrap();
    let nobody = Value::Null;
    redact
        .inlet(&said("write to a@b.com now"), &nobody)
        .assert_json(&said("write to <gone> now"));
    let untouched = said("from a@b.com");
    redact.outlet(&untouched, &nobody).assert_json(&untouched);
    redact
        .valves(&json!({"answers": true}))
        .assert_json(&json!({"answers": true, "replacement": "[e-mail]"}));
    redact
        .outlet(&untouched, &nobody)
        .assert_json(&said("from [e-mail]"));
    redact
        .valves(&json!({"priority": "high"}))
        .assert_error("priority");
}

#[test]
fn rate_limit_counts_by_the_clock() {
    let kit = examples(&["rate-limit"]).valves(&json!({"requests": 2, "seconds": 60}));
    let limit = kit.start_blocking().unwrap();
    let (body, user) = (said("hi"), json!({"id": "ann"}));
    for _ in 0..2 {
        limit.inlet(&body, &user).assert_json(&body);
    }
    limit
        .inlet(&body, &user)
        .assert_error("Rate limit of 2 requests in 60 s exceeded");
    limit.inlet(&body, &json!({"id": "bob"})).assert_ok();
    limit.advance(Duration::from_secs(59));
    limit.inlet(&body, &user).assert_error("transient");
    limit.advance(Duration::from_secs(1));
    limit.inlet(&body, &user).assert_ok();
    let keys: Vec<_> = limit.state().into_keys().collect();
    let of_ann = keys.iter().filter(|k| k.starts_with("requests/ann/"));
    assert_eq!(of_ann.count(), 1, "counts of earlier windows go: {keys:?}");
}

#[test]
fn state_is_seeded_and_granted() {
    let seeded = |kit: weir_testkit::Kit| {
        let window = 1_767_225_600 / 60;
        kit.state(&format!("requests/ann/{window}"), 10_i64.to_le_bytes())
    };
    let limit = seeded(examples(&["rate-limit"])).start_blocking().unwrap();
    limit
        .inlet(&said("hi"), &json!({"id": "ann"}))
        .assert_error("Rate limit of 10");
    let denied = seeded(examples(&["rate-limit"])).settings("grants.optional = [\"state\"]");
    let denied = denied.start_blocking().unwrap();
    let outcome = denied.inlet(&said("hi"), &json!({"id": "ann"}));
    outcome.assert_denied("state");
    assert!(outcome.result.is_err(), "{outcome}");
}

#[test]
fn manifold_has_two_voices() {
    let voices = examples(&["manifold"]).start_blocking().unwrap();
    voices
        .models()
        .assert_json(&json!([{"id": "loud", "name": "Loud"}, {"id": "quiet", "name": "Quiet"}]));
    voices.chat_with("loud", "Hi").assert_text("HI");
    voices.chat_with("manifold.quiet", "Hi").assert_text("hi");
    voices
        .chat_with("shrill", "Hi")
        .assert_error("no model \"shrill\"");
}

const OLLAMA: &str = "http://127.0.0.1:11434/v1/chat/completions";

#[test]
fn openai_proxy_passes_on_and_streams() {
    let answer = json!({"choices": [{"message": {"content": "hi"}}]});
    let whole = Upstream::post(OLLAMA).json(&answer);
    let proxy = examples(&["openai-proxy"])
        .valves(&json!({"api_key": "sk-1", "model": "m"}))
        .upstream(whole)
        .start_blocking()
        .unwrap();
    let outcome = proxy.chat("hello");
    outcome.assert_json(&answer);
    let request = &outcome.requests[0].request;
    assert_eq!(request.header("authorization"), Some("Bearer sk-1"));
    assert_eq!(request.json()["model"], "m");
    assert_eq!(outcome.used.http_requests, 1);
    let lines = "data: {\"a\":1}\n\n: quiet\n\ndata: [DONE]\n\n";
    let stream = Upstream::post(OLLAMA).reply(move |_| UpstreamReply {
        headers: vec![("content-type".into(), "text/event-stream".into())],
        ..UpstreamReply::body(lines)
    });
    let proxy = examples(&["openai-proxy"]).upstream(stream);
    let reply = proxy
        .start_blocking()
        .unwrap()
        .chat("hello")
        .result
        .unwrap();
    let raw = |line: &str| Item::Raw(line.into());
    assert_eq!(reply.items, [raw("data: {\"a\":1}"), raw("data: [DONE]")]);
}

#[test]
fn an_upstream_that_fails_and_one_that_is_not_there() {
    let down = Upstream::post(OLLAMA).status(503).body("come back later");
    let proxy = examples(&["openai-proxy"]).upstream(down);
    let proxy = proxy.start_blocking().unwrap();
    proxy.chat("hello").assert_error("503");
    proxy
        .valves(&json!({"base_url": "http://127.0.0.1:11434/v2"}))
        .assert_ok();
    let outcome = proxy.chat("hello");
    assert!(outcome.result.is_err(), "{outcome}");
    let shown = outcome.to_string();
    let words = "no upstream of the test answers POST http://127.0.0.1:11434/v2/chat/completions";
    assert!(shown.contains(words) && shown.contains(OLLAMA), "{shown}");
    proxy
        .valves(&json!({"base_url": "https://elsewhere.example"}))
        .assert_ok();
    proxy.chat("hello").assert_denied("http");
}

#[test]
fn counter_takes_its_count_along() {
    let counter = examples(&["counter"]).start_blocking().unwrap();
    counter.chat("").assert_text("1");
    counter.chat("").assert_text("2");
    counter.reload().assert_ok();
    counter.chat("").assert_text("3");
    let fresh = weir_testkit::Kit::new()
        .plugin(dist("examples/counter"))
        .settings("reuse = \"call\"");
    let fresh = fresh.start_blocking().unwrap();
    fresh.chat("").assert_text("1");
    fresh.chat("").assert_text("1");
}
