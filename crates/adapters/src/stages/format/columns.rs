//! Typed columns out of records: what Arrow and Parquet need. The types come from a schema or from the first records; a record that does not fit them exactly is
//! rejected, never changed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, ListArray, RecordBatch,
    RecordBatchOptions, StringBuilder, StructArray, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use crate::stages::record::canonical;

mod guess;
mod shape;

pub(crate) use shape::Shape;

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Boolean,
    Integer,
    /// From 2^63 on too; not below 0.
    Unsigned,
    Number,
    String,
    /// A day.
    Date,
    /// An instant, in microseconds.
    Timestamp,
    /// Anything, as JSON text.
    Json,
    List(Box<ColumnType>),
    Object(Vec<(String, ColumnType)>),
}

/// The type of a column as a spec names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NamedType {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Number,
    /// Text.
    String,
    /// A day, `2024-05-01`.
    Date,
    /// An instant, RFC 3339 (`2024-05-01T10:00:00Z`), kept in microseconds.
    Timestamp,
    /// Anything, as JSON text.
    Json,
}

impl From<NamedType> for ColumnType {
    fn from(named: NamedType) -> Self {
        match named {
            NamedType::Boolean => Self::Boolean,
            NamedType::Integer => Self::Integer,
            NamedType::Number => Self::Number,
            NamedType::String => Self::String,
            NamedType::Date => Self::Date,
            NamedType::Timestamp => Self::Timestamp,
            NamedType::Json => Self::Json,
        }
    }
}

impl ColumnType {
    /// As Arrow has it.
    fn arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Number => DataType::Float64,
            Self::String | Self::Json => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::List(of) => DataType::List(Arc::new(Field::new("item", of.arrow(), true))),
            Self::Object(fields) => DataType::Struct(arrow_fields(fields)),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer => "an integer of 64 bits",
            Self::Unsigned => "an integer from 0 on of 64 bits",
            Self::Number => "a floating-point number of 64 bits",
            Self::String => "a string",
            Self::Date => "a date as 2024-05-01",
            Self::Timestamp => "an instant as 2024-05-01T10:00:00.123456Z",
            Self::Json => "JSON",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Is the value of this type, exactly?
    fn fits(&self, value: &Value, path: &str) -> Result<(), String> {
        let fits = match (self, value) {
            (_, Value::Null) | (Self::Json, _) => true,
            (Self::Boolean, value) => value.is_boolean(),
            (Self::Integer, value) => value.is_i64(),
            (Self::Unsigned, value) => value.is_u64(),
            (Self::Number, Value::Number(number)) => is_float(number),
            (Self::String, value) => value.is_string(),
            (Self::Date, value) => date(value).is_some(),
            (Self::Timestamp, value) => instant(value).is_some(),
            (Self::List(of), Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    of.fits(item, &format!("{path}[{at}]"))?;
                }
                true
            }
            (Self::Object(fields), Value::Object(map)) => return object_fits(fields, map, path),
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            let mut shown: String = value.to_string().chars().take(60).collect();
            if shown.len() == 60 {
                shown.push('…');
            }
            Err(format!(
                "the field `{path}` holds {shown}, where the column has {}; to have it otherwise, name its type in `schema`",
                self.name()
            ))
        }
    }
}

fn object_fits(
    fields: &[(String, ColumnType)],
    map: &Map<String, Value>,
    path: &str,
) -> Result<(), String> {
    let within = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    for (name, value) in map {
        match fields.iter().find(|(column, _)| column == name) {
            Some((_, kind)) => kind.fits(value, &within(name))?,
            None => {
                return Err(format!(
                    "has the field `{}`, which is no column; to have it, name it in `schema`",
                    within(name)
                ));
            }
        }
    }
    Ok(())
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table(pub(crate) Vec<(String, ColumnType)>);

impl Table {
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(arrow_fields(&self.0)))
    }

    /// The value of a line, if it fits.
    ///
    /// # Errors
    /// What does not.
    pub(crate) fn row(&self, line: &[u8]) -> Result<Value, String> {
        let value = parsed(line)?;
        match &value {
            Value::Object(map) => object_fits(&self.0, map, "").map(|()| value),
            _ => Err("is no record with fields".into()),
        }
    }

    /// Is it a record of these columns?
    fn fits(&self, record: &Value) -> bool {
        matches!(record, Value::Object(map) if object_fits(&self.0, map, "").is_ok())
    }

    /// Rows that fit, as columns.
    pub(crate) fn batch(&self, rows: &[Value]) -> Result<RecordBatch, String> {
        let rows: Vec<_> = rows.iter().map(Some).collect();
        let columns = self
            .0
            .iter()
            .map(|(name, kind)| column(kind, &members(&rows, name)))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .map_err(|e| e.to_string())
    }
}

