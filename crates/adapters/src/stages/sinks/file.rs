//! The sink `file`: records into one file, or several by number, size or the values of fields. Files are written beside their place and put there when the run
//! has come to its end: nobody sees half a file.

use std::path::{Component, Path, PathBuf};

use model::BoxFuture;
use model::data::{Batch, Reject, Writer};
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SinkKind, Takes, is_open};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod beside;
mod claims;
mod encode;
mod part;
mod place;
mod silver;
mod writing;

use super::super::blocking::{Blocking, blocking};
use super::super::format::{
    Compression, CsvLayout, CsvWriting, FileFormat, NamedType, named, unknown_format,
};
use crate::stages::options;
use beside::Discard;
use claims::{Claimant, Claims};
use writing::FilesWriting;

pub use silver::SilverFolder;

/// The kind.
#[derive(Debug, Default)]
pub(super) struct FileSink {
    claims: Claims,
}

/// The options of the sink `file`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The file to write. Relative to where the pipeline runs. Folders that are not there are made.
    path: String,
    /// How records stand in it. Default: as the name says (`.csv`, `.tsv`, `.json`, `.ndjson`, `.jsonl`, `.parquet`).
    #[serde(default)]
    format: Option<FileFormat>,
    /// How it is compressed. `auto`: as the name says (`.gz`, `.zst`). Parquet files are always compressed inside, with Zstandard.
    #[serde(default)]
    compression: Compression,
    /// What becomes of a file that is there already.
    #[serde(default)]
    if_exists: IfExists,
    /// Fields by whose values records are put into folders, as `out/year=2024/month=5/flights.csv`; a record without a value goes to `__HIVE_DEFAULT_PARTITION__`. The
    /// fields stay in the records.
    #[serde(default)]
    partition_by: Vec<String>,
    /// A new file begins before this many bytes, counted before compression. Files are then numbered: `flights-0001.csv`. Not for Parquet.
    #[serde(default)]
    #[schemars(range(min = 1))]
    max_file_bytes: Option<u64>,
    /// A new file begins after this many records. Files are then numbered: `flights-0001.csv`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    max_file_records: Option<u64>,
    /// CSV only: how rows are written.
    #[serde(default)]
    csv: CsvLayout,
    /// Parquet only: types of columns by name, in the order of the columns. Other columns are told from the records that come first (up to 1,000).
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, NamedType>")]
    schema: Map<String, Value>,
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum IfExists {
    /// The new one takes its place when it is whole.
    #[default]
    Replace,
    /// The run fails.
    Fail,
}

/// The options, checked.
#[derive(Debug, Clone)]
struct Settings {
    path: PathBuf,
    format: FileFormat,
    compression: Compression,
    fail_if_exists: bool,
    partition_by: Vec<String>,
    max_bytes: Option<u64>,
    max_records: Option<u64>,
    csv: CsvWriting,
    schema: Vec<(String, NamedType)>,
    /// Parquet only: records that do not fit the columns so far go into a further file.
    any_shape: bool,
}

