//! Numbers as Python has them: integers of any size, and floats. No kinds here.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number;

/// Most digits of an integer read from a string, as in Python.
const MAX_DIGITS: usize = 4300;

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    Int(i128),
    Float(f64),
}

impl Bound {
    /// The bound a number in a schema means.
    pub(super) fn of(number: &Number) -> Option<Self> {
        if is_float(number) {
            number.as_f64().map(Self::Float)
        } else {
            match number.as_str().parse() {
                Ok(int) => Some(Self::Int(int)),
                Err(_) => number.as_f64().map(Self::Float),
            }
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "bounds of floats are floats; integers are compared as integers"
    )]
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }

    /// How a number stands to this bound; `None` if it cannot be said.
    pub(super) fn compare(self, number: &Number) -> Option<Ordering> {
        if let (Self::Int(bound), false) = (self, is_float(number)) {
            let digits = number.as_str();
            return Some(match digits.parse::<i128>() {
                Ok(int) => int.cmp(&bound),
                // Too large for 128 bits: its sign decides.
                Err(_) if digits.starts_with('-') => Ordering::Less,
                Err(_) => Ordering::Greater,
            });
        }
        number.as_f64()?.partial_cmp(&self.as_f64())
    }

    /// Is the number a multiple of this?
    pub(super) fn divides(self, number: &Number) -> bool {
        if let (Self::Int(step), Ok(int)) = (self, number.as_str().parse::<i128>()) {
            return int.checked_rem(step) == Some(0);
        }
        let (Some(value), step) = (number.as_f64(), self.as_f64()) else {
            return false;
        };
        let rest = (value % step).abs();
        // As pydantic: a rest within rounding of 0 or of the step is none.
        let threshold = value.abs() / 1e9;
        rest <= threshold || (rest - step.abs()).abs() <= threshold
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
        }
    }
}

/// Would Python read this number as a float?
pub(super) fn is_float(number: &Number) -> bool {
    number.as_str().contains(['.', 'e', 'E'])
}

/// An integer of any size out of its digits, which may begin with a minus.
fn integer(digits: &str) -> Option<Number> {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    };
    let sign = if digits == "0" { "" } else { sign };
    serde_json::from_str(&format!("{sign}{digits}")).ok()
}

/// What a string is as an integer.
pub(super) enum IntText {
    Int(Number),
    TooLong,
    No,
}

/// Reads an integer as pydantic does: white space around it, a sign, single underscores between digits, and zeros after a point.
pub(super) fn int_of_text(text: &str) -> IntText {
    let text = text.trim();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let whole = match rest.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return IntText::No,
        None => rest,
    };
    let good = whole.starts_with(|c: char| c.is_ascii_digit())
        && whole.ends_with(|c: char| c.is_ascii_digit())
        && !whole.contains("__")
        && whole.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !good {
        return IntText::No;
    }
    if whole.len() > MAX_DIGITS {
        return IntText::TooLong;
    }
    match integer(&format!("{sign}{}", whole.replace('_', ""))) {
        Some(number) => IntText::Int(number),
        None => IntText::No,
    }
}

/// An integral float as an integer; `None` if it has a fraction.
pub(super) fn int_of_float(float: f64) -> Option<Number> {
    if float.fract() != 0.0 {
        return None;
    }
    integer(&format!("{float:.0}"))
}

/// Reads a float as Python does; infinities and NaN come through as they are.
pub(super) fn float_of_text(text: &str) -> Option<f64> {
    let text = text.trim();
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    if text.contains('_') {
        let chars: Vec<char> = text.chars().collect();
        let between = chars.iter().enumerate().all(|(i, c)| {
            *c != '_'
                || (digit(i.checked_sub(1).and_then(|p| chars.get(p)).copied())
                    && digit(chars.get(i + 1).copied()))
        });
        if !between {
            return None;
        }
    }
    text.replace('_', "").parse().ok()
}
