//! Schedules, conditions, checkpoints, versions.

use model::store::{Advance, Advanced, Checkpoint, Condition, Schedule, SpecVersion};

use super::*;

pub(super) async fn schedules_move_on_once(store: Shared) {
    let p = || pipeline("p");
    let step = |digest: &str, from: Option<i64>, to, submissions| Advance {
        pipeline: p(),
        digest: digest.into(),
        from: from.map(at),
        to: at(to),
        submissions,
    };
    let nowhere = store
        .advance(step("a", None, 10, vec![submission(1)]))
        .await;
    assert_eq!(nowhere, Ok(Advanced::Stands(None)));
    check_invalid(store.arm(p(), String::new(), at(0)).await, &["digest"]);
    let schedule = |digest: &str, since, last: Option<i64>| Schedule {
        pipeline: p(),
        digest: digest.into(),
        since: at(since),
        last: last.map(at),
    };
    let armed = store.arm(p(), "a".into(), at(1)).await;
    assert_eq!(armed, Ok(schedule("a", 1, None)));
    // From where it does not stand, and by another trigger.
    for wrong in [
        step("a", Some(5), 10, vec![submission(1)]),
        step("b", None, 10, vec![submission(1)]),
    ] {
        let stands = store.advance(wrong).await;
        assert_eq!(stands, Ok(Advanced::Stands(Some(schedule("a", 1, None)))));
    }
    assert_eq!(store.run(RunId::of(1)).await, Ok(None));
    let both = vec![submission(1), submission(2)];
    let moved = store
        .advance(step("a", None, 10, both.clone()))
        .await
        .unwrap();
    assert!(
        matches!(moved, Advanced::Moved(runs) if runs.len() == 2 && runs.iter().all(|r| r.new))
    );
    let late = store.advance(step("a", None, 10, both)).await;
    assert_eq!(late, Ok(Advanced::Stands(Some(schedule("a", 1, Some(10))))));
    // What cannot be submitted leaves the schedule where it is.
    let mut bad = submission(3);
    bad.job.queue.clear();
    check_invalid(
        store
            .advance(step("a", Some(10), 20, vec![submission(4), bad]))
            .await,
        &["queue"],
    );
    assert_eq!(store.run(RunId::of(4)).await, Ok(None));
    let same = store.arm(p(), "a".into(), at(30)).await;
    assert_eq!(same, Ok(schedule("a", 1, Some(10))));
    let other = store.arm(p(), "b".into(), at(30)).await;
    assert_eq!(other, Ok(schedule("b", 30, None)));
    assert_eq!(store.schedules().await, Ok(vec![schedule("b", 30, None)]));
    assert_eq!(store.disarm(p()).await, Ok(true));
    assert_eq!(store.disarm(p()).await, Ok(false));
    assert_eq!(store.schedules().await, Ok(Vec::new()));
}

pub(super) async fn pipelines_are_paused_and_in_error(store: Shared) {
    let p = || pipeline("p");
    let said = |words: &str| Some(words.to_owned());
    assert_eq!(store.pause(p(), false).await, Ok(false));
    assert_eq!(store.report(p(), None, at(0)).await, Ok(false));
    assert_eq!(store.conditions().await, Ok(Vec::new()));
    assert_eq!(store.report(p(), said("no answer"), at(1)).await, Ok(true));
    assert_eq!(store.report(p(), said("no answer"), at(2)).await, Ok(false));
    assert_eq!(store.report(p(), said("refused"), at(3)).await, Ok(false));
    assert_eq!(store.pause(p(), true).await, Ok(true));
    assert_eq!(store.pause(p(), true).await, Ok(false));
    let condition = |error: Option<&str>, since: Option<i64>| Condition {
        pipeline: p(),
        paused: true,
        error: error.map(Into::into),
        error_since: since.map(at),
    };
    let all = store.conditions().await;
    assert_eq!(all, Ok(vec![condition(Some("refused"), Some(1))]));
    assert_eq!(store.report(p(), None, at(4)).await, Ok(true));
    assert_eq!(store.conditions().await, Ok(vec![condition(None, None)]));
    assert_eq!(store.pause(p(), false).await, Ok(true));
    assert_eq!(store.conditions().await, Ok(Vec::new()));
}

pub(super) async fn checkpoints_are_the_last_ones(store: Shared) {
    let fence = working(&store, 1).await;
    let checkpoint = |name: &str, records| Checkpoint {
        pipeline: pipeline("p"),
        name: name.into(),
        cursor: (records > 0).then(|| format!("after {records}")),
        sinks: "{\"out\":7}".into(),
        run: RunId::of(1),
        records,
        at: at(5),
    };
    let commit = |checkpoints| Commit {
        checkpoints,
        ..Commit::default()
    };
    let get = async |name: &str| store.checkpoint(pipeline("p"), name.into()).await.unwrap();
    check_invalid(
        store.commit(fence, commit(vec![checkpoint("", 1)])).await,
        &["checkpoint's name"],
    );
    assert_eq!(get("main").await, None);
    let both = commit(vec![checkpoint("main", 10), checkpoint("b", 0)]);
    store.commit(fence, both).await.unwrap();
    store
        .commit(fence, commit(vec![checkpoint("main", 20)]))
        .await
        .unwrap();
    assert_eq!(get("main").await, Some(checkpoint("main", 20)));
    // Whoever lost the job moves nothing.
    one(&store, "b", 30).await;
    let late = store
        .commit(fence, commit(vec![checkpoint("main", 30)]))
        .await;
    assert_eq!(late, Err(Failure::Lost));
    let all = store.checkpoints(pipeline("p")).await;
    assert_eq!(all, Ok(vec![checkpoint("b", 0), checkpoint("main", 20)]));
    assert_eq!(store.checkpoints(pipeline("other")).await, Ok(Vec::new()));
    assert_eq!(
        store.remove_checkpoint(pipeline("p"), "main".into()).await,
        Ok(true)
    );
    assert_eq!(
        store.remove_checkpoint(pipeline("p"), "main".into()).await,
        Ok(false)
    );
    assert_eq!(get("main").await, None);
}

pub(super) async fn versions_are_kept_once(store: Shared) {
    let put = async |name: &str, text: &str, now| {
        let put = store.put_version(
            pipeline(name),
            format!("sha of {text}"),
            text.into(),
            at(now),
        );
        put.await.unwrap()
    };
    let refused = store.put_version(pipeline("p"), String::new(), "text".into(), at(0));
    check_invalid(refused.await, &["digest"]);
    assert_eq!(put("p", "one", 1).await, 1);
    assert_eq!(put("p", "two", 2).await, 2);
    assert_eq!(put("p", "one", 3).await, 1);
    assert_eq!(put("q", "two", 4).await, 1);
    let version = |version, text: &str, now| SpecVersion {
        pipeline: pipeline("p"),
        version,
        digest: format!(
            "sha of {}",
            ["one", "two"][usize::try_from(version).unwrap() - 1]
        ),
        text: text.into(),
        at: at(now),
    };
    let first = store.version(pipeline("p"), 1).await;
    assert_eq!(first, Ok(Some(version(1, "one", 1))));
    assert_eq!(store.version(pipeline("p"), 3).await, Ok(None));
    let all = store.versions(pipeline("p"), None, 10).await;
    assert_eq!(all, Ok(vec![version(2, "", 2), version(1, "", 1)]));
    let page = store.versions(pipeline("p"), Some(2), 10).await;
    assert_eq!(page, Ok(vec![version(1, "", 1)]));
}
