//! Runs of flows: order, counts, policies, retries, failures, cancelling, plugins, hooks. Compositions are in `compositions`.

use std::sync::Arc;

use model::pipeline::{OnReject, StageKind, Threshold, Work};
use model::run::RunState;
use serde_json::{Map, Value, json};

use super::stages::{
    bench, bench_with, conserved, flow, id, pipeline, report, source, stage, without,
};
use model::store::RunFilter;

use crate::{Engine, RegisterError, RunOptions, SubmitError, Trigger, Which};

#[tokio::test]
async fn records_go_through_in_order_and_are_counted() {
    let sees_all = json!({"sees_all": true});
    let cases: [&[Value]; 6] = [
        &[],
        &[json!({})],
        &[json!({}), sees_all.clone(), json!({})],
        &[sees_all.clone(), json!({})],
        &[json!({}), json!({}), sees_all.clone(), sees_all],
        &[json!({"leave_out": 3}), json!({"reject": 5})],
    ];
    for transforms in cases {
        let bench = bench();
        let run = bench
            .run(flow(source(237), transforms, &[json!({}), json!({})]))
            .await;
        let sieved = transforms
            .first()
            .is_some_and(|t| t.get("leave_out").is_some());
        let want = without(237, |n| sieved && (n % 3 == 0 || n % 5 == 0));
        for sink in ["s0", "s1"] {
            assert_eq!(bench.seen.taken(sink), want, "{transforms:?}");
            assert!(bench.seen.is_finished(sink));
            assert_eq!(report(&run, sink).records_out, want.len() as u64);
        }
        let state = if sieved {
            RunState::Partial
        } else {
            RunState::Succeeded
        };
        assert_eq!(run.state, state, "{run:?}");
        assert_eq!(report(&run, "source").records_out, 237);
        conserved(&run);
        let alive = bench.seen.alive.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(alive, 0, "transformers are let go");
    }
}

#[tokio::test]
async fn what_is_held_back_comes_at_the_end_and_once() {
    for sees_all in [false, true] {
        let bench = bench();
        let hold = json!({"hold_back": true, "sees_all": sees_all});
        let after = json!({"leave_out": 4});
        let run = bench
            .run(flow(source(95), &[json!({}), hold, after], &[json!({})]))
            .await;
        let mut taken = bench.seen.taken("s0");
        if !sees_all {
            taken.sort_unstable();
        }
        assert_eq!(taken, without(95, |n| n % 4 == 0), "{run:?}");
        assert_eq!(run.state, RunState::Succeeded);
        conserved(&run);
    }
}

#[tokio::test]
async fn a_stage_that_breaks_its_word_ends_the_run_and_nothing_appears() {
    let check = |source: Value, transform: Value, said: &'static str| async move {
        let bench = bench();
        let run = bench
            .run(flow(source, &[transform], &[json!({}), json!({})]))
            .await;
        assert_eq!(run.state, RunState::Failed, "{said}");
        let error = run.error.join(" | ");
        assert!(error.contains(said), "{error}");
        assert!(!bench.seen.is_finished("s0") && !bench.seen.is_finished("s1"));
    };
    check(
        source(30),
        json!({"lie": "more"}),
        "11 records and 0 rejects for 10 records",
    )
    .await;
    check(
        source(30),
        json!({"lie": "place"}),
        "rejected record 10 of 10",
    )
    .await;
    check(
        source(30),
        json!({"lie": "twice"}),
        "rejected record 0 twice",
    )
    .await;
    check(
        source(30),
        json!({"lie": "less"}),
        "returned 0 of them at the end",
    )
    .await;
    check(
        json!({"count": 30, "greedy": true}),
        json!({}),
        "11 records where at most 10",
    )
    .await;
    check(source(30), json!({"panic": true}), "transform panics").await;
    check(
        json!({"count": 30, "panic": true}),
        json!({}),
        "source panics",
    )
    .await;
    check(
        source(30),
        json!({"invalid": "no such column"}),
        "transform t0 (test)",
    )
    .await;
}

