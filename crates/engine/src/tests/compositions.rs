//! Runs made of runs: sequences, parallels, conditions, retries, backfills.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use model::pipeline::{Backoff, OnError, Parameter, Period, Pipeline, Step, Timescope, Work};
use model::run::{RunRecord, RunState, Started};
use serde_json::{Value, json};

use super::stages::{Bench, bench, flow, id, pipeline};
use crate::{Backfill, Trigger, Which};

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
    check(parallel(mixed(), OnError::Ignore), OK, &all).await;
    let none = vec![bad("a"), bad("b")];
    check(
        parallel(none, OnError::Ignore),
        FAILED,
        &[("a", FAILED), ("b", FAILED)],
    )
    .await;
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

#[tokio::test]
async fn named_parts_get_the_parameters_they_have() {
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
                pipelines: vec![Step::Named(id("inner"))],
                stop_on_error: true,
            },
        )
    };
    let mut trigger = Trigger::of(Which::Given(Arc::new(whole)));
    trigger.parameters.insert("n".into(), json!(7));
    let run = bench.run_with(trigger).await;
    assert_eq!(run.state, OK, "{run:?}");
    assert_eq!(bench.seen.taken("s0").len(), 7);
    // One that is not there is known before anything begins.
    let missing = Work::Sequential {
        pipelines: vec![good("a"), Step::Named(id("gone"))],
        stop_on_error: true,
    };
    let run = bench.run(pipeline("whole", missing)).await;
    assert_eq!(run.error, ["there is no pipeline gone"]);
    assert!(run.children.is_empty());
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
    let run = bench.engine.backfill(&backfill).unwrap();
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
    let error = bench.engine.backfill(&backfill).unwrap_err();
    assert!(error.to_string().contains("2026-02-01"), "{error}");
}
