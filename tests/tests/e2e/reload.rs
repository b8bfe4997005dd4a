//! Reloads under load: no call fails, no answer mixes two versions, and what is handed over is not lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::guests;
use e2e::load::Load;
use e2e::server::Setup;
use e2e::wait::until;
use serde_json::json;

const OLD: &str = "one two drei ü \"quoted\"\n";
const NEW: &str = "ONE TWO DREI ü \"QUOTED\"\n";

/// The text of a stream, or why it is none.
fn streamed(answer: &e2e::http::Answer) -> Result<String, String> {
    if answer.status != 200 || !answer.complete {
        return Err(format!("{} {}", answer.status, answer.text()));
    }
    let events = answer.events();
    if events.last().map(String::as_str) != Some("[DONE]") {
        return Err(format!("no end: {}", answer.text()));
    }
    let texts = events.iter().filter_map(|e| {
        let json: serde_json::Value = serde_json::from_str(e).ok()?;
        Some(json["choices"][0]["delta"]["content"].as_str()?.to_owned())
    });
    Ok(texts.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_replaced_a_hundred_times_under_load() {
    let server = Setup::new().guest("corpus/gen_words.wasm").start().await;
    let builds = [
        guests::bytes("corpus/gen_words.wasm"),
        guests::rebuilt_words(),
    ];
    let body = json!({"model": "gen_words", "stream": true, "messages": [{"role": "user", "content": "x"}]});
    let request = server.request("POST", "/v1/chat/completions").json(&body);
    let seen = Arc::new(Mutex::new([0_u64; 2]));
    let counts = Arc::clone(&seen);
    let load = Load::start(server.host, 32, &request, move |answer| {
        let text = streamed(answer)?;
        let which = match text.as_str() {
            OLD => 0,
            NEW => 1,
            mixed => return Err(format!("a mixed answer: {mixed:?}")),
        };
        counts.lock().unwrap()[which] += 1;
        Ok(())
    });
    for round in 1..=100 {
        let build = &builds[round % 2];
        let upload = server
            .request("POST", "/pipelines/upload")
            .file("gen_words.wasm", build);
        let answer = server.send(&upload).await;
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        // From now on every new call is served by the new build, and the API says so.
        let text = server.chat("gen_words", "").await.content();
        let (wanted, version) = if round % 2 == 1 {
            (NEW, "0.2.0")
        } else {
            (OLD, "0.1.0")
        };
        assert_eq!(text, wanted, "round {round}");
        assert_eq!(
            server.plugin("gen_words").await.unwrap()["version"],
            version
        );
    }
    let outcome = load.stop().await;
    assert!(
        outcome.failures.is_empty(),
        "{:?}",
        &outcome.failures[..outcome.failures.len().min(5)]
    );
    let [old, new] = *seen.lock().unwrap();
    println!("{old} answers of one build, {new} of the other");
    assert!(old > 100 && new > 100, "both builds served: {old} {new}");
    assert_eq!(server.plugin("gen_words").await.unwrap()["generation"], 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_is_handed_over_loses_nothing() {
    let server = Setup::new().guest("examples/counter.wasm").start().await;
    let request = server.chat_request("counter", "");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let numbers = Arc::clone(&seen);
    let load = Load::start(server.host, 32, &request, move |answer| {
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        let number: u64 = answer.content().parse().map_err(|e| format!("{e}"))?;
        numbers.lock().unwrap().push(number);
        Ok(())
    });
    for round in 1..=50 {
        let answer = server.call("POST", "/api/v1/plugins/counter/reload").await;
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
    }
    let outcome = load.stop().await;
    assert!(
        outcome.failures.is_empty(),
        "{:?}",
        &outcome.failures[..outcome.failures.len().min(5)]
    );
    let numbers = seen.lock().unwrap().clone();
    let distinct: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "no number twice");
    let last = distinct.last().copied().unwrap_or_default();
    assert_eq!(
        last,
        numbers.len() as u64,
        "none left out: 1 to the number of calls"
    );
    println!("{last} calls over 50 reloads");
}

/// A running call keeps its version: it ends with the answer it began.
#[tokio::test]
async fn a_call_under_way_keeps_its_version_and_the_old_one_goes_after_it() {
    let server = Setup::new().guest("hostile/hostile.wasm").start().await;
    let body = json!({"model": "hostile.spin-after-text", "stream": true, "messages": []});
    let request = server.request("POST", "/v1/chat/completions").json(&body);
    let mut connection = e2e::http::Connection::open(server.host).await.unwrap();
    connection
        .send(&request.bytes(server.host, true))
        .await
        .unwrap();
    assert_eq!(connection.read_head().await.unwrap().status, 200);
    let watch = e2e::wait::Stopwatch::start();
    let answer = server.call("POST", "/api/v1/plugins/hostile/reload").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        watch.elapsed() < Duration::from_secs(20),
        "a reload does not wait for calls"
    );
    assert_eq!(server.chat("hostile.environment", "").await.status, 200);
    let plugin = server.plugin("hostile").await.unwrap();
    assert_eq!(
        plugin["calls"]["in_flight"], 1,
        "the old call goes on: {plugin}"
    );
    drop(connection);
    until(
        "the old version is let go",
        Duration::from_secs(5),
        async || {
            let plugin = server.plugin("hostile").await?;
            (plugin["calls"]["in_flight"] == 0).then_some(())
        },
    )
    .await;
}

/// A plugin that never gives its state away cannot stand in the way of its own replacement for ever, nor of anybody else's.
#[tokio::test]
async fn a_snapshot_that_never_ends_holds_up_nobody_else() {
    let server = Setup::new()
        .guest("hostile/spin-snapshot.wasm")
        .file(
            "spin-snapshot.toml",
            b"limits = { start_deadline_ms = 500 }",
        )
        .guest("corpus/ok.wasm")
        .start()
        .await;
    let watch = e2e::wait::Stopwatch::start();
    let reload = server
        .call("POST", "/api/v1/plugins/spin-snapshot/reload")
        .await;
    assert!(reload.status >= 400, "{}", reload.text());
    assert!(watch.elapsed() < Duration::from_secs(5));
    assert_eq!(server.chat("ok", "").await.content(), "ok");
    let plugin = server.plugin("spin-snapshot").await.unwrap();
    assert_eq!(
        plugin["state"], "started",
        "the old version serves on: {plugin}"
    );
}
