//! Which span of time a run covers: calendar periods in a zone, spans that people name, and the windows of a backfill. All spans are half-open, and follow each
//! other without gap or overlap, whatever the zone's clocks do. When runs take place is others' business.

mod calendar;
mod named;

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use model::pipeline::Timescope;
use model::run::Covered;

use calendar::Calendar;
use named::{Point, point};

/// Most windows of one backfill.
pub const MAX_WINDOWS: usize = 10_000;

/// What a run covers to which nothing is said: the last period that was over at `now`, or the span that the timescope is.
///
/// # Errors
/// A sentence: the zone is not known here, or `now` lies outside the years 1 to 9998.
pub fn last_complete(scope: &Timescope, now: SystemTime) -> Result<Covered, String> {
    let Timescope::Every { period, zone } = scope else {
        return fixed(scope);
    };
    let calendar = Calendar::new(*period, zone)?;
    let (start, _) = calendar.containing(instant(now)?)?;
    let before = start.checked_sub(jiff::Span::new().seconds(1));
    let (start, end) = calendar.containing(before.map_err(|e| e.to_string())?)?;
    Ok(calendar.covered(start, end))
}

/// What a run covers that is about this moment: the period that holds it, or the span that the timescope is.
///
/// # Errors
/// A sentence: the zone is not known here, or the moment lies outside the years 1 to 9998.
pub fn containing(scope: &Timescope, at: SystemTime) -> Result<Covered, String> {
    let Timescope::Every { period, zone } = scope else {
        return fixed(scope);
    };
    let calendar = Calendar::new(*period, zone)?;
    let (start, end) = calendar.containing(instant(at)?)?;
    Ok(calendar.covered(start, end))
}

/// What a run covers that somebody names: `2026`, `2026-Q4`, `2026-11`, `2026-W47`, `2026-11-22`, `2026-11-22T15` (of an hour that comes twice, the second is
/// `2026-10-25T02b`), a label as [`Covered`] has it, `all`, or `start..end`, each of these two a name or a moment. It need not be a period of the pipeline's own
/// timescope. Where that has no zone, days are those of UTC.
///
/// # Errors
/// A sentence: what was given, and what is allowed.
pub fn named(scope: Option<&Timescope>, text: &str) -> Result<Covered, String> {
    let text = text.trim();
    if text == "all" {
        return fixed(&Timescope::All);
    }
    let zone_name = zone_of(scope);
    if let Some((start, end)) = text.split_once("..") {
        let zone = zone(zone_name)?;
        let (start, end) = (point(start, zone_name)?, point(end, zone_name)?);
        return span(start.start(), end.start(), &zone);
    }
    match point(text, zone_name)? {
        Point::Period(calendar, start, end) => Ok(calendar.covered(start, end)),
        Point::Moment(_) => Err(format!(
            "{text:?} is one moment, not a span; write `start..end`"
        )),
    }
}

/// The windows of a backfill, in order: the pipeline's periods from the one that holds `from` to the one that holds `to`, this one included. Both are names, as
/// [`named`] takes them, or moments; of a longer period that is named as `to` all is covered, and a moment given as `to` is the end.
///
/// # Errors
/// A sentence: what was given and what is allowed, no periods, or more than [`MAX_WINDOWS`].
pub fn windows(scope: &Timescope, from: &str, to: &str) -> Result<Vec<Covered>, String> {
    let Timescope::Every { period, zone } = scope else {
        return Err(
            "a backfill goes from period to period; the timescope of this pipeline has none".into(),
        );
    };
    let calendar = Calendar::new(*period, zone)?;
    let (first, last) = (point(from, zone)?.start(), point(to, zone)?.end());
    if last <= first {
        return Err(format!(
            "there is nothing from {from:?} to {to:?}: the end is not after the start"
        ));
    }
    let mut all = Vec::new();
    let (mut start, mut end) = calendar.containing(first)?;
    while start < last {
        if all.len() == MAX_WINDOWS {
            return Err(format!(
                "there are more than {MAX_WINDOWS} windows from {from:?} to {to:?}; backfill them in parts"
            ));
        }
        all.push(calendar.covered(start, end));
        (start, end) = calendar.containing(end)?;
    }
    Ok(all)
}

