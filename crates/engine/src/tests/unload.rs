//! Unloads of what others need: refused, or those first, who come back by themselves; the order of a shutdown.

use std::sync::Arc;
use std::time::Duration;

use super::dependencies::{order, plugin, put, state};
use super::fake::{World, chat, file, install, world};
use crate::{Engine, ManageError, PluginState};

/// `d` and `c` need `b`, which needs `a`; `o` would like `a`.
async fn tree() -> (Arc<World>, Arc<Engine>) {
    let world = world();
    put(&world, "a", &[]);
    put(&world, "b", &["a ^1"]);
    put(&world, "c", &["b"]);
    put(&world, "d", &["b", "a"]);
    put(&world, "o", &["?a"]);
    let engine = world.engine();
    assert_eq!(engine.sync().await.loaded.len(), 5);
    (world, engine)
}

#[tokio::test]
async fn what_others_need_stays_without_force() {
    let (world, engine) = tree().await;
    for result in [
        engine.stop("a", false).await,
        engine.delete("a", false).await,
    ] {
        let Err(ManageError::Needed { by }) = result else {
            panic!("{result:?}");
        };
        let by: Vec<_> = by.iter().map(ToString::to_string).collect();
        assert_eq!(by, ["c", "d", "b"]);
    }
    assert_eq!(engine.plugins().len(), 5);
    assert!(order(&world, "stop ").is_empty());
    // What is stopped needs nothing.
    engine.stop("c", false).await.unwrap();
    engine.stop("d", false).await.unwrap();
    engine.delete("b", false).await.unwrap();
    engine.stop("a", false).await.unwrap();
    assert_eq!(state(&engine, "o"), PluginState::Started);
}

#[tokio::test]
async fn with_force_they_go_first_and_come_back() {
    let (world, engine) = tree().await;
    engine.stop("a", true).await.unwrap();
    world.until("stop a@1.0.0", 1).await;
    assert_eq!(order(&world, "stop "), ["c", "d", "b", "a"]);
    for id in ["b", "c", "d"] {
        let status = engine.plugin(id).unwrap();
        let reason = status.reason.unwrap();
        assert_eq!(
            (status.state, reason.code),
            (PluginState::Failed, "dependency")
        );
        assert!(
            reason.message.contains(" needs a, which was taken down"),
            "{reason:?}"
        );
        assert!(chat(&engine, id, "").await.is_err());
    }
    let chain = "(the chain: c -> b -> a)";
    assert!(
        engine
            .plugin("c")
            .unwrap()
            .reason
            .unwrap()
            .message
            .contains(chain)
    );
    // A sync changes nothing, a start everything.
    assert_eq!(engine.sync().await.failed.len(), 3);
    engine.start("a").await.unwrap();
    for id in ["c", "d"] {
        world.until(&format!("start {id}@1.0.0"), 2).await;
    }
    for id in ["a", "b", "c", "d"] {
        while state(&engine, id) != PluginState::Started {
            tokio::task::yield_now().await;
        }
        assert_eq!(engine.plugin(id).unwrap().generation, 2);
    }
}

#[tokio::test]
async fn calls_of_those_that_need_it_end_before_it_goes() {
    let (world, engine) = tree().await;
    let held = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { chat(&engine, "c", "hold").await }
    });
    world.until("holding", 1).await;
    let stopping = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.delete("a", true).await }
    });
    world.until("stop d@1.0.0", 1).await;
    // Still there for the call that is under way; but nobody new may count on it.
    chat(&engine, "a", "").await.unwrap();
    let late = plugin("late", "1.0.0", &["a"]);
    let error = install(&engine, "late.wasm", &late).await.unwrap_err();
    assert!(
        error.to_string().contains("a, which is being taken down"),
        "{error}"
    );
    assert_eq!(order(&world, "stop "), ["d"]);
    world.hold.add_permits(1);
    held.await.unwrap().unwrap();
    stopping.await.unwrap().unwrap();
    world.until("stop a@1.0.0", 1).await;
    assert_eq!(order(&world, "stop "), ["d", "c", "b", "a"]);
}

#[tokio::test]
async fn a_file_that_vanishes_takes_with_it_who_needs_it() {
    let (world, engine) = tree().await;
    world.remove("a.wasm");
    let report = engine.sync().await;
    assert_eq!(report.removed, [file("a.wasm")]);
    let failed: Vec<_> = report.failed.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(failed, ["b.wasm", "c.wasm", "d.wasm"]);
    put(&world, "a", &[]);
    engine.sync().await;
    world.until("start c@1.0.0", 2).await;
    world.until("start d@1.0.0", 2).await;
}

#[tokio::test]
async fn what_cannot_be_deleted_keeps_those_who_need_it() {
    let (world, engine) = tree().await;
    world.broken.lock().unwrap().insert("remove");
    engine.delete("a", true).await.unwrap_err();
    world.until("start c@1.0.0", 2).await;
    world.until("start d@1.0.0", 2).await;
    assert_eq!(state(&engine, "a"), PluginState::Started);
}

#[tokio::test]
async fn of_two_with_one_id_the_first_by_name_serves_those_who_need_it() {
    for _ in 0..20 {
        let world = world();
        world.put("z.wasm", &plugin("p", "1.0.0", &[]));
        world.put("y.wasm", &plugin("p", "1.1.0", &[]));
        put(&world, "user", &["p ^1"]);
        let engine = world.engine();
        let report = engine.sync().await;
        assert_eq!(report.loaded, [file("user.wasm"), file("y.wasm")]);
        assert_eq!(state(&engine, "user"), PluginState::Started);
        assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.1.0");
    }
}

#[tokio::test]
async fn a_shutdown_stops_those_first_who_need_others() {
    let (world, engine) = tree().await;
    engine.shutdown(Duration::from_secs(20)).await;
    let order = order(&world, "stop ");
    let at = |id: &str| order.iter().position(|o| o == id).unwrap();
    assert_eq!(order.len(), 5);
    assert!(at("c") < at("b") && at("d") < at("b") && at("b") < at("a") && at("o") < at("a"));
}

#[tokio::test]
async fn a_shutdown_leaves_nobody_out_for_one_that_does_not_stop() {
    let world = world();
    put(&world, "a", &[]);
    let mut stubborn = plugin("b", "1.0.0", &["a"]);
    stubborn["hold"] = "stop".into();
    world.put("b.wasm", &stubborn);
    put(&world, "waits", &["a"]);
    let engine = world.engine();
    engine.sync().await;
    engine.shutdown(Duration::from_millis(200)).await;
    assert_eq!(world.count("stop a@1.0.0"), 1);
    // A load that waits for others ends, too.
    assert!(matches!(
        engine.start("waits").await,
        Err(ManageError::ShuttingDown)
    ));
}
