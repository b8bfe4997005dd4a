//! Delivery of runs that are kept in a real store, under a clock that is set by hand: attempts that go on where the one before ended, dead letters, circuits.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use model::pipeline::{Backoff, DeadLetters, Pipeline, Work};
use model::run::{RunId, RunRecord, RunState, Started};
use model::store::{Letter, LetterFilter, LetterId, LetterState, Purge};
use serde_json::{Value, json};

use super::kept::{Ground, register};
use super::stages::{Bench, flow, id, report};
use crate::{RedriveError, Trigger, Which};

/// A server, and what stays when it is gone.
pub(super) struct Kept {
    ground: Ground,
    pub(super) bench: Bench,
    /// Servers that have lost what they had.
    old: Vec<Bench>,
}

impl Deref for Kept {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Kept {
    pub(super) fn new() -> Self {
        let ground = Ground::new();
        let bench = ground.server("here");
        bench.engine.take_up_runs();
        Self {
            ground,
            bench,
            old: Vec::new(),
        }
    }

    pub(super) async fn with(pipeline: &Pipeline) -> Self {
        let kept = Self::new();
        kept.register(pipeline).await;
        kept
    }

    pub(super) async fn register(&self, pipeline: &Pipeline) {
        register(&self.bench, pipeline).await;
    }

    /// Another server takes over what this one had, as after a crash.
    pub(super) async fn crash(&mut self, pipeline: &Pipeline, run: &RunId) {
        let next = self.server("here");
        let old = std::mem::replace(&mut self.bench, next);
        self.register(pipeline).await;
        self.bench.engine.take_up_runs();
        // It had only been slow, and notices.
        let engine = Arc::clone(&old.engine);
        self.old.push(old);
        self.until("the slow server lets go", async || {
            engine
                .run(run)
                .is_none_or(|r| r.state.is_over())
                .then_some(())
        })
        .await;
    }

    pub(super) async fn submit(&self, change: impl FnOnce(&mut Trigger)) -> RunId {
        let mut trigger = Trigger::of(Which::Named(id("p")));
        change(&mut trigger);
        self.bench.engine.submit(trigger).await.unwrap()
    }

    pub(super) async fn run(&self) -> RunRecord {
        let run = self.submit(|_| {}).await;
        self.over(&run).await
    }

    async fn letters(&self) -> Vec<Letter> {
        let all = LetterFilter::of(id("p"));
        self.store.letters(all, 1_000).await.unwrap()
    }

    /// The dead letters that are not dealt with: stage, number in the record, is it undelivered?
    async fn waiting(&self) -> Vec<(String, String, bool)> {
        let letters = self.letters().await.into_iter();
        let open = letters.filter(|l| l.state != LetterState::Resolved);
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        open.map(|l| (l.new.stage, text(&l.new.original), l.new.undelivered))
            .collect()
    }

    pub(super) async fn checkpoint(&self, name: &str) -> Option<(Option<String>, Value)> {
        let found = self.store.checkpoint(id("p"), name.into()).await.unwrap();
        found.map(|c| (c.cursor, serde_json::from_str(&c.sinks).unwrap()))
    }

    /// Waits until metrics tell of so many open circuits, and letters that wait for their sinks.
    async fn measured(&self, circuits: u64, letters: u64) {
        let lines = [
            format!("weir_open_circuits{{pipeline=\"p\"}} {circuits}\n"),
            format!("weir_dead_letters{{pipeline=\"p\",kind=\"undelivered\"}} {letters}\n"),
        ];
        self.until("metrics tell", async || {
            let all = self.bench.engine.metrics();
            lines.iter().all(|line| all.contains(line)).then_some(())
        })
        .await;
    }

    /// How many records are there for good in a sink.
    pub(super) fn seen(&self, sink: &str) -> usize {
        self.seen.there(sink).len()
    }

