//! Components that were built when their track of the contract was new: they load, and answer as `tests/compat` says.

use e2e::guests;
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};

/// Their SHA-256: a component that is not the one that was frozen shows nothing.
const FROZEN: &str = "9f98eafa8266e778233e7c53cd01eb07230660145bcf22b73afab0e79dad8487";
const FROZEN_EXTENSIONS: &str = "4c1be3783d38eadf1b0e02adf81328da075c32badec7efc0727742d265f8731b";

fn frozen(file: &str) -> Vec<u8> {
    let path = guests::root().join("tests/compat/v0.1").join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A plugin with all details; it has to be at work, of track 0.1, and the component that was frozen.
async fn started(server: &Server, id: &str, digest: &str) -> Value {
    let plugin = server.get(&format!("/api/v1/plugins/{id}")).await.json();
    assert_eq!(plugin["state"], "started", "{}", plugin["reason"]);
    assert_eq!(plugin["digest"], digest);
    assert_eq!(plugin["track"], "0.1");
    assert_eq!(plugin["version"], "1.0.0");
    plugin
}

#[tokio::test]
async fn a_pipe_and_filter_with_valves_of_track_0_1() {
    let server = Setup::new()
        .file("frozen.wasm", &frozen("frozen.wasm"))
        .start()
        .await;
    let plugin = started(&server, "frozen", FROZEN).await;
    assert_eq!(plugin["name"], "Frozen");
    for key in ["author", "license", "description"] {
        assert!(plugin["manifest"][key].is_string(), "{key}: {plugin}");
    }
    assert!(server.log().contains("frozen has started"));
    assert_eq!(server.chat("frozen", "hi").await.content(), "Hello, hi");
    let streamed = server.stream("frozen", "hi").await;
    assert!(streamed.complete, "{}", streamed.text());
    let texts: Vec<String> = streamed
        .events()
        .iter()
        .filter_map(|e| serde_json::from_str::<Value>(e).ok())
        .filter_map(|e| Some(e["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(texts, ["Hello, ", "hi"]);
    let refused = server.chat("frozen", "fail").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "refused");
    assert!(refused.text().contains("frozen says no"));
    assert_eq!(server.chat("frozen", "granted").await.content(), "false");
    let body = json!({"body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, "user": {"id": "u"}});
    let text = async |direction: &str| {
        let answer = server
            .post(&format!("/frozen/filter/{direction}"), &body)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["messages"][0]["content"].clone()
    };
    assert_eq!(text("inlet").await, "hi!");
    assert_eq!(text("outlet").await, "!hi");
    let valves = server.get("/frozen/valves").await.json();
    let defaults = json!({"pipelines": ["*"], "priority": 7, "greeting": "Hello", "mark": "!"});
    assert_eq!(valves, defaults);
    let spec = server.get("/frozen/valves/spec").await.json();
    assert!(spec["properties"]["greeting"].is_object(), "{spec}");
    let set = json!({"pipelines": ["*"], "priority": 7, "greeting": "Good morning", "mark": "?"});
    let answer = server.post("/frozen/valves/update", &set).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        server.chat("frozen", "hi").await.content(),
        "Good morning, hi"
    );
    assert_eq!(text("inlet").await, "hi?");
}

/// A server with the plugin of all other roles, one that it can call, and one that calls it; its settings in the operator's words.
async fn extensions(settings: &str) -> Server {
    let asker =
        json!({"id": "asker", "version": "1.0.0", "dependencies": [{"id": "frozen-extensions"}]});
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("system/callee.wasm")
        .actor("relay", "[grants]\ncalls = true\n", &asker)
        .file("frozen-extensions.wasm", &frozen("frozen-extensions.wasm"))
        .file("frozen-extensions.toml", settings.as_bytes())
        .config("[secrets]\nfrozen = \"${env:FROZEN_SECRET}\"\n")
        .env("FROZEN_SECRET", "ice-cold")
        .start()
        .await;
    started(&server, "frozen-extensions", FROZEN_EXTENSIONS).await;
    server
}

fn settings() -> String {
    String::from_utf8(frozen("frozen-extensions.toml")).unwrap()
}

/// Without its hooks: the step of a chat cannot call a plugin that waits for it.
fn without_hooks() -> String {
    let settings = settings().replace("hooks = [\"chat_request\"]", "optional = [\"hooks\"]");
    assert!(settings.contains("optional"), "{settings}");
    settings
}

/// What the plugin answers to a call of `asker`.
async fn ask(server: &Server, method: &str, payload: &str) -> Value {
    let order = json!({"call": "frozen-extensions", "method": method, "payload": payload});
    server.tell("asker", &order).await
}

#[tokio::test]
async fn hooks_and_metrics_of_track_0_1() {
    let server = extensions(&settings()).await;
    assert_eq!(server.chat("ok", "").await.content(), "ok [frozen]");
    let metrics = server.get("/metrics").await.text();
    let metric = |start: &str| {
        let line = metrics
            .lines()
            .find(|l| l.starts_with(&format!("weir_guest_frozen_extensions_{start}")));
        let value = line.and_then(|l| l.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {start}: {metrics}"))
    };
    for start in [
        "chats_total{plugin=\"frozen-extensions\",kind=\"frozen\"}",
        "last_items",
        "bytes_count",
    ] {
        assert!(
            (metric(start) - 1.0).abs() < 0.1,
            "{start}: {}",
            metric(start)
        );
    }
}

#[tokio::test]
async fn peers_secrets_and_grants_of_track_0_1() {
    let server = extensions(&without_hooks()).await;
    let plugin = server.get("/api/v1/plugins/frozen-extensions").await.json();
    let frost = json!({"type": "test", "degrees": [-1, -2]});
    assert_eq!(plugin["manifest"]["provides"]["frost"], frost);
    assert_eq!(plugin["dependencies"][0]["state"], "started");
    assert_eq!(server.chat("ok", "").await.content(), "ok");
    let fired = ask(&server, "fire", "t").await;
    assert_eq!(fired, json!({"ok": {"text": "t"}}));
    let echo = ask(&server, "call", "x").await;
    assert_eq!(echo["ok"]["caller"], "frozen-extensions", "{echo}");
    assert_eq!(echo["ok"]["payload"], "x");
    assert_eq!(ask(&server, "cast", "x").await, json!({"ok": null}));
    assert_eq!(ask(&server, "secret", "frozen").await, json!({"ok": 8}));
    assert_eq!(ask(&server, "secret", "other").await["error"], "internal");
    assert_eq!(ask(&server, "granted", "state").await, json!({"ok": true}));
    assert_eq!(ask(&server, "granted", "http").await, json!({"ok": false}));
    assert_eq!(ask(&server, "present", "callee").await, json!({"ok": true}));
    assert_eq!(
        ask(&server, "present", "nobody").await,
        json!({"ok": false})
    );
    assert_eq!(
        ask(&server, "providers", "frost").await,
        json!({"ok": ["frozen-extensions"]})
    );
    assert_eq!(ask(&server, "providers", "heat").await, json!({"ok": []}));
}

#[tokio::test]
async fn events_and_a_handover_of_track_0_1() {
    let server = extensions(&without_hooks()).await;
    let heard = async || ask(&server, "heard", "").await["ok"].clone();
    assert_eq!(
        heard().await,
        json!({"count": 0, "last": null, "handed_over": null})
    );
    assert_eq!(ask(&server, "emit", "frost.a").await, json!({"ok": null}));
    let told = until("the event is heard", PATIENCE, async || {
        // It counts first, and keeps the event then.
        Some(heard().await).filter(|h| h["count"] == 1 && !h["last"].is_null())
    })
    .await;
    let event =
        json!({"topic": "frost.a", "origin": "frozen-extensions", "payload": {"by": "asker"}});
    assert_eq!(told["last"], event);
    assert_eq!(ask(&server, "emit", "fire.a").await["error"], "internal");
    let answer = server
        .call("POST", "/api/v1/plugins/frozen-extensions/reload")
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(heard().await["handed_over"], "1.0.0");
}
