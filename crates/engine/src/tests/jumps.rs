//! Clocks that are set while servers are at work, as time servers do, and hosts that sleep: by a day, an hour, a year.

use model::pipeline::{Backoff, Cron, Missed, Overlap, Pipeline, TriggerSpec};
use model::run::RunState;
use model::store::{JobState, RunFilter};
use serde_json::json;

use super::kept::{kill, register};
use super::schedules::{Site, at, tick};
use super::stages::{Bench, flow, id};
use crate::{Trigger, Which};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

impl Site {
    /// Lets so many seconds pass.
    async fn pass_seconds(&self, seconds: u64) {
        let until = self.elapsed() + seconds * 1_000;
        self.until("time passes", async || {
            (self.elapsed() >= until).then_some(())
        })
        .await;
    }

    /// Milliseconds that have passed, whatever the clock says.
    fn elapsed(&self) -> u64 {
        let time = &self.ground.world.time;
        time.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// The run that is held up is still the only one, and nobody else has claimed it.
    async fn nobody_else_has_it(&self, server: &str) {
        assert_eq!(self.ground.world.count("source holds"), 1);
        assert_eq!(self.count(RunState::Running).await, 1);
        assert_eq!(self.at_work().await, server);
    }
}

fn every_five_seconds() -> Cron {
    Cron {
        missed: Missed::Once,
        overlap: Overlap::Queue,
        ..Cron::new("*/5 * * * * *")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_ends_no_lease_of_a_server_that_lives() {
    let source = json!({"count": 1, "hold": 1});
    let from = "2026-11-22T12:00:01Z";
    let site = Site::new(from, every_five_seconds(), source, &["a", "b"]).await;
    site.holds(1).await;
    let server = site.at_work().await;
    for seconds in [DAY, -HOUR, 2 * HOUR, -2 * DAY] {
        site.ground.world.set_clock(seconds);
        // More than a lease.
        site.pass_seconds(40).await;
        site.nobody_else_has_it(&server).await;
    }
    // What waits for it goes on when it is over, each once, and so do further ticks.
    let so_far = site.runs().await.len();
    assert!(so_far > 10, "{so_far}");
    site.ground.world.hold.add_permits(1_000);
    site.done(so_far + 2).await;
    for run in site.runs().await {
        let attempts = site.ground.store.attempts(run.run.id.clone()).await;
        let attempts = attempts.unwrap().into_iter();
        let carried_out = attempts.filter(|a| a.outcome.as_deref() != Some("snoozed"));
        assert_eq!(carried_out.count(), 1, "{run:?}");
    }
    let ticks = site.ticks().await;
    let keys = site.ground.seen.keys.lock().unwrap().clone();
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(keys.len(), distinct.len(), "{keys:?}");
    assert!(keys.len() >= so_far + 2, "{} {ticks:?}", keys.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_servers_run_does_not_wait_for_the_clock() {
    for seconds in [0, DAY, -HOUR] {
        let source = json!({"count": 1, "hold": 1});
        let from = "2026-11-22T12:00:01Z";
        let mut site = Site::new(from, every_five_seconds(), source, &["a", "b"]).await;
        site.holds(1).await;
        let server = site.at_work().await;
        site.kill(&server).await;
        site.ground.world.set_clock(seconds);
        let killed = site.elapsed();
        site.holds(2).await;
        let waited = site.elapsed() - killed;
        assert!((24_000..=35_000).contains(&waited), "{seconds}: {waited}");
        assert_ne!(site.at_work().await, server);
        site.ground.world.hold.add_permits(1_000);
        site.done(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_go_on_after_a_clock_that_was_a_year_ahead() {
    let from = "2027-11-22T12:00:01Z";
    let site = Site::new(from, every_five_seconds(), json!({"count": 1}), &["a", "b"]).await;
    site.done(3).await;
    site.ground.world.set_clock(-365 * DAY);
    let (before, began) = (site.runs().await.len(), site.elapsed());
    site.done(before + 3).await;
    assert!(site.elapsed() - began < 30_000);
    // And once more where it was: ticks that were run are not run again.
    site.ground.world.set_clock(365 * DAY - 60);
    let before = site.runs().await.len();
    site.pass_seconds(120).await;
    site.done(before + 10).await;
    let runs = site.runs().await;
    assert!(runs.windows(2).all(|two| tick(&two[0]) < tick(&two[1])));
    site.pushed_once(runs.len());
}

/// A sink gives up after two tries.
fn impatient(mut pipeline: Pipeline) -> Pipeline {
    pipeline.errors.retry = Backoff {
        max_retries: 1,
        jitter: 0.0,
        ..Backoff::default()
    };
    pipeline
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_off_does_not_wait_for_the_clock_to_be_where_it_was() {
    // A run that is to be tried again in a minute.
    let mut failing = impatient(flow(json!({"count": 1}), &[], &[json!({"transient": 2})]));
    failing.trigger = TriggerSpec::Cron(Cron::new("0 * * * *"));
    let site = Site::over("2026-11-22T12:59:58Z", failing, &["a", "b"]).await;
    let first = |state| {
        let site = &site;
        async move || {
            let run = site.runs().await.first()?.run.id.clone();
            let job = site.ground.store.job(run).await.unwrap()?;
            (job.state == state).then_some(())
        }
    };
    site.until("it failed", first(JobState::Retryable)).await;
    site.ground.world.set_clock(-HOUR);
    let began = site.elapsed();
    site.until("it is tried again", first(JobState::Completed))
        .await;
    assert!(site.elapsed() - began < 10_000);
    site.pushed_once(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_does_not_wait_for_the_clock_to_be_where_it_was() {
    let source = json!({"count": 30, "cursors": true});
    let pipeline = impatient(flow(source, &[], &[json!({}), json!({})]));
    let site = Site::started("2026-11-22T12:00:00Z", pipeline, &["a", "b"]).await;
    site.ground.world.broken.lock().unwrap().insert("s1");
    let engine = &site.servers["a"].engine;
    let run = engine.submit(Trigger::of(Which::Named(id("p")))).await;
    let record = site.ground.over(&run.unwrap()).await;
    assert_eq!(record.state, RunState::Partial, "{record:#?}");
    let circuits = async || engine.circuits(&id("p")).await.unwrap();
    // Once before it was tried, and once after.
    for tries in 1..=2 {
        site.ground.world.set_clock(-HOUR);
        let began = site.elapsed();
        site.until("it is tried", async || {
            (circuits().await.first()?.attempts >= tries).then_some(())
        })
        .await;
        assert!(site.elapsed() - began < 20_000);
    }
    site.ground.world.broken.lock().unwrap().clear();
    site.ground.world.set_clock(DAY);
    site.until("it is closed", async || {
        circuits().await.is_empty().then_some(())
    })
    .await;
    let all: Vec<u64> = (1..=30).collect();
    assert_eq!(site.ground.seen.there("s0"), all);
    assert_eq!(site.ground.seen.there("s1"), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_an_earlier_clock_is_not_overtaken() {
    let source = json!({"count": 20, "cursors": true, "hold": 11});
    let mut pipeline = flow(source, &[], &[json!({})]);
    if let model::pipeline::Work::Flow(flow) = &mut pipeline.work {
        flow.incremental = true;
    }
    let mut site = Site::started("2026-11-22T12:00:00Z", pipeline, &["a"]).await;
    let ask = async |server: &Bench| {
        let trigger = Trigger::of(Which::Named(id("p")));
        server.engine.submit(trigger).await.unwrap()
    };
    let first = ask(&site.servers["a"]).await;
    site.holds(1).await;
    // A server that starts only now knows nothing of the ids that were given before.
    site.ground.world.set_clock(-HOUR);
    let late = site.ground.server("b");
    register(&late, &site.pipeline).await;
    late.engine.take_up_runs();
    let second = ask(&late).await;
    assert!(second < first);
    site.pass_seconds(40).await;
    assert_eq!(site.ground.world.count("source holds"), 1);
    // Nor do they wait for each other when the first one's server is lost.
    site.kill("a").await;
    site.holds(2).await;
    site.ground.world.hold.add_permits(1_000);
    for run in [&first, &second] {
        let record = site.ground.over(run).await;
        assert_eq!(record.state, RunState::Succeeded, "{record:#?}");
    }
    assert_eq!(site.ground.seen.there("s0"), (1..=20).collect::<Vec<_>>());
    let all = site.ground.store.runs(RunFilter::of(id("p")), 10).await;
    assert_eq!(all.unwrap().len(), 2);
    assert!(at("2026-11-22T12:00:00Z") > site.now());
    kill(late).await;
}
