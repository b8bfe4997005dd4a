//! Reading and writing small files safely: no links followed, sizes capped, writes in one step. Which files is the caller's business.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use model::BoxFuture;
use model::ports::StoreError;
use rustix::fs::{Mode, OFlags};

/// How temporary files begin: with a dot, so that no watcher and no listing takes them for plugins.
const TEMP_PREFIX: &str = ".weir-";
const TEMP_SUFFIX: &str = ".tmp";

/// Says what was tried.
pub(crate) fn failed(
    what: impl Into<String>,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError {
        what: what.into(),
        source: Arc::new(source),
    }
}

/// Runs file work on the blocking pool.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(async move {
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|e| Err(failed("cannot finish a file operation", e)))
    })
}

/// Reads a regular file of at most `max_bytes`; none if there is no such file.
///
/// A symbolic link is an error, so that nothing outside the folder can be read through it; so is a file that changes meanwhile,
/// since it would be read half-written.
pub(crate) fn read(folder: &Path, name: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    // NONBLOCK: opening a pipe must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match rustix::fs::open(folder.join(name), flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => {
            return Err(io::Error::other(
                "it is a symbolic link; put the file itself into the folder",
            ));
        }
        Err(e) => return Err(e.into()),
    };
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let too_big = |size: u64| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has {size} bytes; at most {max_bytes} are allowed"),
        )
    };
    if before.len() > max_bytes {
        return Err(too_big(before.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
    let read = (&mut file)
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)? as u64;
    if read > max_bytes {
        return Err(too_big(read));
    }
    let after = file.metadata()?;
    if read != after.len() || before.modified()? != after.modified()? {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "it is being written just now",
        ));
    }
    Ok(Some(bytes))
}

/// Puts a file into a folder in one step: written beside its place under a dot-name, synced, renamed, the folder synced.
/// Readers see the old file or the new one, also after a crash.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut temp = tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .suffix(TEMP_SUFFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    temp.write_all(bytes)?;
    temp.as_file().sync_all()?;
    temp.persist(folder.join(name)).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// Removes a file; was it there?
pub(crate) fn remove(folder: &Path, name: &str) -> io::Result<bool> {
    match std::fs::remove_file(folder.join(name)) {
        Ok(()) => sync_folder(folder).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Makes a folder with this mode if it is not there, and clears what writes that a crash cut short have left in it.
pub(crate) fn prepare(folder: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let left_over = name
            .to_str()
            .is_some_and(|n| n.starts_with(TEMP_PREFIX) && n.ends_with(TEMP_SUFFIX));
        if left_over {
            remove_left_over(&folder.join(name));
        }
    }
    Ok(())
}

/// Makes a file with this mode if it is not there. SQLite makes its files with the mode of the first one.
pub(crate) fn make_private(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(mode);
    options.open(path).map(drop)
}

fn remove_left_over(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a left-over temporary file could not be removed");
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
