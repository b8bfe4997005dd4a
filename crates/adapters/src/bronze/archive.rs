//! Where sealed segments are uploaded to: a folder. Objects lie as files do: `<pipeline>/<day>/<number>.bronze`. What they hold is not looked at.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use model::bronze::BronzeError;

use super::{blocking, tail};
use crate::files;

/// An object store, as far as the log needs one.
#[derive(Clone)]
pub struct Archive(Place);

#[derive(Clone)]
enum Place {
    Folder(PathBuf),
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Folder(folder) => write!(f, "Archive({})", folder.display()),
        }
    }
}

impl Archive {
    /// A folder of this machine, or one that is mounted. It is made when it is first written to.
    #[must_use]
    pub fn folder(folder: PathBuf) -> Self {
        Self(Place::Folder(folder))
    }

    /// Copies a file there; all of it is there for good when this answers, or nothing that a reader sees.
    pub(super) async fn put(&self, key: &str, file: File) -> Result<(), BronzeError> {
        match &self.0 {
            Place::Folder(folder) => {
                let path = folder.join(key);
                blocking(move || copy(&path, file).map_err(|e| refused("write", &path, &e))).await
            }
        }
    }

    /// Writes an object into an empty file.
    pub(super) async fn get(&self, key: &str, file: File) -> Result<File, BronzeError> {
        match &self.0 {
            Place::Folder(folder) => {
                let path = folder.join(key);
                blocking(move || {
                    let mut file = file;
                    File::open(&path)
                        .and_then(|mut from| io::copy(&mut from, &mut file))
                        .and_then(|_| file.seek(SeekFrom::Start(0)))
                        .map(|_| file)
                        .map_err(|e| refused("read", &path, &e))
                })
                .await
            }
        }
    }

    /// Removes an object. One that is not there is removed.
    pub(super) async fn delete(&self, key: &str) -> Result<(), BronzeError> {
        match &self.0 {
            Place::Folder(folder) => {
                let path = folder.join(key);
                blocking(move || match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        Err(refused("remove", &path, &e))
                    }
                    Ok(()) | Err(_) => Ok(()),
                })
                .await
            }
        }
    }
}

/// Copies a file in one step, into folders that are made where they are missing.
fn copy(path: &Path, mut file: File) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let missing: Vec<&Path> = folder.ancestors().take_while(|f| !f.exists()).collect();
    files::prepare(folder, tail::FOLDER_MODE)?;
    for made in missing.into_iter().filter_map(Path::parent) {
        // An empty path is the working folder.
        if !made.as_os_str().is_empty() {
            tail::sync_folder(made)?;
        }
    }
    let mut temp = tempfile::Builder::new()
        .prefix(".weir-")
        .suffix(".tmp")
        .tempfile_in(folder)?;
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut file, &mut temp)?;
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|e| e.error)?;
    tail::sync_folder(folder)
}

fn refused(what: &str, path: &Path, error: &io::Error) -> BronzeError {
    BronzeError::Unavailable(format!("cannot {what} {}: {error}", path.display()))
}
