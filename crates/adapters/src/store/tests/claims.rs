//! Who gets a job, when, and for how long.

use model::store::{Lease, LetterFilter, Renewed, Why};

use super::*;

pub(super) async fn fences_keep_out_who_was_rescued(store: Shared) {
    submit(&store, 1).await;
    let slow = one(&store, "slow", 0).await;
    assert_eq!(claim(&store, "b", 29).await, Claims::default());
    // A lease that is renewed holds on, though it would have run out.
    let held = store.renew(vec![slow.fence], secs(30), at(20)).await;
    assert_eq!(held, Ok(vec![Renewed::Held]));
    assert_eq!(claim(&store, "b", 49).await, Claims::default());
    // One that ran out is still one's own, as long as nobody claims the job.
    store
        .commit(slow.fence, changes(1, RunState::Running))
        .await
        .unwrap();
    let next = one(&store, "b", 50).await;
    assert_eq!((next.attempt, next.rescued), (2, true));
    assert!(next.fence.number > slow.fence.number);
    let late = store.commit(slow.fence, changes(1, RunState::Failed)).await;
    assert_eq!(late, Err(Failure::Lost));
    let commit = changes(1, RunState::Failed);
    let late = store
        .settle(slow.fence, Outcome::Completed, commit, at(51))
        .await;
    assert_eq!(late, Err(Failure::Lost));
    let filter = LetterFilter::of(pipeline("p"));
    let late = store.take_letters(slow.fence, filter, 1).await;
    assert_eq!(late, Err(Failure::Lost));
    assert_eq!(
        store.commit(slow.fence, Commit::default()).await,
        Err(Failure::Lost)
    );
    let both = store
        .renew(vec![slow.fence, next.fence], secs(30), at(51))
        .await;
    assert_eq!(both, Ok(vec![Renewed::Lost, Renewed::Held]));
    assert_eq!(run_state(&store, 1).await, RunState::Running);
    complete(&store, next.fence, 1, 52).await;
    assert_eq!(run_state(&store, 1).await, RunState::Succeeded);
    let attempts = store.attempts(RunId::of(1)).await.unwrap();
    let told: Vec<_> = attempts
        .iter()
        .map(|a| (a.owner.as_str(), a.ended, a.outcome.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("slow", Some(at(50)), Some("lost")),
            ("b", Some(at(52)), Some("completed"))
        ]
    );
}

pub(super) async fn lost_attempts_are_used_up(store: Shared) {
    let mut two = submission(1);
    two.job.max_attempts = 2;
    store.submit(two).await.unwrap();
    // Who was lost before the run began has used none up.
    one(&store, "early", -30).await;
    for (server, now) in [("a", 0), ("b", 30)] {
        let claim = one(&store, server, now).await;
        let running = changes(1, RunState::Running);
        store.commit(claim.fence, running).await.unwrap();
    }
    let claims = claim(&store, "c", 60).await;
    assert!(claims.to_run.is_empty());
    let spent = &claims.to_end[0];
    assert_eq!((spent.why, spent.claim.attempt), (Why::Spent, 2));
    // Who was to end it is lost, too.
    let claims = claim(&store, "d", 90).await;
    let spent = &claims.to_end[0];
    assert_eq!((spent.why, spent.claim.attempt), (Why::Spent, 2));
    let error = "its servers were lost".to_owned();
    let end = store.settle(
        spent.claim.fence,
        Outcome::Discarded { error },
        changes(1, RunState::Failed),
        at(91),
    );
    assert_eq!(end.await, Ok(JobState::Discarded));
    assert_eq!(claim(&store, "e", 999).await, Claims::default());
    assert_eq!(store.attempts(RunId::of(1)).await.unwrap().len(), 3);
}

pub(super) async fn the_highest_priority_then_the_oldest_goes_first(store: Shared) {
    for (number, priority, seconds) in [
        (1, 0, 5),
        (2, 0, 3),
        (3, 9, 8),
        (4, -1, 0),
        (5, 0, 3),
        (6, 99, 50),
    ] {
        let mut one = submission(number);
        one.job.priority = priority;
        one.job.at = at(seconds);
        store.submit(one).await.unwrap();
    }
    assert_eq!(state(&store, 4).await, JobState::Available);
    assert_eq!(state(&store, 3).await, JobState::Scheduled);
    assert_eq!(numbers(&claim(&store, "a", 0).await.to_run), ["[4]"]);
    let mut two = ask("a", 9);
    two.most = 2;
    let got = store.claim(two.clone()).await.unwrap();
    assert_eq!(numbers(&got.to_run), ["[3]", "[2]"]);
    let mut other = two.clone();
    other.queue = "other".into();
    assert_eq!(store.claim(other).await, Ok(Claims::default()));
    let got = store.claim(two.clone()).await.unwrap();
    assert_eq!(numbers(&got.to_run), ["[5]", "[1]"]);
    // What was rescued goes before everything else, the one that was lost first before the others.
    two.now = at(50);
    let got = rescue(&store, two).await;
    assert_eq!(numbers(&got.to_run), ["[4]", "[1]"]);
}

