//! What plugins keep: their state and the values of their valves. Grants and key rules are checked before.

use model::BoxFuture;
use model::id::PluginId;
use model::ports::{Expect, Quota, StateEntry, StateError, StateStore, StoreError, ValveStore};
use model::store::{Answer, Failure};

use super::Database;
use super::tx::{Halt, Tx, execute, one, values};
use crate::files;

/// Keys one call of `keys` may return.
const MAX_KEYS: u32 = 1_000;

/// What a call gives when the store did its part.
type Said<T> = Result<T, StateError>;

impl StateStore for Database {
    fn get(&self, plugin: PluginId, key: String) -> BoxFuture<'static, Said<Option<StateEntry>>> {
        said(self.reads((plugin, key), |tx, (plugin, key)| {
            Box::pin(async move {
                let sql = "SELECT value, version FROM plugin_state WHERE plugin = $1 AND name = $2";
                let row = one(tx, sql, &values![plugin, key]).await?;
                let Some(mut row) = row else {
                    return Ok(Ok(None));
                };
                Ok(Ok(Some(StateEntry {
                    value: row.bytes()?.to_vec(),
                    version: row.number()?,
                })))
            })
        }))
    }

    fn put(
        &self,
        plugin: PluginId,
        key: String,
        value: Vec<u8>,
        expect: Expect,
        quota: Quota,
    ) -> BoxFuture<'static, Said<u64>> {
        said(
            self.writes((plugin, key, value, expect, quota), |tx, args| {
                let (plugin, key, value, expect, quota) = args;
                Box::pin(async move {
                    let mut totals = Totals::lock(tx, plugin).await?;
                    let old = Old::find(tx, plugin, key).await?;
                    let found = old.as_ref().map(|o| o.version);
                    match expect {
                        Expect::Version(wanted) if *wanted != found => {
                            Ok(Err(StateError::Conflict(found)))
                        }
                        Expect::Version(_) | Expect::Any => {
                            totals
                                .put(tx, (plugin, key), value, old.as_ref(), *quota)
                                .await
                        }
                    }
                })
            }),
        )
    }

    fn delete(&self, plugin: PluginId, key: String) -> BoxFuture<'static, Said<bool>> {
        said(self.writes((plugin, key), |tx, (plugin, key)| {
            Box::pin(async move {
                let mut totals = Totals::lock(tx, plugin).await?;
                let Some(old) = Old::find(tx, plugin, key).await? else {
                    return Ok(Ok(false));
                };
                let sql = "DELETE FROM plugin_state WHERE plugin = $1 AND name = $2";
                execute(tx, sql, &values![plugin, key]).await?;
                totals.keys = totals.keys.saturating_sub(1);
                totals.bytes = totals.bytes.saturating_sub(size(key, &old.value));
                totals.save(tx, plugin).await?;
                Ok(Ok(true))
            })
        }))
    }

    fn add(
        &self,
        plugin: PluginId,
        key: String,
        delta: i64,
        quota: Quota,
    ) -> BoxFuture<'static, Said<i64>> {
        said(self.writes(
            (plugin, key, delta, quota),
            |tx, (plugin, key, delta, quota)| {
                Box::pin(async move {
                    let mut totals = Totals::lock(tx, plugin).await?;
                    let old = Old::find(tx, plugin, key).await?;
                    let now = match &old {
                        None => Some(0),
                        Some(old) => old.counter(),
                    };
                    let Some(sum) = now.and_then(|now| now.checked_add(*delta)) else {
                        return Ok(Err(StateError::Conflict(old.map(|o| o.version))));
                    };
                    let value = sum.to_le_bytes().to_vec();
                    let put = totals.put(tx, (plugin, key), &value, old.as_ref(), *quota);
                    Ok(put.await?.map(|_| sum))
                })
            },
        ))
    }

    fn keys(
        &self,
        plugin: PluginId,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> BoxFuture<'static, Said<Vec<String>>> {
        said(
            self.reads((plugin, prefix, after, limit), |tx, (plugin, prefix, after, limit)| {
                Box::pin(async move {
                    // Texts are compared byte by byte, so the keys with a prefix are one run from the prefix on.
                    let rows = tx
                        .query(
                            "SELECT name FROM plugin_state WHERE plugin = $1 AND name >= $2 AND name > $3 ORDER BY name LIMIT $4",
                            &values![plugin, prefix, after.as_deref().unwrap_or(""), (*limit).min(MAX_KEYS)],
                        )
                        .await?;
                    let mut keys = Vec::with_capacity(rows.len());
                    for mut row in rows {
                        let key = row.text()?;
                        if !key.starts_with(prefix.as_str()) {
                            break;
                        }
                        keys.push(key);
                    }
                    Ok(Ok(keys))
                })
            }),
        )
    }
}

