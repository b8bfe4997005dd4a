//! How a CSV file is written: what a spec says about it, checked.

use std::collections::BTreeMap;

use model::stage::Misfit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a CSV file is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CsvOptions {
    /// The character between fields: one ASCII character. Default: `,`, or a tab for files that end in `.tsv`.
    delimiter: Option<String>,
    /// The character around fields that hold a delimiter or a line end; doubled inside. One ASCII character, or nothing: then quotes are part of the text.
    quote: String,
    /// Where the names of the columns are. `true`: in the first row. `false`: nowhere, they are `column_1`, `column_2`… A list: these names, and the first row is data.
    header: Header,
    /// Lines at the beginning that are no part of the table, before the header.
    skip_lines: u64,
    /// Types of columns by name. Others are told from the first rows (`infer`), or strings. A field that does not fit makes the row unreadable.
    types: BTreeMap<String, FieldType>,
    /// Tell from the first rows (at most 1,000 and 256 KiB) which columns hold numbers (as JSON writes them: `007` is text) and booleans (`true`, `false`)? Else they are strings.
    infer: bool,
    /// Fields that stand for nothing (null), in every column.
    nulls: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: "\"".into(),
            header: Header::default(),
            skip_lines: 0,
            types: BTreeMap::new(),
            infer: true,
            nulls: vec![String::new()],
        }
    }
}

/// Where the names of columns are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Header {
    /// In the first row, or nowhere.
    FirstRow(bool),
    /// Here.
    Names(Vec<String>),
}

impl Default for Header {
    fn default() -> Self {
        Self::FirstRow(true)
    }
}

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FieldType {
    /// Text, as it is.
    String,
    /// A number, with digits kept as they are.
    Number,
    /// A whole number.
    Integer,
    /// `true`, `t`, `yes`, `y`, `1` or `false`, `f`, `no`, `n`, `0`, in any case.
    Boolean,
    /// A JSON document.
    Json,
}

impl FieldType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Json => "JSON",
        }
    }
}

/// How a CSV file is written, checked.
#[derive(Debug, Clone)]
pub(crate) struct CsvReading {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) names: Names,
    pub(super) skip_lines: u64,
    pub(super) types: BTreeMap<String, FieldType>,
    pub(super) infer: bool,
    pub(super) nulls: Vec<String>,
}

/// Where names come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    FirstRow,
    Given(Vec<String>),
    Numbered,
}

impl CsvOptions {
    /// Checks them; `pointer` is where they stand, `tabs` says that a tab is the usual delimiter.
    pub(crate) fn checked(&self, pointer: &str, tabs: bool) -> Result<CsvReading, Vec<Misfit>> {
        let mut wrong = vec![];
        let usual = if tabs { "\t" } else { "," };
        let given = self.delimiter.as_deref().unwrap_or(usual);
        let delimiter = character(given);
        if delimiter.is_none() {
            wrong.push(Misfit::new(
                format!("{pointer}/delimiter"),
                format!("has to be one ASCII character, as `,`, `;` or a tab (\"\\t\"), and is {given:?}"),
            ));
        }
        let quote = match self.quote.as_str() {
            "" => Some(None),
            quote => character(quote).map(Some),
        };
        if quote.is_none() {
            wrong.push(Misfit::new(
                format!("{pointer}/quote"),
                format!(
                    "has to be one ASCII character or empty, and is {:?}",
                    self.quote
                ),
            ));
        }
        if delimiter.is_some() && quote == Some(delimiter) {
            wrong.push(Misfit::new(
                format!("{pointer}/quote"),
                "is the same as the delimiter",
            ));
        }
        let names = match &self.header {
            Header::FirstRow(true) => Names::FirstRow,
            Header::FirstRow(false) => Names::Numbered,
            Header::Names(names) => Names::Given(names.clone()),
        };
        if names == Names::Given(vec![]) {
            wrong.push(Misfit::new(
                format!("{pointer}/header"),
                "is an empty list; give all names, or `false` for none",
            ));
        }
        match (delimiter, quote) {
            (Some(delimiter), Some(quote)) if wrong.is_empty() => Ok(CsvReading {
                delimiter,
                quote,
                names,
                skip_lines: self.skip_lines,
                types: self.types.clone(),
                infer: self.infer,
                nulls: self.nulls.clone(),
            }),
            _ => Err(wrong),
        }
    }
}

pub(super) fn character(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [one] if one.is_ascii() && !matches!(one, b'\n' | b'\r') => Some(*one),
        _ => None,
    }
}