#[tokio::test]
async fn rejects_are_numbered_kept_and_bounded_by_policy() {
    let bench = bench();
    let mut spec = flow(
        json!({"count": 60, "unreadable": 20}),
        &[json!({"leave_out": 2}), json!({"reject": 7})],
        &[json!({"reject": 11})],
    );
    let run = bench.run(spec.clone()).await;
    assert_eq!(run.state, RunState::Partial);
    conserved(&run);
    let got: Vec<_> = bench.engine.rejects(&run.id).unwrap();
    let of = |stage: &str| -> Vec<u64> {
        got.iter()
            .filter(|r| r.stage == stage)
            .map(|r| r.number)
            .collect()
    };
    assert_eq!(of("source"), [20, 40, 60]);
    // Of the odd numbers 1, 3, 5, .. the multiples of 7 are the 4th, 11th, ..
    assert_eq!(of("t1"), [4, 11, 18, 25]);
    assert_eq!(
        got.iter().find(|r| r.stage == "t1").unwrap().record,
        r#"{"n":7}"#
    );
    // 11, 33 and 55 among what is left: 1 3 5 9 11 ..
    assert_eq!(of("s0"), [5, 15, 24]);
    let file = std::fs::read_to_string(run.rejects_file.as_ref().unwrap()).unwrap();
    assert_eq!(file.lines().count(), 10);
    assert!(
        file.contains(r#""stage":"t1","number":4,"reason":"bad number","record":"{\"n\":7}""#),
        "{file}"
    );

    spec.persistence.rejects = false;
    assert_eq!(bench.run(spec).await.rejects_file, None);
}

#[tokio::test]
async fn policies_of_rejects() {
    let check = |policy: OnReject, most: Option<Threshold>, state: RunState, taken: usize| async move {
        let bench = bench();
        let mut spec = flow(source(100), &[json!({"reject": 25})], &[json!({})]);
        spec.errors.on_reject = policy;
        spec.errors.max_rejects = most;
        let run = bench.run(spec).await;
        assert_eq!(run.state, state, "{policy:?} {most:?} {:?}", run.error);
        if state == RunState::Failed {
            assert!(!bench.seen.is_finished("s0"));
        } else {
            conserved(&run);
            assert_eq!(bench.seen.taken("s0").len(), taken);
        }
        run
    };
    let (reject, skip, fail) = (OnReject::Reject, OnReject::SkipBatch, OnReject::Fail);
    check(reject, None, RunState::Partial, 96).await;
    check(reject, Some(Threshold::Count(4)), RunState::Partial, 96).await;
    let run = check(reject, Some(Threshold::Count(3)), RunState::Failed, 0).await;
    assert!(
        run.error[0].contains("max_rejects allows 3"),
        "{:?}",
        run.error
    );
    check(reject, Some(Threshold::Percent(4.0)), RunState::Partial, 96).await;
    check(reject, Some(Threshold::Percent(3.9)), RunState::Failed, 0).await;
    // One of the first 150 is more than 0.6 %, but not of all 299.
    let bench = bench();
    let mut spec = flow(source(299), &[json!({"reject": 150})], &[json!({})]);
    spec.errors.max_rejects = Some(Threshold::Percent(0.6));
    assert_eq!(bench.run(spec).await.state, RunState::Partial);
    let run = check(skip, None, RunState::Partial, 60).await;
    assert_eq!(report(&run, "t0").rejected, 40);
    let run = check(fail, None, RunState::Failed, 0).await;
    assert_eq!(run.error[0], "bad number");
    assert!(
        run.error[1].contains("stage t0 rejected record 25"),
        "{:?}",
        run.error
    );
}

#[tokio::test]
async fn a_step_that_may_work_later_is_tried_again() {
    for stages in [
        (json!({"count": 20, "transient": 2}), json!({}), json!({})),
        (source(20), json!({"transient": 2}), json!({})),
        (source(20), json!({}), json!({"transient": 2})),
        (source(20), json!({}), json!({"finish": {"transient": 2}})),
        (source(20), json!({}), json!({"open": {"transient": 2}})),
    ] {
        let bench = bench();
        let said = format!("{stages:?}");
        let (source, transform, sink) = stages;
        let run = bench.run(flow(source, &[transform], &[sink])).await;
        assert_eq!(run.state, RunState::Succeeded, "{said} {run:?}");
        assert_eq!(bench.seen.taken("s0"), without(20, |_| false));
        let retries: u64 = run.stages.iter().map(|s| s.retries).sum();
        assert_eq!(retries, 2, "{said}");
        assert_eq!(
            bench.seen.waits.lock().unwrap().first(),
            Some(&1_000),
            "{said}"
        );
    }
    let bench = bench();
    let run = bench
        .run(flow(
            json!({"count": 20, "transient": 9, "after": 5_000}),
            &[],
            &[json!({})],
        ))
        .await;
    assert_eq!(run.state, RunState::Failed);
    assert!(
        run.error[0].contains("not now (after 4 tries)"),
        "{:?}",
        run.error
    );
    assert_eq!(*bench.seen.waits.lock().unwrap(), [5_000, 5_000, 5_000]);
}

#[tokio::test]
async fn a_failing_sink_holds_up_no_other_and_loses_nothing() {
    // For a while: what comes meanwhile waits on disk.
    let bench = bench();
    let run = bench
        .run(flow(
            source(500),
            &[],
            &[json!({"transient": 3}), json!({})],
        ))
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(bench.seen.taken("s0"), without(500, |_| false));
    let keys = bench.seen.keys.lock().unwrap().clone();
    assert!(keys.contains(&format!("{}/s0/1", run.id)), "{keys:?}");
    // For good: the rest is kept, the run is partial.
    for gone in [
        json!({"transient": 99, "from": 101}),
        json!({"invalid": "no", "from": 101}),
        json!({"open": {"transient": 9}}),
    ] {
        let run = bench
            .run(flow(source(500), &[], &[gone.clone(), json!({})]))
            .await;
        assert_eq!(run.state, RunState::Partial, "{gone} {run:?}");
        assert_eq!(bench.seen.taken("s1").len(), 500);
        assert!(
            !bench.seen.is_finished("s0"),
            "a sink that gave up shows nothing as a whole"
        );
        let from = if gone.get("open").is_some() { 0 } else { 100 };
        let report = report(&run, "s0");
        assert_eq!(
            (report.records_out, report.undelivered),
            (from, 500 - from),
            "{gone}"
        );
        let kept = std::fs::read_to_string(report.undelivered_file.as_ref().unwrap()).unwrap();
        assert_eq!(kept.lines().count() as u64, 500 - from);
        assert_eq!(
            kept.lines().next().unwrap(),
            format!(r#"{{"n":{}}}"#, from + 1)
        );
        conserved(&run);
    }
    // All of them: the run fails.
    let gone = json!({"invalid": "no such table"});
    let run = bench
        .run(flow(source(500), &[], &[gone.clone(), gone]))
        .await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.error[0].contains("no such table"), "{:?}", run.error);
    // More than may be kept.
    let mut spec = flow(source(500), &[], &[json!({"invalid": "no"}), json!({})]);
    spec.limits.spill_bytes = 100;
    bench.seen.taken.lock().unwrap().clear();
    let run = bench.run(spec).await;
    assert_eq!(run.state, RunState::Partial, "{run:?}");
    assert_eq!(bench.seen.taken("s1").len(), 500);
    assert_eq!(report(&run, "s0").undelivered, 500);
    let lines = run
        .log
        .iter()
        .filter(|l| l.message.contains("limits.spill_bytes"));
    assert_eq!(lines.count(), 1, "{:?}", run.log);
    conserved(&run);
}

#[tokio::test]
async fn a_window_needs_a_timescope() {
    let bench = bench();
    let mut trigger = Trigger::of(Which::Given(Arc::new(flow(source(1), &[], &[json!({})]))));
    trigger.window = Some("2026".into());
    let said = bench.engine.submit(trigger).await.unwrap_err().to_string();
    assert!(
        said.contains("/window: the pipeline has no timescope"),
        "{said}"
    );
}

#[tokio::test]
async fn a_run_is_cancelled_wherever_it_stands() {
    let bench = bench_with(RunOptions {
        at_once: std::num::NonZeroUsize::MIN,
        queue: 1,
        ..RunOptions::default()
    });
    let submit = |spec| {
        bench
            .engine
            .submit(Trigger::of(Which::Given(Arc::new(spec))))
    };
    let held = flow(source(50), &[], &[json!({"hold": true})]);
    let first = submit(held.clone()).await.unwrap();
    bench.world.until("s0 holds", 1).await;
    let second = submit(held.clone()).await.unwrap();
    assert_eq!(bench.engine.run(&second).unwrap().state, RunState::Queued);
    assert!(matches!(
        submit(held).await,
        Err(SubmitError::Busy {
            waiting: 1,
            most: 1
        })
    ));
    assert_eq!(bench.engine.cancel(&second), Some(true));
    assert_eq!(bench.ended(&second).await.state, RunState::Cancelled);
    assert_eq!(bench.engine.cancel(&first), Some(true));
    assert_eq!(bench.ended(&first).await.state, RunState::Cancelled);
    assert!(!bench.seen.is_finished("s0"));
    assert_eq!(bench.engine.cancel(&first), Some(false));
    // Its deadline does the same, and is a failure.
    let mut late = flow(json!({"count": 50, "hold": 1}), &[], &[json!({})]);
    late.limits.deadline = Some(std::time::Duration::from_millis(20));
    let run = bench.run(late).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.error[0].contains("limits.deadline"), "{:?}", run.error);
}