/// A line as a value.
pub(crate) fn parsed(line: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(line)
        .map_err(|e| format!("is no JSON: {}", super::ndjson::without_line(&e)))
}

fn arrow_fields(fields: &[(String, ColumnType)]) -> Fields {
    let fields = fields.iter();
    fields
        .map(|(name, kind)| Field::new(name, kind.arrow(), true))
        .collect()
}

fn members<'a>(rows: &[Option<&'a Value>], name: &str) -> Vec<Option<&'a Value>> {
    let member = |row: &Option<&'a Value>| row.and_then(|row| row.get(name));
    rows.iter().map(member).collect()
}

/// Values that fit, as a column; none and null are null.
fn column(kind: &ColumnType, values: &[Option<&Value>]) -> Result<ArrayRef, String> {
    let values = values.iter().map(|v| v.filter(|v| !v.is_null()));
    macro_rules! each {
        ($builder:expr, $value:expr) => {{
            let mut builder = $builder;
            for value in values {
                builder.append_option(value.and_then($value));
            }
            Arc::new(builder.finish())
        }};
    }
    Ok(match kind {
        ColumnType::Boolean => each!(BooleanBuilder::new(), Value::as_bool),
        ColumnType::Integer => each!(Int64Builder::new(), Value::as_i64),
        ColumnType::Unsigned => each!(UInt64Builder::new(), Value::as_u64),
        ColumnType::Number => each!(Float64Builder::new(), Value::as_f64),
        ColumnType::String => each!(StringBuilder::new(), Value::as_str),
        ColumnType::Json => each!(StringBuilder::new(), |v: &Value| Some(v.to_string())),
        ColumnType::Date => each!(Date32Builder::new(), date),
        ColumnType::Timestamp => each!(
            TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            instant
        ),
        ColumnType::List(of) => {
            let lists: Vec<_> = values.map(|v| v.and_then(Value::as_array)).collect();
            let lengths = lists.iter().map(|list| list.map_or(0, Vec::len));
            let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
            let nulls: NullBuffer = lists.iter().map(Option::is_some).collect();
            let items: Vec<_> = lists
                .iter()
                .flatten()
                .flat_map(|l| l.iter())
                .map(Some)
                .collect();
            let field = Arc::new(Field::new("item", of.arrow(), true));
            let list = ListArray::try_new(field, offsets, column(of, &items)?, Some(nulls));
            Arc::new(list.map_err(|e| e.to_string())?)
        }
        ColumnType::Object(fields) => {
            let rows: Vec<_> = values.collect();
            let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
            let columns = fields
                .iter()
                .map(|(name, kind)| column(kind, &members(&rows, name)))
                .collect::<Result<Vec<_>, _>>()?;
            let made = StructArray::try_new_with_length(
                arrow_fields(fields),
                columns,
                Some(nulls),
                rows.len(),
            );
            Arc::new(made.map_err(|e| e.to_string())?)
        }
    })
}

/// Does a float of 64 bits hold this number exactly? It does when the float, written with as many digits, is the number again: `0.1` and `1e300` are held so, 2^63 + 1 is not.
fn is_float(number: &Number) -> bool {
    /// No float needs more digits to be written out in full.
    const MOST: usize = 767;
    /// So many are held of every number that is neither huge nor tiny.
    const ALWAYS: usize = 15;
    let text = number.as_str();
    if text.len() <= ALWAYS && !text.contains(['e', 'E']) {
        return true;
    }
    let (Some(float), Some(given)) = (number.as_f64(), canonical(text.as_bytes())) else {
        return false;
    };
    let digits = given.trim_start_matches('-').find('e').unwrap_or(0);
    let written = |places: usize| canonical(format!("{float:.places$e}").as_bytes());
    digits <= MOST && written(digits.saturating_sub(1)) == Some(given)
}

/// Days since 1970.
fn date(value: &Value) -> Option<i32> {
    let text = value.as_str().filter(|text| text.len() == 10)?;
    let day: jiff::civil::Date = text.parse().ok()?;
    let since = day.since(jiff::civil::date(1970, 1, 1)).ok()?;
    Some(since.get_days())
}

/// Microseconds since 1970; none where there are parts of one.
fn instant(value: &Value) -> Option<i64> {
    let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
    let whole = at.subsec_nanosecond().checked_rem(1_000) == Some(0);
    whole.then(|| at.as_microsecond())
}
