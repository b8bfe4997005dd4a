//! Small changes of one value. Null goes through all of them as it is.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::stages::record::{Kind, Number, kind, string, text, whole_or_float};

/// A change of a value. Texts are changed by characters (Unicode), numbers as floats unless both are whole and the result fits in 64 bits.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Operation {
    /// A string in upper case.
    Upper,
    /// A string in lower case.
    Lower,
    /// A string without white space at both ends.
    Trim,
    /// A number to the nearest whole one, a half away from zero.
    Round,
    /// A number down to a whole one.
    Floor,
    /// A number up to a whole one.
    Ceil,
    /// A number without its sign.
    Abs,
    /// How many characters a string, items a list, members an object has.
    Length,
    /// Anything as a string: a string as it is, all else as JSON.
    String,
    /// A whole number: of a number that is one, or of a string that holds one.
    Integer,
    /// A number: as it is, or of a string that holds one.
    Number,
    /// True or false: as it is, or of the strings `true` and `false`, or of the numbers 1 and 0.
    Boolean,
    /// A number times this one.
    Multiply(serde_json::Number),
    /// A number and this one together.
    Add(serde_json::Number),
    /// A string with every occurrence of a text replaced.
    Replace {
        /// The text to look for; not empty.
        from: String,
        /// What stands there instead.
        to: String,
    },
    /// A string with this before it.
    Prefix(String),
    /// A string with this after it.
    Suffix(String),
    /// A string as the list of its parts between occurrences of this one; empty: its characters.
    Split(String),
    /// A list of strings, numbers and booleans as one string, with this between them.
    Join(String),
}

/// An operation, ready.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Plain(Operation),
    Multiply(Number),
    Add(Number),
}

/// A value on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    /// As it stands in a record.
    Raw(&'a [u8]),
    Text(Cow<'a, str>),
    Number(Number),
    Other(Value),
}

/// What is wrong with a value for an operation.
type Wrong = &'static str;

const TOO_LARGE: Wrong = "the result is larger than a record may be (`limits.record_bytes`)";
/// Parts of a list take many times the bytes of their text.
const MOST_PARTS: usize = 1_000_000;

impl Change {
    pub(super) fn of(operation: &Operation) -> Self {
        let number = |n: &serde_json::Number| Number::read(n.as_str().as_bytes());
        match operation {
            Operation::Multiply(by) => Self::Multiply(number(by)),
            Operation::Add(to) => Self::Add(number(to)),
            other => Self::Plain(other.clone()),
        }
    }

    #[inline]
    pub(super) fn apply<'a>(&'a self, cell: Cell<'a>, most: usize) -> Result<Cell<'a>, Wrong> {
        if cell == Cell::Raw(b"null") {
            return Ok(cell);
        }
        match self {
            Self::Multiply(by) => {
                let product = arithmetic(
                    cell.number("multiply needs a number")?,
                    *by,
                    i64::checked_mul,
                    |a, b| a * b,
                );
                Ok(Cell::Number(product))
            }
            Self::Add(to) => {
                let sum = arithmetic(
                    cell.number("add needs a number")?,
                    *to,
                    i64::checked_add,
                    |a, b| a + b,
                );
                Ok(Cell::Number(sum))
            }
            Self::Plain(operation) => match plain(operation, cell, most)? {
                Cell::Text(text) if text.len() > most => Err(TOO_LARGE),
                cell => Ok(cell),
            },
        }
    }
}

fn plain<'a>(operation: &'a Operation, cell: Cell<'a>, most: usize) -> Result<Cell<'a>, Wrong> {
    Ok(match operation {
        Operation::Upper => cell.text("upper needs a string")?.changed(uppercase),
        Operation::Lower => cell
            .text("lower needs a string")?
            .changed(|t| t.to_lowercase()),
        Operation::Trim => cell
            .text("trim needs a string")?
            .changed(|t| t.trim().to_owned()),
        Operation::Round => Cell::Number(whole(cell.number("round needs a number")?, f64::round)),
        Operation::Floor => Cell::Number(whole(cell.number("floor needs a number")?, f64::floor)),
        Operation::Ceil => Cell::Number(whole(cell.number("ceil needs a number")?, f64::ceil)),
        Operation::Abs => Cell::Number(match cell.number("abs needs a number")? {
            Number::Int(int) => int
                .checked_abs()
                .map_or(Number::UInt(int.unsigned_abs()), Number::Int),
            Number::UInt(uint) => Number::UInt(uint),
            Number::Float(float) => Number::Float(float.abs()),
        }),
        Operation::Length => Cell::Number(cell.length()?),
        Operation::String => cell.string(),
        Operation::Integer => cell.integer()?,
        Operation::Number => cell.parsed()?,
        Operation::Boolean => cell.boolean()?,
        Operation::Replace { from, to } => {
            let text = cell.text("replace needs a string")?;
            text.replaced(from, to, most)?
        }
        Operation::Prefix(prefix) => cell
            .text("prefix needs a string")?
            .changed(|t| format!("{prefix}{t}")),
        Operation::Suffix(suffix) => cell
            .text("suffix needs a string")?
            .changed(|t| format!("{t}{suffix}")),
        Operation::Split(by) => {
            let text = cell.text("split needs a string")?.0;
            let take = MOST_PARTS.saturating_add(1);
            let parts: Vec<Value> = if by.is_empty() {
                let all = text.chars().take(take);
                all.map(|c| c.to_string().into()).collect()
            } else {
                text.split(by.as_str())
                    .take(take)
                    .map(Value::from)
                    .collect()
            };
            if parts.len() > MOST_PARTS {
                return Err("split gives more than 1,000,000 parts");
            }
            Cell::Other(parts.into())
        }
        Operation::Join(with) => Cell::Text(cell.join(with, most)?.into()),
        // These two are made ready before.
        Operation::Multiply(_) | Operation::Add(_) => cell,
    })
}

fn uppercase(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_uppercase()
    } else {
        text.to_uppercase()
    }
}

