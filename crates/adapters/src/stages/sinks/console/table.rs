//! Records as a table of columns, or as JSON, with nothing in them that steers a terminal.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::super::format::{Fields, plain};

/// The widest column, where the terminal does not say how much there is.
const MOST_WIDTH: usize = 60;
/// The narrowest a column is made so that others fit beside it.
const LEAST_WIDTH: usize = 8;
/// Between columns.
const GAP: &str = "  ";
/// Stands for what was cut off.
const CUT: &str = "…";

/// Rows that are to be shown.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
struct Column {
    name: String,
    width: usize,
    /// Numbers only, so far: they stand at the right.
    numbers: bool,
    cells: Vec<String>,
}

impl Table {
    /// Adds a record. What is no record with fields is shown in a column of its own.
    pub(super) fn add(&mut self, line: &[u8]) {
        match Fields::of(line) {
            Ok(Fields(fields)) => {
                for (name, value) in fields {
                    let json = value.get();
                    let number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                    let text = plain(json).unwrap_or_default();
                    self.set(&name, &text, number || json == "null");
                }
            }
            Err(_) => self.set("value", &String::from_utf8_lossy(line.trim_ascii()), false),
        }
        self.rows = self.rows.saturating_add(1);
    }

    fn set(&mut self, name: &str, text: &str, number: bool) {
        let known = self.columns.iter().position(|c| c.name == name);
        let at = known.unwrap_or(self.columns.len());
        if known.is_none() {
            self.columns.push(Column {
                name: name.to_owned(),
                width: harmless(name).width().min(MOST_WIDTH),
                numbers: true,
                cells: vec![],
            });
        }
        let rows = self.rows;
        if let Some(column) = self.columns.get_mut(at) {
            let cell = cut(&harmless(text), MOST_WIDTH);
            column.width = column.width.max(cell.width());
            column.numbers &= number;
            column.cells.resize(rows, String::new());
            column.cells.push(cell);
        }
    }

    /// All of it, and a line that says how many records there were. Columns that do not fit are left out from the right, and named.
    pub(super) fn draw(&mut self, width: Option<u16>, seen: u64) -> String {
        let shown = self.fit(width.map(usize::from));
        let mut text = String::new();
        let (columns, others) = self.columns.split_at(shown);
        if !columns.is_empty() {
            let line = |cell: &dyn Fn(&Column) -> (String, bool)| {
                let cells = columns.iter().map(|c| {
                    let (cell, right) = cell(c);
                    pad(&cut(&cell, c.width), c.width, right)
                });
                let line: Vec<_> = cells.collect();
                format!("{}\n", line.join(GAP).trim_end())
            };
            text.push_str(&line(&|c| (harmless(&c.name), c.numbers)));
            text.push_str(&line(&|c| ("─".repeat(c.width), false)));
            for row in 0..self.rows {
                let cell = |c: &Column| (c.cells.get(row).cloned().unwrap_or_default(), c.numbers);
                text.push_str(&line(&cell));
            }
        }
        if !others.is_empty() {
            let names: Vec<_> = others.iter().map(|c| harmless(&c.name)).collect();
            text.push_str(&format!("columns that do not fit: {}\n", names.join(", ")));
        }
        let shown = u64::try_from(self.rows).unwrap_or(u64::MAX);
        let records = if seen == 1 { "record" } else { "records" };
        if shown < seen {
            text.push_str(&format!("{shown} of {seen} {records}\n"));
        } else {
            text.push_str(&format!("{seen} {records}\n"));
        }
        text
    }

    /// Makes columns narrower until they fit, and says how many do.
    fn fit(&mut self, width: Option<usize>) -> usize {
        let Some(width) = width else {
            return self.columns.len();
        };
        let all = |columns: &[Column]| {
            let cells: usize = columns.iter().map(|c| c.width).sum();
            cells.saturating_add(GAP.len().saturating_mul(columns.len().saturating_sub(1)))
        };
        while all(&self.columns) > width {
            match self.columns.iter_mut().max_by_key(|c| c.width) {
                Some(widest) if widest.width > LEAST_WIDTH => {
                    widest.width = widest.width.saturating_sub(1);
                }
                _ => break,
            }
        }
        let fits = |n: &usize| all(self.columns.get(..*n).unwrap_or_default()) <= width;
        let most = (0..=self.columns.len()).rev().find(fits).unwrap_or(0);
        most.max(usize::from(!self.columns.is_empty()))
    }
}

/// Lines as JSON that can be shown.
pub(super) fn json(lines: &[u8], spread: bool) -> Vec<u8> {
    let mut text = String::new();
    for line in lines.split_inclusive(|b| *b == b'\n') {
        let value = if spread {
            serde_json::from_slice::<Value>(line).ok()
        } else {
            None
        };
        match value.and_then(|v| serde_json::to_string_pretty(&v).ok()) {
            // JSON has no control characters but between its lines; the others are in strings.
            Some(pretty) => pretty.lines().for_each(|line| {
                text.push_str(&escaped(line));
                text.push('\n');
            }),
            None => {
                text.push_str(&escaped(&String::from_utf8_lossy(line.trim_ascii())));
                text.push('\n');
            }
        }
    }
    text.into_bytes()
}

/// With what steers a terminal written as JSON writes it: the document stays the same.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// On one line, with what steers a terminal shown as what it is.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push(' '),
            c if steers(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Control characters, and those that turn the direction of text or hide it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// No wider than this.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = CUT.width();
    for c in text.chars() {
        used = used.saturating_add(c.width().unwrap_or(0));
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push_str(CUT);
    out
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let blank = " ".repeat(width.saturating_sub(text.width()));
    if right {
        format!("{blank}{text}")
    } else {
        format!("{text}{blank}")
    }
}
