//! One file while it is written: beside its place, under a name of its own, until it is put there.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::error::Fault;
use tempfile::TempPath;

use super::beside::Beside;
use super::encode::Encode;
use super::place::fault;

/// A file that is being written. Dropped before it is published, nothing is left of it.
pub(super) struct Part {
    /// Where it goes.
    pub(super) target: PathBuf,
    /// The folder below the path's own, and its number in it.
    pub(super) folder: String,
    pub(super) number: u64,
    /// None: it is at rest, or at its end. More may be added after a rest, but for Parquet.
    pub(super) encode: Option<Encode>,
    /// Records in it, and bytes before compression.
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// When it was last added to, for who has to rest.
    pub(super) used: u64,
    /// Bytes that are still to be written, and how much of the first of them is.
    waiting: VecDeque<Bytes>,
    written: usize,
    temp: Option<TempPath>,
    file: Option<File>,
    synced: bool,
}

impl Part {
    pub(super) fn new(target: PathBuf, folder: String, number: u64, encode: Encode) -> Self {
        Self {
            target,
            folder,
            number,
            encode: Some(encode),
            records: 0,
            bytes: 0,
            used: 0,
            waiting: VecDeque::new(),
            written: 0,
            temp: None,
            file: None,
            synced: false,
        }
    }

    /// Adds bytes as they are, after all that came before.
    pub(super) fn add(&mut self, bytes: Bytes) {
        self.collect();
        if !bytes.is_empty() {
            self.waiting.push_back(bytes);
        }
    }

    /// Ends what is encoded; all of it waits to be written then.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        if let Some(encode) = self.encode.take() {
            let bytes = encode.end()?;
            if !bytes.is_empty() {
                self.waiting.push_back(bytes.into());
            }
        }
        Ok(())
    }

    fn collect(&mut self) {
        let bytes = self.encode.as_mut().map(Encode::take).unwrap_or_default();
        if !bytes.is_empty() {
            self.waiting.push_back(bytes.into());
        }
    }

    /// Writes what waits. After an error it goes on where it was when it is called again.
    pub(super) fn flush(&mut self, beside: &mut Beside) -> Result<(), Fault> {
        self.collect();
        if !self.waiting.is_empty() {
            self.synced = false;
            self.write(beside).map_err(|e| {
                let needed: usize = self.waiting.iter().map(Bytes::len).sum();
                let needed = needed.saturating_sub(self.written);
                fault("write", &self.target, needed, &e)
            })?;
        }
        if self.encode.is_none() {
            // At rest it holds no file open.
            self.file = None;
        }
        Ok(())
    }

    fn write(&mut self, beside: &mut Beside) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open(beside)?,
        };
        let done = self.write_to(&mut file);
        self.file = Some(file);
        done
    }

    fn write_to(&mut self, file: &mut File) -> io::Result<()> {
        while let Some(first) = self.waiting.front() {
            let rest = first.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.waiting.pop_front();
                self.written = 0;
                continue;
            }
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written = self.written.saturating_add(bytes),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The file beside its place: a new one, or the one that was begun.
    fn open(&mut self, beside: &mut Beside) -> io::Result<File> {
        if let Some(temp) = &self.temp {
            return OpenOptions::new().append(true).open(temp);
        }
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        let temp = beside.file_for(folder)?;
        let (file, path) = temp.into_parts();
        self.temp = Some(path);
        Ok(file)
    }

    /// Writes all of it to the disk itself.
    pub(super) fn sync(&mut self, beside: &mut Beside) -> Result<(), Fault> {
        self.flush(beside)?;
        if self.synced {
            return Ok(());
        }
        let file = self.open(beside);
        file.and_then(|file| file.sync_all())
            .map_err(|e| fault("write", &self.target, 0, &e))?;
        self.synced = true;
        Ok(())
    }

    /// Puts it in its place. Its folder has to be synced after it.
    pub(super) fn publish(&mut self, fail_if_exists: bool) -> Result<(), Fault> {
        let Some(temp) = self.temp.take() else {
            return Ok(());
        };
        let put = if fail_if_exists {
            temp.persist_noclobber(&self.target)
        } else {
            temp.persist(&self.target)
        };
        match put {
            Ok(()) => Ok(()),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Fault::Invalid(format!(
                    "{} exists already (`if_exists: fail`)",
                    self.target.display()
                )))
            }
            Err(e) => {
                self.temp = Some(e.path);
                Err(fault("put in place", &self.target, 0, &e.error))
            }
        }
    }
}

/// Makes sure that the names in a folder are on disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Fault> {
    let sync = || File::open(folder)?.sync_all();
    sync().map_err(|e| fault("write", folder, 0, &e))
}
