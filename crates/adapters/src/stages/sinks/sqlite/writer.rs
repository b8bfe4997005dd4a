//! The sink at work in a run. A batch goes to a thread that may block, with the connection, and both come back.

use std::path::PathBuf;

use bytes::Bytes;
use model::BoxFuture;
use model::data::{Batch, Partly, Reject, Writer};
use model::error::Fault;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior, params_from_iter};

use super::super::sql::record::Row;
use super::super::sql::rows::{Gate, Written, refused};
use super::super::sql::survey::Survey;
use super::super::sql::{Mode, lines, listed};
use super::Options;
use super::file::{fault, is_of_row, open, words};
use super::table::{Table, create, type_of};
use super::value::value;

/// A `sqlite` sink of one run; none inside while a batch is under way, and after one that was given up.
pub(super) struct SqliteWriter(Option<Box<Open>>);

/// What goes to the thread with a batch.
struct Open {
    options: Options,
    path: PathBuf,
    connection: Connection,
    table: Option<Table>,
    written: Written,
    /// The first records are no longer to come.
    begun: bool,
    delivery: Option<Delivery>,
}

/// How far the last batch got, should it come again.
struct Delivery {
    key: String,
    done: usize,
    rejects: Vec<Reject>,
}

impl SqliteWriter {
    /// Opens the file, and sees whether the table is there.
    pub(super) async fn open(options: Options, path: PathBuf) -> Result<Self, Fault> {
        let open = blocking(move || {
            let connection = open(&path, options.create)?;
            let table = Table::load(&connection, &options.table).map_err(|e| fault(&path, &e))?;
            let open = Open {
                options,
                path,
                connection,
                table,
                written: Written::default(),
                begun: false,
                delivery: None,
            };
            match &open.table {
                Some(table) => open.check_key(table)?,
                None if open.options.create => {}
                None => {
                    return Err(Fault::Invalid(format!(
                        "there is no table {}; make it, or let the sink make it from the first batch with `create: true`",
                        open.table_words()
                    )));
                }
            }
            Ok(Box::new(open))
        });
        Ok(Self(Some(open.await?)))
    }
}

/// Runs work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Fault::Internal(error.to_string())))
}

impl Writer for SqliteWriter {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(async move {
            let Some(mut open) = self.0.take() else {
                return Err(Fault::Unavailable {
                    reason: "a batch was given up half-way, and the sink with it".into(),
                    retry_after_ms: None,
                });
            };
            let (open, result) = blocking(move || {
                let result = lines(&batch).and_then(|lines| open.deliver(&lines, &key));
                Ok((open, result))
            })
            .await?;
            self.0 = Some(open);
            result
        })
    }

    fn partly(&self, key: &str) -> Partly {
        let delivery = self.0.as_ref().and_then(|open| open.delivery.as_ref());
        let delivery = delivery.filter(|d| d.key == key);
        delivery.map_or_else(Partly::default, |d| Partly::of(0..d.done, &d.rejects))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        let open = self.0.take();
        // Closing may write the log back into the file.
        Box::pin(blocking(move || {
            drop(open);
            Ok(())
        }))
    }
}

impl Open {
    /// How errors name the table.
    fn table_words(&self) -> String {
        format!("{} in {}", self.options.table, self.path.display())
    }

    fn fault(&self, error: &rusqlite::Error) -> Fault {
        fault(&self.path, error)
    }

