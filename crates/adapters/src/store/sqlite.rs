//! SQLite as the store: one file, one thread that writes and one that reads. Statements are the operations' own.
//!
//! The writer takes all operations that wait, carries each out within a savepoint, commits once and answers them all.

use std::path::Path;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use model::BoxFuture;
use model::ports::StoreError;
use model::store::Failure;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use tokio::sync::mpsc;

use super::layout::{self, Dialect, Steps};
use super::tx::{Driver, Halt, Operation, Row, Tx, Value};
use crate::files;

/// Operations that may wait for a thread; further ones wait for a place.
const QUEUE: usize = 1_024;
/// Operations of one commit.
const GROUP: usize = 256;
/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(5);
/// More than there are statements.
const STATEMENTS: usize = 256;
/// To what size the log is cut back after it had to grow.
const LOG_BYTES: u32 = 64 << 20;
/// Specs, arguments and records may hold anything: only the server's own user may read the file.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

const DIALECT: Dialect = Dialect {
    int: "INTEGER",
    text: "TEXT",
    bytes: "BLOB",
    serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
    end: ") STRICT;",
};

type Queue = mpsc::Sender<Box<dyn Operation>>;

/// The file and its threads.
#[derive(Debug)]
pub(super) struct Sqlite {
    writer: Queue,
    reader: Queue,
}

impl Sqlite {
    pub(super) fn open(path: &Path, steps: Steps) -> Result<Self, StoreError> {
        let what = || format!("cannot use the store {}", path.display());
        let wrong = |words: String| files::failed(what(), std::io::Error::other(words));
        let folder = path.parent().unwrap_or(Path::new("."));
        files::prepare(folder, FOLDER_MODE).map_err(|e| files::failed(what(), e))?;
        files::make_private(path, FILE_MODE).map_err(|e| files::failed(what(), e))?;
        let writer = connect(path, true).map_err(|e| files::failed(what(), e))?;
        check(&writer).map_err(wrong)?;
        migrate(&writer, steps).map_err(wrong)?;
        let reader = connect(path, false).map_err(|e| files::failed(what(), e))?;
        let start = |name, connection, begin| {
            start(name, connection, begin, path).map_err(|e| files::failed(what(), e))
        };
        Ok(Self {
            writer: start("weir-store", writer, "BEGIN IMMEDIATE")?,
            reader: start("weir-store-read", reader, "BEGIN")?,
        })
    }
}

impl Driver for Sqlite {
    fn take(
        &self,
        operation: Box<dyn Operation>,
        writes: bool,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        let queue = if writes { &self.writer } else { &self.reader };
        let queue = queue.clone();
        Box::pin(async move {
            let gone = |_| Failure::Unavailable("its thread has ended".into());
            queue.send(operation).await.map_err(gone)
        })
    }
}

fn connect(path: &Path, writes: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "query_only", !writes)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Is the file whole? What is damaged is left for the operator to look at.
fn check(connection: &Connection) -> Result<(), String> {
    let checked: rusqlite::Result<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    let said = match checked {
        Ok(said) if said == "ok" => return Ok(()),
        Ok(said) => said,
        Err(error) => error.to_string(),
    };
    Err(format!(
        "the file is damaged ({said}); restore it from a backup, or move it away to begin with an empty one"
    ))
}

/// Takes the steps that are missing, in one transaction.
fn migrate(connection: &Connection, steps: Steps) -> Result<(), String> {
    let run = |sql: &str| connection.execute_batch(sql).map_err(|e| e.to_string());
    run("BEGIN IMMEDIATE")?;
    run("CREATE TABLE IF NOT EXISTS layout (step INTEGER NOT NULL PRIMARY KEY) STRICT")?;
    let taken = connection
        .query_row("SELECT coalesce(max(step), 0) FROM layout", [], |row| {
            row.get(0)
        })
        .map_err(|e| e.to_string())?;
    for (number, step) in layout::missing(steps, taken)? {
        run(&DIALECT.say(step))?;
        run(&format!("INSERT INTO layout (step) VALUES ({number})"))?;
    }
    take_over(connection)?;
    run("COMMIT")
}

/// What plugins kept in a file of Weir's first layout of their state.
fn take_over(connection: &Connection) -> Result<(), String> {
    let is_old = "SELECT count(*) FROM sqlite_schema WHERE name IN ('entries', 'totals')";
    let tables: u32 = connection
        .query_row(is_old, [], |row| row.get(0))
        .map_err(|e| e.to_string())?;
    if tables < 2 {
        return Ok(());
    }
    let all = "INSERT INTO plugin_state (plugin, name, version, value) SELECT plugin, key, version, value FROM entries;
         INSERT INTO plugin_state_totals (plugin, keys, bytes, version) SELECT plugin, keys, bytes, version FROM totals;
         DROP TABLE entries;
         DROP TABLE totals;";
    connection.execute_batch(all).map_err(|e| e.to_string())
}

