//! Runs made of runs: sequences, parallels, conditions, retries, backfills.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use model::pipeline::{Backoff, OnError, Parameter, Period, Pipeline, Step, Timescope, Work};
use model::run::{RunRecord, RunState, Started};
use serde_json::{Value, json};

use super::stages::{Bench, bench, bench_with, flow, id, pipeline};
use crate::{Backfill, RunOptions, Trigger, Which};
use model::store::RunFilter;

/// A flow with an id of its own, as a step.
fn step(name: &str, source: Value) -> Step {
    let mut inner = flow(source, &[], &[json!({})]);
    inner.id = id(name);
    Step::Inline(Box::new(inner))
}

fn good(name: &str) -> Step {
    step(name, json!({"count": 3}))
}

fn bad(name: &str) -> Step {
    step(name, json!({"count": 3, "invalid": "no such page"}))
}

fn parts(bench: &Bench, run: &RunRecord) -> Vec<(String, RunState)> {
    let part = |id| bench.engine.run(id).unwrap();
    let of = |run: RunRecord| (run.pipeline.to_string(), run.state);
    run.children.iter().map(|id| of(part(id))).collect()
}

async fn check(work: Work, state: RunState, want: &[(&str, RunState)]) -> RunRecord {
    let bench = bench();
    let run = bench.run(pipeline("whole", work)).await;
    assert_eq!(run.state, state, "{run:?}");
    let got = parts(&bench, &run);
    let got: Vec<_> = got.iter().map(|(n, s)| (n.as_str(), *s)).collect();
    assert_eq!(got, want);
    for id in &run.children {
        let part = bench.engine.run(id).unwrap();
        assert_eq!(part.parent.as_ref(), Some(&run.id));
        assert_eq!(part.started_by, Started::Composition);
    }
    run
}

const OK: RunState = RunState::Succeeded;
const FAILED: RunState = RunState::Failed;
const PARTIAL: RunState = RunState::Partial;

#[tokio::test]
async fn a_sequence_stops_at_a_failure_or_goes_on() {
    let sequence = |stop_on_error| Work::Sequential {
        pipelines: vec![good("a"), bad("b"), good("c")],
        stop_on_error,
    };
    let run = check(sequence(true), FAILED, &[("a", OK), ("b", FAILED)]).await;
    assert!(run.error[0].contains("no such page"), "{:?}", run.error);
    check(
        sequence(false),
        FAILED,
        &[("a", OK), ("b", FAILED), ("c", OK)],
    )
    .await;
    let nested = Work::Sequential {
        pipelines: vec![
            Step::Inline(Box::new(pipeline(
                "inner",
                Work::Sequential {
                    pipelines: vec![good("a"), good("b")],
                    stop_on_error: true,
                },
            ))),
            good("c"),
        ],
        stop_on_error: true,
    };
    check(nested, OK, &[("inner", OK), ("c", OK)]).await;
}

#[tokio::test]
async fn parallel_runs_end_by_their_policy() {
    let parallel = |pipelines, on_error| Work::Parallel {
        pipelines,
        max_workers: NonZeroU32::new(1),
        on_error,
    };
    let mixed = || vec![good("a"), bad("b"), good("c")];
    check(
        parallel(mixed(), OnError::FailFast),
        FAILED,
        &[("a", OK), ("b", FAILED)],
    )
    .await;
    let all = [("a", OK), ("b", FAILED), ("c", OK)];
    check(parallel(mixed(), OnError::Collect), FAILED, &all).await;
    check(parallel(mixed(), OnError::Ignore), PARTIAL, &all).await;
    let none = vec![bad("a"), bad("b")];
    check(
        parallel(none, OnError::Ignore),
        FAILED,
        &[("a", FAILED), ("b", FAILED)],
    )
    .await;
    // What is only partly delivered does not become whole by being ignored, nor does what failed.
    let most = step("b", json!({"count": 3, "unreadable": 2}));
    let run = check(
        parallel(vec![bad("a"), most], OnError::Ignore),
        PARTIAL,
        &[("a", FAILED), ("b", PARTIAL)],
    )
    .await;
    assert!(run.log[0].message.contains("no such page"), "{:?}", run.log);
    // Two failures are beside each other, not one the other's cause.
    let two = parallel(vec![bad("a"), bad("b")], OnError::Collect);
    let run = check(two, FAILED, &[("a", FAILED), ("b", FAILED)]).await;
    assert_eq!(run.error.len(), 2, "{:?}", run.error);
    assert_eq!(run.error[0].lines().count(), 2, "{:?}", run.error);
    assert_eq!(run.error[1], "2 pipelines failed");
    // Those under way are cancelled.
    let bench = bench();
    let held = step("held", json!({"count": 3, "hold": 1}));
    let fast = pipeline(
        "whole",
        Work::Parallel {
            pipelines: vec![held, bad("b")],
            max_workers: None,
            on_error: OnError::FailFast,
        },
    );
    let run = bench.run(fast).await;
    assert_eq!(run.state, FAILED);
    assert_eq!(parts(&bench, &run)[0], ("held".into(), RunState::Cancelled));
}

