//! The native API: plugins with their limits and grants, execute, filters in order, health, metrics, the OpenAPI document.

use e2e::server::Setup;
use serde_json::{Value, json};

#[tokio::test]
async fn a_plugin_shows_what_it_is_and_may() {
    let server = Setup::new()
        .guest("examples/rate-limit.wasm")
        .guest("corpus/ok.wasm")
        .start()
        .await;
    let list = server.list().await;
    let ids: Vec<_> = list.iter().map(|p| p["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["ok", "rate-limit"]);
    let plugin = server.get("/api/v1/plugins/rate-limit").await.json();
    assert_eq!(plugin["state"], "started");
    assert_eq!(plugin["kind"], "filter");
    assert_eq!(plugin["grants"]["asked"], json!(["state"]));
    assert!(!plugin["grants"]["granted"]["state"].is_null(), "{plugin}");
    let fuel = plugin["limits"].as_array().unwrap();
    let fuel = fuel.iter().find(|l| l["name"] == "fuel").unwrap();
    assert!(fuel["value"].as_u64() <= fuel["ceiling"].as_u64(), "{fuel}");
    let unknown = server.get("/api/v1/plugins/nobody").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"]["code"], "plugin_not_found");
    let no_key = e2e::http::Request::new("GET", "/api/v1/plugins");
    assert_eq!(server.send(&no_key).await.status, 403);
}

#[tokio::test]
async fn stopping_and_starting_a_plugin() {
    let server = Setup::new().guest("corpus/ok.wasm").start().await;
    let post = |path: &'static str| server.call("POST", path);
    assert_eq!(
        post("/api/v1/plugins/ok/stop").await.json()["state"],
        "stopped"
    );
    let refused = server.chat("ok", "hi").await;
    assert!([404, 503].contains(&refused.status), "{}", refused.text());
    assert_eq!(
        post("/api/v1/plugins/ok/start").await.json()["state"],
        "started"
    );
    assert_eq!(server.chat("ok", "hi").await.content(), "ok");
}

#[tokio::test]
async fn execute_returns_the_items() {
    let server = Setup::new().guest("examples/stream.wasm").start().await;
    let body =
        json!({"body": {"messages": [{"role": "user", "content": "a b"}]}, "model": "stream"});
    let answer = server.post("/api/v1/execute", &body).await.json();
    assert_eq!(answer["text"], "a b");
    let kinds: Vec<_> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["type"])
        .collect();
    assert_eq!(kinds, ["event", "text", "text", "event"]);
}

#[tokio::test]
async fn the_server_runs_all_matching_filters_in_order() {
    let server = Setup::new()
        .guest("corpus/filter_basic.wasm")
        .guest("corpus/with_hooks.wasm")
        .guest("examples/redact.wasm")
        .start()
        .await;
    let message = json!({"role": "user", "content": "mail ann@example.com"});
    let body = json!({"body": {"model": "with_hooks", "messages": [message]}, "user": {"id": "u"}});
    let answer = server.post("/api/v1/inlet", &body).await.json();
    let content = answer["body"]["messages"][0]["content"].as_str().unwrap();
    assert!(
        content.starts_with("[f]") && !content.contains("ann@"),
        "{content}"
    );
    assert_eq!(answer["body"]["inlet_by"], "with_hooks");
    let through = answer["through"].as_array().unwrap();
    assert_eq!(
        through.last().unwrap(),
        "with_hooks",
        "the model's own comes last: {answer}"
    );
}

#[tokio::test]
async fn metrics_are_well_formed_and_count() {
    let server = Setup::new().guest("corpus/ok.wasm").start().await;
    for _ in 0..3 {
        server.chat("ok", "hi").await;
    }
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let line = regex::Regex::new(
        r#"^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_][a-zA-Z0-9_]*="[^"]*"(,[a-zA-Z_][a-zA-Z0-9_]*="[^"]*")*\})? [0-9eE+.\-]+(Inf|NaN)?)$"#,
    )
    .unwrap();
    let bad: Vec<_> = text
        .lines()
        .filter(|l| !l.is_empty() && !line.is_match(l))
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    let calls = text.lines().find(|l| {
        l.starts_with("weir_plugin_calls_total{") && l.contains("\"ok\"") && l.contains("chat")
    });
    assert!(
        calls.is_some_and(|l| l.ends_with(" 3")),
        "{calls:?} in\n{text}"
    );
    for name in [
        "weir_plugin_call_duration_seconds_bucket",
        "fuel",
        "memory",
        "instances",
    ] {
        assert!(text.contains(name), "{name} in\n{text}");
    }
}

#[tokio::test]
async fn the_openapi_document_is_served_and_names_the_routes() {
    let server = Setup::new().start().await;
    let document = server.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/v1/chat/completions",
        "/models",
        "/{id}/filter/inlet",
        "/api/v1/plugins",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_that_the_log_knows() {
    let server = Setup::new().guest("corpus/raises.wasm").start().await;
    let answer = server.chat("raises", "hi").await;
    assert_eq!(answer.status, 500);
    let id = answer
        .header("x-request-id")
        .expect("a request id")
        .to_owned();
    e2e::wait::until("the failure is logged", e2e::wait::PATIENCE, async || {
        server.log().contains(&id).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ids_with_slashes_and_health_work() {
    let server = Setup::new()
        .guest("corpus/manifold_list.wasm")
        .start()
        .await;
    let model = "manifold_list.org/p.2:x";
    let body = json!({"body": {"model": model, "messages": []}});
    for path in [
        format!("/{model}/filter/inlet"),
        format!("/v1/{}/filter/inlet", model.replace('/', "%2F")),
    ] {
        let answer = server.post(&path, &body).await;
        assert_eq!(answer.json()["seen"], Value::Bool(true), "{path}");
    }
    for path in ["/healthz", "/readyz", "/", "/v1"] {
        let open = e2e::http::Request::new("GET", path);
        assert_eq!(server.send(&open).await.status, 200, "{path}");
    }
}
