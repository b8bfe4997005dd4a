//! The database file: opening it, and what SQLite's errors mean.

use std::path::Path;
use std::time::Duration;

use model::error::Fault;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

/// How long another program may hold the file before that is an error.
const BUSY: Duration = Duration::from_secs(5);
/// Statements kept ready: one for each choice of columns with defaults.
const STATEMENTS: usize = 64;

/// Opens the file; makes it if it may. A new one is in WAL mode, so that others can read while a batch is written; one that is there stays in the mode it has.
pub(super) fn open(path: &Path, create: bool) -> Result<Connection, Fault> {
    let exists = std::fs::exists(path);
    let exists = exists.map_err(|e| Fault::Invalid(format!("{}: {e}", path.display())))?;
    if !exists && !create {
        return Err(Fault::Invalid(format!(
            "there is no file {}; make it, or let the sink make it, and the table, with `create: true`",
            path.display()
        )));
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(|e| fault(path, &e))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let set_up = connection.busy_timeout(BUSY).and_then(|()| {
        // A stranger's file may hold triggers and views: they get no functions that reach out of it.
        connection.pragma_update(None, "trusted_schema", false)?;
        if !exists {
            connection.pragma_update(None, "journal_mode", "wal")?;
        }
        // Reads the file, so that one that is no database is found now.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    });
    set_up.map_err(|e| fault(path, &e))?;
    Ok(connection)
}

/// Does an error say that this one row does not fit?
pub(super) fn is_of_row(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

/// What SQLite said, without its statement.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) | Error::SqlInputError { msg: message, .. } => {
            message.clone()
        }
        other => other.to_string(),
    }
}

/// An error that is not about one row.
pub(super) fn fault(path: &Path, error: &Error) -> Fault {
    let said = words(error);
    let (hint, later) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (" (another program is writing to it)", true)
        }
        Some(ErrorCode::DiskFull) => (" (no space is left for it)", true),
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory,
        ) => ("", true),
        _ => ("", false),
    };
    let message = format!("{}: {said}{hint}", path.display());
    if later {
        Fault::Transient {
            message,
            retry_after_ms: None,
        }
    } else {
        Fault::Invalid(message)
    }
}
