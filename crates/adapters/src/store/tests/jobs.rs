//! Jobs from submission to their end.

use model::store::{Attempt, Cancel, JobId, Renewed, Why};

use super::*;

pub(super) async fn what_cannot_be_kept_is_refused(store: Shared) {
    let long = "k".repeat(513);
    let mut bad = submission(1);
    bad.job.queue.clear();
    check_invalid(store.submit(bad).await, &["queue", "0 bytes", "1 to 512"]);
    let mut bad = submission(1);
    bad.job.key = Some(long.clone());
    check_invalid(store.submit(bad).await, &["job's key", "513 bytes"]);
    let mut bad = submission(1);
    bad.run.key = Some(long);
    check_invalid(store.submit(bad).await, &["idempotency key"]);
    let mut bad = submission(1);
    bad.job.max_attempts = 0;
    check_invalid(store.submit(bad).await, &["at least once"]);
    assert_eq!(store.run(RunId::of(1)).await, Ok(None));
    assert_eq!(store.job(RunId::of(1)).await, Ok(None));
    assert_eq!(claim(&store, "a", 0).await, Claims::default());
    let fence = Fence {
        job: JobId(7),
        number: 1,
    };
    let nothing = store.commit(fence, Commit::default()).await;
    assert_eq!(nothing, Err(Failure::Lost));
    // What PostgreSQL has in no text.
    let mut nul = submission(1);
    nul.job.args = "a\0b".into();
    store.submit(nul).await.unwrap();
    assert_eq!(one(&store, "a", 0).await.args, "a\u{fffd}b");
}

pub(super) async fn the_same_key_is_the_same_run(store: Shared) {
    let mut first = submission(1);
    first.run.key = Some("order 7".into());
    first.job.key = Some("only one".into());
    let new = |n: u128, new| Submitted {
        run: RunId::of(n),
        new,
    };
    assert_eq!(store.submit(first.clone()).await, Ok(new(1, true)));
    // Asked again, as after a lost answer.
    assert_eq!(store.submit(first.clone()).await, Ok(new(1, false)));
    let mut second = submission(2);
    second.run.key = Some("order 7".into());
    assert_eq!(store.submit(second.clone()).await, Ok(new(1, false)));
    assert_eq!(store.run(RunId::of(2)).await, Ok(None));
    // Another pipeline's is another key.
    second.run.pipeline = pipeline("other");
    assert_eq!(store.submit(second).await, Ok(new(2, true)));
    let found = store.run_by_key(pipeline("p"), "order 7".into()).await;
    assert_eq!(found, Ok(Some(RunId::of(1))));
    let mut third = submission(3);
    third.job.key = Some("only one".into());
    assert_eq!(store.submit(third.clone()).await, Ok(new(1, false)));
    let claims = claim(&store, "a", 0).await;
    assert_eq!(store.submit(third.clone()).await, Ok(new(1, false)));
    for claim in claims.to_run {
        let done = store.settle(claim.fence, Outcome::Completed, Commit::default(), at(1));
        done.await.unwrap();
    }
    // The job is over: its key is free. That of the run is not.
    assert_eq!(store.submit(third).await, Ok(new(3, true)));
    assert_eq!(store.submit(first).await, Ok(new(1, false)));
}

pub(super) async fn retries_end(store: Shared) {
    let mut two = submission(1);
    two.job.max_attempts = 2;
    store.submit(two).await.unwrap();
    let first = one(&store, "a", 0).await;
    assert!(first.may_retry());
    let retry = |at| Outcome::Retry {
        error: "no answer".into(),
        at,
    };
    let failed = store.settle(
        first.fence,
        retry(at(60)),
        changes(1, RunState::Queued),
        at(1),
    );
    assert_eq!(failed.await, Ok(JobState::Retryable));
    assert_eq!(claim(&store, "a", 59).await, Claims::default());
    let second = one(&store, "b", 60).await;
    assert_eq!(
        (second.attempt, second.rescued, second.may_retry()),
        (2, false, false)
    );
    assert!(second.fence.number > first.fence.number);
    // The last one: neither the job nor the run becomes anything.
    let refused = store.settle(
        second.fence,
        retry(at(90)),
        changes(1, RunState::Failed),
        at(61),
    );
    assert!(matches!(refused.await, Err(Failure::Conflict(said)) if said.contains("2 attempts")));
    assert_eq!(run_state(&store, 1).await, RunState::Queued);
    assert_eq!(state(&store, 1).await, JobState::Executing);
    let error = "still no answer".to_owned();
    let end = store.settle(
        second.fence,
        Outcome::Discarded { error },
        changes(1, RunState::Failed),
        at(62),
    );
    assert_eq!(end.await, Ok(JobState::Discarded));
    let run = store.run(RunId::of(1)).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.run.record.as_str()),
        (RunState::Failed, "{\"is\":\"failed\"}")
    );
    assert_eq!((run.started, run.ended), (Some(at(1)), Some(at(2))));
    let attempts = store.attempts(RunId::of(1)).await.unwrap();
    let attempt = |number, owner: &str, began, ended, error: &str| Attempt {
        number,
        owner: owner.into(),
        began: at(began),
        ended: Some(at(ended)),
        outcome: Some("failed".into()),
        error: Some(error.into()),
    };
    assert_eq!(
        attempts,
        [
            attempt(1, "a", 0, 1, "no answer"),
            attempt(2, "b", 60, 62, "still no answer")
        ]
    );
    let again = store.settle(second.fence, Outcome::Completed, Commit::default(), at(63));
    assert_eq!(again.await, Err(Failure::Lost));
}

