//! The records that stages of a run rejected: numbered, counted against what is allowed, kept in a file of the run. Which records those are is the stages' business.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::pipeline::{OnReject, Threshold};
use model::ports::Clock;
use model::run::RejectedRecord;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use super::Failure;
use super::ledger::Ledger;
use super::meter::{Meter, add};
use super::route::Parcel;
use crate::runs::entry::Entry;
use crate::slot::lock;

/// Most bytes of the file.
const FILE: usize = 64 << 20;
/// Most bytes of a record in memory.
const SHOWN: usize = 4 * 1024;
/// Lots of records that may wait to be written.
const WAITING: usize = 8;

/// A rejected record with its number.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) stage: Arc<str>,
    pub(super) number: u64,
    pub(super) reason: String,
    pub(super) record: Bytes,
}

#[derive(Debug)]
pub(super) struct Rejects {
    entry: Arc<Entry>,
    meters: Vec<Arc<Meter>>,
    policies: Vec<OnReject>,
    most: Option<Threshold>,
    /// Of each stage, the records that came to it in parcels that were settled.
    came: Mutex<Vec<u64>>,
    total: AtomicU64,
    /// Where they are kept; none: nowhere.
    file: Option<PathBuf>,
    /// Where they become dead letters.
    ledger: Option<Arc<Ledger>>,
    clock: Arc<dyn Clock>,
    keeper: Mutex<Keeper>,
}

#[derive(Debug, Default)]
struct Keeper {
    to: Option<Sender<Vec<Kept>>>,
    task: Option<JoinHandle<Result<bool, String>>>,
}

impl Rejects {
    /// `policies` are those of the stages, in their order.
    pub(super) fn new(
        entry: Arc<Entry>,
        meters: Vec<Arc<Meter>>,
        policies: Vec<OnReject>,
        most: Option<Threshold>,
        file: Option<PathBuf>,
        ledger: Option<Arc<Ledger>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let came = Mutex::new(vec![0; meters.len()]);
        Self {
            entry,
            meters,
            policies,
            most,
            came,
            total: AtomicU64::new(0),
            file,
            ledger,
            clock,
            keeper: Mutex::default(),
        }
    }

    pub(super) fn policy(&self, stage: usize) -> OnReject {
        self.policies.get(stage).copied().unwrap_or_default()
    }

    /// Numbers and keeps what was rejected of a parcel; parcels come here in order.
    pub(super) async fn settle(&self, parcel: &mut Parcel) -> Result<(), Failure> {
        let kept = {
            let mut came = lock(&self.came);
            let number = |stage: usize, place: u64| {
                let before = came.get(stage).copied().unwrap_or(0);
                before + place + 1
            };
            let rejects = std::mem::take(&mut parcel.rejects).into_iter();
            let kept: Vec<_> = rejects
                .filter_map(|r| {
                    Some((
                        r.stage,
                        Kept {
                            stage: Arc::clone(&self.meters.get(r.stage)?.name),
                            number: number(r.stage, r.place),
                            reason: r.reason,
                            record: r.record,
                        },
                    ))
                })
                .collect();
            for (stage, count) in parcel.came.drain(..) {
                if let Some(sum) = came.get_mut(stage) {
                    *sum += count;
                }
            }
            kept
        };
        if kept.is_empty() {
            return Ok(());
        }
        let failing = kept
            .iter()
            .find(|(stage, _)| self.policy(*stage) == OnReject::Fail);
        let failure = failing.map(|(_, first)| fails(first));
        let kept: Vec<_> = kept.into_iter().map(|(_, kept)| kept).collect();
        self.bury(parcel.pull, &kept)?;
        self.keep(kept).await?;
        failure.map_or(Ok(()), Err)
    }

    /// Makes dead letters of what stages before the sinks rejected of a batch of the source.
    pub(super) fn bury(&self, pull: u64, kept: &[Kept]) -> Result<(), Failure> {
        match &self.ledger {
            Some(ledger) => ledger.rejected(pull, kept, self.clock.now().into()),
            None => Ok(()),
        }
    }

    /// Keeps rejected records, and fails if there are too many by now.
    pub(super) async fn keep(&self, kept: Vec<Kept>) -> Result<(), Failure> {
        let count = kept.len() as u64;
        if count == 0 {
            return Ok(());
        }
        for one in &kept {
            self.entry.remember(&shown(one));
        }
        if let Some(to) = self.keeper()
            && to.send(kept).await.is_err()
        {
            self.close().await?;
        }
        add(&self.total, count);
        self.check(false)
    }

