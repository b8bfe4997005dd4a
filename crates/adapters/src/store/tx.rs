//! What an operation of the store sees of a database: statements, values, rows, and ways to fail.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use model::BoxFuture;
use model::store::{Failure, Moment};

/// A transaction. Statements have parameters `$1`, `$2`, ..; comments `/*for update*/` and `/*skip locked*/` at the end of a SELECT lock its rows where others could
/// change them meanwhile.
pub(super) trait Tx: Send {
    /// Carries out a statement; rows are what it selects or returns.
    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        values: &'a [Value],
    ) -> BoxFuture<'a, Result<Vec<Row>, Halt>>;
}

/// A database.
pub(super) trait Driver: Send + Sync + fmt::Debug {
    /// Takes an operation over; it is answered by itself, unless it could not even be taken.
    fn take(
        &self,
        operation: Box<dyn Operation>,
        writes: bool,
    ) -> BoxFuture<'static, Result<(), Failure>>;
}

/// An operation and who waits for it.
pub(super) trait Operation: Send {
    /// Does anybody still wait?
    fn is_wanted(&self) -> bool;
    /// Carries it out, not for the first time perhaps.
    fn attempt<'a>(&'a mut self, tx: &'a mut dyn Tx) -> BoxFuture<'a, Result<(), Halt>>;
    /// It is durable, or not done at all.
    fn answer(self: Box<Self>, outcome: Result<(), Failure>);
}

/// Why an operation stopped.
#[derive(Debug)]
pub(super) enum Halt {
    /// For good.
    Failure(Failure),
    /// Others were in its way: it is to be carried out again.
    Again(String),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Halt {
    /// For good, when it is not tried again.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Again(why) => Failure::Unavailable(why),
        }
    }
}

/// A value of a statement or a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Bytes),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(set: bool) -> Self {
        Self::Int(set.into())
    }
}

impl From<Moment> for Value {
    fn from(moment: Moment) -> Self {
        Self::Int(moment.ms())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        // PostgreSQL has no text with NUL.
        Self::Text(text.replace('\0', "\u{fffd}"))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<&Bytes> for Value {
    fn from(bytes: &Bytes) -> Self {
        Self::Bytes(bytes.clone())
    }
}

macro_rules! from_words {
    ($($word:ty),*) => {$(
        impl From<$word> for Value {
            fn from(word: $word) -> Self {
                Self::from(word.as_str())
            }
        }
    )*};
}

from_words!(
    &String,
    &model::run::RunId,
    &model::id::PipelineId,
    &model::id::PluginId,
    model::run::RunState,
    model::run::Started,
    model::store::JobState,
    model::store::LetterState
);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Values of a statement, in the order of its parameters.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::store::tx::Value::from($value)),*] };
}
pub(super) use values;

/// A row, read from left to right.
#[derive(Debug)]
pub(super) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    pub(super) fn int(&mut self) -> Result<i64, Halt> {
        self.maybe_int()?.ok_or_else(|| odd("nothing"))
    }

    pub(super) fn maybe_int(&mut self) -> Result<Option<i64>, Halt> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Int(number)) => Ok(Some(number)),
            other => Err(odd(kind(other.as_ref()))),
        }
    }

    /// A number that is not negative and fits.
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, Halt> {
        T::try_from(self.int()?).map_err(|_| odd("a number out of range"))
    }

    pub(super) fn flag(&mut self) -> Result<bool, Halt> {
        Ok(self.int()? != 0)
    }

    pub(super) fn moment(&mut self) -> Result<Moment, Halt> {
        self.int().map(Moment::from_ms)
    }

    pub(super) fn maybe_moment(&mut self) -> Result<Option<Moment>, Halt> {
        Ok(self.maybe_int()?.map(Moment::from_ms))
    }

    pub(super) fn text(&mut self) -> Result<String, Halt> {
        self.maybe_text()?.ok_or_else(|| odd("nothing"))
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<String>, Halt> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            other => Err(odd(kind(other.as_ref()))),
        }
    }

    /// A text that is the name of something.
    pub(super) fn word<T: FromStr>(&mut self) -> Result<T, Halt> {
        let text = self.text()?;
        text.parse().map_err(|_| odd(&text))
    }

    pub(super) fn maybe_word<T: FromStr>(&mut self) -> Result<Option<T>, Halt> {
        let text = self.maybe_text()?;
        text.map(|text| text.parse().map_err(|_| odd(&text)))
            .transpose()
    }

    /// The same by a function.
    pub(super) fn named<T>(&mut self, by_name: impl FnOnce(&str) -> Option<T>) -> Result<T, Halt> {
        let text = self.text()?;
        by_name(&text).ok_or_else(|| odd(&text))
    }

    pub(super) fn maybe_bytes(&mut self) -> Result<Option<Bytes>, Halt> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            other => Err(odd(kind(other.as_ref()))),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Halt> {
        self.maybe_bytes()?.ok_or_else(|| odd("nothing"))
    }
}

fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "no more columns",
        Some(Value::Null) => "nothing",
        Some(Value::Int(_)) => "a number",
        Some(Value::Text(_)) => "a text",
        Some(Value::Bytes(_)) => "bytes",
    }
}

/// The tables hold what we did not write.
fn odd(found: &str) -> Halt {
    Halt::Failure(Failure::Unavailable(format!(
        "a row holds {found} where something else belongs"
    )))
}

/// The only row, or none.
pub(super) async fn one(tx: &mut dyn Tx, sql: &str, values: &[Value]) -> Result<Option<Row>, Halt> {
    Ok(tx.query(sql, values).await?.into_iter().next())
}

/// A statement of which no rows are wanted.
pub(super) async fn execute(tx: &mut dyn Tx, sql: &str, values: &[Value]) -> Result<(), Halt> {
    tx.query(sql, values).await.map(drop)
}

/// Did a statement with RETURNING touch anything?
pub(super) async fn touched(tx: &mut dyn Tx, sql: &str, values: &[Value]) -> Result<bool, Halt> {
    Ok(!tx.query(sql, values).await?.is_empty())
}
