//! The life of calls and of the server: clients that leave, quarantine, and an orderly end.

use std::time::Duration;

use e2e::http::Connection;
use e2e::server::Setup;
use e2e::upstream::{Reply, Upstream, openai_stream};
use e2e::wait::{PATIENCE, Stopwatch, until};
use rustix::process::Signal;
use serde_json::json;

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call() {
    let server = Setup::new().guest("hostile/hostile.wasm").start().await;
    let body = json!({"model": "hostile.spin-after-text", "stream": true, "messages": []});
    let request = server.request("POST", "/v1/chat/completions").json(&body);
    let mut connection = Connection::open(server.host).await.unwrap();
    connection
        .send(&request.bytes(server.host, true))
        .await
        .unwrap();
    let head = connection.read_head().await.unwrap();
    assert_eq!(head.status, 200);
    assert!(!connection.read_some().await.unwrap().is_empty());
    drop(connection);
    let quiet = |p: &serde_json::Value| p["calls"]["in_flight"] == 0;
    server
        .until_plugin("hostile", Duration::from_secs(2), quiet)
        .await;
    let plugin = server.get("/api/v1/plugins/hostile").await.json();
    assert_eq!(
        plugin["faults"],
        json!([]),
        "leaving is no fault of the plugin"
    );
}

#[tokio::test]
async fn a_plugin_that_keeps_failing_is_quarantined_and_comes_back() {
    let server = Setup::new()
        .guest("hostile/hostile.wasm")
        .guest("corpus/ok.wasm")
        .config("[quarantine]\nfaults = 3\nfirst_s = 1\n")
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(server.chat("hostile.trap", "").await.status, 500);
    }
    let plugin = server.plugin("hostile").await.unwrap();
    assert_eq!(plugin["state"], "quarantined", "{plugin}");
    assert_eq!(plugin["faults"].as_array().unwrap().len(), 3);
    let refused = server.chat("hostile.error", "").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(server.chat("ok", "").await.content(), "ok");
    // After the back-off it is started again.
    until("the quarantine ends", PATIENCE, async || {
        let answer = server.chat("hostile.environment", "").await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(server.plugin("hostile").await.unwrap()["state"], "started");
}

#[tokio::test]
async fn a_reload_ends_a_quarantine() {
    let server = Setup::new()
        .guest("hostile/hostile.wasm")
        .config("[quarantine]\nfaults = 1\nfirst_s = 600\n")
        .start()
        .await;
    server.chat("hostile.trap", "").await;
    assert_eq!(
        server.plugin("hostile").await.unwrap()["state"],
        "quarantined"
    );
    let answer = server.call("POST", "/api/v1/plugins/hostile/reload").await;
    assert_eq!(answer.json()["state"], "started");
    assert_eq!(server.chat("hostile.environment", "").await.status, 200);
}

/// SIGTERM: what is under way is finished, nothing new is taken, the process ends with 0.
#[tokio::test]
async fn a_server_told_to_end_finishes_what_is_under_way() {
    let up = Upstream::start(vec![(
        "/v1/chat/completions",
        Reply::Drip(
            b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"text\":\"".to_vec(),
            50,
        ),
    )])
    .await;
    let settings = format!(
        "valves = {{ base_url = \"http://{}/v1\" }}\n[grants.http]\nallow = [\"http://{}\"]\nprivate = [\"127.0.0.0/8\"]\n",
        up.host, up.host
    );
    let mut server = Setup::new()
        .guest("examples/openai-proxy.wasm")
        .file("openai-proxy.toml", settings.as_bytes())
        .start()
        .await;
    let request = server.chat_request("openai-proxy", "hi");
    let host = server.host;
    let call = tokio::spawn(async move { e2e::http::send(host, &request).await });
    until("the call is under way", PATIENCE, async || {
        (!up.seen().is_empty()).then_some(())
    })
    .await;
    server.signal(Signal::TERM);
    let answer = call.await.unwrap().expect("the call under way is answered");
    assert!(answer.complete && answer.status > 0, "{}", answer.text());
    assert!(server.ended(PATIENCE).await.success(), "{}", server.log());
    assert!(
        e2e::http::send(host, &e2e::http::Request::new("GET", "/"))
            .await
            .is_err()
    );
}

/// A call that never ends does not hold the process for ever.
#[tokio::test]
async fn a_call_that_never_ends_does_not_keep_the_server() {
    let mut server = Setup::new()
        .guest("hostile/hostile.wasm")
        .config("[http]\ndrain_ms = 500\n")
        .start()
        .await;
    let body = json!({"model": "hostile.spin", "stream": true, "messages": []});
    let request = server.request("POST", "/v1/chat/completions").json(&body);
    let mut connection = Connection::open(server.host).await.unwrap();
    connection
        .send(&request.bytes(server.host, true))
        .await
        .unwrap();
    let busy = |p: &serde_json::Value| p["calls"]["in_flight"] == 1;
    server.until_plugin("hostile", PATIENCE, busy).await;
    let watch = Stopwatch::start();
    server.signal(Signal::TERM);
    server.ended(Duration::from_secs(15)).await;
    assert!(watch.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn an_upstreams_answer_is_streamed_through_as_it_comes() {
    let up = Upstream::start(vec![(
        "/v1/chat/completions",
        openai_stream(&["Hello", " from", " upstream"]),
    )])
    .await;
    let settings = format!(
        "valves = {{ base_url = \"http://{}/v1\", api_key = \"k\" }}\n[grants.http]\nallow = [\"http://{}\"]\nprivate = [\"127.0.0.0/8\"]\n",
        up.host, up.host
    );
    let server = Setup::new()
        .guest("examples/openai-proxy.wasm")
        .file("openai-proxy.toml", settings.as_bytes())
        .start()
        .await;
    let answer = server.stream("openai-proxy", "hi").await;
    assert!(answer.complete, "{}", answer.text());
    let events = answer.events();
    let text: String = events
        .iter()
        .filter_map(|e| serde_json::from_str::<serde_json::Value>(e).ok())
        .filter_map(|e| {
            e["choices"][0]["delta"]["content"]
                .as_str()
                .map(ToOwned::to_owned)
        })
        .collect();
    assert_eq!(text, "Hello from upstream");
    assert_eq!(
        events.iter().filter(|e| *e == "[DONE]").count(),
        1,
        "{events:?}"
    );
    assert!(
        up.seen()[0]
            .to_lowercase()
            .contains("authorization: bearer k")
    );
    let whole = server.chat("openai-proxy", "hi").await;
    assert_eq!(whole.content(), "Hello from upstream");
}
