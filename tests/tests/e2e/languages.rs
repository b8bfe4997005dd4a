//! The contract is not Rust's: plugins written in Python and JavaScript answer, hook in and hear events like any other.

use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use serde_json::json;

/// Puts plugins into the folder and waits for them. Compiling an interpreter takes its time.
async fn install(server: &Server, plugins: &[&str]) {
    for plugin in plugins {
        server.install(&format!("examples/{plugin}.wasm"));
    }
    let up = |p: &serde_json::Value| matches!(p["state"].as_str(), Some("started" | "failed"));
    for plugin in plugins {
        let file = format!("{plugin}.wasm");
        let plugin = server.until_plugin(&file, PATIENCE * 6, up).await;
        assert_eq!(plugin["state"], "started", "{plugin}");
    }
}

async fn chats(server: &Server, id: &str) {
    let answer = server.chat(id, "Weir").await;
    assert!(answer.content().contains("Weir"), "{}", answer.text());
    let streamed = server.stream(id, "Weir").await;
    assert!(
        streamed.complete && streamed.text().contains("[DONE]"),
        "{}",
        streamed.text()
    );
}

/// A pipe; and a subscriber that calls a peer.
#[tokio::test]
async fn python() {
    let server = Setup::new()
        .guest("examples/bridge.wasm")
        .guest("examples/integration.wasm")
        .start()
        .await;
    install(&server, &["python-greet", "python-reply"]).await;
    chats(&server, "python-greet").await;
    let sent = server.chat("integration", "send python-reply hi").await;
    assert!(sent.content().contains("on its way"), "{}", sent.text());
    until("the letter is answered", PATIENCE, async || {
        let letters = server.chat("integration", "letters").await.content();
        letters.contains("Re: hi").then_some(())
    })
    .await;
}

/// A filter; and a hook that emits events.
#[tokio::test]
async fn javascript() {
    let server = Setup::new().guest("examples/echo.wasm").start().await;
    install(&server, &["javascript-footer", "javascript-announce"]).await;
    let body = json!({"body": {"model": "m", "messages": [{"role": "user", "content": "Weir"}]}});
    for way in ["inlet", "outlet"] {
        let path = format!("/javascript-footer/filter/{way}");
        let answer = server.post(&path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.json()["messages"].is_array(), "{}", answer.text());
    }
    let mut stream = server.listen("?topic=chats.*", None).await;
    chats(&server, "echo").await;
    for event in stream.take(2).await {
        assert_eq!(event.topic, "chats.answered");
        assert_eq!(event.data["origin"], "javascript-announce");
        assert_eq!(event.payload()["plugin"], "echo", "{event:?}");
    }
}