    /// Are there more than are allowed? A part of those read is looked at when all are read: before, good ones may still come.
    pub(super) fn check(&self, at_the_end: bool) -> Result<(), Failure> {
        let total = self.total.load(Ordering::Relaxed);
        let source = self.meters.first();
        let read = source.map_or(0, |m| {
            m.records_out.load(Ordering::Relaxed) + m.rejected.load(Ordering::Relaxed)
        });
        let over = match self.most {
            None => return Ok(()),
            Some(Threshold::Count(most)) => (total > most).then(|| format!("{most}")),
            Some(Threshold::Percent(most)) => {
                let share = 100.0 * share(total, read);
                (at_the_end && total > 0 && share > most).then(|| format!("{most}%"))
            }
        };
        over.map_or(Ok(()), |most| {
            Err(Failure::new(format!(
                "{total} of {read} records were rejected; errors.max_rejects allows {most}"
            )))
        })
    }

    /// Waits until all are written; says whether there were any.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        let task = {
            let mut keeper = lock(&self.keeper);
            keeper.to = None;
            keeper.task.take()
        };
        let Some(task) = task else { return Ok(()) };
        let done = task.await.unwrap_or_else(|e| Err(e.to_string()));
        let whole =
            done.map_err(|what| Failure::new(format!("rejected records cannot be kept: {what}")))?;
        if !whole {
            let what = format!("the file of rejected records is cut after {FILE} bytes");
            self.entry.log("warn", None, what);
        }
        Ok(())
    }

    /// Where to send what is to be written.
    fn keeper(&self) -> Option<Sender<Vec<Kept>>> {
        let file = self.file.as_ref()?;
        let mut keeper = lock(&self.keeper);
        if keeper.to.is_none() && keeper.task.is_none() {
            let (to, from) = channel(WAITING);
            let path = file.clone();
            let write = move || write(&path, from).map_err(|e| format!("{}: {e}", path.display()));
            keeper.task = Some(tokio::task::spawn_blocking(write));
            keeper.to = Some(to);
            let place = file.display().to_string();
            self.entry.edit(|r| r.rejects_file = Some(place));
        }
        keeper.to.clone()
    }
}

/// What a rejected record does to a run that takes none.
pub(super) fn fails(first: &Kept) -> Failure {
    Failure::new(first.reason.clone()).within(format!(
        "stage {} rejected record {}, and its on_reject is fail",
        first.stage, first.number
    ))
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

fn shown(kept: &Kept) -> RejectedRecord {
    let (start, _) = kept.record.split_at(kept.record.len().min(SHOWN));
    RejectedRecord {
        stage: kept.stage.to_string(),
        number: kept.number,
        reason: kept.reason.clone(),
        record: text(start),
        bytes: bytes(start),
    }
}

fn text(record: &[u8]) -> String {
    String::from_utf8_lossy(record.strip_suffix(b"\n").unwrap_or(record)).into_owned()
}

/// The bytes themselves, where they are no text.
fn bytes(record: &[u8]) -> Option<String> {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    let is_text = std::str::from_utf8(record).is_ok();
    (!is_text).then(|| STANDARD.encode(record))
}

/// Writes records until there are no more; did all find room?
fn write(path: &std::path::Path, mut from: Receiver<Vec<Kept>>) -> std::io::Result<bool> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = BufWriter::new(File::create(path)?);
    let mut room = FILE;
    let mut whole = true;
    while let Some(lot) = from.blocking_recv() {
        for kept in lot {
            let line = RejectedRecord {
                stage: kept.stage.to_string(),
                number: kept.number,
                reason: kept.reason,
                record: text(&kept.record),
                bytes: bytes(&kept.record),
            };
            let mut line = serde_json::to_vec(&line)?;
            line.push(b'\n');
            if whole && line.len() > room {
                whole = false;
                let note = json!({"cut": format!("more records were rejected; {FILE} bytes of them are kept")});
                writeln!(file, "{note}")?;
            }
            if whole {
                room -= line.len();
                file.write_all(&line)?;
            }
        }
    }
    file.flush()?;
    Ok(whole)
}
