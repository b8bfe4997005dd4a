//! Hooks: order, modes, refusals, crashes, conflicts, and the points of chats and filters.

use std::sync::Arc;

use model::chat::Direction;
use model::error::{Fault, StageError};
use model::hooks::Point;
use serde_json::{Value, json};

use super::fake::{World, chat, file, message, world};
use crate::{Engine, Step};

/// A plugin with one hook, and what it does when it is called.
fn hook(id: &str, point: &str, mode: &str, priority: i32, does: &str) -> Value {
    json!({"id": id, "version": "1.0.0", "roles": ["hooks"], "hook": does,
        "hooks": [{"point": point, "mode": mode, "priority": priority}]})
}

fn with_failure(mut plugin: Value, on_failure: &str) -> Value {
    plugin["hooks"][0]["on_failure"] = on_failure.into();
    plugin
}

/// An engine with these plugins, each granted hooks.
async fn engine(world: &Arc<World>, plugins: &[Value]) -> Arc<Engine> {
    for plugin in plugins {
        let name = format!("{}.wasm", plugin["id"].as_str().unwrap());
        world.put(&name, plugin);
        let settings = "grants.hooks = true\ngrants.events = true";
        let name = file(&name).settings_file();
        world.settings.lock().unwrap().insert(name, settings.into());
    }
    let engine = world.engine();
    let report = engine.sync().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    engine
}

/// Takes a step at a point; the step answers `{"step": <context>}`.
async fn at(engine: &Arc<Engine>, point: Point) -> Result<Value, StageError> {
    let step: Step = Box::new(|context, _| {
        Box::pin(async move {
            Ok(json!({"step": serde_json::from_str::<Value>(&context).unwrap()}).to_string())
        })
    });
    let result = engine.at_point(point, "{}".into(), step).await?;
    Ok(serde_json::from_str(&result).unwrap())
}

#[tokio::test]
async fn hooks_lie_around_the_step_by_priority_then_id() {
    let world = world();
    let plugins = [
        hook("b", "run_start", "before", 50, ""),
        hook("a", "run_start", "before", 50, ""),
        hook("first", "run_start", "around", 10, ""),
        hook("last", "run_start", "after", 90, ""),
        hook("zero", "run_start", "after", 0, ""),
    ];
    let engine = engine(&world, &plugins).await;
    let result = at(&engine, Point::RunStart).await.unwrap();
    let by_step = json!({"first": "around", "a": "before", "b": "before"});
    assert_eq!(result["step"], by_step);
    assert_eq!(result["first"], "around result");
    let called: Vec<_> = world
        .log()
        .into_iter()
        .filter(|l| l.contains("run_start"))
        .collect();
    assert_eq!(
        called,
        [
            "first around run_start []",
            "a before run_start [\"first\"]",
            "b before run_start [\"first\"]",
            "last after run_start [\"first\"]",
            "zero after run_start []",
        ]
    );
    let points = engine.hooks();
    let point = points.iter().find(|p| p.name == "run_start").unwrap();
    let order: Vec<_> = point.hooks.iter().map(|h| h.plugin.as_str()).collect();
    assert_eq!(order, ["zero", "first", "a", "b", "last"]);
}

#[tokio::test]
async fn a_hook_refuses_and_the_caller_sees_it() {
    for mode in ["before", "after", "around"] {
        let world = world();
        let engine = engine(&world, &[hook("no", "run_start", mode, 1, "refuse")]).await;
        let error = at(&engine, Point::RunStart).await.unwrap_err();
        assert_eq!(error.plugin.id.as_str(), "no");
        assert_eq!(error.fault.to_string(), "hook-error at run_start: no");
        assert_eq!(error.fault.code(), "hook_error");
    }
}

