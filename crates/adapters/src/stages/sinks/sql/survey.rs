//! What fields the first records have, and of what kind, to make a table for them or to see whether they fit the one there is.

use std::collections::HashMap;

use bytes::Bytes;
use model::error::Fault;
use serde_json::value::RawValue;

use super::record::{Shape, each_field, shape};
use super::{ExtraFields, Wanted, listed};

/// What the values of a field are, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// Whole numbers of 64 bits.
    Integer,
    /// Whole numbers, some larger.
    BigInteger,
    /// Numbers.
    Number,
    /// True and false.
    Boolean,
    /// Strings, or strings beside numbers and booleans, or nothing but null.
    Text,
    /// Objects and arrays, and whatever else stands beside them.
    Json,
}

impl Kind {
    /// Of one value; none of null, which may be anything.
    fn of(value: &RawValue) -> Option<Self> {
        match shape(value) {
            Shape::Null => None,
            Shape::Boolean => Some(Self::Boolean),
            Shape::String => Some(Self::Text),
            Shape::Array | Shape::Object => Some(Self::Json),
            Shape::Number if value.get().contains(['.', 'e', 'E']) => Some(Self::Number),
            Shape::Number if value.get().parse::<i64>().is_ok() => Some(Self::Integer),
            Shape::Number => Some(Self::BigInteger),
        }
    }

    /// Of values of two kinds.
    fn with(self, other: Self) -> Self {
        use Kind::{BigInteger, Integer, Json, Number, Text};
        match (self, other) {
            (a, b) if a == b => a,
            (Json, _) | (_, Json) => Json,
            (Integer, BigInteger) | (BigInteger, Integer) => BigInteger,
            (Integer | BigInteger, Number) | (Number, Integer | BigInteger) => Number,
            _ => Text,
        }
    }
}

/// The fields of some records, in the order in which they first came.
#[derive(Debug, Default)]
pub(in super::super) struct Survey {
    names: Vec<String>,
    kinds: HashMap<String, Option<Kind>>,
}

impl Survey {
    /// Looks at all records; what is no record is left out.
    pub(in super::super) fn of(lines: &[Bytes]) -> Self {
        let mut survey = Self::default();
        for line in lines {
            // A line that breaks off shows some fields before: it is read twice, so that only whole records count.
            if each_field(line, |_, _| ()).is_err() {
                continue;
            }
            let shown = each_field(line, |name, value| {
                let new = Kind::of(value);
                match survey.kinds.get_mut(&*name) {
                    Some(old) => {
                        *old = old.map_or(new, |old| Some(new.map_or(old, |n| old.with(n))))
                    }
                    None => {
                        survey.names.push(name.to_string());
                        survey.kinds.insert(name.into_owned(), new);
                    }
                }
            });
            debug_assert!(shown.is_ok(), "it was read before");
        }
        survey
    }

    /// Did it see no field at all?
    pub(in super::super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names and types of the columns of a table for these records: the fields, then what `columns` gives besides. `type_of` names a database's type.
    ///
    /// # Errors
    /// [`Fault::Invalid`] when a column of the key is neither a field nor among `columns`.
    pub(in super::super) fn columns<'a>(
        &'a self,
        wanted: &Wanted<'a>,
        type_of: impl Fn(Kind) -> &'static str,
    ) -> Result<Vec<(&'a str, String)>, Fault> {
        let seen = self.names.iter().map(|name| {
            let inferred = self
                .kinds
                .get(name)
                .copied()
                .flatten()
                .unwrap_or(Kind::Text);
            let given = wanted.columns.get(name).cloned();
            (
                name.as_str(),
                given.unwrap_or_else(|| type_of(inferred).to_owned()),
            )
        });
        let unseen = wanted
            .columns
            .iter()
            .filter(|(name, _)| !self.kinds.contains_key(*name));
        let all: Vec<_> = seen
            .chain(unseen.map(|(name, given)| (name.as_str(), given.clone())))
            .collect();
        match wanted.key.iter().find(|k| all.iter().all(|(n, _)| n != k)) {
            None => Ok(all),
            Some(missing) => Err(Fault::Invalid(format!(
                "the table cannot be made: the key column `{missing}` is in no record of the first batch; fields given: {}. Give its type with `columns: {{{missing}: …}}`, or correct `key`",
                listed(&self.names)
            ))),
        }
    }

    /// Does the table have a column for every field? `table` is how errors name it.
    ///
    /// # Errors
    /// [`Fault::Invalid`] naming fields given and columns there.
    pub(in super::super) fn fits(
        &self,
        table: &str,
        columns: &HashMap<String, usize>,
        in_order: &[&str],
        extra: ExtraFields,
    ) -> Result<(), Fault> {
        let without: Vec<_> = self
            .names
            .iter()
            .filter(|name| !columns.contains_key(*name))
            .collect();
        if without.is_empty() || extra == ExtraFields::Ignore {
            return Ok(());
        }
        Err(Fault::Invalid(format!(
            "{table} has no column for {}; fields given: {}; columns there: {}. Rename or drop the fields in a transform, add the columns, or leave such fields out with `extra_fields: ignore`",
            listed(without),
            listed(&self.names),
            listed(in_order)
        )))
    }
}