/// Exact where both are whole and the result fits.
fn arithmetic(
    a: Number,
    b: Number,
    exact: fn(i64, i64) -> Option<i64>,
    float: fn(f64, f64) -> f64,
) -> Number {
    if let (Number::Int(a), Number::Int(b)) = (a, b)
        && let Some(result) = exact(a, b)
    {
        return Number::Int(result);
    }
    Number::Float(float(a.float(), b.float()))
}

fn whole(number: Number, to: fn(f64) -> f64) -> Number {
    const FITS: f64 = 9_223_372_036_854_775_808.0;
    let Number::Float(float) = number else {
        return number;
    };
    let whole = to(float);
    if (-FITS..FITS).contains(&whole) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole and within the bounds of i64"
        )]
        return Number::Int(whole as i64);
    }
    Number::Float(whole)
}

/// The text of a value.
struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    fn changed(self, change: impl FnOnce(&str) -> String) -> Cell<'a> {
        Cell::Text(change(&self.0).into())
    }

    /// With a text in the place of another; its size is known before it is made.
    fn replaced(self, from: &str, to: &str, most: usize) -> Result<Cell<'a>, Wrong> {
        let times = self.0.matches(from).count();
        let more = to.len().saturating_sub(from.len()).saturating_mul(times);
        if self.0.len().saturating_add(more) > most {
            return Err(TOO_LARGE);
        }
        Ok(self.changed(|t| t.replace(from, to)))
    }
}

