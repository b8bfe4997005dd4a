//! Reading one file after the other, batch by batch, and saying where the next batch begins.

use std::path::PathBuf;
use std::sync::Arc;

use model::data::{Batch, Most, Pulled};
use model::error::Fault;
use model::stage::{Context, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Settings;
use super::opened::{Opened, Taken};
use super::paths::Found;
use crate::stages::format::{Gathered, Place};

/// Files that are being read.
pub(super) struct FilesReading {
    pub(super) settings: Settings,
    pub(super) record_bytes: usize,
    pub(super) check: bool,
    pub(super) progress: Arc<Progress>,
    files: Vec<Found>,
    /// The one that is read, or comes next.
    at: usize,
    open: Option<Opened>,
    /// What the file before knew of the columns.
    known: Option<Value>,
    /// Records read of all files.
    number: u64,
    /// Records of the files before this one.
    before: u64,
    /// Where to begin, until that is done.
    begin: Option<Cursor>,
    /// The end of the file before.
    ended: Option<Cursor>,
    /// What ended all.
    fault: Option<Fault>,
}

/// Where reading goes on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// The file.
    file: PathBuf,
    /// Records read of it.
    records: u64,
    /// Records read of all files.
    number: u64,
    /// Where the next record begins in it; none where that cannot be gone to: then records are passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// Lines before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// CSV: names and types of the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<Value>,
}

impl FilesReading {
    pub(super) fn new(
        settings: Settings,
        files: Vec<Found>,
        cursor: Option<&str>,
        context: &Context,
    ) -> Result<Self, Fault> {
        let begin: Option<Cursor> = cursor
            .map(serde_json::from_str)
            .transpose()
            .map_err(|e| Fault::Invalid(format!("the cursor is none of this source: {e}")))?;
        let at = begin
            .as_ref()
            .map_or(0, |c| files.partition_point(|f| f.path < c.file));
        for file in files.iter().skip(at) {
            context.progress.expect(file.bytes);
        }
        Ok(Self {
            at,
            open: None,
            known: begin.as_ref().and_then(|c| c.known.clone()),
            number: begin.as_ref().map_or(0, |c| c.number),
            before: 0,
            record_bytes: usize::try_from(context.record_bytes).unwrap_or(usize::MAX),
            check: settings.validate.unwrap_or(!context.parsed_next),
            progress: context.progress.clone(),
            ended: begin.clone(),
            begin,
            fault: None,
            settings,
            files,
        })
    }

    /// The next records.
    pub(super) fn pull(&mut self, most: Most) -> Result<Pulled, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut out = Gathered::new(most, self.number);
        while !out.is_full() {
            let Some(file) = self.files.get(self.at).cloned() else {
                return Ok(self.pulled(out, true));
            };
            match self.step(&file, &mut out) {
                Ok(None) => {}
                Ok(Some(batch)) => return Ok(self.arrow(batch)),
                Err(fault) => {
                    if !fault.is_retryable() {
                        self.fault = Some(fault.clone());
                    }
                    // What is whole before it comes first; the fault comes with the next pull.
                    return if out.number() > self.number {
                        Ok(self.pulled(out, false))
                    } else {
                        Err(fault)
                    };
                }
            }
        }
        Ok(self.pulled(out, false))
    }

    /// Opens the file, or takes records of it; those that go on as Arrow are handed out.
    fn step(&mut self, file: &Found, out: &mut Gathered) -> Result<Option<Batch>, Fault> {
        let Some(mut open) = self.open.take() else {
            self.open = Some(self.open(file, out)?);
            return Ok(None);
        };
        let rejects = out.rejects();
        let taken = open.take(file, out, out.number() > self.number);
        out.name_rejects(rejects, &file.path.display().to_string());
        if let Some(known) = open.known() {
            self.known = Some(known);
        }
        match taken {
            Ok(Taken::All) if out.to_pass_over() > 0 => Err(Fault::Invalid(format!(
                "{} has fewer records than were read of it before: it is another file now; to read it from its beginning, forget where the last run ended",
                file.path.display()
            ))),
            Ok(Taken::All) => {
                self.ended = Some(self.place(file, &open, out.number()));
                self.at = self.at.saturating_add(1);
                Ok(None)
            }
            Ok(Taken::Some) => {
                self.open = Some(open);
                Ok(None)
            }
            Ok(Taken::Arrow(batch)) => {
                self.open = Some(open);
                Ok(Some(batch))
            }
            Err(fault) => {
                self.open = Some(open);
                Err(fault)
            }
        }
    }

    /// Opens a file, where the cursor says if it is the one that was read last.
    fn open(&mut self, file: &Found, out: &mut Gathered) -> Result<Opened, Fault> {
        let begin = self.begin.take().filter(|c| c.file == file.path);
        let records = begin.as_ref().map_or(0, |c| c.records);
        self.before = out.number().saturating_sub(records);
        let place = begin.and_then(|c| {
            Some(Place {
                offset: c.offset?,
                line: c.line?,
                known: c.known,
            })
        });
        Opened::open(self, file, place, records, self.known.as_ref(), out)
    }

    fn pulled(&mut self, out: Gathered, done: bool) -> Pulled {
        self.number = out.number();
        let (batch, rejects) = out.done();
        Pulled {
            batch,
            cursor: self.cursor(),
            done,
            rejects,
        }
    }

    fn arrow(&mut self, batch: Batch) -> Pulled {
        self.number = self.number.saturating_add(u64::from(batch.count));
        Pulled {
            batch,
            cursor: self.cursor(),
            done: false,
            rejects: vec![],
        }
    }

    /// Where the next record is; none before anything was read.
    fn cursor(&self) -> Option<String> {
        let cursor = match (self.files.get(self.at), &self.open) {
            (Some(file), Some(open)) => self.place(file, open, self.number),
            _ => self.ended.clone()?,
        };
        serde_json::to_string(&cursor).ok()
    }

    fn place(&self, file: &Found, open: &Opened, number: u64) -> Cursor {
        let place = open.place();
        Cursor {
            file: file.path.clone(),
            records: number.saturating_sub(self.before),
            number,
            offset: place.as_ref().map(|p| p.offset),
            line: place.as_ref().map(|p| p.line),
            known: open.known(),
        }
    }
}
