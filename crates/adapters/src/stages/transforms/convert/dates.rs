//! Instants and days: reading them in many forms, and writing them in one.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::stages::record::{Kind, canonical, kind, string, text};

use super::options::{Conversion, Type};

/// How dates are read and written.
#[derive(Debug)]
pub(super) struct Dates {
    format: Format,
    zone: TimeZone,
    to: Format,
    /// The format as it was given, for messages.
    given: Option<String>,
}

/// How an instant is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Format {
    /// RFC 3339 and ISO 8601; numbers are seconds.
    Usual,
    Unix,
    UnixMs,
    /// As strptime and strftime have it.
    Like(String),
}

/// What was read.
enum When {
    Instant(Timestamp),
    /// A time without a zone.
    Local(DateTime),
}

impl Dates {
    pub(super) fn of(conversion: &Conversion) -> Result<Self, (&'static str, String)> {
        let zone = match conversion.zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                (
                    "zone",
                    format!("{name:?} is no time zone; it takes IANA names such as Europe/Berlin"),
                )
            })?,
        };
        let to = Format::of("to", conversion.to.as_deref())?;
        if conversion.kind == Type::Date && matches!(to, Format::Unix | Format::UnixMs) {
            return Err((
                "to",
                "a date is no instant; `unix` goes with the type timestamp".into(),
            ));
        }
        Ok(Self {
            format: Format::of("format", conversion.format.as_deref())?,
            zone,
            to,
            given: conversion.format.clone(),
        })
    }

    /// For messages: ` written as %d.%m.%Y`.
    pub(super) fn written_as(&self) -> String {
        self.given
            .as_ref()
            .map(|format| format!(" written as {format}"))
            .unwrap_or_default()
    }

    /// The value as a timestamp, as JSON.
    pub(super) fn timestamp(&self, raw: &[u8]) -> Option<String> {
        let instant = match self.read(raw)? {
            When::Instant(instant) => instant,
            When::Local(local) => self.zone.to_timestamp(local).ok()?,
        };
        match &self.to {
            Format::Usual => Some(quoted(&instant.to_string())),
            Format::Unix => {
                let (seconds, rest) = (instant.as_second(), instant.subsec_nanosecond());
                if rest == 0 {
                    return Some(seconds.to_string());
                }
                let seconds = SignedDuration::new(seconds, rest).as_secs_f64();
                Some(seconds.to_string())
            }
            Format::UnixMs => Some(instant.as_millisecond().to_string()),
            Format::Like(format) => {
                let zoned = instant.to_zoned(self.zone.clone());
                strtime::format(format, &zoned)
                    .ok()
                    .map(|text| quoted(&text))
            }
        }
    }

    /// The value as a day, as JSON.
    pub(super) fn date(&self, raw: &[u8]) -> Option<String> {
        let date: Date = match self.read(raw)? {
            When::Instant(instant) => instant.to_zoned(self.zone.clone()).date(),
            When::Local(local) => local.date(),
        };
        match &self.to {
            Format::Like(format) => strtime::format(format, date).ok().map(|text| quoted(&text)),
            Format::Usual | Format::Unix | Format::UnixMs => Some(quoted(&date.to_string())),
        }
    }

    fn read(&self, raw: &[u8]) -> Option<When> {
        let written = match kind(raw) {
            Kind::String => text(raw)?,
            Kind::Number => std::str::from_utf8(raw).ok()?.into(),
            _ => return None,
        };
        let written = written.trim();
        match &self.format {
            Format::Usual if kind(raw) == Kind::Number => unix(written, 0),
            Format::Usual => usual(written),
            Format::Unix => unix(written, 0),
            Format::UnixMs => unix(written, 3),
            Format::Like(format) => like(format, written),
        }
    }
}

impl Format {
    fn of(key: &'static str, given: Option<&str>) -> Result<Self, (&'static str, String)> {
        Ok(match given {
            None => Self::Usual,
            Some("unix") => Self::Unix,
            Some("unix_ms") => Self::UnixMs,
            Some(format) => {
                let sample = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
                let shown = strtime::format(format, &sample);
                let shown = shown.map_err(|e| (key, format!("{format:?} is no format: {e}")))?;
                let useless =
                    shown == format || (key == "format" && like(format, &shown).is_none());
                if useless {
                    let message = format!(
                        "{format:?} is no format that says a day; it takes strftime's such as %d.%m.%Y %H:%M, `unix` and `unix_ms`"
                    );
                    return Err((key, message));
                }
                Self::Like(format.into())
            }
        })
    }
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// A number of seconds since 1970, or of `10^-smaller` of one; exactly, to the nanosecond.
fn unix(written: &str, smaller: i64) -> Option<When> {
    // What is no number has no canonical writing of digits alone.
    let plain = written
        .bytes()
        .all(|b| b.is_ascii_digit() || b"-.eE+".contains(&b));
    let canonical = canonical(written.as_bytes()).filter(|_| plain)?;
    let (digits, exponent) = canonical.split_once('e')?;
    let digits: i128 = digits.parse().ok()?;
    let exponent = exponent
        .parse::<i64>()
        .ok()?
        .checked_sub(smaller)?
        .checked_add(9)?;
    let nanoseconds = if exponent >= 0 {
        digits.checked_mul(10_i128.checked_pow(u32::try_from(exponent).ok()?)?)?
    } else {
        // Below a nanosecond nothing is kept.
        match 10_i128.checked_pow(u32::try_from(exponent.checked_neg()?).ok()?) {
            Some(by) => digits.div_euclid(by),
            None => 0,
        }
    };
    Timestamp::from_nanosecond(nanoseconds)
        .ok()
        .map(When::Instant)
}

fn usual(written: &str) -> Option<When> {
    let pieces = Pieces::parse(written).ok()?;
    let local = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    if let Some(offset) = pieces.to_numeric_offset() {
        return offset.to_timestamp(local).ok().map(When::Instant);
    }
    match pieces.to_time_zone().ok()? {
        Some(zone) => zone.to_timestamp(local).ok().map(When::Instant),
        None => Some(When::Local(local)),
    }
}

fn like(format: &str, written: &str) -> Option<When> {
    let parts = strtime::parse(format, written).ok()?;
    let says_instant =
        parts.offset().is_some() || parts.iana_time_zone().is_some() || parts.timestamp().is_some();
    if says_instant {
        let zoned = parts.to_zoned().map(|zoned| zoned.timestamp());
        return zoned
            .or_else(|_| parts.to_timestamp())
            .ok()
            .map(When::Instant);
    }
    if let Ok(local) = parts.to_datetime() {
        return Some(When::Local(local));
    }
    // A format with a day alone is its midnight; one with a wrong time is an error.
    let date = parts.to_date().ok().filter(|_| parts.hour().is_none())?;
    Some(When::Local(DateTime::from_parts(date, Time::midnight())))
}
