//! Values with units, as specs write them: durations, bytes, parts of a hundred.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use model::pipeline::Threshold;

use crate::nearest::quoted;

/// `30s`, `1h30m`, `2 days`, `PT5M`. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        let given = quoted(text);
        format!("{given} is no duration: numbers with units are, such as 500ms, 30s, 1h30m or 2d")
    };
    let span: Span = text.parse().map_err(|_| wrong())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let length = length.map_err(|_| {
        let given = quoted(text);
        format!("{given} has months or years, which have no fixed length; days, hours, minutes and seconds have")
    })?;
    Duration::try_from(length).map_err(|_| format!("{} is less than nothing", quoted(text)))
}

/// A duration that is longer than nothing.
pub(super) fn span_of_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{} must be longer than nothing", quoted(text))),
        some => Ok(some),
    }
}

/// `16MiB`, `500 kB`, `1024`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 12] = [
        ("", 1),
        ("B", 1),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("kiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let wrong = || {
        let given = quoted(text);
        format!(
            "{given} is no number of bytes: a whole number is, also with kB, MB, GB, KiB, MiB or GiB"
        )
    };
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
    let (_, factor) = unit.ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(wrong)
}

/// `1%`, `0.5 %`.
pub(super) fn percent(text: &str) -> Result<Threshold, String> {
    let number = text.trim().strip_suffix('%').map(str::trim_end);
    let number = number.and_then(|n| n.parse::<f64>().ok());
    match number.filter(|n| (0.0..=100.0).contains(n)) {
        Some(number) => Ok(Threshold::Percent(number)),
        None => Err(format!(
            "{} is neither a number of records nor a part of a hundred, such as 1%",
            quoted(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("1 week", 604_800_000),
            ("PT5M", 300_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, words) in [
            ("30", "no duration"),
            ("", "no duration"),
            ("soon", "such as 500ms"),
            ("1mo", "months"),
            ("-5s", "less than nothing"),
            ("5s ago", "less than nothing"),
            ("99999999999999999999h", "no duration"),
        ] {
            let said = duration(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
        assert!(span_of_time("0ms").is_err());
    }

    #[test]
    fn numbers_of_bytes() {
        for (text, value) in [
            ("0", 0),
            ("1024", 1024),
            ("16MiB", 16 << 20),
            ("1 kB", 1_000),
            (" 2 GB ", 2_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1 mib", "1XB", "99999999999TiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_of_a_hundred() {
        for (text, value) in [("1%", 1.0), ("0.5 %", 0.5), ("100%", 100.0), ("0%", 0.0)] {
            assert_eq!(percent(text), Ok(Threshold::Percent(value)), "{text}");
        }
        for text in ["", "%", "101%", "-1%", "nan%", "5"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
