//! Runs: listing, pruning.

use model::store::RunFilter;

use super::*;

/// Numbers of the runs that are found.
async fn list(store: &Shared, filter: RunFilter, limit: u32) -> Vec<u128> {
    let found = store.runs(filter, limit).await.unwrap();
    let number = |id: &RunId| u128::from_str_radix(id.as_str().trim_start_matches("run_"), 16);
    found.iter().map(|r| number(&r.run.id).unwrap()).collect()
}

pub(super) async fn runs_are_found_by_what_they_are(store: Shared) {
    assert_eq!(
        list(&store, RunFilter::default(), 10).await,
        Vec::<u128>::new()
    );
    let whole = working(&store, 1).await;
    let mut parts = changes(1, RunState::Running);
    for number in 2..=20 {
        let mut part = new_run(number);
        part.parent = (number % 2 == 0).then(|| RunId::of(1));
        part.pipeline = pipeline(if number % 3 == 0 { "three" } else { "p" });
        parts.new_runs.push(part);
        if number % 5 == 0 {
            parts.runs.push(change(number, RunState::Failed));
        }
    }
    store.commit(whole, parts).await.unwrap();
    let all = list(&store, RunFilter::default(), 100).await;
    assert_eq!(all, (1..=20).rev().collect::<Vec<_>>());
    let three = Some(pipeline("three"));
    let failed = Some(RunState::Failed);
    let parent = Some(RunId::of(1));
    let before = Some(RunId::of(12));
    let cases = [
        ((three.clone(), None, None, None), vec![18, 15, 12, 9, 6, 3]),
        ((None, failed, None, None), vec![20, 15, 10, 5]),
        (
            (None, None, parent.clone(), None),
            vec![20, 18, 16, 14, 12, 10, 8, 6, 4, 2],
        ),
        ((None, None, None, before.clone()), (1..12).rev().collect()),
        ((three.clone(), failed, None, None), vec![15]),
        ((None, failed, parent.clone(), before.clone()), vec![10]),
        ((three, None, parent, before), vec![6]),
        ((Some(pipeline("none")), None, None, None), vec![]),
    ];
    for ((pipeline, state, parent, before), wanted) in cases {
        let filter = RunFilter {
            pipeline,
            state,
            parent,
            before,
        };
        let mut found = Vec::new();
        let mut page = filter.clone();
        loop {
            let next = list(&store, page.clone(), 4).await;
            let Some(last) = next.last() else { break };
            page.before = Some(RunId::of(*last));
            found.extend(next);
        }
        assert_eq!(found, wanted, "{filter:?}");
    }
    let one = store.run(RunId::of(6)).await.unwrap().unwrap();
    let mut as_given = new_run(6);
    as_given.parent = Some(RunId::of(1));
    as_given.pipeline = pipeline("three");
    assert_eq!(
        (one.run, one.state, one.started),
        (as_given, RunState::Queued, None)
    );
}

pub(super) async fn runs_are_pruned_by_age_and_number(store: Shared) {
    // 1 to 8 are over, at 11 to 18; the last of them only as a run. 9 waits.
    for number in 1..=9 {
        submit(&store, number).await;
    }
    let mut eight = ask("a", 0);
    eight.most = 8;
    for (claim, number) in store
        .claim(eight)
        .await
        .unwrap()
        .to_run
        .into_iter()
        .zip(1..)
    {
        let mut commit = changes(number, RunState::Succeeded);
        let seconds = i64::try_from(number).unwrap() + 10;
        commit.runs[0].ended = Some(at(seconds));
        if number < 8 {
            let done = store.settle(claim.fence, Outcome::Completed, commit, at(seconds));
            done.await.unwrap();
        } else {
            store.commit(claim.fence, commit).await.unwrap();
        }
    }
    let left = async || list(&store, RunFilter::default(), 100).await;
    assert_eq!(store.prune_runs(at(11), 10).await, Ok(0));
    assert_eq!(store.prune_runs(at(99), 2).await, Ok(2));
    assert_eq!(left().await, [9, 8, 7, 6, 5, 4, 3]);
    assert_eq!(store.prune_runs(at(14), 10).await, Ok(1));
    assert_eq!(left().await, [9, 8, 7, 6, 5, 4]);
    assert_eq!(store.job(RunId::of(3)).await, Ok(None));
    assert_eq!(store.attempts(RunId::of(3)).await, Ok(Vec::new()));
    assert_eq!(store.prune_runs_of(pipeline("other"), 0, 10).await, Ok(0));
    assert_eq!(store.prune_runs_of(pipeline("p"), 6, 10).await, Ok(0));
    assert_eq!(store.prune_runs_of(pipeline("p"), 4, 1).await, Ok(1));
    assert_eq!(store.prune_runs_of(pipeline("p"), 4, 10).await, Ok(1));
    assert_eq!(left().await, [9, 8, 7, 6]);
    // Neither who waits nor whose job is at work.
    assert_eq!(store.prune_runs_of(pipeline("p"), 0, 10).await, Ok(2));
    assert_eq!(store.prune_runs(at(999), 10).await, Ok(0));
    assert_eq!(left().await, [9, 8]);
    assert_eq!(state(&store, 8).await, JobState::Executing);
}
