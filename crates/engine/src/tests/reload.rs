//! Reloads: no call fails and no answer mixes; handovers keep what is remembered; versions are stopped once, after their last call.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::fake::{World, chat, install, world};
use crate::{Engine, Options};
use model::error::{LoadError, StageError};

fn version(n: usize, roles: &Value) -> Value {
    json!({"id": "p", "version": format!("{n}.0.0"), "roles": roles})
}

type Calling<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, StageError>> + 'a>>;

/// A call that waits for a handover, as the nth.
async fn in_line(engine: &Arc<Engine>, nth: u64) -> Calling<'_> {
    let slot = engine.find_model("p").unwrap().slot;
    loop {
        let mut call: Calling<'_> = Box::pin(chat(engine, "p", ""));
        match call.as_mut().now_or_never() {
            None if slot.waiting.load(Ordering::Relaxed) == nth => return call,
            // The gate is still open.
            None => call.await.map(|_| ()).unwrap(),
            Some(answer) => answer.map(|_| ()).unwrap(),
        }
    }
}

/// 32 clients call while the plugin is replaced 100 times.
async fn under_load(world: Arc<World>, roles: Value, what: &'static str) -> (Arc<Engine>, u64) {
    const CLIENTS: u64 = 32;
    let engine = world.engine();
    install(&engine, "p.wasm", &version(0, &roles))
        .await
        .unwrap();
    let (done, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (engine, done, answered) = (
                Arc::clone(&engine),
                Arc::clone(&done),
                Arc::clone(&answered),
            );
            tokio::spawn(async move {
                let mut seen = HashSet::new();
                while !done.load(Ordering::SeqCst) {
                    let said = chat(&engine, "p", what).await.expect("no call fails");
                    assert_eq!(said[0], said[1], "an answer comes from one version");
                    seen.insert(said[0].clone());
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                seen
            })
        })
        .collect();
    for n in 1..=100 {
        install(&engine, "p.wasm", &version(n, &roles))
            .await
            .unwrap();
        // One more than there are clients: at least one of these calls began after the reload.
        let before = answered.load(Ordering::SeqCst);
        while answered.load(Ordering::SeqCst) <= before + CLIENTS {
            assert!(clients.iter().all(|c| !c.is_finished()), "a client failed");
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::SeqCst);
    let mut seen = HashSet::new();
    for client in clients {
        seen.extend(client.await.unwrap());
    }
    for n in 1..=100 {
        assert!(seen.contains(&format!("p@{n}.0.0")), "{n} served");
    }
    world.until("drop p@99.0.0", 1).await;
    for n in 0..100 {
        let stop = format!("stop p@{n}.0.0");
        world.until(&stop, 1).await;
        assert_eq!(world.count(&stop), 1, "{n} is stopped once");
    }
    assert_eq!(engine.plugin("p").unwrap().generation, 101);
    (engine, answered.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_call() {
    let (_, calls) = under_load(world(), json!(["pipe"]), "").await;
    assert!(calls > 100, "{calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handovers_under_load_lose_nothing() {
    let (engine, calls) = under_load(world(), json!(["pipe", "handover"]), "count").await;
    let said = chat(&engine, "p", "").await.unwrap();
    let remembered = said[2].strip_prefix("as asked ").unwrap().len();
    assert_eq!(
        remembered as u64, calls,
        "every call that was answered is remembered"
    );
}

#[tokio::test]
async fn a_call_keeps_its_version_and_its_version_drains() {
    let world = world();
    let engine = world.engine();
    install(&engine, "p.wasm", &version(1, &json!(["pipe"])))
        .await
        .unwrap();
    let held = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { chat(&engine, "p", "hold").await }
    });
    world.until("holding", 1).await;
    install(&engine, "p.wasm", &version(2, &json!(["pipe"])))
        .await
        .unwrap();
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@2.0.0");
    assert_eq!(
        (
            world.count("stop p@1.0.0"),
            engine.plugin("p").unwrap().calls.in_flight
        ),
        (0, 1)
    );
    world.hold.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap()[1], "p@1.0.0");
    world.until("drop p@1.0.0", 1).await;
    assert_eq!(world.count("stop p@1.0.0"), 1);
}

#[tokio::test]
async fn calls_wait_for_a_handover_and_leave_in_peace() {
    let world = world();
    let engine = world.engine();
    let roles = json!(["pipe", "handover"]);
    install(&engine, "p.wasm", &version(1, &roles))
        .await
        .unwrap();
    chat(&engine, "p", "count").await.unwrap();
    let spawn_chat = |what: &'static str| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { chat(&engine, "p", what).await })
    };
    let held = spawn_chat("hold");
    world.until("holding", 1).await;
    let reload = tokio::spawn({
        let engine = Arc::clone(&engine);
        let content = version(2, &roles);
        async move { install(&engine, "p.wasm", &content).await }
    });
    world
        .until(r#"load p@2.0.0 valves {} announce false"#, 1)
        .await;
    let waiting = in_line(&engine, 1).await;
    // A client that leaves while it waits leaves nothing behind.
    drop(Box::pin(chat(&engine, "p", "")).as_mut().now_or_never());
    world.hold.add_permits(1);
    assert_eq!(waiting.await.unwrap(), ["p@2.0.0", "p@2.0.0", "as asked i"]);
    held.await.unwrap().unwrap();
    reload.await.unwrap().unwrap();
    assert_eq!(world.count("restore p@2.0.0 from 1.0.0"), 1);
    assert_eq!(engine.plugin("p").unwrap().calls.in_flight, 0);
}

#[tokio::test]
async fn only_so_many_calls_wait_for_a_handover() {
    let world = world();
    let settings = "limits = { concurrency = 1, queue = 1 }";
    world
        .settings
        .lock()
        .unwrap()
        .insert("p.toml".into(), settings.into());
    let engine = world.engine();
    let roles = json!(["pipe", "handover"]);
    install(&engine, "p.wasm", &version(1, &roles))
        .await
        .unwrap();
    let held = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { chat(&engine, "p", "hold").await }
    });
    world.until("holding", 1).await;
    let reload = tokio::spawn({
        let engine = Arc::clone(&engine);
        let content = version(2, &roles);
        async move { install(&engine, "p.wasm", &content).await }
    });
    let waiting = [in_line(&engine, 1).await, in_line(&engine, 2).await];
    let error = chat(&engine, "p", "").await.unwrap_err();
    assert!(error.to_string().contains("too many calls wait"), "{error}");
    world.hold.add_permits(1);
    for call in waiting {
        call.await.unwrap();
    }
    held.await.unwrap().unwrap();
    reload.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handover_that_fails_keeps_the_old_version() {
    let world = world();
    let engine = world.engine();
    let roles = json!(["pipe", "handover"]);
    install(&engine, "p.wasm", &version(1, &roles))
        .await
        .unwrap();
    chat(&engine, "p", "count").await.unwrap();
    for step in ["restore", "start"] {
        let mut next = version(2, &roles);
        next["fail"] = step.into();
        let error = install(&engine, "p.wasm", &next).await.unwrap_err();
        assert!(
            matches!(error, LoadError::Start { call, .. } if call == step),
            "{error}"
        );
        assert_eq!(
            chat(&engine, "p", "").await.unwrap()[2],
            "as asked i",
            "after {step}"
        );
    }
    world.broken.lock().unwrap().insert("write");
    install(&engine, "p.wasm", &version(2, &roles))
        .await
        .unwrap_err();
    world.broken.lock().unwrap().clear();
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.0.0");

    let mut stubborn = version(2, &roles);
    stubborn["fail"] = "snapshot".into();
    install(&engine, "p.wasm", &stubborn).await.unwrap();
    let error = install(&engine, "p.wasm", &version(3, &roles))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::Start {
                call: "snapshot",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(chat(&engine, "p", "").await.unwrap()[2], "as asked i");
}

#[tokio::test]
async fn a_handover_does_not_wait_for_ever() {
    let world = world();
    let engine = world.engine_with(Options {
        drain: Some(Duration::from_millis(1)),
        ..Options::default()
    });
    let roles = json!(["pipe", "handover"]);
    install(&engine, "p.wasm", &version(1, &roles))
        .await
        .unwrap();
    let held = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { chat(&engine, "p", "hold").await }
    });
    world.until("holding", 1).await;
    let error = install(&engine, "p.wasm", &version(2, &roles))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("did not end within 1 ms"),
        "{error}"
    );
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.0.0");
    // Without handover the new version serves, and the old one is stopped after the bound.
    let mut plain = version(2, &json!(["pipe"]));
    plain["fail"] = "stop".into();
    install(&engine, "p.wasm", &plain).await.unwrap();
    world.until("stop p@1.0.0", 1).await;
    world.hold.add_permits(1);
    assert_eq!(
        held.await.unwrap().unwrap()[1],
        "p@1.0.0",
        "and still it may finish"
    );
    // A stop that fails changes nothing.
    engine.delete("p", false).await.unwrap();
    world.until("drop p@2.0.0", 2).await;
}

