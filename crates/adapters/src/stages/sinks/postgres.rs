//! The sink `postgres`: records become rows of a table, a transaction a batch. What a value becomes is PostgreSQL's own reading of its text by the column's type.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use model::BoxFuture;
use model::data::Writer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SinkKind, is_open};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::sql::{ExtraFields, Mode, Wanted};
use crate::stages::options;
use crate::stages::span::Span;
use name::TableName;
use server::{Login, Server};
use writer::PostgresWriter;

mod encode;
mod fault;
mod name;
pub(crate) mod server;
mod session;
mod table;
mod writer;

/// The kind `postgres`.
#[derive(Debug)]
pub(super) struct Postgres;

/// The sink's options.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The database: `postgres://user@host:port/database`. Parameters after `?`: `sslmode` (`disable`, `prefer` (default), `require`: encrypted, but whoever answers is believed, `verify-full`:
    /// the certificate is checked, too), `sslrootcert` (a PEM file of the certificates to trust in place of the system's), and others of libpq, such as `options` and `application_name`.
    /// A password is best given in `password`.
    url: String,
    /// The password, as a reference such as `${env:PGPASSWORD}`. Here, unlike in `url`, it needs no percent-encoding.
    #[serde(default)]
    password: Option<String>,
    /// The table, `table` or `schema.table`, written as it is, upper and lower case. A name that holds a dot goes in double quotes.
    table: String,
    /// `insert`: each record is a new row. `upsert`: a record replaces the row with the same `key`, or is a new one.
    #[serde(default)]
    mode: Mode,
    /// The columns that say which row a record replaces; the table must have a unique index on just them. A table that is made gets them as its primary key.
    #[serde(default)]
    key: Vec<String>,
    /// Most records of one transaction.
    #[serde(default = "batch_size")]
    batch_size: NonZeroU32,
    /// Makes the table if it is not there, with a column for each field of the first batch.
    #[serde(default)]
    create: bool,
    /// Types of columns for a table that is made, where they are not to be told from the data: `{taken_at: timestamptz, price: "numeric(10,2)"}`.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// What becomes of a field for which the table has no column. `reject`: if the first batch has one, the run fails, naming fields and columns; later the record is rejected. `ignore`: it
    /// is left out.
    #[serde(default)]
    extra_fields: ExtraFields,
    /// How long connecting, and writing one batch, may take.
    #[serde(default = "timeout")]
    timeout: Span,
}

fn batch_size() -> NonZeroU32 {
    const { NonZeroU32::new(1_000).unwrap() }
}

fn timeout() -> Span {
    Span(Duration::from_secs(60))
}

impl Options {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            mode: self.mode,
            key: &self.key,
            create: self.create,
            columns: &self.columns,
        }
    }

    /// What is wrong, all at once.
    fn check(&self) -> Vec<Misfit> {
        let mut found = self.wanted().check(name::check_type);
        if !is_open(&self.url)
            && let Err(message) = server::check_url(&self.url)
        {
            found.push(Misfit::new("/url", message));
        }
        if !is_open(&self.table)
            && let Err(message) = self.table.parse::<TableName>()
        {
            found.push(Misfit::new("/table", message));
        }
        found
    }
}

impl Kind for Postgres {
    fn described(&self) -> Described {
        Described {
            name: "postgres",
            summary: "Writes records into a table of a PostgreSQL database, as new rows or by key.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| options.check())
    }
}

impl SinkKind for Postgres {
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        Box::pin(async move {
            let options: Options = options::read(&config)?;
            options::refuse(options.check())?;
            let table: TableName = options.table.parse().map_err(Fault::Invalid)?;
            let login = Login {
                url: &options.url,
                password: options.password.as_deref(),
                timeout: options.timeout.0,
            };
            let server = Server::new(&login, &context.access).await?;
            let writer = PostgresWriter::open(options, table, server).await?;
            Ok(Box::new(writer) as Box<dyn Writer>)
        })
    }
}

#[cfg(test)]
mod tests;
