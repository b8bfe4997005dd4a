//! The sink `silver`: the records of a run as Parquet files below a folder, `<pipeline>/day=YYYY-MM-DD/<run>.parquet`, in their place when the run has come to its end. And the files there: listed, and
//! removed when they are too old or too many. The day is that of the run's submission, so that all attempts at a run write the same files.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::BoxFuture;
use model::access::{Access, Files};
use model::data::Writer;
use model::error::Fault;
use model::id::PipelineId;
use model::run::RunId;
use model::silver::{Retention, SILVER, Silver, SilverFile, Swept};
use model::stage::{Context, Described, Kind, SinkKind, Takes};
use serde_json::{Value, json};

use super::super::super::blocking::blocking;
use super::beside::sweep;
use super::claims::Claims;
use super::place::fault;
use super::writing::FilesWriting;
use super::{Open, Options};
use crate::bronze::day::Day;
use crate::stages::options;

/// What folders of days begin with: engines that read Parquet take the rest for the value of a column.
const DAY: &str = "day=";
const END: &str = ".parquet";
/// A folder that is empty may still be written to by a run of its day for so long after that.
const GRACE: Duration = Duration::from_secs(86_400);

/// The folder of cleaned records. Servers may share it, since no two write the same run.
#[derive(Debug, Clone)]
pub struct SilverFolder {
    folder: PathBuf,
    access: Arc<Access>,
    claims: Claims,
}

impl SilverFolder {
    /// Makes the folder if it is not there, and a file in it for a moment.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let used = || {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder)?;
            tempfile::tempfile_in(folder)?;
            folder.canonicalize()
        };
        let said = |e: io::Error| {
            let said = format!("the folder {} cannot be used: {e}", folder.display());
            io::Error::new(e.kind(), said)
        };
        let folder = used().map_err(said)?;
        Ok(Self {
            access: Arc::new(Access {
                files: Files::Within(vec![folder.clone()]),
                http: None,
                databases: None,
            }),
            folder,
            claims: Claims::default(),
        })
    }

    fn writing(&self, context: &Context) -> Result<FilesWriting, Fault> {
        let day =
            Day::of(millis(context.run.submitted())).map_err(|e| Fault::Invalid(e.to_string()))?;
        let below = format!("{}/{DAY}{day}", context.pipeline);
        let path = format!("{below}/{}{END}", context.run);
        let options: Options = options::read(&json!({"path": path}).to_string())?;
        let mut settings = options.checked().map_err(options::misfits)?;
        settings.any_shape = true;
        let claims = self.claims.of(context);
        let writing = FilesWriting::new(settings, Arc::clone(&self.access), claims)?;
        forget(&self.folder.join(below), &context.run)?;
        Ok(writing)
    }

    /// Days of a pipeline that have a folder, in order.
    fn days(&self, pipeline: &PipelineId) -> Result<Vec<(Day, PathBuf)>, Fault> {
        let folder = self.folder.join(pipeline.as_str());
        if !is_folder(&folder) {
            return Ok(Vec::new());
        }
        let days = names(&folder)?.into_iter().filter_map(|name| {
            let day = name.strip_prefix(DAY)?.parse().ok()?;
            Some((day, folder.join(name)))
        });
        let mut days: Vec<_> = days.filter(|(_, path)| is_folder(path)).collect();
        days.sort();
        Ok(days)
    }

    fn list(&self, pipeline: &PipelineId) -> Result<Vec<SilverFile>, Fault> {
        let mut all = Vec::new();
        for (day, path) in self.days(pipeline)? {
            let files = parquet_files(&path)?.into_iter();
            all.extend(files.map(|(name, bytes)| SilverFile {
                day: day.to_string(),
                name,
                bytes,
            }));
        }
        Ok(all)
    }

    fn sweep_all(&self, retention: Retention) -> Result<Swept, Fault> {
        let mut swept = Swept::default();
        for name in names(&self.folder)? {
            if let Ok(pipeline) = PipelineId::new(&name) {
                self.sweep_one(&pipeline, retention, &mut swept)?;
            }
        }
        Ok(swept)
    }

    fn sweep_one(
        &self,
        pipeline: &PipelineId,
        retention: Retention,
        swept: &mut Swept,
    ) -> Result<(), Fault> {
        let days = self.days(pipeline)?;
        let mut files = Vec::new();
        for (day, path) in &days {
            // What is being written is locked.
            sweep(path);
            let found = parquet_files(path)?.into_iter();
            files.extend(found.map(|(name, bytes)| (*day, path.join(name), bytes)));
        }
        let mut left: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        let over = |day: Day, by: Duration| {
            let end = Duration::from_millis(day.end());
            let end = SystemTime::UNIX_EPOCH.checked_add(end.saturating_add(by));
            end.is_some_and(|end| end < retention.now)
        };
        for (day, path, bytes) in files {
            let old = retention.age.is_some_and(|age| over(day, age));
            if !old && retention.bytes.is_none_or(|most| left <= most) {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => {
                    swept.files = swept.files.saturating_add(1);
                    swept.bytes = swept.bytes.saturating_add(bytes);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(fault("remove", &path, 0, &e)),
            }
            left = left.saturating_sub(bytes);
        }
        for (day, path) in days {
            if over(day, GRACE) {
                // One that holds something stays.
                drop(fs::remove_dir(path));
            }
        }
        Ok(())
    }
}

