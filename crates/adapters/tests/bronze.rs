//! The log over real files: what goes in comes out, whatever happens to the files in between.

#![cfg(test)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use adapters::bronze::{Archive, BronzeLog, Options};
use bytes::Bytes;
use model::bronze::{
    Bronze, BronzeError, Kept, Page, Position, RawRecord, Reading, Retention, Segment,
    SegmentState, Taken,
};
use model::data::Most;
use model::id::PipelineId;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

#[path = "bronze/archive.rs"]
mod archive;
#[path = "bronze/damage.rs"]
mod damage;
#[path = "bronze/processes.rs"]
mod processes;
#[path = "bronze/retention.rs"]
mod retention;
#[path = "bronze/s3.rs"]
mod s3;

/// 2026-11-22 12:00 UTC.
const NOON: u64 = 1_795_348_800_000;
const DAY: u64 = 86_400_000;

fn id(name: &str) -> PipelineId {
    PipelineId::new(name).unwrap()
}

fn open(folder: &Path) -> BronzeLog {
    BronzeLog::open(folder, Options::default(), None).unwrap()
}

fn raw(bytes: impl Into<Bytes>, received_ms: u64) -> RawRecord {
    RawRecord {
        headers: vec![("content-type".into(), Bytes::from_static(b"text/plain"))],
        received_ms,
        bytes: bytes.into(),
    }
}

/// A record of its own for each number.
fn numbered(number: u64) -> RawRecord {
    raw(format!("record {number}"), NOON + number)
}

async fn put(log: &BronzeLog, records: Vec<RawRecord>) -> Position {
    Bronze::append(log, id("p"), records).await.unwrap()
}

fn from_start() -> Reading {
    Reading {
        after: None,
        from_ms: None,
        until_ms: None,
        most: Most {
            records: 1000,
            bytes: 64 << 20,
        },
    }
}

async fn page(log: &BronzeLog, reading: Reading) -> Page {
    Bronze::read(log, id("p"), reading).await.unwrap()
}

/// All that a reading finds, page after page.
async fn follow(log: &BronzeLog, mut reading: Reading) -> Vec<Kept> {
    let mut all = Vec::new();
    loop {
        let page = page(log, reading).await;
        all.extend(page.records);
        if page.end {
            return all;
        }
        assert!(page.after > reading.after, "a page that leads nowhere");
        reading.after = page.after;
    }
}

async fn all(log: &BronzeLog) -> Vec<Kept> {
    follow(log, from_start()).await
}

/// The records alone; each has the digest of its bytes, and a place after the one before.
fn records(kept: &[Kept]) -> Vec<RawRecord> {
    for kept in kept {
        assert_eq!(Sha256::digest(&kept.record.bytes)[..], kept.digest);
    }
    assert!(kept.windows(2).all(|w| w[0].position < w[1].position));
    kept.iter().map(|k| k.record.clone()).collect()
}

async fn listed(log: &BronzeLog) -> Vec<Segment> {
    log.segments(Some(id("p"))).await.unwrap()
}

