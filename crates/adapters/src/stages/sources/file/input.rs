//! The bytes of a file, decompressed, with how many were read of it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use model::stage::Progress;

use crate::stages::format::Compression;

/// How much is read of a compressed file at once.
const BLOCK: usize = 64 << 10;

/// A file that is being read.
pub(super) struct Input {
    bytes: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    compression: Compression,
}

impl Input {
    /// From its beginning.
    pub(super) fn open(
        path: &Path,
        compression: Compression,
        progress: Arc<Progress>,
    ) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut start = Vec::with_capacity(4);
        Read::by_ref(&mut file).take(4).read_to_end(&mut start)?;
        file.seek(SeekFrom::Start(0))?;
        let compression = match compression {
            Compression::Auto => Compression::of_bytes(&start),
            named => named,
        };
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            file,
            read: read.clone(),
            progress,
        };
        let bytes: Box<dyn Read + Send> = match compression {
            Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(
                BLOCK, counted,
            ))),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(
                BLOCK, counted,
            ))?),
            Compression::None | Compression::Auto => Box::new(counted),
        };
        Ok(Self {
            bytes,
            read,
            compression,
        })
    }

    /// From a place in a file that is not compressed.
    pub(super) fn open_at(path: &Path, offset: u64, progress: Arc<Progress>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let has = file.metadata()?.len();
        if has < offset {
            return Err(io::Error::other(format!(
                "it has {has} bytes, and {offset} were read of it before: it is another file now; to read it from its beginning, forget where the last run ended"
            )));
        }
        file.seek(SeekFrom::Start(offset))?;
        progress.advance(offset);
        let read = Arc::new(AtomicU64::new(offset));
        Ok(Self {
            bytes: Box::new(Counted {
                file,
                read: read.clone(),
                progress,
            }),
            read,
            compression: Compression::None,
        })
    }

    /// Never `Auto`.
    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes read of the file, as it is on disk.
    pub(super) fn read_of_file(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Appends at most `most` bytes; none is the end. What came before an error is appended.
    pub(super) fn append(&mut self, to: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        self.bytes.by_ref().take(most).read_to_end(to)
    }
}

/// A file whose bytes are counted.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
    progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let came = self.file.read(to)?;
        let bytes = u64::try_from(came).unwrap_or(0);
        self.read.fetch_add(bytes, Ordering::Relaxed);
        self.progress.advance(bytes);
        Ok(came)
    }
}
