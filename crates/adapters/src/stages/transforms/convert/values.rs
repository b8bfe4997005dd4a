//! Converting one value. What cannot be converted without a guess is impossible.

use crate::stages::record::{
    Kind, Number, canonical, check_document, kind, string, text, whole_or_float,
};

use super::dates::Dates;
use super::options::{Conversion, Type};

/// What a value is to become.
#[derive(Debug)]
pub(super) struct Target {
    kind: Type,
    dates: Dates,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It is so already.
    Same,
    /// What it becomes was written.
    Written,
    /// It cannot be converted.
    Impossible,
}

impl Target {
    /// Makes it ready.
    ///
    /// # Errors
    /// The key that does not fit, and a sentence.
    pub(super) fn of(conversion: &Conversion) -> Result<Self, (&'static str, String)> {
        let dated = matches!(conversion.kind, Type::Timestamp | Type::Date);
        for (key, given) in [
            ("format", &conversion.format),
            ("zone", &conversion.zone),
            ("to", &conversion.to),
        ] {
            if given.is_some() && !dated {
                return Err((
                    key,
                    format!("`{key}` goes with the types timestamp and date"),
                ));
            }
        }
        Ok(Self {
            kind: conversion.kind,
            dates: Dates::of(conversion)?,
        })
    }

    /// What it is, in words.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Type::Integer => "integer".into(),
            Type::Number => "number".into(),
            Type::String => "string".into(),
            Type::Boolean => "boolean".into(),
            Type::Timestamp => format!("timestamp{}", self.dates.written_as()),
            Type::Date => format!("date{}", self.dates.written_as()),
            Type::Json => "JSON".into(),
        }
    }

    /// Converts a value, which is not null; writes what it becomes.
    pub(super) fn convert(&self, raw: &[u8], out: &mut Vec<u8>) -> Done {
        let written = match self.kind {
            Type::Integer => integer(raw),
            Type::Number => return number(raw, out),
            Type::String => {
                if kind(raw) == Kind::String {
                    return Done::Same;
                }
                string(out, &String::from_utf8_lossy(raw));
                return Done::Written;
            }
            Type::Boolean => boolean(raw).map(|value| value.to_string()),
            Type::Timestamp => self.dates.timestamp(raw),
            Type::Date => self.dates.date(raw),
            Type::Json => match text(raw) {
                Some(text) => json(&text),
                None => return Done::Same,
            },
        };
        match written {
            None => Done::Impossible,
            Some(written) if written.as_bytes() == raw => Done::Same,
            Some(written) => {
                out.extend_from_slice(written.as_bytes());
                Done::Written
            }
        }
    }
}

/// The digits of a whole number; of up to 40.
fn integer(raw: &[u8]) -> Option<String> {
    const LONGEST: usize = 40;
    let text = match kind(raw) {
        Kind::Number => std::borrow::Cow::Borrowed(std::str::from_utf8(raw).ok()?),
        Kind::String => text(raw)?,
        _ => return None,
    };
    let text = text.trim();
    if let Ok(number) = text.parse::<i128>() {
        return Some(number.to_string());
    }
    if !is_number(text) {
        return None;
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        return Some(text.to_owned());
    }
    let canonical = canonical(text.as_bytes())?;
    let (digits, exponent) = canonical.split_once('e')?;
    let exponent: usize = exponent.parse().ok()?;
    let short = digits.len().saturating_add(exponent) <= LONGEST;
    short.then(|| format!("{digits}{}", "0".repeat(exponent)))
}

/// Is a text a number of JSON's grammar?
fn is_number(text: &str) -> bool {
    kind(text.as_bytes()) == Kind::Number
        && check_document(text.as_bytes()).is_ok()
        && text.trim() == text
}

fn number(raw: &[u8], out: &mut Vec<u8>) -> Done {
    let text = match kind(raw) {
        Kind::Number => return Done::Same,
        Kind::String => text(raw).unwrap_or_default(),
        _ => return Done::Impossible,
    };
    let text = text.trim();
    if is_number(text) {
        out.extend_from_slice(text.as_bytes());
        return Done::Written;
    }
    // `+5`, `007`, `.5` and `5.` are no JSON, and clear; `inf` and `nan` are not.
    let digits = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let float = text.parse::<f64>().ok().filter(|_| digits);
    match float.and_then(|float| whole_or_float(out, float)) {
        Some(()) => Done::Written,
        None => Done::Impossible,
    }
}

fn boolean(raw: &[u8]) -> Option<bool> {
    match kind(raw) {
        Kind::Boolean => Some(raw == b"true"),
        Kind::Number => match Number::read(raw) {
            Number::Int(1) => Some(true),
            Number::Int(0) => Some(false),
            _ => None,
        },
        Kind::String => match text(raw)?.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        },
        Kind::Null | Kind::List | Kind::Object => None,
    }
}

/// What a text holds, on one line.
fn json(text: &str) -> Option<String> {
    let text = text.trim();
    check_document(text.as_bytes()).ok()?;
    if text.contains(['\n', '\r']) {
        return serde_json::from_str::<serde_json::Value>(text)
            .ok()
            .map(|value| value.to_string());
    }
    Some(text.to_owned())
}