impl<'a> Cell<'a> {
    fn text(self, wrong: Wrong) -> Result<Text<'a>, Wrong> {
        match self {
            Self::Raw(raw) => text(raw).map(Text).ok_or(wrong),
            Self::Text(text) => Ok(Text(text)),
            Self::Number(_) | Self::Other(_) => Err(wrong),
        }
    }

    #[inline]
    fn number(&self, wrong: Wrong) -> Result<Number, Wrong> {
        match self {
            Self::Raw(raw) if kind(raw) == Kind::Number => Ok(Number::read(raw)),
            Self::Number(number) => Ok(*number),
            _ => Err(wrong),
        }
    }

    fn tree(self) -> Value {
        match self {
            Self::Raw(raw) => serde_json::from_slice(raw).unwrap_or_default(),
            Self::Text(text) => text.into_owned().into(),
            Self::Number(number) => {
                let mut written = Vec::new();
                let _finite = write_number(number, &mut written);
                serde_json::from_slice(&written).unwrap_or_default()
            }
            Self::Other(value) => value,
        }
    }

    fn length(self) -> Result<Number, Wrong> {
        let length = match self.tree() {
            Value::String(text) => text.chars().count(),
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                return Err("length needs a string, a list or an object");
            }
        };
        Ok(Number::Int(i64::try_from(length).unwrap_or(i64::MAX)))
    }

    fn string(self) -> Self {
        match self {
            Self::Raw(raw) => match text(raw) {
                Some(text) => Self::Text(text),
                None => Self::Text(String::from_utf8_lossy(raw)),
            },
            Self::Text(text) => Self::Text(text),
            other => Self::Text(other.tree().to_string().into()),
        }
    }

    fn integer(self) -> Result<Self, Wrong> {
        let wrong = "integer needs a whole number of 64 bits, or a string that holds one";
        let number = match &self {
            Self::Raw(raw) if kind(raw) == Kind::String => text(raw)
                .and_then(|t| t.trim().parse().ok())
                .map(Number::Int),
            Self::Text(text) => text.trim().parse().ok().map(Number::Int),
            other => Some(other.number(wrong)?),
        };
        match number.ok_or(wrong)? {
            Number::Float(float) => match whole(Number::Float(float), |f| f) {
                Number::Int(int) if float.fract() == 0.0 => Ok(Self::Number(Number::Int(int))),
                _ => Err(wrong),
            },
            whole => Ok(Self::Number(whole)),
        }
    }

    fn parsed(self) -> Result<Self, Wrong> {
        let wrong = "number needs a number, or a string that holds one";
        let of_text = |text: &str| -> Result<Cell<'a>, Wrong> {
            let text = text.trim();
            if let Ok(int) = text.parse() {
                return Ok(Self::Number(Number::Int(int)));
            }
            let float = text.parse().ok().filter(|f: &f64| f.is_finite());
            float.map(|f| Self::Number(Number::Float(f))).ok_or(wrong)
        };
        match &self {
            Self::Raw(raw) if kind(raw) == Kind::String => of_text(&text(raw).unwrap_or_default()),
            Self::Raw(raw) if kind(raw) == Kind::Number => Ok(self),
            Self::Text(text) => of_text(text),
            Self::Number(_) => Ok(self),
            _ => Err(wrong),
        }
    }

    fn boolean(self) -> Result<Self, Wrong> {
        let wrong = "boolean needs true or false, `true` or `false` as a string, or 1 or 0";
        match self.clone().string() {
            Self::Text(text) => match text.trim() {
                "true" | "1" => Ok(Self::Raw(b"true")),
                "false" | "0" => Ok(Self::Raw(b"false")),
                _ => Err(wrong),
            },
            _ => Err(wrong),
        }
    }

    fn join(self, with: &str, most: usize) -> Result<String, Wrong> {
        let wrong = "join needs a list of strings, numbers and booleans";
        let Value::Array(items) = self.tree() else {
            return Err(wrong);
        };
        let mut parts = Vec::with_capacity(items.len());
        for item in items {
            parts.push(match item {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                Value::Null => String::new(),
                Value::Array(_) | Value::Object(_) => return Err(wrong),
            });
        }
        let between = with.len().saturating_mul(parts.len());
        if between > most {
            return Err(TOO_LARGE);
        }
        Ok(parts.join(with))
    }

    /// Writes it.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match self {
            Self::Raw(raw) => out.extend_from_slice(raw),
            Self::Text(text) => string(out, text),
            Self::Number(number) => {
                write_number(*number, out).ok_or("its value is no finite number any more")?
            }
            Self::Other(value) => {
                let _never_fails = serde_json::to_writer(out, value);
            }
        }
        Ok(())
    }
}

#[inline]
fn write_number(number: Number, out: &mut Vec<u8>) -> Option<()> {
    match number {
        Number::Int(int) => serde_json::to_writer(out, &int).ok(),
        Number::UInt(uint) => serde_json::to_writer(out, &uint).ok(),
        Number::Float(float) => whole_or_float(out, float),
    }
}