pub(super) async fn a_snooze_is_no_attempt(store: Shared) {
    let mut once = submission(1);
    once.job.max_attempts = 1;
    store.submit(once).await.unwrap();
    for round in 0..5 {
        let claim = one(&store, "a", round * 10).await;
        assert_eq!((claim.attempt, claim.fence.number), (1, round + 1));
        let until = at(round * 10 + 10);
        let snooze = Outcome::Snoozed { until };
        let settled = store.settle(claim.fence, snooze, Commit::default(), at(round * 10));
        assert_eq!(settled.await, Ok(JobState::Scheduled));
        let none = claim_at(&store, until.ms() - 1).await;
        assert_eq!(none, Claims::default());
    }
}

async fn claim_at(store: &Shared, ms: i64) -> Claims {
    let mut ask = ask("a", 0);
    ask.now = Moment::from_ms(ms);
    store.claim(ask).await.unwrap()
}

pub(super) async fn what_is_cancelled_ends(store: Shared) {
    let cancel = async |n| {
        let wish = store.cancel(change(n, RunState::Cancelled), at(5));
        wish.await.unwrap()
    };
    assert_eq!(cancel(1).await, Cancel::None);
    submit(&store, 1).await;
    assert_eq!(cancel(1).await, Cancel::Done);
    assert_eq!(cancel(1).await, Cancel::Over);
    assert_eq!(state(&store, 1).await, JobState::Cancelled);
    assert_eq!(run_state(&store, 1).await, RunState::Cancelled);
    assert_eq!(claim(&store, "a", 6).await, Claims::default());
    // At work: it is told so.
    let fence = working(&store, 2).await;
    assert_eq!(cancel(2).await, Cancel::Wanted);
    assert_eq!(run_state(&store, 2).await, RunState::Queued);
    let told = store.renew(vec![fence], secs(30), at(6)).await;
    assert_eq!(told, Ok(vec![Renewed::CancelWanted]));
    let end = store.settle(
        fence,
        Outcome::Cancelled,
        changes(2, RunState::Cancelled),
        at(7),
    );
    assert_eq!(end.await, Ok(JobState::Cancelled));
    // It did not hear of it: then whoever comes next ends it, at once.
    let fence = working(&store, 3).await;
    assert_eq!(cancel(3).await, Cancel::Wanted);
    let error = "no answer".to_owned();
    let retry = Outcome::Retry { error, at: at(900) };
    store
        .settle(fence, retry, Commit::default(), at(8))
        .await
        .unwrap();
    let claims = claim(&store, "b", 8).await;
    assert!(claims.to_run.is_empty());
    assert_eq!(claims.to_end[0].why, Why::Cancelled);
    // Its server is gone.
    let fence = working(&store, 4).await;
    assert_eq!(cancel(4).await, Cancel::Wanted);
    let claims = claim(&store, "b", 31).await;
    let next = claims.to_end.iter().find(|e| e.claim.run == RunId::of(4));
    let next = &next.unwrap().claim;
    assert!(next.rescued && next.fence.number > fence.number);
}

pub(super) async fn a_commit_is_all_or_nothing(store: Shared) {
    let fence = working(&store, 1).await;
    let mut part = new_run(2);
    part.parent = Some(RunId::of(1));
    let mut commit = changes(1, RunState::Running);
    commit.new_runs.push(part);
    // There is no such run.
    commit.runs.push(change(9, RunState::Running));
    let refused = store.commit(fence, commit.clone()).await;
    assert!(matches!(refused, Err(Failure::Conflict(said)) if said.contains("no run run_")));
    assert_eq!(run_state(&store, 1).await, RunState::Queued);
    assert_eq!(store.run(RunId::of(2)).await, Ok(None));
    let refused = store
        .settle(fence, Outcome::Completed, commit.clone(), at(3))
        .await;
    assert!(refused.is_err());
    assert_eq!(state(&store, 1).await, JobState::Executing);
    commit.runs.pop();
    store.commit(fence, commit.clone()).await.unwrap();
    // Once more, as after a lost answer.
    store.commit(fence, commit).await.unwrap();
    assert_eq!(run_state(&store, 1).await, RunState::Running);
    assert_eq!(run_state(&store, 2).await, RunState::Queued);
}
