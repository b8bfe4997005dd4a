//! Sealed segments on their way to the object store and back.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use model::bronze::{BronzeError, Uploaded};
use model::id::PipelineId;
use tokio::sync::Mutex;

use super::archive::Archive;
use super::catalog::{Entry, SEALED, State, failed};
use super::read::verify;
use super::{BronzeLog, blocking};
use crate::files;

/// Folder of fetched segments; no pipeline has such a name.
const CACHE: &str = ".cache";

/// The object store, and what was fetched from it.
#[derive(Debug)]
pub(super) struct Remote {
    archive: Archive,
    folder: PathBuf,
    /// Most bytes of fetched segments that are kept, but for the last one.
    most: u64,
    /// One is fetched at a time, the oldest is dropped first: names and sizes.
    fetched: Mutex<VecDeque<(String, u64)>>,
    /// One upload at a time.
    uploads: Mutex<()>,
}

impl Remote {
    /// With an empty cache: what an earlier start fetched is dropped.
    pub(super) fn new(archive: Archive, root: &std::path::Path, most: u64) -> io::Result<Self> {
        let folder = root.join(CACHE);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        files::prepare(&folder, super::tail::FOLDER_MODE)?;
        Ok(Self {
            archive,
            folder,
            most,
            fetched: Mutex::default(),
            uploads: Mutex::default(),
        })
    }

    /// The file of a segment that is not here.
    pub(super) async fn fetch(
        &self,
        pipeline: &PipelineId,
        entry: &Entry,
    ) -> Result<File, BronzeError> {
        let name = cached(pipeline, entry);
        let path = self.folder.join(&name);
        let mut fetched = self.fetched.lock().await;
        if fetched.iter().any(|(known, _)| *known == name) {
            return File::open(&path).map_err(|e| failed("read", &path, &e));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|e| failed("make", &path, &e))?;
        let file = self.archive.get(&entry.key(pipeline), file).await;
        let file = file.inspect_err(|_| super::tail::remove(&path))?;
        let size = file.metadata().map_err(|e| failed("read", &path, &e))?;
        fetched.push_back((name, size.len()));
        while fetched.len() > 1 && fetched.iter().map(|(_, size)| size).sum::<u64>() > self.most {
            if let Some((oldest, _)) = fetched.pop_front() {
                super::tail::remove(&self.folder.join(oldest));
            }
        }
        Ok(file)
    }

    /// Removes a segment from the object store, and what was fetched of it.
    pub(super) async fn delete(
        &self,
        pipeline: &PipelineId,
        entry: &Entry,
    ) -> Result<(), BronzeError> {
        self.archive.delete(&entry.key(pipeline)).await?;
        let name = cached(pipeline, entry);
        self.fetched
            .lock()
            .await
            .retain(|(known, _)| *known != name);
        super::tail::remove(&self.folder.join(name));
        Ok(())
    }
}

/// What a fetched segment is called.
fn cached(pipeline: &PipelineId, entry: &Entry) -> String {
    format!("{pipeline}-{}", entry.name(SEALED))
}

/// Uploads what is sealed, oldest first. A segment that turns out to be damaged is put aside; where the store fails, the rest waits for the next time.
pub(super) async fn upload(log: BronzeLog, remote: Arc<Remote>) -> Result<Uploaded, BronzeError> {
    let _turn = remote.uploads.lock().await;
    let mut done = Uploaded::default();
    for pipeline in log.catalog.pipelines() {
        for entry in log.catalog.from(&pipeline, 0, usize::MAX) {
            if entry.state != State::Sealed {
                continue;
            }
            let path = log.disk.file(&pipeline, &entry);
            match one(&log, &remote, &pipeline, &entry).await {
                Ok(Some(bytes)) => {
                    done.segments = done.segments.saturating_add(1);
                    done.bytes = done.bytes.saturating_add(bytes);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a segment of the raw log could not be uploaded");
                    done.failed.push(format!("{}: {error}", path.display()));
                    return Ok(done);
                }
            }
        }
    }
    Ok(done)
}

/// Uploads one segment; its size. None: it was not to be.
async fn one(
    log: &BronzeLog,
    remote: &Remote,
    pipeline: &PipelineId,
    entry: &Entry,
) -> Result<Option<u64>, BronzeError> {
    let path = log.disk.file(pipeline, entry);
    let number = entry.number;
    let checked = blocking(move || {
        let file = match File::open(&path) {
            Ok(file) => file,
            // Removed or put aside since it was looked up.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path, &e)),
        };
        let again = file.try_clone().map_err(|e| failed("read", &path, &e))?;
        let found = verify(again, number).map_err(|e| failed("read", &path, &e))?;
        let size = file.metadata().map_err(|e| failed("read", &path, &e))?;
        Ok(Some((file, found, size.len())))
    });
    let Some((file, found, size)) = checked.await? else {
        return Ok(None);
    };
    let totals = match found {
        Ok(totals) => totals,
        Err(reason) => {
            log.report(pipeline, vec![(number, reason)]).await?;
            return Ok(None);
        }
    };
    remote.archive.put(&entry.key(pipeline), file).await?;
    let of = pipeline.clone();
    let noted = log.run(move |owner| owner.uploaded(&of, number, totals));
    if noted.await?? {
        return Ok(Some(size));
    }
    remote.delete(pipeline, entry).await?;
    Ok(None)
}