impl ValveStore for Database {
    fn read(&self, plugin: PluginId) -> BoxFuture<'static, Result<Option<String>, StoreError>> {
        let what = format!("cannot read the valves of {plugin}");
        let read = self.reads(plugin, |tx, plugin| {
            Box::pin(async move {
                let sql = "SELECT json FROM plugin_valves WHERE plugin = $1";
                let row = one(tx, sql, &values![plugin]).await?;
                row.map(|mut row| row.text()).transpose()
            })
        });
        Box::pin(async move { read.await.map_err(|failure| files::failed(what, failure)) })
    }

    fn write(&self, plugin: PluginId, json: String) -> BoxFuture<'static, Result<(), StoreError>> {
        let what = format!("cannot keep the valves of {plugin}");
        let write = self.writes((plugin, json), |tx, (plugin, json)| {
            Box::pin(async move {
                execute(
                    tx,
                    "INSERT INTO plugin_valves (plugin, json) VALUES ($1, $2) ON CONFLICT (plugin) DO UPDATE SET json = excluded.json",
                    &values![plugin, json],
                )
                .await
            })
        });
        Box::pin(async move { write.await.map_err(|failure| files::failed(what, failure)) })
    }
}

/// In the words of the port.
fn said<T: Send + 'static>(answer: Answer<Said<T>>) -> BoxFuture<'static, Said<T>> {
    Box::pin(async move {
        let unavailable = |failure: Failure| StateError::Unavailable(failure.to_string());
        answer.await.map_err(unavailable)?
    })
}

/// What a write finds at its key.
struct Old {
    version: u64,
    value: Vec<u8>,
}

impl Old {
    async fn find(tx: &mut dyn Tx, plugin: &PluginId, key: &str) -> Result<Option<Self>, Halt> {
        let sql = "SELECT version, value FROM plugin_state WHERE plugin = $1 AND name = $2";
        let row = one(tx, sql, &values![plugin, key]).await?;
        let Some(mut row) = row else { return Ok(None) };
        Ok(Some(Self {
            version: row.number()?,
            value: row.bytes()?.to_vec(),
        }))
    }

    /// The value, if it is as long as a counter.
    fn counter(&self) -> Option<i64> {
        let bytes = self.value.as_slice().try_into().ok()?;
        Some(i64::from_le_bytes(bytes))
    }
}

/// What a plugin keeps, all keys together.
struct Totals {
    keys: u64,
    bytes: u64,
    version: u64,
}

impl Totals {
    /// Nobody else writes what the plugin keeps until the end of the transaction.
    async fn lock(tx: &mut dyn Tx, plugin: &PluginId) -> Result<Self, Halt> {
        let sql =
            "SELECT keys, bytes, version FROM plugin_state_totals WHERE plugin = $1 /*for update*/";
        let mut row = one(tx, sql, &values![plugin]).await?;
        if row.is_none() {
            let add = "INSERT INTO plugin_state_totals (plugin, keys, bytes, version) VALUES ($1, 0, 0, 0) ON CONFLICT DO NOTHING";
            execute(tx, add, &values![plugin]).await?;
            row = one(tx, sql, &values![plugin]).await?;
        }
        let mut row = row.ok_or_else(|| Halt::Again("no totals".into()))?;
        Ok(Self {
            keys: row.number()?,
            bytes: row.number()?,
            version: row.number()?,
        })
    }

    async fn save(&self, tx: &mut dyn Tx, plugin: &PluginId) -> Result<(), Halt> {
        execute(
            tx,
            "UPDATE plugin_state_totals SET keys = $2, bytes = $3, version = $4 WHERE plugin = $1",
            &values![plugin, self.keys, self.bytes, self.version],
        )
        .await
    }

    /// Writes a value and the new totals; a write over the quota is refused unless it makes things smaller.
    async fn put(
        &mut self,
        tx: &mut dyn Tx,
        (plugin, key): (&PluginId, &str),
        value: &[u8],
        old: Option<&Old>,
        quota: Quota,
    ) -> Result<Said<u64>, Halt> {
        let before = old.map_or(0, |old| size(key, &old.value));
        let after = size(key, value);
        self.keys = self.keys.saturating_add(u64::from(old.is_none()));
        self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
        self.version = self.version.saturating_add(1);
        let grows = after > before || old.is_none();
        if grows && (self.keys > quota.keys || self.bytes > quota.bytes) {
            return Ok(Err(StateError::Full));
        }
        execute(
            tx,
            "INSERT INTO plugin_state (plugin, name, version, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (plugin, name) DO UPDATE SET version = excluded.version, value = excluded.value",
            &values![plugin, key, self.version, value],
        )
        .await?;
        self.save(tx, plugin).await?;
        Ok(Ok(self.version))
    }
}

/// What an entry counts against the quota.
fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() as u64).saturating_add(value.len() as u64)
}
