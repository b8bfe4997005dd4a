//! Runs whose stages are plugins, and hooks at the points of pipelines and runs. Flows of native stages are in `runs`.

use std::sync::Arc;

use model::run::RunState;
use serde_json::{Value, json};

use super::fake::file;
use super::stages::{Bench, bench, bench_with, conserved, flow, report, source, without};
use crate::{RegisterError, RunOptions, Trigger, Which};

/// A bench with a plugin that is granted hooks.
async fn with_plugin(script: Value) -> Bench {
    let bench = bench();
    put(&bench, &script);
    let report = bench.engine.sync().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    bench
}

fn put(bench: &Bench, script: &Value) {
    let name = format!("{}.wasm", script["id"].as_str().unwrap());
    bench.world.put(&name, script);
    let settings = file(&name).settings_file();
    let granted = "grants.hooks = true".to_owned();
    bench
        .world
        .settings
        .lock()
        .unwrap()
        .insert(settings, granted);
}

fn stages_plugin(version: &str, does: &str) -> Value {
    json!({"id": "x", "version": version, "roles": ["source", "transform", "sink"], "stage": does})
}

#[tokio::test]
async fn plugins_are_stages_by_their_roles() {
    let bench = with_plugin(stages_plugin("1.0.0", "")).await;
    let x = |options: Value| {
        let mut options = options;
        options["plugin"] = json!("x");
        options
    };
    let run = bench
        .run(flow(
            x(source(400)),
            &[x(json!({}))],
            &[x(json!({})), json!({})],
        ))
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(bench.seen.taken("s1"), without(400, |_| false));
    assert_eq!(report(&run, "t0").kind, "plugin x@1.0.0");
    assert!(report(&run, "t0").fuel > 0);
    let stays: u64 = run.stages.iter().map(|s| s.fuel).sum();
    assert!(stays > 0);
    conserved(&run);
    let missing = json!({"plugin": "y"});
    let run = bench.run(flow(source(1), &[missing], &[json!({})])).await;
    assert_eq!(run.error[0], "invalid: there is no plugin y");
}

#[tokio::test]
async fn a_plugin_that_traps_ends_the_run_and_counts_against_its_health() {
    let bench = with_plugin(stages_plugin("1.0.0", "trap")).await;
    let run = bench
        .run(flow(source(40), &[json!({"plugin": "x"})], &[json!({})]))
        .await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.error[0].starts_with("trapped: "), "{:?}", run.error);
    assert!(
        run.error[1].contains("transform t0 (plugin x@1.0.0)"),
        "{:?}",
        run.error
    );
    let status = bench.engine.plugin("x").unwrap();
    assert!(!status.faults.is_empty(), "{status:?}");
}

#[tokio::test]
async fn a_run_keeps_the_version_of_a_plugin_and_ends_with_the_plugin() {
    for stop in [false, true] {
        let bench = with_plugin(stages_plugin("1.0.0", "")).await;
        let held = flow(
            json!({"count": 40, "hold": 11}),
            &[json!({"plugin": "x"})],
            &[json!({})],
        );
        let id = bench
            .engine
            .submit(Trigger::of(Which::Given(Arc::new(held))))
            .await
            .unwrap();
        bench.world.until("source holds", 1).await;
        if stop {
            bench.engine.stop("x", false).await.unwrap();
        } else {
            put(&bench, &stages_plugin("2.0.0", ""));
            bench.engine.sync().await;
        }
        bench.world.hold.add_permits(1);
        let run = bench.ended(&id).await;
        if stop {
            assert_eq!(run.state, RunState::Failed, "{run:?}");
            assert!(
                run.error[0].contains("the run cannot go on without it"),
                "{:?}",
                run.error
            );
        } else {
            assert_eq!(run.state, RunState::Succeeded, "{run:?}");
            assert_eq!(report(&run, "t0").kind, "plugin x@1.0.0");
            let all = bench.world.log();
            assert!(
                !all.iter().any(|l| l.starts_with("open transform x@2")),
                "{all:?}"
            );
        }
    }
}

