//! Rows of CSV out of records.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::fields::{Fields, plain};
use model::stage::Misfit;

/// How a CSV file is to be written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CsvLayout {
    /// The character between fields: one ASCII character. Default: `,`, or a tab for files that end in `.tsv`.
    delimiter: Option<String>,
    /// Are the names of the columns written in the first row?
    header: bool,
    /// The columns, in order. Default: all fields of the records that come first (up to 1,000), in the order in which they appear.
    columns: Option<Vec<String>>,
    /// What becomes of a record with a field that is no column. `reject`: the record is rejected. `ignore`: the field is left out.
    extra: Extra,
    /// What is written for null and for a field that a record does not have.
    null: String,
}

impl Default for CsvLayout {
    fn default() -> Self {
        Self {
            delimiter: None,
            header: true,
            columns: None,
            extra: Extra::Reject,
            null: String::new(),
        }
    }
}

/// What becomes of a field that is no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Extra {
    /// Its record is rejected.
    Reject,
    /// It is left out.
    Ignore,
}

/// Writes rows.
#[derive(Debug, Clone)]
pub(crate) struct CsvWriting {
    delimiter: u8,
    header: bool,
    columns: Option<Vec<String>>,
    extra: Extra,
    null: String,
}

impl CsvLayout {
    /// Checks it; `tabs` says that a tab is the usual delimiter.
    pub(crate) fn checked(&self, pointer: &str, tabs: bool) -> Result<CsvWriting, Vec<Misfit>> {
        let mut wrong = vec![];
        let usual = if tabs { "\t" } else { "," };
        let given = self.delimiter.as_deref().unwrap_or(usual);
        let delimiter = super::options::character(given).filter(|d| *d != b'"');
        if delimiter.is_none() {
            wrong.push(Misfit::new(
                format!("{pointer}/delimiter"),
                format!("has to be one ASCII character and no quote, and is {given:?}"),
            ));
        }
        if let Some(columns) = &self.columns {
            let twice = columns
                .iter()
                .enumerate()
                .find(|(at, name)| columns.iter().take(*at).any(|c| c == *name));
            if let Some((_, name)) = twice {
                let message = format!("names the column `{name}` twice");
                wrong.push(Misfit::new(format!("{pointer}/columns"), message));
            } else if columns.is_empty() {
                wrong.push(Misfit::new(format!("{pointer}/columns"), "is empty"));
            }
        }
        match delimiter {
            Some(delimiter) if wrong.is_empty() => Ok(CsvWriting {
                delimiter,
                header: self.header,
                columns: self.columns.clone(),
                extra: self.extra,
                null: self.null.clone(),
            }),
            _ => Err(wrong),
        }
    }
}

impl CsvWriting {
    /// Settles the columns by the first records, where none are given.
    pub(crate) fn learn<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) {
        if self.columns.is_some() {
            return;
        }
        let mut columns: Vec<String> = vec![];
        for line in lines {
            let Ok(Fields(fields)) = Fields::of(line) else {
                continue;
            };
            for (name, _) in fields {
                if !columns.iter().any(|column| *column == name) {
                    columns.push(name.into_owned());
                }
            }
        }
        if !columns.is_empty() {
            self.columns = Some(columns);
        }
    }

    /// The first row, where there is one.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        if let (true, Some(columns)) = (self.header, &self.columns) {
            for (at, name) in columns.iter().enumerate() {
                self.cell(at, name, columns.len(), &mut head);
            }
            head.push(b'\n');
        }
        head
    }

    /// Appends a record as a row.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn row(&self, line: &[u8], row: &mut Vec<u8>) -> Result<(), String> {
        let fields = Fields::of(line)?;
        let columns = self.columns.as_deref().unwrap_or_default();
        let mut values = vec![None; columns.len()];
        for (at, (name, value)) in fields.0.iter().enumerate() {
            // Mostly the fields come in the order of the columns.
            let place = match columns.get(at) {
                Some(column) if column == name => Some(at),
                _ => columns.iter().position(|column| column == name),
            };
            match place.and_then(|at| values.get_mut(at)) {
                // Of fields of one name the last one counts.
                Some(slot) => *slot = Some(value.get()),
                None if self.extra == Extra::Ignore => {}
                None => {
                    return Err(format!(
                        "has the field `{name}`, which is no column; there are: {}. To have it, name all columns in `csv.columns`; to leave it out: `csv: {{extra: ignore}}`",
                        columns.join(", ")
                    ));
                }
            }
        }
        for (at, value) in values.into_iter().enumerate() {
            let value = value.and_then(plain);
            self.cell(
                at,
                value.as_deref().unwrap_or(&self.null),
                columns.len(),
                row,
            );
        }
        row.push(b'\n');
        Ok(())
    }

    /// Appends a field, in quotes where it needs them.
    fn cell(&self, at: usize, text: &str, of: usize, row: &mut Vec<u8>) {
        if at > 0 {
            row.push(self.delimiter);
        }
        let special = |b: u8| b == self.delimiter || matches!(b, b'"' | b'\n' | b'\r');
        // A row with one empty field would be a blank line, which is no row.
        let quoted = text.bytes().any(special) || (of == 1 && text.is_empty());
        if !quoted {
            row.extend_from_slice(text.as_bytes());
            return;
        }
        row.push(b'"');
        for byte in text.bytes() {
            if byte == b'"' {
                row.push(b'"');
            }
            row.push(byte);
        }
        row.push(b'"');
    }
}
