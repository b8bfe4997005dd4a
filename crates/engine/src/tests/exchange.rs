//! Events, peer calls and points of plugins, as a sandbox asks for them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use model::events::Topic;
use model::exchange::{Caller, Cause, EmitError, Exchange, FireError, MAX_DEPTH, PeerError};
use model::id::PluginId;
use serde_json::{Value, json};

use super::fake::{World, file, world};
use crate::{Engine, Options, Switchboard};

fn id(text: &str) -> PluginId {
    PluginId::new(text).unwrap()
}

fn caller(plugin: &str) -> Caller {
    Caller {
        plugin: id(plugin),
        cause: Cause::default(),
    }
}

fn subscriber(id: &str, topics: &[&str], does: &str) -> Value {
    json!({"id": id, "version": "1.0.0", "roles": ["subscriber"], "topics": topics, "event": does})
}

async fn start(
    world: &Arc<World>,
    plugins: &[Value],
    settings: &str,
) -> (Arc<Engine>, Switchboard) {
    start_with(world, plugins, settings, Options::default()).await
}

async fn start_with(
    world: &Arc<World>,
    plugins: &[Value],
    settings: &str,
    options: Options,
) -> (Arc<Engine>, Switchboard) {
    for plugin in plugins {
        let name = format!("{}.wasm", plugin["id"].as_str().unwrap());
        world.put(&name, plugin);
        let name = file(&name).settings_file();
        world.settings.lock().unwrap().insert(name, settings.into());
    }
    let engine = world.engine_with(options);
    let report = engine.sync().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let switchboard = Switchboard::default();
    switchboard.connect(&engine);
    (engine, switchboard)
}

async fn emit(switchboard: &Switchboard, cause: Cause, topic: &str) -> Result<u64, EmitError> {
    let caller = Caller {
        plugin: id("emitter"),
        cause,
    };
    let topic = Topic::new(topic).unwrap();
    Ok(switchboard.emit(caller, topic, "1".into()).await?.id)
}

fn heard(world: &World, who: &str) -> Vec<String> {
    let start = format!("{who} hears ");
    let log = world.log();
    log.iter()
        .filter_map(|l| l.strip_prefix(&start))
        .map(String::from)
        .collect()
}

#[tokio::test]
async fn events_reach_those_who_subscribe_in_order() {
    let world = world();
    let plugins = [
        subscriber("all", &["a.*"], ""),
        subscriber("one", &["a.x"], ""),
        subscriber("none", &["b"], ""),
    ];
    let (_engine, switchboard) = start(&world, &plugins, "grants.events = true").await;
    for n in 0..20 {
        emit(
            &switchboard,
            Cause::default(),
            if n % 2 == 0 { "a.x" } else { "a.y" },
        )
        .await
        .unwrap();
    }
    world.until("all hears a.y 1", 10).await;
    world.until("one hears a.x 1", 10).await;
    let expected: Vec<_> = (0..20)
        .map(|n| if n % 2 == 0 { "a.x 1" } else { "a.y 1" })
        .collect();
    assert_eq!(heard(&world, "all"), expected);
    assert!(heard(&world, "none").is_empty());
}

