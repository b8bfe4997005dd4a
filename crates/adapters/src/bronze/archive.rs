//! Where sealed segments are uploaded to: a folder, or a bucket that speaks S3. Objects lie as files do: `<pipeline>/<day>/<number>.bronze`. What they hold is not looked at.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use model::bronze::BronzeError;
use model::ports::Egress;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, WriteMultipart};

use super::{blocking, tail};
use crate::files;

pub use s3::S3;

mod s3;

/// Bytes of a part of an upload; each but the last has to have at least 5 MiB.
const PART: usize = 8 << 20;
/// Parts of an upload that are under way.
const PARTS: usize = 2;

/// An object store, as far as the log needs one.
#[derive(Clone)]
pub struct Archive(Place);

#[derive(Clone)]
enum Place {
    Folder(PathBuf),
    Bucket { store: Arc<AmazonS3>, prefix: Key },
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Folder(folder) => write!(f, "Archive({})", folder.display()),
            Place::Bucket { store, prefix } => write!(f, "Archive({store}/{prefix})"),
        }
    }
}

impl Archive {
    /// A folder of this machine, or one that is mounted. It is made when it is first written to.
    #[must_use]
    pub fn folder(folder: PathBuf) -> Self {
        Self(Place::Folder(folder))
    }

    /// A bucket. Nothing is sent yet.
    ///
    /// # Errors
    /// [`BronzeError::Invalid`]: options that do not fit together.
    pub fn s3(options: &S3, egress: &dyn Egress) -> Result<Self, BronzeError> {
        Ok(Self(Place::Bucket {
            store: Arc::new(s3::open(options, egress)?),
            prefix: Key::parse(options.prefix.trim_matches('/'))
                .map_err(|e| BronzeError::Invalid(format!("the prefix of a bucket: {e}")))?,
        }))
    }

    /// Copies a file there; all of it is there for good when this answers, or nothing that a reader sees.
    pub(super) async fn put(&self, key: &str, file: File) -> Result<(), BronzeError> {
        match &self.0 {
            Place::Folder(folder) => {
                let path = folder.join(key);
                blocking(move || copy(&path, file).map_err(|e| refused("write", &path, &e))).await
            }
            Place::Bucket { store, prefix } => {
                let key = below(prefix, key);
                let sent = send(store, &key, file).await;
                sent.map_err(|e| failed("upload", &key, &e))
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
            Place::Bucket { store, prefix } => {
                let key = below(prefix, key);
                let fetched = fetch(store, &key, file).await;
                fetched.map_err(|e| failed("fetch", &key, &e))
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
            Place::Bucket { store, prefix } => {
                let key = below(prefix, key);
                match store.delete(&key).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(e) => Err(failed("remove", &key, &e)),
                }
            }
        }
    }
}

fn below(prefix: &Key, key: &str) -> Key {
    Key::from_iter(prefix.parts().chain(Key::from(key).parts()))
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

/// Uploads a file in parts, of which few are in memory.
async fn send(store: &AmazonS3, key: &Key, file: File) -> object_store::Result<()> {
    let mut file = file;
    let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(key).await?, PART);
    let broken = |e: BronzeError| object_store::Error::Generic {
        store: "bronze",
        source: e.into(),
    };
    loop {
        let part = blocking(move || {
            let mut part = Vec::with_capacity(PART);
            (&mut file)
                .take(PART as u64)
                .read_to_end(&mut part)
                .map_err(|e| BronzeError::Unavailable(format!("cannot read it: {e}")))?;
            Ok((file, part))
        });
        let part = match part.await {
            Ok((rest, part)) => {
                file = rest;
                part
            }
            Err(e) => {
                upload.abort().await?;
                return Err(broken(e));
            }
        };
        if part.is_empty() {
            break;
        }
        upload.wait_for_capacity(PARTS).await?;
        upload.put(part.into());
    }
    upload.finish().await.map(|_| ())
}

async fn fetch(store: &AmazonS3, key: &Key, file: File) -> object_store::Result<File> {
    use tokio::io::{AsyncSeekExt, AsyncWriteExt};
    let broken = |e: io::Error| object_store::Error::Generic {
        store: "bronze",
        source: e.into(),
    };
    let mut file = tokio::fs::File::from_std(file);
    let mut body = store.get(key).await?.into_stream();
    while let Some(piece) = body.next().await {
        file.write_all(&piece?).await.map_err(broken)?;
    }
    file.flush().await.map_err(broken)?;
    file.seek(SeekFrom::Start(0)).await.map_err(broken)?;
    Ok(file.into_std().await)
}

fn refused(what: &str, path: &Path, error: &io::Error) -> BronzeError {
    BronzeError::Unavailable(format!("cannot {what} {}: {error}", path.display()))
}

fn failed(what: &str, key: &Key, error: &object_store::Error) -> BronzeError {
    BronzeError::Unavailable(format!("cannot {what} the object {key}: {error}"))
}
