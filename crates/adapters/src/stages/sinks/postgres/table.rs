//! A table as PostgreSQL describes it: its columns, how each takes values, and whether a key is one.

use std::collections::HashMap;

use tokio_postgres::{Client, Error, Row};

use super::super::sql::survey::Kind;
use super::super::sql::{listed, quoted};
use super::encode::Form;
use super::name::{LONGEST, TableName};

/// What a table is, and what fills it besides: views and triggers may give values to columns of their own accord.
const TABLE: &str = "
    SELECT c.oid, c.relkind::text, c.relkind NOT IN ('r', 'p') OR EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype & 6 = 6)
    FROM pg_class c WHERE c.oid = to_regclass($1)";

/// Columns that can be written, in order. A domain counts as what it is made of. The default of an identity column is the next of its sequence.
const COLUMNS: &str = "
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text, b.typcategory::text, e.typname::text, a.attnotnull,
        CASE WHEN a.attidentity <> '' THEN format('nextval(%L::regclass)', pg_get_serial_sequence(a.attrelid::regclass::text, a.attname))
             ELSE pg_get_expr(d.adbin, d.adrelid) END
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
    ORDER BY a.attnum";

/// Sets of columns that ON CONFLICT can name.
const KEYS: &str = "
    SELECT array_agg(a.attname::text ORDER BY k.at)
    FROM pg_index i
    CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (num, at)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
    WHERE i.indrelid = $1 AND k.at <= i.indnkeyatts
        AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid";

/// A column that can be written.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// As a statement names it.
    pub(super) of_type: String,
    pub(super) form: Form,
    /// Null is for sure not allowed, so there is no need to ask.
    pub(super) not_null: bool,
    /// An expression for where a record has no such field; none: null.
    pub(super) default: Option<String>,
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) index: HashMap<String, usize>,
    /// Sets of columns that are unique; none where it cannot be told, as of a view.
    keys: Option<Vec<Vec<String>>>,
}

impl Table {
    /// Asks for it; none if it is not there.
    pub(super) async fn load(client: &Client, name: &TableName) -> Result<Option<Self>, Error> {
        let Some(found) = client.query_opt(TABLE, &[&name.quoted()]).await? else {
            return Ok(None);
        };
        let oid: u32 = found.try_get(0)?;
        let kind: String = found.try_get(1)?;
        let fills: bool = found.try_get(2)?;
        let rows = client.query(COLUMNS, &[&oid]).await?;
        let columns: Vec<Column> = rows
            .iter()
            .map(|row| column(row, fills))
            .collect::<Result<_, _>>()?;
        let keys = if matches!(kind.as_str(), "r" | "p") {
            let rows = client.query(KEYS, &[&oid]).await?;
            Some(
                rows.iter()
                    .map(|row| row.try_get(0))
                    .collect::<Result<_, _>>()?,
            )
        } else {
            None
        };
        let index = columns
            .iter()
            .enumerate()
            .map(|(at, column)| (column.name.clone(), at))
            .collect();
        Ok(Some(Self {
            columns,
            index,
            keys,
        }))
    }

    /// The names of its columns, in order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }

    /// The places of the key's columns, where ON CONFLICT can take them.
    pub(super) fn key(&self, key: &[String]) -> Result<Vec<usize>, String> {
        let place = |name: &String| {
            self.index.get(name).copied().ok_or_else(|| {
                format!(
                    "it has no column `{name}`, which `key` names; columns there: {}",
                    listed(self.names())
                )
            })
        };
        let places = key.iter().map(place).collect::<Result<_, _>>()?;
        let same = |unique: &Vec<String>| {
            unique.len() == key.len() && key.iter().all(|name| unique.contains(name))
        };
        match &self.keys {
            Some(keys) if !keys.iter().any(same) => {
                let there: Vec<_> = keys.iter().map(|k| k.join(", ")).collect();
                Err(format!(
                    "no unique index is on just the columns of `key` ({}), so no row can be told from another by them; unique there: {}",
                    key.join(", "),
                    listed(there)
                ))
            }
            _ => Ok(places),
        }
    }
}

fn column(row: &Row, fills: bool) -> Result<Column, Error> {
    let (base, category): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let element: Option<String> = row.try_get(4)?;
    let is_json = |name: &str| matches!(name, "json" | "jsonb");
    let form = match element {
        Some(element) if is_json(&element) => Form::JsonArray,
        Some(_) => Form::Array,
        None if is_json(&base) => Form::Json,
        None if category == "N" && base.starts_with("int") => Form::Integer,
        None => Form::Plain,
    };
    let not_null: bool = row.try_get(5)?;
    Ok(Column {
        name: row.try_get(0)?,
        of_type: row.try_get(1)?,
        form,
        not_null: not_null && !fills,
        default: row.try_get(6)?,
    })
}

/// The type of a column that is made for values of a kind.
pub(super) fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "bigint",
        Kind::BigInteger => "numeric",
        Kind::Number => "double precision",
        Kind::Boolean => "boolean",
        Kind::Text => "text",
        Kind::Json => "jsonb",
    }
}

/// The statement that makes a table.
///
/// # Errors
/// Which field cannot be a column.
pub(super) fn create(
    name: &TableName,
    columns: &[(&str, String)],
    key: &[String],
) -> Result<String, String> {
    let mut parts = Vec::new();
    for (field, of_type) in columns {
        if field.is_empty() || field.len() > LONGEST || field.contains('\0') {
            return Err(format!(
                "the field `{}` cannot be a column: a name has 1 to {LONGEST} bytes and no NUL; rename it in a transform",
                field.escape_debug()
            ));
        }
        parts.push(format!("{} {of_type}", quoted(field)));
    }
    if !key.is_empty() {
        let key: Vec<_> = key.iter().map(|name| quoted(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {} ({})",
        name.quoted(),
        parts.join(", ")
    ))
}
