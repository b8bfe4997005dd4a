//! Numbers as JSON writes them: which kind they are, and one way to write each.

/// What a JSON number is: a whole number that fits, or the nearest float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// A whole number written without point and exponent.
    Int(i64),
    /// One that only fits without a sign.
    UInt(u64),
    /// All others; one that is too large is infinite.
    Float(f64),
}

impl Number {
    /// Reads one, of JSON's grammar.
    #[inline]
    pub(crate) fn read(raw: &[u8]) -> Self {
        // Nearly all numbers are short.
        if raw.len() <= 18 && raw.iter().all(u8::is_ascii_digit) {
            let digit = |value: i64, byte: &u8| {
                value
                    .wrapping_mul(10)
                    .wrapping_add(i64::from(byte.wrapping_sub(b'0')))
            };
            return Self::Int(raw.iter().fold(0, digit));
        }
        let text = std::str::from_utf8(raw).unwrap_or("0");
        if let Ok(int) = text.parse() {
            return Self::Int(int);
        }
        if let Ok(uint) = text.parse() {
            return Self::UInt(uint);
        }
        Self::Float(text.parse().unwrap_or(f64::INFINITY))
    }

    /// The nearest float.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "the nearest is what is wanted")]
    pub(crate) fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::UInt(uint) => uint as f64,
            Self::Float(float) => float,
        }
    }
}

/// A number in the one way that all ways to write its value have in common: `-`, its digits without zeros around them, `e`, an exponent. `1`, `1.0`, `10e-1` are all `1e0`. None
/// where the exponent is beyond 18 digits.
pub(crate) fn canonical(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    let without = digits.trim_start_matches('0');
    let short = without.trim_end_matches('0');
    if short.is_empty() {
        return Some("0e0".into());
    }
    let zeros = i64::try_from(without.len().checked_sub(short.len())?).ok()?;
    let exponent = exponent
        .checked_sub(i64::try_from(part.len()).ok()?)?
        .checked_add(zeros)?;
    Some(format!("{sign}{short}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_its_digits_say() {
        let check = |raw: &str| Number::read(raw.as_bytes());
        assert_eq!(check("0"), Number::Int(0));
        assert_eq!(check("-17"), Number::Int(-17));
        assert_eq!(
            check("999999999999999999"),
            Number::Int(999_999_999_999_999_999)
        );
        assert_eq!(check("9223372036854775807"), Number::Int(i64::MAX));
        assert_eq!(check("9223372036854775808"), Number::UInt(1 << 63));
        assert_eq!(
            check("18446744073709551616"),
            Number::Float(18_446_744_073_709_551_616.0)
        );
        assert_eq!(check("1.50"), Number::Float(1.5));
        assert_eq!(check("1e2"), Number::Float(100.0));
        assert_eq!(check("-1e999"), Number::Float(f64::NEG_INFINITY));
    }

    #[test]
    fn one_value_has_one_writing() {
        let check = |raw: &str, expected: &str| {
            assert_eq!(canonical(raw.as_bytes()).unwrap(), expected, "{raw}")
        };
        for one in ["1", "1.0", "10e-1", "0.1e1", "1E0", "100e-2"] {
            check(one, "1e0");
        }
        for zero in ["0", "-0", "0.00", "0e5"] {
            check(zero, "0e0");
        }
        check("-12.340", "-1234e-2");
        check("1200", "12e2");
        check(
            "123456789012345678901234567890",
            "12345678901234567890123456789e1",
        );
        assert_eq!(canonical(b"1e99999999999999999999"), None);
    }
}