#[tokio::test]
async fn a_shutdown_ends_runs_and_takes_no_new_ones() {
    let bench = bench();
    let spec = flow(json!({"count": 50, "hold": 1}), &[], &[json!({})]);
    let trigger = Trigger::of(Which::Given(Arc::new(spec)));
    let run = bench.engine.submit(trigger.clone()).await.unwrap();
    bench.world.until("source holds", 1).await;
    bench
        .engine
        .shutdown(std::time::Duration::from_secs(20))
        .await;
    assert_eq!(bench.ended(&run).await.state, RunState::Cancelled);
    let refused = bench.engine.submit(trigger).await;
    assert!(matches!(refused, Err(SubmitError::ShuttingDown)));
}

#[tokio::test]
async fn limit_preview_and_dry_run() {
    let bench = bench();
    let spec = flow(source(1_000), &[json!({"leave_out": 2})], &[json!({})]);
    let mut trigger = Trigger::of(Which::Given(Arc::new(spec)));
    trigger.limit = Some(25);
    trigger.preview = Some(3);
    trigger.dry_run = true;
    let run = bench.run_with(trigger).await;
    assert_eq!(run.state, RunState::Succeeded);
    assert!(run.dry_run && bench.seen.taken.lock().unwrap().is_empty());
    assert_eq!(report(&run, "source").records_out, 25);
    assert_eq!(
        (
            report(&run, "s0").records_in,
            report(&run, "s0").records_out
        ),
        (13, 0)
    );
    let preview = bench.engine.preview(&run.id).unwrap();
    let rows: Vec<_> = preview
        .iter()
        .map(|p| (p.stage.as_str(), json!(p.rows)))
        .collect();
    let of = |numbers: [u64; 3]| json!(numbers.map(|n| json!({"n": n})));
    assert_eq!(
        rows,
        [
            ("source", of([1, 2, 3])),
            ("t0", of([1, 3, 5])),
            ("s0", of([1, 3, 5]))
        ]
    );
}

