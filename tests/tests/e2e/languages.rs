//! The contract is not Rust's: plugins written in Python and JavaScript answer like any other.

use e2e::guests;
use e2e::server::Setup;

async fn answers(prefix: &str) {
    let name = guests::list("examples")
        .into_iter()
        .find(|n| n.starts_with(prefix));
    let name = name.unwrap_or_else(|| panic!("no {prefix}*.wasm: run `just guests-other`"));
    let server = Setup::new()
        .guest(&format!("examples/{name}"))
        .start()
        .await;
    let plugin = server
        .until_plugin(&name, e2e::wait::PATIENCE * 4, |p| {
            matches!(p["state"].as_str(), Some("started" | "failed"))
        })
        .await;
    assert_eq!(plugin["state"], "started", "{plugin}");
    let id = plugin["id"].as_str().unwrap();
    if plugin["kind"] == "filter" {
        let body = serde_json::json!({"body": {"model": "m", "messages": [{"role": "user", "content": "Weir"}]}});
        let answer = server.post(&format!("/{id}/filter/inlet"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.json()["messages"].is_array(), "{}", answer.text());
    } else {
        let answer = server.chat(id, "Weir").await;
        assert!(answer.content().contains("Weir"), "{}", answer.text());
        let streamed = server.stream(id, "Weir").await;
        assert!(
            streamed.complete && streamed.text().contains("[DONE]"),
            "{}",
            streamed.text()
        );
    }
}

#[tokio::test]
async fn python() {
    answers("python-").await;
}

#[tokio::test]
async fn javascript() {
    answers("javascript-").await;
}
