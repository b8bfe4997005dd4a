//! Batches on disk for a sink that fails: those that wait for it, and those that it never took.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::data::{Batch, Encoding};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// What stands before each batch: encoding, count, length.
const HEAD: usize = 1 + 4 + 8;

/// Batches that wait, in order. The file has no name: it is gone with the run, however that ends.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    most: u64,
    file: Option<File>,
    read: u64,
    written: u64,
    /// It cannot be written: nothing more goes in.
    broken: bool,
}

impl Spill {
    /// `most` bytes of batches below this path, which is made when it is needed.
    pub(super) fn new(path: PathBuf, most: u64) -> Self {
        Self {
            path,
            most,
            file: None,
            read: 0,
            written: 0,
            broken: false,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        !self.broken && self.written < self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read == self.written
    }

    /// Adds a batch, or gives it back where it cannot be written.
    pub(super) async fn put(&mut self, batch: Batch) -> Result<(), (Batch, String)> {
        let done = self.write(&batch).await;
        done.map_err(|error| {
            self.broken = true;
            (batch, format!("{}: {error}", self.path.display()))
        })
    }

    async fn write(&mut self, batch: &Batch) -> std::io::Result<()> {
        let at = SeekFrom::Start(self.written);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(unnamed(&self.path).await?),
        };
        file.seek(at).await?;
        let length = batch.data.len() as u64;
        let encoding = u8::from(batch.encoding == Encoding::ArrowIpc);
        file.write_u8(encoding).await?;
        file.write_u32(batch.count).await?;
        file.write_u64(length).await?;
        file.write_all(&batch.data).await?;
        file.flush().await?;
        self.written += HEAD as u64 + length;
        Ok(())
    }

    /// The oldest batch.
    pub(super) async fn take(&mut self) -> Result<Option<Batch>, String> {
        if self.is_empty() {
            return Ok(None);
        }
        let taken = self.read_next().await;
        taken.map_err(|error| format!("{}: {error}", self.path.display()))
    }

    async fn read_next(&mut self) -> std::io::Result<Option<Batch>> {
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(self.read)).await?;
        let encoding = match file.read_u8().await? {
            0 => Encoding::Ndjson,
            _ => Encoding::ArrowIpc,
        };
        let count = file.read_u32().await?;
        let length = file.read_u64().await?;
        let mut data = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact(&mut data).await?;
        self.read += HEAD as u64 + length;
        if self.read == self.written {
            file.set_len(0).await?;
            (self.read, self.written) = (0, 0);
        }
        Ok(Some(Batch {
            encoding,
            count,
            data: Bytes::from(data),
        }))
    }
}

/// A file that has no name any more.
async fn unnamed(path: &Path) -> std::io::Result<File> {
    make_folder(path).await?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let file = options.open(path).await?;
    tokio::fs::remove_file(path).await?;
    Ok(file)
}

async fn make_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => tokio::fs::create_dir_all(folder).await,
        None => Ok(()),
    }
}

/// The records that a sink never took, as lines in a file that stays.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) path: PathBuf,
    most: u64,
    written: u64,
    file: Option<File>,
    closed: bool,
}

impl Undelivered {
    pub(super) fn new(path: PathBuf, most: u64) -> Self {
        Self {
            path,
            most,
            written: 0,
            file: None,
            closed: false,
        }
    }

    /// Keeps lines; were they kept? After the first that were not, no others are.
    ///
    /// # Errors
    /// A sentence, once: they cannot be written, or are more than may be kept.
    pub(super) async fn keep(&mut self, lines: &Batch) -> Result<bool, String> {
        if self.closed {
            return Ok(false);
        }
        let kept = self.add(lines).await;
        self.closed = kept.is_err();
        kept.map(|()| true)
    }

    async fn add(&mut self, lines: &Batch) -> Result<(), String> {
        let length = lines.data.len() as u64;
        let path = self.path.display();
        if self.written.saturating_add(length) > self.most {
            return Err(format!(
                "{path} would have more than {} bytes (limits.spill_bytes)",
                self.most
            ));
        }
        let done = self.write(&lines.data).await;
        done.map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.written += length;
        Ok(())
    }

    async fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                make_folder(&self.path).await?;
                none.insert(File::create(&self.path).await?)
            }
        };
        file.write_all(data).await?;
        file.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_spilled_comes_back_in_order_and_within_bounds() {
        let folder = std::env::temp_dir().join(format!("weir-spill-{}", std::process::id()));
        let mut spill = Spill::new(folder.join("a/spill"), 40);
        let batch = |n: u32| Batch {
            encoding: Encoding::Ndjson,
            count: n,
            data: Bytes::from(format!("{n}\n")),
        };
        for round in 0..2 {
            for n in 1..=3 {
                assert!(spill.has_room(), "{round} {n}");
                spill.put(batch(n)).await.unwrap();
            }
            assert!(!spill.has_room());
            for n in 1..=3 {
                assert_eq!(spill.take().await, Ok(Some(batch(n))));
            }
            assert_eq!(spill.take().await, Ok(None));
        }
        assert_eq!(std::fs::read_dir(folder.join("a")).unwrap().count(), 0);
        let mut kept = Undelivered::new(folder.join("b/x.ndjson"), 4);
        kept.keep(&batch(1)).await.unwrap();
        kept.keep(&batch(2)).await.unwrap();
        assert!(
            kept.keep(&batch(3))
                .await
                .unwrap_err()
                .contains("more than 4")
        );
        assert_eq!(kept.keep(&batch(4)).await, Ok(false));
        assert_eq!(std::fs::read(&kept.path).unwrap(), b"1\n2\n");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