#[tokio::test]
async fn conditions_choose() {
    let check_condition = |condition: &'static str, state, want: &'static [(&str, RunState)]| {
        let work = Work::Conditional {
            condition: condition.into(),
            then: Box::new(good("yes")),
            otherwise: Some(Box::new(good("no"))),
        };
        check(work, state, want)
    };
    check_condition("previous == null", OK, &[("yes", OK)]).await;
    check_condition("window != null", OK, &[("no", OK)]).await;
    let run = check_condition("previous.state == 'failed'", FAILED, &[]).await;
    assert!(
        run.error[0].contains("cannot be evaluated"),
        "{:?}",
        run.error
    );
    // In a sequence, what the run before did counts.
    let after = Step::Inline(Box::new(pipeline(
        "choice",
        Work::Conditional {
            condition: "previous.state == 'succeeded' && previous.records_in == 3".into(),
            then: Box::new(good("yes")),
            otherwise: None,
        },
    )));
    let bench = bench();
    let sequence = Work::Sequential {
        pipelines: vec![good("a"), after],
        stop_on_error: true,
    };
    let run = bench.run(pipeline("whole", sequence)).await;
    let choice = bench.engine.run(&run.children[1]).unwrap();
    assert_eq!(parts(&bench, &choice), [("yes".into(), OK)]);
}

#[tokio::test]
async fn a_failed_run_is_tried_again() {
    let retry = |max_retries| {
        let mut inner = flow(json!({"count": 3, "transient": 2}), &[], &[json!({})]);
        inner.errors.retry.max_retries = 0;
        inner.id = id("inner");
        Work::Retry {
            pipeline: Box::new(Step::Inline(Box::new(inner))),
            backoff: Backoff {
                max_retries,
                jitter: 0.0,
                ..Backoff::default()
            },
        }
    };
    let tries = [("inner", FAILED), ("inner", FAILED), ("inner", OK)];
    check(retry(3), OK, &tries).await;
    let run = check(retry(1), FAILED, &tries[..2]).await;
    assert_eq!(run.error.last().unwrap(), "given up (after 2 tries)");
}

#[tokio::test]
async fn a_composition_is_cancelled_with_all_its_parts() {
    let bench = bench();
    let held = step("held", json!({"count": 3, "hold": 1}));
    let sequence = Work::Sequential {
        pipelines: vec![held, good("b")],
        stop_on_error: false,
    };
    let whole = Which::Given(Arc::new(pipeline("whole", sequence)));
    let run = bench.engine.submit(Trigger::of(whole)).await.unwrap();
    bench.world.until("source holds", 1).await;
    assert_eq!(bench.engine.cancel(&run), Some(true));
    let run = bench.ended(&run).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(parts(&bench, &run), [("held".into(), RunState::Cancelled)]);
}

fn parallel_of(name: &str, steps: Vec<Step>) -> Pipeline {
    let work = Work::Parallel {
        pipelines: steps,
        max_workers: None,
        on_error: OnError::Collect,
    };
    pipeline(name, work)
}

/// A bench with pipelines `l0` to `l2`, each made of ten of the next, the last of ten that hold.
async fn levels(options: RunOptions) -> Bench {
    let bench = bench_with(options);
    let held = Pipeline {
        id: id("l3"),
        ..flow(json!({"count": 3, "hold": 1}), &[], &[json!({})])
    };
    bench.engine.register(held, "l3").await.unwrap();
    for level in (0..3).rev() {
        let next = format!("l{}", level + 1);
        let steps = (0..10).map(|_| Step::from(id(&next))).collect();
        let name = format!("l{level}");
        let pipeline = parallel_of(&name, steps);
        bench.engine.register(pipeline, &name).await.unwrap();
    }
    bench
}

