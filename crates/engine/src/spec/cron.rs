//! Crontab lines, checked: five fields, or six with seconds first, and a time that comes. When a run is due is not decided here.

use std::cmp::Ordering;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::nearest::quoted;

/// Checks a line.
pub(super) fn check(line: &str) -> Result<(), String> {
    let given = quoted(line);
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    if line.len() > 256 {
        return Err(format!("{given} has more than 256 characters"));
    }
    let cron: Cron = parser.parse(line).map_err(|e| {
        let (said, fields) = (reason(&e), "minute, hour, day of month, month, day of week");
        format!("{given} is no crontab line of five fields ({fields}), or six with seconds first: {said}")
    })?;
    // The 30th of February is well-formed, and never comes. Where one begins to look makes no difference.
    let from = Civil::new(jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0));
    let next = from.map(|from| cron.find_next_occurrence(&from, true));
    match next {
        Some(Ok(_)) => Ok(()),
        _ => Err(format!("{given} names a date that never comes")),
    }
}

fn reason(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(text)
        | CronError::IllegalCharacters(text)
        | CronError::ComponentError(text) => text.trim_end_matches('.').to_owned(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}

/// A time of a calendar without zones.
#[derive(Debug, Clone, Copy)]
struct Civil {
    at: DateTime,
    parts: CivilDateTime,
}

impl Civil {
    fn new(at: DateTime) -> Option<Self> {
        let part = |n: i8| u32::from(n.unsigned_abs());
        let date = (part(at.month()), part(at.day()));
        let (hour, minute, second) = (part(at.hour()), part(at.minute()), part(at.second()));
        let date = CivilDate::from_ymd_opt(at.year().into(), date.0, date.1)?;
        let time = CivilTime::from_hms_opt(hour, minute, second)?;
        let parts = CivilDateTime::new(date, time);
        Some(Self { at, parts })
    }
}

impl CronDateTime for Civil {
    fn to_civil(&self) -> CivilDateTime {
        self.parts
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.at.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::from(days.unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |n: u32| i8::try_from(n).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let (month, day) = (part(civil.month())?, part(civil.day())?);
        let (hour, minute, second) = (
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
        );
        let at = DateTime::new(year, month, day, hour, minute, second, 0).ok();
        let resolved = at.and_then(Self::new).map(Resolution::Single);
        resolved.ok_or(CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let later = self.at.checked_add(SignedDuration::from_secs(seconds));
        later.ok().and_then(Self::new)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
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
            assert_eq!(super::check(good), Ok(()), "{good}");
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
            let said = super::check(bad).unwrap_err();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}