#[tokio::test]
async fn parameters_windows_and_references_fill_options() {
    let bench = bench();
    let mut spec = flow(
        json!({"count": "{{params.count}}", "day": "{{timescope}}", "who": "${env:SECRET}"}),
        &[],
        &[json!({"table": "{{pipeline.id}}_{{params.name}}"})],
    );
    let parameter =
        |name: &str, schema: Value, default: Option<Value>| model::pipeline::Parameter {
            name: name.into(),
            schema,
            default,
        };
    spec.parameters = vec![
        parameter("count", json!({"type": "integer", "minimum": 1}), None),
        parameter("name", json!({"type": "string"}), Some(json!("x"))),
    ];
    spec.timescope = Some(model::pipeline::Timescope::Every {
        period: model::pipeline::Period::Day,
        zone: "UTC".into(),
    });
    let spec = Arc::new(spec);
    let with = |parameters: Value, window: Option<&str>| Trigger {
        parameters: parameters.as_object().unwrap().clone(),
        window: window.map(Into::into),
        ..Trigger::of(Which::Given(Arc::clone(&spec)))
    };
    for (bad, window, said) in [
        (json!({}), None, "`count` is needed"),
        (json!({"count": 0}), None, "at least 1 is allowed"),
        (json!({"count": "3"}), None, "a whole number is allowed"),
        (
            json!({"count": 3, "nam": 1}),
            None,
            "did you mean \"name\"?",
        ),
        (json!({"count": 3}), Some("yesterday"), "yesterday"),
    ] {
        let error = bench
            .engine
            .submit(with(bad, window))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
    }
    let run = bench
        .run_with(with(json!({"count": 12}), Some("2026-11-22")))
        .await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(run.window.unwrap().label, "2026_11_22");
    let configs = bench.seen.configs.lock().unwrap().clone();
    assert_eq!(
        configs[0],
        json!({"count": 12, "day": "2026_11_22", "who": "hidden"})
    );
    assert_eq!(configs[1]["table"], "p_x");
}

