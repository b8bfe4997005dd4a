//! What plugins keep.

use futures_util::future::join_all;
use model::id::PluginId;
use model::ports::{Expect, Quota, StateError, StateStore, ValveStore};

use super::super::Database;

const ROOM: Quota = Quota {
    bytes: 1_000,
    keys: 10,
};

fn id(text: &str) -> PluginId {
    PluginId::new(text).unwrap()
}

/// Writes for the plugin `p`.
async fn put(
    store: &Database,
    key: &str,
    value: &[u8],
    expect: Expect,
    quota: Quota,
) -> Result<u64, StateError> {
    let put = StateStore::put(store, id("p"), key.into(), value.to_vec(), expect, quota);
    put.await
}

async fn value(store: &Database, key: &str) -> Option<Vec<u8>> {
    let entry = StateStore::get(store, id("p"), key.into()).await.unwrap();
    entry.map(|e| e.value)
}

pub(super) async fn state_has_versions(store: Database) {
    assert_eq!(value(&store, "k").await, None);
    let absent = Expect::Version(None);
    let first = put(&store, "k", b"1", absent, ROOM).await.unwrap();
    let wrong = put(&store, "k", b"2", absent, ROOM).await;
    assert_eq!(wrong, Err(StateError::Conflict(Some(first))));
    let race = join_all((0..9_u8).map(|n| {
        let expect = Expect::Version(Some(first));
        StateStore::put(&store, id("p"), "k".into(), vec![n], expect, ROOM)
    }));
    let winners = race.await.into_iter().filter(Result::is_ok).count();
    assert_eq!(winners, 1);
    let second = put(&store, "k", b"\0\xff", Expect::Any, ROOM)
        .await
        .unwrap();
    assert!(second > first);
    assert_eq!(value(&store, "k").await, Some(b"\0\xff".to_vec()));
    assert_eq!(StateStore::get(&store, id("q"), "k".into()).await, Ok(None));
    assert_eq!(store.delete(id("p"), "k".into()).await, Ok(true));
    assert_eq!(store.delete(id("p"), "k".into()).await, Ok(false));
    assert!(put(&store, "k", b"3", absent, ROOM).await.unwrap() > second);
}

pub(super) async fn state_has_a_quota(store: Database) {
    let tight = Quota { bytes: 10, keys: 2 };
    let set = async |key, size| put(&store, key, &vec![0; size], Expect::Any, tight).await;
    assert!(set("a", 9).await.is_ok());
    assert_eq!(set("b", 0).await, Err(StateError::Full));
    assert!(set("a", 8).await.is_ok());
    assert!(set("b", 0).await.is_ok());
    assert_eq!(set("c", 0).await, Err(StateError::Full));
    assert_eq!(set("a", 9).await, Err(StateError::Full));
    assert_eq!(value(&store, "a").await, Some(vec![0; 8]));
    assert_eq!(store.delete(id("p"), "a".into()).await, Ok(true));
    assert!(set("c", 7).await.is_ok());
    let counter = store.add(id("p"), "n".into(), 1, tight).await;
    assert_eq!(counter, Err(StateError::Full));
    // What is too much by now may become less.
    let tighter = Quota { bytes: 4, keys: 1 };
    let shrunk = put(&store, "c", &[0; 6], Expect::Any, tighter).await;
    assert!(shrunk.is_ok(), "{shrunk:?}");
    let grown = put(&store, "c", &[0; 7], Expect::Any, tighter).await;
    assert_eq!(grown, Err(StateError::Full));
}

pub(super) async fn counters_lose_nothing(store: Database) {
    let text = put(&store, "t", b"text", Expect::Any, ROOM).await.unwrap();
    let add = |key: &str, delta| store.add(id("p"), key.into(), delta, ROOM);
    assert_eq!(add("t", 1).await, Err(StateError::Conflict(Some(text))));
    for added in join_all((0..40).map(|_| add("n", 1))).await {
        added.unwrap();
    }
    assert_eq!(add("n", -4).await, Ok(36));
    assert_eq!(
        value(&store, "n").await,
        Some(36_i64.to_le_bytes().to_vec())
    );
    assert_eq!(add("m", i64::MAX).await, Ok(i64::MAX));
    assert!(matches!(
        add("m", 1).await,
        Err(StateError::Conflict(Some(_)))
    ));
}

pub(super) async fn keys_come_in_byte_order(store: Database) {
    for key in ["b", "a/é", "a/b", "a", "a/B", "a0", "a/"] {
        put(&store, key, b"", Expect::Any, ROOM).await.unwrap();
    }
    let keys = async |prefix: &str, after: Option<&str>, limit| {
        let keys = store.keys(id("p"), prefix.into(), after.map(Into::into), limit);
        keys.await.unwrap()
    };
    assert_eq!(keys("a/", None, 10).await, ["a/", "a/B", "a/b", "a/é"]);
    assert_eq!(keys("a/", Some("a/B"), 1).await, ["a/b"]);
    assert_eq!(keys("", None, 2).await, ["a", "a/"]);
    assert_eq!(keys("", None, 0).await, [""; 0]);
}

pub(super) async fn valves_are_kept(store: Database) {
    let read = async |name: &str| ValveStore::read(&store, id(name)).await.unwrap();
    assert_eq!(read("p").await, None);
    for json in ["{\"a\":1}", "{}"] {
        ValveStore::write(&store, id("p"), json.into())
            .await
            .unwrap();
        assert_eq!(read("p").await.as_deref(), Some(json));
    }
    assert_eq!(read("q").await, None);
}
