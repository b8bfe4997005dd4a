//! What goes by age and size, and what stays.

use super::*;

/// A log with one record on each of so many days.
async fn days(folder: &Path, count: u64) -> BronzeLog {
    let log = open(folder);
    for day in 0..count {
        put(&log, vec![raw(format!("day {day}"), NOON + day * DAY)]).await;
    }
    log
}

/// Nothing has to go, on the day after the fourth.
fn keep() -> Retention {
    Retention {
        now_ms: NOON + 4 * DAY,
        age_ms: None,
        bytes: None,
        local_ms: None,
        taken: Taken::All,
    }
}

async fn check(retention: impl Fn(&[Kept], u64) -> Retention, stay: &[u64]) {
    let dir = TempDir::new().unwrap();
    let log = days(dir.path(), 4).await;
    let size = listed(&log).await[0].stored;
    let before = all(&log).await;
    let swept = log.sweep(id("p"), retention(&before, size)).await.unwrap();
    assert_eq!(swept.segments, 4 - stay.len() as u64);
    assert_eq!(swept.bytes > 0, swept.segments > 0);
    let left: Vec<u64> = all(&log)
        .await
        .iter()
        .map(|k| (k.record.received_ms - NOON) / DAY)
        .collect();
    assert_eq!(left, stay);
    assert_eq!(found(dir.path(), "bronze").len() + 1, stay.len());
    drop(log);
    assert_eq!(all(&reopen(dir.path()).await).await.len(), stay.len());
}

#[tokio::test]
async fn what_goes() {
    check(|_, _| keep(), &[0, 1, 2, 3]).await;
    let by_age = |days: u64| {
        move |_: &[Kept], _| Retention {
            age_ms: Some(days * DAY),
            ..keep()
        }
    };
    check(by_age(3), &[1, 2, 3]).await;
    check(by_age(4), &[0, 1, 2, 3]).await;
    // The open one stays.
    check(by_age(0), &[3]).await;
    let by_size = |count: u64| {
        move |_: &[Kept], size| Retention {
            bytes: Some(count * size + size / 2),
            ..keep()
        }
    };
    check(by_size(3), &[1, 2, 3]).await;
    check(by_size(4), &[0, 1, 2, 3]).await;
    let taken = |count: usize| {
        move |kept: &[Kept], _| Retention {
            age_ms: Some(0),
            bytes: Some(0),
            taken: count
                .checked_sub(1)
                .map_or(Taken::Nothing, |at| Taken::To(kept[at].position)),
            ..keep()
        }
    };
    check(taken(0), &[0, 1, 2, 3]).await;
    check(taken(1), &[1, 2, 3]).await;
    check(taken(4), &[3]).await;
}

#[tokio::test]
async fn numbers_grow_over_what_was_removed() {
    let dir = TempDir::new().unwrap();
    let log = days(dir.path(), 2).await;
    log.seal(NOON + 4 * DAY).await.unwrap();
    let last = all(&log).await.pop().unwrap().position;
    let everything = Retention {
        // A clock that went back.
        now_ms: 5,
        bytes: Some(0),
        ..keep()
    };
    assert_eq!(log.sweep(id("p"), everything).await.unwrap().segments, 2);
    drop(log);
    let log = reopen(dir.path()).await;
    assert_eq!(all(&log).await, []);
    let next = put(&log, vec![raw("x", 7)]).await;
    assert!(next > last, "{next} {last}");
    // The empty segment that kept the number gives way to that of another day.
    let next = put(&log, vec![raw("x", NOON)]).await;
    assert!(next > last, "{next} {last}");
}

#[tokio::test]
async fn a_damaged_segment_goes_by_its_age() {
    let dir = TempDir::new().unwrap();
    let log = days(dir.path(), 2).await;
    let file = found(dir.path(), "bronze").remove(0);
    fs::write(&file, vec![7; 500]).unwrap();
    assert_eq!(all(&log).await.len(), 1);
    assert_eq!(found(dir.path(), "reason").len(), 1);
    let old = |days: u64| Retention {
        age_ms: Some(days * DAY),
        ..keep()
    };
    assert_eq!(log.sweep(id("p"), old(4)).await.unwrap().segments, 0);
    let swept = log.sweep(id("p"), old(3)).await.unwrap();
    assert_eq!((swept.segments, swept.bytes), (1, 500));
    assert_eq!(found(dir.path(), "reason").len(), 0);
}
