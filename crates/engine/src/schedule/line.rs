//! Crontab lines: five fields, or six with seconds first, and the times they name by the clock of a zone. Where the clock is put forward or back, croner decides: a
//! line with one hour and one minute runs once that day, at the end of the gap if its time is skipped, and the first time if its time is there twice; any other
//! line follows the clock.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};
use model::pipeline::Cron;

use crate::nearest::quoted;
use crate::timescope::zone;

/// Checks a line by itself: its form, and that a time comes which it names.
///
/// # Errors
/// A sentence: what was given, and what is allowed.
pub(crate) fn check_line(line: &str) -> Result<(), String> {
    let given = quoted(line);
    // The 30th of February is well-formed, and never comes. Where one begins to look makes no difference.
    let line = Line {
        cron: parsed(line)?,
        zone: TimeZone::UTC,
    };
    match line.next(Timestamp::UNIX_EPOCH) {
        Some(_) => Ok(()),
        None => Err(format!("{given} names a date that never comes")),
    }
}

fn parsed(line: &str) -> Result<croner::Cron, String> {
    let given = quoted(line);
    if line.len() > 256 {
        return Err(format!("{given} has more than 256 characters"));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    parser.parse(line).map_err(|e| {
        let (said, fields) = (reason(&e), "minute, hour, day of month, month, day of week");
        format!("{given} is no crontab line of five fields ({fields}), or six with seconds first: {said}")
    })
}

fn reason(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(text)
        | CronError::IllegalCharacters(text)
        | CronError::ComponentError(text) => text.trim_end_matches('.').to_owned(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}

/// A line, in a zone. Its times are whole seconds.
#[derive(Debug)]
pub(super) struct Line {
    cron: croner::Cron,
    zone: TimeZone,
}

impl Line {
    pub(super) fn new(spec: &Cron) -> Result<Self, String> {
        Ok(Self {
            cron: parsed(&spec.expression)?,
            zone: zone(&spec.zone)?,
        })
    }

    /// The first time after this one.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = self.local(after)?;
        let found = self.cron.find_next_occurrence(&from, false);
        found.ok().map(|local| local.0.timestamp())
    }

    /// The last time that is not after this one.
    pub(super) fn last(&self, at: Timestamp) -> Option<Timestamp> {
        let from = self.local(at)?;
        let found = self.cron.find_previous_occurrence(&from, true);
        found.ok().map(|local| local.0.timestamp())
    }

    /// The second that holds a moment, by the zone's clock.
    fn local(&self, at: Timestamp) -> Option<Local> {
        let second = at.as_millisecond().div_euclid(1_000);
        let second = Timestamp::from_second(second).ok()?;
        Some(Local(second.to_zoned(self.zone.clone())))
    }
}

/// A moment by the clock of a zone, for croner.
#[derive(Debug, Clone)]
struct Local(Zoned);

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let part = |n: i8| u32::from(n.unsigned_abs());
        // Their parts are checked: it is a time there is.
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(at.year().into(), part(at.month()), part(at.day())),
            CivilTime::from_parts_unchecked(part(at.hour()), part(at.minute()), part(at.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::from(days.unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let found = self.0.time_zone().to_ambiguous_zoned(datetime(civil)?);
        let one =
            |found: Result<Zoned, jiff::Error>| found.map(Self).map_err(|_| CronError::InvalidTime);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(one(found.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(one(found.clone().earlier())?, one(found.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let later = self.0.checked_add(SignedDuration::from_secs(seconds));
        later.ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn datetime(civil: CivilDateTime) -> Result<DateTime, CronError> {
    let part = |n: u32| i8::try_from(n).map_err(|_| CronError::InvalidDate);
    let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
    let (month, day) = (part(civil.month())?, part(civil.day())?);
    let (hour, minute, second) = (
        part(civil.hour())?,
        part(civil.minute())?,
        part(civil.second())?,
    );
    DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| CronError::InvalidDate)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_checked() {
        for good in [
            "0 2 * * *",
            "*/5 * * * *",
            "30 0 2 * * *",
            "0 0 29 2 *",
            "0 9 * * MON-FRI",
            "0 0 L * *",
            "@daily",
        ] {
            assert_eq!(super::check_line(good), Ok(()), "{good}");
        }
        for (bad, words) in [
            ("", "five fields"),
            ("* * * *", "five fields"),
            ("60 * * * *", "five fields"),
            ("0 0 2 * * * 2027", "five fields"),
            ("every day", "five fields"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4,6,9,11 *", "never comes"),
            (&"*".repeat(300), "256 characters"),
        ] {
            let said = super::check_line(bad).unwrap_err();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}