#[tokio::test]
async fn open_stages_of_a_plugin_are_bounded() {
    let bench = bench_with(RunOptions {
        plugin_stages: std::num::NonZeroUsize::new(2).unwrap(),
        ..RunOptions::default()
    });
    put(&bench, &stages_plugin("1.0.0", ""));
    bench.engine.sync().await;
    let x = json!({"plugin": "x"});
    let run = bench
        .run(flow(source(40), std::slice::from_ref(&x), &[json!({})]))
        .await;
    assert_eq!(
        run.state,
        RunState::Succeeded,
        "as many workers as may be: {run:?}"
    );
    let run = bench
        .run(flow(source(40), &[x.clone(), x.clone(), x], &[json!({})]))
        .await;
    assert_eq!(run.state, RunState::Failed);
    assert!(
        run.error[0].contains("2 stages of plugin x are open already"),
        "{:?}",
        run.error
    );
}

fn hook(point: &str, mode: &str, does: &str, answer: &Value) -> Value {
    let mut script = json!({"id": "h", "version": "1.0.0", "roles": ["hooks"], "hook": does,
        "hooks": [{"point": point, "mode": mode}]});
    if !answer.is_null() {
        script["answer"] = answer.clone();
    }
    script
}

#[tokio::test]
async fn hooks_refuse_pipelines_stages_and_runs() {
    let spec = || flow(source(20), &[json!({})], &[json!({})]);
    for point in ["validate_pipeline", "validate_stage"] {
        let bench = with_plugin(hook(point, "before", "refuse", &Value::Null)).await;
        let error = bench.engine.register(spec(), "id: p").await.unwrap_err();
        assert!(matches!(error, RegisterError::Refused(_)), "{error}");
        let given = Trigger::of(Which::Given(Arc::new(spec())));
        let error = bench.engine.submit(given).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("hook-error at {point}: no")),
            "{error}"
        );
        let adds = json!({"errors": [{"path": "/source", "message": "not on a Sunday"}]});
        let bench = with_plugin(hook(point, "after", "", &adds)).await;
        let error = bench.engine.register(spec(), "id: p").await.unwrap_err();
        assert!(
            error.to_string().contains("/source: not on a Sunday"),
            "{error}"
        );
    }
    for point in ["run_start", "stage_execute"] {
        let bench = with_plugin(hook(point, "before", "refuse", &Value::Null)).await;
        let run = bench.run(spec()).await;
        assert_eq!(run.state, RunState::Failed);
        let said = format!("plugin h@1.0.0: hook-error at {point}: no");
        assert_eq!(run.error[0], said);
        assert!(bench.seen.taken.lock().unwrap().is_empty());
    }
    let bench = with_plugin(hook("run_complete", "before", "refuse", &Value::Null)).await;
    let run = bench.run(spec()).await;
    assert_eq!(
        run.state,
        RunState::Succeeded,
        "what has happened cannot be refused"
    );
    assert!(
        run.log.iter().any(|l| l.message.contains("hook-error")),
        "{:?}",
        run.log
    );
}

#[tokio::test]
async fn hooks_see_each_stage_once_and_every_run() {
    let bench = with_plugin(hook("stage_execute", "before", "", &json!({}))).await;
    bench
        .run(flow(source(300), &[json!({})], &[json!({})]))
        .await;
    let seen = bench.world.log();
    let seen: Vec<_> = seen
        .iter()
        .filter(|l| l.contains("stage_execute"))
        .collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn hooks_after_a_stage_come_when_it_is_over_and_cannot_undo_it() {
    let bench = with_plugin(hook("stage_execute", "after", "refuse", &Value::Null)).await;
    let run = bench
        .run(flow(source(300), &[json!({})], &[json!({})]))
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    let said: Vec<_> = run.log.iter().filter_map(|l| l.stage.as_deref()).collect();
    assert_eq!(said.len(), 3, "one for each stage: {:?}", run.log);
}