#[tokio::test]
async fn parts_wait_as_plans_and_not_as_runs() {
    let options = RunOptions {
        at_once: NonZeroUsize::new(2).unwrap(),
        queue: 2,
        ..RunOptions::default()
    };
    let bench = levels(options).await;
    let run = bench
        .engine
        .submit(Trigger::of(Which::Named(id("l0"))))
        .await
        .unwrap();
    bench.world.until("source holds", 2).await;
    let under_way = bench.engine.runs(&RunFilter::default(), 2_000).len();
    assert!(under_way <= 1 + 2 + 4 + 8, "{under_way} runs");
    // Others find room.
    let other = flow(json!({"count": 3}), &[], &[json!({})]);
    let trigger = Trigger::of(Which::Given(Arc::new(other)));
    let other = bench.engine.submit(trigger).await.unwrap();
    assert_eq!(bench.engine.cancel(&run), Some(true));
    assert_eq!(bench.ended(&run).await.state, RunState::Cancelled);
    assert_eq!(bench.ended(&other).await.state, OK);
    let runs = bench.engine.runs(&RunFilter::default(), 2_000);
    assert!(runs.iter().all(|r| r.state.is_over()), "{runs:?}");
    assert!(runs.len() <= 2 + 2 + 4 + 8, "none is begun after the end");
}

#[tokio::test]
async fn a_whole_has_only_so_many_parts() {
    let options = RunOptions {
        parts: NonZeroUsize::new(120).unwrap(),
        ..RunOptions::default()
    };
    // Known before: 10 + 100 fit, another level does not.
    let bench = bench_with(options);
    let leaf = Pipeline {
        id: id("leaf"),
        ..flow(json!({"count": 1}), &[], &[json!({})])
    };
    bench.engine.register(leaf, "leaf").await.unwrap();
    for (name, next) in [("ten", "leaf"), ("hundred", "ten")] {
        let steps = (0..10).map(|_| Step::from(id(next))).collect();
        let added = bench.engine.register(parallel_of(name, steps), name).await;
        added.unwrap();
    }
    let steps = (0..10).map(|_| Step::from(id("hundred"))).collect();
    let refused = bench.engine.register(parallel_of("all", steps), "all");
    let said = refused.await.unwrap_err().to_string();
    assert!(said.contains("comes to 1110 runs"), "{said}");
    assert!(said.contains("at most 120"), "{said}");
    // What was registered may grow.
    let grown = parallel_of("leaf", (0..10).map(|_| good("a")).collect());
    bench.engine.replace(grown, "grown").await.unwrap();
    let hundred = Trigger::of(Which::Named(id("hundred")));
    let said = bench.engine.submit(hundred).await.unwrap_err().to_string();
    assert!(said.contains("comes to 1110 runs"), "{said}");
    // Known only when it runs: the whole fails for it, also where failures are ignored.
    let retried = Work::Retry {
        pipeline: Box::new(bad("b")),
        backoff: Backoff {
            max_retries: 1_000,
            first: std::time::Duration::ZERO,
            ..Backoff::default()
        },
    };
    let run = bench.run(pipeline("again", retried)).await;
    assert_eq!(run.state, FAILED);
    assert_eq!(run.children.len(), 120);
    assert!(
        run.error[0].contains("has come to 120 runs"),
        "{:?}",
        run.error
    );
}

#[tokio::test]
async fn a_part_that_cannot_begin_fails_the_whole() {
    let options = RunOptions {
        parts: NonZeroUsize::new(3).unwrap(),
        ..RunOptions::default()
    };
    let twice = || {
        let mut inner = flow(json!({"count": 3, "transient": 1}), &[], &[json!({})]);
        inner.errors.retry.max_retries = 0;
        inner.id = id("twice");
        let work = Work::Retry {
            pipeline: Box::new(Step::Inline(Box::new(inner))),
            backoff: Backoff {
                first: std::time::Duration::ZERO,
                ..Backoff::default()
            },
        };
        Step::Inline(Box::new(pipeline("retried", work)))
    };
    for on_error in [OnError::Collect, OnError::Ignore, OnError::FailFast] {
        let bench = bench_with(options);
        let work = Work::Parallel {
            pipelines: vec![twice(), good("never")],
            max_workers: NonZeroU32::new(1),
            on_error,
        };
        let whole = Which::Given(Arc::new(pipeline("whole", work)));
        let run = bench.run_with(Trigger::of(whole)).await;
        assert_eq!(run.state, FAILED, "{on_error:?} {run:?}");
        let said = run.error.join("; ");
        assert!(said.contains("has come to 3 runs"), "{on_error:?} {said}");
        assert_eq!(run.children.len(), 1);
    }
}

