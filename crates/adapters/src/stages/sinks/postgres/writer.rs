//! The sink at work in a run: a connection that is made anew after a loss, and a memory of how far a batch got, so that nothing is written twice when it comes again.

use std::time::Duration;

use bytes::Bytes;
use model::BoxFuture;
use model::data::{Batch, Partly, Reject, Writer};
use model::error::Fault;

use super::super::sql::record::{Row, Shape, shape};
use super::super::sql::rows::{Gate, Written, refused};
use super::super::sql::survey::Survey;
use super::super::sql::{Mode, lines};
use super::Options;
use super::encode::{Rows, flag, value};
use super::fault::{Complaint, Trouble};
use super::name::TableName;
use super::server::Server;
use super::session::{Ready, Session};
use super::table::{Column, Table, create, type_of};

/// A `postgres` sink of one run.
pub(super) struct PostgresWriter {
    options: Options,
    name: TableName,
    server: Server,
    /// None after a loss, and while a batch is under way.
    session: Option<Session>,
    written: Written,
    /// The first records are no longer to come.
    begun: bool,
    delivery: Option<Delivery>,
}

/// How far the last batch got.
struct Delivery {
    key: String,
    /// Records of it that are done with.
    done: usize,
    rejects: Vec<Reject>,
    doubt: Option<Doubt>,
}

/// A transaction of which it is not known whether it took place: its end was asked for, and no answer came.
struct Doubt {
    transaction: i64,
    end: usize,
    rejects: Vec<Reject>,
}

impl PostgresWriter {
    /// Connects, and sees whether the table will do.
    pub(super) async fn open(
        options: Options,
        name: TableName,
        server: Server,
    ) -> Result<Self, Fault> {
        let mut writer = Self {
            options,
            name,
            server,
            session: None,
            written: Written::default(),
            begun: false,
            delivery: None,
        };
        writer.session = Some(writer.connect().await?);
        Ok(writer)
    }

    async fn connect(&self) -> Result<Session, Fault> {
        let client = self.server.connect().await?;
        let session = Session::new(client, &self.name, &self.server.place).await?;
        match &session.table {
            Some(table) => self.key(table).map(|_| ())?,
            None if self.options.create => {}
            None => {
                return Err(Fault::Invalid(format!(
                    "there is no table {} in {}; make it, or let the sink make it from the first batch with `create: true`",
                    self.name, self.server.place
                )));
            }
        }
        Ok(session)
    }

    /// How errors name the table.
    fn table_words(&self) -> String {
        format!("the table {} in {}", self.name, self.server.place)
    }

    /// The places of the key's columns; none for inserts.
    fn key(&self, table: &Table) -> Result<Vec<usize>, Fault> {
        if self.options.mode == Mode::Insert {
            return Ok(Vec::new());
        }
        table.key(&self.options.key).map_err(|why| {
            Fault::Invalid(format!("cannot upsert into {}: {why}", self.table_words()))
        })
    }

    async fn deliver(&mut self, batch: &Batch, key: &str) -> Result<Vec<Reject>, Fault> {
        let lines = lines(batch)?;
        let kept = self.session.take().filter(|s| !s.client.is_closed());
        let mut session = match kept {
            Some(session) => session,
            None => self.connect().await?,
        };
        if self.delivery.as_ref().is_none_or(|d| d.key != key) {
            self.delivery = Some(Delivery {
                key: key.to_owned(),
                done: 0,
                rejects: Vec::new(),
                doubt: None,
            });
        }
        self.settle(&session).await?;
        if let Some(table) = self.table(&mut session, &lines).await? {
            self.go_on(&mut session, &table, &lines).await?;
        } else {
            // Not one record in a first batch: what is wrong with each is told without a table.
            self.delivery
                .iter_mut()
                .for_each(|d| d.rejects = refused(&lines));
        }
        // After a failure the connection may be in the middle of something, and is not kept.
        self.session = Some(session);
        // Remembered, should the batch come again.
        let mut rejects = self
            .delivery
            .as_ref()
            .map_or_else(Vec::new, |d| d.rejects.clone());
        rejects.sort_by_key(|r| r.index);
        Ok(rejects)
    }

