//! Spans and moments as people write them. What they are in a zone is the calendar's business.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::AmbiguousOffset;
use model::pipeline::Period;

use super::calendar::{Calendar, monday};
use crate::nearest::quoted;

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Point {
    /// A period, with its start and end.
    Period(Calendar, Timestamp, Timestamp),
    /// One moment.
    Moment(Timestamp),
}

impl Point {
    pub(super) fn start(&self) -> Timestamp {
        match self {
            Self::Period(_, at, _) | Self::Moment(at) => *at,
        }
    }

    pub(super) fn end(&self) -> Timestamp {
        match self {
            Self::Period(_, _, at) | Self::Moment(at) => *at,
        }
    }
}

/// Reads a name of a period, or a moment: of RFC 3339, or with the zone's own clock.
pub(super) fn point(text: &str, zone: &str) -> Result<Point, String> {
    let text = text.trim();
    let parts: Vec<String> = text
        .split(['-', '_', 'T', 't'])
        .map(str::to_ascii_lowercase)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let Some((period, at, second)) = period(&parts) {
        let at = at.ok_or_else(|| format!("{} is no day there is", quoted(text)))?;
        let calendar = Calendar::new(period, zone)?;
        let (start, end) = calendar.beginning(at, second)?;
        return Ok(Point::Period(calendar, start, end));
    }
    if let Ok((at, _)) = super::moment(text) {
        return Ok(Point::Moment(at));
    }
    // `Z` would be read as no offset at all.
    if text.ends_with(['Z', 'z']) {
        return super::moment(text).map(|(at, _)| Point::Moment(at));
    }
    let local: DateTime = text.parse().map_err(|_| {
        format!(
            "{} names no span of time: 2026, 2026-Q4, 2026-11, 2026-W47, 2026-11-22, 2026-11-22T15, a moment such as 2026-11-22T15:30:00Z, start..end, or all",
            quoted(text)
        )
    })?;
    let found = super::zone(zone)?.to_ambiguous_timestamp(local);
    match found.offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            let at = offset.to_timestamp(local).map_err(|e| e.to_string())?;
            Ok(Point::Moment(at))
        }
        AmbiguousOffset::Gap { .. } => {
            Err(format!("there is no {text} in {zone}: the clocks skip it"))
        }
        AmbiguousOffset::Fold { before, after } => Err(format!(
            "{text} is there twice in {zone}: write it with the offset, {before} or {after}"
        )),
    }
}

/// The period that parts name, its start, and whether it is the second of that name; the start is none where there is no such day.
fn period(parts: &[&str]) -> Option<(Period, Option<DateTime>, bool)> {
    let (year, rest) = parts.split_first()?;
    let year = number(year, 4)?;
    let day = |month: i16, day: i16| -> Option<DateTime> {
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        let date = Date::new(year, month, day).ok()?;
        (year > 0).then(|| date.at(0, 0, 0, 0))
    };
    let found = match *rest {
        [] => (Period::Year, day(1, 1)),
        [part] if part.starts_with('q') => {
            let quarter = number(part.strip_prefix('q')?, 1)?;
            (Period::Quarter, day(quarter * 3 - 2, 1))
        }
        [part] if part.starts_with('w') => {
            let week = i8::try_from(number(part.strip_prefix('w')?, 2)?).ok()?;
            let first = monday(year, week).map(|date| date.at(0, 0, 0, 0));
            (Period::Week, first)
        }
        [month] => (Period::Month, day(number(month, 2)?, 1)),
        [month, d] => (Period::Day, day(number(month, 2)?, number(d, 2)?)),
        [month, d, hour] => {
            let (plain, second) = match hour.strip_suffix('b') {
                Some(plain) => (plain, true),
                None => (hour, false),
            };
            let date = day(number(month, 2)?, number(d, 2)?);
            let hour = i8::try_from(number(plain, 2)?).ok()?;
            let at = date.and_then(|date| date.with().hour(hour).build().ok());
            return Some((Period::Hour, at, second));
        }
        _ => return None,
    };
    Some((found.0, found.1, false))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i16> {
    let good = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}
