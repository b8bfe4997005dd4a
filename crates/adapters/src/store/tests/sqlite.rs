//! What is special about a file: how it is opened, what damage does, a full disk, a process that is killed.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use model::id::PluginId;
use model::ports::{Expect, Quota, StateStore};
use model::store::{Jobs, RunFilter, Runs};

use super::super::Database;
use super::super::tx::execute;
use super::*;

/// A store in a folder of its own.
pub(super) fn store() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let store = Database::sqlite(&file(folder.path())).unwrap();
    (folder, store)
}

fn file(folder: &Path) -> PathBuf {
    folder.join("weir.sqlite")
}

/// A file that cannot be opened, and is left as it was.
fn check_refused(path: &Path, words: &[&str]) {
    let before = std::fs::read(path).unwrap();
    let refused = Database::sqlite(path).unwrap_err().to_string();
    for word in words {
        assert!(refused.contains(word), "{refused}");
    }
    assert!(refused.contains(path.to_str().unwrap()), "{refused}");
    assert_eq!(std::fs::read(path).unwrap(), before);
}

#[test]
fn a_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    std::fs::write(&path, "Dear diary, ".repeat(1_000)).unwrap();
    check_refused(&path, &["not a database"]);
    let newer = folder.path().join("newer.sqlite");
    drop(Database::sqlite(&newer).unwrap());
    let other = rusqlite::Connection::open(&newer).unwrap();
    other
        .execute("INSERT INTO layout (step) VALUES (99)", [])
        .unwrap();
    other.close().unwrap();
    check_refused(&newer, &["layout 99", "newer version of Weir"]);
}

#[tokio::test]
async fn state_of_the_first_layout_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE entries (plugin TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (plugin, key)) STRICT;
         CREATE TABLE totals (plugin TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         INSERT INTO entries VALUES ('p', 'k', 7, x'76');
         INSERT INTO totals VALUES ('p', 1, 2, 9);",
    )
    .unwrap();
    old.close().unwrap();
    let plugin = || PluginId::new("p").unwrap();
    for version in [7, 10] {
        let store = Database::of_plugins(&path).unwrap();
        let entry = StateStore::get(&store, plugin(), "k".into()).await.unwrap();
        let (value, found) = entry.map(|e| (e.value, e.version)).unwrap();
        assert_eq!((value.as_slice(), found), (b"v".as_slice(), version));
        let room = Quota { bytes: 2, keys: 1 };
        let put = store.put(plugin(), "k".into(), b"v".to_vec(), Expect::Any, room);
        assert_eq!(put.await, Ok(version.max(9) + 1));
        drop(store);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let (folder, store) = store();
    for number in 0..200 {
        store.submit(submission(number)).await.unwrap();
    }
    let path = file(folder.path());
    close(store, &path);
    let size = std::fs::metadata(&path).unwrap().len();
    let mut written = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    written.seek(SeekFrom::Start(size / 2)).unwrap();
    written.write_all(&[0xa5; 8_192]).unwrap();
    drop(written);
    check_refused(&path, &["damaged", "backup"]);
}

/// Waits until the threads have closed the file, and puts all into it: whoever closes it last takes the log away, but not when two do so at once.
fn close(store: Database, path: &Path) {
    drop(store);
    let log = path.with_extension("sqlite-wal");
    while log.exists() {
        let last = rusqlite::Connection::open(path).unwrap();
        let looked = last.query_row("SELECT count(*) FROM layout", [], |row| {
            row.get::<_, i64>(0)
        });
        assert_eq!(looked, Ok(1));
        drop(last);
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_file_is_private_and_comes_back() {
    let (folder, store) = store();
    let path = file(folder.path());
    for name in ["weir.sqlite", "weir.sqlite-wal"] {
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.submit(submission(1)).await.unwrap();
    close(store, &path);
    let store = Database::sqlite(&path).unwrap();
    assert!(store.run(RunId::of(1)).await.unwrap().is_some());
    // Job numbers are never given out twice, or an old fence would be good for another job.
    let shared: Shared = Arc::new(store);
    let claim = one(&shared, "a", 0).await;
    complete(&shared, claim.fence, 1, 1).await;
    assert_eq!(shared.prune_runs(at(99), 10).await, Ok(1));
    let next = working(&shared, 2).await;
    assert!(next.job > claim.fence.job);
}

#[tokio::test]
async fn a_full_disk_is_told_and_gone_when_there_is_room() {
    let (_folder, store) = store();
    let pages = async |more: i64| {
        store
            .writes(more, |tx, more| {
                Box::pin(async move {
                    let mut count = tx.query("PRAGMA page_count", &[]).await?;
                    let most = count[0].int()? + more;
                    execute(tx, &format!("PRAGMA max_page_count = {most}"), &[]).await
                })
            })
            .await
            .unwrap();
    };
    let large = |number| {
        let mut one = submission(number);
        one.job.args = "x".repeat(100_000);
        one
    };
    pages(10).await;
    let many = (0..10).map(|number| store.submit(large(number)));
    for refused in futures_util::future::join_all(many).await {
        assert!(
            matches!(refused, Err(Failure::Full(said)) if said.contains("no room on the disk"))
        );
    }
    assert_eq!(store.runs(RunFilter::default(), 10).await, Ok(Vec::new()));
    pages(10_000).await;
    for number in 0..10 {
        assert!(store.submit(large(number)).await.unwrap().new);
    }
}

const FILE: &str = "WEIR_TEST_STORE";

/// Run as another process by the test below; by itself it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_until_killed() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let store = Database::sqlite(Path::new(&path)).unwrap();
    // Numbers that no process before has used.
    let process = u128::from(std::process::id()) * 1_000_000_000;
    let writers = (0..8_u128).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let number = process + writer * 1_000_000 + number;
                store.submit(submission(number)).await.unwrap();
                println!("answered {number}");
            }
        })
    });
    futures_util::future::join_all(writers).await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let mut answered = Vec::new();
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::sqlite::writes_until_killed",
                "--nocapture",
            ])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut numbers = lines.map_while(Result::ok).filter_map(|line| {
            let (_, number) = line.split_once("answered ")?;
            number.parse::<u128>().ok()
        });
        answered.extend(numbers.by_ref().take(round * 137));
        child.kill().unwrap();
        // What it still said before it was gone counts, too.
        answered.extend(numbers);
        child.wait().unwrap();
        let store = Database::sqlite(&path).unwrap();
        for number in &answered {
            let job = store.job(RunId::of(*number)).await.unwrap();
            assert!(job.is_some(), "{number} was lost in round {round}");
        }
        close(store, &path);
    }
    assert!(answered.len() >= 137 * 15);
}
