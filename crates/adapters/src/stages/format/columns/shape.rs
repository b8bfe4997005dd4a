//! Columns for records of any shape: those that the records so far have; when some come that do not fit, wider ones. Nothing is rejected, so what has no type of its own is JSON text.

use serde_json::{Map, Value};

use super::guess::{Guess, see_fields};
use super::{ColumnType, Table};

/// How often the columns may change: then a record becomes one text.
const MOST_CHANGES: u32 = 64;
/// Columns, at most: of more, a record becomes one text.
const MOST_COLUMNS: usize = 2_000;
/// The only column of records that are texts as a whole.
const RECORD: &str = "record";

/// The shape of the records so far.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    columns: Vec<Seen>,
    table: Option<Table>,
    changes: u32,
}

/// A column.
#[derive(Debug)]
struct Seen {
    name: String,
    guess: Guess,
    /// It was made wider before.
    widened: bool,
}

impl Shape {
    /// Columns into which all these records fit, made fit for them where they are to be texts. The columns stay the same as long as the records do not have others.
    pub(crate) fn of(&mut self, records: &mut [Value]) -> Table {
        if !self.is_spent() && records.iter().all(Value::is_object) {
            let fit = |table: &Table| records.iter().all(|record| table.fits(record));
            if let Some(table) = self.table.clone().filter(fit) {
                return table;
            }
            self.widen(records);
            self.changed();
            if self.columns.len() <= MOST_COLUMNS {
                let columns = self.columns.iter();
                let columns = columns.map(|c| (c.name.clone(), c.guess.clone().settled()));
                let table = Table(columns.collect());
                self.table = Some(table.clone());
                return table;
            }
        }
        // That is so for good: else files of both kinds could take turns.
        self.changes = MOST_CHANGES;
        for record in records {
            let whole = Map::from_iter([(RECORD.to_owned(), record.take())]);
            *record = Value::Object(whole);
        }
        Table(vec![(RECORD.to_owned(), ColumnType::Json)])
    }

    /// The columns have changed, or those of records that came with their own.
    pub(crate) fn changed(&mut self) {
        self.changes = self.changes.saturating_add(1);
    }

    /// Did the columns change too often, so that records are texts from now on?
    pub(crate) fn is_spent(&self) -> bool {
        self.changes >= MOST_CHANGES
    }

    /// Adds columns that are new. One whose values do not fit gets a wider type; should that not help, or be done a second time, it is JSON text.
    fn widen(&mut self, records: &[Value]) {
        let mut fields: Vec<(String, Guess)> = Vec::new();
        let mut old: Vec<Option<(ColumnType, bool)>> = Vec::new();
        for column in self.columns.drain(..) {
            old.push(Some((column.guess.clone().settled(), column.widened)));
            fields.push((column.name, column.guess));
        }
        for record in records {
            if let Value::Object(map) = record {
                see_fields(&mut fields, map);
            }
        }
        old.resize(fields.len(), None);
        let columns = fields.into_iter().zip(old).map(|((name, guess), old)| {
            let values = || records.iter().filter_map(|record| record.get(&name));
            let fits = |kind: &ColumnType| values().all(|value| kind.fits(value, &name).is_ok());
            let kind = guess.clone().settled();
            let (widened, twice) = match old {
                None => (false, false),
                Some((old, before)) => {
                    let now = !fits(&old);
                    (before || now, before && now)
                }
            };
            let guess = match twice || !fits(&kind) {
                true => Guess::Is(ColumnType::Json),
                false => guess,
            };
            Seen {
                name,
                guess,
                widened,
            }
        });
        self.columns = columns.collect();
    }
}
