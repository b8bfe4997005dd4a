//! Names of tables and types as options give them. A name is only ever used in quotes; a type, which cannot be, has to look like one.

use std::fmt;
use std::str::FromStr;

use super::super::sql::quoted;

/// Longest identifier of PostgreSQL, in bytes. It cuts longer ones off without an error.
pub(super) const LONGEST: usize = 63;

/// A table, with or without its schema, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// For a statement.
    pub(super) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.table)),
            None => quoted(&self.table),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

impl FromStr for TableName {
    type Err = String;

    /// Reads `table`, `schema.table`, and either of them in double quotes with `""` for one.
    fn from_str(written: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{written}` names no table: {why}; allowed: `table`, `schema.table`, and \"a.name\" in double quotes"
            )
        };
        let mut parts = vec![String::new()];
        let mut inside = false;
        let mut letters = written.chars().peekable();
        while let Some(letter) = letters.next() {
            let part = parts.last_mut().ok_or_else(|| wrong("it is empty"))?;
            match letter {
                '"' if inside && letters.peek() == Some(&'"') => {
                    letters.next();
                    part.push('"');
                }
                '"' if inside || part.is_empty() => inside = !inside,
                '"' => return Err(wrong("it has a double quote in the middle")),
                '.' if !inside => parts.push(String::new()),
                '\0' => return Err(wrong("it has the character NUL")),
                other => part.push(other),
            }
        }
        if inside {
            return Err(wrong("a double quote is not closed"));
        }
        if parts.iter().any(String::is_empty) {
            return Err(wrong("a part is empty"));
        }
        if parts.iter().any(|part| part.len() > LONGEST) {
            return Err(wrong("a part has more than 63 bytes"));
        }
        let table = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        match parts.is_empty() {
            true => Ok(Self { schema, table }),
            false => Err(wrong("it has more than two parts")),
        }
    }
}

/// Does this look like a type, and nothing else: `bigint`, `numeric(10,2)`, `timestamp with time zone`, `text[]`, `schema.type`?
pub(super) fn check_type(written: &str) -> Result<(), String> {
    const REST: [&str; 6] = ["precision", "varying", "with", "without", "time", "zone"];
    let wrong = || {
        format!(
            "`{written}` is not the name of a type; allowed are such as bigint, double precision, numeric(10,2), text, boolean, timestamptz, jsonb, text[]"
        )
    };
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
            && !word.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut bare = written.trim();
    while let Some(rest) = bare.strip_suffix("[]") {
        bare = rest;
    }
    let without_size = match (bare.find('('), bare.find(')')) {
        (None, None) => bare.to_owned(),
        (Some(open), Some(close)) if open < close => {
            let (before, rest) = bare.split_at(open);
            let size = rest.get(1..close - open).unwrap_or_default();
            let digits =
                |n: &str| !n.trim().is_empty() && n.trim().chars().all(|c| c.is_ascii_digit());
            if !size.split(',').all(digits) {
                return Err(wrong());
            }
            let after = rest.get(close - open + 1..).unwrap_or_default();
            format!("{before}{after}")
        }
        _ => return Err(wrong()),
    };
    let mut words = without_size.split(' ').filter(|word| !word.is_empty());
    let first = words.next().ok_or_else(wrong)?;
    let fits = first.split('.').count() <= 2
        && first.split('.').all(is_word)
        && words.all(|word| REST.contains(&word));
    if fits { Ok(()) } else { Err(wrong()) }
}
