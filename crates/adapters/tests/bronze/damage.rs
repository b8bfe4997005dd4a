//! Files that are cut, flipped and torn.

use super::*;

/// A log whose open segment was left as a crash leaves it: the segment's path and bytes below the folder, and what is in it.
struct Left {
    path: PathBuf,
    bytes: Vec<u8>,
    kept: Vec<Kept>,
    /// Bytes after which so many records are whole.
    whole: Vec<(usize, usize)>,
}

impl Left {
    /// Appends of 1, 2 and 3 records.
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let log = open(dir.path());
        let mut whole = vec![(0, 0)];
        for numbers in [vec![0], vec![1, 2], vec![3, 4, 5]] {
            put(&log, numbers.into_iter().map(numbered).collect()).await;
            let segment = listed(&log).await.remove(0);
            whole.push((segment.stored as usize, segment.records as usize));
        }
        Self::of(dir.path(), &log, whole).await
    }

    async fn of(folder: &Path, log: &BronzeLog, whole: Vec<(usize, usize)>) -> Self {
        let file = found(folder, "open").remove(0);
        Self {
            path: file.strip_prefix(folder).unwrap().to_owned(),
            bytes: fs::read(&file).unwrap(),
            kept: all(log).await,
            whole,
        }
    }

    /// A folder with these bytes as the segment.
    fn folder(&self, bytes: &[u8]) -> TempDir {
        self.folder_at(&self.path, bytes)
    }

    fn folder_at(&self, path: &Path, bytes: &[u8]) -> TempDir {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        dir
    }

    fn end(&self) -> usize {
        self.whole.last().unwrap().0
    }
}

#[tokio::test]
async fn a_segment_that_ends_anywhere_is_mended() {
    let left = Left::new().await;
    assert!(left.bytes.len() > left.end(), "room is taken ahead");
    for length in (0..=left.end() + 3).chain([left.bytes.len()]) {
        // As a file that ends there, and as one that has zeros where something was to be written.
        let mut zeros = left.bytes[..length].to_vec();
        zeros.resize(left.bytes.len(), 0);
        for bytes in [&left.bytes[..length], &zeros] {
            let dir = left.folder(bytes);
            let log = open(dir.path());
            // The last 8 bytes of a frame only say that it is finished.
            let whole = |at: usize| at.saturating_sub(8) <= length;
            let want = left.whole.iter().rev().find(|(at, _)| whole(*at));
            let want = &left.kept[..want.unwrap().1];
            let kept = all(&log).await;
            assert_eq!(kept, want, "cut at {length}");
            assert_eq!(found(dir.path(), "quarantined").len(), 0, "cut at {length}");
            put(&log, vec![numbered(77)]).await;
            let numbers = records(&all(&log).await);
            assert_eq!(numbers.len(), want.len() + 1);
            assert_eq!(numbers.last(), Some(&numbered(77)));
            drop(log);
            if length % 64 == 0 {
                assert_eq!(records(&all(&reopen(dir.path()).await).await), numbers);
            }
        }
    }
}

/// What is read is right, and as much as is not hit.
fn check_read(left: &Left, kept: &[Kept], hit: usize) {
    let known: BTreeMap<Position, &Kept> = left.kept.iter().map(|k| (k.position, k)).collect();
    for kept in kept {
        assert_eq!(known.get(&kept.position), Some(&kept), "flipped at {hit}");
    }
    // At most the frame that is hit is missing.
    let frame = left.whole.windows(2).find(|w| hit < w[1].0);
    let lost = frame.map_or(0, |w| w[1].1 - w[0].1);
    assert!(kept.len() >= left.kept.len() - lost, "flipped at {hit}");
}

#[tokio::test]
async fn no_flipped_byte_is_taken_for_right() {
    let left = Left::new().await;
    for hit in 0..left.end() + 100 {
        let mut bytes = left.bytes.clone();
        bytes[hit] ^= 0x41;
        let dir = left.folder(&bytes);
        let log = open(dir.path());
        check_read(&left, &all(&log).await, hit);
        put(&log, vec![numbered(77)]).await;
        assert_eq!(records(&all(&log).await).last(), Some(&numbered(77)));
    }
}

#[tokio::test]
async fn no_flipped_byte_of_a_sealed_segment_is_taken_for_right() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    let mut whole = vec![(0, 0)];
    for numbers in [vec![0], vec![1, 2], vec![3, 4, 5]] {
        put(&log, numbers.into_iter().map(numbered).collect()).await;
        let segment = listed(&log).await.remove(0);
        whole.push((segment.stored as usize, segment.records as usize));
    }
    log.seal(NOON + DAY).await.unwrap();
    let file = found(dir.path(), "bronze").remove(0);
    let left = Left {
        path: file.strip_prefix(dir.path()).unwrap().to_owned(),
        bytes: fs::read(&file).unwrap(),
        kept: all(&log).await,
        whole,
    };
    for hit in 0..left.bytes.len() {
        let mut bytes = left.bytes.clone();
        bytes[hit] ^= 0x10;
        let dir = left.folder(&bytes);
        let log = open(dir.path());
        let first = page(&log, from_start()).await;
        check_read(&left, &first.records, hit);
        // What is missing was named, and the segment put aside; it reads as before.
        let aside = found(dir.path(), "quarantined").len();
        assert!(first.records.len() == left.kept.len() || !first.damage.is_empty());
        assert_eq!(aside, usize::from(!first.damage.is_empty()), "at {hit}");
        assert_eq!(page(&log, from_start()).await.records, first.records);
    }
}