impl Options {
    fn checked(&self) -> Result<Settings, Vec<Misfit>> {
        let mut wrong = vec![];
        let path = PathBuf::from(&self.path);
        let says = named(&path);
        let open = is_open(&self.path);
        if path.file_name().is_none() || self.path.ends_with('/') {
            let message = format!("has to end in the name of a file, and is {:?}", self.path);
            wrong.push(Misfit::new("/path", message));
        } else if self.path.contains("://") {
            let message = "is an address and no file; the sink `http_api` writes there";
            wrong.push(Misfit::new("/path", message));
        }
        let format = self.format.or(says.format);
        if format.is_none() && !open && wrong.is_empty() {
            wrong.push(Misfit::new("/path", unknown_format(&path)));
        }
        let format = format.unwrap_or(FileFormat::Ndjson);
        let parquet = format == FileFormat::Parquet;
        let compression = match self.compression {
            Compression::Auto => says.compression,
            named => named,
        };
        if parquet && compression != Compression::None {
            let message = "a Parquet file is compressed inside; leave it out, and `.gz` or `.zst` off its name";
            wrong.push(Misfit::new("/compression", message));
        }
        if parquet && self.max_file_bytes.is_some() {
            let message = "the size of a Parquet file is not known before it is written; use `max_file_records`";
            wrong.push(Misfit::new("/max_file_bytes", message));
        }
        if !parquet && !self.schema.is_empty() {
            wrong.push(Misfit::new("/schema", "is for Parquet only"));
        }
        for (at, field) in self.partition_by.iter().enumerate() {
            if field.is_empty() || self.partition_by.iter().take(at).any(|f| f == field) {
                let message = format!("the field `{field}` is empty or stands there twice");
                wrong.push(Misfit::new(format!("/partition_by/{at}"), message));
            }
        }
        let mut schema = vec![];
        for (name, kind) in &self.schema {
            match serde_json::from_value(kind.clone()) {
                Ok(kind) => schema.push((name.clone(), kind)),
                Err(e) => wrong.push(Misfit::new(format!("/schema/{name}"), e.to_string())),
            }
        }
        match self.csv.checked("/csv", says.tabs) {
            Ok(csv) if wrong.is_empty() => Ok(Settings {
                path,
                format,
                compression,
                fail_if_exists: self.if_exists == IfExists::Fail,
                partition_by: self.partition_by.clone(),
                max_bytes: self.max_file_bytes,
                max_records: self.max_file_records,
                csv,
                schema,
                any_shape: false,
            }),
            csv => {
                wrong.extend(csv.err().unwrap_or_default());
                Err(wrong)
            }
        }
    }
}

impl Kind for FileSink {
    fn described(&self) -> Described {
        Described {
            name: "file",
            summary: "Writes CSV, JSON, NDJSON or Parquet files, whole or not at all.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| {
            options.checked().err().unwrap_or_default()
        })
    }
}

impl SinkKind for FileSink {
    fn takes(&self, options: &Value) -> Takes {
        let checked = serde_json::from_value::<Options>(options.clone())
            .ok()
            .and_then(|o| o.checked().ok());
        match checked {
            // Fields are looked at in records as JSON.
            Some(s)
                if s.format == FileFormat::Parquet
                    && s.partition_by.is_empty()
                    && s.schema.is_empty() =>
            {
                Takes::Either
            }
            _ => Takes::Ndjson,
        }
    }

    fn replaces(&self, options: &Value) -> Option<String> {
        let options: Options = serde_json::from_value(options.clone()).ok()?;
        let open = options.partition_by.iter().any(|field| is_open(field));
        if open || is_open(&options.path) {
            return None;
        }
        // `./a//b` is `a/b`.
        let parts = Path::new(&options.path).components();
        let path: PathBuf = parts
            .filter(|part| !matches!(part, Component::CurDir))
            .collect();
        let numbered = options.max_file_bytes.or(options.max_file_records);
        let numbered = if numbered.is_some() {
            " in numbered files"
        } else {
            ""
        };
        let by = match options.partition_by.as_slice() {
            [] => String::new(),
            fields => format!(" by {}", fields.join(", ")),
        };
        Some(format!("{}{numbered}{by}", path.display()))
    }

    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        let claimant = self.claims.of(&context);
        Box::pin(async move {
            let writing = blocking(move || open(&config, &context, claimant)).await?;
            Ok(Box::new(Open::of(writing)) as Box<dyn Writer>)
        })
    }
}

fn open(config: &str, context: &Context, claims: Claimant) -> Result<FilesWriting, Fault> {
    let options: Options = options::read(config)?;
    let settings = options.checked().map_err(options::misfits)?;
    FilesWriting::new(settings, context.access.clone(), claims)
}

/// An open one.
struct Open {
    /// Dropped first: folders that were made can be removed only once they are empty.
    _discard: Discard,
    writing: Blocking<FilesWriting>,
}

impl Open {
    fn of(writing: FilesWriting) -> Self {
        Self {
            _discard: writing.discard(),
            writing: Blocking::new(writing),
        }
    }
}

impl Writer for Open {
    fn push(&mut self, batch: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(self.writing.with(move |writing| writing.push(&batch, key)))
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.writing.with(FilesWriting::finish))
    }
}

#[cfg(test)]
mod tests;
