//! Schedules of whole servers that share a store, under a clock that is set by hand: each tick is one run, whoever of them is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use model::pipeline::{Cron, Missed, Overlap, Pipeline, TriggerSpec};
use model::run::RunState;
use model::store::{RunFilter, StoredRun};
use serde_json::{Value, json};

use super::kept::{Ground, kill, register};
use super::stages::{Bench, flow, id};

pub(super) fn at(text: &str) -> SystemTime {
    text.parse::<Timestamp>().unwrap().into()
}

fn text(at: SystemTime) -> String {
    Timestamp::try_from(at).unwrap().to_string()
}

/// The moment that a tick's run is named by.
pub(super) fn tick(run: &StoredRun) -> SystemTime {
    let key = run.run.key.as_ref().unwrap();
    let ms = key.strip_prefix("tick:").unwrap().parse().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

/// Servers by their names, and what they share.
pub(super) struct Site {
    pub(super) ground: Ground,
    pub(super) pipeline: Pipeline,
    pub(super) servers: BTreeMap<String, Bench>,
}

impl Site {
    /// Servers of a pipeline with this schedule and source, from a moment on.
    pub(super) async fn new(from: &str, cron: Cron, source: Value, servers: &[&str]) -> Self {
        let mut pipeline = flow(source, &[], &[json!({})]);
        pipeline.trigger = TriggerSpec::Cron(cron);
        Self::over(from, pipeline, servers).await
    }

    pub(super) async fn over(from: &str, pipeline: Pipeline, servers: &[&str]) -> Self {
        let site = Self::started(from, pipeline, servers).await;
        site.until("the schedule holds", async || {
            let all = site.ground.store.schedules().await.unwrap();
            (!all.is_empty()).then_some(())
        })
        .await;
        site
    }

    /// Servers of a pipeline, from a moment on.
    pub(super) async fn started(from: &str, pipeline: Pipeline, servers: &[&str]) -> Self {
        let mut ground = Ground::new();
        ground.step = 200;
        let mut site = Self {
            ground,
            pipeline,
            servers: BTreeMap::new(),
        };
        site.go_to(at(from));
        for server in servers {
            site.start(server).await;
        }
        site
    }

    pub(super) async fn start(&mut self, server: &str) {
        let bench = self.ground.server(server);
        register(&bench, &self.pipeline).await;
        bench.engine.take_up_runs();
        self.servers.insert(server.into(), bench);
    }

    pub(super) async fn kill(&mut self, server: &str) {
        kill(self.servers.remove(server).unwrap()).await;
    }

    pub(super) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> Option<()>) {
        self.ground.until(what, async || holds().await).await;
    }

    /// Sets the clock to a later moment.
    pub(super) fn go_to(&self, at: SystemTime) {
        let ms = at.duration_since(self.now()).unwrap().as_millis();
        self.ground.world.advance_ms(u64::try_from(ms).unwrap());
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.ground.world.wall())
    }

    /// All runs, by their ticks.
    pub(super) async fn runs(&self) -> Vec<StoredRun> {
        let all = self.ground.store.runs(RunFilter::of(id("p")), 1_000);
        let mut all = all.await.unwrap();
        all.sort_by_key(tick);
        all
    }

    pub(super) async fn ticks(&self) -> Vec<String> {
        self.runs().await.iter().map(|r| text(tick(r))).collect()
    }

    /// How many runs are so.
    pub(super) async fn count(&self, state: RunState) -> usize {
        let runs = self.runs().await;
        runs.iter().filter(|run| run.state == state).count()
    }

    /// Waits until so many runs have succeeded, and none is under way.
    pub(super) async fn done(&self, runs: usize) {
        self.until("the runs are over", async || {
            let all = self.runs().await;
            let is_done = |run: &StoredRun| run.state == RunState::Succeeded;
            (all.len() >= runs && all.iter().all(is_done)).then_some(())
        })
        .await;
    }

    /// Goes to a tick when nothing is under way, and waits until its run is over.
    pub(super) async fn pass(&self, tick: &str) {
        let before = self.runs().await.len();
        self.go_to(at(tick) - Duration::from_secs(1));
        self.done(before + 1).await;
    }

    /// Waits until the schedule stands at a tick, or a later one.
    pub(super) async fn stands(&self, tick: &str) {
        self.until("the schedule moves on", async || {
            let all = self.ground.store.schedules().await.unwrap();
            let last = all.first().and_then(|schedule| schedule.last);
            last.is_some_and(|last| last.time() >= at(tick))
                .then_some(())
        })
        .await;
    }

    /// Waits until sources have been held up so often.
    pub(super) async fn holds(&self, times: usize) {
        self.until("runs are held up", async || {
            (self.ground.world.count("source holds") >= times).then_some(())
        })
        .await;
    }

    /// Who has the run that is under way.
    pub(super) async fn at_work(&self) -> String {
        let runs = self.runs().await;
        let run = runs.iter().find(|run| run.state == RunState::Running);
        let job = self.ground.store.job(run.unwrap().run.id.clone()).await;
        job.unwrap().unwrap().owner.unwrap()
    }

    /// Each run pushed what it had once.
    pub(super) fn pushed_once(&self, runs: usize) {
        let keys = self.ground.seen.keys.lock().unwrap().clone();
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!((keys.len(), distinct.len()), (runs, runs), "{keys:?}");
        assert_eq!(self.ground.seen.there("s0"), vec![1; runs]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_ticks_run_once_each_while_servers_are_killed() {
    let cron = Cron {
        missed: Missed::All,
        ..Cron::new("*/2 * * * * *")
    };
    // Each run stops before its record until it is let go on.
    let source = json!({"count": 1, "hold": 1});
    let from = at("2026-11-22T23:59:59Z");
    let mut site = Site::new(&text(from), cron, source, &["a", "b"]).await;
    let (mut held, mut over, mut kills) = (0, 0, 0);
    while over < 100 {
        held += 1;
        site.holds(held).await;
        if over == 9 * kills {
            kills += 1;
            let server = site.at_work().await;
            site.kill(&server).await;
            if kills % 2 == 0 {
                // What it had it takes up at once.
                site.start(&server).await;
                continue;
            }
            // The other one has it when its lease has run out.
            held += 1;
            site.holds(held).await;
            assert_ne!(site.at_work().await, server);
            site.start(&server).await;
        }
        site.ground.world.hold.add_permits(1);
        over += 1;
    }
    site.until("a hundred runs are over", async || {
        (site.count(RunState::Succeeded).await == 100).then_some(())
    })
    .await;
    assert_eq!(kills, 12);
    let runs = site.runs().await;
    let wanted = (0..100).map(|n| from + Duration::from_secs(1 + 2 * n));
    let found = runs.iter().take(100);
    assert_eq!(
        found.clone().map(tick).collect::<Vec<_>>(),
        wanted.collect::<Vec<_>>()
    );
    for run in found {
        let attempts = site.ground.store.attempts(run.run.id.clone()).await;
        let attempts = attempts.unwrap();
        // Runs that only wait use none up when a server is killed that looks at them.
        assert!(attempts.iter().all(|a| a.number <= 2), "{attempts:?}");
        let completed = attempts
            .iter()
            .filter(|a| a.outcome.as_deref() == Some("completed"));
        assert_eq!(
            (run.state, completed.count()),
            (RunState::Succeeded, 1),
            "{run:?}"
        );
    }
    // Only those that were killed were carried out again; the next one may have begun.
    let begun = site.ground.world.count("source holds") - kills;
    assert!((100..=101).contains(&begun), "{begun}");
    site.pushed_once(100);
}

/// The runs of two servers, from a moment on.
async fn follow(line: &str, from: &str, ticks: &[&str]) {
    let cron = Cron {
        zone: "Europe/Berlin".into(),
        missed: Missed::All,
        ..Cron::new(line)
    };
    let site = Site::new(from, cron, json!({"count": 1}), &["a", "b"]).await;
    for tick in ticks {
        site.pass(tick).await;
    }
    let wanted: Vec<_> = ticks.iter().map(|tick| text(at(tick))).collect();
    assert_eq!(site.ticks().await, wanted, "{line}");
    for run in site.runs().await {
        let late = run.run.submitted.time().duration_since(tick(&run)).unwrap();
        assert!(late < Duration::from_secs(5), "{line} {late:?}");
    }
    site.pushed_once(ticks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hour_that_is_missing_in_spring() {
    let from = "2026-03-28T12:00:00+01:00";
    let daily = ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    follow("30 2 * * *", from, &daily).await;
    let half_hourly = [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:30:00+02:00",
    ];
    follow("*/30 * * * *", "2026-03-29T01:15:00+01:00", &half_hourly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hour_that_is_there_twice_in_autumn() {
    let from = "2026-10-24T12:00:00+02:00";
    let daily = ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"];
    follow("30 2 * * *", from, &daily).await;
    let hourly = [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:30:00+01:00",
    ];
    follow("30 * * * *", "2026-10-25T01:45:00+02:00", &hourly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_29th_of_february() {
    let leap = ["2028-02-29T06:00:00+01:00", "2032-02-29T06:00:00+01:00"];
    follow("0 6 29 2 *", "2026-11-22T00:00:00Z", &leap).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_that_came_while_no_server_was_there() {
    let hour = |n: u32| format!("2026-11-22T0{n}:00:00Z");
    for (missed, wanted) in [
        (Missed::Skip, vec![1, 7]),
        (Missed::Once, vec![1, 6, 7]),
        (Missed::All, vec![1, 2, 3, 4, 5, 6, 7]),
    ] {
        let cron = Cron {
            missed,
            ..Cron::new("0 * * * *")
        };
        let from = "2026-11-22T00:30:00Z";
        let mut site = Site::new(from, cron, json!({"count": 1}), &["a"]).await;
        site.pass(&hour(1)).await;
        site.kill("a").await;
        site.go_to(at("2026-11-22T06:30:00Z"));
        site.start("a").await;
        site.stands(&hour(6)).await;
        site.done(wanted.len() - 1).await;
        site.pass(&hour(7)).await;
        let wanted: Vec<_> = wanted.into_iter().map(hour).collect();
        assert_eq!(site.ticks().await, wanted, "{missed:?}");
        site.pushed_once(wanted.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_that_come_while_a_run_is_held_up() {
    let second = |n: u32| format!("2026-11-22T00:00:{n:02}Z");
    for (overlap, wanted) in [
        (Overlap::Forbid, vec![10]),
        (Overlap::Queue, vec![10, 15, 20, 25]),
        (Overlap::Allow, vec![10, 15, 20, 25]),
    ] {
        let cron = Cron {
            overlap,
            ..Cron::new("*/5 * * * * *")
        };
        let source = json!({"count": 1, "hold": 1});
        let site = Site::new(&second(6), cron, source, &["a", "b"]).await;
        site.stands(&second(25)).await;
        if overlap == Overlap::Allow {
            site.holds(4).await;
        }
        let at_once = site.count(RunState::Running).await;
        assert_eq!(at_once, if overlap == Overlap::Allow { 4 } else { 1 });
        let ticks: Vec<_> = wanted.into_iter().map(second).collect();
        assert_eq!(site.ticks().await, ticks, "{overlap:?}");
        // They go on one by one; with each, the next one begins that had to wait.
        for over in 1..=ticks.len() {
            site.ground.world.hold.add_permits(1);
            site.until("one more is over", async || {
                (site.count(RunState::Succeeded).await == over).then_some(())
            })
            .await;
            if overlap != Overlap::Allow {
                site.holds(over + 1).await;
                assert_eq!(site.count(RunState::Running).await, 1, "{overlap:?}");
            }
        }
        let all = site.ticks().await;
        assert_eq!(all[..ticks.len()], ticks, "{overlap:?}");
        if overlap == Overlap::Forbid {
            let next = at(&all[1]);
            assert!(next > at(&second(25)), "{all:?}");
        }
        site.pushed_once(ticks.len());
    }
}
