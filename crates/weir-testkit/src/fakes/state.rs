//! State of plugins in memory, with the versions and quotas that the store of a server has. Key rules and grants are checked before.

use std::collections::BTreeMap;
use std::sync::Mutex;

use model::BoxFuture;
use model::id::PluginId;
use model::ports::{Expect, Quota, StateEntry, StateError, StateStore};

use super::lock;

/// Keys one call of `keys` may return.
const MAX_KEYS: u32 = 1_000;

/// Keys and values by plugin.
#[derive(Debug, Default)]
pub(crate) struct MemoryState(Mutex<BTreeMap<PluginId, Kept>>);

/// What one plugin keeps.
#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<String, StateEntry>,
    bytes: u64,
    /// The last version given out: versions grow also over deletes.
    version: u64,
}

impl MemoryState {
    /// Writes a value whatever is there, and whatever the quota.
    pub(crate) fn seed(&self, plugin: &PluginId, key: String, value: Vec<u8>) {
        let quota = Quota {
            bytes: u64::MAX,
            keys: u64::MAX,
        };
        let mut plugins = lock(&self.0);
        let kept = plugins.entry(plugin.clone()).or_default();
        // Nothing is over this quota.
        let _version = kept.store(key, value, quota);
    }

    /// All that a plugin keeps, in the order of the keys.
    pub(crate) fn of(&self, plugin: &PluginId) -> BTreeMap<String, Vec<u8>> {
        let plugins = lock(&self.0);
        let entries = plugins.get(plugin).into_iter().flat_map(|k| &k.entries);
        entries
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect()
    }

    fn with<T: Send + 'static>(
        &self,
        plugin: PluginId,
        work: impl FnOnce(&mut Kept) -> Result<T, StateError>,
    ) -> BoxFuture<'static, Result<T, StateError>> {
        let outcome = work(lock(&self.0).entry(plugin).or_default());
        Box::pin(std::future::ready(outcome))
    }
}

/// What an entry counts against the quota.
fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() as u64).saturating_add(value.len() as u64)
}

impl Kept {
    fn store(&mut self, key: String, value: Vec<u8>, quota: Quota) -> Result<u64, StateError> {
        let old = self.entries.get(&key).map_or(0, |e| size(&key, &e.value));
        let is_new = !self.entries.contains_key(&key);
        let new = size(&key, &value);
        let bytes = self.bytes.saturating_sub(old).saturating_add(new);
        let keys = self.entries.len() as u64 + u64::from(is_new);
        if (new > old || is_new) && (keys > quota.keys || bytes > quota.bytes) {
            return Err(StateError::Full);
        }
        self.version += 1;
        self.bytes = bytes;
        let version = self.version;
        self.entries.insert(key, StateEntry { value, version });
        Ok(version)
    }

    fn version_of(&self, key: &str) -> Option<u64> {
        self.entries.get(key).map(|e| e.version)
    }
}

