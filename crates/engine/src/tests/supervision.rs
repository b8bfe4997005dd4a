//! Supervision: restarts after a crash and after starts that failed, back-off, intensity, policies. The first back-off is short, and nothing else waits.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::dependencies::{plugin, state};
use super::fake::{World, chat, install, world};
use super::lifecycle::told;
use crate::{Engine, Options, PluginState, PluginStatus, Quarantine, Supervision};
use model::error::Fault;
use model::settings::Restart;

/// An engine whose first back-off is this long.
fn engine(world: &Arc<World>, first_ms: u64) -> Arc<Engine> {
    world.engine_with(options(first_ms))
}

fn options(first_ms: u64) -> Options {
    let quarantine = Quarantine {
        first: Duration::from_millis(first_ms),
        ..Quarantine::default()
    };
    Options {
        quarantine,
        ..Options::default()
    }
}

async fn crash(engine: &Arc<Engine>, id: &str) {
    for _ in 0..5 {
        let error = chat(engine, id, "trap").await.unwrap_err();
        assert_eq!(error.fault.code(), "trapped");
    }
}

fn policy(world: &World, policy: &str) {
    let text = format!("restart = \"{policy}\"");
    world.settings.lock().unwrap().insert("p.toml".into(), text);
}

/// Waits until the plugin is in this state.
async fn until(engine: &Engine, wanted: PluginState) {
    until_it(engine, |p| p.state == wanted).await;
}

