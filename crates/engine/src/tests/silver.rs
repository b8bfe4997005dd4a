//! Which runs keep cleaned records, and what of a run that fails: with a real store and real files.

use model::pipeline::Pipeline;
use model::run::{RunId, RunState, Started};
use serde_json::{Value, json};

use super::delivery::{Kept, counts, impatient, incremental};
use super::stages::{flow, id, report};
use crate::Trigger;

fn silver(mut pipeline: Pipeline) -> Pipeline {
    pipeline.persistence.silver = true;
    pipeline
}

fn one(sink: Value) -> Pipeline {
    silver(flow(counts(40), &[], &[sink]))
}

/// The runs with files, one for each file.
async fn files(kept: &Kept) -> Vec<RunId> {
    let files = kept.bench.engine.silver_files(&id("p")).await.unwrap();
    let runs = files.iter().map(|file| {
        assert!(file.bytes > 0 && file.day == "1970-01-01", "{file:?}");
        let name = file.name.strip_suffix(".parquet").unwrap();
        name.parse().unwrap()
    });
    runs.collect()
}

/// A run that ends in this state; has it a file?
async fn check(pipeline: &Pipeline, change: impl FnOnce(&mut Trigger), state: RunState) -> bool {
    let kept = Kept::with(pipeline).await;
    let run = kept.submit(change).await;
    let record = kept.over(&run).await;
    assert_eq!(record.state, state, "{record:#?}");
    let files = files(&kept).await;
    let is_kept = files == [run];
    assert!(is_kept || files.is_empty(), "{files:?}");
    let stage = record.stages.iter().find(|s| s.name == "silver");
    if let Some(stage) = stage.filter(|_| is_kept) {
        let count = report(&record, "source").records_out;
        assert_eq!((stage.kind.as_str(), stage.records_out), ("silver", count));
    }
    assert!(stage.is_some() || !is_kept, "{record:#?}");
    is_kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_runs_of_pipelines_that_want_it_are_kept() {
    use RunState::{Partial, Succeeded};
    assert!(check(&one(json!({})), |_| {}, Succeeded).await);
    assert!(check(&incremental(one(json!({}))), |_| {}, Succeeded).await);
    let rejecting = one(json!({"reject": 10}));
    assert!(check(&rejecting, |_| {}, Partial).await);
    let without = flow(counts(40), &[], &[json!({})]);
    assert!(!check(&without, |_| {}, Succeeded).await);
    assert!(!check(&one(json!({})), |t| t.dry_run = true, Succeeded).await);
    assert!(!check(&one(json!({})), |t| t.limit = Some(5), Succeeded).await);
    let preview = |t: &mut Trigger| t.preview = Some(5);
    assert!(!check(&one(json!({})), preview, Succeeded).await);
    // As `weir run` has it: of no version.
    let given = one(json!({}));
    let kept = Kept::new();
    assert_eq!(kept.bench.run(given).await.state, Succeeded);
    assert_eq!(files(&kept).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_run_that_fails_nothing_is_kept() {
    use RunState::{Failed, Partial};
    // As without silver, a run fails when the only sink that its spec names gives up.
    let hopeless = one(json!({"invalid": "no", "from": 20}));
    assert!(!check(&hopeless, |_| {}, Failed).await);
    let whole = |options: Value| {
        let sinks = [json!({}), options];
        impatient(silver(flow(counts(40), &[], &sinks)))
    };
    let at_its_end = whole(json!({"whole": true, "finish": {"transient": 9}}));
    assert!(!check(&at_its_end, |_| {}, Failed).await);
    let on_its_way = whole(json!({"whole": true, "invalid": "no", "from": 20}));
    assert!(!check(&on_its_way, |_| {}, Failed).await);
    // What one sink gave up on beside others is delivered later; it was cleaned now.
    let beside = whole(json!({"invalid": "no", "from": 20}));
    assert!(check(&beside, |_| {}, Partial).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_taken_up_again_has_one_file() {
    let source = json!({"count": 200, "cursors": true, "hold": 151});
    let pipeline = silver(flow(source, &[], &[json!({})]));
    let mut kept = Kept::with(&pipeline).await;
    let run = kept.submit(|t| t.started_by = Started::Schedule).await;
    kept.until("what the other sink has is kept", async || {
        let (_, sinks) = kept.checkpoint(&format!("run:{run}")).await?;
        (sinks["sinks"]["s0"]["past"] == 150).then_some(())
    })
    .await;
    assert_eq!(files(&kept).await, []);
    kept.crash(&pipeline, &run).await;
    kept.world.hold.add_permits(2);
    let record = kept.over(&run).await;
    assert_eq!(record.state, RunState::Succeeded, "{record:#?}");
    assert_eq!(report(&record, "silver").records_out, 200);
    assert_eq!(kept.seen("s0"), 200, "nothing twice");
    assert_eq!(files(&kept).await, [run]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_come_to_the_sinks_for_the_first_time_are_kept_then() {
    let sinks = [json!({"reject": 7})];
    let bad = silver(flow(counts(40), &[json!({"reject": 10})], &sinks));
    let kept = Kept::with(&bad).await;
    let record = kept.run().await;
    assert_eq!(report(&record, "silver").records_out, 36);
    assert_eq!(files(&kept).await.len(), 1);
    kept.register(&one(json!({})).clone()).await;
    // Of the sink: it has had them.
    assert_eq!(kept.redrive(Some("s0"), &[]).await, [RunState::Succeeded]);
    assert_eq!(files(&kept).await.len(), 1);
    // Of the transform.
    let good = silver(flow(counts(40), &[json!({})], &[json!({})]));
    kept.register(&good).await;
    assert_eq!(kept.redrive(Some("t0"), &[]).await, [RunState::Succeeded]);
    assert_eq!(files(&kept).await.len(), 2);
}
