//! Valves over restarts: what people set is kept, announced, and a broken file fails its own plugin only.

use std::os::unix::fs::PermissionsExt;

use e2e::server::Setup;
use serde_json::json;

#[tokio::test]
async fn values_survive_a_restart_and_a_reload() {
    let server = Setup::new().guest("corpus/valves_all.wasm").start().await;
    let set = json!({"HOST": "example.com", "PORT": "7000", "tags": ["x"]});
    let values = server.post("/valves_all/valves/update", &set).await.json();
    assert_eq!(
        (&values["PORT"], &values["HOST"]),
        (&json!(7000), &json!("example.com"))
    );
    let file = server.data().join("valves/valves_all.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    server
        .call("POST", "/api/v1/plugins/valves_all/reload")
        .await;
    assert_eq!(server.get("/valves_all/valves").await.json(), values);
    let server = server.into_setup().await.start().await;
    assert_eq!(server.get("/valves_all/valves").await.json(), values);
    let seen = server.chat("valves_all", "").await.content();
    assert!(
        seen.contains("example.com"),
        "the plugin itself knows them: {seen}"
    );
}

#[tokio::test]
async fn values_that_do_not_fit_change_nothing() {
    let server = Setup::new().guest("corpus/valves_all.wasm").start().await;
    let before = server.get("/valves_all/valves").await.json();
    for bad in [
        json!({}),
        json!({"HOST": "h", "PORT": "x"}),
        json!({"HOST": "h", "mode": "medium"}),
        json!([]),
    ] {
        let answer = server.post("/valves_all/valves/update", &bad).await;
        assert!(
            (400..500).contains(&answer.status),
            "{bad}: {}",
            answer.text()
        );
    }
    assert_eq!(server.get("/valves_all/valves").await.json(), before);
    assert!(!server.data().join("valves/valves_all.json").exists());
}

#[tokio::test]
async fn a_broken_valve_file_fails_its_own_plugin_and_names_the_file() {
    let server = Setup::new()
        .guest("corpus/valves_all.wasm")
        .guest("corpus/filter_basic.wasm")
        .start()
        .await;
    let set = json!({"HOST": "h"});
    server.post("/valves_all/valves/update", &set).await;
    let file = server.data().join("valves/valves_all.json");
    for broken in ["{", "[]", r#"{"HOST": "h", "PORT": "x"}"#] {
        std::fs::write(&file, broken).unwrap();
        let answer = server
            .call("POST", "/api/v1/plugins/valves_all/reload")
            .await;
        assert_eq!(
            answer.json()["error"]["code"],
            "bad_valves",
            "{}",
            answer.text()
        );
        assert!(answer.text().contains("valves"), "{}", answer.text());
    }
    let setup = server.into_setup().await;
    let server = setup.start().await;
    let (code, message) = server.reason("valves_all.wasm").await;
    assert_eq!(code, "bad_valves", "{message}");
    assert_eq!(server.get("/filter_basic/valves").await.status, 200);
}

#[tokio::test]
async fn an_operators_start_values_stand_behind_those_people_set() {
    let server = Setup::new()
        .guest("corpus/valves_all.wasm")
        .file(
            "valves_all.toml",
            b"valves = { HOST = \"operator\", PORT = 1 }",
        )
        .start()
        .await;
    let values = server.get("/valves_all/valves").await.json();
    assert_eq!(
        (&values["HOST"], &values["PORT"]),
        (&json!("operator"), &json!(1))
    );
    server
        .post("/valves_all/valves/update", &json!({"HOST": "people"}))
        .await;
    server
        .call("POST", "/api/v1/plugins/valves_all/reload")
        .await;
    let values = server.get("/valves_all/valves").await.json();
    assert_eq!(values["HOST"], "people");
}

/// A plugin is told of kept values after its `init`: this one never comes back from that.
#[tokio::test]
async fn kept_values_are_announced_at_a_load() {
    let server = Setup::new()
        .guest("hostile/spin-updated.wasm")
        .config("[limits]\nstart_deadline_ms = 500\n")
        .start()
        .await;
    let plugin = server.plugin("spin-updated.wasm").await.unwrap();
    assert_eq!(plugin["state"], "started", "nothing is kept yet: {plugin}");
    server.post("/spin-updated/valves/update", &json!({})).await;
    assert!(server.data().join("valves/spin-updated.json").is_file());
    let server = server
        .into_setup()
        .await
        .config("[limits]\nstart_deadline_ms = 500\n")
        .start()
        .await;
    let answer = server.chat("spin-updated", "").await;
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(
        server.log().contains("start_deadline_ms"),
        "{}",
        server.log()
    );
}