/// Waits until this is so of the plugin.
async fn until_it(engine: &Engine, wanted: impl Fn(&PluginStatus) -> bool) {
    let reached = async {
        while !engine.plugin("p").is_some_and(|p| wanted(&p)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
    assert!(reached.is_ok(), "{:?}", engine.plugin("p"));
}

/// Waits until a restart that is planned now has happened: one that was planned before would have happened, too.
async fn as_long_as_a_restart(world: &World, engine: &Arc<Engine>) {
    let name = format!("probe-{}", world.log().len());
    install(
        engine,
        &format!("{name}.wasm"),
        &plugin(&name, "1.0.0", &[]),
    )
    .await
    .unwrap();
    crash(engine, &name).await;
    world.until(&format!("start {name}@1.0.0"), 2).await;
}

fn failing(step: &str, fault: &str) -> Value {
    json!({"id": "p", "version": "1.0.0", "roles": ["pipe"], "fail": step, "fault": fault, "while": "outside"})
}

#[tokio::test]
async fn a_crash_is_followed_by_restarts_ever_later_and_then_by_none() {
    let world = world();
    let engine = engine(&world, 20);
    install(&engine, "p.wasm", &plugin("p", "1.0.0", &[]))
        .await
        .unwrap();
    for (nth, millis) in [20, 40, 80, 160, 320].into_iter().enumerate() {
        crash(&engine, "p").await;
        let status = engine.plugin("p").unwrap();
        assert_eq!(status.state, PluginState::Quarantined);
        let back = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(
            (status.restarts.next_at, status.quarantined_until),
            (Some(back), Some(back))
        );
        assert_eq!(status.restarts.count, nth as u64);
        let wait = u32::try_from(millis).unwrap();
        assert!(
            matches!(chat(&engine, "p", "").await.unwrap_err().fault, Fault::Unavailable { retry_after_ms: Some(ms), .. } if ms == wait)
        );
        until(&engine, PluginState::Started).await;
        chat(&engine, "p", "").await.unwrap();
    }
    crash(&engine, "p").await;
    until(&engine, PluginState::Failed).await;
    let status = engine.plugin("p").unwrap();
    let reason = status.reason.unwrap();
    assert_eq!(reason.code, "crashed");
    assert!(
        reason
            .message
            .contains("was started again 5 times within 600 s"),
        "{reason:?}"
    );
    assert!(reason.message.contains("unreachable"), "{reason:?}");
    assert_eq!((status.restarts.count, status.restarts.next_at), (5, None));
    assert!(chat(&engine, "p", "").await.is_err());
    assert!(
        engine
            .metrics()
            .contains("weir_plugin_restarts_total{plugin=\"p\"} 5")
    );
    world.until("stop p@1.0.0", 6).await;
    // A look changes nothing; an operator does, and starts from the beginning.
    assert_eq!(engine.sync().await.unchanged, 1);
    assert_eq!(state(&engine, "p"), PluginState::Failed);
    engine.reload("p").await.unwrap();
    crash(&engine, "p").await;
    let next = engine.plugin("p").unwrap().restarts.next_at.unwrap();
    assert_eq!(next, SystemTime::UNIX_EPOCH + Duration::from_millis(20));
    let told = told(&engine);
    let count = |what: &str| told.iter().filter(|t| t.starts_with(what)).count();
    assert_eq!(count("quarantined p.wasm"), 6);
    assert_eq!(
        (count("failed p.wasm 6 crashed"), count("started p.wasm")),
        (1, 7)
    );
}

#[tokio::test]
async fn restarts_long_ago_do_not_count() {
    let world = world();
    let supervision = Supervision {
        restarts: 1,
        within: Duration::from_secs(60),
    };
    let engine = world.engine_with(Options {
        supervision,
        ..options(20)
    });
    install(&engine, "p.wasm", &plugin("p", "1.0.0", &[]))
        .await
        .unwrap();
    for _ in 0..4 {
        crash(&engine, "p").await;
        until(&engine, PluginState::Started).await;
        world.advance(61);
    }
    crash(&engine, "p").await;
    until(&engine, PluginState::Started).await;
    crash(&engine, "p").await;
    until(&engine, PluginState::Failed).await;
}

#[tokio::test]
async fn temporary_ones_stay_down() {
    let world = world();
    policy(&world, "temporary");
    let engine = engine(&world, 20);
    install(&engine, "p.wasm", &plugin("p", "1.0.0", &[]))
        .await
        .unwrap();
    crash(&engine, "p").await;
    until(&engine, PluginState::Failed).await;
    let status = engine.plugin("p").unwrap();
    assert_eq!(
        (status.restarts.policy, status.restarts.next_at),
        (Restart::Temporary, None)
    );
    assert_eq!(status.reason.unwrap().code, "crashed");
    world.until("stop p@1.0.0", 1).await;
    engine.start("p").await.unwrap();
    chat(&engine, "p", "").await.unwrap();
}

#[tokio::test]
async fn starts_that_failed_are_tried_again_by_policy() {
    for (by, fault, again) in [
        ("transient", "transient", true),
        ("transient", "internal", false),
        ("transient", "trap", false),
        ("permanent", "internal", true),
        ("permanent", "trap", true),
        ("permanent", "transient", true),
        ("permanent", "invalid", false),
        ("temporary", "transient", false),
    ] {
        for step in ["load", "start"] {
            let world = world();
            policy(&world, by);
            world.broken.lock().unwrap().insert("outside");
            world.put("p.wasm", &failing(step, fault));
            let engine = engine(&world, 20);
            engine.sync().await;
            let status = engine.plugin("p").unwrap();
            assert_eq!(status.state, PluginState::Failed);
            assert_eq!(format!("{:?}", status.restarts.policy).to_lowercase(), by);
            if !again {
                let next = status.restarts.next_at;
                assert_eq!(next, None, "{by} {fault} {step}");
            } else {
                world
                    .until("load p@1.0.0 valves {} announce false", 3)
                    .await;
                world.broken.lock().unwrap().clear();
                until(&engine, PluginState::Started).await;
                assert_eq!(engine.plugin("p").unwrap().restarts.next_at, None);
            }
        }
    }
}

#[tokio::test]
async fn starts_that_keep_failing_are_given_up() {
    let world = world();
    world.broken.lock().unwrap().insert("outside");
    world.put("p.wasm", &failing("start", "transient"));
    let engine = engine(&world, 20);
    engine.sync().await;
    until_it(&engine, |p| {
        p.reason
            .as_ref()
            .is_some_and(|r| r.message.contains("given up"))
    })
    .await;
    assert_eq!(engine.plugin("p").unwrap().restarts.next_at, None);
    assert_eq!(world.count("start p@1.0.0"), 6);
    let message = engine.plugin("p").unwrap().reason.unwrap().message;
    assert!(
        message.ends_with("given up after 5 restarts within 600 s"),
        "{message}"
    );
    // A new file starts from the beginning.
    let mut other = failing("start", "transient");
    other["name"] = "new".into();
    world.put("p.wasm", &other);
    engine.sync().await;
    until_it(&engine, |p| p.restarts.next_at.is_some()).await;
}

#[tokio::test]
async fn a_refused_configuration_is_no_fault() {
    let world = world();
    world.broken.lock().unwrap().insert("outside");
    world.put("p.wasm", &failing("load", "invalid"));
    let engine = engine(&world, 20);
    engine.sync().await;
    let status = engine.plugin("p").unwrap();
    let reason = status.reason.unwrap();
    assert_eq!(
        (status.state, reason.code),
        (PluginState::Failed, "refused_config")
    );
    assert!(reason.message.contains("load fails"), "{reason:?}");
    assert!(status.faults.is_empty() && status.restarts.next_at.is_none());
    // Once the settings have changed it is tried again.
    world.broken.lock().unwrap().clear();
    world
        .settings
        .lock()
        .unwrap()
        .insert("p.toml".into(), "config = { a = 1 }".into());
    engine.sync().await;
    chat(&engine, "p", "").await.unwrap();
}

#[tokio::test]
async fn an_operator_cancels_what_is_planned() {
    let world = world();
    let engine = engine(&world, 200);
    install(&engine, "p.wasm", &plugin("p", "1.0.0", &[]))
        .await
        .unwrap();
    crash(&engine, "p").await;
    engine.stop("p", false).await.unwrap();
    assert_eq!(engine.plugin("p").unwrap().restarts.next_at, None);
    as_long_as_a_restart(&world, &engine).await;
    assert_eq!(state(&engine, "p"), PluginState::Stopped);
    assert_eq!(world.count("start p@1.0.0"), 1);
    engine.start("p").await.unwrap();
    crash(&engine, "p").await;
    engine.start("p").await.unwrap();
    assert_eq!(state(&engine, "p"), PluginState::Started);
    crash(&engine, "p").await;
    engine.reload("p").await.unwrap();
    as_long_as_a_restart(&world, &engine).await;
    assert_eq!(world.count("start p@1.0.0"), 4);
    // A start that failed is not tried again once it was stopped.
    world.broken.lock().unwrap().insert("outside");
    world.put(
        "q.wasm",
        &json!({"id": "q", "version": "1.0.0", "fail": "start", "fault": "transient"}),
    );
    engine.sync().await;
    engine.stop("q", false).await.unwrap();
    as_long_as_a_restart(&world, &engine).await;
    assert_eq!(world.count("start q@1.0.0"), 1);
}

#[tokio::test]
async fn a_new_version_starts_without_what_a_crashed_one_remembers() {
    let world = world();
    let engine = engine(&world, 20);
    let mut single = plugin("p", "1.0.0", &[]);
    single["roles"] = json!(["pipe", "handover"]);
    install(&engine, "p.wasm", &single).await.unwrap();
    chat(&engine, "p", "count").await.unwrap();
    crash(&engine, "p").await;
    until(&engine, PluginState::Started).await;
    assert_eq!(chat(&engine, "p", "").await.unwrap()[2], "as asked ");
    assert_eq!(world.count("restore p@1.0.0 from 1.0.0"), 0);
}

#[tokio::test]
async fn a_restart_that_fails_takes_the_crashed_version_down() {
    let world = world();
    let engine = engine(&world, 20);
    install(&engine, "p.wasm", &failing("load", "internal"))
        .await
        .unwrap();
    crash(&engine, "p").await;
    world.broken.lock().unwrap().insert("outside");
    until(&engine, PluginState::Failed).await;
    let status = engine.plugin("p").unwrap();
    assert_eq!(status.reason.unwrap().code, "start_failed");
    assert_eq!(
        status.restarts.next_at, None,
        "transient, and no fault that may pass"
    );
    world.until("stop p@1.0.0", 1).await;
}

#[tokio::test]
async fn those_who_need_a_crashed_one_stay_and_new_ones_wait_for_it() {
    let world = world();
    let engine = engine(&world, 500);
    install(&engine, "p.wasm", &plugin("p", "1.0.0", &[]))
        .await
        .unwrap();
    install(&engine, "a.wasm", &plugin("a", "1.0.0", &["p"]))
        .await
        .unwrap();
    crash(&engine, "p").await;
    assert_eq!(state(&engine, "a"), PluginState::Started);
    world.put("b.wasm", &plugin("b", "1.0.0", &["p"]));
    let report = engine.sync().await;
    assert!(
        report.failed[0]
            .1
            .to_string()
            .contains("p, which crashed and is not back yet")
    );
    world.until("start b@1.0.0", 1).await;
    assert_eq!(state(&engine, "p"), PluginState::Started);
}

#[tokio::test]
async fn those_who_depend_on_one_are_told_what_becomes_of_it() {
    let world = world();
    let engine = engine(&world, 20);
    install(&engine, "p.wasm", &plugin("p", "1.0.0", &[]))
        .await
        .unwrap();
    let mut needs = plugin("needs", "1.0.0", &["p"]);
    let mut likes = plugin("likes", "1.0.0", &["?p"]);
    let mut other = plugin("other", "1.0.0", &[]);
    for plugin in [&mut needs, &mut likes, &mut other] {
        plugin["roles"] = json!(["pipe", "subscriber"]);
    }
    for (name, content) in [
        ("needs.wasm", &needs),
        ("likes.wasm", &likes),
        ("other.wasm", &other),
    ] {
        install(&engine, name, content).await.unwrap();
    }
    let heard = |who: &str, what: &str| {
        let line = format!("{who} hears weir.dependency.{what} {{\"plugin\":\"p\"}}");
        let world = Arc::clone(&world);
        async move { world.until(&line, 1).await }
    };
    crash(&engine, "p").await;
    heard("needs", "failed").await;
    heard("likes", "failed").await;
    heard("needs", "started").await;
    heard("likes", "started").await;
    // A new version that does not load is nothing to them.
    let mut broken = plugin("p", "2.0.0", &[]);
    broken["fail"] = "start".into();
    install(&engine, "p.wasm", &broken).await.unwrap_err();
    engine.stop("p", true).await.unwrap();
    heard("likes", "stopped").await;
    let lines = world.log();
    let hears = |who: &str| {
        lines
            .iter()
            .filter(|l| l.starts_with(&format!("{who} hears")))
            .count()
    };
    assert_eq!((hears("needs"), hears("likes"), hears("other")), (2, 3, 0));
}
