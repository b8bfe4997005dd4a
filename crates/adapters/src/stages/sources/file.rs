//! The source `file`: the records of one file or many, one after the other in the order of their paths.
//!
//! Files are read, never watched, moved or deleted.

use std::path::Path;

use encoding_rs::{Encoding, UTF_8};
use model::BoxFuture;
use model::data::{Most, Opening, Pulled, Reader};
use model::error::Fault;
use model::stage::{Context, Described, Kind, Misfit, SourceKind, is_open};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod input;
mod opened;
mod paths;
mod reading;

use super::super::blocking::{Blocking, blocking};
use super::super::format::{
    Compression, CsvOptions, CsvReading, FileFormat, encoding_of, named, unknown_format,
};
use crate::stages::options;
use reading::FilesReading;

/// The kind.
#[derive(Debug)]
pub(in crate::stages) struct FileSource;

/// The options of the source `file`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The file to read, or a pattern for several (`data/*.csv`, `data/**/*.json.gz`), or a list of both. Relative to where the pipeline runs. They are read in the order of
    /// their paths, each once.
    path: Paths,
    /// Is it no error when there is no such file?
    #[serde(default)]
    optional: bool,
    /// How records stand in the files. Default: as each name says (`.csv`, `.tsv`, `.json`, `.ndjson`, `.jsonl`, `.parquet`; `.gz` and `.zst` after it are looked past).
    #[serde(default)]
    format: Option<FileFormat>,
    /// How the files are compressed. `auto`: as their first bytes say.
    #[serde(default)]
    compression: Compression,
    /// The encoding of the text, by its WHATWG name: `utf-8`, `latin1`, `windows-1252`, `utf-16le`… A byte order mark in a file comes before it. Default: `utf-8`.
    #[serde(default)]
    encoding: Option<String>,
    /// JSON only: where in a document the records are, as keys with dots between (`data.items`). Default: the document itself, a list of records or one record.
    #[serde(default)]
    records: Option<String>,
    /// CSV only: how the rows are written.
    #[serde(default)]
    csv: CsvOptions,
    /// NDJSON only: is each line parsed, so that one that is no JSON is found here? Otherwise only its ends are looked at. Default: yes, unless a native stage comes
    /// next that parses every record anyway.
    #[serde(default)]
    validate: Option<bool>,
    /// Parquet only: how records are handed on. `ndjson`, or `arrow`, which spares turning them into text where the next stage takes Arrow.
    #[serde(default)]
    batches: Batches,
}

/// One or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Paths {
    /// A file, or a pattern.
    One(String),
    /// Several.
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// How records of Parquet files are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Batches {
    /// One JSON document a line.
    #[default]
    Ndjson,
    /// Arrow IPC.
    Arrow,
}

impl Paths {
    fn all(&self) -> Vec<String> {
        match self {
            Self::One(path) => vec![path.clone()],
            Self::Many(paths) => paths.clone(),
        }
    }
}

/// The options, checked.
#[derive(Debug, Clone)]
struct Settings {
    paths: Vec<String>,
    optional: bool,
    format: Option<FileFormat>,
    compression: Compression,
    encoding: &'static Encoding,
    records: Vec<String>,
    csv: CsvReading,
    /// The same for `.tsv`.
    tsv: CsvReading,
    validate: Option<bool>,
    arrow: bool,
}

impl Options {
    fn checked(&self) -> Result<Settings, Vec<Misfit>> {
        let mut wrong = vec![];
        let paths = self.path.all();
        if paths.iter().any(String::is_empty) {
            wrong.push(Misfit::new("/path", "is empty; name a file"));
        }
        for path in &paths {
            let unknown = named(Path::new(path)).format.is_none();
            let open = is_open(path) || path.ends_with(['*', ']']);
            if self.format.is_none() && unknown && !open {
                wrong.push(Misfit::new("/path", unknown_format(Path::new(path))));
            }
        }
        let label = self.encoding.as_deref().unwrap_or("utf-8");
        let encoding = match encoding_of(label) {
            Ok(encoding) => encoding,
            Err(_) if is_open(label) => UTF_8,
            Err(message) => {
                wrong.push(Misfit::new("/encoding", message));
                UTF_8
            }
        };
        if self.format == Some(FileFormat::Parquet) && self.compression != Compression::Auto {
            let message = "a Parquet file is compressed inside, and says how; leave it out";
            wrong.push(Misfit::new("/compression", message));
        }
        let others = self.format.is_some_and(|f| f != FileFormat::Parquet);
        if self.batches == Batches::Arrow && others {
            let message = "only Parquet files can be handed on as Arrow";
            wrong.push(Misfit::new("/batches", message));
        }
        let csv = self.csv.checked("/csv", false);
        let tsv = self.csv.checked("/csv", true);
        let records = self.records.iter().flat_map(|path| path.split('.'));
        match (csv, tsv) {
            (Ok(csv), Ok(tsv)) if wrong.is_empty() => Ok(Settings {
                paths,
                optional: self.optional,
                format: self.format,
                compression: self.compression,
                encoding,
                records: records.map(str::to_owned).collect(),
                csv,
                tsv,
                validate: self.validate,
                arrow: self.batches == Batches::Arrow,
            }),
            (csv, _) => {
                wrong.extend(csv.err().unwrap_or_default());
                Err(wrong)
            }
        }
    }
}

impl Kind for FileSource {
    fn described(&self) -> Described {
        Described {
            name: "file",
            summary: "Reads CSV, JSON, NDJSON and Parquet files, also compressed with gzip or Zstandard.",
            options: options::schema::<Options>(),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        options::check(options, |options: Options| {
            options.checked().err().unwrap_or_default()
        })
    }
}

impl SourceKind for FileSource {
    fn goes_on(&self, _: &Value) -> bool {
        true
    }

    fn open(
        &self,
        opening: Opening,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        Box::pin(async move {
            let reading = blocking(move || open(&opening, &context)).await?;
            Ok(Box::new(Open(Blocking::new(reading))) as Box<dyn Reader>)
        })
    }
}

fn open(opening: &Opening, context: &Context) -> Result<FilesReading, Fault> {
    let options: Options = options::read(&opening.config)?;
    let settings = options.checked().map_err(options::misfits)?;
    let found = paths::find(&settings.paths, settings.optional, &context.access.files)?;
    for file in &found {
        let known = settings.format.is_some() || named(&file.path).format.is_some();
        if !known {
            return Err(Fault::Invalid(unknown_format(&file.path)));
        }
    }
    FilesReading::new(settings, found, opening.cursor.as_deref(), context)
}

/// An open one.
struct Open(Blocking<FilesReading>);

impl Reader for Open {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(self.0.with(move |reading| reading.pull(most)))
    }
}

#[cfg(test)]
mod tests;
