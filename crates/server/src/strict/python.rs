//! How Python writes: numbers and `repr`, JSON with `json.dumps` defaults. What it prints is given as JSON values whose numbers keep
//! their text.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// `json.dumps(value)`: `", "` and `": "`, and everything but ASCII as `\uXXXX`.
pub(crate) fn dumps(value: &Value) -> String {
    let mut out = String::new();
    dump(value, &mut out);
    out
}

fn dump(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => push(out, value),
        Value::String(text) => ascii(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                dump(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (i, (key, item)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                ascii(key, out);
                out.push_str(": ");
                dump(item, out);
            }
            out.push('}');
        }
    }
}

/// A text as a JSON string of ASCII characters.
pub(crate) fn ascii(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Gives every number of a value the text that Python would print after reading it. Is every one finite?
pub(crate) fn reprint_numbers(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            if !text.contains(['.', 'e', 'E']) {
                if text == "-0" {
                    *number = Number::from(0);
                }
                return true;
            }
            let read = text.parse().unwrap_or(f64::INFINITY);
            *number = Number::from_string_unchecked(float(read));
            read.is_finite()
        }
        Value::Array(items) => items
            .iter_mut()
            .fold(true, |all, v| reprint_numbers(v) & all),
        Value::Object(fields) => fields
            .values_mut()
            .fold(true, |all, v| reprint_numbers(v) & all),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// `repr` of a float: the shortest text that reads back the same, with an exponent below 1e-4 and from 1e16.
fn float(number: f64) -> String {
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => repr_text(text),
        Value::Array(items) => {
            let all: Vec<_> = items.iter().map(repr).collect();
            format!("[{}]", all.join(", "))
        }
        Value::Object(fields) => {
            let all: Vec<_> = fields
                .iter()
                .map(|(k, v)| format!("{}: {}", repr_text(k), repr(v)))
                .collect();
            format!("{{{}}}", all.join(", "))
        }
    }
}

fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if u32::from(c) < 0x20 || (0x7f..0xa0).contains(&u32::from(c)) => {
                push(&mut out, format_args!("\\x{:02x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The name of a value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.to_string().contains(['.', 'e', 'E']) => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// Writing to a string does not fail.
fn push(out: &mut String, what: impl std::fmt::Display) {
    if write!(out, "{what}").is_err() {
        out.push('?');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_printed_as_python_does() {
        let check = |given: &str, printed: &str| {
            let mut value: Value = serde_json::from_str(given).unwrap();
            assert!(reprint_numbers(&mut value));
            assert_eq!(value.to_string(), printed, "{given}");
        };
        check("1E5", "100000.0");
        check("123456789.123456789123", "123456789.12345679");
        check("-0", "0");
        check("-0.0", "-0.0");
        check("0.10", "0.1");
        check("1e16", "1e+16");
        check("123456789012345678.0", "1.2345678901234568e+17");
        check("9999999999999998.0", "9999999999999998.0");
        check("0.0001", "0.0001");
        check("0.00001", "1e-05");
        check("1.5e-7", "1.5e-07");
        check("1e-320", "1e-320");
        check("12345678901234567890123", "12345678901234567890123");
        check("[1.0,{\"a\":1e2}]", "[1.0,{\"a\":100.0}]");
    }

    #[test]
    fn dumps_has_spaces_and_only_ascii() {
        let value = json!({"a": [1, "ü😀\n\"\\\u{7f}"], "b": null, "c": {}, "d": true});
        assert_eq!(
            dumps(&value),
            r#"{"a": [1, "\u00fc\ud83d\ude00\n\"\\\u007f"], "b": null, "c": {}, "d": true}"#
        );
    }

    #[test]
    fn repr_is_python_s() {
        let value = json!({"a'b": ["x", 1, null, false], "q": "it's \"so\"\u{1}\\"});
        assert_eq!(
            repr(&value),
            r#"{"a'b": ['x', 1, None, False], 'q': 'it\'s "so"\x01\\'}"#
        );
    }
}