#[tokio::test]
async fn records_of_a_torn_frame_are_kept() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path());
    // Does not compress, so that each block has its records.
    let noise = |seed: u64| -> Vec<u8> {
        let mut all = Vec::new();
        for block in 0..2500u64 {
            all.extend_from_slice(&Sha256::digest((seed << 32 | block).to_le_bytes()));
        }
        all
    };
    put(&log, vec![numbered(0)]).await;
    let first = listed(&log).await[0].stored as usize;
    put(&log, (1..12).map(|n| raw(noise(n), NOON + n)).collect()).await;
    let end = listed(&log).await[0].stored as usize;
    let left = Left::of(dir.path(), &log, vec![(first, 1), (end, 12)]).await;
    for (part, least) in [(3, 2), (2, 4), (1, 9)] {
        let cut = end - (end - first) * part / 4;
        let dir = left.folder(&left.bytes[..cut]);
        let log = open(dir.path());
        let kept = all(&log).await;
        assert!((least..12).contains(&kept.len()), "{part}: {}", kept.len());
        assert!(kept == left.kept[..kept.len()]);
        put(&log, vec![numbered(77)]).await;
        drop(log);
        let again = records(&all(&reopen(dir.path()).await).await);
        assert_eq!(again.len(), kept.len() + 1);
        assert_eq!(again.last(), Some(&numbered(77)));
    }
}

#[tokio::test]
async fn a_segment_damaged_in_the_middle_is_put_aside() {
    let left = Left::new().await;
    let mut bytes = left.bytes.clone();
    bytes[left.whole[1].0 + 80] ^= 1;
    let dir = left.folder(&bytes);
    let mut log = open(dir.path());
    for start in 0..2 {
        let segments = listed(&log).await;
        let SegmentState::Quarantined { reason } = &segments[0].state else {
            panic!("{segments:?}");
        };
        assert_eq!(
            reason,
            &format!("the frame at byte {} is damaged", left.whole[1].0)
        );
        let page = page(&log, from_start()).await;
        let good = [&left.kept[..1], &left.kept[3..]].concat();
        assert_eq!(page.records[..4], good);
        assert!(
            page.damage[0].ends_with("2 of 2 records cannot be read"),
            "{:?}",
            page.damage
        );
        put(&log, vec![numbered(50 + start)]).await;
        drop(log);
        log = reopen(dir.path()).await;
    }
    let numbers = [0, 3, 4, 5, 50, 51];
    assert_eq!(records(&all(&log).await), numbers.map(numbered));
}

#[tokio::test]
async fn what_is_no_segment_stops_nothing() {
    let left = Left::new().await;
    let dir = TempDir::new().unwrap();
    for (path, bytes) in [
        (
            "p/2026-11-22/0000000000000001.open",
            &b"not a segment at all, but long enough to be one"[..],
        ),
        ("p/2026-11-22/0000000000000002.bronze", b""),
        ("p/2026-11-22/0000000000000003.bronze", b"short"),
        ("p/2026-11-22/notes.txt", b"x"),
        ("p/2026-13-99/0000000000000004.open", b"x"),
        ("Not A Pipeline/2026-11-22/0000000000000004.open", b"x"),
        ("p/file", b"x"),
        ("file", b"x"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    // Under the number of another one.
    let stranger = dir.path().join("p/2026-11-22/0000000000000005.open");
    fs::write(&stranger, &left.bytes).unwrap();
    let log = open(dir.path());
    put(&log, vec![numbered(77)]).await;
    assert_eq!(records(&all(&log).await), [numbered(77)]);
    let states: Vec<_> = listed(&log).await.into_iter().map(|s| s.state).collect();
    let quarantined = |s: &&SegmentState| matches!(s, SegmentState::Quarantined { .. });
    assert_eq!(states.iter().filter(quarantined).count(), 4, "{states:?}");
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_named_and_stops_nothing() {
    let dir = TempDir::new().unwrap();
    let options = Options {
        open_files: 1,
        ..Options::default()
    };
    let log = BronzeLog::open(dir.path(), options, None).unwrap();
    put(&log, vec![numbered(0)]).await;
    // Another pipeline takes the one place for an open file.
    let other = Bronze::append(&log, id("other"), vec![numbered(1)]);
    other.await.unwrap();
    fs::remove_file(&found(&dir.path().join("p"), "open")[0]).unwrap();
    let lost = Bronze::append(&log, id("p"), vec![numbered(2)]).await;
    assert!(lost.unwrap_err().is_retryable());
    put(&log, vec![numbered(3)]).await;
    let page = page(&log, from_start()).await;
    assert_eq!(records(&page.records), [numbered(3)]);
    assert!(page.damage[0].ends_with("its file is gone"), "{page:?}");
    log.seal(NOON).await.unwrap();
    assert_eq!(listed(&log).await.len(), 1);
}
