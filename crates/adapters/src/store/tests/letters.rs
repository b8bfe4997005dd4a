//! Dead letters.

use bytes::Bytes;
use model::store::{Letter, LetterFilter, LetterId, LetterState, NewLetter, Purge, Redriven, Room};

use super::*;

fn letter(number: u64, stage: &str) -> NewLetter {
    NewLetter {
        pipeline: pipeline("p"),
        run: RunId::of(1),
        stage: stage.into(),
        number,
        reason: "no such column".into(),
        attempts: 3,
        // Not text, as it may be.
        original: Bytes::from(format!("{number}\0\u{ff}").into_bytes()),
        undelivered: stage == "b",
        at: at(i64::try_from(number).unwrap()),
    }
}

fn commit(letters: Vec<NewLetter>) -> Commit {
    Commit {
        letters,
        ..Commit::default()
    }
}

fn all() -> LetterFilter {
    LetterFilter::of(pipeline("p"))
}

fn told(redriven: Vec<(LetterId, Redriven)>) -> Commit {
    Commit {
        redriven,
        ..Commit::default()
    }
}

/// Six letters, the even ones of the stage `b`, and the fence of their job.
async fn six(store: &Shared) -> Fence {
    let fence = working(store, 1).await;
    let stage = |number| if number % 2 == 0 { "b" } else { "a" };
    let letters = (1..=6).map(|n| letter(n, stage(n))).collect();
    store.commit(fence, commit(letters)).await.unwrap();
    fence
}

fn numbers(letters: &[Letter]) -> Vec<u64> {
    letters.iter().map(|l| l.new.number).collect()
}

async fn list(store: &Shared, filter: LetterFilter) -> Vec<u64> {
    numbers(&store.letters(filter, 100).await.unwrap())
}

async fn kept(store: &Shared) -> (u64, u64) {
    let room = store.letters_kept(pipeline("p")).await.unwrap();
    (room.letters, room.bytes)
}

pub(super) async fn letters_have_bounds(store: Shared) {
    let fence = working(&store, 1).await;
    assert_eq!(kept(&store).await, (0, 0));
    check_invalid(
        store.commit(fence, commit(vec![letter(1, "")])).await,
        &["stage's name"],
    );
    let within = |numbers: std::ops::RangeInclusive<u64>, letters, bytes| Commit {
        room: Some(Room { letters, bytes }),
        ..commit(numbers.map(|n| letter(n, "a")).collect())
    };
    store.commit(fence, within(1..=3, 3, 99)).await.unwrap();
    // One more letter, some more bytes: neither fits, and the checkpoint that came with it is not moved.
    for (letters, bytes) in [(3, 99), (99, 15)] {
        let mut more = within(4..=4, letters, bytes);
        more.runs.push(change(1, RunState::Running));
        let full = store.commit(fence, more).await;
        assert!(matches!(full, Err(Failure::Bound(said)) if said.contains("4 and 16")));
    }
    assert_eq!(run_state(&store, 1).await, RunState::Queued);
    assert_eq!(kept(&store).await, (3, 12));
    store.commit(fence, within(4..=4, 4, 16)).await.unwrap();
    assert_eq!(list(&store, all()).await, [1, 2, 3, 4]);
    // What is said last is there, however large the first is.
    let mut large = letter(5, "a");
    large.original = Bytes::from(vec![0xfe; 17 << 20]);
    store
        .commit(fence, commit(vec![large.clone(), letter(6, "a")]))
        .await
        .unwrap();
    let filter = LetterFilter {
        after: store.letters(all(), 4).await.unwrap().last().map(|l| l.id),
        ..all()
    };
    let page = store.letters(filter, 10).await.unwrap();
    assert_eq!(numbers(&page), [5]);
    assert_eq!(page[0].new, large);
}

pub(super) async fn letters_are_found_and_edited(store: Shared) {
    assert_eq!(store.letter(LetterId(1)).await, Ok(None));
    assert_eq!(store.edit_letter(LetterId(1), None).await, Ok(false));
    let fence = six(&store).await;
    let found = store.letters(all(), 100).await.unwrap();
    assert_eq!(numbers(&found), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found[2].new, letter(3, "a"));
    let of = |stage: Option<&str>, state, after: Option<usize>| LetterFilter {
        stage: stage.map(Into::into),
        state,
        after: after.map(|at| found[at].id),
        ..all()
    };
    assert_eq!(list(&store, of(Some("b"), None, None)).await, [2, 4, 6]);
    assert_eq!(list(&store, of(Some("b"), None, Some(1))).await, [4, 6]);
    assert_eq!(
        list(&store, of(None, Some(LetterState::Taken), None)).await,
        Vec::<u64>::new()
    );
    let id = found[0].id;
    let edit = async |text: Option<&'static str>| {
        let edit = store.edit_letter(id, text.map(|t| Bytes::from_static(t.as_bytes())));
        edit.await.unwrap()
    };
    assert!(edit(Some("better")).await);
    assert_eq!(kept(&store).await, (6, 30));
    let edited = store.letter(id).await.unwrap().unwrap();
    assert_eq!(edited.edited.as_deref(), Some(b"better".as_slice()));
    assert_eq!(edited.new, letter(1, "a"));
    assert!(edit(None).await);
    assert_eq!(kept(&store).await, (6, 24));
    assert_eq!(store.letter(id).await.unwrap().unwrap().edited, None);
    // One that is being tried again is not to be changed.
    store.take_letters(fence, all(), 1).await.unwrap();
    assert!(!edit(Some("late")).await);
}

