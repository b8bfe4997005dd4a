//! One connection and the statements on it: rows wait in a temporary table, where their text has become values, and go on to the real one from there. That names the line and the column of a
//! value that does not fit, works with views, triggers and row-level security, and lets PostgreSQL itself say which keys are the same.

use std::ops::Range;
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt;
use model::error::Fault;
use tokio_postgres::{Client, Error, SimpleQueryMessage, Statement};

use super::super::sql::{Mode, quoted};
use super::encode::Rows;
use super::fault::{Complaint, Trouble, sorted};
use super::name::TableName;
use super::table::Table;

/// Bytes sent at once.
const PIECE: usize = 1 << 20;

/// A connection.
pub(super) struct Session {
    pub(super) client: Client,
    /// The table, once it is there.
    pub(super) table: Option<Table>,
    statements: Option<Statements>,
    place: String,
}

/// The two statements of a batch, for one choice of columns.
struct Statements {
    written: Vec<bool>,
    copy: Statement,
    insert: Statement,
}

/// Rows ready to go.
pub(super) struct Ready {
    text: Bytes,
    ends: Vec<usize>,
    /// Place of each in the batch.
    pub(super) places: Vec<usize>,
}

impl From<Rows> for Ready {
    fn from(rows: Rows) -> Self {
        let (text, ends, places) = rows.done();
        Self { text, ends, places }
    }
}

impl Ready {
    fn all(&self) -> Range<usize> {
        0..self.places.len()
    }

    /// The text of some.
    fn text(&self, rows: &Range<usize>) -> Bytes {
        let end = |row: usize| match row.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(self.text.len()),
        };
        self.text.slice(end(rows.start)..end(rows.end))
    }
}

/// A step of a batch.
#[derive(Clone, Copy)]
enum Step {
    /// Text becomes values.
    Copy,
    /// Values become rows of the table.
    Insert,
}

impl Session {
    /// Looks for the table on a new connection.
    pub(super) async fn new(client: Client, table: &TableName, place: &str) -> Result<Self, Fault> {
        let mut session = Self {
            client,
            table: None,
            statements: None,
            place: place.to_owned(),
        };
        session.look(table).await?;
        Ok(session)
    }

    /// Looks for the table, and makes the one in which rows wait.
    pub(super) async fn look(&mut self, name: &TableName) -> Result<(), Fault> {
        let found = Table::load(&self.client, name).await;
        self.table = found.map_err(|error| self.fault(&error))?;
        let Some(table) = &self.table else {
            return Ok(());
        };
        let columns = table.columns.iter().enumerate().map(|(at, column)| {
            let missing = if column.default.is_some() {
                format!(", m{at} boolean")
            } else {
                String::new()
            };
            format!(", c{at} {}{missing}", column.of_type)
        });
        let made = format!(
            "CREATE TEMP TABLE weir_batch (r int4{}) ON COMMIT DELETE ROWS",
            columns.collect::<String>()
        );
        let made = self.client.batch_execute(&made).await;
        made.map_err(|error| self.fault(&error))
    }

    /// Prepares for rows with these columns.
    pub(super) async fn prepare(
        &mut self,
        name: &TableName,
        table: &Table,
        written: &[bool],
        mode: Mode,
        key: &[usize],
    ) -> Result<(), Fault> {
        if self
            .statements
            .as_ref()
            .is_some_and(|s| s.written == written)
        {
            return Ok(());
        }
        let copy = self.client.prepare(&copy(table, written)).await;
        let copy = copy.map_err(|error| self.fault(&error))?;
        let insert = self
            .client
            .prepare(&insert(name, table, written, mode, key))
            .await;
        let insert = insert.map_err(|error| self.fault(&error))?;
        self.statements = Some(Statements {
            written: written.to_vec(),
            copy,
            insert,
        });
        Ok(())
    }

    /// Begins a transaction, in which constraints speak up at once, and returns its number.
    pub(super) async fn begin(&self) -> Result<i64, Fault> {
        let answer = self
            .client
            .simple_query("BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SELECT txid_current()")
            .await
            .map_err(|error| self.fault(&error))?;
        let number = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        number
            .ok_or_else(|| Fault::Internal(format!("{}: a transaction has no number", self.place)))
    }