#[tokio::test]
async fn another_pipelines_output_is_a_source() {
    let bench = bench();
    let inner = flow(source(40), &[json!({"leave_out": 2})], &[json!({})]);
    let inner = model::pipeline::Pipeline {
        id: id("inner"),
        ..inner
    };
    bench.engine.register(inner, "inner").await.unwrap();
    let mut outer = flow(source(0), &[json!({"leave_out": 3})], &[json!({})]);
    let Work::Flow(outer_flow) = &mut outer.work else {
        unreachable!()
    };
    outer_flow.source.kind = StageKind::Pipeline(id("inner"));
    let run = bench.run(outer.clone()).await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(
        bench.seen.taken("s0"),
        without(40, |n| n % 2 == 0 || n % 3 == 0)
    );
    let names: Vec<_> = run.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["inner/source", "inner/t0", "t0", "s0"]);
    // A circle is refused when it is registered.
    outer.id = id("inner");
    let error = bench.engine.replace(outer, "circle").await.unwrap_err();
    assert!(error.to_string().contains("inner -> inner"), "{error}");
}

#[tokio::test]
async fn pipelines_are_registered_with_versions_and_runs_keep_theirs() {
    let bench = bench();
    let spec = |sink: Value| flow(json!({"count": 5, "hold": 1}), &[], &[sink]);
    let engine = &bench.engine;
    assert!(matches!(
        engine.replace(spec(json!({})), "a").await,
        Err(RegisterError::NotFound(_))
    ));
    let misfit = engine
        .register(spec(json!({"misfit": 1})), "a")
        .await
        .unwrap_err();
    assert_eq!(misfit.to_string(), "/sinks/0/misfit: it does not fit");
    assert_eq!(
        engine.register(spec(json!({"v": 1})), "a").await.unwrap(),
        1
    );
    assert!(matches!(
        engine.register(spec(json!({})), "a").await,
        Err(RegisterError::Exists(_))
    ));
    let run = engine
        .submit(Trigger::of(Which::Named(id("p"))))
        .await
        .unwrap();
    bench.world.until("source holds", 1).await;
    assert_eq!(
        engine.replace(spec(json!({"v": 1})), "a").await.unwrap(),
        1,
        "nothing new"
    );
    assert_eq!(engine.replace(spec(json!({"v": 2})), "b").await.unwrap(), 2);
    bench.world.hold.add_permits(1);
    assert_eq!(bench.ended(&run).await.version, 1);
    assert_eq!(bench.seen.configs.lock().unwrap()[1]["v"], 1);
    assert!(engine.remove(&id("p")) && !engine.remove(&id("p")));
    let gone = engine.submit(Trigger::of(Which::Named(id("p")))).await;
    assert!(matches!(gone, Err(SubmitError::NotFound(_))));
    assert_eq!(engine.register(spec(json!({})), "c").await.unwrap(), 3);
    let versions = engine.pipeline_versions(&id("p"));
    let texts: Vec<_> = versions.iter().map(|v| (v.version, &*v.source)).collect();
    assert_eq!(texts, [(1, "a"), (2, "b"), (3, "c")]);
}