/// The files below a folder with this end, in order.
fn found(folder: &Path, end: &str) -> Vec<PathBuf> {
    let pattern = format!("{}/**/*.{end}", folder.display());
    glob::glob(&pattern).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let dir = TempDir::new().unwrap();
    let noise: Vec<u8> = (0..16u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let given = vec![
        raw("", NOON),
        RawRecord {
            headers: vec![],
            received_ms: 0,
            bytes: (0..=255).collect::<Vec<u8>>().into(),
        },
        RawRecord {
            headers: vec![
                ("x".into(), Bytes::new()),
                ("x".into(), Bytes::from_static(b"\xff\0")),
                (String::new(), Bytes::from_static(b"no name")),
            ],
            received_ms: NOON + 5,
            bytes: Bytes::from_static(b"{}"),
        },
        raw(noise, NOON + 1),
        raw("last", NOON + 2),
    ];
    let log = open(dir.path());
    let mut positions = Vec::new();
    for record in &given {
        positions.push(put(&log, vec![record.clone()]).await);
    }
    positions.push(put(&log, given.clone()).await);
    let twice = [given.clone(), given.clone()].concat();
    let kept = all(&log).await;
    assert!(records(&kept) == twice);
    assert_eq!(kept[4].position, positions[4]);
    assert_eq!(kept[9].position, positions[5]);
    drop(log);
    let log = reopen(dir.path()).await;
    assert!(all(&log).await == kept);
}

/// Opens a folder again, as soon as the thread of the log before has let go of it.
async fn reopen(folder: &Path) -> BronzeLog {
    open_with(folder, Options::default(), || None).await
}

async fn open_with(
    folder: &Path,
    options: Options,
    archive: impl Fn() -> Option<Archive>,
) -> BronzeLog {
    for _ in 0..100_000 {
        match BronzeLog::open(folder, options, archive()) {
            Err(BronzeError::Unavailable(text)) if text.contains("another process") => {
                tokio::task::yield_now().await;
                std::thread::yield_now();
            }
            other => return other.unwrap(),
        }
    }
    panic!("the folder stays in use");
}

#[tokio::test]
async fn reading_goes_on_after_any_position() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    put(&log, (0..5).map(numbered).collect()).await;
    put(&log, (5..6).map(numbered).collect()).await;
    put(&log, (6..9).map(numbered).collect()).await;
    log.seal(NOON + DAY).await.unwrap();
    put(&log, (9..12).map(numbered).collect()).await;
    let kept = all(&log).await;
    assert_eq!(records(&kept), (0..12).map(numbered).collect::<Vec<_>>());
    for (at, from) in kept.iter().enumerate() {
        let reading = Reading {
            after: Some(from.position),
            most: Most {
                records: 2,
                bytes: 1 << 20,
            },
            ..from_start()
        };
        assert_eq!(follow(&log, reading).await, kept[at + 1..]);
        let text: Position = from.position.to_string().parse().unwrap();
        assert_eq!(text, from.position);
    }
    // Bytes bound a page, but for its first record.
    let reading = Reading {
        most: Most {
            records: 9,
            bytes: 1,
        },
        ..from_start()
    };
    assert_eq!(page(&log, reading).await.records, kept[..1]);
    // What is no position of a record harms nothing.
    let first = kept[0].position;
    for (frame, count) in [(0, 12), (33, 7), (40, 7), (u32::MAX, 3)] {
        let reading = Reading {
            after: Some(Position::new(first.segment(), frame, 0)),
            ..from_start()
        };
        let found = page(&log, reading).await;
        assert_eq!(
            (found.records.len(), found.damage),
            (count, vec![]),
            "{frame}"
        );
    }
    assert!(found(dir.path(), "quarantined").is_empty());
}

#[tokio::test]
async fn a_range_of_time_is_half_open() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    for day in 0..3 {
        for number in 0..4 {
            put(&log, vec![raw("x", NOON + day * DAY + number)]).await;
        }
    }
    let check = async |from: Option<u64>, until: Option<u64>, want: &[u64]| {
        let reading = Reading {
            from_ms: from,
            until_ms: until,
            ..from_start()
        };
        let found = follow(&log, reading).await;
        let times: Vec<u64> = found.iter().map(|k| k.record.received_ms - NOON).collect();
        assert_eq!(times, want, "{from:?} {until:?}");
    };
    check(Some(NOON + 2), Some(NOON + DAY + 1), &[2, 3, DAY]).await;
    check(Some(NOON + DAY), Some(NOON + DAY), &[]).await;
    check(Some(NOON + 2 * DAY + 3), None, &[2 * DAY + 3]).await;
    check(None, Some(NOON + 1), &[0]).await;
    check(Some(NOON + 9 * DAY), None, &[]).await;
    // What was out of range was looked at all the same.
    let reading = Reading {
        from_ms: Some(NOON + 9 * DAY),
        ..from_start()
    };
    let last = all(&log).await.last().unwrap().position;
    assert_eq!(page(&log, reading).await.after, Some(last));
}

#[tokio::test]
async fn a_segment_is_of_one_day_and_has_a_size() {
    let dir = TempDir::new().unwrap();
    let options = Options {
        segment_bytes: 2000,
        ..Options::default()
    };
    let log = BronzeLog::open(dir.path(), options, None).unwrap();
    // 23:59:59.999, then 00:00 of the next day, then a clock that goes back by three days.
    let midnight = NOON + DAY / 2;
    for at in [NOON, midnight - 1, midnight, midnight - 3 * DAY] {
        put(&log, vec![raw("x", at)]).await;
    }
    let days = |all: &[Segment]| {
        all.iter()
            .map(|s| (s.day.clone(), s.records))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        days(&listed(&log).await),
        [("2026-11-22".to_owned(), 2), ("2026-11-23".to_owned(), 2)]
    );
    for number in 0..40 {
        put(&log, vec![raw(vec![0; 9], midnight + number)]).await;
    }
    let segments = listed(&log).await;
    assert!(segments.len() >= 4, "{segments:?}");
    for segment in &segments[1..segments.len() - 1] {
        assert_eq!(segment.state, SegmentState::Sealed);
        assert!((2000..2500).contains(&segment.stored), "{segment:?}");
    }
    assert_eq!(segments.last().unwrap().state, SegmentState::Open);
    assert_eq!(all(&log).await.len(), 44);
    // One append over midnight stays together.
    let day = midnight + DAY;
    put(&log, vec![raw("a", day - 1), raw("b", day)]).await;
    let last = listed(&log).await.pop().unwrap();
    assert_eq!(last.latest_ms, Some(day));
}