    /// Can rows be told apart by the key? SQLite says so when a statement is prepared.
    fn check_key(&self, table: &Table) -> Result<(), Fault> {
        if self.options.mode == Mode::Insert {
            return Ok(());
        }
        let cannot = |why: String| {
            Fault::Invalid(format!("cannot upsert into {}: {why}", self.table_words()))
        };
        if let Some(missing) = self
            .options
            .key
            .iter()
            .find(|k| !table.index.contains_key(*k))
        {
            return Err(cannot(format!(
                "it has no column `{missing}`, which `key` names; columns there: {}",
                listed(table.names())
            )));
        }
        let all = vec![true; table.columns.len()];
        let statement = self.insert(table, &all, &all);
        self.connection
            .prepare(&statement)
            .map(drop)
            .map_err(|error| match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::Unknown) => cannot(format!(
                    "`key` ({}) is neither its primary key nor unique: {}",
                    self.options.key.join(", "),
                    words(&error)
                )),
                _ => self.fault(&error),
            })
    }

    fn insert(&self, table: &Table, given: &[bool], written: &[bool]) -> String {
        let options = &self.options;
        table.insert(&options.table, given, written, options.mode, &options.key)
    }

    fn deliver(&mut self, lines: &[Bytes], key: &str) -> Result<Vec<Reject>, Fault> {
        let begun = self.delivery.take().filter(|d| d.key == key);
        let mut delivery = begun.unwrap_or_else(|| Delivery {
            key: key.to_owned(),
            done: 0,
            rejects: Vec::new(),
        });
        let result = self.go_on(&mut delivery, lines);
        delivery.rejects.sort_by_key(|r| r.index);
        let rejects = delivery.rejects.clone();
        // Remembered, should the batch come again.
        self.delivery = Some(delivery);
        result.map(|()| rejects)
    }

    /// Writes what is still to be written of a batch, a transaction each `batch_size`.
    fn go_on(&mut self, delivery: &mut Delivery, lines: &[Bytes]) -> Result<(), Fault> {
        let Some(table) = self.table(lines)? else {
            // Not one record in a first batch: what is wrong with each is told without a table.
            delivery.rejects = refused(lines);
            return Ok(());
        };
        let most = usize::try_from(self.options.batch_size.get()).unwrap_or(usize::MAX);
        while delivery.done < lines.len() {
            let end = delivery.done.saturating_add(most).min(lines.len());
            let part = lines.get(delivery.done..end).unwrap_or_default();
            let rejects = self.transaction(&table, part, delivery.done)?;
            delivery.rejects.extend(rejects);
            delivery.done = end;
        }
        Ok(())
    }

    /// The table, made from the first records if need be; none while there was no record at all.
    fn table(&mut self, lines: &[Bytes]) -> Result<Option<Table>, Fault> {
        if self.begun {
            return Ok(self.table.clone());
        }
        let survey = Survey::of(lines);
        if survey.is_empty() {
            return Ok(self.table.clone());
        }
        if self.table.is_none() {
            let options = &self.options;
            let columns = survey.columns(&options.wanted(), type_of)?;
            if let Some((bad, _)) = columns
                .iter()
                .find(|(n, _)| n.is_empty() || n.contains('\0'))
            {
                return Err(Fault::Invalid(format!(
                    "the field `{}` cannot be a column: a name has at least one character, and no NUL; rename it in a transform",
                    bad.escape_debug()
                )));
            }
            let made = create(&options.table, &columns, &options.key);
            self.connection
                .execute_batch(&made)
                .map_err(|e| self.fault(&e))?;
            let found = Table::load(&self.connection, &options.table);
            self.table = found.map_err(|e| self.fault(&e))?;
        }
        let Some(table) = self.table.clone() else {
            return Err(Fault::Internal(format!(
                "{} was made, and is not there",
                self.table_words()
            )));
        };
        self.check_key(&table)?;
        let what = format!("the table {}", self.table_words());
        survey.fits(
            &what,
            &table.index,
            &table.names(),
            self.options.extra_fields,
        )?;
        self.begun = true;
        Ok(Some(table))
    }

    /// Writes some records; those that do not fit are left out of it and returned.
    fn transaction(
        &mut self,
        table: &Table,
        lines: &[Bytes],
        first: usize,
    ) -> Result<Vec<Reject>, Fault> {
        let mut rejects = Vec::new();
        let wanted = self.options.wanted();
        let gate = Gate {
            table: &self.options.table,
            index: &table.index,
            key: wanted.needed(),
            extra: self.options.extra_fields,
        };
        let rows = gate.rows(lines, first, &mut rejects, |_| Ok(()));
        let written = self.written.with(&table.names(), &rows);
        let mut statement = Latest::default();
        let immediate = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(&self.connection, immediate);
        let transaction = transaction.map_err(|e| self.fault(&e))?;
        for (place, row) in rows {
            if let Err(reason) = self.write(&transaction, table, &written, &row, &mut statement)? {
                rejects.push(Reject::new(place, reason));
            }
        }
        transaction.commit().map_err(|e| self.fault(&e))?;
        Ok(rejects)
    }

    /// Writes one row; inside, why it does not fit. A statement that fails undoes only itself.
    fn write(
        &self,
        transaction: &Transaction<'_>,
        table: &Table,
        written: &[bool],
        row: &Row<'_>,
        latest: &mut Latest,
    ) -> Result<Result<(), String>, Fault> {
        let columns = || table.columns.iter().zip(&row.values).zip(written);
        let given: Vec<bool> = columns()
            .map(|((column, value), written)| *written && (value.is_some() || !column.has_default))
            .collect();
        let mut values = Vec::with_capacity(given.len());
        for (((column, raw), _), _) in columns().zip(&given).filter(|(_, given)| **given) {
            match raw.map_or(Ok(Value::Null), |raw| value(raw, column)) {
                Ok(value) => values.push(value),
                Err(why) => return Ok(Err(format!("the field `{}`: {why}", column.name))),
            }
        }
        if latest.given != given {
            latest.statement = self.insert(table, &given, written);
            latest.given = given;
        }
        let done = transaction
            .prepare_cached(&latest.statement)
            .and_then(|mut statement| statement.execute(params_from_iter(values)));
        match done {
            Ok(_) => Ok(Ok(())),
            Err(error) if is_of_row(&error) => Ok(Err(words(&error))),
            Err(error) => Err(self.fault(&error)),
        }
    }
}

/// The statement of the row before, for most rows have the same.
#[derive(Default)]
struct Latest {
    given: Vec<bool>,
    statement: String,
}
