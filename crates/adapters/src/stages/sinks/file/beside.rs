//! What a run has on disk while it writes: folders that it made for its files, and a folder beside their place where they are written. Files that a run left there because it was killed
//! are removed by the next one that writes to the same place. What is written, and when it is put in place, is decided elsewhere.
//!
//! Who writes holds an advisory lock (`flock`) on the folder, which ends with the process whatever ends it: a folder whose lock can be had is nobody's any more. On a file system without
//! such locks nothing is removed.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempDir};

/// The names of such folders.
const PREFIX: &str = ".weir-";
const SUFFIX: &str = ".tmp";
/// Tries to have a folder, should others take it for left behind before it is locked.
const TRIES: u32 = 16;

/// Folders for the files of one sink.
#[derive(Debug)]
pub(super) struct Beside {
    /// Where all its files go, or below.
    base: PathBuf,
    drafts: Drafts,
    /// Dropped after those, which may lie in them.
    made: Made,
}

/// The folders with files that are being written: one for each file system, and that is one as a rule, as a file can be put in place only within its own. None: they are
/// discarded, and there will be no others.
#[derive(Debug, Clone)]
struct Drafts(Arc<Mutex<Option<Vec<Folder>>>>);

/// Discards what is not in its place when it is dropped, also while a call that writes has not come to its end: whoever drops it may end the process right after.
#[derive(Debug)]
pub(super) struct Discard(Drafts);

impl Drop for Discard {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Drafts {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Folder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder with files that are being written, locked.
#[derive(Debug)]
struct Folder {
    device: u64,
    /// Removed first, then unlocked.
    folder: TempDir,
    _lock: File,
}

/// Folders that were made for files. Those that are empty at the end are removed.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // One that holds something stays.
            if let Err(error) = std::fs::remove_dir(folder) {
                tracing::debug!(folder = %folder.display(), %error, "folder made for a file is kept");
            }
        }
    }
}

impl Beside {
    /// Nothing is on disk yet.
    pub(super) fn new(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            drafts: Drafts(Arc::new(Mutex::new(Some(Vec::new())))),
            made: Made::default(),
        }
    }

    /// For who may drop this before a call that writes is over.
    pub(super) fn discard(&self) -> Discard {
        Discard(self.drafts.clone())
    }

    /// A new file that can be put into this folder, which is made if it is not there.
    pub(super) fn file_for(&mut self, folder: &Path) -> io::Result<NamedTempFile> {
        let mut drafts = self.drafts.lock();
        let discarded = || io::Error::other("it was ended");
        let drafts = drafts.as_mut().ok_or_else(discarded)?;
        self.made.make(&self.base)?;
        self.made.make(folder)?;
        let device = folder.metadata()?.dev();
        let known = drafts.iter().position(|d| d.device == device);
        let at = match known {
            Some(at) => at,
            None => {
                let base = self.base.metadata()?.dev() == device;
                let home = if base { &self.base } else { folder };
                drafts.push(Folder::begin(home)?);
                drafts.len().saturating_sub(1)
            }
        };
        let drafts = drafts.get(at).ok_or(io::ErrorKind::NotFound)?;
        tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            // As any new file: the rights that the process gives.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(drafts.folder.path())
    }

    /// All files are in their places.
    pub(super) fn end(&mut self) {
        if let Some(drafts) = self.drafts.lock().as_mut() {
            drafts.clear();
        }
    }
}

impl Folder {
    /// A new one in this folder, once those that nobody writes to any more are gone.
    fn begin(home: &Path) -> io::Result<Self> {
        sweep(home);
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .suffix(SUFFIX)
                .tempdir_in(home)?;
            // Between these, another one may have taken it for left behind.
            let lock = match File::open(folder.path()) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let taken = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            let (opened, there) = (lock.metadata()?, folder.path().metadata());
            if !taken && there.is_ok_and(|m| m.ino() == opened.ino()) {
                return Ok(Self {
                    device: opened.dev(),
                    folder,
                    _lock: lock,
                });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// Removes what runs that were killed left in this folder. What cannot be removed stays: it is in nobody's way.
pub(super) fn sweep(home: &Path) {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|n| n.starts_with(PREFIX) && n.ends_with(SUFFIX));
        if !ours || !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(folder = %path.display(), "removed what a run left that was killed");
                }
                Err(error) => {
                    tracing::debug!(folder = %path.display(), %error, "what a run left is kept");
                }
            }
        }
    }
}

impl Made {
    /// Makes a folder and those above it that are not there.
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        let missing: Vec<_> = folder.ancestors().take_while(|f| !f.exists()).collect();
        for folder in missing.into_iter().rev() {
            match DirBuilder::new().create(folder) {
                Ok(()) => self.0.push(folder.to_owned()),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let left = home.join(".weir-killed.tmp");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(".weir-part.tmp"), "half").unwrap();
        let mut kept = vec![".weir-file.tmp", ".weir-other", "mine", "weir-x.tmp"];
        std::fs::write(home.join(".weir-file.tmp"), "a file").unwrap();
        for other in &kept[1..] {
            std::fs::create_dir(home.join(other)).unwrap();
        }
        let mut first = Beside::new(home);
        drop(first.file_for(home).unwrap());
        let locked = first.drafts.lock().as_ref().unwrap()[0]
            .folder
            .path()
            .to_owned();
        let locked = locked.file_name().unwrap().to_str().unwrap();
        // Another run, at the same time.
        let mut second = Beside::new(home);
        drop(second.file_for(home).unwrap());
        second.end();
        kept.push(locked);
        kept.sort_unstable();
        assert_eq!(names(home), kept);
        drop(first.discard());
        kept.retain(|n| *n != locked);
        assert_eq!(names(home), kept);
        assert!(first.file_for(home).is_err());
        assert_eq!(names(home), kept);
    }

    #[test]
    fn runs_that_begin_at_the_same_time_leave_each_other_alone() {
        let home = tempfile::tempdir().unwrap();
        let begin = || {
            for _ in 0..200 {
                Folder::begin(home.path()).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(begin);
            }
        });
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn folders_that_were_made_go_if_they_are_empty() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().join("a/b");
        let mut beside = Beside::new(&base);
        let file = beside.file_for(&base.join("x=1")).unwrap();
        let other = beside.file_for(&base.join("x=2")).unwrap();
        file.persist(base.join("x=1/whole")).unwrap();
        drop(other);
        beside.end();
        assert_eq!(names(&base), ["x=1", "x=2"]);
        drop(beside);
        assert_eq!(names(&base), ["x=1"]);
    }
}
