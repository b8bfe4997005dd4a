//! The log of raw records: `model::bronze::Bronze` over files, one log for each pipeline. When to seal, upload and sweep is the engine's business.
//!
//! # Files
//! `<folder>/<pipeline>/<YYYY-MM-DD>/<number>.<end>`. A number has at least 16 decimal digits and grows within a pipeline; it begins near the time in milliseconds. Ends:
//! `open` (appended to), `bronze` (sealed), `quarantined` (damaged; `reason` beside it says how), `uploaded` (the footer of a segment that lies in the object store: with
//! `bronze` beside it, also here). Only one process uses a folder: it holds a lock on `.lock`.
//!
//! A segment is a header, frames, and a footer once it is closed. Numbers are little endian; a sum is XXH64.
//!
//! | header | bytes | frame | bytes | footer | bytes |
//! |---|---|---|---|---|---|
//! | `weirbrnz` | 8 | `b7` `frm` | 4 | `b7` `end` | 4 |
//! | version, 1 | 4 | bytes of the body | 4 | number of frames | 4 |
//! | 0 | 4 | bytes of the records in it | 4 | records | 8 |
//! | number | 8 | number of records | 4 | bytes of payloads | 8 |
//! | sum of these | 8 | bytes of payloads | 8 | earliest received, ms | 8 |
//! | | | earliest received, ms | 8 | latest received, ms | 8 |
//! | | | latest received, ms | 8 | where the last frame begins | 4 |
//! | | | sum of the body | 8 | last record in it, from 0 | 4 |
//! | | | sum of these, the head | 8 | where the footer begins | 8 |
//! | | | body: one Zstandard frame | any | chain | 8 |
//! | | | sum of the head again | 8 | sum of these | 8 |
//!
//! Seeds: 0 for a header and a record; the segment's number for body, head and footer. The chain is, for one frame after the other, the sum of the head's sum, with the
//! chain so far as its seed and 0 at the beginning. A record, one after the other in a body:
//!
//! | record | bytes |
//! |---|---|
//! | bytes of the record after this number | 4 |
//! | received, ms since 1970 UTC | 8 |
//! | SHA-256 of the payload | 32 |
//! | number of headers | 2 |
//! | for each: bytes of the name (2), bytes of the value (4), name in UTF-8, value | any |
//! | bytes of the payload | 4 |
//! | payload | any |
//! | sum of these | 8 |
//!
//! Behind the last frame of an open segment may be zeros: room that was taken ahead. Or a footer, when it was closed in order; the next frame takes its place.
//!
//! # What a crash leaves
//! A frame whose end is missing and after which only zeros come is torn: it was never acknowledged. At the start it is cut off, and whole records of it are kept as far as
//! its blocks decompress, in a frame at the same place. Anything else that is no frame is damage: the segment is put aside under `quarantined`, and so is any segment that
//! turns out to be damaged when it is read or uploaded. It is still read: what is damaged is passed over and named on each page, and all other records keep their positions.
//! A record that a page holds passed the sum of its frame and its own; out of a damaged frame, its SHA-256 too.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use model::BoxFuture;
use model::bronze::{
    Bronze, BronzeError, Page, Position, RawRecord, Reading, Retention, Segment, Swept, Uploaded,
};
use model::id::PipelineId;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::files;
use catalog::{Catalog, Disk, failed};
use day::Day;
use owner::{Append, Owner, Work};
use read::{Outcome, Pages};
use record::encode;
use upload::Remote;

pub use archive::{Archive, S3};

mod archive;
mod catalog;
pub(crate) mod day;
mod frame;
mod owner;
mod read;
mod record;
mod repair;
mod sweep;
mod tail;
mod upload;
mod walk;

/// Records of which more bytes than this wait to be encoded are not hashed on an async thread.
const SMALL: usize = 64 * 1024;
/// The queue is counted in these.
const KIB: usize = 1024;

/// Bounds of the log.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most bytes of a record, headers included; at most 256 MiB.
    pub record_bytes: usize,
    /// A segment of this size is sealed; at most 1 GiB.
    pub segment_bytes: u64,
    /// Appends that may wait for the disk; further ones wait for a place.
    pub queue: usize,
    /// Bytes of the records that wait for the disk; not less than [`Options::record_bytes`].
    pub queue_bytes: usize,
    /// Files of open segments that are held open.
    pub open_files: usize,
    /// Zstandard's level.
    pub level: i32,
    /// Bytes of segments that are kept after they were fetched from the object store; the last one is, however large.
    pub cache_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            record_bytes: 32 << 20,
            segment_bytes: 64 << 20,
            queue: 4096,
            queue_bytes: 128 << 20,
            open_files: 256,
            level: 1,
            cache_bytes: 256 << 20,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), BronzeError> {
        let wrong = |text: String| Err(BronzeError::Invalid(text));
        if !(1..=256 << 20).contains(&self.record_bytes) {
            return wrong(format!(
                "record_bytes = {}; 1 to {} are allowed",
                self.record_bytes,
                256 << 20
            ));
        }
        if !(1..=1 << 30).contains(&self.segment_bytes) {
            return wrong(format!(
                "segment_bytes = {}; 1 to {} are allowed",
                self.segment_bytes,
                1 << 30
            ));
        }
        if !(self.record_bytes..=1 << 30).contains(&self.queue_bytes) {
            return wrong(format!(
                "queue_bytes = {}; {} (record_bytes) to {} are allowed",
                self.queue_bytes,
                self.record_bytes,
                1 << 30
            ));
        }
        Ok(())
    }
}

