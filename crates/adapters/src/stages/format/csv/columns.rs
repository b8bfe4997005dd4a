//! The columns of a CSV file: their names and types, and how a field becomes a value.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::options::{CsvReading, FieldType};
use crate::stages::record::check_json;

/// How much of a field an error shows.
const SHOWN: usize = 60;
/// Integers with more digits are kept as text: what reads them may be exact no longer.
const MOST_DIGITS: usize = 18;

/// The columns.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    columns: Vec<Column>,
    nulls: Vec<String>,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// The name as a JSON string, with its colon.
    key: String,
    kind: FieldType,
    /// Was the type told from the first rows?
    guessed: bool,
}

impl Columns {
    /// By their names, the types that are given, those of another file of the same kind, and the first rows.
    pub(super) fn learn(
        names: Vec<String>,
        reading: &CsvReading,
        known: Option<&Value>,
        rows: &[Vec<String>],
    ) -> Result<Self, String> {
        twice(&names)?;
        missing(&names, &reading.types)?;
        let known = types_of(known);
        let width = names.len();
        let fitting: Vec<_> = rows.iter().filter(|r| r.len() == width).collect();
        let columns = names.into_iter().enumerate().map(|(at, name)| {
            let given = reading.types.get(&name).copied();
            let guess = || {
                let fields = fitting.iter().filter_map(|row| row.get(at));
                guess(fields.filter(|f| !reading.nulls.contains(f)))
            };
            let kind = given
                .or_else(|| known.get(&name).copied())
                .unwrap_or_else(guess);
            Column::new(name, kind, given.is_none())
        });
        Ok(Self {
            columns: columns.collect(),
            nulls: reading.nulls.clone(),
        })
    }

    /// Those that [`Columns::said`] said.
    pub(super) fn known(said: Option<&Value>, reading: &CsvReading) -> Result<Self, String> {
        let wrong = || "the cursor does not say which columns there are".to_owned();
        let said: Vec<(String, FieldType)> = said
            .and_then(|said| serde_json::from_value(said.clone()).ok())
            .ok_or_else(wrong)?;
        let columns = said.into_iter().map(|(name, kind)| {
            let guessed = !reading.types.contains_key(&name);
            Column::new(name, kind, guessed)
        });
        Ok(Self {
            columns: columns.collect(),
            nulls: reading.nulls.clone(),
        })
    }

    /// Names and types, for a cursor.
    pub(super) fn said(&self) -> Value {
        self.columns
            .iter()
            .map(|c| json!([c.name, c.kind]))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Appends a row as a record.
    pub(super) fn write<'a>(
        &self,
        fields: impl Iterator<Item = &'a str>,
        own: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut before = b'{';
        for (column, field) in self.columns.iter().zip(fields) {
            own.push(before);
            own.extend_from_slice(column.key.as_bytes());
            if self.nulls.iter().any(|null| null == field) {
                own.extend_from_slice(b"null");
            } else {
                column.write(field, own)?;
            }
            before = b',';
        }
        if before == b'{' {
            own.push(before);
        }
        own.push(b'}');
        Ok(())
    }
}

impl Column {
    fn new(name: String, kind: FieldType, guessed: bool) -> Self {
        Self {
            key: format!("{}:", Value::from(name.as_str())),
            name,
            kind,
            guessed,
        }
    }

    fn write(&self, field: &str, own: &mut Vec<u8>) -> Result<(), String> {
        let done = match self.kind {
            // A Vec takes every write, and a string is always JSON.
            FieldType::String => serde_json::to_writer(own, field).is_ok(),
            FieldType::Number => number(field, own),
            FieldType::Integer => integer(field, own),
            FieldType::Boolean => boolean(field, own),
            FieldType::Json => {
                let line = !field.contains(['\n', '\r']);
                let sound = line && check_json(field.as_bytes()).is_ok();
                own.extend_from_slice(field.trim().as_bytes());
                sound
            }
        };
        if done {
            Ok(())
        } else {
            Err(self.misfit(field))
        }
    }