/// A span, checked: `start` and `end` as a spec writes them (names or moments), with the zone of those that have none.
///
/// # Errors
/// A sentence: what was given, and what is allowed.
pub fn written_span(start: &str, end: &str, zone_name: &str) -> Result<Timescope, String> {
    let zone = zone(zone_name)?;
    let (start, end) = (point(start, zone_name)?, point(end, zone_name)?);
    let covered = span(start.start(), end.start(), &zone)?;
    match (covered.start, covered.end) {
        (Some(start), Some(end)) => Ok(Timescope::Span { start, end }),
        _ => Err("a span has a start and an end".into()),
    }
}

/// The moment that a text names: one of RFC 3339, or the beginning of a day, month and so on in UTC.
///
/// # Errors
/// A sentence: what was given, and what is allowed.
pub fn beginning(text: &str) -> Result<SystemTime, String> {
    point(text, "UTC").map(|point| point.start().into())
}

/// A moment as RFC 3339, in UTC.
#[must_use]
pub fn shown(at: SystemTime) -> String {
    instant(at).map_or_else(|_| String::new(), |at| at.to_string())
}

/// The zone of this IANA name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let database = jiff::tz::db();
        let names: Vec<String> = database
            .available()
            .map(|n| n.as_str().to_owned())
            .collect();
        let meant = match crate::nearest::nearest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("; did you mean {meant:?}?"),
            None if names.is_empty() => "; this machine has no time zone data (tzdata)".into(),
            None => "; IANA names are, such as Europe/Berlin or UTC".into(),
        };
        format!("{} is not a time zone{meant}", crate::nearest::quoted(name))
    })
}

/// A moment of RFC 3339, and the offset it is written with.
pub(crate) fn moment(text: &str) -> Result<(Timestamp, Offset), String> {
    let wrong = || {
        let given = crate::nearest::quoted(text);
        format!("{given} is not a moment of RFC 3339, such as 2026-11-22T15:30:00Z")
    };
    let at = text.parse().map_err(|_| wrong())?;
    let pieces = jiff::fmt::temporal::Pieces::parse(text).map_err(|_| wrong())?;
    let offset = pieces.offset().ok_or_else(wrong)?;
    Ok((at, offset.to_numeric_offset()))
}

fn zone_of(scope: Option<&Timescope>) -> &str {
    match scope {
        Some(Timescope::Every { zone, .. }) => zone,
        Some(Timescope::Span { .. } | Timescope::All) | None => "UTC",
    }
}

/// What a timescope without periods covers.
fn fixed(scope: &Timescope) -> Result<Covered, String> {
    let Timescope::Span { start, end } = scope else {
        return Ok(Covered {
            label: "all".into(),
            start: None,
            end: None,
        });
    };
    let ((from, offset), (to, to_offset)) = (moment(start)?, moment(end)?);
    let part = |at, offset| label_part(at, &TimeZone::fixed(offset));
    Ok(Covered {
        label: format!("{}_to_{}", part(from, offset), part(to, to_offset)),
        start: Some(start.clone()),
        end: Some(end.clone()),
    })
}

fn span(start: Timestamp, end: Timestamp, zone: &TimeZone) -> Result<Covered, String> {
    let (from, to) = (rfc3339(start, zone), rfc3339(end, zone));
    if end <= start {
        return Err(format!("the span from {from} to {to} is empty"));
    }
    Ok(Covered {
        label: format!("{}_to_{}", label_part(start, zone), label_part(end, zone)),
        start: Some(from),
        end: Some(to),
    })
}

/// A bound of a span in its label: a date, and the time where that is not midnight.
fn label_part(at: Timestamp, zone: &TimeZone) -> String {
    let local = zone.to_datetime(at);
    let format = match (local.hour(), local.minute(), local.second()) {
        (0, 0, 0) => "%Y_%m_%d",
        (_, _, 0) => "%Y_%m_%d_%H%M",
        _ => "%Y_%m_%d_%H%M%S",
    };
    local.strftime(format).to_string()
}

/// With the zone's offset at that moment. One of odd seconds, as some places had long ago, cannot be written: UTC then.
fn rfc3339(at: Timestamp, zone: &TimeZone) -> String {
    let offset = zone.to_offset(at);
    if zone.iana_name() == Some("UTC") || offset.seconds() % 60 != 0 {
        at.to_string()
    } else {
        at.display_with_offset(offset).to_string()
    }
}

fn instant(at: SystemTime) -> Result<Timestamp, String> {
    Timestamp::try_from(at).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
