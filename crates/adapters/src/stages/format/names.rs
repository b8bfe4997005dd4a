//! What the name of a file says of what is in it, and how its first bytes say that it is compressed.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileFormat {
    /// Rows of fields (`.csv`, `.tsv`).
    Csv,
    /// One document: a list of records (`.json`, `.geojson`).
    Json,
    /// One JSON document a line (`.ndjson`, `.jsonl`).
    Ndjson,
    /// Apache Parquet (`.parquet`).
    Parquet,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// As the file says: its first bytes when it is read, its name (`.gz`, `.zst`) when it is written.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    /// None: it says nothing that is known.
    pub(crate) format: Option<FileFormat>,
    /// `None` or one of the two; never `Auto`.
    pub(crate) compression: Compression,
    /// Are fields separated by tabs?
    pub(crate) tabs: bool,
}

/// What the name of a file says: its last extension, and the one before where that one names a compression.
pub(crate) fn named(path: &Path) -> Named {
    let lower = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let mut parts = lower.rsplit('.');
    let mut last = parts.next().unwrap_or_default();
    let compression = match last {
        "gz" | "gzip" => Compression::Gzip,
        "zst" | "zstd" => Compression::Zstd,
        _ => Compression::None,
    };
    if compression != Compression::None {
        last = parts.next().unwrap_or_default();
    }
    let format = match last {
        // Without a dot the whole name came.
        whole if parts.next().is_none() && whole == lower => None,
        "csv" | "tsv" => Some(FileFormat::Csv),
        "json" | "geojson" => Some(FileFormat::Json),
        "ndjson" | "jsonl" => Some(FileFormat::Ndjson),
        "parquet" | "pq" => Some(FileFormat::Parquet),
        _ => None,
    };
    Named {
        format,
        compression,
        tabs: last == "tsv",
    }
}

/// What to say where a name does not tell.
pub(crate) fn unknown_format(path: &Path) -> String {
    format!(
        "the name {} does not say how its records stand in it (.csv, .tsv, .json, .ndjson, .jsonl, .parquet, each also with .gz or .zst): add `format: csv`, \
         `json`, `ndjson` or `parquet`",
        path.display()
    )
}

impl Compression {
    /// By the first bytes of a file.
    pub(crate) fn of_bytes(start: &[u8]) -> Self {
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else {
            Self::None
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}