#[tokio::test]
async fn what_is_not_granted_is_not_heard() {
    let world = world();
    let plugins = [subscriber("s", &["a", "b"], "")];
    let (_engine, switchboard) =
        start(&world, &plugins, r#"grants.events = { subscribe = ["b"] }"#).await;
    emit(&switchboard, Cause::default(), "a").await.unwrap();
    emit(&switchboard, Cause::default(), "b").await.unwrap();
    world.until("s hears b 1", 1).await;
    assert_eq!(heard(&world, "s"), ["b 1"]);
}

#[tokio::test]
async fn a_slow_subscriber_loses_the_oldest_and_holds_up_nobody() {
    let world = world();
    let plugins = [
        subscriber("slow", &["a"], "hold"),
        subscriber("quick", &["a"], ""),
    ];
    let settings = "grants.events = true\nlimits.event_queue = 10";
    let (engine, switchboard) = start(&world, &plugins, settings).await;
    emit(&switchboard, Cause::default(), "a").await.unwrap();
    world.until("holding", 1).await;
    for _ in 0..99 {
        emit(&switchboard, Cause::default(), "a").await.unwrap();
        tokio::task::yield_now().await;
    }
    world.until("quick hears a 1", 100).await;
    let catalog = engine.catalog.load_full();
    let slow = catalog.plugin("slow").unwrap();
    assert_eq!((slow.events.len(), slow.events.dropped()), (10, 89));
}

#[tokio::test]
async fn back_pressure_is_bounded_in_time() {
    let world = world();
    let plugins = [subscriber("slow", &["a"], "hold")];
    let settings = "overflow = \"back_pressure\"\ngrants.events = true\nlimits.event_queue = 2";
    let (_engine, switchboard) = start(&world, &plugins, settings).await;
    emit(&switchboard, Cause::default(), "a").await.unwrap();
    world.until("holding", 1).await;
    for _ in 0..2 {
        emit(&switchboard, Cause::default(), "a").await.unwrap();
    }
    assert_eq!(
        emit(&switchboard, Cause::default(), "a").await,
        Err(EmitError::Full)
    );
    assert!(
        emit(&switchboard, Cause::default(), "b").await.is_ok(),
        "other topics go on"
    );
    let waiting = emit(&switchboard, Cause::default(), "a");
    let mut waiting = std::pin::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    world.hold.add_permits(1);
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn a_storm_ends() {
    let world = world();
    let (_engine, switchboard) = start(&world, &[], "").await;
    let mut cause = Cause::default();
    for _ in 0..MAX_DEPTH {
        assert!(emit(&switchboard, cause.clone(), "a").await.is_ok());
        cause = cause.deferred();
    }
    assert_eq!(
        emit(&switchboard, cause.clone(), "a").await,
        Err(EmitError::TooDeep)
    );
}

#[tokio::test]
async fn hooks_see_events_and_may_change_or_refuse_them() {
    let world = world();
    let mut change = json!({"id": "h", "version": "1.0.0", "roles": ["hooks"],
        "hooks": [{"point": "event_emitted", "mode": "before"}]});
    change["answer"] = json!({"payload": 2});
    let plugins = [change.clone(), subscriber("s", &["*"], "")];
    let settings = "grants.events = true\ngrants.hooks = true";
    let (_engine, switchboard) = start(&world, &plugins, settings).await;
    emit(&switchboard, Cause::default(), "a").await.unwrap();
    world.until("s hears a 2", 1).await;
    let world = super::fake::world();
    change["hook"] = "refuse".into();
    let (_engine, switchboard) = start(&world, &[change], settings).await;
    let refused = emit(&switchboard, Cause::default(), "a").await.unwrap_err();
    assert!(
        matches!(&refused, EmitError::Refused(text) if text.contains("no")),
        "{refused}"
    );
}

fn peer(id: &str) -> Value {
    json!({"id": id, "version": "1.0.0", "roles": ["peer"]})
}

async fn call(
    switchboard: &Switchboard,
    from: Caller,
    to: &str,
    method: &str,
) -> Result<Value, PeerError> {
    let second = Duration::from_secs(1);
    let answer = switchboard
        .call(from, id(to), method.into(), "7".into(), second)
        .await?;
    Ok(serde_json::from_str(&answer).unwrap())
}

#[tokio::test]
async fn peers_are_called_and_told_by_whom() {
    let world = world();
    let plugins = [
        peer("b"),
        json!({"id": "pipe", "version": "1.0.0", "roles": ["pipe"]}),
    ];
    let (engine, switchboard) = start(&world, &plugins, "").await;
    let answer = call(&switchboard, caller("a"), "b", "m").await.unwrap();
    assert_eq!(answer, json!({"by": "b", "chain": ["a"], "payload": "7"}));
    assert_eq!(world.count("b handles m of a"), 1);
    let error = |to: &'static str, method: &'static str| {
        call(&switchboard, caller("a"), to, method).map(Result::unwrap_err)
    };
    assert_eq!(error("gone", "m").await, PeerError::NotFound);
    assert_eq!(
        error("pipe", "m").await,
        PeerError::NotFound,
        "it answers no peers"
    );
    assert_eq!(
        error("b", "trap").await,
        PeerError::Crashed("trapped".into())
    );
    assert!(matches!(error("b", "refuse").await, PeerError::Failed(f) if f.said() == Some("no")));
    assert_eq!(error("b", "hold").await, PeerError::TimedOut);
    world.remove("b.wasm");
    engine.sync().await;
    assert_eq!(error("b", "m").await, PeerError::NotFound);
}

#[tokio::test]
async fn cycles_and_depth_are_found() {
    let world = world();
    let (_engine, switchboard) = start(&world, &[peer("b"), peer("c")], "").await;
    let of = |chain: &[&str]| Cause {
        chain: chain.iter().map(|p| id(p)).collect(),
        depth: chain.len(),
        events: 0,
    };
    let from = |plugin: &str, chain: &[&str]| Caller {
        plugin: id(plugin),
        cause: of(chain),
    };
    let cycle = call(&switchboard, from("c", &["a", "b"]), "b", "m")
        .await
        .unwrap_err();
    assert_eq!(cycle.to_string(), "a cycle: a -> b -> c -> b");
    assert!(matches!(
        call(&switchboard, caller("b"), "b", "m").await,
        Err(PeerError::Cycle(_))
    ));
    let long: Vec<_> = (1..MAX_DEPTH).map(|n| format!("p{n}")).collect();
    let long: Vec<_> = long.iter().map(String::as_str).collect();
    assert!(call(&switchboard, from("x", &long), "b", "m").await.is_ok());
    let longer: Vec<_> = long.iter().copied().chain(["y"]).collect();
    assert_eq!(
        call(&switchboard, from("x", &longer), "b", "m").await,
        Err(PeerError::TooDeep)
    );
}

#[tokio::test]
async fn casts_wait_in_a_bounded_queue() {
    let world = world();
    let (_engine, switchboard) = start(&world, &[peer("b")], "limits.event_queue = 3").await;
    let cast = |method: &str| switchboard.cast(caller("a"), id("b"), method.into(), "1".into());
    cast("hold").unwrap();
    world.until("holding", 1).await;
    for _ in 0..3 {
        cast("m").unwrap();
    }
    assert!(matches!(cast("m"), Err(PeerError::Failed(f)) if f.is_retryable()));
    world.hold.add_permits(1);
    world.until("b handles m of a", 3).await;
    let mut cause = Cause::default();
    for _ in 0..MAX_DEPTH {
        cause = cause.deferred();
    }
    let deep = Caller {
        plugin: id("a"),
        cause,
    };
    assert_eq!(
        switchboard.cast(deep, id("b"), "m".into(), "1".into()),
        Err(PeerError::TooDeep)
    );
}

#[tokio::test]
async fn points_of_plugins_run_the_hooks_there() {
    let world = world();
    let hook = json!({"id": "h", "version": "1.0.0", "roles": ["hooks"], "hooks": [{"point": "a/p", "mode": "before"}]});
    let (engine, switchboard) = start(&world, &[hook], "grants.hooks = true").await;
    let fire = |plugin: &str, point: &str| {
        switchboard.fire(caller(plugin), point.into(), r#"{"x":1}"#.into())
    };
    assert_eq!(fire("a", "a/p").await.unwrap(), r#"{"x":1,"h":"before"}"#);
    assert_eq!(fire("a", "a/q").await.unwrap(), r#"{"x":1}"#);
    assert_eq!(
        fire("h", "a/p").await.unwrap(),
        r#"{"x":1}"#,
        "nobody is called about its own doing"
    );
    let deep = Caller {
        plugin: id("a"),
        cause: Cause {
            chain: (0..MAX_DEPTH).map(|n| id(&format!("p{n}"))).collect(),
            depth: MAX_DEPTH,
            events: 0,
        },
    };
    let refused = switchboard.fire(deep, "a/p".into(), "{}".into()).await;
    assert_eq!(refused, Err(FireError::TooDeep));
    let point = engine
        .hooks()
        .into_iter()
        .find(|p| p.name == "a/p")
        .unwrap();
    assert!(!point.fires, "nobody defines it");
}

#[tokio::test]
async fn providers_are_found_the_preferred_first() {
    let world = world();
    let provides = |id: &str, kind: &str| json!({"id": id, "version": "1.0.0", "roles": ["peer"], "provides": {"embed": {"type": kind, "dim": 3}}});
    let plugins = [
        provides("a", "llm"),
        provides("b", "llm"),
        provides("c", "own"),
    ];
    let options = Options {
        preferences: [("embed".to_string(), vec![id("c")])].into(),
        ..Options::default()
    };
    let (engine, switchboard) = start_with(&world, &plugins, "", options).await;
    assert_eq!(switchboard.providers("embed"), [id("c"), id("a"), id("b")]);
    assert!(switchboard.providers("other").is_empty());
    let capability = engine.capability("embed").unwrap();
    let first = &capability.providers[0];
    assert_eq!(
        (
            first.kind.as_deref(),
            first.preferred,
            &first.options["dim"]
        ),
        (Some("own"), true, &json!(3))
    );
    world.remove("c.wasm");
    engine.sync().await;
    assert_eq!(switchboard.providers("embed"), [id("a"), id("b")]);
    assert!(switchboard.present("a") && !switchboard.present("c"));
}

#[tokio::test]
async fn a_budget_refuses_calls_until_it_is_less() {
    let world = world();
    let (_engine, switchboard) = start(&world, &[peer("b")], "limits.calls_per_minute = 2").await;
    let second = Duration::from_secs(1);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(
            switchboard
                .call(caller("a"), id("b"), "m".into(), "1".into(), second)
                .await,
        );
    }
    assert!(answers[1].is_ok());
    assert!(
        matches!(&answers[2], Err(PeerError::Failed(f)) if f.code() == "rate_limited"),
        "{answers:?}"
    );
    world.advance(61);
    assert!(
        switchboard
            .call(caller("a"), id("b"), "m".into(), "1".into(), second)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_host_tells_of_itself() {
    let world = world();
    let mut dependant = subscriber("d", &[], "");
    dependant["dependencies"] = json!([{"id": "b", "optional": true}]);
    let (engine, _switchboard) = start(
        &world,
        &[dependant, subscriber("s", &["weir.*"], "")],
        "grants.events = true",
    )
    .await;
    engine.tell("weir.test", &json!({"n": 1}));
    world.until("s hears weir.test {\"n\":1}", 1).await;
    engine.tell_dependants(&id("b"), "weir.dependency.failed", &json!({"plugin": "b"}));
    world
        .until("d hears weir.dependency.failed {\"plugin\":\"b\"}", 1)
        .await;
    world
        .until("s hears weir.dependency.failed {\"plugin\":\"b\"}", 1)
        .await;
    assert!(engine.bus().last() > 0);
}