    pub(super) fn down(&self, sink: &'static str, is_down: bool) {
        let mut broken = self.world.broken.lock().unwrap();
        match is_down {
            true => broken.insert(sink),
            false => broken.remove(sink),
        };
    }
}

/// So many records, and a source that says where it is.
pub(super) fn counts(count: u64) -> Value {
    json!({"count": count, "cursors": true})
}

pub(super) fn incremental(mut pipeline: Pipeline) -> Pipeline {
    if let Work::Flow(flow) = &mut pipeline.work {
        flow.incremental = true;
    }
    pipeline
}

/// A sink gives up after two tries.
pub(super) fn impatient(mut pipeline: Pipeline) -> Pipeline {
    pipeline.errors.retry = Backoff {
        max_retries: 1,
        jitter: 0.0,
        ..Backoff::default()
    };
    pipeline
}

fn all(count: u64) -> Vec<u64> {
    (1..=count).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rescued_run_goes_on_at_its_mark_and_its_slow_server_pushes_nothing_more() {
    // The source stops in the middle until somebody lets it go on.
    let source = json!({"count": 200, "cursors": true, "hold": 101});
    let pipeline = flow(
        source,
        &[json!({"leave_out": 7})],
        &[json!({}), json!({"whole": true})],
    );
    let mut kept = Kept::with(&pipeline).await;
    let run = kept.submit(|t| t.started_by = Started::Schedule).await;
    let name = format!("run:{run}");
    let want: Vec<u64> = all(200).into_iter().filter(|n| n % 7 != 0).collect();
    let half = want.iter().filter(|n| **n <= 100).count();
    kept.until("half of it is kept", async || {
        let (_, sinks) = kept.checkpoint(&name).await?;
        (sinks["sinks"]["s0"]["past"] == half).then_some(())
    })
    .await;
    // A file shows nothing before its end, so that the source begins anew; the other sink leaves out what it has.
    assert_eq!(kept.checkpoint(&name).await.unwrap().0, None);
    kept.crash(&pipeline, &run).await;
    kept.world.hold.add_permits(2);
    let record = kept.over(&run).await;
    assert_eq!(record.state, RunState::Succeeded, "{record:#?}");
    assert_eq!(kept.seen.there("s0"), want);
    assert_eq!(kept.seen.there("s1"), want);
    assert_eq!(kept.checkpoint(&name).await, None, "it is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_sinks_have_is_not_read_again() {
    let source = json!({"count": 200, "cursors": true, "hold": 151});
    let pipeline = flow(source, &[], &[json!({}), json!({})]);
    let mut kept = Kept::with(&pipeline).await;
    let run = kept.submit(|t| t.started_by = Started::Schedule).await;
    let name = format!("run:{run}");
    kept.until("the mark is kept", async || {
        let (cursor, _) = kept.checkpoint(&name).await?;
        (cursor.as_deref() == Some("151")).then_some(())
    })
    .await;
    kept.crash(&pipeline, &run).await;
    kept.world.hold.add_permits(2);
    let record = kept.over(&run).await;
    assert_eq!(record.state, RunState::Succeeded, "{record:#?}");
    assert_eq!(report(&record, "source").records_out, 50, "{record:#?}");
    for sink in ["s0", "s1"] {
        assert_eq!(kept.seen.there(sink), all(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_shows_all_or_nothing_is_tried_again_and_the_others_get_nothing_twice() {
    for finish in [json!({"invalid": "no room"}), json!({"transient": 5})] {
        let is_hopeless = finish.get("invalid").is_some();
        let whole = json!({"whole": true, "finish": finish});
        let pipeline = impatient(flow(
            counts(95),
            &[],
            &[json!({}), whole, json!({"whole": true})],
        ));
        let kept = Kept::with(&pipeline).await;
        let run = kept.submit(|t| t.started_by = Started::Schedule).await;
        let record = kept.over(&run).await;
        let state = if is_hopeless {
            RunState::Failed
        } else {
            RunState::Succeeded
        };
        assert_eq!(record.state, state, "{record:#?}");
        assert_eq!(kept.seen.there("s0"), all(95));
        assert_eq!(kept.seen.there("s2"), all(95));
        let whole = if is_hopeless { Vec::new() } else { all(95) };
        assert_eq!(kept.seen.there("s1"), whole);
        assert_eq!(kept.letters().await, []);
        assert_eq!(kept.checkpoint(&format!("run:{run}")).await, None);
        let attempts = kept.store.attempts(run).await.unwrap();
        assert_eq!(attempts.len(), 3, "{attempts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sinks_one_is_down_for_ten_minutes() {
    let pipeline =
        |count| incremental(impatient(flow(counts(count), &[], &[json!({}), json!({})])));
    let kept = Kept::with(&pipeline(100)).await;
    kept.down("s1", true);
    let first = kept.run().await;
    assert_eq!(first.state, RunState::Partial, "{first:#?}");
    assert_eq!(report(&first, "s1").undelivered, 100);
    assert_eq!(
        kept.seen.there("s0"),
        all(100),
        "the other gets everything at once"
    );
    let began = kept.world.time.load(std::sync::atomic::Ordering::SeqCst);
    // While it is down, runs go on, and what they bring goes behind what waits.
    for count in [150, 230] {
        kept.register(&pipeline(count)).await;
        let run = kept.run().await;
        assert_eq!(run.state, RunState::Partial, "{run:#?}");
        assert_eq!(kept.seen.there("s0"), all(count));
        let circuits = kept.bench.engine.circuits(&id("p")).await.unwrap();
        let [circuit] = circuits.as_slice() else {
            panic!("{circuits:?}");
        };
        assert_eq!((circuit.sink.as_str(), circuit.letters), ("s1", count));
        assert!(circuit.run.is_some(), "{circuit:?}");
    }
    kept.measured(1, 230).await;
    // It is tried again at longer and longer intervals.
    let now = || kept.world.time.load(std::sync::atomic::Ordering::SeqCst);
    let circuit = async || kept.bench.engine.circuits(&id("p")).await.unwrap().pop();
    for tries in 1..=5 {
        let again = kept
            .until("it waits", async || circuit().await?.again)
            .await;
        let wait = u64::try_from(again.ms()).unwrap().saturating_sub(now());
        kept.world.advance_ms(wait);
        kept.until("it is tried in vain", async || {
            (circuit().await?.attempts >= tries).then_some(())
        })
        .await;
    }
    assert!(now() - began > 600_000, "{began} {}", now());
    assert_eq!(kept.seen.there("s1"), Vec::<u64>::new());
    kept.down("s1", false);
    kept.until("it has everything", async || {
        (kept.waiting().await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(
        kept.seen.there("s1"),
        all(230),
        "in order, and nothing twice"
    );
    assert_eq!(kept.seen.there("s0"), all(230));
    kept.until("the circuit is closed", async || {
        kept.bench
            .engine
            .circuits(&id("p"))
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    kept.register(&pipeline(240)).await;
    kept.until("it goes on as before", async || {
        (kept.run().await.state == RunState::Succeeded).then_some(())
    })
    .await;
    assert_eq!(kept.seen.there("s1"), all(240));
    kept.measured(0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incremental_runs_go_on_where_the_sinks_were() {
    let pipeline = |count| incremental(impatient(flow(counts(count), &[], &[json!({})])));
    let kept = Kept::with(&pipeline(30)).await;
    let look = kept.submit(|t| t.dry_run = true).await;
    kept.over(&look).await;
    assert_eq!(
        kept.checkpoint("source").await,
        None,
        "a look moves nothing"
    );
    assert_eq!(kept.run().await.state, RunState::Succeeded);
    assert_eq!(
        kept.checkpoint("source").await.unwrap().0.as_deref(),
        Some("31")
    );
    assert_eq!(report(&kept.run().await, "source").records_out, 0);
    let limited = kept.submit(|t| t.limit = Some(5)).await;
    assert_eq!(report(&kept.over(&limited).await, "source").records_out, 5);
    kept.register(&pipeline(55)).await;
    // One that fails moves it as far as it came.
    kept.down("s0", true);
    let failed = kept.run().await;
    assert_eq!(failed.state, RunState::Failed, "{failed:#?}");
    assert_eq!(
        kept.checkpoint("source").await.unwrap().0.as_deref(),
        Some("31")
    );
    assert_eq!(kept.letters().await, [], "its only sink has to come back");
    kept.down("s0", false);
    assert_eq!(kept.run().await.state, RunState::Succeeded);
    let once = all(30).into_iter().chain(1..=5).chain(31..=55);
    assert_eq!(kept.seen.there("s0"), once.collect::<Vec<_>>());
    let gone = kept
        .bench
        .engine
        .remove_checkpoint(id("p"), "source".into());
    assert!(gone.await.unwrap());
    assert_eq!(report(&kept.run().await, "source").records_out, 55);
}

impl Kept {
    async fn of(&self, stage: &str) -> Vec<Letter> {
        let letters = self.letters().await.into_iter();
        letters.filter(|l| l.new.stage == stage).collect()
    }

    async fn edit(&self, id: LetterId, record: &'static str) {
        let record = Some(Bytes::from_static(record.as_bytes()));
        assert!(self.bench.engine.edit_letter(id, record).await.unwrap());
    }

    /// Has dead letters tried again: the states of the runs.
    pub(super) async fn redrive(&self, stage: Option<&str>, ids: &[LetterId]) -> Vec<RunState> {
        let engine = &self.bench.engine;
        let runs = engine.redrive(&id("p"), stage, ids).await.unwrap();
        let mut states = Vec::new();
        for run in runs {
            let record = self.over(&run).await;
            assert_eq!(record.started_by, Started::Redrive);
            states.push(record.state);
        }
        states
    }
}

/// A run that has left some behind at each of its stages.
async fn with_rejects() -> Kept {
    let source = json!({"count": 40, "cursors": true, "unreadable": 33});
    let transform = json!({"reject": 10});
    let pipeline = flow(source, &[transform], &[json!({"reject": 7}), json!({})]);
    let kept = Kept::with(&pipeline).await;
    assert_eq!(kept.run().await.state, RunState::Partial);
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_records_of_sinks_and_transforms_are_kept_and_delivered() {
    let kept = with_rejects().await;
    let n = |n: u64| format!(r#"{{"n":{n}}}"#);
    let letter = |stage: &str, record: String| (stage.to_owned(), record, false);
    let mut want = vec![letter("source", "?".into())];
    want.extend([10, 20, 30, 40].map(|at| letter("t0", n(at))));
    want.extend([7, 14, 21, 28, 35].map(|at| letter("s0", n(at))));
    let mut found = kept.waiting().await;
    found.sort();
    want.sort();
    assert_eq!(found, want);
    // Of a sink, and into that one only; what is still not wanted waits on.
    let own = kept.of("s0").await;
    assert_eq!(own[0].new.number, 7, "{own:?}");
    kept.edit(own[0].id, "{\"n\":\n100}").await;
    assert_eq!(kept.redrive(Some("s0"), &[]).await, [RunState::Partial]);
    let after = kept.of("s0").await;
    assert_eq!(after[0].state, LetterState::Resolved);
    assert_eq!(
        (after[1].state, after[1].new.attempts),
        (LetterState::Waiting, 2)
    );
    assert_eq!(after[1].new.reason, "not wanted");
    assert_eq!(kept.seen.there("s0").last(), Some(&100));
    assert!(!kept.seen.there("s1").contains(&100));
    // Of a transform, from there on into all sinks.
    let own = kept.of("t0").await;
    kept.edit(own[0].id, "{\"n\":101}").await;
    assert_eq!(
        kept.redrive(None, &[own[0].id]).await,
        [RunState::Succeeded]
    );
    for sink in ["s0", "s1"] {
        assert_eq!(kept.seen.there(sink).last(), Some(&101));
    }
    assert_eq!(kept.of("t0").await[0].state, LetterState::Resolved);
    let purge = Purge {
        pipeline: id("p"),
        id: None,
        stage: Some("t0".into()),
        state: None,
        before: None,
        keep: None,
    };
    assert_eq!(kept.bench.engine.purge_letters(purge).await, Ok(4));
    assert_eq!(kept.of("t0").await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_source_could_not_read_has_to_be_a_record_first() {
    let kept = with_rejects().await;
    let own = kept.of("source").await;
    assert_eq!(own[0].new.number, 33);
    kept.redrive(Some("source"), &[]).await;
    let again = kept.of("source").await;
    assert_eq!(again[0].state, LetterState::Waiting);
    let said = &again[0].new.reason;
    assert!(said.contains("has to be edited first"), "{again:?}");
    kept.edit(own[0].id, "{\"n\":33}").await;
    kept.redrive(Some("source"), &[]).await;
    assert_eq!(kept.seen.there("s1").last(), Some(&33));
    // What is not there, and what is over, is not tried.
    for (stage, ids) in [
        (None, vec![LetterId(99)]),
        (Some("t0"), vec![own[0].id]),
        (None, vec![own[0].id]),
    ] {
        let refused = kept.bench.engine.redrive(&id("p"), stage, &ids).await;
        let is_refused = matches!(refused, Err(RedriveError::Letter(_)));
        assert!(is_refused, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_fails_the_run_and_nothing_is_passed_over() {
    let mut pipeline = incremental(flow(counts(40), &[json!({"reject": 10})], &[json!({})]));
    pipeline.errors.dead_letters = DeadLetters {
        max_records: 3,
        max_bytes: 1_000,
    };
    let kept = Kept::with(&pipeline).await;
    let run = kept.run().await;
    assert_eq!(run.state, RunState::Failed, "{run:#?}");
    let said = run.error.join(" | ");
    assert!(said.contains("errors.dead_letters"), "{said}");
    let (cursor, _) = kept.checkpoint("source").await.unwrap_or_default();
    let next: u64 = cursor.map_or(1, |c| c.parse().unwrap());
    let kept_so_far = kept.letters().await.len() as u64;
    assert!(
        (next - 1) / 10 <= kept_so_far && kept_so_far <= 3,
        "{next} {kept_so_far}"
    );
    // With more room it goes on there.
    pipeline.errors.dead_letters = DeadLetters::default();
    kept.register(&pipeline).await;
    assert_eq!(kept.run().await.state, RunState::Partial);
    let waiting = kept.waiting().await;
    let numbers: Vec<_> = waiting
        .iter()
        .map(|(_, record, _)| record.as_str())
        .collect();
    assert_eq!(
        numbers,
        [r#"{"n":10}"#, r#"{"n":20}"#, r#"{"n":30}"#, r#"{"n":40}"#]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_attempt_rejected_is_kept_once() {
    // The sink fails at first, after the transform has rejected some.
    let sink = json!({"from": 25, "transient": 3});
    let pipeline = impatient(flow(counts(40), &[json!({"reject": 10})], &[sink]));
    let kept = Kept::with(&pipeline).await;
    let run = kept.submit(|t| t.started_by = Started::Schedule).await;
    let record = kept.over(&run).await;
    assert_eq!(record.state, RunState::Partial, "{record:#?}");
    assert_eq!(kept.waiting().await.len(), 4);
    let want: Vec<u64> = all(40).into_iter().filter(|n| n % 10 != 0).collect();
    assert_eq!(kept.seen.there("s0"), want);
}
