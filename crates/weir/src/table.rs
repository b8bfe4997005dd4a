//! Plain tables and lists for people. What comes from plugins is made safe for a terminal.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Widest column that others wait for, in characters; longer cells are not cut, they only do not push the rest of the table.
const WIDEST: usize = 40;

/// Columns with their names, a line each row; the last column is not padded.
pub(crate) fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> String {
    let names = names.map(str::to_uppercase);
    let width = |column: usize| {
        let cells = rows.iter().chain([&names]).filter_map(|r| r.get(column));
        let widths = cells.map(|c| c.chars().count()).filter(|w| *w <= WIDEST);
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&names).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines of `name: value`, aligned; what has no value is left out.
pub(crate) fn list(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let shown = rows.iter().filter(|(_, value)| !value.is_empty());
    shown
        .map(|(name, value)| format!("{name:<width$}  {value}\n"))
        .collect()
}

/// A text in one line, without characters that could steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    let safe = |c: char| {
        if c.is_control() || is_steering(c) {
            ' '
        } else {
            c
        }
    };
    text.chars().map(safe).collect()
}

/// Marks that change the direction of the text around them.
fn is_steering(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value as a cell: a text as it is, nothing for `null`, anything else as JSON.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let texts: Vec<_> = items.iter().map(cell).collect();
            texts.join(", ")
        }
        other => plain(&other.to_string()),
    }
}

/// What stands at a JSON pointer; `null` where nothing does.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The items of a list; none where it is something else.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// How long ago, or in how long, in the largest unit that fits. Empty where there is no time.
pub(crate) fn when(ms: &Value, now: SystemTime) -> String {
    let Some(ms) = ms.as_u64() else {
        return String::new();
    };
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    match now.duration_since(at) {
        Ok(ago) => format!("{} ago", span(ago)),
        Err(ahead) => format!("in {}", span(ahead.duration())),
    }
}

fn span(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", s / 60),
        7_200..=172_799 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_long_cells_push_nothing() {
        let rows = [
            ["a".to_owned(), "x".to_owned()],
            ["l".repeat(50), String::new()],
        ];
        let text = table(["id", "state"], &rows);
        assert_eq!(text, format!("ID  STATE\na   x\n{}\n", "l".repeat(50)));
        let text = list(&[
            ("a", "1".into()),
            ("none", String::new()),
            ("long", "2".into()),
        ]);
        assert_eq!(text, "a     1\nlong  2\n");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[31m\n\u{9b}b\u{202e}c"), "a [31m  b c");
        assert_eq!(cell(&json!("x\u{7}")), "x ");
        assert_eq!(cell(&json!(["a", "b\n"])), "a, b ");
        let number: Value = serde_json::from_str("{\"a\": 1.50}").unwrap();
        assert_eq!(cell(&number), "{\"a\":1.50}");
        assert_eq!(cell(&Value::Null), "");
    }

    #[test]
    fn times_are_told_from_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (ms, words) in [
            (999_990_000_u64, "10 s ago"),
            (999_000_000, "16 min ago"),
            (990_000_000, "2 h ago"),
            (0, "11 d ago"),
            (1_000_005_000, "in 5 s"),
        ] {
            assert_eq!(when(&json!(ms), now), words);
        }
        assert_eq!(when(&Value::Null, now), "");
    }
}