/// The log in a folder. Clones share it; its thread ends with the last one, after all that waits was done.
#[derive(Debug, Clone)]
pub struct BronzeLog {
    work: mpsc::Sender<Work>,
    /// Room in the queue, in KiB.
    room: Arc<Semaphore>,
    disk: Disk,
    catalog: Arc<Catalog>,
    options: Options,
    remote: Option<Arc<Remote>>,
}

impl BronzeLog {
    /// Opens the log, making its folder if it is not there. What was open is checked, and mended where a crash left it torn. Without an
    /// archive nothing is uploaded. Not for async threads.
    ///
    /// # Errors
    /// [`BronzeError`] with the path, when the folder cannot be used: no rights, another process has it. A damaged segment is no error.
    pub fn open(
        folder: &Path,
        options: Options,
        archive: Option<Archive>,
    ) -> Result<Self, BronzeError> {
        options.check()?;
        let unusable = |e: std::io::Error| failed("use", folder, &e);
        files::prepare(folder, tail::FOLDER_MODE).map_err(unusable)?;
        let lock = lock(folder)?;
        let disk = Disk {
            root: folder.to_owned(),
        };
        let catalog = Arc::new(Catalog::new(disk.list().map_err(unusable)?));
        let owner = Owner::start(disk.clone(), Arc::clone(&catalog), options)?;
        let remote = archive
            .map(|archive| Remote::new(archive, folder, options.cache_bytes))
            .transpose()
            .map_err(unusable)?;
        let (work, queue) = mpsc::channel(options.queue.max(1));
        std::thread::Builder::new()
            .name("weir-bronze".into())
            .spawn(move || {
                owner.run(queue);
                drop(lock);
            })
            .map_err(unusable)?;
        Ok(Self {
            work,
            room: Arc::new(Semaphore::new(options.queue_bytes.div_ceil(KIB))),
            disk,
            catalog,
            options,
            remote: remote.map(Arc::new),
        })
    }