    fn misfit(&self, field: &str) -> String {
        let (name, kind) = (&self.name, self.kind.name());
        let mut shown: String = field.chars().take(SHOWN).collect();
        if shown.len() < field.len() {
            shown.push('…');
        }
        let shown = Value::from(shown);
        if self.guessed {
            format!(
                "column `{name}` holds {shown}, which is no {kind} as the first rows have; to keep it as text: `types: {{{name}: string}}`; to take it for \
                 nothing: add it to `nulls`"
            )
        } else {
            format!("column `{name}` holds {shown}, which is no {kind}")
        }
    }
}

/// Names that stand there twice are no keys.
fn twice(names: &[String]) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "two columns are named `{name}`; name the columns yourself, and leave the first row out: `csv: {{header: [..], skip_lines: 1}}`"
        )),
    }
}

fn missing(names: &[String], types: &BTreeMap<String, FieldType>) -> Result<(), String> {
    match types.keys().find(|name| !names.contains(name)) {
        None => Ok(()),
        Some(_) if names.is_empty() => Ok(()),
        Some(name) => Err(format!(
            "`csv.types` names the column `{name}`, which is not there; there are: {}",
            names.join(", ")
        )),
    }
}

fn types_of(known: Option<&Value>) -> BTreeMap<String, FieldType> {
    known
        .and_then(|known| serde_json::from_value::<Vec<(String, FieldType)>>(known.clone()).ok())
        .map(BTreeMap::from_iter)
        .unwrap_or_default()
}

/// The narrowest type that all fields have; a string where there are none.
fn guess<'a>(mut fields: impl Iterator<Item = &'a String>) -> FieldType {
    let kind_of = |field: &str| {
        if is_number(field) {
            FieldType::Number
        } else if truth(field).is_some() {
            FieldType::Boolean
        } else {
            FieldType::String
        }
    };
    let Some(first) = fields.next() else {
        return FieldType::String;
    };
    let kind = kind_of(first);
    if fields.all(|field| kind_of(field) == kind) {
        kind
    } else {
        FieldType::String
    }
}

/// Is it a number as JSON has them, and not something that only looks like one: `007`, `12e5`, a 20-digit id?
fn is_number(field: &str) -> bool {
    let bytes = field.as_bytes();
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let zero = digits.first() == Some(&b'0') && whole > 1;
    if whole == 0 || zero || whole > MOST_DIGITS {
        return false;
    }
    let mut rest = digits.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if places == 0 {
            return false;
        }
        rest = fraction.get(places..).unwrap_or_default();
    }
    // Programs write exponents with a sign; `12e5` is more often a code.
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', power @ ..] => {
            !power.is_empty() && power.len() <= 3 && power.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

fn number(field: &str, own: &mut Vec<u8>) -> bool {
    let field = field.trim();
    if is_number(field) {
        own.extend_from_slice(field.as_bytes());
        return true;
    }
    if field.bytes().all(|b| b.is_ascii_digit() || b == b'-') && integer(field, own) {
        return true;
    }
    let number = field.parse().ok().and_then(serde_json::Number::from_f64);
    number.is_some_and(|n| serde_json::to_writer(own, &n).is_ok())
}

fn integer(field: &str, own: &mut Vec<u8>) -> bool {
    let field = field.trim();
    let number = field.parse::<i128>().ok();
    number.is_some_and(|n| serde_json::to_writer(own, &n).is_ok())
}

fn boolean(field: &str, own: &mut Vec<u8>) -> bool {
    let field = field.trim();
    let more = |words: &[&str]| words.iter().any(|w| field.eq_ignore_ascii_case(w));
    let value = match truth(field) {
        Some(value) => value,
        None if more(&["1", "t", "yes", "y"]) => true,
        None if more(&["0", "f", "no", "n"]) => false,
        None => return false,
    };
    own.extend_from_slice(if value { b"true" } else { b"false" });
    true
}

/// What every program takes for a boolean.
fn truth(field: &str) -> Option<bool> {
    match field {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
