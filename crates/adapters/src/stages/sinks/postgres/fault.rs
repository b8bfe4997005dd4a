//! What an error of PostgreSQL means: this record does not fit, the same may work later, or it never will.

use std::error::Error as _;
use std::io;

use model::error::Fault;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// Why a statement did not work.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Some record does not fit.
    Data(Complaint),
    /// Anything else.
    Fault(Fault),
}

/// What PostgreSQL says against a record.
#[derive(Debug, Clone)]
pub(super) struct Complaint {
    /// Its words.
    pub(super) message: String,
    /// Which line of a COPY it was, from 0, where it says so.
    pub(super) line: Option<usize>,
    /// Which column of the table of waiting rows, where it says so.
    pub(super) column: Option<usize>,
}

impl Trouble {
    /// Where a record cannot be at fault, all is a fault.
    pub(super) fn into_fault(self, place: &str) -> Fault {
        match self {
            Self::Data(complaint) => Fault::Invalid(format!("{place}: {}", complaint.message)),
            Self::Fault(fault) => fault,
        }
    }
}

/// Sorts an error. `place` is the database, for words.
pub(super) fn sorted(place: &str, error: &Error) -> Trouble {
    let Some(said) = error.as_db_error() else {
        return Trouble::Fault(without_answer(place, error));
    };
    let code = said.code().code();
    let class = code.get(..2).unwrap_or_default();
    let message = format!("{place}: {}", sentence(said));
    let transient = |message| Fault::Transient {
        message,
        retry_after_ms: None,
    };
    Trouble::Fault(match (class, code) {
        // A value or a constraint, what a trigger raises, a check of a view, too large for an index, a row twice in one statement.
        ("22" | "23" | "P0" | "44" | "54", _) | (_, "21000") => {
            return Trouble::Data(complaint(said));
        }
        // Gone or going, a deadlock or a clash, short of something, cancelled, a lock not had, a fault of its disks, a server that only reads just now.
        ("08" | "40" | "53" | "55" | "57" | "58", _) | (_, "25006") => transient(message),
        ("28", _) | (_, "42501") => Fault::Refused(message),
        ("XX", _) => Fault::Internal(message),
        _ => Fault::Invalid(message),
    })
}

/// Of an error that no server sent.
fn without_answer(place: &str, error: &Error) -> Fault {
    let mut words = error.to_string();
    let mut cause = error.source();
    let mut broken = false;
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        broken |= inner.downcast_ref::<io::Error>().is_some_and(|e| {
            e.kind() != io::ErrorKind::InvalidData && e.kind() != io::ErrorKind::InvalidInput
        });
        cause = inner.source();
    }
    let message = format!("{place}: {words}");
    // The driver tells kinds apart only by their words.
    let mistaken = ["error performing TLS", "invalid c", "authentication error"]
        .iter()
        .any(|start| words.starts_with(start));
    if mistaken && !broken {
        Fault::Invalid(message)
    } else {
        Fault::Transient {
            message,
            retry_after_ms: None,
        }
    }
}

/// What the server said, with the code to look it up by.
fn sentence(said: &DbError) -> String {
    format!("{} (SQLSTATE {})", said.message(), said.code().code())
}

fn complaint(said: &DbError) -> Complaint {
    // The detail of a key names its value; that of a check repeats the whole row, which is kept anyway.
    let detail = match said.code().code() {
        "23503" | "23505" | "23P01" => said.detail().map(|d| format!(": {d}")),
        _ => None,
    };
    // "COPY weir_batch, line 3, column c2: …", in the server's language but for the names.
    let context = said
        .where_()
        .and_then(|w| w.split_once("COPY weir_batch, "))
        .map_or("", |(_, rest)| {
            rest.split(['"', '«', '„']).next().unwrap_or_default()
        });
    let mut words = context.split([',', ':', ' ', '\u{a0}']);
    let line = words.by_ref().find_map(|word| word.parse::<usize>().ok());
    let column = words.find_map(|word| word.strip_prefix('c')?.parse().ok());
    Complaint {
        message: format!("{}{}", sentence(said), detail.unwrap_or_default()),
        line: line.and_then(|line| line.checked_sub(1)),
        column,
    }
}