#[tokio::test]
async fn sealing_takes_what_was_begun_before() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    assert_eq!(log.seal(NOON).await, Ok(0));
    put(&log, vec![numbered(1)]).await;
    assert_eq!(log.seal(NOON + 1).await, Ok(0));
    assert_eq!(log.seal(NOON + DAY).await, Ok(1));
    assert_eq!(log.seal(NOON + DAY).await, Ok(0));
    let sealed = listed(&log).await.remove(0);
    assert_eq!((sealed.state, sealed.records), (SegmentState::Sealed, 1));
    assert_eq!((sealed.earliest_ms, sealed.bytes), (Some(NOON + 1), 8));
    assert_eq!(found(dir.path(), "bronze").len(), 1);
    put(&log, vec![numbered(2)]).await;
    assert_eq!(listed(&log).await.len(), 2);
}

#[tokio::test]
async fn what_can_not_be_kept() {
    let dir = TempDir::new().unwrap();
    let options = Options {
        record_bytes: 100,
        queue_bytes: 1000,
        ..Options::default()
    };
    let log = BronzeLog::open(dir.path(), options, None).unwrap();
    let check = async |records: Vec<RawRecord>, want: &str| {
        let error = Bronze::append(&log, id("p"), records).await.unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!(error.to_string(), want);
    };
    check(vec![], "no records were given").await;
    let large = raw(vec![0; 100], NOON);
    check(
        vec![large],
        "a record has 122 bytes with its headers; at most 100 are allowed",
    )
    .await;
    check(
        vec![raw(vec![0; 70], NOON); 11],
        "records of 1012 bytes were given at once; at most 1000 are allowed",
    )
    .await;
    check(
        vec![raw("x", u64::MAX)],
        "18446744073709551615 is no time of a record: milliseconds since 1970 up to the year 9999",
    )
    .await;
    let mut many = raw("x", NOON);
    many.headers = vec![(String::new(), Bytes::new()); 70_000];
    check(vec![many], "a record has more than 65535 headers").await;
    assert!(listed(&log).await.is_empty());
    let bad = Options {
        queue_bytes: 1,
        ..Options::default()
    };
    assert!(BronzeLog::open(dir.path(), bad, None).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_follow_a_writer() {
    const COUNT: u64 = 400;
    let dir = TempDir::new().unwrap();
    let options = Options {
        segment_bytes: 4000,
        ..Options::default()
    };
    let log = BronzeLog::open(dir.path(), options, None).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut reading = from_start();
                let mut seen = Vec::new();
                while seen.len() < COUNT as usize {
                    let page = page(&log, reading).await;
                    assert_eq!(page.damage, Vec::<String>::new());
                    seen.extend(page.records);
                    reading.after = page.after;
                    tokio::task::yield_now().await;
                }
                records(&seen)
            })
        })
        .collect();
    for number in 0..COUNT / 2 {
        put(&log, vec![numbered(2 * number), numbered(2 * number + 1)]).await;
    }
    for reader in readers {
        let want: Vec<_> = (0..COUNT).map(numbered).collect();
        assert_eq!(reader.await.unwrap(), want);
    }
}

#[tokio::test]
async fn more_pipelines_than_open_files() {
    let dir = TempDir::new().unwrap();
    let options = Options {
        open_files: 2,
        ..Options::default()
    };
    let log = BronzeLog::open(dir.path(), options, None).unwrap();
    for round in 0..3 {
        let appends = (0..9).map(|p| {
            let records = vec![numbered(round), numbered(round + 100)];
            Bronze::append(&log, id(&format!("p{p}")), records)
        });
        for answer in futures_util::future::join_all(appends).await {
            answer.unwrap();
        }
    }
    let check = async |log: &BronzeLog| {
        for p in 0..9 {
            let page = Bronze::read(log, id(&format!("p{p}")), from_start());
            let numbers = [0, 100, 1, 101, 2, 102];
            assert_eq!(records(&page.await.unwrap().records), numbers.map(numbered));
        }
        assert_eq!(log.segments(None).await.unwrap().len(), 9);
    };
    check(&log).await;
    drop(log);
    check(&reopen(dir.path()).await).await;
}

#[tokio::test]
async fn a_folder_is_of_one_process() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    let error = BronzeLog::open(dir.path(), Options::default(), None).unwrap_err();
    assert!(error.to_string().starts_with("another process uses"));
    put(&log, vec![numbered(1)]).await;
    drop(log);
    // Closed in order, it goes on in the same segment without a check.
    let log = reopen(dir.path()).await;
    put(&log, vec![numbered(2)]).await;
    assert_eq!(listed(&log).await.len(), 1);
    assert_eq!(records(&all(&log).await), [1, 2].map(numbered));
}
