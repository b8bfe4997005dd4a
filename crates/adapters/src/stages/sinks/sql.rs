//! What the sinks `postgres` and `sqlite` share: what their options say of a table, records as rows, types for a table that is made from data. No database here.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::data::{Batch, Encoding};
use model::error::Fault;
use model::stage::Misfit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) mod record;
pub(super) mod rows;
pub(super) mod survey;

/// How records get into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Each record is a new row.
    #[default]
    Insert,
    /// A record replaces the row with the same key, or is a new one.
    Upsert,
}

/// What becomes of a field for which the table has no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExtraFields {
    /// In the first batch the run fails, naming fields and columns; later the record is rejected.
    #[default]
    Reject,
    /// It is left out.
    Ignore,
}

/// What options say of a table, whatever the database.
pub(super) struct Wanted<'a> {
    pub(super) mode: Mode,
    pub(super) key: &'a [String],
    pub(super) create: bool,
    pub(super) columns: &'a BTreeMap<String, String>,
}

impl<'a> Wanted<'a> {
    /// Columns that each record must have a value for: those that tell which row it replaces.
    pub(super) fn needed(&self) -> &'a [String] {
        match self.mode {
            Mode::Insert => &[],
            Mode::Upsert => self.key,
        }
    }

    /// What in them does not go together. `type_fits` says of a type what is wrong with it.
    pub(super) fn check(&self, type_fits: impl Fn(&str) -> Result<(), String>) -> Vec<Misfit> {
        let mut found = Vec::new();
        match (self.mode, self.key, self.create) {
            (Mode::Upsert, [], _) => found.push(Misfit::new(
                "/key",
                "`mode: upsert` needs `key`: the columns that say which row a record replaces, such as `key: [id]`",
            )),
            (Mode::Insert, [_, ..], false) => found.push(Misfit::new(
                "/key",
                "`key` says nothing with `mode: insert` into a table that is there; it is for `mode: upsert`, and for the primary key of a table made with `create: true`",
            )),
            _ => {}
        }
        for (at, name) in self.key.iter().enumerate() {
            if self.key.iter().take(at).any(|other| other == name) {
                found.push(Misfit::new(
                    format!("/key/{at}"),
                    format!("`{name}` is named twice"),
                ));
            }
        }
        if !self.columns.is_empty() && !self.create {
            found.push(Misfit::new(
                "/columns",
                "`columns` gives types for a table that the sink makes, and needs `create: true`",
            ));
        }
        for (name, given) in self.columns {
            if let Err(message) = type_fits(given) {
                let name = name.replace('~', "~0").replace('/', "~1");
                found.push(Misfit::new(format!("/columns/{name}"), message));
            }
        }
        found
    }
}

/// An identifier in double quotes, so that whatever it holds stays a name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names for a sentence: `a`, `b` and 3 more.
pub(super) fn listed<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    const SHOWN: usize = 30;
    let names: Vec<String> = names
        .into_iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "none".into(),
        (false, 0) => shown,
        (false, _) => format!("{shown} and {more} more"),
    }
}

/// The records of a batch, one JSON text each.
pub(super) fn lines(batch: &Batch) -> Result<Vec<Bytes>, Fault> {
    if batch.encoding != Encoding::Ndjson {
        return Err(Fault::Internal("this sink takes NDJSON only".into()));
    }
    let mut lines = Vec::new();
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', &batch.data) {
        lines.push(batch.data.slice(from..end));
        from = end.saturating_add(1);
    }
    if from < batch.data.len() {
        lines.push(batch.data.slice(from..));
    }
    Ok(lines)
}

#[cfg(test)]
pub(super) mod rig;
#[cfg(test)]
mod tests;
