//! Dependencies: order, chains, circles, what is missing or does not fit, what comes later. Unloads are in `unload`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{World, chat, file, install, world};
use crate::{DependencyState, Engine, PluginState, SyncReport};
use model::error::LoadError;

/// A pipe that needs others: `b`, `b ^1.2`, `?b` (optional).
pub(super) fn plugin(id: &str, version: &str, needs: &[&str]) -> Value {
    let one = |text: &&str| {
        let optional = text.starts_with('?');
        let text = text.trim_start_matches('?');
        let (id, range) = text.split_once(' ').unwrap_or((text, "*"));
        json!({"id": id, "version": range, "optional": optional})
    };
    let dependencies: Vec<_> = needs.iter().map(one).collect();
    json!({"id": id, "version": version, "roles": ["pipe"], "dependencies": dependencies})
}

pub(super) fn put(world: &World, id: &str, needs: &[&str]) {
    world.put(&format!("{id}.wasm"), &plugin(id, "1.0.0", needs));
}

/// The plugins that something was done to, in that order.
pub(super) fn order(world: &World, what: &str) -> Vec<String> {
    let lines = world.log();
    let ids = lines
        .iter()
        .filter_map(|l| l.strip_prefix(what)?.split('@').next());
    ids.map(|id| id.trim().to_owned()).collect()
}

pub(super) fn state(engine: &Engine, id: &str) -> PluginState {
    engine.plugin(id).unwrap().state
}

/// Reason and chain of a file that lacks something.
fn lack<'a>(report: &'a SyncReport, name: &str) -> (&'a str, String) {
    let name = file(&format!("{name}.wasm"));
    let (_, error) = report.failed.iter().find(|(n, _)| *n == name).unwrap();
    match error {
        LoadError::Dependency { reason, chain } => (reason, chain.join(" ")),
        other => panic!("{other}"),
    }
}

async fn booted(world: &Arc<World>) -> (Arc<Engine>, SyncReport) {
    let engine = world.engine();
    let booting = engine.sync();
    let report = tokio::time::timeout(Duration::from_secs(20), booting).await;
    (engine, report.expect("nobody waits for ever"))
}

