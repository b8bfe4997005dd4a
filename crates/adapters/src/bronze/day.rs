//! Days in UTC: the folders that segments lie in.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use model::bronze::BronzeError;

/// A day; shown as `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(Date);

impl Day {
    /// The day of a time in milliseconds since 1970.
    ///
    /// # Errors
    /// [`BronzeError::Invalid`]: after the year 9999.
    pub(crate) fn of(ms: u64) -> Result<Self, BronzeError> {
        i64::try_from(ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .map(|at| Self(at.to_zoned(TimeZone::UTC).date()))
            .ok_or_else(|| {
                BronzeError::Invalid(format!(
                    "{ms} is no time of a record: milliseconds since 1970 up to the year 9999"
                ))
            })
    }
}

impl Day {
    /// When it is over, in milliseconds since 1970.
    pub(crate) fn end(self) -> u64 {
        let next = self.0.tomorrow().unwrap_or(self.0);
        let midnight = next.to_zoned(TimeZone::UTC).map(|z| z.timestamp());
        midnight.map_or(u64::MAX, |at| {
            u64::try_from(at.as_millisecond()).unwrap_or_default()
        })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Day {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let date: Date = text.parse().map_err(|_| ())?;
        // Only the form that we write.
        (date.to_string() == text).then_some(Self(date)).ok_or(())
    }
}