#[tokio::test]
async fn named_parts_get_what_they_are_given() {
    let bench = bench();
    let parameter = |name: &str| Parameter {
        name: name.into(),
        schema: json!({"type": "integer"}),
        default: Some(json!(1)),
    };
    let inner = Pipeline {
        id: id("inner"),
        parameters: vec![parameter("n")],
        ..flow(json!({"count": "{{params.n}}"}), &[], &[json!({})])
    };
    bench.engine.register(inner, "inner").await.unwrap();
    let whole = Pipeline {
        parameters: vec![parameter("n"), parameter("m")],
        ..pipeline(
            "whole",
            Work::Sequential {
                pipelines: vec![
                    Step::from(id("inner")),
                    Step::named(id("inner"), given(&json!({"n": "{{params.n}}"}))),
                ],
                stop_on_error: true,
            },
        )
    };
    let mut trigger = Trigger::of(Which::Given(Arc::new(whole)));
    trigger.parameters.insert("n".into(), json!(7));
    let run = bench.run_with(trigger).await;
    assert_eq!(run.state, OK, "{run:?}");
    // 1 by its own default, not the 7 of the whole by its name; then 7, for it is given.
    let counts = run.children.iter().map(|part| {
        let part = bench.engine.run(part).unwrap();
        part.stages[0].records_out
    });
    assert_eq!(counts.collect::<Vec<_>>(), [1, 7]);
    let wrong = |parameters: Value| {
        let step = Step::named(id("inner"), given(&parameters));
        bench
            .engine
            .register(parallel_of("wrong", vec![step]), "wrong")
    };
    for (parameters, words) in [
        (json!({"n": "x"}), "`n` is \"x\""),
        (json!({"o": 1}), "no parameter \"o\""),
    ] {
        let said = wrong(parameters).await.unwrap_err().to_string();
        assert!(
            said.contains("pipeline inner: ") && said.contains(words),
            "{said}"
        );
    }
    // One that is not there is known before anything begins.
    let missing = Work::Sequential {
        pipelines: vec![good("a"), id("gone").into()],
        stop_on_error: true,
    };
    let run = bench.run(pipeline("whole", missing)).await;
    assert_eq!(run.error, ["there is no such pipeline", "pipeline gone"]);
    assert!(run.children.is_empty());
}

fn given(values: &Value) -> serde_json::Map<String, Value> {
    values.as_object().cloned().unwrap()
}

#[tokio::test]
async fn named_parts_keep_their_timescope() {
    let bench = bench();
    let every = |period| Timescope::Every {
        period,
        zone: "UTC".into(),
    };
    for (name, timescope) in [
        ("day", Some(every(Period::Day))),
        ("month", Some(every(Period::Month))),
        ("none", None),
    ] {
        let part = Pipeline {
            id: id(name),
            timescope,
            ..flow(json!({"count": 1}), &[], &[json!({})])
        };
        bench.engine.register(part, name).await.unwrap();
    }
    let steps = ["day", "month", "none"].map(|name| id(name).into());
    let whole = Pipeline {
        timescope: Some(every(Period::Month)),
        ..parallel_of("whole", steps.into())
    };
    let mut trigger = Trigger::of(Which::Given(Arc::new(whole)));
    trigger.window = Some("2026-02".into());
    let run = bench.run_with(trigger).await;
    let windows = run.children.iter().map(|id| bench.engine.run(id).unwrap());
    let mut labels: Vec<_> = windows
        .map(|r| (r.pipeline.to_string(), r.window.unwrap().label))
        .collect();
    labels.sort();
    assert_eq!(labels[0].1.len(), "2026_02_28".len(), "{labels:?}");
    assert_eq!(labels[1], ("month".into(), "2026_02".into()));
    assert_eq!(labels[2], ("none".into(), "2026_02".into()));
}

#[tokio::test]
async fn a_backfill_runs_each_window_in_order() {
    let bench = bench();
    let mut spec = flow(
        json!({"count": 2, "day": "{{timescope}}"}),
        &[],
        &[json!({})],
    );
    spec.timescope = Some(Timescope::Every {
        period: Period::Day,
        zone: "UTC".into(),
    });
    bench.engine.register(spec, "p").await.unwrap();
    let mut backfill = Backfill {
        pipeline: id("p"),
        from: "2026-02-27".into(),
        to: "2026-03-02".into(),
        parallel: NonZeroUsize::MIN,
        stop_on_error: true,
        parameters: serde_json::Map::new(),
        dry_run: false,
    };
    let run = bench.engine.backfill(&backfill).await.unwrap();
    let run = bench.ended(&run).await;
    assert_eq!(run.state, OK, "{run:?}");
    let windows: Vec<_> = run
        .children
        .iter()
        .map(|id| bench.engine.run(id).unwrap())
        .map(|r| (r.window.unwrap().label, r.started_by))
        .collect();
    let days = ["2026_02_27", "2026_02_28", "2026_03_01", "2026_03_02"];
    assert_eq!(windows, days.map(|d| (d.to_owned(), Started::Backfill)));
    let whole = run.window.unwrap();
    assert_eq!(whole.label, "2026_02_27..2026_03_02");
    backfill.to = "2026-02-01".into();
    let error = bench.engine.backfill(&backfill).await.unwrap_err();
    assert!(error.to_string().contains("2026-02-01"), "{error}");
}