#[tokio::test]
async fn runs_are_listed_followed_and_forgotten() {
    let bench = bench_with(RunOptions {
        history: std::num::NonZeroUsize::new(3).unwrap(),
        ..RunOptions::default()
    });
    let mut ids = Vec::new();
    for _ in 0..6 {
        let run = bench
            .run(flow(
                json!({"count": 3, "unreadable": 2}),
                &[],
                &[json!({})],
            ))
            .await;
        ids.push(run.id);
    }
    let listed = |filter: RunFilter, most| -> Vec<_> {
        bench
            .engine
            .runs(&filter, most)
            .into_iter()
            .map(|r| r.id)
            .collect()
    };
    let kept: Vec<_> = ids[3..].iter().rev().cloned().collect();
    assert_eq!(listed(RunFilter::default(), 10), kept);
    assert_eq!(listed(RunFilter::default(), 2), kept[..2]);
    let before = RunFilter {
        before: Some(kept[1].clone()),
        ..RunFilter::default()
    };
    assert_eq!(listed(before, 10), kept[2..]);
    let failed = RunFilter {
        state: Some(RunState::Failed),
        ..RunFilter::default()
    };
    assert!(listed(failed, 10).is_empty());
    let mut follow = bench.engine.follow_run(&kept[0]).unwrap();
    assert_eq!(follow.next().await.unwrap().state, RunState::Partial);
    assert!(follow.next().await.is_none());
    assert!(bench.engine.run(&ids[0]).is_none() && bench.engine.cancel(&ids[0]).is_none());
}

#[tokio::test]
async fn runs_are_told_and_counted() {
    let bench = bench();
    let bus = Arc::clone(bench.engine.bus());
    let since = bus.last();
    let run = bench
        .run(flow(source(20), &[json!({"reject": 7})], &[json!({})]))
        .await;
    let heard = bus.after(since, Arc::default(), 100).await;
    let topics: Vec<_> = heard.events.iter().map(|e| e.topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "weir.run.started",
            "weir.pipeline.p.data",
            "weir.run.finished"
        ]
    );
    let last: Map<String, Value> = serde_json::from_str(&heard.events[2].payload).unwrap();
    assert_eq!(
        (&last["state"], &last["records_out"]),
        (&json!("partial"), &json!(18))
    );
    assert_eq!(last["run_id"], run.id.as_str());
    let text = metrics(&bench.engine);
    for line in [
        r#"weir_runs_total{pipeline="p",state="partial"} 1"#,
        r#"weir_runs_under_way{state="running"} 0"#,
        r#"weir_run_duration_seconds_count{pipeline="p"} 1"#,
        r#"weir_run_records_total{pipeline="p",what="rejected"} 2"#,
        r#"weir_run_data_bytes_total{pipeline="p",what="in"} 171"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

fn metrics(engine: &Engine) -> String {
    let text = engine.metrics();
    let ours = text.lines().filter(|l| l.contains("weir_run"));
    ours.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_cannot_be_opened_fails_with_its_place() {
    let bench = bench();
    let check = |spec| async {
        let run = bench.run(spec).await;
        assert_eq!(run.state, RunState::Failed);
        run.error.join(" | ")
    };
    let mut named = pipeline(
        "p",
        Work::Flow(model::pipeline::Flow {
            source: stage("in", source(1)),
            transforms: Vec::new(),
            sinks: vec![stage("out", json!({"open": {"invalid": "no such folder"}}))],
            incremental: false,
        }),
    );
    let said = check(named.clone()).await;
    assert_eq!(said, "invalid: no such folder | sink out (test)");
    let Work::Flow(flow) = &mut named.work else {
        unreachable!()
    };
    flow.sinks[0] = stage("out", json!({"to": "${env:MISSING}"}));
    assert!(check(named).await.contains("env:MISSING is not there"));
}
