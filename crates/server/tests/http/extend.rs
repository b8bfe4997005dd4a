//! Hooks, capabilities, grants, dependencies, and what clients see of them.

use serde_json::{Value, json};

use crate::client::Request;
use crate::fake::component;
use crate::world::{World, strict, world};

async fn put(world: &World, script: Value) {
    let name = format!("{}.wasm", script["id"].as_str().unwrap());
    world.dropped(&name, &component(&script)).await;
}

fn hook(id: &str, point: &str, mode: &str, priority: i64) -> Value {
    json!({
        "id": id,
        "roles": ["hooks"],
        "hooks": [{"point": point, "mode": mode, "priority": priority}],
    })
}

#[tokio::test]
async fn hooks_are_listed_in_the_order_they_run() {
    let world = world().await;
    put(&world, hook("first", "chat_request", "replace", 10)).await;
    put(&world, hook("second", "chat_request", "replace", 5)).await;
    let list = world.get("/api/v1/hooks").await.json();
    let points = list["points"].as_array().unwrap();
    let at = |name: &str| points.iter().find(|p| p["point"] == name).unwrap();
    let told: Vec<_> = at("chat_request")["hooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| {
            json!([
                h["plugin"],
                h["mode"],
                h["priority"],
                h["on_failure"],
                h["active"],
                h["beaten_by"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["second", "replace", 5, "fail", true, null]),
            json!(["first", "replace", 10, "fail", false, "second"]),
        ]
    );
    assert_eq!(at("inlet")["hooks"], json!([]));
    assert_eq!(at("webhook_received")["fires"], true);
    assert!(
        at("inlet").get("context").is_none(),
        "schemas are shown alone"
    );
    let one = world.get("/api/v1/hooks/chat_request").await.json();
    assert_eq!(one["context"]["type"], "object");
    assert_eq!(one["result"]["type"], "object");
    assert_eq!(one["hooks"], at("chat_request")["hooks"]);
    let none = world.get("/api/v1/hooks/nope").await;
    none.check(404, "point_not_found", "chat_request");
}

#[tokio::test]
async fn points_of_plugins_are_there_too() {
    let world = world().await;
    let points = json!([{"name": "before_send", "description": "A message leaves", "schema": {"type": "object"}}]);
    put(
        &world,
        json!({"id": "bridge", "roles": ["peer"], "points": points}),
    )
    .await;
    let one = world.get("/api/v1/hooks/bridge/before_send").await.json();
    assert_eq!(one["defined_by"], "bridge");
    assert_eq!(one["what"], "A message leaves");
    assert_eq!(one["context"], json!({"type": "object"}));
}

#[tokio::test]
async fn capabilities_are_found_by_name_and_type_the_preferred_first() {
    let world = world().await;
    for (id, kind) in [("first", "llm"), ("second", "hash")] {
        let provides = json!({"embeddings": {"type": kind, "models": ["m"]}, "streaming": true});
        put(
            &world,
            json!({"id": id, "roles": ["peer"], "provides": provides}),
        )
        .await;
    }
    let one = world.get("/api/v1/capabilities/embeddings").await.json();
    assert_eq!(
        one,
        json!({"name": "embeddings", "providers": [
            {"plugin": "second", "version": "1.2.3", "type": "hash", "options": {"models": ["m"]}, "preferred": true},
            {"plugin": "first", "version": "1.2.3", "type": "llm", "options": {"models": ["m"]}, "preferred": false},
        ]})
    );
    let all = world.get("/api/v1/capabilities").await.json();
    let names: Vec<_> = all["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    assert_eq!(names, ["embeddings", "streaming"]);
    let some = world.get("/api/v1/capabilities?type=llm").await.json();
    assert_eq!(some["capabilities"][0]["providers"][0]["plugin"], "first");
    assert_eq!(some["capabilities"].as_array().unwrap().len(), 1);
    for path in ["nope", "embeddings?type=nope"] {
        let none = world.get(&format!("/api/v1/capabilities/{path}")).await;
        none.check(404, "capability_not_found", "no started plugin provides");
    }
}

#[tokio::test]
async fn grants_show_what_is_asked_granted_used_and_missing() {
    let world = world().await;
    let script = json!({
        "id": "modest",
        "roles": ["hooks", "subscriber"],
        "hooks": [{"point": "inlet", "mode": "before"}],
        "topics": ["weir.plugin.*"],
    });
    put(&world, script).await;
    let grants = world.get("/api/v1/plugins/modest/grants").await.json();
    assert_eq!(grants["asked"], json!(["events", "hooks"]));
    assert_eq!(grants["granted"], json!({}));
    let hooks = json!([{"point": "inlet", "mode": "before", "granted": false}]);
    assert_eq!(grants["details"]["hooks"], hooks);
    let topics = json!([{"topic": "weir.plugin.*", "granted": false}]);
    assert_eq!(grants["details"]["topics"], topics);
    assert_eq!(grants["used"]["http"], json!({"used": 0, "denied": 0}));
    assert_eq!(
        grants["missing"],
        json!([
            {"capability": "events", "to_grant": "grants.events = { subscribe = [\"weir.plugin.*\"] }"},
            {"capability": "hooks", "to_grant": "grants.hooks = [\"inlet\"]"},
        ])
    );
    let plugin = world.get("/api/v1/plugins/modest").await.json();
    assert_eq!(plugin["grants"], grants);
    assert_eq!(
        (
            &plugin["track"],
            &plugin["restarts"]["policy"],
            &plugin["overflow"]
        ),
        (&json!("0.1"), &json!("transient"), &json!("drop_oldest"))
    );
}

#[tokio::test]
async fn a_hook_that_says_no_is_heard_in_both_dialects() {
    for (ends_in, status, reason, retry) in [
        ("refused", 403, "in the plugin's words", None),
        ("invalid", 400, "in the plugin's words", None),
        ("transient", 503, "in the plugin's words", Some("3")),
        ("out_of_fuel", 500, "fuel = 77", None),
        ("trapped", 500, "crashed", None),
    ] {
        for world in [world().await, strict().await] {
            let mut script = hook("first", "chat_request", "before", 50);
            script["ends in"] = ends_in.into();
            put(&world, script).await;
            let answer = world.chat("echo", "hi", false).await;
            assert_eq!(answer.status, status, "{ends_in}: {answer:?}");
            assert_eq!(answer.header("retry-after"), retry, "{ends_in}");
            let body = answer.json();
            let detail = body["detail"].as_str().unwrap();
            let start = "hook-error at chat_request: ";
            assert!(
                detail.starts_with(start) && detail.contains(reason),
                "{detail}"
            );
            assert!(!detail.contains("secret backtrace"), "{detail}");
            if let Some(error) = body.get("error") {
                assert_eq!(error["code"], "hook_error");
            }
            assert!(!world.log.has("chat"), "the plugin was called");
        }
    }
}

#[tokio::test]
async fn a_hook_after_a_stream_has_begun_is_told_in_the_stream() {
    let world = world().await;
    let mut script = hook("first", "chat_reply", "before", 50);
    script["ends in"] = "refused".into();
    put(&world, script).await;
    let answer = world.chat("echo", "words", true).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.trim_end().ends_with("data: [DONE]"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn force_is_true_or_false() {
    let world = world().await;
    for request in [
        Request::new("POST", "/api/v1/plugins/echo/stop?force=yes"),
        Request::new("POST", "/api/v1/plugins/echo/stop?force"),
        Request::new("DELETE", "/api/v1/plugins/echo?force=1"),
    ] {
        let answer = world.send(request).await;
        answer.check(400, "bad_request", "force: ");
    }
    assert_eq!(
        world.get("/api/v1/plugins/echo").await.json()["state"],
        "started"
    );
    let stop = Request::new("POST", "/api/v1/plugins/echo/stop?force=false");
    assert_eq!(world.send(stop).await.status, 200);
}

#[tokio::test]
async fn what_others_need_goes_only_by_force() {
    let world = world().await;
    put(&world, json!({"id": "base", "roles": ["pipe"]})).await;
    let dependencies =
        json!([{"id": "base", "version": "^1.2"}, {"id": "nobody", "optional": true}]);
    put(
        &world,
        json!({"id": "top", "roles": ["pipe"], "dependencies": dependencies}),
    )
    .await;
    let top = world.get("/api/v1/plugins/top").await.json();
    assert_eq!(
        top["dependencies"],
        json!([
            {"id": "base", "range": "^1.2", "optional": false, "version": "1.2.3", "state": "started"},
            {"id": "nobody", "range": "*", "optional": true, "version": null, "state": "missing"},
        ])
    );
    let base = world.get("/api/v1/plugins/base").await.json();
    assert_eq!(base["dependants"], json!(["top"]));
    for request in [
        Request::new("POST", "/api/v1/plugins/base/stop"),
        Request::new("DELETE", "/api/v1/plugins/base"),
        Request::new("DELETE", "/pipelines/delete").json(r#"{"id": "base"}"#),
    ] {
        world
            .send(request)
            .await
            .check(409, "needed", "needed by top");
    }
    assert_eq!(world.chat("top", "x", false).await.status, 200);
    let stop = Request::new("POST", "/api/v1/plugins/base/stop?force=true");
    assert_eq!(world.send(stop).await.json()["state"], "stopped");
    let top = world.get("/api/v1/plugins/top").await.json();
    assert_eq!(
        (&top["state"], &top["reason"]["code"]),
        (&json!("failed"), &json!("dependency"))
    );
    let delete = Request::new("DELETE", "/api/v1/plugins/base?force=true");
    assert_eq!(world.send(delete).await.status, 200);
}