    /// Hands work to the owner thread and waits for what comes of it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Owner) -> T + Send + 'static,
    ) -> Result<T, BronzeError> {
        let (reply, answer) = oneshot::channel();
        let job = Work::Do(Box::new(move |owner| drop(reply.send(work(owner)))));
        self.work.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    async fn append(
        self,
        pipeline: PipelineId,
        records: Vec<RawRecord>,
    ) -> Result<Position, BronzeError> {
        let (size, day) = self.check(&records)?;
        let kib = size.div_ceil(KIB).max(1);
        let kib = u32::try_from(kib).map_err(|_| gone())?;
        let room = Arc::clone(&self.room)
            .acquire_many_owned(kib)
            .await
            .map_err(|_| gone())?;
        let encode_all = move || records.iter().map(encode).collect::<Result<Vec<_>, _>>();
        let records = if size <= SMALL {
            encode_all()?
        } else {
            blocking(encode_all).await?
        };
        let (reply, answer) = oneshot::channel();
        let append = Append {
            pipeline,
            day,
            records,
            reply,
            room,
        };
        let sent = self.work.send(Work::Append(append)).await;
        sent.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Bytes of all records, and the day of the first.
    fn check(&self, records: &[RawRecord]) -> Result<(usize, Day), BronzeError> {
        let first = records
            .first()
            .ok_or_else(|| BronzeError::Invalid("no records were given".into()))?;
        let limit = self.options.record_bytes;
        let mut all = 0;
        for record in records {
            let bytes = record::size(record);
            if bytes > limit {
                return Err(BronzeError::TooLarge {
                    bytes: bytes as u64,
                    limit: limit as u64,
                });
            }
            Day::of(record.received_ms)?;
            all += bytes;
        }
        if all > self.options.queue_bytes {
            return Err(BronzeError::Invalid(format!(
                "records of {all} bytes were given at once; at most {} are allowed",
                self.options.queue_bytes
            )));
        }
        Ok((all, Day::of(first.received_ms)?))
    }

    async fn read(self, pipeline: PipelineId, mut reading: Reading) -> Result<Page, BronzeError> {
        let mut fetched = None;
        loop {
            let (log, of) = (self.clone(), pipeline.clone());
            let outcome =
                blocking(move || Pages::new(&log.disk, &log.catalog, &of, reading)?.fill(fetched));
            match outcome.await? {
                Outcome::Page(page, broken) => {
                    self.report(&pipeline, broken).await?;
                    return Ok(page);
                }
                Outcome::Fetch(entry, after) => {
                    reading.after = after;
                    let remote = self.remote.as_ref().ok_or_else(|| {
                        BronzeError::Unavailable(format!(
                            "segment {} of {pipeline} lies in an object store, and none is configured",
                            entry.number
                        ))
                    })?;
                    let file = remote.fetch(&pipeline, &entry).await?;
                    fetched = Some((entry.number, file));
                }
            }
        }
    }

    async fn sweep(self, pipeline: PipelineId, retention: Retention) -> Result<Swept, BronzeError> {
        let of = pipeline.clone();
        let mut plan = self
            .run(move |owner| sweep::plan(owner, &of, &retention))
            .await?;
        let mut stays = None;
        for entry in plan.segments.iter().filter(|e| e.is_uploaded()) {
            // What cannot be removed there is not forgotten here.
            let removed = match &self.remote {
                Some(remote) => remote.delete(&pipeline, entry).await,
                None => Err(BronzeError::Unavailable(format!(
                    "segment {} of {pipeline} lies in an object store, and none is configured",
                    entry.number
                ))),
            };
            if let Err(error) = removed {
                stays = Some((entry.number, error));
                break;
            }
        }
        if let Some((number, _)) = &stays {
            plan.segments.retain(|e| e.number < *number);
        }
        let swept = self
            .run(move |owner| sweep::carry_out(owner, &pipeline, plan, retention.now_ms))
            .await??;
        stays.map_or(Ok(swept), |(_, error)| Err(error))
    }

    /// Puts segments aside that turned out to be damaged.
    async fn report(
        &self,
        pipeline: &PipelineId,
        broken: Vec<(u64, String)>,
    ) -> Result<(), BronzeError> {
        if broken.is_empty() {
            return Ok(());
        }
        let pipeline = pipeline.clone();
        self.run(move |owner| {
            for (number, reason) in broken {
                owner.quarantine(&pipeline, number, &reason);
            }
        })
        .await
    }

    async fn list(self, pipeline: Option<PipelineId>) -> Result<Vec<Segment>, BronzeError> {
        blocking(move || {
            let pipelines = pipeline.map_or_else(|| self.catalog.pipelines(), |p| vec![p]);
            let mut all = Vec::new();
            for pipeline in pipelines {
                for entry in self.catalog.from(&pipeline, 0, usize::MAX) {
                    all.push(catalog::show(&self.disk, &pipeline, &entry)?);
                }
            }
            Ok(all)
        })
        .await
    }
}

impl Bronze for BronzeLog {
    fn append(
        &self,
        pipeline: PipelineId,
        records: Vec<RawRecord>,
    ) -> BoxFuture<'static, Result<Position, BronzeError>> {
        Box::pin(self.clone().append(pipeline, records))
    }

    fn read(
        &self,
        pipeline: PipelineId,
        reading: Reading,
    ) -> BoxFuture<'static, Result<Page, BronzeError>> {
        Box::pin(self.clone().read(pipeline, reading))
    }

    fn segments(
        &self,
        pipeline: Option<PipelineId>,
    ) -> BoxFuture<'static, Result<Vec<Segment>, BronzeError>> {
        Box::pin(self.clone().list(pipeline))
    }

    fn seal(&self, now_ms: u64) -> BoxFuture<'static, Result<u64, BronzeError>> {
        let log = self.clone();
        Box::pin(async move {
            let day = Day::of(now_ms)?;
            log.run(move |owner| owner.seal_before(day)).await?
        })
    }

    fn upload(&self) -> BoxFuture<'static, Result<Uploaded, BronzeError>> {
        let (log, remote) = (self.clone(), self.remote.clone());
        Box::pin(async move {
            match remote {
                Some(remote) => upload::upload(log, remote).await,
                None => Ok(Uploaded::default()),
            }
        })
    }

    fn sweep(
        &self,
        pipeline: PipelineId,
        retention: Retention,
    ) -> BoxFuture<'static, Result<Swept, BronzeError>> {
        Box::pin(self.clone().sweep(pipeline, retention))
    }
}

/// Keeps other processes out of the folder for as long as it is held.
fn lock(folder: &Path) -> Result<File, BronzeError> {
    use rustix::fs::{FlockOperation, flock};
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(".lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(tail::FILE_MODE)
        .open(&path)
        .map_err(|e| failed("open", &path, &e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BronzeError::Unavailable(format!(
            "another process uses the raw log in {}",
            folder.display()
        ))),
        Err(e) => Err(failed("lock", &path, &e.into())),
    }
}

/// Runs work on files, or that takes long, off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BronzeError> + Send + 'static,
) -> Result<T, BronzeError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(gone()))
}

fn gone() -> BronzeError {
    BronzeError::Unavailable("the thread of the raw log has ended".into())
}