pub(super) async fn letters_are_tried_again_in_order(store: Shared) {
    let first = six(&store).await;
    submit(&store, 2).await;
    let second = one(&store, "b", 1).await.fence;
    let mut of_a = all();
    of_a.stage = Some("a".into());
    let taken = store.take_letters(first, of_a.clone(), 2).await.unwrap();
    assert_eq!(numbers(&taken), [1, 3]);
    assert!(taken.iter().all(|l| l.state == LetterState::Taken));
    let rest = store.take_letters(second, all(), 3).await.unwrap();
    assert_eq!(numbers(&rest), [2, 4, 5]);
    // Not the other job's, and nothing of the rest then either.
    let wrong = vec![
        (taken[0].id, Redriven::Resolved),
        (rest[0].id, Redriven::Resolved),
    ];
    let refused = store.commit(first, told(wrong)).await;
    assert!(matches!(refused, Err(Failure::Conflict(said)) if said.contains("not with this job")));
    let failed = Redriven::Failed {
        reason: "still no such column".into(),
    };
    let outcomes = vec![(taken[0].id, Redriven::Resolved), (taken[1].id, failed)];
    store.commit(first, told(outcomes)).await.unwrap();
    let one_now = store.letter(taken[0].id).await.unwrap().unwrap();
    assert_eq!(
        (one_now.state, one_now.new.attempts),
        (LetterState::Resolved, 4)
    );
    let three = store.letter(taken[1].id).await.unwrap().unwrap();
    assert_eq!((three.state, three.new.attempts), (LetterState::Waiting, 4));
    assert_eq!(three.new.reason, "still no such column");
    // What is rejected is not tried again by itself.
    let count = async |undelivered| {
        let all = store.letters_waiting(pipeline("p")).await.unwrap();
        let waiting = all.iter().find(|w| w.undelivered == undelivered);
        waiting.map(|w| (w.stage.clone(), w.letters, w.since))
    };
    assert_eq!(count(true).await, Some(("b".into(), 3, at(2))));
    let rejected = Redriven::Rejected {
        reason: "not wanted".into(),
    };
    let two = vec![(rest[0].id, rejected)];
    store.commit(second, told(two)).await.unwrap();
    assert_eq!(count(true).await, Some(("b".into(), 2, at(4))));
    let only = LetterFilter {
        id: Some(rest[0].id),
        undelivered: Some(false),
        ..all()
    };
    let taken = store.take_letters(second, only, 5).await.unwrap();
    assert_eq!(numbers(&taken), [2]);
    // Of a job that is over, or lost, others may take what it had not dealt with.
    let untried = vec![(rest[0].id, Redriven::Untried)];
    store.commit(second, told(untried)).await.unwrap();
    let done = store.settle(second, Outcome::Completed, Commit::default(), at(2));
    done.await.unwrap();
    let again = store.take_letters(first, all(), 100).await.unwrap();
    assert_eq!(numbers(&again), [2, 3, 4, 5, 6]);
    assert_eq!((again[0].new.attempts, again[1].new.attempts), (4, 4));
    let rescuer = one(&store, "c", 31).await.fence;
    let lost = store
        .commit(first, told(vec![(again[0].id, Redriven::Resolved)]))
        .await;
    assert_eq!(lost, Err(Failure::Lost));
    let again = store.take_letters(rescuer, all(), 100).await.unwrap();
    assert_eq!(numbers(&again), [2, 3, 4, 5, 6]);
}

pub(super) async fn letters_are_purged(store: Shared) {
    let purge = || Purge {
        pipeline: pipeline("p"),
        id: None,
        stage: None,
        state: None,
        before: None,
        keep: None,
    };
    assert_eq!(store.purge_letters(purge(), 10).await, Ok(0));
    let fence = six(&store).await;
    let taken = store.take_letters(fence, all(), 1).await.unwrap();
    let mut wish = purge();
    wish.id = Some(taken[0].id);
    assert_eq!(store.purge_letters(wish, 10).await, Ok(0));
    let mut wish = purge();
    wish.before = Some(at(3));
    assert_eq!(store.purge_letters(wish, 10).await, Ok(1));
    assert_eq!(list(&store, all()).await, [1, 3, 4, 5, 6]);
    assert_eq!(kept(&store).await, (5, 20));
    let mut wish = purge();
    wish.stage = Some("b".into());
    assert_eq!(store.purge_letters(wish.clone(), 1).await, Ok(1));
    wish.state = Some(LetterState::Resolved);
    assert_eq!(store.purge_letters(wish, 10).await, Ok(0));
    assert_eq!(list(&store, all()).await, [1, 3, 5, 6]);
    let mut wish = purge();
    wish.keep = Some(2);
    assert_eq!(store.purge_letters(wish.clone(), 10).await, Ok(1));
    assert_eq!(list(&store, all()).await, [1, 5, 6]);
    wish.keep = Some(9);
    assert_eq!(store.purge_letters(wish, 10).await, Ok(0));
    // Its job is over: nobody has the first one any more.
    complete(&store, fence, 1, 2).await;
    assert_eq!(store.purge_letters(purge(), 10).await, Ok(3));
    assert_eq!(kept(&store).await, (0, 0));
}