    /// Finds out what became of a transaction whose end got no answer.
    async fn settle(&mut self, session: &Session) -> Result<(), Fault> {
        let Some(delivery) = &mut self.delivery else {
            return Ok(());
        };
        let Some(doubt) = &mut delivery.doubt else {
            return Ok(());
        };
        match session.status(doubt.transaction).await?.as_deref() {
            Some("committed") => {
                delivery.done = doubt.end;
                delivery.rejects.append(&mut doubt.rejects);
                delivery.doubt = None;
            }
            Some("in progress") => {
                return Err(Fault::Transient {
                    message: format!(
                        "{}: a transaction that was to be committed when the connection was lost is still under way",
                        self.server.place
                    ),
                    retry_after_ms: None,
                });
            }
            // Rolled back, or so long ago that the server has forgotten it: then it is written again.
            _ => delivery.doubt = None,
        }
        Ok(())
    }

    /// The table, made from the first records if need be; none while there was no record at all.
    async fn table(
        &mut self,
        session: &mut Session,
        lines: &[Bytes],
    ) -> Result<Option<Table>, Fault> {
        if self.begun && session.table.is_some() {
            return Ok(session.table.clone());
        }
        let survey = Survey::of(lines);
        if survey.is_empty() {
            return Ok(session.table.clone());
        }
        if session.table.is_none() {
            let columns = survey.columns(&self.options.wanted(), type_of)?;
            let made = create(&self.name, &columns, &self.options.key).map_err(Fault::Invalid)?;
            session.execute(&made).await?;
            session.look(&self.name).await?;
        }
        let Some(table) = session.table.clone() else {
            return Err(Fault::Internal(format!(
                "{} was made, and is not there",
                self.table_words()
            )));
        };
        self.key(&table)?;
        survey.fits(
            &self.table_words(),
            &table.index,
            &table.names(),
            self.options.extra_fields,
        )?;
        self.begun = true;
        Ok(Some(table))
    }

    /// Writes what is still to be written of a batch, a transaction each `batch_size`.
    async fn go_on(
        &mut self,
        session: &mut Session,
        table: &Table,
        lines: &[Bytes],
    ) -> Result<(), Fault> {
        let key = self.key(table)?;
        let most = usize::try_from(self.options.batch_size.get()).unwrap_or(usize::MAX);
        let mut done = self.delivery.as_ref().map_or(0, |d| d.done);
        while done < lines.len() {
            let end = done.saturating_add(most).min(lines.len());
            let part = lines.get(done..end).unwrap_or_default();
            let mut rejects = Vec::new();
            let (rows, written) = self.rows(table, part, done, &mut rejects);
            let doubt = if rows.len() == 0 {
                Doubt {
                    transaction: 0,
                    end,
                    rejects,
                }
            } else {
                let (mode, name) = (self.options.mode, &self.name);
                session.prepare(name, table, &written, mode, &key).await?;
                let transaction = write(session, table, &rows.into(), &mut rejects).await?;
                let delivery = self.delivery.as_mut();
                if let Some(delivery) = delivery {
                    delivery.doubt = Some(Doubt {
                        transaction,
                        end,
                        rejects: rejects.clone(),
                    });
                }
                session.execute("COMMIT").await?;
                Doubt {
                    transaction,
                    end,
                    rejects,
                }
            };
            if let Some(delivery) = &mut self.delivery {
                delivery.done = doubt.end;
                delivery.rejects.extend(doubt.rejects);
                delivery.doubt = None;
            }
            done = end;
        }
        Ok(())
    }