#[tokio::test]
async fn a_plugin_is_initialised_after_what_it_depends_on_has_started() {
    for names in [
        ["a", "b", "c", "d"],
        ["d", "c", "b", "a"],
        ["b", "d", "a", "c"],
    ] {
        let world = world();
        let [first, second, third, fourth] = names;
        put(&world, first, &[]);
        put(&world, second, &[first]);
        put(&world, third, &[first, second]);
        put(&world, fourth, &[third, "?second"]);
        let (_, report) = booted(&world).await;
        assert_eq!((report.loaded.len(), report.failed.len()), (4, 0));
        assert_eq!(order(&world, "start "), names);
        let log = world.log();
        let at = |what: String| log.iter().position(|l| l.starts_with(&what)).unwrap();
        for (needed, needs) in [(first, second), (second, third), (third, fourth)] {
            assert!(at(format!("start {needed}@")) < at(format!("load {needs}@")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_500_loads() {
    for backwards in [false, true] {
        let world = world();
        let name = |n: usize| {
            if backwards {
                format!("p{:03}", 999 - n)
            } else {
                format!("p{n:03}")
            }
        };
        put(&world, &name(0), &[]);
        for n in 1..500 {
            put(&world, &name(n), &[&name(n - 1)]);
        }
        let (engine, report) = booted(&world).await;
        assert_eq!((report.loaded.len(), report.failed.len()), (500, 0));
        let names: Vec<_> = (0..500).map(name).collect();
        assert_eq!(order(&world, "start "), names);
        // What it needs is at work already: a new version waits for no other one.
        let reloading = engine.reload_all();
        let report = tokio::time::timeout(Duration::from_secs(20), reloading).await;
        assert_eq!(report.unwrap().loaded.len(), 500);
        while order(&world, "stop ").len() < 500 {
            tokio::task::yield_now().await;
        }
        engine.shutdown(Duration::from_secs(30)).await;
        let stops: Vec<_> = names.into_iter().rev().collect();
        assert_eq!(order(&world, "stop ")[500..], stops);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_500_without_its_end_fails_with_the_whole_chain() {
    let world = world();
    for n in 0..500 {
        put(&world, &format!("p{n:03}"), &[&format!("p{:03}", n + 1)]);
    }
    put(&world, "other", &[]);
    let (engine, report) = booted(&world).await;
    assert_eq!(
        (report.loaded, report.failed.len()),
        (vec![file("other.wasm")], 500)
    );
    let (_, error) = &report.failed[0];
    let LoadError::Dependency { reason, chain } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, "p499 needs p500, which is missing");
    let whole: Vec<_> = (0..=500).map(|n| format!("p{n:03}")).collect();
    assert_eq!(*chain, whole);
    assert!(error.to_string().contains("p000 -> p001"), "{error}");
    // The end comes: all others do, by themselves.
    install(&engine, "end.wasm", &plugin("p500", "1.0.0", &[]))
        .await
        .unwrap();
    world.until("start p000@1.0.0", 1).await;
}

#[tokio::test]
async fn circles_fail_their_members_and_who_needs_them() {
    let world = world();
    put(&world, "a", &["b"]);
    put(&world, "b", &["c"]);
    put(&world, "c", &["a"]);
    put(&world, "x", &["y"]);
    put(&world, "y", &["x"]);
    put(&world, "uses", &["a"]);
    put(&world, "may", &["?a", "good"]);
    put(&world, "good", &[]);
    let (engine, report) = booted(&world).await;
    assert_eq!(report.loaded, [file("good.wasm"), file("may.wasm")]);
    assert_eq!(
        lack(&report, "a"),
        ("a depends on itself", "a b c a".into())
    );
    assert_eq!(
        lack(&report, "b"),
        ("b depends on itself", "b c a b".into())
    );
    assert_eq!(
        lack(&report, "c"),
        ("c depends on itself", "c a b c".into())
    );
    assert_eq!(lack(&report, "y"), ("y depends on itself", "y x y".into()));
    assert_eq!(
        lack(&report, "uses"),
        ("a depends on itself", "uses a b c a".into())
    );
    // One of them changes: all come.
    put(&world, "c", &[]);
    engine.sync().await;
    world.until("start uses@1.0.0", 1).await;
    // What is at work is not drawn into a circle; the new version that would close it is refused.
    put(&world, "c", &["uses"]);
    let report = engine.sync().await;
    assert_eq!(
        lack(&report, "c"),
        ("c depends on itself", "c uses a b c".into())
    );
    assert_eq!(state(&engine, "c"), PluginState::Started);
    assert_eq!(state(&engine, "uses"), PluginState::Started);
}

#[tokio::test]
async fn a_circle_is_named_also_when_its_members_come_one_by_one() {
    let world = world();
    put(&world, "a", &["b"]);
    let (engine, _) = booted(&world).await;
    let error = install(&engine, "b.wasm", &plugin("b", "1.0.0", &["a"]))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "b depends on itself (the chain: b -> a -> b)"
    );
    assert!(!world.files.lock().unwrap().contains_key(&file("b.wasm")));
}

#[tokio::test]
async fn circles_with_something_optional_load() {
    let world = world();
    put(&world, "a", &["?b"]);
    put(&world, "b", &["?a"]);
    put(&world, "c", &["d"]);
    put(&world, "d", &["?e"]);
    put(&world, "e", &["c"]);
    // Not part of a circle: waited for.
    put(&world, "f", &["?z"]);
    put(&world, "z", &[]);
    let (_, report) = booted(&world).await;
    assert_eq!((report.loaded.len(), report.failed.len()), (7, 0));
    let order = order(&world, "start ");
    let at = |id: &str| order.iter().position(|o| o == id).unwrap();
    assert!(
        at("d") < at("c") && at("c") < at("e") && at("z") < at("f"),
        "{order:?}"
    );
}

#[tokio::test]
async fn what_is_missing_may_come_later() {
    let world = world();
    put(&world, "a", &["b"]);
    put(&world, "b", &["c"]);
    put(&world, "may", &["?c"]);
    let (engine, report) = booted(&world).await;
    assert_eq!(
        lack(&report, "a"),
        ("b needs c, which is missing", "a b c".into())
    );
    // Found by its id, and shown with what it said.
    world.put("named.wasm", &plugin("other-name", "1.0.0", &["nothing"]));
    engine.sync().await;
    let failed = engine.plugin("other-name").unwrap();
    assert_eq!(failed.state, PluginState::Failed);
    assert_eq!(failed.file, file("named.wasm"));
    assert_eq!(failed.reason.unwrap().code, "dependency");
    assert_eq!(
        failed.about.unwrap().manifest.dependencies[0].id.as_str(),
        "nothing"
    );
    assert_eq!(failed.dependencies[0].state, DependencyState::Missing);
    let b = engine.plugin("b").unwrap();
    assert_eq!(b.dependants, [engine.plugin("a").unwrap().id.unwrap()]);
    assert_eq!(
        engine.plugin("a").unwrap().dependencies[0].state,
        DependencyState::Failed
    );
    assert_eq!(state(&engine, "may"), PluginState::Started);
    // An upload that lacks something leaves nothing behind.
    let upload = plugin("up", "1.0.0", &["nothing"]);
    let error = install(&engine, "up.wasm", &upload).await.unwrap_err();
    assert_eq!(error.code(), "dependency");
    assert!(engine.plugin("up").is_none());
    install(&engine, "c.wasm", &plugin("c", "1.0.0", &[]))
        .await
        .unwrap();
    world.until("start a@1.0.0", 1).await;
    assert_eq!(
        engine.plugin("b").unwrap().dependencies[0].state,
        DependencyState::Started
    );
    assert_eq!(world.count("start may@1.0.0"), 1);
    assert_eq!(chat(&engine, "b", "").await.unwrap()[0], "b@1.0.0");
}

#[tokio::test]
async fn versions_that_do_not_fit() {
    let world = world();
    put(&world, "b", &[]);
    put(&world, "a", &["b ^2"]);
    put(&world, "may", &["?b ^2"]);
    let (engine, report) = booted(&world).await;
    let reason = "a needs b ^2, but there is version 1.0.0";
    assert_eq!(lack(&report, "a"), (reason, "a b".into()));
    assert_eq!(
        engine.plugin("may").unwrap().dependencies[0].state,
        DependencyState::Incompatible
    );
    install(&engine, "b.wasm", &plugin("b", "2.1.0", &[]))
        .await
        .unwrap();
    world.until("start a@1.0.0", 1).await;
    // A version that no longer fits those at work is refused.
    let three = plugin("b", "3.0.0", &[]);
    let error = install(&engine, "b.wasm", &three).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a needs b ^2, but this is b@3.0.0; stop a first"),
        "{error}"
    );
    let error = install(&engine, "b.wasm", &plugin("else", "1.0.0", &[]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "dependency");
    assert_eq!(chat(&engine, "b", "").await.unwrap()[0], "b@2.1.0");
    engine.stop("a", false).await.unwrap();
    install(&engine, "b.wasm", &three).await.unwrap();
    let error = engine.start("a").await.unwrap_err();
    assert!(
        error.to_string().contains("there is version 3.0.0"),
        "{error}"
    );
}

#[tokio::test]
async fn both_sides_may_change_at_once() {
    let world = world();
    put(&world, "b", &[]);
    put(&world, "a", &["b ^1"]);
    let (engine, _) = booted(&world).await;
    world.put("b.wasm", &plugin("b", "2.0.0", &[]));
    world.put("a.wasm", &plugin("a", "2.0.0", &["b ^2"]));
    let report = engine.sync().await;
    assert_eq!(
        (report.loaded.len(), report.failed.len()),
        (2, 0),
        "{report:?}"
    );
    assert_eq!(order(&world, "start ")[2..], ["b", "a"]);
}

#[tokio::test]
async fn a_slow_file_is_waited_for_by_those_only_that_may_need_it() {
    let world = world();
    let mut slow = plugin("slow", "1.0.0", &[]);
    slow["hold"] = "inspect".into();
    world.put("s.wasm", &slow);
    put(&world, "a", &["slow"]);
    put(&world, "b", &[]);
    put(&world, "c", &["b"]);
    put(&world, "d", &["nowhere"]);
    let engine = world.engine();
    let booting = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.sync().await }
    });
    world.until("start c@1.0.0", 1).await;
    world.until("inspect d.wasm", 1).await;
    world.until("inspect s.wasm", 1).await;
    assert_eq!(engine.plugin("s").unwrap().state, PluginState::Discovered);
    world.until("inspect a.wasm", 1).await;
    while engine.plugins()[0].state != PluginState::Loaded {
        tokio::task::yield_now().await;
    }
    world.hold.add_permits(1);
    let report = booting.await.unwrap();
    assert_eq!((report.loaded.len(), report.failed.len()), (4, 1));
    assert_eq!(lack(&report, "d").0, "d needs nowhere, which is missing");
}

#[tokio::test]
async fn looks_that_wait_in_line_block_nobody() {
    let world = world();
    put(&world, "slow", &[]);
    for id in ["a", "b", "c"] {
        put(&world, id, &["nowhere"]);
    }
    let mut slow = plugin("slow", "1.0.0", &[]);
    slow["hold"] = "inspect".into();
    world.put("slow.wasm", &slow);
    let engine = world.engine();
    let sync = || {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { engine.sync().await })
    };
    let first = sync();
    for id in ["a", "b", "c", "slow"] {
        world.until(&format!("inspect {id}.wasm"), 1).await;
    }
    // Each of these waits behind a load that waits for the slow one, and must not be waited for in turn.
    let second = sync();
    let third = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.reload_all().await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    world.hold.add_permits(2);
    let all = async { (second.await.unwrap(), third.await.unwrap()) };
    let all = tokio::time::timeout(Duration::from_secs(30), all).await;
    let (second, third) = all.expect("nobody waits for ever");
    assert_eq!(first.await.unwrap().failed.len(), 3);
    assert_eq!((second.failed.len(), third.failed.len()), (3, 3));
}
