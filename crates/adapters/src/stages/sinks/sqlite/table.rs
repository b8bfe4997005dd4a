//! A table as SQLite describes it, the types of columns, and the statements that write into it.

use std::collections::HashMap;

use rusqlite::Connection;

use super::super::sql::survey::Kind;
use super::super::sql::{Mode, quoted};

/// Columns that can be written, in order: not generated ones, nor hidden ones of virtual tables.
const COLUMNS: &str = "SELECT name, type, dflt_value IS NOT NULL FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0 ORDER BY cid";

/// A column that can be written.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// Does it keep texts as they are, by SQLite's rules of affinity?
    pub(super) is_text: bool,
    pub(super) has_default: bool,
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) index: HashMap<String, usize>,
}

impl Table {
    /// Looks for it; none if it is not there.
    pub(super) fn load(connection: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        let mut statement = connection.prepare(COLUMNS)?;
        let columns = statement.query_map([name], |row| {
            let declared: String = row.get(1)?;
            let upper = declared.to_ascii_uppercase();
            let is_text = !upper.contains("INT")
                && ["CHAR", "CLOB", "TEXT"].iter().any(|t| upper.contains(t));
            Ok(Column {
                name: row.get(0)?,
                is_text,
                has_default: row.get(2)?,
            })
        })?;
        let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
        if columns.is_empty() {
            return Ok(None);
        }
        let index = columns
            .iter()
            .enumerate()
            .map(|(at, column)| (column.name.clone(), at))
            .collect();
        Ok(Some(Self { columns, index }))
    }

    /// The names of its columns, in order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }

    /// The statement for a row that gives the `given` columns and has the default in the other ones of `written`.
    pub(super) fn insert(
        &self,
        name: &str,
        given: &[bool],
        written: &[bool],
        mode: Mode,
        key: &[String],
    ) -> String {
        let of = |chosen: &[bool]| -> Vec<String> {
            let all = self.columns.iter().zip(chosen);
            all.filter(|(_, chosen)| **chosen)
                .map(|(column, _)| quoted(&column.name))
                .collect()
        };
        let names = of(given);
        let places = vec!["?"; names.len()].join(", ");
        let values = match names.as_slice() {
            [] => "DEFAULT VALUES".to_owned(),
            names => format!("({}) VALUES ({places})", names.join(", ")),
        };
        let into = format!("INSERT INTO main.{} {values}", quoted(name));
        if mode == Mode::Insert {
            return into;
        }
        let key: Vec<_> = key.iter().map(|name| quoted(name)).collect();
        let replaced: Vec<_> = of(written)
            .into_iter()
            .filter(|name| !key.contains(name))
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        let action = if replaced.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", replaced.join(", "))
        };
        format!("{into} ON CONFLICT ({}) DO {action}", key.join(", "))
    }
}

/// Is this a type of a strict table?
pub(super) fn check_type(written: &str) -> Result<(), String> {
    const TYPES: [&str; 6] = ["INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"];
    if TYPES.iter().any(|t| t.eq_ignore_ascii_case(written)) {
        Ok(())
    } else {
        Err(format!(
            "`{written}` is not a type of SQLite's strict tables; allowed: {}",
            TYPES.join(", ")
        ))
    }
}

/// The type of a column that is made for values of a kind.
pub(super) fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer | Kind::BigInteger | Kind::Boolean => "INTEGER",
        Kind::Number => "REAL",
        Kind::Text | Kind::Json => "TEXT",
    }
}

/// The statement that makes a table.
pub(super) fn create(name: &str, columns: &[(&str, String)], key: &[String]) -> String {
    let mut parts: Vec<_> = columns
        .iter()
        .map(|(field, of_type)| {
            let in_key = key.iter().any(|k| k == field);
            let not_null = if in_key { " NOT NULL" } else { "" };
            format!("{} {of_type}{not_null}", quoted(field))
        })
        .collect();
    if !key.is_empty() {
        let key: Vec<_> = key.iter().map(|name| quoted(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    format!(
        "CREATE TABLE IF NOT EXISTS main.{} ({}) STRICT",
        quoted(name),
        parts.join(", ")
    )
}