#[tokio::test]
async fn a_hook_that_crashes_fails_the_step_or_is_skipped() {
    let check = |mode: &'static str, on_failure: &'static str, does: &'static str, good: bool| async move {
        let world = world();
        let plugin = with_failure(hook("bad", "stage_execute", mode, 1, does), on_failure);
        let inner = hook("inner", "stage_execute", "before", 99, "");
        let engine = engine(&world, &[plugin, inner]).await;
        let result = at(&engine, Point::StageExecute).await;
        match result {
            Ok(value) => {
                assert!(good, "{mode} {on_failure} {does}: {value}");
                assert_eq!(value["step"]["inner"], "before", "{mode} {does}");
            }
            Err(error) => {
                assert!(!good, "{mode} {on_failure} {does}: {error}");
                assert!(
                    matches!(&error.fault, Fault::Hook { fault, .. } if matches!(**fault, Fault::Trapped(_))),
                    "{error}"
                );
            }
        }
        let calls = world
            .log()
            .iter()
            .filter(|l| l.contains("inner before"))
            .count();
        let steps = usize::from(good || matches!(mode, "after" | "replace") || does == "trap late");
        assert_eq!(
            calls, steps,
            "{mode} {on_failure} {does}: the rest happens once at most"
        );
    };
    for mode in ["before", "after", "around", "replace"] {
        check(mode, "fail", "trap", false).await;
        check(mode, "skip", "trap", true).await;
    }
    check("around", "skip", "trap late", true).await;
    check("around", "fail", "trap late", false).await;
}

#[tokio::test]
async fn around_may_never_let_the_step_happen() {
    let world = world();
    let engine = engine(&world, &[hook("wall", "run_start", "around", 1, "never")]).await;
    assert_eq!(
        at(&engine, Point::RunStart).await.unwrap(),
        json!({"wall": "around"})
    );
}

#[tokio::test]
async fn an_error_of_the_step_passes_through_an_around_hook() {
    let world = world();
    let engine = engine(&world, &[hook("by", "run_start", "around", 1, "")]).await;
    let plugin = engine
        .plugin("by")
        .unwrap()
        .about
        .unwrap()
        .manifest
        .id
        .clone();
    let error = StageError {
        plugin: model::id::PluginRef {
            id: plugin,
            version: semver::Version::new(9, 9, 9),
        },
        fault: Fault::Refused("the step's own".into()),
    };
    let told = error.clone();
    let step: Step = Box::new(move |_, _| Box::pin(std::future::ready(Err(error))));
    let seen = engine
        .at_point(Point::RunStart, "{}".into(), step)
        .await
        .unwrap_err();
    assert_eq!((seen.fault, seen.plugin), (told.fault, told.plugin));
}

#[tokio::test]
async fn one_replaces_and_the_conflict_is_shown() {
    let world = world();
    let plugins = [
        hook("y", "stage_execute", "replace", 50, ""),
        hook("x", "stage_execute", "replace", 50, ""),
        hook("late", "stage_execute", "before", 99, ""),
    ];
    let engine = engine(&world, &plugins).await;
    let result = at(&engine, Point::StageExecute).await.unwrap();
    assert_eq!(result, json!({"late": "before", "x": "replace"}));
    let points = engine.hooks();
    let point = points.iter().find(|p| p.name == "stage_execute").unwrap();
    let y = point.hooks.last().unwrap();
    assert_eq!(
        (y.plugin.as_str(), y.beaten_by.as_ref().unwrap().as_str()),
        ("y", "x")
    );
    world.remove("x.wasm");
    engine.sync().await;
    let result = at(&engine, Point::StageExecute).await.unwrap();
    assert_eq!(result, json!({"late": "before", "y": "replace"}));
}

#[tokio::test]
async fn what_is_not_granted_is_not_called() {
    let world = world();
    world.put("spy.wasm", &hook("spy", "chat_request", "before", 1, ""));
    let engine = world.engine();
    engine.sync().await;
    assert!(engine.hooks().iter().all(|p| p.hooks.is_empty()));
}

