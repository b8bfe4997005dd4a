//! The records of a batch as rows of a table: which fit as far as can be told without asking the database, and which columns are written.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use model::data::Reject;

use super::record::{Row, Shape, row, shape};
use super::{ExtraFields, listed};

/// What records are held against.
pub(in super::super) struct Gate<'a> {
    /// How reasons name the table.
    pub(in super::super) table: &'a str,
    /// The places of its columns.
    pub(in super::super) index: &'a HashMap<String, usize>,
    /// Columns that must have a value.
    pub(in super::super) key: &'a [String],
    pub(in super::super) extra: ExtraFields,
}

impl Gate<'_> {
    /// The records that pass, with their place in the batch, of which `lines` are the part from `first` on. The others go to `rejects`; `fits` may turn down more.
    pub(in super::super) fn rows<'a>(
        &self,
        lines: &'a [Bytes],
        first: usize,
        rejects: &mut Vec<Reject>,
        fits: impl Fn(&Row<'_>) -> Result<(), String>,
    ) -> Vec<(usize, Row<'a>)> {
        let mut rows = Vec::with_capacity(lines.len());
        for (place, line) in (first..).zip(lines) {
            let passed = row(line, self.index).and_then(|row| {
                self.check(&row)?;
                fits(&row).map(|()| row)
            });
            match passed {
                Ok(row) => rows.push((place, row)),
                Err(reason) => rejects.push(Reject::new(place, reason)),
            }
        }
        rows
    }

    fn check(&self, row: &Row<'_>) -> Result<(), String> {
        if !row.extra.is_empty() && self.extra == ExtraFields::Reject {
            let (table, extra) = (self.table, listed(&row.extra));
            return Err(format!("the table {table} has no column for {extra}"));
        }
        let missing = self.key.iter().find(|name| {
            let value = self.index.get(*name).and_then(|&at| row.values.get(at));
            value
                .copied()
                .flatten()
                .is_none_or(|value| shape(value) == Shape::Null)
        });
        match missing {
            Some(name) => Err(format!(
                "the field `{name}`, which is of the key, is missing or null"
            )),
            None => Ok(()),
        }
    }
}

/// Why each record of a batch in which there is not one field is rejected.
pub(in super::super) fn refused(lines: &[Bytes]) -> Vec<Reject> {
    let none = HashMap::new();
    let reason = |line| {
        row(line, &none)
            .err()
            .unwrap_or_else(|| "it has no field".into())
    };
    let places = lines.iter().enumerate();
    places
        .map(|(place, line)| Reject::new(place, reason(line)))
        .collect()
}

/// Columns that some record of a run had a field for. What a later record lacks of them gets the column's default; all other columns are left alone.
#[derive(Debug, Default)]
pub(in super::super) struct Written(HashSet<String>);

impl Written {
    /// Takes note of rows; is a column, in the order of the table, written?
    pub(in super::super) fn with(
        &mut self,
        names: &[&str],
        rows: &[(usize, Row<'_>)],
    ) -> Vec<bool> {
        let columns = names.iter().enumerate();
        columns
            .map(|(at, name)| {
                let has =
                    |(_, row): &(usize, Row<'_>)| row.values.get(at).is_some_and(Option::is_some);
                let is_new = !self.0.contains(*name) && rows.iter().any(has);
                if is_new {
                    self.0.insert((*name).to_owned());
                }
                is_new || self.0.contains(*name)
            })
            .collect()
    }
}
