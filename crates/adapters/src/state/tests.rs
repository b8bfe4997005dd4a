//! What plugins and the sandbox rely on from a state store.

use std::os::unix::fs::PermissionsExt;

use super::*;

const ROOM: Quota = Quota {
    bytes: 1_000,
    keys: 10,
};

fn id(text: &str) -> PluginId {
    PluginId::new(text).unwrap()
}

fn store() -> (tempfile::TempDir, SqliteState) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteState::open(dir.path()).unwrap();
    (dir, store)
}

impl SqliteState {
    async fn set(&self, key: &str, value: &[u8]) -> Result<u64, StateError> {
        self.expect(key, value, Expect::Any, ROOM).await
    }

    async fn expect(
        &self,
        key: &str,
        value: &[u8],
        expect: Expect,
        quota: Quota,
    ) -> Result<u64, StateError> {
        self.put(id("p"), key.into(), value.to_vec(), expect, quota)
            .await
    }

    async fn value(&self, key: &str) -> Option<Vec<u8>> {
        let entry = self.get(id("p"), key.into()).await.unwrap();
        entry.map(|e| e.value)
    }
}

#[tokio::test]
async fn values_come_back_with_growing_versions() {
    let (_dir, store) = store();
    assert_eq!(store.value("k").await, None);
    let first = store.set("k", b"1").await.unwrap();
    let second = store.set("k", b"").await.unwrap();
    assert!(second > first);
    assert_eq!(store.value("k").await, Some(vec![]));
    assert!(store.delete(id("p"), "k".into()).await.unwrap());
    assert!(!store.delete(id("p"), "k".into()).await.unwrap());
    assert!(store.set("k", b"3").await.unwrap() > second);
}

#[tokio::test]
async fn plugins_do_not_see_each_other() {
    let (_dir, store) = store();
    store.set("k", b"mine").await.unwrap();
    assert_eq!(store.get(id("q"), "k".into()).await.unwrap(), None);
    let keys = store.keys(id("q"), String::new(), None, 10).await.unwrap();
    assert!(keys.is_empty());
}