    /// Records as rows, and which columns those have. What cannot be a row is rejected.
    fn rows(
        &mut self,
        table: &Table,
        lines: &[Bytes],
        first: usize,
        rejects: &mut Vec<Reject>,
    ) -> (Rows, Vec<bool>) {
        let wanted = self.options.wanted();
        let table_name = self.name.to_string();
        let gate = Gate {
            table: &table_name,
            index: &table.index,
            key: wanted.needed(),
            extra: self.options.extra_fields,
        };
        let found = gate.rows(lines, first, rejects, |row| has_all(table, row));
        let written = self.written.with(&table.names(), &found);
        let mut rows = Rows::default();
        for (place, row) in found {
            let added = rows.add(place, |out| encode(out, table, &written, &row));
            if let Err(reason) = added {
                rejects.push(Reject::new(place, reason));
            }
        }
        (rows, written)
    }
}

/// Is there a value wherever the table needs one?
fn has_all(table: &Table, row: &Row<'_>) -> Result<(), String> {
    for (column, value) in table.columns.iter().zip(&row.values) {
        let what = match value {
            None if column.default.is_none() => "missing",
            Some(value) if shape(value) == Shape::Null => "null",
            _ => continue,
        };
        if column.not_null {
            let name = &column.name;
            return Err(format!(
                "the field `{name}` is {what}, and its column is NOT NULL"
            ));
        }
    }
    Ok(())
}

/// The values of a row, and for columns with a default whether it is to be taken.
fn encode(out: &mut Vec<u8>, table: &Table, written: &[bool], row: &Row<'_>) -> Result<(), String> {
    let columns = table.columns.iter().zip(&row.values).zip(written);
    for ((column, given), _) in columns.filter(|(_, written)| **written) {
        value(out, *given, column.form)
            .map_err(|why| format!("the field `{}`: {why}", column.name))?;
        if column.default.is_some() {
            flag(out, given.is_none());
        }
    }
    Ok(())
}

/// Begins a transaction and writes rows, leaving out those that PostgreSQL does not take; returns the transaction's number, for it is not yet committed.
async fn write(
    session: &Session,
    table: &Table,
    rows: &Ready,
    rejects: &mut Vec<Reject>,
) -> Result<i64, Fault> {
    let transaction = session.begin().await?;
    match session.write(rows).await {
        Ok(()) => return Ok(transaction),
        Err(Trouble::Fault(fault)) => return Err(fault),
        Err(Trouble::Data(_)) => session.execute("ROLLBACK").await?,
    }
    let transaction = session.begin().await?;
    for (row, complaint) in session.sift(rows).await? {
        if let Some(&place) = rows.places.get(row) {
            rejects.push(Reject::new(place, words(table, &complaint)));
        }
    }
    Ok(transaction)
}

/// A complaint with the field it is about.
fn words(table: &Table, complaint: &Complaint) -> String {
    let column: Option<&Column> = complaint.column.and_then(|at| table.columns.get(at));
    match column {
        Some(column) => format!(
            "the field `{}` does not fit its column ({}): {}",
            column.name, column.of_type, complaint.message
        ),
        None => complaint.message.clone(),
    }
}

impl Writer for PostgresWriter {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(async move {
            let limit: Duration = self.options.timeout.0;
            let place = self.server.place.clone();
            let result = tokio::time::timeout(limit, self.deliver(&batch, &key)).await;
            result.unwrap_or_else(|_| {
                Err(Fault::Transient {
                    message: format!(
                        "{place}: the batch was not written within the timeout of {:?}",
                        limit
                    ),
                    retry_after_ms: None,
                })
            })
        })
    }

    /// A transaction whose outcome is not known does not count: it is better there twice than not at all.
    fn partly(&self, key: &str) -> Partly {
        let delivery = self.delivery.as_ref().filter(|d| d.key == key);
        delivery.map_or_else(Partly::default, |d| Partly::of(0..d.done, &d.rejects))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        self.session = None;
        Box::pin(async { Ok(()) })
    }
}