#[tokio::test]
async fn chats_pass_their_points() {
    let world = world();
    let pipe = json!({"id": "p", "version": "1.0.0", "roles": ["pipe"]});
    let plugins = [
        pipe,
        hook("h", "chat_request", "around", 1, ""),
        hook("r", "chat_reply", "before", 1, ""),
    ];
    let engine = engine(&world, &plugins).await;
    let said = chat(&engine, "p", r#"{"stream":true,"messages":[]}"#)
        .await
        .unwrap();
    assert_eq!(said, ["p@1.0.0", "p@1.0.0", "as asked "]);
    let log = world.log();
    assert!(
        log.contains(&"h around chat_request []".to_string()),
        "{log:?}"
    );
    assert!(
        log.contains(&"r before chat_reply []".to_string()),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_hook_answers_in_the_plugins_place() {
    let world = world();
    let pipe = json!({"id": "p", "version": "1.0.0", "roles": ["pipe"]});
    let mut shortcut = hook("s", "chat_request", "replace", 1, "");
    shortcut["answer"] = json!({"text": "instead"});
    let engine = engine(&world, &[pipe, shortcut]).await;
    assert_eq!(chat(&engine, "p", "{}").await.unwrap(), ["instead"]);
}

#[tokio::test]
async fn a_reply_that_is_not_streamed_can_be_changed_or_withheld() {
    let world = world();
    let pipe = json!({"id": "p", "version": "1.0.0", "roles": ["pipe"]});
    let mut censor = hook("c", "chat_reply", "before", 1, "");
    censor["answer"] = json!({"text": "***"});
    let engine = engine(&world, &[pipe.clone(), censor]).await;
    assert_eq!(chat(&engine, "p", "{}").await.unwrap(), ["***"]);
    let streamed = chat(&engine, "p", r#"{"stream":true}"#).await.unwrap();
    assert_eq!(streamed.len(), 3, "what was streamed is not taken back");
    let world = super::fake::world();
    let wall = hook("w", "chat_reply", "before", 1, "refuse");
    let engine = self::engine(&world, &[pipe, wall]).await;
    let error = chat(&engine, "p", "{}").await.unwrap_err();
    assert_eq!(error.fault.to_string(), "hook-error at chat_reply: no");
}

#[tokio::test]
async fn filters_pass_their_points() {
    let world = world();
    let filter = json!({"id": "f", "version": "1.0.0", "roles": ["filter"]});
    let mut spy = hook("s", "inlet", "before", 1, "");
    spy["answer"] = json!({"body": {"changed": true}});
    let engine = engine(&world, &[filter, spy]).await;
    let target = engine.find_filter("f").unwrap();
    // The fake filter puts its name behind the body, so the result after the hooks is no JSON: an error that says where.
    let error = engine
        .filter(&target, Direction::Inlet, message(r#"{"a":1}"#, None))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("hook-error at inlet: the result after the hooks"),
        "{error}"
    );
    let out = engine
        .filter(&target, Direction::Outlet, message("{}", None))
        .await;
    assert_eq!(out.unwrap(), "{} f-outlet", "no hook there");
}

#[tokio::test]
async fn loads_may_be_refused_but_not_ones_own() {
    let world = world();
    let guard = hook("guard", "plugin_load", "before", 1, "refuse");
    let engine = engine(&world, std::slice::from_ref(&guard)).await;
    world.put(
        "p.wasm",
        &json!({"id": "p", "version": "1.0.0", "roles": ["pipe"]}),
    );
    let report = engine.sync().await;
    let (file, error) = &report.failed[0];
    assert_eq!((file.as_str(), error.code()), ("p.wasm", "hook_error"));
    assert_eq!(error.to_string(), "plugin guard refused it: refused: no");
    assert_eq!(world.count("load p@1.0.0 valves {} announce false"), 0);
    engine.reload("guard").await.unwrap();
    let mut wall = hook("guard", "plugin_load", "around", 1, "never");
    wall["version"] = "2.0.0".into();
    world.put("guard.wasm", &wall);
    assert_eq!(engine.sync().await.loaded.len(), 1, "its own next version");
    let error = engine.reload("p").await.unwrap_err();
    assert!(
        error.to_string().contains("did not let the load happen"),
        "{error}"
    );
}

#[tokio::test]
async fn unloads_may_be_refused_but_not_by_force() {
    let world = world();
    let pipe = json!({"id": "p", "version": "1.0.0", "roles": ["pipe"]});
    let plugins = [pipe, hook("guard", "plugin_unload", "before", 1, "refuse")];
    let engine = engine(&world, &plugins).await;
    let error = engine.stop("p", false).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("hook-error at plugin_unload: no"),
        "{error}"
    );
    assert!(engine.find_model("p").is_some() && world.count("stop p@1.0.0") == 0);
    engine.stop("p", true).await.unwrap();
    world.until("stop p@1.0.0", 1).await;
    engine.stop("guard", false).await.unwrap();
    engine.start("p").await.unwrap();
    engine.delete("p", false).await.unwrap();
}
