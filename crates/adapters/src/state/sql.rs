//! The statements behind the state store. Every function is one transaction.

use std::path::Path;
use std::time::Duration;

use model::ports::{Expect, Quota, StateEntry, StateError};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(1);
/// Keys one call of `keys` may return.
const MAX_KEYS: u32 = 1_000;
/// The layout below; a file with a higher one was made by a newer Weir.
const LAYOUT: i64 = 1;

/// `totals` holds, for each plugin, its number of keys, their bytes, and the last version given out, so that versions grow also
/// over deletes and a quota is one row to read.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        plugin TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (plugin, key)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS totals (
        plugin TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL, version INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// Opens the file in WAL mode and makes the tables.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let layout: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if layout > LAYOUT {
        return Err(rusqlite::Error::ToSqlConversionFailure(
            format!(
                "it has layout {layout}, made by a newer version of Weir; this one knows {LAYOUT}"
            )
            .into(),
        ));
    }
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?;
    Ok(connection)
}

pub(super) fn get(
    connection: &mut Connection,
    plugin: &str,
    key: &str,
) -> Result<Option<StateEntry>, StateError> {
    connection
        .prepare_cached("SELECT value, version FROM entries WHERE plugin = ?1 AND key = ?2")
        .and_then(|mut s| {
            s.query_row(params![plugin, key], |r| {
                Ok(StateEntry {
                    value: r.get(0)?,
                    version: r.get(1)?,
                })
            })
            .optional()
        })
        .map_err(unavailable)
}

pub(super) fn put(
    connection: &mut Connection,
    plugin: &str,
    key: &str,
    value: &[u8],
    expect: Expect,
    quota: Quota,
) -> Result<u64, StateError> {
    write(connection, |t| {
        let old = Old::find(t, plugin, key)?;
        let found = old.as_ref().map(|o| o.version);
        match expect {
            Expect::Version(wanted) if wanted != found => return Err(StateError::Conflict(found)),
            Expect::Version(_) | Expect::Any => {}
        }
        store(t, plugin, key, value, old.as_ref(), quota)
    })
}

pub(super) fn delete(
    connection: &mut Connection,
    plugin: &str,
    key: &str,
) -> Result<bool, StateError> {
    write(connection, |t| {
        let Some(old) = Old::find(t, plugin, key)? else {
            return Ok(false);
        };
        t.prepare_cached("DELETE FROM entries WHERE plugin = ?1 AND key = ?2")
            .and_then(|mut s| s.execute(params![plugin, key]))
            .map_err(unavailable)?;
        let mut totals = Totals::of(t, plugin)?;
        totals.keys = totals.keys.saturating_sub(1);
        totals.bytes = totals.bytes.saturating_sub(size(key, old.bytes));
        totals.save(t, plugin)?;
        Ok(true)
    })
}

pub(super) fn add(
    connection: &mut Connection,
    plugin: &str,
    key: &str,
    delta: i64,
    quota: Quota,
) -> Result<i64, StateError> {
    write(connection, |t| {
        let old = Old::find(t, plugin, key)?;
        let conflict = || StateError::Conflict(old.as_ref().map(|o| o.version));
        let current = match &old {
            None => 0,
            Some(o) => o.counter.map(i64::from_le_bytes).ok_or_else(conflict)?,
        };
        let sum = current.checked_add(delta).ok_or_else(conflict)?;
        store(t, plugin, key, &sum.to_le_bytes(), old.as_ref(), quota)?;
        Ok(sum)
    })
}

pub(super) fn keys(
    connection: &mut Connection,
    plugin: &str,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, StateError> {
    // Text is compared byte by byte, so the keys with a prefix are one run from the prefix on.
    let read = |c: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut statement = c.prepare_cached(
            "SELECT key FROM entries WHERE plugin = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4",
        )?;
        let mut found = Vec::new();
        let mut rows = statement.query(params![plugin, prefix, after, limit.min(MAX_KEYS)])?;
        while let Some(row) = rows.next()? {
            let key: String = row.get(0)?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push(key);
        }
        Ok(found)
    };
    read(connection).map_err(unavailable)
}

/// What a write finds at its key.
struct Old {
    version: u64,
    bytes: u64,
    /// The value, if it is as long as a counter.
    counter: Option<[u8; 8]>,
}

impl Old {
    fn find(t: &Transaction<'_>, plugin: &str, key: &str) -> Result<Option<Self>, StateError> {
        t.prepare_cached(
            "SELECT version, length(value), CASE length(value) WHEN 8 THEN value END FROM entries
             WHERE plugin = ?1 AND key = ?2",
        )
        .and_then(|mut s| {
            s.query_row(params![plugin, key], |r| {
                Ok(Self {
                    version: r.get(0)?,
                    bytes: r.get(1)?,
                    counter: r.get(2)?,
                })
            })
            .optional()
        })
        .map_err(unavailable)
    }
}

/// What a plugin keeps, all keys together.
#[derive(Default)]
struct Totals {
    keys: u64,
    bytes: u64,
    version: u64,
}

impl Totals {
    fn of(t: &Transaction<'_>, plugin: &str) -> Result<Self, StateError> {
        t.prepare_cached("SELECT keys, bytes, version FROM totals WHERE plugin = ?1")
            .and_then(|mut s| {
                s.query_row(params![plugin], |r| {
                    Ok(Self {
                        keys: r.get(0)?,
                        bytes: r.get(1)?,
                        version: r.get(2)?,
                    })
                })
                .optional()
            })
            .map(Option::unwrap_or_default)
            .map_err(unavailable)
    }

    fn save(&self, t: &Transaction<'_>, plugin: &str) -> Result<(), StateError> {
        t.prepare_cached(
            "INSERT OR REPLACE INTO totals (plugin, keys, bytes, version) VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut s| s.execute(params![plugin, self.keys, self.bytes, self.version]))
        .map(|_| ())
        .map_err(unavailable)
    }
}

/// Writes a value and the new totals; a write over the quota is refused unless it makes things smaller.
fn store(
    t: &Transaction<'_>,
    plugin: &str,
    key: &str,
    value: &[u8],
    old: Option<&Old>,
    quota: Quota,
) -> Result<u64, StateError> {
    let mut totals = Totals::of(t, plugin)?;
    let (old_keys, old_bytes) = old.map_or((0, 0), |o| (1, size(key, o.bytes)));
    let new_bytes = size(key, value.len() as u64);
    totals.keys = totals.keys.saturating_sub(old_keys).saturating_add(1);
    totals.bytes = totals
        .bytes
        .saturating_sub(old_bytes)
        .saturating_add(new_bytes);
    totals.version = totals.version.saturating_add(1);
    let grows = new_bytes > old_bytes || old.is_none();
    if grows && (totals.keys > quota.keys || totals.bytes > quota.bytes) {
        return Err(StateError::Full);
    }
    t.prepare_cached(
        "INSERT OR REPLACE INTO entries (plugin, key, version, value) VALUES (?1, ?2, ?3, ?4)",
    )
    .and_then(|mut s| s.execute(params![plugin, key, totals.version, value]))
    .map_err(unavailable)?;
    totals.save(t, plugin)?;
    Ok(totals.version)
}

/// What an entry counts against the quota.
fn size(key: &str, value_bytes: u64) -> u64 {
    (key.len() as u64).saturating_add(value_bytes)
}

/// Runs a write transaction; whatever error comes rolls it back.
fn write<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(unavailable)?;
    let done = work(&transaction)?;
    transaction.commit().map_err(unavailable)?;
    Ok(done)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn unavailable(error: rusqlite::Error) -> StateError {
    StateError::Unavailable(error.to_string())
}
