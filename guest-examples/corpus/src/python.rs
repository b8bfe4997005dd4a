//! Values as Python writes them: `str()`, and `json.dumps()` with its defaults. Nothing else of Python.

use weir_sdk::serde_json::Value;

/// What `str(value)` gives for a value that came from JSON.
pub fn str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// What `json.dumps(value)` gives for this JSON text: `, ` and `: ` between values, all but ASCII escaped, numbers as they are.
pub fn dumps(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let length = string_length(rest);
            let (token, after) = rest.split_at(length);
            let text: String = weir_sdk::serde_json::from_str(token).unwrap_or_default();
            escape(&text, &mut out);
            rest = after;
            continue;
        }
        match first {
            ',' => out.push_str(", "),
            ':' => out.push_str(": "),
            other if other.is_ascii_whitespace() => {}
            other => out.push(other),
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    out
}

/// Bytes of the string literal that `text` starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn escape(text: &str, out: &mut String) {
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
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quote(text),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(repr).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(entries) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{}: {}", quote(key), repr(value));
            format!(
                "{{{}}}",
                entries.iter().map(entry).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// Python prefers single quotes, and takes double ones where the text has single ones only.
fn quote(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => out.extend(['\\', c]),
            c if c.is_control() && u32::from(c) < 256 => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)))
            }
            c => out.push(c),
        }
    }
    out.push(mark);
    out
}

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[test]
    fn dumps_like_python() {
        let json = r#"{"a":[1,{"b":null}],"c":"x:, \"\\ü😀\u007f","d":1.50}"#;
        assert_eq!(
            dumps(json),
            r#"{"a": [1, {"b": null}], "c": "x:, \"\\\u00fc\ud83d\ude00\u007f", "d": 1.50}"#
        );
    }

    #[test]
    fn str_like_python() {
        assert_eq!(str(&json!("it's")), "it's");
        assert_eq!(
            str(&json!([null, true, "it's", {"a": "b\"'"}, 1.5])),
            r#"[None, True, "it's", {'a': 'b"\''}, 1.5]"#
        );
    }
}
