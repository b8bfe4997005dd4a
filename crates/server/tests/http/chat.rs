//! Chats in default mode: whole, streamed, failing, and what the pipe is told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Reply, Request};
use crate::fake::component;
use crate::world::world;

/// No list takes this long, even on a busy machine, unless it waits for a plugin.
const AT_ONCE: Duration = Duration::from_secs(4);

/// The JSON of each event; `[DONE]` as a string.
fn events(reply: &Reply) -> Vec<Value> {
    let data = reply.body.split("\n\n").filter(|e| !e.is_empty());
    data.map(|e| {
        let data = e.strip_prefix("data: ").unwrap_or_else(|| panic!("{e:?}"));
        serde_json::from_str(data).unwrap_or_else(|_| Value::from(data))
    })
    .collect()
}

#[tokio::test]
async fn a_whole_answer_is_a_completion() {
    let world = world().await;
    let answer = world.chat("echo", "hi ü", false).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "echo");
    assert_eq!(body["created"], 1_700_000_000);
    let choice = json!({"index":0,"message":{"role":"assistant","content":"echo[echo]: hi ü"},"logprobs":null,"finish_reason":"stop"});
    assert_eq!(body["choices"], json!([choice]));
    let object = world.chat("echo", "object", false).await;
    assert_eq!(object.body, r#"{"z":1,"a":"ü","big":1.10}"#);
}

