//! Plugins that need each other: the order they start in, what is said when one is missing, and what happens when it comes. How one is taken down
//! is `dependencies_unload`'s.

use std::time::Duration;

use e2e::actors::stamp;
use e2e::http::Answer;
use e2e::server::{Server, Setup};
use e2e::wait::PATIENCE;
use serde_json::{Value, json};

/// The manifest of a plugin that needs others: `callee`, or `callee ^1.0`, or `?callee` for one it can do without.
pub(super) fn manifest(id: &str, version: &str, needs: &[&str]) -> Value {
    let needs = needs.iter().map(|text| {
        let optional = text.starts_with('?');
        let text = text.trim_start_matches('?');
        let (id, range) = text.split_once(' ').unwrap_or((text, "*"));
        json!({"id": id, "version": range, "optional": optional})
    });
    let dependencies: Vec<_> = needs.collect();
    json!({"id": id, "version": version, "dependencies": dependencies})
}

pub(super) fn tiny(id: &str, version: &str, needs: &[&str]) -> Vec<u8> {
    stamp("tiny", &manifest(id, version, needs))
}

/// A server with these plugins, each with what it needs; all of version 1.0.0.
pub(super) async fn serve(plugins: &[(&str, &[&str])]) -> Server {
    let mut setup = Setup::new();
    for (id, needs) in plugins {
        setup = setup.actor("tiny", "", &manifest(id, "1.0.0", needs));
    }
    setup.start().await
}

pub(super) async fn upload(server: &Server, id: &str, component: &[u8]) -> Answer {
    let request = server.request("POST", "/pipelines/upload");
    server
        .send(&request.file(&format!("{id}.wasm"), component))
        .await
}

/// State, code and message of a plugin; empty where there is none.
pub(super) async fn shown(server: &Server, id: &str) -> [String; 3] {
    let plugin = server.get(&format!("/api/v1/plugins/{id}")).await.json();
    let reason = &plugin["reason"];
    [&plugin["state"], &reason["code"], &reason["message"]]
        .map(|v| v.as_str().unwrap_or_default().to_owned())
}

pub(super) async fn is_started(server: &Server, id: &str) {
    let started = |p: &Value| p["state"] == "started";
    server.until_plugin(id, PATIENCE, started).await;
}

/// The plugins that came to this state, in the order the log tells it.
pub(super) fn order(server: &Server, state: &str) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter_map(|l| serde_json::from_str(l).ok());
    let lines = lines.filter(|l: &Value| l["target"] == "engine::lifecycle");
    let lines = lines.filter(|l| l["state"] == state);
    let plugins = lines.filter_map(|l| Some(l["plugin"].as_str()?.to_owned()));
    plugins.collect()
}

#[tokio::test]
async fn plugins_start_after_what_they_need_whatever_their_files_are_called() {
    // The names are in the wrong order: each needs what sorts after it.
    let plugins: [(&str, &[&str]); 6] = [
        ("a-top", &["b-left", "c-right ^1.0"]),
        ("b-left", &["d-base"]),
        ("c-right", &["d-base", "?e-extra"]),
        ("d-base", &["f-last"]),
        ("e-extra", &["f-last"]),
        ("f-last", &[]),
    ];
    let mut server = serve(&plugins).await;
    for (id, _) in &plugins {
        assert_eq!(shown(&server, id).await[0], "started", "{id}");
        assert_eq!(server.chat(id, "").await.content(), "ok");
    }
    let started = order(&server, "started");
    let place = |order: &[String], id: &str| order.iter().position(|other| other == id);
    for (id, needs) in &plugins {
        for need in *needs {
            let need = need.trim_start_matches('?').split(' ').next().unwrap();
            let (own, other) = (place(&started, id), place(&started, need));
            assert!(own > other && other.is_some(), "{id}, {need}: {started:?}");
        }
    }
    let top = server.get("/api/v1/plugins/a-top").await.json();
    assert_eq!(
        top["dependencies"],
        json!([
            {"id": "b-left", "range": "*", "optional": false, "version": "1.0.0", "state": "started"},
            {"id": "c-right", "range": "^1.0", "optional": false, "version": "1.0.0", "state": "started"},
        ])
    );
    let base = server.get("/api/v1/plugins/d-base").await.json();
    assert_eq!(base["dependants"], json!(["b-left", "c-right"]));
    // The end comes the other way round.
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended(PATIENCE).await.success());
    let stopped = order(&server, "stopped");
    for (id, needs) in &plugins {
        for need in needs.iter().filter(|n| !n.starts_with('?')) {
            let need = need.split(' ').next().unwrap();
            let (own, other) = (place(&stopped, id), place(&stopped, need));
            assert!(own < other && own.is_some(), "{id}, {need}: {stopped:?}");
        }
    }
}