pub(super) async fn a_queue_has_its_bound(store: Shared) {
    for number in 1..=6 {
        submit(&store, number).await;
    }
    let bounded = |owner, now, at_once| Ask {
        at_once,
        ..ask(owner, now)
    };
    let first = store.claim(bounded("a", 0, 2)).await.unwrap();
    assert_eq!(numbers(&first.to_run), ["[1]", "[2]"]);
    assert_eq!(store.claim(bounded("b", 1, 2)).await, Ok(Claims::default()));
    let third = store.claim(bounded("b", 1, 3)).await.unwrap();
    assert_eq!(numbers(&third.to_run), ["[3]"]);
    complete(&store, first.to_run[0].fence, 1, 2).await;
    assert_eq!(store.claim(bounded("b", 3, 2)).await, Ok(Claims::default()));
    // A rescue takes the place that the job has already.
    let later = rescue(&store, bounded("c", 30, 3)).await;
    assert_eq!(numbers(&later.to_run), ["[2]", "[4]"]);
    let later = rescue(&store, bounded("c", 31, 1)).await;
    assert_eq!(numbers(&later.to_run), ["[3]"]);
}

pub(super) async fn one_knows_when_to_ask_again(store: Shared) {
    let due = async || store.due("q".into()).await.unwrap();
    assert_eq!(due().await, None);
    let mut later = submission(1);
    later.job.at = at(70);
    store.submit(later).await.unwrap();
    assert_eq!(due().await, Some(at(70)));
    submit(&store, 2).await;
    assert_eq!(due().await, Some(at(0)));
    let claim = one(&store, "a", 5).await;
    assert_eq!(due().await, Some(at(70)));
    // The server is known to have ended: its jobs need not wait for the lease.
    assert_eq!(store.forsake("b".into()).await, Ok(0));
    assert_eq!(store.forsake("a".into()).await, Ok(1));
    let again = one(&store, "a", 6).await;
    assert!(again.rescued && again.fence.number > claim.fence.number);
    complete(&store, again.fence, 2, 7).await;
    assert_eq!(due().await, Some(at(70)));
}

pub(super) async fn a_lease_is_silent_only_while_it_stands(store: Shared) {
    submit(&store, 1).await;
    let slow = one(&store, "slow", 0).await;
    let seen = store.leases("q".into()).await.unwrap();
    let lease = Lease {
        fence: slow.fence,
        until: Some(at(30)),
    };
    assert_eq!(seen, [lease]);
    // A clock that is a day ahead says nothing about it.
    let day = 24 * 60 * 60;
    assert_eq!(store.claim(ask("b", day)).await, Ok(Claims::default()));
    let silent = |now| Ask {
        silent: seen.clone(),
        ..ask("b", now)
    };
    // It was renewed since it was seen, by a clock that is behind.
    let held = store.renew(vec![slow.fence], secs(30), at(-20)).await;
    assert_eq!(held, Ok(vec![Renewed::Held]));
    assert_eq!(store.claim(silent(day)).await, Ok(Claims::default()));
    let held = store.renew(vec![slow.fence], secs(30), at(0)).await;
    assert_eq!(held, Ok(vec![Renewed::Held]));
    let claims = store.claim(silent(-day)).await.unwrap();
    assert_eq!(numbers(&claims.to_run), ["[1]"]);
    assert!(claims.to_run[0].rescued);
}

pub(super) async fn what_a_clock_put_off_that_was_set_back_is_due(store: Shared) {
    let hour = 60 * 60;
    let set_back = |now| Ask {
        set_back: true,
        ..ask("a", now)
    };
    // Put off when it was submitted, and after an attempt, each by a minute.
    for number in [1, 2] {
        let mut one = submission(number);
        one.run.submitted = at(hour);
        one.job.at = at(hour + 60);
        store.submit(one).await.unwrap();
    }
    submit(&store, 3).await;
    let claim = one(&store, "a", hour).await;
    let retry = Outcome::Retry {
        error: "no".into(),
        at: at(hour + 60),
    };
    let settled = store.settle(claim.fence, retry.clone(), Commit::default(), at(hour));
    settled.await.unwrap();
    assert_eq!(store.claim(ask("a", 0)).await, Ok(Claims::default()));
    // Clocks of servers are not the same.
    assert_eq!(
        store.claim(set_back(hour - 50)).await,
        Ok(Claims::default())
    );
    let claims = store.claim(set_back(0)).await.unwrap();
    assert_eq!(numbers(&claims.to_run).len(), 3, "{claims:?}");
    // What is put off now was put off by the clock as it is.
    for claim in claims.to_run {
        let retry = Outcome::Retry {
            error: "no".into(),
            at: at(61),
        };
        let settled = store.settle(claim.fence, retry, Commit::default(), at(1));
        settled.await.unwrap();
    }
    assert_eq!(store.claim(set_back(2)).await, Ok(Claims::default()));
    assert_eq!(store.due("q".into()).await, Ok(Some(at(61))));
}

pub(super) async fn attempts_are_bounded(store: Shared) {
    submit(&store, 1).await;
    for now in 0..103 {
        let claim = one(&store, "a", now).await;
        let until = at(now + 1);
        let snooze = Outcome::Snoozed { until };
        store
            .settle(claim.fence, snooze, Commit::default(), at(now))
            .await
            .unwrap();
    }
    let attempts = store.attempts(RunId::of(1)).await.unwrap();
    assert_eq!((attempts.len(), attempts[0].began), (100, at(3)));
}
