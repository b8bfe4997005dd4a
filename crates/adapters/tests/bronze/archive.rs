//! Segments that are uploaded, and read from there.

use super::*;

/// A log with an archive beside it, and a record on each of four days.
async fn four_days(dir: &Path) -> BronzeLog {
    let log = with_archive(dir, 1).await;
    for day in 0..4 {
        put(&log, vec![raw(format!("day {day}"), NOON + day * DAY)]).await;
    }
    log
}

async fn with_archive(dir: &Path, cache_bytes: u64) -> BronzeLog {
    let options = Options {
        cache_bytes,
        ..Options::default()
    };
    let archive = || Some(Archive::folder(dir.join("archive/below")));
    open_with(&dir.join("log"), options, archive).await
}

fn keep() -> Retention {
    Retention {
        now_ms: NOON + 4 * DAY,
        age_ms: None,
        bytes: None,
        local_ms: None,
        taken: Taken::All,
    }
}

fn states(segments: &[Segment]) -> Vec<&SegmentState> {
    segments.iter().map(|s| &s.state).collect()
}

const HERE: SegmentState = SegmentState::Uploaded { local: true };
const AWAY: SegmentState = SegmentState::Uploaded { local: false };

#[tokio::test]
async fn segments_are_uploaded_and_fetched() {
    let dir = TempDir::new().unwrap();
    let log = four_days(dir.path()).await;
    let before = all(&log).await;
    let uploaded = log.upload().await.unwrap();
    assert_eq!((uploaded.segments, uploaded.failed.len()), (3, 0));
    assert_eq!(log.upload().await.unwrap().segments, 0);
    let listed_before = listed(&log).await;
    assert_eq!(
        states(&listed_before),
        [&HERE, &HERE, &HERE, &SegmentState::Open]
    );
    for file in found(&dir.path().join("log/p"), "bronze") {
        let below = file.strip_prefix(dir.path().join("log")).unwrap();
        let copy = dir.path().join("archive/below").join(below);
        assert_eq!(fs::read(copy).unwrap(), fs::read(&file).unwrap());
    }
    // The local files of the first two go; nothing else does.
    let local = Retention {
        local_ms: Some(2 * DAY),
        ..keep()
    };
    let swept = log.sweep(id("p"), local).await.unwrap();
    assert_eq!((swept.segments, swept.local_files), (0, 2));
    assert_eq!(found(&dir.path().join("log/p"), "bronze").len(), 1);
    let after = listed(&log).await;
    assert_eq!(states(&after), [&AWAY, &AWAY, &HERE, &SegmentState::Open]);
    assert_eq!(after[0].stored, listed_before[0].stored);
    assert_eq!(after[0].records, 1);
    // A cache of a byte holds one segment.
    for _ in 0..2 {
        assert_eq!(all(&log).await, before);
        assert_eq!(found(&dir.path().join("log/.cache"), "bronze").len(), 1);
    }
    let late = Reading {
        from_ms: Some(NOON + 3 * DAY),
        ..from_start()
    };
    assert_eq!(follow(&log, late).await, before[3..]);
    drop(log);
    let log = with_archive(dir.path(), 1 << 20).await;
    assert_eq!(all(&log).await, before);
    assert_eq!(found(&dir.path().join("log/.cache"), "bronze").len(), 2);
    assert_eq!(states(&listed(&log).await), states(&after));
    drop(log);
    // Without the archive what is there is not had, and what is here is.
    let log = open_with(&dir.path().join("log"), Options::default(), || None).await;
    let error = Bronze::read(&log, id("p"), from_start()).await.unwrap_err();
    assert!(error.to_string().ends_with("none is configured"), "{error}");
    let here = Reading {
        after: Some(before[1].position),
        ..from_start()
    };
    assert_eq!(follow(&log, here).await, before[2..]);
}

#[tokio::test]
async fn retention_reaches_the_archive() {
    let dir = TempDir::new().unwrap();
    let log = four_days(dir.path()).await;
    log.upload().await.unwrap();
    let local = Retention {
        local_ms: Some(0),
        age_ms: Some(3 * DAY),
        ..keep()
    };
    let swept = log.sweep(id("p"), local).await.unwrap();
    assert_eq!((swept.segments, swept.local_files), (1, 2));
    assert_eq!(found(&dir.path().join("archive"), "bronze").len(), 2);
    assert_eq!(found(&dir.path().join("log"), "uploaded").len(), 2);
    // What lies there counts, too.
    let size = listed(&log).await[0].stored;
    let small = Retention {
        bytes: Some(2 * size),
        ..keep()
    };
    assert_eq!(log.sweep(id("p"), small).await.unwrap().segments, 1);
    assert_eq!(found(&dir.path().join("archive"), "bronze").len(), 1);
    assert_eq!(all(&log).await.len(), 2);
}

#[tokio::test]
async fn what_is_damaged_is_not_uploaded_and_a_lost_archive_is_named() {
    let dir = TempDir::new().unwrap();
    let log = four_days(dir.path()).await;
    let file = found(&dir.path().join("log/p"), "bronze").remove(1);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(log.upload().await.unwrap().segments, 2);
    let segments = listed(&log).await;
    assert!(matches!(
        segments[1].state,
        SegmentState::Quarantined { .. }
    ));
    let local = Retention {
        local_ms: Some(0),
        ..keep()
    };
    log.sweep(id("p"), local).await.unwrap();
    fs::remove_dir_all(dir.path().join("archive")).unwrap();
    let error = Bronze::read(&log, id("p"), from_start()).await.unwrap_err();
    assert!(error.is_retryable());
    // A file where the folder ought to be: nothing is uploaded, nothing is lost.
    fs::write(dir.path().join("archive"), "x").unwrap();
    log.seal(NOON + 9 * DAY).await.unwrap();
    let uploaded = log.upload().await.unwrap();
    assert_eq!((uploaded.segments, uploaded.failed.len()), (0, 1));
    fs::remove_file(dir.path().join("archive")).unwrap();
    assert_eq!(log.upload().await.unwrap().segments, 1);
}