#[tokio::test]
async fn a_stream_is_one_chunk_an_item_and_always_ends() {
    let world = world().await;
    for (told, texts) in [
        ("words", vec!["one ", "two ", "drei ü"]),
        ("nothing", vec![]),
    ] {
        let answer = world.chat("echo", told, true).await;
        assert_eq!(
            answer.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        assert!(answer.complete && answer.body.ends_with("data: [DONE]\n\n"));
        let events = events(&answer);
        let chunks = &events[..events.len() - 1];
        let said: Vec<_> = chunks
            .iter()
            .filter_map(|e| e["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(said, texts);
        assert_eq!(
            chunks[0]["choices"][0]["delta"]["role"], "assistant",
            "{told}"
        );
        let stops = chunks
            .iter()
            .filter(|e| e["choices"][0]["finish_reason"] == "stop");
        assert_eq!(stops.count(), 1);
        assert!(chunks.iter().all(|e| e["id"] == chunks[0]["id"]));
        assert!(
            answer.chunks.len() >= texts.len(),
            "each event left at once"
        );
    }
}

#[tokio::test]
async fn events_stand_beside_the_text() {
    let world = world().await;
    let all = events(&world.chat("echo", "event", true).await);
    assert_eq!(all[0], json!({"event": {"type": "status"}}));
    assert_eq!(all[1]["choices"][0]["delta"]["content"], "text");
    let whole = world.chat("echo", "event", false).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "text");
}

#[tokio::test]
async fn a_failure_before_the_first_item_is_an_http_error() {
    let world = world().await;
    for (code, status, words) in [
        ("invalid", 400, "in the plugin's words"),
        ("transient", 503, "in the plugin's words"),
        ("refused", 403, "in the plugin's words"),
        ("plugin_failed", 500, "in the plugin's words"),
        ("out_of_fuel", 500, "fuel = 77"),
        ("deadline_exceeded", 504, "deadline_ms = 77"),
        ("trapped", 500, "crashed"),
    ] {
        for stream in [true, false] {
            // A server of its own, so that no quarantine answers instead.
            let world = crate::world::world().await;
            let answer = world.chat("echo", &format!("fail {code}"), stream).await;
            answer.check(status, code, words);
            assert!(!answer.body.contains("backtrace"));
        }
    }
    let answer = world.chat("echo", "fail transient", true).await;
    assert_eq!(answer.header("retry-after"), Some("3"));
}

#[tokio::test]
async fn a_failure_in_the_middle_ends_the_stream_properly() {
    let world = world().await;
    for (told, code) in [
        ("late", "plugin_failed"),
        ("broken event", "malformed_output"),
    ] {
        let answer = world.chat("echo", told, true).await;
        if told == "broken event" {
            answer.check(500, code, "not JSON");
            continue;
        }
        assert_eq!(answer.status, 200);
        assert!(answer.complete);
        let all = events(&answer);
        assert_eq!(all[1]["error"]["message"], "it broke");
        assert_eq!(all[1]["error"]["code"], code);
        assert_eq!(all[2], "[DONE]");
        assert_eq!(all.len(), 3);
    }
}

#[tokio::test]
async fn the_pipe_is_told_all_there_is() {
    let world = world().await;
    let body = r#"{"temperature":1E5,"model":"mani.org/p.2:x","messages":[{"role":"user","content":"dump"}],"stream":false,"user":{"id":"u1"}}"#;
    let told = world.post("/chat/completions", body).await.json();
    let told: Value =
        serde_json::from_str(told["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(told["model"], "org/p.2:x");
    assert_eq!(told["user_message"], "\"dump\"");
    assert_eq!(
        told["body"],
        r#"{"stream":false,"model":"mani.org/p.2:x","messages":[{"role":"user","content":"dump"}],"temperature":1E5,"user":{"id":"u1"}}"#
    );
    assert_eq!(told["user"], r#"{"id":"u1"}"#);
    assert_eq!(told["metadata"], Value::Null);
}

#[tokio::test]
async fn metadata_told_to_an_inlet_reaches_the_chat() {
    let world = world().await;
    let inlet = json!({
        "user": {"id": "u1"},
        "body": {"model": "echo", "messages": [{"role": "user", "content": "x"}], "metadata": {"chat_id": "c1", "task": "title_generation"}},
    });
    // The filter changes the message, and Open WebUI goes on with what it returned.
    let back = world
        .post("/filter/filter/inlet", inlet.to_string())
        .await
        .json();
    assert_eq!(back["messages"][0]["content"], "[inlet]x");
    let ask = |user: &str, content: &str| {
        json!({"model": "echo", "stream": false, "user": {"id": user}, "messages": [{"role": "user", "content": content}]}).to_string()
    };
    let inlet = json!({
        "user": {"id": "u1"},
        "body": {"model": "echo", "messages": [{"role": "user", "content": "dump"}], "metadata": {"chat_id": "c1", "task": "title_generation"}},
    });
    world.post("/echo/filter/inlet", inlet.to_string()).await;
    let told = |reply: Reply| -> Value {
        let text = reply.json()["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned();
        serde_json::from_str::<Value>(&text).unwrap()["metadata"].clone()
    };
    let mine = told(world.post("/v1/chat/completions", ask("u1", "dump")).await);
    assert_eq!(mine, r#"{"chat_id":"c1","task":"title_generation"}"#);
    let other = told(world.post("/v1/chat/completions", ask("u2", "dump")).await);
    assert_eq!(other, Value::Null, "another user's metadata stays hers");
    let headers = Request::new("POST", "/v1/chat/completions")
        .json(ask("u3", "dump"))
        .header("X-OpenWebUI-Chat-Id", "c9");
    assert_eq!(told(world.send(headers).await), r#"{"chat_id":"c9"}"#);
}

#[tokio::test]
async fn no_list_waits_for_a_manifold_that_does_not_answer() {
    let world = world().await;
    let stuck =
        json!({"id": "stuck", "roles": ["pipe", "manifold"], "models": ["m"], "answers": "once"});
    world.dropped("stuck.wasm", &component(&stuck)).await;
    // Its answer is old now.
    world.outside.pass(60);
    let asking = async {
        for _ in 0..3 {
            let body = json!({"model": "nope", "messages": []}).to_string();
            let answer = world.post("/v1/chat/completions", body).await;
            answer.check(404, "model_not_found", "stuck.m");
            let listed = world.get("/models").await;
            assert!(listed.body.contains("\"stuck.m\""), "{listed:?}");
        }
    };
    tokio::time::timeout(AT_ONCE, asking)
        .await
        .expect("lists come at once");
    world.log.until("asked again").await;
}

#[tokio::test]
async fn what_does_not_fit_is_told() {
    let world = world().await;
    let check = async |body: &str, status, code: &str, words: &str| {
        let answer = world.post("/v1/chat/completions", body).await;
        answer.check(status, code, words);
    };
    check("{", 400, "invalid_json", "not JSON").await;
    check("", 400, "invalid_json", "not JSON").await;
    check("[]", 422, "invalid_request", "an array").await;
    check("{}", 422, "invalid_request", "model").await;
    check(r#"{"model":"echo"}"#, 422, "invalid_request", "messages").await;
    check(
        &format!(r#"{{"x":{}}}"#, "[".repeat(200)),
        400,
        "invalid_json",
        "128",
    )
    .await;
    check(r#"{"x":"\ud800"}"#, 400, "invalid_json", "surrogate").await;
    check(r#"{"x":NaN}"#, 400, "invalid_json", "not JSON").await;
    for model in ["nope", "filter", "mani", "mani.zzz"] {
        let body = json!({"model": model, "messages": []}).to_string();
        let words = format!("Pipeline {model} not found; there are: echo");
        check(&body, 404, "model_not_found", &words).await;
    }
    let history = r#"{"model":"echo","stream":false,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"r"}]}"#;
    assert_eq!(
        world.post("/v1/chat/completions", history).await.status,
        200
    );
}
