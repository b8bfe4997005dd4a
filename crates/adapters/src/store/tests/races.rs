//! Several servers at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use model::store::{Advance, Advanced};

use super::*;

pub(super) async fn jobs_are_claimed_once(store: Shared) {
    const JOBS: u128 = 60;
    join_all((0..JOBS).map(|n| store.submit(submission(n)))).await;
    let worker = |owner: usize| {
        let store = Arc::clone(&store);
        async move {
            let mut done = Vec::new();
            loop {
                let wish = Ask {
                    at_once: 7,
                    most: 3,
                    ..ask(&format!("server {owner}"), 0)
                };
                let claims = store.claim(wish).await.unwrap();
                if claims.to_run.is_empty() && store.due("q".into()).await.unwrap().is_none() {
                    return done;
                }
                for claim in claims.to_run {
                    let number: u128 = claim.args.trim_matches(['[', ']']).parse().unwrap();
                    complete(&store, claim.fence, number, 1).await;
                    done.push(number);
                }
            }
        }
    };
    let workers: Vec<_> = (0..8).map(|n| tokio::spawn(worker(n))).collect();
    // No more are at work at any moment than may be.
    let all = async {
        let done = join_all(workers).await;
        done.into_iter()
            .flat_map(Result::unwrap)
            .collect::<Vec<_>>()
    };
    let mut all = std::pin::pin!(all);
    let mut done = loop {
        tokio::select! {
            done = &mut all => break done,
            running = executing(&store, JOBS) => assert!(running <= 7, "{running}"),
        }
    };
    done.sort_unstable();
    assert_eq!(done, (0..JOBS).collect::<Vec<_>>());
}

/// How many are at work, no more than the moment has.
async fn executing(store: &Shared, jobs: u128) -> usize {
    let mut running = Vec::new();
    for number in 0..jobs {
        let job = store.job(RunId::of(number)).await.unwrap().unwrap();
        if job.state == JobState::Executing {
            running.push(number);
        }
    }
    // Those found first may be over by now: only who still works counts.
    let mut still = 0;
    for number in running {
        still += usize::from(state(store, number).await == JobState::Executing);
    }
    still
}

pub(super) async fn a_key_is_submitted_once(store: Shared) {
    let same = |number: u128| {
        let mut one = submission(number);
        one.run.key = Some("same".into());
        store.submit(one)
    };
    let all = join_all((0..30).map(same)).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.iter().filter(|s| s.new).count(), 1);
    let runs: BTreeSet<_> = all.iter().map(|s| s.run.clone()).collect();
    assert_eq!(runs.len(), 1);
    let job = |number: u128| {
        let mut one = submission(number);
        one.job.key = Some("one".into());
        store.submit(one)
    };
    let all = join_all((100..130).map(job)).await;
    let new = all.into_iter().map(Result::unwrap).filter(|s| s.new);
    assert_eq!(new.count(), 1);
}

pub(super) async fn a_tick_is_started_once(store: Shared) {
    const TICKS: i64 = 25;
    store
        .arm(pipeline("p"), "every 1s".into(), at(0))
        .await
        .unwrap();
    let server = |server: u128| {
        let store = Arc::clone(&store);
        async move {
            let mut stands = None;
            let mut started = Vec::new();
            while stands != Some(at(TICKS)) {
                let to = Moment::from_ms(stands.unwrap_or(at(0)).ms() + 1_000);
                let tick = u128::try_from(to.ms()).unwrap();
                let step = Advance {
                    pipeline: pipeline("p"),
                    digest: "every 1s".into(),
                    from: stands,
                    to,
                    submissions: vec![submission(tick * 100 + server)],
                };
                stands = match store.advance(step).await.unwrap() {
                    Advanced::Moved(runs) => {
                        assert!(runs.iter().all(|r| r.new));
                        started.push(to);
                        Some(to)
                    }
                    Advanced::Stands(schedule) => schedule.unwrap().last,
                };
            }
            started
        }
    };
    let servers: Vec<_> = (0..4).map(|n| tokio::spawn(server(n))).collect();
    let started = join_all(servers).await;
    let mut started: Vec<_> = started.into_iter().flat_map(Result::unwrap).collect();
    started.sort_unstable();
    let all: Vec<_> = (1..=TICKS).map(at).collect();
    assert_eq!(started, all);
    let jobs = claim(&store, "a", 99).await.to_run;
    assert_eq!(jobs.len(), all.len());
}

pub(super) async fn versions_are_counted_once(store: Shared) {
    let put = |n: u32| {
        let text = format!("spec {}", n % 5);
        store.put_version(pipeline("p"), text.clone(), text, at(n.into()))
    };
    let all = join_all((0..20).map(put)).await;
    let versions: BTreeSet<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(versions, (1..=5).collect());
}