#[tokio::test]
async fn what_is_missing_wrong_or_circular_is_told_with_the_whole_chain() {
    let server = serve(&[
        ("callee", &[]),
        ("circle-a", &["circle-b"]),
        ("circle-b", &["circle-c"]),
        ("circle-c", &["circle-a"]),
        ("circle-guest", &["circle-a"]),
        ("fine", &["callee ^1.0"]),
        ("orphan", &["nobody"]),
        ("orphan-child", &["orphan"]),
        ("orphan-grandchild", &["orphan-child", "callee"]),
        ("too-new", &["callee ^9.0"]),
    ])
    .await;
    for (id, reason, chain) in [
        (
            "orphan",
            "orphan needs nobody, which is missing",
            "orphan -> nobody",
        ),
        (
            "orphan-child",
            "orphan needs nobody, which is missing",
            "orphan-child -> orphan -> nobody",
        ),
        (
            "orphan-grandchild",
            "orphan needs nobody, which is missing",
            "orphan-grandchild -> orphan-child -> orphan -> nobody",
        ),
        (
            "too-new",
            "too-new needs callee ^9.0, but there is version 1.0.0",
            "too-new -> callee",
        ),
        (
            "circle-a",
            "circle-a depends on itself",
            "circle-a -> circle-b -> circle-c -> circle-a",
        ),
        (
            "circle-b",
            "circle-b depends on itself",
            "circle-b -> circle-c -> circle-a -> circle-b",
        ),
        (
            "circle-c",
            "circle-c depends on itself",
            "circle-c -> circle-a -> circle-b -> circle-c",
        ),
        (
            "circle-guest",
            "circle-a depends on itself",
            "circle-guest -> circle-a -> circle-b -> circle-c -> circle-a",
        ),
    ] {
        let message = format!("{reason} (the chain: {chain})");
        assert_eq!(shown(&server, id).await, ["failed", "dependency", &message]);
        assert_eq!(server.chat(id, "").await.status, 404, "{id}");
    }
    for id in ["callee", "fine"] {
        assert_eq!(server.chat(id, "").await.content(), "ok");
    }
    let dependency = async |id: &str| {
        let plugin = server.get(&format!("/api/v1/plugins/{id}")).await.json();
        let one = &plugin["dependencies"][0];
        (one["state"].clone(), one["version"].clone())
    };
    assert_eq!(dependency("orphan").await, (json!("missing"), Value::Null));
    assert_eq!(dependency("orphan-child").await.0, "failed");
    assert_eq!(
        dependency("too-new").await,
        (json!("incompatible"), json!("1.0.0"))
    );
    let listed = server.get("/api/v1/plugins/callee").await.json();
    assert_eq!(
        listed["dependants"],
        json!(["fine", "orphan-grandchild", "too-new"])
    );
}