#[tokio::test]
async fn reload_takes_one_plugin_from_its_file() {
    let world = world();
    let engine = world.engine();
    install(&engine, "p.wasm", &version(1, &json!(["pipe", "handover"])))
        .await
        .unwrap();
    install(
        &engine,
        "q.wasm",
        &json!({"id": "q", "version": "1.0.0", "roles": ["pipe"]}),
    )
    .await
    .unwrap();
    chat(&engine, "p", "count").await.unwrap();
    engine.reload("p").await.unwrap();
    assert_eq!(chat(&engine, "p", "").await.unwrap()[2], "as asked i");
    assert_eq!(
        (
            engine.plugin("p").unwrap().generation,
            world.count("start q@1.0.0")
        ),
        (2, 1)
    );
    assert_eq!(engine.reload_all().await.loaded.len(), 2);
    world.remove("p.wasm");
    assert!(
        engine
            .reload("p")
            .await
            .unwrap_err()
            .to_string()
            .contains("gone")
    );
    assert!(engine.reload("x").await.is_err());
    // A failed file has no id; its stem will do.
    world.put("bad.wasm", &json!("junk"));
    engine.sync().await;
    world.put(
        "bad.wasm",
        &json!({"id": "better", "version": "1.0.0", "roles": ["pipe"]}),
    );
    engine.reload("bad").await.unwrap();
    assert!(engine.find_model("better").is_some());
}