#[tokio::test]
async fn a_swap_needs_the_version_it_expects() {
    let (_dir, store) = store();
    let absent = Expect::Version(None);
    let version = store.expect("k", b"1", absent, ROOM).await.unwrap();
    let again = store.expect("k", b"2", absent, ROOM).await;
    assert_eq!(again, Err(StateError::Conflict(Some(version))));
    let wrong = store
        .expect("x", b"2", Expect::Version(Some(version)), ROOM)
        .await;
    assert_eq!(wrong, Err(StateError::Conflict(None)));
    let right = Expect::Version(Some(version));
    assert!(store.expect("k", b"2", right, ROOM).await.unwrap() > version);
    assert_eq!(store.value("k").await, Some(b"2".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_of_swaps_has_one_winner() {
    let (_dir, store) = store();
    let version = store.set("k", b"0").await.unwrap();
    let racers: Vec<_> = (1..=16u8)
        .map(|n| {
            let expect = Expect::Version(Some(version));
            tokio::spawn(store.put(id("p"), "k".into(), vec![n], expect, ROOM))
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(racer.await.unwrap().is_ok());
    }
    assert_eq!(winners, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_lose_nothing() {
    let (_dir, store) = store();
    let adders: Vec<_> = (0..64)
        .map(|_| tokio::spawn(store.add(id("p"), "n".into(), 1, ROOM)))
        .collect();
    for adder in adders {
        adder.await.unwrap().unwrap();
    }
    assert_eq!(store.add(id("p"), "n".into(), -4, ROOM).await, Ok(60));
    assert_eq!(store.value("n").await, Some(60i64.to_le_bytes().to_vec()));
}

#[tokio::test]
async fn a_counter_holds_eight_bytes_and_does_not_overflow() {
    let (_dir, store) = store();
    let version = store.set("n", b"text").await.unwrap();
    let add = |key: &str, delta| store.add(id("p"), key.into(), delta, ROOM);
    let conflict = Err(StateError::Conflict(Some(version)));
    assert_eq!(add("n", 1).await, conflict);
    assert_eq!(add("m", i64::MAX).await, Ok(i64::MAX));
    assert!(matches!(add("m", 1).await, Err(StateError::Conflict(_))));
    assert_eq!(
        store.value("m").await,
        Some(i64::MAX.to_le_bytes().to_vec())
    );
}

#[tokio::test]
async fn the_quota_holds_for_keys_and_bytes() {
    let (_dir, store) = store();
    let tight = Quota { bytes: 10, keys: 2 };
    let put = |key: &'static str, size: usize| {
        store.put(id("p"), key.into(), vec![0; size], Expect::Any, tight)
    };
    assert!(put("a", 9).await.is_ok());
    assert_eq!(put("b", 0).await, Err(StateError::Full));
    assert!(put("a", 8).await.is_ok());
    assert!(put("b", 0).await.is_ok());
    assert_eq!(put("c", 0).await, Err(StateError::Full));
    assert_eq!(put("a", 9).await, Err(StateError::Full));
    assert_eq!(
        store.value("a").await,
        Some(vec![0; 8]),
        "nothing was written"
    );
    assert!(store.delete(id("p"), "a".into()).await.unwrap());
    assert!(put("c", 7).await.is_ok());
    let counter = store.add(id("p"), "n".into(), 1, tight).await;
    assert_eq!(counter, Err(StateError::Full));
}

#[tokio::test]
async fn a_smaller_quota_still_lets_things_shrink() {
    let (_dir, store) = store();
    store.set("a", &[0; 100]).await.unwrap();
    let small = Quota { bytes: 10, keys: 1 };
    assert!(
        store
            .expect("a", &[0; 50], Expect::Any, small)
            .await
            .is_ok()
    );
    let grown = store.expect("a", &[0; 60], Expect::Any, small).await;
    assert_eq!(grown, Err(StateError::Full));
}

#[tokio::test]
async fn keys_come_in_byte_order_in_pages() {
    let (_dir, store) = store();
    for key in ["b", "a/é", "a/b", "a", "a/B", "a0", "a/"] {
        store.set(key, b"").await.unwrap();
    }
    let keys = |prefix: &str, after: Option<&str>, limit| {
        store.keys(id("p"), prefix.into(), after.map(Into::into), limit)
    };
    let all = keys("a/", None, 10).await.unwrap();
    assert_eq!(all, ["a/", "a/B", "a/b", "a/é"]);
    assert_eq!(keys("a/", Some("a/B"), 1).await.unwrap(), ["a/b"]);
    assert_eq!(keys("a/", Some("z"), 10).await.unwrap(), [""; 0]);
    assert_eq!(keys("", None, 2).await.unwrap(), ["a", "a/"]);
    assert_eq!(keys("", None, 0).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn state_survives_a_restart_and_is_private() {
    let (dir, store) = store();
    let version = store.set("k", b"v").await.unwrap();
    drop(store);
    let store = SqliteState::open(dir.path()).unwrap();
    assert_eq!(store.value("k").await, Some(b"v".to_vec()));
    assert!(store.set("k", b"w").await.unwrap() > version);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.sqlite");
    std::fs::write(&path, "no database at all, just a line of text".repeat(100)).unwrap();
    let e = SqliteState::open(dir.path()).unwrap_err().to_string();
    assert!(
        e.contains(path.to_str().unwrap()) && e.contains("not a database"),
        "{e}"
    );
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let (dir, store) = store();
    drop(store);
    let connection = Connection::open(dir.path().join("state.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let e = SqliteState::open(dir.path()).unwrap_err().to_string();
    assert!(e.contains("newer version"), "{e}");
}

#[tokio::test]
async fn a_file_held_by_another_process_is_unavailable_and_later_works() {
    let (dir, store) = store();
    store.set("k", b"v").await.unwrap();
    let other = Connection::open(dir.path().join("state.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let held = store.set("k", b"w").await;
    assert!(matches!(held, Err(StateError::Unavailable(_))), "{held:?}");
    assert_eq!(store.value("k").await, Some(b"v".to_vec()));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.set("k", b"w").await.is_ok());
}

#[tokio::test]
async fn a_call_nobody_waits_for_does_not_block_the_next() {
    let (_dir, store) = store();
    drop(store.add(id("p"), "n".into(), 1, ROOM));
    assert_eq!(store.add(id("p"), "n".into(), 1, ROOM).await, Ok(1));
}