#[tokio::test]
async fn what_was_missing_heals_those_that_wait_for_it() {
    let server = serve(&[
        ("circle-a", &["circle-b"]),
        ("circle-b", &["circle-a"]),
        ("orphan", &["nobody"]),
        ("orphan-child", &["orphan"]),
        ("too-new", &["callee ^9.0"]),
        ("callee", &[]),
    ])
    .await;
    // By an upload.
    let answer = upload(&server, "nobody", &tiny("nobody", "1.0.0", &[])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    is_started(&server, "orphan-child").await;
    assert_eq!(server.chat("orphan-child", "").await.content(), "ok");
    // By a file that is replaced, which needs nothing any more; and by a newer version.
    for (id, version) in [("circle-b", "1.0.1"), ("callee", "9.1.0")] {
        let path = server.plugins().join(format!("{id}.wasm"));
        std::fs::write(path, tiny(id, version, &[])).unwrap();
    }
    is_started(&server, "circle-a").await;
    is_started(&server, "too-new").await;
    let plugin = server.get("/api/v1/plugins/too-new").await.json();
    assert_eq!(plugin["dependencies"][0]["version"], "9.1.0");
    assert_eq!(plugin["dependencies"][0]["state"], "started");
}

/// A plugin that can do without another one starts without it, knows whether it is there, and is not restarted for it.
#[tokio::test]
async fn an_optional_dependency_may_be_missing_come_and_go() {
    let server = Setup::new()
        .guest("examples/bridge.wasm")
        .guest("examples/integration.wasm")
        .actor(
            "tiny",
            "",
            &manifest("wants-much", "1.0.0", &["?provider", "?bridge >=99"]),
        )
        .start()
        .await;
    // What the host tells the plugin itself.
    let told = async || server.chat("integration", "help").await.content();
    let state = async |place: usize| {
        let plugin = server.get("/api/v1/plugins/wants-much").await.json();
        assert_eq!(plugin["state"], "started");
        assert_eq!(plugin["generation"], 1);
        plugin["dependencies"][place]["state"].clone()
    };
    let (absent, present) = (
        "The bridge is there, the provider is not there.",
        "The bridge is there, the provider is there.",
    );
    assert!(told().await.ends_with(absent));
    assert_eq!(state(0).await, "missing");
    assert_eq!(state(1).await, "incompatible");
    let answer = upload(&server, "provider", &tiny("provider", "1.0.0", &[])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(told().await.ends_with(present));
    assert_eq!(state(0).await, "started");
    let stop = server.call("POST", "/api/v1/plugins/provider/stop").await;
    assert_eq!(stop.status, 200, "nobody needs it: {}", stop.text());
    assert!(told().await.ends_with(absent));
    assert_eq!(state(0).await, "stopped");
    let integration = server.plugin("integration").await.unwrap();
    assert_eq!(integration["generation"], 1);
}

#[tokio::test]
async fn plugins_of_several_folders_need_each_other() {
    let other = tempfile::tempdir().unwrap();
    let put = |id: &str, version: &str, needs: &[&str]| {
        let path = other.path().join(format!("{id}.wasm"));
        std::fs::write(path, tiny(id, version, needs)).unwrap();
    };
    put("base", "1.0.0", &[]);
    put("both", "2.0.0", &[]);
    put("upper", "1.0.0", &["lower"]);
    let server = Setup::new()
        .actor("tiny", "", &manifest("both", "1.0.0", &[]))
        .actor("tiny", "", &manifest("lower", "1.0.0", &["base"]))
        .args(&["--plugins", other.path().to_str().unwrap()])
        .start()
        .await;
    assert_eq!(order(&server, "started").len(), 4);
    for id in ["base", "lower", "upper", "both"] {
        assert_eq!(server.chat(id, "").await.content(), "ok");
    }
    assert_eq!(
        server.plugin("both").await.unwrap()["version"],
        "1.0.0",
        "a name belongs to the first folder that has it"
    );
    // Both are followed.
    std::fs::remove_file(other.path().join("base.wasm")).unwrap();
    let failed = |p: &Value| p["state"] == "failed";
    server.until_plugin("upper", PATIENCE, failed).await;
    put("base", "1.0.1", &[]);
    is_started(&server, "upper").await;
    // What is deleted over the API goes where it lies, and the name is the other folder's from then on.
    let answer = server.call("DELETE", "/api/v1/plugins/both").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(other.path().join("both.wasm").exists());
    let second = |p: &Value| p["state"] == "started" && p["version"] == "2.0.0";
    server
        .until_plugin("both", Duration::from_secs(5), second)
        .await;
}
