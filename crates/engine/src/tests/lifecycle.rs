//! Transitions, as they are told on the bus.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::dependencies::{plugin, put, state};
use super::fake::{install, world};
use crate::{Engine, PluginState};

/// What was told of plugins so far: state, file, generation and the code of the reason.
pub(super) fn told(engine: &Engine) -> Vec<String> {
    let patterns = [model::events::TopicPattern::new("weir.plugin.*").unwrap()];
    let heard = engine
        .ports
        .bus
        .after(0, patterns.into(), 10_000)
        .now_or_never();
    let events = heard.map(|h| h.events).unwrap_or_default();
    let one = |event: &std::sync::Arc<model::events::Event>| {
        let payload: Value = serde_json::from_str(&event.payload).unwrap();
        let topic = event.topic.as_str().strip_prefix("weir.plugin.").unwrap();
        let file = payload["file"].as_str().unwrap();
        let code = payload["reason"]["code"].as_str().unwrap_or_default();
        let text = format!("{topic} {file} {} {code}", payload["generation"]);
        text.trim_end().to_owned()
    };
    events.iter().map(one).collect()
}

#[tokio::test]
async fn every_transition_is_told() {
    let world = world();
    put(&world, "p", &[]);
    let engine = world.engine();
    engine.sync().await;
    let first = [
        "discovered p.wasm 1",
        "loaded p.wasm 1",
        "initialised p.wasm 1",
        "started p.wasm 1",
    ];
    assert_eq!(told(&engine), first);
    // Of a reload the new version's; the plugin itself stays at work.
    engine.reload("p").await.unwrap();
    let second = [
        "discovered p.wasm 2",
        "loaded p.wasm 2",
        "initialised p.wasm 2",
        "started p.wasm 2",
    ];
    assert_eq!(told(&engine)[4..], second);
    world.put("p.wasm", &json!("junk"));
    engine.sync().await;
    assert_eq!(
        told(&engine)[8..],
        ["discovered p.wasm 3", "failed p.wasm 3 bad_manifest"]
    );
    assert_eq!(state(&engine, "p"), PluginState::Started);
    engine.stop("p", false).await.unwrap();
    world.until("stop p@1.0.0", 2).await;
    assert_eq!(state(&engine, "p"), PluginState::Stopped);
    assert_eq!(
        told(&engine)[10..],
        ["stopping p.wasm 2", "stopped p.wasm 2"]
    );
    // Nothing happens: nothing is told.
    engine.sync().await;
    assert_eq!(told(&engine).len(), 12);
}

#[tokio::test]
async fn a_plugin_that_drains_is_stopping() {
    let world = world();
    let mut slow = plugin("p", "1.0.0", &[]);
    slow["hold"] = "stop".into();
    world.put("p.wasm", &slow);
    let engine = world.engine();
    engine.sync().await;
    let stopping = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.stop("p", false).await }
    });
    world.until("p@1.0.0 holds", 1).await;
    assert_eq!(state(&engine, "p"), PluginState::Stopping);
    world.hold.add_permits(1);
    stopping.await.unwrap().unwrap();
    assert_eq!(state(&engine, "p"), PluginState::Stopped);
    world.until("drop p@1.0.0", 1).await;
}

#[tokio::test]
async fn a_load_is_shown_step_by_step() {
    for (hold, shown) in [
        ("inspect", PluginState::Discovered),
        ("load", PluginState::Loaded),
        ("start", PluginState::Initialised),
    ] {
        let world = world();
        let mut slow = plugin("p", "1.0.0", &[]);
        slow["hold"] = hold.into();
        world.put("p.wasm", &slow);
        let engine = world.engine();
        let booting = tokio::spawn({
            let engine = engine.clone();
            async move { engine.sync().await }
        });
        while engine.plugin("p").is_none_or(|p| p.state != shown) {
            tokio::task::yield_now().await;
        }
        assert!(shown.is_loading());
        world.hold.add_permits(1);
        booting.await.unwrap();
        assert_eq!(state(&engine, "p"), PluginState::Started);
    }
}

#[tokio::test]
async fn a_failure_for_want_of_something_is_told_once() {
    let world = world();
    put(&world, "a", &["b"]);
    let engine = world.engine();
    for _ in 0..3 {
        engine.sync().await;
    }
    let failed = |engine: &Engine| {
        let told = told(engine).into_iter();
        told.filter(|t| t == "failed a.wasm 1 dependency").count()
    };
    assert_eq!(failed(&engine), 1);
    // Those who are taken down for it are told of, too.
    install(&engine, "b.wasm", &plugin("b", "1.0.0", &[]))
        .await
        .unwrap();
    world.until("start a@1.0.0", 1).await;
    while state(&engine, "a") != PluginState::Started {
        tokio::task::yield_now().await;
    }
    engine.stop("b", true).await.unwrap();
    assert_eq!(failed(&engine), 2);
}
