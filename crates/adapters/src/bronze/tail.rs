//! The open segment of a pipeline: frames go to its end. What was written counts once it was synced; what failed is cut off again.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use model::bronze::BronzeError;
use model::id::PipelineId;
use rustix::fs::FallocateFlags;

use super::catalog::{Disk, Entry, OPEN, SEALED, State, failed};
use super::day::Day;
use super::frame::{FOOT, START, Totals, header};

/// Raw payloads may hold anything: only the server's own user may read them.
pub(super) const FILE_MODE: u32 = 0o600;
pub(super) const FOLDER_MODE: u32 = 0o700;
/// Room taken ahead, so that most syncs change no metadata (measured: 2 to 3 times as many a second): as much as the segment has, within these bounds.
const AHEAD: u64 = 4 << 20;
const PAGE: u64 = 4096;

/// An open segment.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) number: u64,
    pub(super) day: Day,
    /// What is in it for certain.
    pub(super) totals: Totals,
    file: Option<Arc<File>>,
    /// Bytes the file has, those taken ahead included; 0: not known.
    allocated: u64,
    /// When it was used last, in commits.
    pub(super) used: u64,
    /// Is the file without the footer that would spare a check at the next start?
    pub(super) is_loose: bool,
}

impl Tail {
    /// One whose file was checked before.
    pub(super) fn known(entry: &Entry, totals: Totals) -> Self {
        Self {
            number: entry.number,
            day: entry.day,
            totals,
            file: None,
            allocated: 0,
            used: 0,
            is_loose: false,
        }
    }

    /// Makes the file of a new segment, in folders that are made where they are missing. All of it is on disk then, but for the header.
    pub(super) fn create(
        disk: &Disk,
        pipeline: &PipelineId,
        number: u64,
        day: Day,
    ) -> Result<Self, BronzeError> {
        let mut tail = Self {
            number,
            day,
            totals: Totals::NONE,
            file: None,
            allocated: START,
            used: 0,
            is_loose: true,
        };
        let path = disk.path(pipeline, &tail.entry(), OPEN);
        let made = make_folders(disk, pipeline, day).and_then(|()| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(FILE_MODE)
                .open(&path)?;
            file.write_all_at(&header(number), 0)
                .and_then(|()| sync_folder(&disk.folder(pipeline, day)))
                .inspect_err(|_| remove(&path))?;
            Ok(file)
        });
        let file = made.map_err(|e| failed("make", &path, &e))?;
        tail.file = Some(Arc::new(file));
        Ok(tail)
    }

    /// It, as the catalog knows it.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            number: self.number,
            day: self.day,
            state: State::Open,
            totals: Some(self.totals),
        }
    }

    /// Is its file open?
    pub(super) fn is_held(&self) -> bool {
        self.file.is_some()
    }

    fn path(&self, disk: &Disk, pipeline: &PipelineId) -> std::path::PathBuf {
        disk.path(pipeline, &self.entry(), OPEN)
    }

    /// Its file.
    pub(super) fn file(
        &mut self,
        disk: &Disk,
        pipeline: &PipelineId,
    ) -> Result<Arc<File>, BronzeError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let path = self.path(disk, pipeline);
        let open = || {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let size = file.metadata()?.len();
            Ok((Arc::new(file), size))
        };
        let (file, size) = open().map_err(|e| failed("open", &path, &e))?;
        self.allocated = size;
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Writes frames to its end. They are not on disk yet, and not counted.
    pub(super) fn write(
        &mut self,
        disk: &Disk,
        pipeline: &PipelineId,
        frames: &[u8],
    ) -> Result<Arc<File>, BronzeError> {
        let file = self.file(disk, pipeline)?;
        let end = self.totals.length.saturating_add(frames.len() as u64);
        self.is_loose = true;
        self.reserve(&file, end);
        if let Err(e) = file.write_all_at(frames, self.totals.length) {
            let error = failed("write to", &self.path(disk, pipeline), &e);
            return Err(self.cut(&file).err().unwrap_or(error));
        }
        self.allocated = self.allocated.max(end);
        Ok(file)
    }

    fn reserve(&mut self, file: &File, end: u64) {
        if end <= self.allocated {
            return;
        }
        let ahead = end.saturating_add(end.min(AHEAD)).next_multiple_of(PAGE);
        let more = ahead.saturating_sub(self.allocated);
        // Where it does not work, the write itself says whether there is room.
        if rustix::fs::fallocate(file, FallocateFlags::empty(), self.allocated, more).is_ok() {
            self.allocated = ahead;
        }
    }

    /// Cuts off what was not counted.
    pub(super) fn cut(&mut self, file: &File) -> Result<(), BronzeError> {
        self.allocated = self.totals.length;
        file.set_len(self.totals.length).map_err(|e| {
            BronzeError::Unavailable(format!(
                "cannot cut off what was not written whole in segment {}: {e}",
                self.number
            ))
        })
    }

    /// Closes the file as it is.
    pub(super) fn let_go(&mut self) {
        self.file = None;
    }

    /// Closes the file. The footer spares a check at the next start, and is overwritten by the next frame.
    pub(super) fn park(&mut self, disk: &Disk, pipeline: &PipelineId) -> Option<Arc<File>> {
        if !self.is_loose {
            self.file = None;
            return None;
        }
        let end = self.totals.length.saturating_add(FOOT as u64);
        let footer = self.totals.footer(self.number);
        let file = self.file(disk, pipeline).and_then(|file| {
            file.write_all_at(&footer, self.totals.length)
                .and_then(|()| file.set_len(end))
                .map_err(|e| failed("close", &self.path(disk, pipeline), &e))?;
            Ok(file)
        });
        self.file = None;
        match file {
            Ok(file) => {
                self.is_loose = false;
                Some(file)
            }
            Err(error) => {
                tracing::warn!(%pipeline, %error, "a segment could not be closed: it is checked at the next start");
                None
            }
        }
    }

    /// Seals it: footer, sync, and the name that sealed segments have.
    pub(super) fn seal(
        &mut self,
        disk: &Disk,
        pipeline: &PipelineId,
    ) -> Result<Entry, BronzeError> {
        let path = self.path(disk, pipeline);
        self.is_loose = true;
        let file = self.file(disk, pipeline)?;
        let footer = self.totals.footer(self.number);
        let end = self.totals.length.saturating_add(FOOT as u64);
        let sealed = Entry {
            state: State::Sealed,
            ..self.entry()
        };
        file.write_all_at(&footer, self.totals.length)
            .and_then(|()| file.set_len(end))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&path, disk.path(pipeline, &sealed, SEALED)))
            .map_err(|e| failed("seal", &path, &e))?;
        // Under its old name it would be found again with its footer, and sealed at the next start.
        if let Err(error) = sync_folder(&disk.folder(pipeline, self.day)) {
            tracing::warn!(%pipeline, segment = self.number, %error, "the folder of a sealed segment could not be synced");
        }
        Ok(sealed)
    }
}

/// Makes the folders of a pipeline's day; those that are new are on disk then.
fn make_folders(disk: &Disk, pipeline: &PipelineId, day: Day) -> io::Result<()> {
    let own = disk.pipeline(pipeline);
    for (folder, above) in [
        (own.clone(), &disk.root),
        (disk.folder(pipeline, day), &own),
    ] {
        match DirBuilder::new().mode(FOLDER_MODE).create(&folder) {
            Ok(()) => sync_folder(above)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file that may be left over; the log says when that does not work.
pub(super) fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a file of the raw log could not be removed");
        }
        Ok(()) | Err(_) => {}
    }
}