    /// What became of a transaction: `committed`, `aborted`, `in progress`; none: it is too long ago.
    pub(super) async fn status(&self, number: i64) -> Result<Option<String>, Fault> {
        let answer = self
            .client
            .query_one("SELECT txid_status($1)", &[&number])
            .await;
        answer
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.fault(&error))
    }

    /// Runs a statement without an answer.
    pub(super) async fn execute(&self, statement: &str) -> Result<(), Fault> {
        let done = self.client.batch_execute(statement).await;
        done.map_err(|error| self.fault(&error))
    }

    /// Writes all rows within the transaction, as if all fitted.
    pub(super) async fn write(&self, rows: &Ready) -> Result<(), Trouble> {
        self.step(Step::Copy, rows, rows.all()).await?;
        self.step(Step::Insert, rows, rows.all()).await
    }

    /// Writes what fits within the transaction; returns the others with what is said against them, by their number among the rows.
    pub(super) async fn sift(&self, rows: &Ready) -> Result<Vec<(usize, Complaint)>, Fault> {
        let mut out = Vec::new();
        for step in [Step::Copy, Step::Insert] {
            // The left part is on top: rows go in their order.
            let mut parts = vec![rows.all()];
            while let Some(part) = parts.pop() {
                self.execute("SAVEPOINT weir").await?;
                match self.step(step, rows, part.clone()).await {
                    Ok(()) => self.execute("RELEASE weir").await?,
                    Err(Trouble::Fault(fault)) => return Err(fault),
                    Err(Trouble::Data(complaint)) => {
                        self.execute("ROLLBACK TO weir; RELEASE weir").await?;
                        split(part, complaint, &mut parts, &mut out);
                    }
                }
            }
        }
        Ok(out)
    }

    async fn step(&self, step: Step, rows: &Ready, part: Range<usize>) -> Result<(), Trouble> {
        let Some(statements) = &self.statements else {
            return Err(Trouble::Fault(Fault::Internal(
                "nothing was prepared".into(),
            )));
        };
        let done = match step {
            Step::Copy => self.copy(&statements.copy, rows.text(&part)).await,
            Step::Insert => {
                let at = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
                let (start, end) = (at(part.start), at(part.end));
                let insert = &statements.insert;
                self.client.execute(insert, &[&start, &end]).await
            }
        };
        done.map(|_| ())
            .map_err(|error| sorted(&self.place, &error))
    }

    async fn copy(&self, copy: &Statement, mut text: Bytes) -> Result<u64, Error> {
        let mut sink = pin!(self.client.copy_in::<_, Bytes>(copy).await?);
        while !text.is_empty() {
            let piece = text.split_to(PIECE.min(text.len()));
            sink.feed(piece).await?;
        }
        sink.finish().await
    }

    fn fault(&self, error: &Error) -> Fault {
        sorted(&self.place, error).into_fault(&self.place)
    }
}

/// Takes a part that does not go in as a whole apart: around the row that is named, else in halves.
fn split(
    part: Range<usize>,
    complaint: Complaint,
    parts: &mut Vec<Range<usize>>,
    out: &mut Vec<(usize, Complaint)>,
) {
    let named = complaint
        .line
        .and_then(|line| line.checked_add(part.start))
        .filter(|row| part.contains(row))
        .or_else(|| (part.len() == 1).then_some(part.start));
    let (left, right) = match named {
        Some(row) => {
            out.push((row, complaint));
            (part.start..row, row.saturating_add(1)..part.end)
        }
        None => {
            let middle = part.start.midpoint(part.end);
            (part.start..middle, middle..part.end)
        }
    };
    parts.extend([right, left].into_iter().filter(|part| !part.is_empty()));
}

/// Places and columns that are written.
fn chosen<'a>(
    table: &'a Table,
    written: &'a [bool],
) -> impl Iterator<Item = (usize, &'a super::table::Column)> {
    let columns = table.columns.iter().enumerate();
    columns.filter(|(at, _)| written.get(*at).copied().unwrap_or(false))
}

fn copy(table: &Table, written: &[bool]) -> String {
    let columns: String = chosen(table, written)
        .map(|(at, column)| match column.default {
            None => format!(", c{at}"),
            Some(_) => format!(", c{at}, m{at}"),
        })
        .collect();
    format!("COPY pg_temp.weir_batch (r{columns}) FROM STDIN")
}

/// The statement that takes rows on from where they wait. Of equal keys the last one counts: a statement cannot touch a row twice.
fn insert(name: &TableName, table: &Table, written: &[bool], mode: Mode, key: &[usize]) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    let names = join(
        chosen(table, written)
            .map(|(_, c)| quoted(&c.name))
            .collect(),
    );
    let values = join(
        chosen(table, written)
            .map(|(at, column)| match &column.default {
                None => format!("c{at}"),
                Some(default) => format!("CASE WHEN m{at} THEN {default} ELSE c{at} END"),
            })
            .collect(),
    );
    let into = format!("INSERT INTO {} ({names})", name.quoted());
    let waiting = "FROM pg_temp.weir_batch WHERE r >= $1 AND r < $2";
    if mode == Mode::Insert {
        return format!("{into} SELECT {values} {waiting} ORDER BY r");
    }
    let keys = join(key.iter().map(|at| format!("c{at}")).collect());
    let key_names: Vec<_> = key
        .iter()
        .filter_map(|at| table.columns.get(*at))
        .map(|column| quoted(&column.name))
        .collect();
    let replaced: Vec<_> = chosen(table, written)
        .filter(|(at, _)| !key.contains(at))
        .map(|(_, column)| format!("{0} = EXCLUDED.{0}", quoted(&column.name)))
        .collect();
    let action = if replaced.is_empty() {
        "NOTHING".to_owned()
    } else {
        format!("UPDATE SET {}", join(replaced))
    };
    format!(
        "{into} SELECT {values} FROM (SELECT DISTINCT ON ({keys}) * {waiting} ORDER BY {keys}, r DESC) AS b ON CONFLICT ({}) DO {action}",
        join(key_names)
    )
}