impl Kind for SilverFolder {
    fn described(&self) -> Described {
        Described {
            name: SILVER,
            summary: "Keeps cleaned records as Parquet files by day.",
            options: json!({"type": "object", "additionalProperties": false}),
        }
    }
}

impl SinkKind for SilverFolder {
    fn takes(&self, _: &Value) -> Takes {
        Takes::Either
    }

    fn open(
        &self,
        _: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        let silver = self.clone();
        Box::pin(async move {
            let writing = blocking(move || silver.writing(&context)).await?;
            Ok(Box::new(Open::of(writing)) as Box<dyn Writer>)
        })
    }
}

impl Silver for SilverFolder {
    fn files(&self, pipeline: PipelineId) -> BoxFuture<'static, Result<Vec<SilverFile>, Fault>> {
        let silver = self.clone();
        Box::pin(blocking(move || silver.list(&pipeline)))
    }

    fn sweep(&self, retention: Retention) -> BoxFuture<'static, Result<Swept, Fault>> {
        let silver = self.clone();
        Box::pin(blocking(move || silver.sweep_all(retention)))
    }
}

/// Removes what an attempt put in place whose end was not kept any more: it is written again, or the run fails.
fn forget(day: &Path, run: &RunId) -> Result<(), Fault> {
    for (name, _) in parquet_files(day)? {
        if name.starts_with(run.as_str()) {
            let path = day.join(name);
            fs::remove_file(&path).map_err(|e| fault("remove", &path, 0, &e))?;
        }
    }
    Ok(())
}

/// What is in a folder, in order; nothing of one that is not there.
fn names(folder: &Path) -> Result<Vec<String>, Fault> {
    let read = || -> io::Result<Vec<String>> {
        let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        let names = entries
            .into_iter()
            .filter_map(|e| e.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names)
    };
    match read() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|e| fault("list", folder, 0, &e)),
    }
}

/// The files of a day with their sizes, in the order of their runs.
fn parquet_files(day: &Path) -> Result<Vec<(String, u64)>, Fault> {
    let names = names(day)?
        .into_iter()
        .filter(|n| n.starts_with("run_") && n.ends_with(END));
    let files = names.filter_map(|name| {
        let meta = day.join(&name).symlink_metadata().ok()?;
        meta.is_file().then_some((name, meta.len()))
    });
    let mut files: Vec<_> = files.collect();
    files.sort_by(|(a, _), (b, _)| SilverFile::order(a).cmp(SilverFile::order(b)));
    Ok(files)
}

/// No link, which could lead elsewhere.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

fn millis(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