impl StateStore for MemoryState {
    fn get(
        &self,
        plugin: PluginId,
        key: String,
    ) -> BoxFuture<'static, Result<Option<StateEntry>, StateError>> {
        self.with(plugin, |kept| Ok(kept.entries.get(&key).cloned()))
    }

    fn put(
        &self,
        plugin: PluginId,
        key: String,
        value: Vec<u8>,
        expect: Expect,
        quota: Quota,
    ) -> BoxFuture<'static, Result<u64, StateError>> {
        self.with(plugin, |kept| {
            let found = kept.version_of(&key);
            match expect {
                Expect::Version(wanted) if wanted != found => Err(StateError::Conflict(found)),
                Expect::Version(_) | Expect::Any => kept.store(key, value, quota),
            }
        })
    }

    fn delete(
        &self,
        plugin: PluginId,
        key: String,
    ) -> BoxFuture<'static, Result<bool, StateError>> {
        self.with(plugin, |kept| {
            let Some(old) = kept.entries.remove(&key) else {
                return Ok(false);
            };
            kept.bytes = kept.bytes.saturating_sub(size(&key, &old.value));
            Ok(true)
        })
    }

    fn add(
        &self,
        plugin: PluginId,
        key: String,
        delta: i64,
        quota: Quota,
    ) -> BoxFuture<'static, Result<i64, StateError>> {
        self.with(plugin, |kept| {
            let conflict = StateError::Conflict(kept.version_of(&key));
            let current = match kept.entries.get(&key) {
                None => Some(0),
                Some(entry) => entry
                    .value
                    .as_slice()
                    .try_into()
                    .ok()
                    .map(i64::from_le_bytes),
            };
            let sum = current.and_then(|c| c.checked_add(delta)).ok_or(conflict)?;
            kept.store(key, sum.to_le_bytes().to_vec(), quota)?;
            Ok(sum)
        })
    }

    fn keys(
        &self,
        plugin: PluginId,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<String>, StateError>> {
        self.with(plugin, |kept| {
            let keys = kept.entries.keys();
            let most = usize::try_from(limit.min(MAX_KEYS)).unwrap_or(0);
            let found = keys
                .filter(|k| k.starts_with(&prefix) && after.as_ref().is_none_or(|a| *k > a))
                .take(most);
            Ok(found.cloned().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Quota = Quota { bytes: 20, keys: 2 };

    fn id() -> PluginId {
        PluginId::new("a").unwrap()
    }

    async fn put(
        state: &MemoryState,
        key: &str,
        value: &str,
        expect: Expect,
    ) -> Result<u64, StateError> {
        let (key, value) = (key.to_owned(), value.as_bytes().to_vec());
        state.put(id(), key, value, expect, SMALL).await
    }

    #[tokio::test]
    async fn versions_grow_also_over_deletes() {
        let state = MemoryState::default();
        assert_eq!(put(&state, "k", "v", Expect::Version(None)).await, Ok(1));
        let conflict = Err(StateError::Conflict(Some(1)));
        assert_eq!(put(&state, "k", "v", Expect::Version(None)).await, conflict);
        assert_eq!(put(&state, "k", "w", Expect::Version(Some(1))).await, Ok(2));
        assert_eq!(state.delete(id(), "k".into()).await, Ok(true));
        assert_eq!(state.delete(id(), "k".into()).await, Ok(false));
        assert_eq!(put(&state, "k", "v", Expect::Any).await, Ok(3));
    }

    #[tokio::test]
    async fn the_quota_holds_and_shrinking_is_let_through() {
        let state = MemoryState::default();
        put(&state, "a", "123456789", Expect::Any).await.unwrap();
        put(&state, "b", "123456789", Expect::Any).await.unwrap();
        assert_eq!(
            put(&state, "c", "", Expect::Any).await,
            Err(StateError::Full)
        );
        assert_eq!(
            put(&state, "b", "1234567890", Expect::Any).await,
            Err(StateError::Full)
        );
        state.seed(&id(), "seeded".into(), vec![0; 100]);
        assert!(put(&state, "b", "1", Expect::Any).await.is_ok());
    }

    #[tokio::test]
    async fn counters_and_keys() {
        let state = MemoryState::default();
        let add = |key: &str, delta| state.add(id(), key.into(), delta, SMALL);
        assert_eq!(add("n", 2).await, Ok(2));
        assert_eq!(add("n", -5).await, Ok(-3));
        assert_eq!(add("n", i64::MIN).await, Err(StateError::Conflict(Some(2))));
        put(&state, "p", "text", Expect::Any).await.unwrap();
        assert_eq!(add("p", 1).await, Err(StateError::Conflict(Some(3))));
        let keys = state.keys(id(), String::new(), Some("n".into()), 10).await;
        assert_eq!(keys, Ok(vec!["p".to_owned()]));
        assert_eq!(state.of(&id()).len(), 2);
        assert!(state.of(&PluginId::new("b").unwrap()).is_empty());
    }
}
