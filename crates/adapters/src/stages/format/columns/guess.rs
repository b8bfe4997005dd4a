//! The types that some records have.

use serde_json::{Map, Value};

use super::{ColumnType, Table};

/// What is known of a type so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Guess {
    /// Only nulls were seen.
    #[default]
    Nothing,
    Is(ColumnType),
    List(Box<Guess>),
    Object(Vec<(String, Guess)>),
}

impl Guess {
    /// Takes one more value into account. Whole numbers and others together are numbers; where two values cannot have one type, the first one stays.
    pub(crate) fn see(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                if *self == Self::Nothing {
                    *self = Self::List(Box::default());
                }
                if let Self::List(of) = self {
                    items.iter().for_each(|item| of.see(item));
                }
            }
            Value::Object(map) => {
                if *self == Self::Nothing {
                    *self = Self::Object(vec![]);
                }
                if let Self::Object(fields) = self {
                    see_fields(fields, map);
                }
            }
            Value::Bool(_) => self.settle(ColumnType::Boolean),
            Value::String(_) => self.settle(ColumnType::String),
            Value::Number(n) if n.is_i64() => self.settle(ColumnType::Integer),
            Value::Number(n) if n.is_u64() => self.settle(ColumnType::Unsigned),
            Value::Number(_) => self.settle(ColumnType::Number),
        }
    }

    fn settle(&mut self, kind: ColumnType) {
        use ColumnType::{Integer, Number, Unsigned};
        let whole = |k: &ColumnType| matches!(k, Integer | Unsigned);
        match self {
            Self::Nothing => *self = Self::Is(kind),
            Self::Is(had) if whole(had) && kind == Number => *had = Number,
            Self::Is(_) | Self::List(_) | Self::Object(_) => {}
        }
    }

    /// The type; text where nothing is known.
    pub(super) fn settled(self) -> ColumnType {
        match self {
            Self::Nothing => ColumnType::String,
            Self::Is(kind) => kind,
            Self::List(of) => ColumnType::List(Box::new(of.settled())),
            // Parquet has no objects without fields.
            Self::Object(fields) if fields.is_empty() => ColumnType::Json,
            Self::Object(fields) => ColumnType::Object(
                fields
                    .into_iter()
                    .map(|(name, guess)| (name, guess.settled()))
                    .collect(),
            ),
        }
    }
}

pub(super) fn see_fields(fields: &mut Vec<(String, Guess)>, map: &Map<String, Value>) {
    for (name, value) in map {
        let at = fields.iter().position(|(field, _)| field == name);
        match at.and_then(|at| fields.get_mut(at)) {
            Some((_, guess)) => guess.see(value),
            None => {
                let mut guess = Guess::Nothing;
                guess.see(value);
                fields.push((name.clone(), guess));
            }
        }
    }
}

impl Table {
    /// The columns that are given, and then those of the records, with the types they have.
    pub(crate) fn guess<'a>(
        given: &[(String, ColumnType)],
        records: impl Iterator<Item = &'a Value>,
    ) -> Self {
        let mut fields = vec![];
        for record in records {
            if let Value::Object(map) = record {
                see_fields(&mut fields, map);
            }
        }
        let mut columns = given.to_vec();
        for (name, guess) in fields {
            if !given.iter().any(|(column, _)| *column == name) {
                columns.push((name, guess.settled()));
            }
        }
        Self(columns)
    }
}
