//! Quarantine, as callers and operators see it.

use serde_json::json;

use super::fake::{chat, install, message, world};
use crate::PluginState;
use model::chat::Direction::Inlet;
use model::error::Fault;

#[tokio::test]
async fn a_plugin_that_keeps_failing_is_left_alone() {
    let world = world();
    let engine = world.engine();
    install(&engine, "p.wasm", &json!({"id": "p", "version": "1.0.0", "roles": ["pipe", "filter", "valves"], "spec": {"type": "object"}})).await.unwrap();
    install(
        &engine,
        "q.wasm",
        &json!({"id": "q", "version": "1.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    for _ in 0..20 {
        chat(&engine, "p", "refuse").await.unwrap_err();
    }
    assert_eq!(
        engine.plugin("p").unwrap().state,
        PluginState::Started,
        "a refusal is no fault"
    );
    for _ in 0..5 {
        assert_eq!(
            chat(&engine, "p", "trap").await.unwrap_err().fault.code(),
            "trapped"
        );
    }
    let status = engine.plugin("p").unwrap();
    assert_eq!(status.state, PluginState::Quarantined);
    assert_eq!(
        status.quarantined_until,
        Some(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5))
    );
    assert_eq!(status.reason.unwrap().code, "quarantined");
    world.advance(1);
    let refused = chat(&engine, "p", "").await.unwrap_err();
    assert!(
        matches!(
            refused.fault,
            Fault::Unavailable {
                retry_after_ms: Some(4000),
                ..
            }
        ),
        "{refused}"
    );
    let target = engine.find_filter("p").unwrap();
    engine
        .filter(&target, Inlet, message("", None))
        .await
        .unwrap_err();
    chat(&engine, "q", "").await.unwrap();
    // Its valves may be what is wrong: they can be changed.
    engine
        .update_valves("p", serde_json::Map::new())
        .await
        .unwrap();
}