fn start(
    name: &str,
    connection: Connection,
    begin: &'static str,
    path: &Path,
) -> std::io::Result<Queue> {
    let (sender, mut queue) = mpsc::channel(QUEUE);
    let mut file = File {
        connection,
        begin,
        place: path.display().to_string(),
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let mut group = Vec::with_capacity(GROUP);
            while queue.blocking_recv_many(&mut group, GROUP) > 0 {
                file.carry_out(&mut group);
            }
        })?;
    Ok(sender)
}

/// A connection to the file, with its thread.
struct File {
    connection: Connection,
    begin: &'static str,
    place: String,
}

impl File {
    /// Carries out a group in one transaction, and answers it.
    fn carry_out(&mut self, group: &mut Vec<Box<dyn Operation>>) {
        // Nobody waits any more: then nothing is done either.
        group.retain(|operation| operation.is_wanted());
        if group.is_empty() {
            return;
        }
        let mut done = Vec::with_capacity(group.len());
        let mut result = self.run(self.begin);
        for mut operation in group.drain(..) {
            let outcome = match &result {
                Ok(()) => self.one(&mut *operation),
                Err(failure) => Err(failure.clone()),
            };
            // Some errors, such as a full disk, take the whole transaction back.
            if let (Err(failure), true) = (&outcome, self.connection.is_autocommit())
                && result.is_ok()
            {
                result = Err(failure.clone());
            }
            done.push((operation, outcome));
        }
        if result.is_ok() {
            result = self.run("COMMIT");
        }
        if !self.connection.is_autocommit()
            && let Err(error) = self.run("ROLLBACK")
        {
            tracing::error!(file = self.place, %error, "a transaction of the store could not be taken back");
        }
        for (operation, outcome) in done {
            operation.answer(outcome.and_then(|()| result.clone()));
        }
    }

    /// Carries out one within a savepoint, so that it takes back only itself.
    fn one(&mut self, operation: &mut dyn Operation) -> Result<(), Failure> {
        self.run("SAVEPOINT operation")?;
        let outcome = self.attempt(operation);
        if outcome.is_err() && !self.connection.is_autocommit() {
            self.run("ROLLBACK TO operation")?;
        }
        if !self.connection.is_autocommit() {
            self.run("RELEASE operation")?;
        }
        outcome
    }

    fn attempt(&mut self, operation: &mut dyn Operation) -> Result<(), Failure> {
        let mut future = operation.attempt(self);
        // It waits for nothing but this connection, which answers at once.
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(outcome) => outcome.map_err(Halt::into_failure),
            Poll::Pending => Err(Failure::Unavailable(
                "an operation waited for something else than the store".into(),
            )),
        }
    }

    fn run(&self, sql: &str) -> Result<(), Failure> {
        self.connection
            .execute_batch(sql)
            .map_err(|error| self.sorted(&error))
    }

    fn query(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Halt> {
        self.rows(sql, values)
            .map_err(|error| Halt::Failure(self.sorted(&error)))
    }

    fn rows(&self, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        for at in 1..=statement.parameter_count() {
            // `$2` may stand before `$1`, and then is the first.
            let name = statement.parameter_name(at).unwrap_or_default();
            let number = name.trim_start_matches('$').parse::<usize>().ok();
            let value = number.and_then(|n| values.get(n.checked_sub(1)?));
            let value = value.ok_or_else(|| Error::InvalidParameterName(name.to_owned()))?;
            match value {
                Value::Null => statement.raw_bind_parameter(at, rusqlite::types::Null)?,
                Value::Int(number) => statement.raw_bind_parameter(at, number)?,
                Value::Text(text) => statement.raw_bind_parameter(at, text)?,
                Value::Bytes(bytes) => statement.raw_bind_parameter(at, bytes.as_ref())?,
            }
        }
        let width = statement.column_count();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let values = (0..width).map(|at| {
                Ok(match row.get_ref(at)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => Value::Int(number),
                    ValueRef::Real(number) => Value::Text(number.to_string()),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
                })
            });
            found.push(Row::new(values.collect::<rusqlite::Result<_>>()?));
        }
        Ok(found)
    }

    /// What an error means.
    fn sorted(&self, error: &Error) -> Failure {
        let place = &self.place;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                Failure::Full(format!("there is no room on the disk for {place}"))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Failure::Unavailable(format!("the file {place} is damaged: {error}"))
            }
            Some(ErrorCode::ConstraintViolation) => Failure::Conflict(format!("{place}: {error}")),
            Some(ErrorCode::TooBig) => Failure::Invalid(format!("{place}: {error}")),
            _ => Failure::Unavailable(format!("{place}: {error}")),
        }
    }
}

impl Tx for File {
    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        values: &'a [Value],
    ) -> BoxFuture<'a, Result<Vec<Row>, Halt>> {
        let rows = File::query(self, sql, values);
        Box::pin(std::future::ready(rows))
    }
}
