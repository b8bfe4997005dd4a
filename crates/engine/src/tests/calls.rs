//! Calls: who serves, filters in order, manifolds' models, counts and metrics.

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::json;

use super::fake::{World, chat, install, message, world};
use crate::{CallCounts, Engine, Kind, PluginState};
use model::chat::Direction::{Inlet, Outlet};

fn filter(id: &str, pipelines: &serde_json::Value, priority: i64) -> serde_json::Value {
    json!({"id": id, "version": "1.0.0", "roles": ["filter", "valves"],
        "spec": {"type": "object", "properties": {"pipelines": {"type": "array", "items": {"type": "string"}, "default": []}, "priority": {"type": "integer", "default": 0}}},
        "valves": {"pipelines": pipelines, "priority": priority}})
}

async fn ids(engine: &Arc<Engine>) -> Vec<String> {
    engine.models().await.into_iter().map(|m| m.id).collect()
}

#[tokio::test]
async fn what_is_listed_and_found() {
    let world = world();
    let engine = world.engine();
    install(
        &engine,
        "a.wasm",
        &json!({"id": "pipe", "version": "1.0.0", "roles": ["pipe"], "name": "Pipe"}),
    )
    .await
    .unwrap();
    install(
        &engine,
        "b.wasm",
        &json!({"id": "hidden", "version": "1.0.0", "roles": ["pipe"], "listed": false}),
    )
    .await
    .unwrap();
    install(
        &engine,
        "c.wasm",
        &json!({"id": "many", "version": "1.0.0", "roles": ["pipe", "manifold"], "name": "Mani: "}),
    )
    .await
    .unwrap();
    install(&engine, "d.wasm", &filter("f", &json!(["*"]), 5))
        .await
        .unwrap();
    install(
        &engine,
        "e.wasm",
        &json!({"id": "many.two", "version": "1.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    assert_eq!(ids(&engine).await, ["f", "many.one", "many.two", "pipe"]);
    let list = engine.models().await;
    assert_eq!(
        (
            list[1].name.as_str(),
            list[1].kind,
            list[1].plugin_id.as_str()
        ),
        ("Mani: ONE", Kind::Manifold, "many")
    );
    assert_eq!(
        (list[0].pipelines.clone(), list[0].priority),
        (Some(vec!["*".to_string()]), Some(5))
    );
    for (id, model, any) in [
        ("pipe", true, true),
        ("many.one", true, true),
        ("hidden", false, true),
        ("many", false, true),
        ("f", false, true),
        ("many.", false, false),
        ("x", false, false),
    ] {
        assert_eq!(
            (
                engine.find_model(id).is_some(),
                engine.find_filter(id).is_some()
            ),
            (model, any),
            "{id}"
        );
    }
    // A manifold's model never takes a plugin's own id; and it is asked for by the part after the dot.
    assert_eq!(
        engine.find_model("many.two").unwrap().plugin_id().as_str(),
        "many.two"
    );
    assert_eq!(chat(&engine, "many.one", "").await.unwrap()[2], "one ");
    assert_eq!(chat(&engine, "pipe", "").await.unwrap()[2], "as asked ");
}

fn manifold() -> serde_json::Value {
    json!({"id": "m", "version": "1.0.0", "roles": ["pipe", "manifold"]})
}

/// What manifolds say from now on.
fn say(world: &World, models: &str) {
    let mut settings = world.settings.lock().unwrap();
    settings.insert("models".into(), models.into());
}

/// Asks for a list after 11 s, and waits until the manifold was heard.
async fn heard(world: &World, engine: &Arc<Engine>) -> Vec<String> {
    world.advance(11);
    ids(engine).await;
    let slot = engine.catalog.load().plugin("m").cloned().unwrap();
    drop(slot.face.load_full().asking.lock().await);
    ids(engine).await
}

#[tokio::test]
async fn a_manifolds_models_are_asked_for_when_they_are_old() {
    let world = world();
    let engine = world.engine();
    install(&engine, "m.wasm", &manifold()).await.unwrap();
    say(&world, "three");
    assert_eq!(ids(&engine).await, ["m.one", "m.two"]);
    assert_eq!(heard(&world, &engine).await, ["m.three"]);
    assert!(engine.find_model("m.one").is_none() && engine.find_model("m.three").is_some());
    say(&world, "fail");
    assert_eq!(
        heard(&world, &engine).await,
        ["m.three"],
        "the last answer stands"
    );
    let error = engine.plugin("m").unwrap().models_error.unwrap();
    assert!(error.message.contains("no models"));
    assert_eq!(world.count("models m@1.0.0"), 3);
    // Too many, or without an id: the last answer stands as well.
    let many = (0..1001)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    for bad in [many.as_str(), "a  b"] {
        say(&world, bad);
        assert_eq!(heard(&world, &engine).await, ["m.three"]);
        assert_eq!(
            engine.plugin("m").unwrap().models_error.unwrap().code,
            "bad_models"
        );
    }
}

#[tokio::test]
async fn a_manifold_that_does_not_answer_delays_no_list_and_is_faulted() {
    let world = world();
    let engine = world.engine();
    install(&engine, "m.wasm", &manifold()).await.unwrap();
    say(&world, "hold");
    for _ in 0..3 {
        world.advance(11);
        let list = engine.models().now_or_never();
        assert_eq!(list.expect("a list does not wait").len(), 2);
        world.until("models m@1.0.0", 2).await;
    }
    assert_eq!(
        world.count("models m@1.0.0"),
        2,
        "one question at a time, besides the one at load"
    );
    assert_eq!(engine.plugin("m").unwrap().calls.in_flight, 1);
    // Five questions that end at the plugin's own deadline are five faults: too many.
    for _ in 0..5 {
        world.hold.add_permits(1);
        assert_eq!(heard(&world, &engine).await, ["m.one", "m.two"]);
    }
    let status = engine.plugin("m").unwrap();
    assert_eq!(
        (
            status.faults.len(),
            status.faults[0].code,
            status.faults[0].call
        ),
        (5, "deadline_exceeded", "models")
    );
    assert_eq!(status.models_error.unwrap().code, "deadline_exceeded");
    assert_eq!(status.state, PluginState::Quarantined);
}

#[tokio::test]
async fn a_manifold_that_does_not_answer_at_load_is_not_waited_for() {
    let world = world();
    let engine = world.engine();
    say(&world, "hold");
    let within = std::time::Duration::from_secs(20);
    let content = manifold();
    let installing = install(&engine, "m.wasm", &content);
    let installed = tokio::time::timeout(within, installing).await;
    installed.expect("a load waits for 5 s at most").unwrap();
    assert!(ids(&engine).await.is_empty());
    assert_eq!(world.count("models m@1.0.0"), 1, "it is still being asked");
    world.hold.add_permits(1);
    say(&world, "late");
    assert!(heard(&world, &engine).await.is_empty());
    assert_eq!(heard(&world, &engine).await, ["m.late"]);
}

#[tokio::test]
async fn filters_run_in_order() {
    let world = world();
    let engine = world.engine();
    install(
        &engine,
        "p.wasm",
        &json!({"id": "p", "version": "1.0.0", "roles": ["pipe", "filter"]}),
    )
    .await
    .unwrap();
    install(
        &engine,
        "plain.wasm",
        &json!({"id": "plain", "version": "1.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    install(&engine, "1.wasm", &filter("last", &json!(["*"]), 9))
        .await
        .unwrap();
    install(&engine, "2.wasm", &filter("b", &json!(["*"]), 1))
        .await
        .unwrap();
    install(&engine, "3.wasm", &filter("a", &json!(["x", "p"]), 1))
        .await
        .unwrap();
    install(&engine, "4.wasm", &filter("none", &json!([]), 0))
        .await
        .unwrap();
    let run = async |direction, model| {
        engine
            .filter_chain(direction, message("body", model))
            .await
            .unwrap()
            .body
    };
    assert_eq!(
        run(Inlet, Some("p")).await,
        "body a-inlet b-inlet last-inlet p-inlet"
    );
    assert_eq!(
        run(Outlet, Some("p")).await,
        "body p-outlet a-outlet b-outlet last-outlet"
    );
    assert_eq!(run(Inlet, Some("plain")).await, "body b-inlet last-inlet");
    assert_eq!(
        run(Inlet, Some("elsewhere")).await,
        "body b-inlet last-inlet"
    );
    assert_eq!(run(Inlet, None).await, "body b-inlet last-inlet");
    let through = engine
        .filter_chain(Inlet, message("body", Some("p")))
        .await
        .unwrap()
        .through;
    assert_eq!(
        through.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        ["a", "b", "last", "p"]
    );

    // One that fails ends the chain: a filter that guards is not skipped. One that was stopped is.
    let error = engine
        .filter_chain(Inlet, message("refuse", Some("p")))
        .await
        .unwrap_err();
    assert_eq!(
        (error.plugin.id.as_str(), error.fault.code()),
        ("a", "refused")
    );
    engine.stop("a", false).await.unwrap();
    assert_eq!(
        run(Inlet, Some("p")).await,
        "body b-inlet last-inlet p-inlet"
    );
    // A plugin without the role leaves the body as it is.
    let plain = engine.find_filter("plain").unwrap();
    assert_eq!(
        engine
            .filter(&plain, Inlet, message("body", None))
            .await
            .unwrap(),
        "body"
    );
}

#[tokio::test]
async fn calls_are_counted_also_when_the_client_leaves() {
    let world = world();
    let engine = world.engine();
    install(
        &engine,
        "p.wasm",
        &json!({"id": "p", "version": "1.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    chat(&engine, "p", "").await.unwrap();
    chat(&engine, "p", "refuse").await.unwrap_err();
    chat(&engine, "p", "trap").await.unwrap_err();
    {
        let mut leaving = Box::pin(chat(&engine, "p", "hold"));
        assert!(leaving.as_mut().now_or_never().is_none());
        assert_eq!(
            engine.plugin("p").unwrap().calls,
            CallCounts {
                total: 4,
                failed: 2,
                in_flight: 1
            }
        );
    }
    let status = engine.plugin("p").unwrap();
    assert_eq!(
        status.calls,
        CallCounts {
            total: 4,
            failed: 2,
            in_flight: 0
        }
    );
    assert_eq!(
        (
            status.faults.len(),
            status.faults[0].code,
            status.faults[0].call
        ),
        (1, "trapped", "chat")
    );
    for _ in 0..3 {
        chat(&engine, "p", "trap").await.unwrap_err();
    }

    let text = engine.metrics();
    for line in [
        r#"weir_plugin_calls_total{plugin="p",call="chat",outcome="ok"} 1"#,
        r#"weir_plugin_calls_total{plugin="p",call="chat",outcome="failed"} 1"#,
        r#"weir_plugin_calls_total{plugin="p",call="chat",outcome="fault"} 4"#,
        r#"weir_plugin_calls_total{plugin="p",call="chat",outcome="cancelled"} 1"#,
        r#"weir_plugin_calls_total{plugin="p",call="start",outcome="ok"} 1"#,
        r#"weir_plugin_call_duration_seconds_count{plugin="p",call="chat"} 7"#,
        r#"weir_plugin_faults_total{plugin="p",kind="trapped"} 4"#,
        r#"weir_plugin_fuel_total{plugin="p"} 10"#,
        r#"weir_plugin_memory_high_water_bytes{plugin="p"} 100"#,
        r#"weir_plugin_instances{plugin="p"} 1"#,
        r#"weir_plugin_calls_in_flight{plugin="p"} 0"#,
        r#"weir_plugin_loads_total{outcome="ok"} 1"#,
        r#"weir_plugins{state="started"} 1"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    // What versions that are gone used still counts; what a deleted plugin used does not.
    install(
        &engine,
        "p.wasm",
        &json!({"id": "p", "version": "2.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    world.until("drop p@1.0.0", 1).await;
    let text = engine.metrics();
    for line in [
        r#"weir_plugin_fuel_total{plugin="p"} 20"#,
        r#"weir_plugin_instances{plugin="p"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    engine.delete("p", false).await.unwrap();
    assert!(!engine.metrics().contains("plugin=\"p\""));
}
