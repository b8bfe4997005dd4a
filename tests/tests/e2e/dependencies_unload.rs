//! Taking plugins down that others need: refused, or with those, who come back with it.

use e2e::server::Server;
use e2e::wait::PATIENCE;
use serde_json::{Value, json};

use super::dependencies::{is_started, order, serve, shown, tiny, upload};

/// A new version that those who need the old one could not use does not take its place.
#[tokio::test]
async fn a_version_that_fails_others_is_refused_and_the_old_one_serves_on() {
    let server = serve(&[("callee", &[]), ("needs-callee", &["callee ^1.0"])]).await;
    let answer = upload(&server, "callee", &tiny("callee", "2.0.0", &[])).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "dependency");
    assert!(
        answer.text().contains("needs-callee needs callee ^1.0"),
        "{}",
        answer.text()
    );
    let callee = server.plugin("callee").await.unwrap();
    assert_eq!(
        (&callee["state"], &callee["version"]),
        (&json!("started"), &json!("1.0.0"))
    );
    // Without the one that stands in the way it is taken.
    let stopped = server
        .call("POST", "/api/v1/plugins/needs-callee/stop")
        .await;
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    let answer = upload(&server, "callee", &tiny("callee", "2.0.0", &[])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let start = server
        .call("POST", "/api/v1/plugins/needs-callee/start")
        .await;
    assert_eq!(
        start.json()["error"]["code"],
        "dependency",
        "{}",
        start.text()
    );
    assert_eq!(
        shown(&server, "needs-callee").await,
        [
            "failed",
            "dependency",
            "needs-callee needs callee ^1.0, but there is version 2.0.0 (the chain: needs-callee -> callee)"
        ]
    );
    // The version before brings it back.
    let answer = upload(&server, "callee", &tiny("callee", "1.1.0", &[])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    is_started(&server, "needs-callee").await;
}

/// Four plugins: one that two depend on, one of them through the other, and one that can do without it.
async fn family() -> Server {
    serve(&[
        ("callee", &[]),
        ("needs-callee", &["callee ^1.0"]),
        ("needs-needs-callee", &["needs-callee"]),
        ("wants-callee", &["?callee ^1.0"]),
        ("stranger", &[]),
    ])
    .await
}

const NEEDED: &str =
    "it is needed by needs-needs-callee, needs-callee; with force they are taken down first";

/// Who falls with `callee`, and what is said in the end.
const FALLEN: [(&str, &str); 2] = [
    ("needs-callee", "(the chain: needs-callee -> callee)"),
    (
        "needs-needs-callee",
        "(the chain: needs-needs-callee -> needs-callee -> callee)",
    ),
];

/// Are those that need `callee` down for its sake, and only those?
async fn is_fallen(server: &Server) {
    for (id, chain) in FALLEN {
        let wanted = format!("needs-callee needs callee, which was taken down {chain}");
        assert_eq!(shown(server, id).await, ["failed", "dependency", &wanted]);
        let answer = server.chat(id, "").await;
        assert_eq!(answer.status, 503, "{id}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "unavailable", "{id}");
    }
    others_are_untouched(server).await;
}

async fn others_are_untouched(server: &Server) {
    for id in ["wants-callee", "stranger"] {
        assert_eq!(server.chat(id, "").await.content(), "ok");
        assert_eq!(server.plugin(id).await.unwrap()["generation"], 1, "{id}");
    }
}

#[tokio::test]
async fn a_plugin_that_others_need_is_stopped_and_deleted_only_by_force() {
    let server = family().await;
    for (method, path) in [
        ("POST", "/api/v1/plugins/callee/stop"),
        ("DELETE", "/api/v1/plugins/callee"),
    ] {
        let refused = server.call(method, path).await;
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert_eq!(refused.json()["error"]["code"], "needed");
        assert_eq!(refused.json()["error"]["message"], NEEDED);
    }
    for id in ["callee", "needs-callee", "needs-needs-callee"] {
        assert_eq!(
            server.chat(id, "").await.content(),
            "ok",
            "nothing has changed"
        );
    }
    let stopped = server
        .call("POST", "/api/v1/plugins/callee/stop?force=true")
        .await;
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    assert_eq!(stopped.json()["state"], "stopped");
    is_fallen(&server).await;
    assert_eq!(
        order(&server, "failed"),
        ["needs-needs-callee", "needs-callee"]
    );
    let wants = server.get("/api/v1/plugins/wants-callee").await.json();
    assert_eq!(wants["dependencies"][0]["state"], "stopped");
    let start = server.call("POST", "/api/v1/plugins/callee/start").await;
    assert_eq!(start.status, 200, "{}", start.text());
    is_started(&server, "needs-needs-callee").await;
    // Again, by deleting it; and back by a new file.
    let deleted = server
        .call("DELETE", "/api/v1/plugins/callee?force=true")
        .await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(server.plugin("callee").await.is_none());
    assert!(!server.plugins().join("callee.wasm").exists());
    is_fallen(&server).await;
    let answer = upload(&server, "callee", &tiny("callee", "1.4.0", &[])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    is_started(&server, "needs-needs-callee").await;
}

/// What happens in the folder cannot be refused: it is as if by force.
#[tokio::test]
async fn a_file_that_goes_takes_down_those_that_need_it_until_it_is_back() {
    let server = family().await;
    let path = server.plugins().join("callee.wasm");
    let aside = server.plugins().join("callee.aside");
    std::fs::rename(&path, &aside).unwrap();
    for (id, chain) in FALLEN {
        let fallen = |p: &Value| {
            let message = p["reason"]["message"].as_str().unwrap_or_default();
            p["state"] == "failed"
                && p["reason"]["code"] == "dependency"
                && message.ends_with(chain)
        };
        server.until_plugin(id, PATIENCE, fallen).await;
    }
    others_are_untouched(&server).await;
    std::fs::rename(&aside, &path).unwrap();
    is_started(&server, "needs-needs-callee").await;
    assert_eq!(server.chat("needs-needs-callee", "").await.content(), "ok");
}
