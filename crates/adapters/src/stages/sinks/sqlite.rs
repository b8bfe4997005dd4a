//! The sink `sqlite`: records become rows of a table in a SQLite file, a transaction a batch. All of it runs on threads that may block; the file's connection goes with the work.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use model::BoxFuture;
use model::data::Writer;
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SinkKind};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::sql::{ExtraFields, Mode, Wanted};
use crate::stages::options;
use writer::SqliteWriter;

mod file;
mod table;
mod value;
mod writer;

/// The kind `sqlite`.
#[derive(Debug)]
pub(super) struct Sqlite;

/// The sink's options.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The database file. It is made if it is not there and `create` is true.
    path: String,
    /// The table.
    table: String,
    /// `insert`: each record is a new row. `upsert`: a record replaces the row with the same `key`, or is a new one.
    #[serde(default)]
    mode: Mode,
    /// The columns that say which row a record replaces; they must be the table's primary key, or unique. A table that is made gets them as its primary key.
    #[serde(default)]
    key: Vec<String>,
    /// Most records of one transaction.
    #[serde(default = "batch_size")]
    batch_size: NonZeroU32,
    /// Makes the file and the table if they are not there, with a column for each field of the first batch.
    #[serde(default)]
    create: bool,
    /// Types of columns for a table that is made, where they are not to be told from the data: INTEGER, REAL, TEXT, BLOB or ANY, as in `{code: TEXT}`.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// What becomes of a field for which the table has no column. `reject`: if the first batch has one, the run fails, naming fields and columns; later the record is rejected. `ignore`: it
    /// is left out.
    #[serde(default)]
    extra_fields: ExtraFields,
}

fn batch_size() -> NonZeroU32 {
    const { NonZeroU32::new(1_000).unwrap() }
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
        let mut found = self.wanted().check(table::check_type);
        for (pointer, given) in [("/path", &self.path), ("/table", &self.table)] {
            if given.is_empty() || given.contains('\0') {
                found.push(Misfit::new(
                    pointer,
                    format!("{given:?} is no name: it has at least one character, and no NUL"),
                ));
            }
        }
        found
    }
}

impl Kind for Sqlite {
    fn described(&self) -> Described {
        Described {
            name: "sqlite",
            summary: "Writes records into a table of a SQLite file, as new rows or by key.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| options.check())
    }
}

impl SinkKind for Sqlite {
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        Box::pin(async move {
            let options: Options = options::read(&config)?;
            options::refuse(options.check())?;
            let path = context.access.files.resolve(options.path.as_ref());
            let path = path.map_err(Fault::Denied)?;
            let writer = SqliteWriter::open(options, path).await?;
            Ok(Box::new(writer) as Box<dyn Writer>)
        })
    }
}

#[cfg(test)]
mod tests;
