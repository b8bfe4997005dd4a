//! What a crash leaves: an open segment is checked at the start, its torn end mended, and put aside where it is damaged elsewhere.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use model::bronze::BronzeError;
use model::id::PipelineId;

use super::catalog::{Disk, Entry, OPEN, QUARANTINED, REASON, State, failed, footer};
use super::frame::{FOOT, Filling, START, Totals, header};
use super::record::{Decoded, encode};
use super::tail::{FILE_MODE, sync_folder};
use super::walk::{Step, Walk};

/// What was found.
enum Found {
    /// All is well up to the end.
    Whole(Totals),
    /// After these frames comes one that was not written to its end.
    Torn(Totals),
    /// Damaged where no crash damages it.
    Damaged(String),
}

/// Checks an open segment, and mends it. None: it had to be put aside.
pub(super) fn check_open(
    disk: &Disk,
    pipeline: &PipelineId,
    entry: &Entry,
    squeeze: &mut zstd::bulk::Compressor<'_>,
) -> Result<Option<Totals>, BronzeError> {
    let path = disk.path(pipeline, entry, OPEN);
    let mut work = || {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        if let Some(totals) = footer(&file, entry.number)? {
            return Ok(Ok(totals));
        }
        let size = file.metadata()?.len();
        if size < START {
            // It was being made: nothing in it was ever acknowledged.
            file.set_len(0)?;
            file.write_all_at(&header(entry.number), 0)?;
            file.sync_all()?;
            return Ok(Ok(Totals::NONE));
        }
        let mut walk = Walk::new(file.try_clone()?, entry.number, size);
        match look(&mut walk)? {
            Found::Whole(totals) => Ok(Ok(totals)),
            Found::Torn(totals) => mend(&file, &mut walk, pipeline, entry, totals, squeeze).map(Ok),
            Found::Damaged(reason) => Ok(Err(reason)),
        }
    };
    match work() {
        Ok(Ok(totals)) => Ok(Some(totals)),
        Ok(Err(reason)) => put_aside(disk, pipeline, entry, &reason)
            .map(|()| None)
            .map_err(|e| failed("put aside", &path, &e)),
        Err(e) => Err(failed("check", &path, &e)),
    }
}

/// Goes through all frames. Bodies are checked, and not decompressed.
fn look(walk: &mut Walk) -> io::Result<Found> {
    if let Err(reason) = walk.header()? {
        // A header that was not written whole is no damage.
        return Ok(if walk.is_blank(START)? {
            Found::Torn(Totals::NONE)
        } else {
            Found::Damaged(reason)
        });
    }
    let mut totals = Totals::NONE;
    loop {
        let place = totals.length;
        match walk.step(place)? {
            Step::End => return Ok(Found::Whole(totals)),
            // It was closed, and room was taken for more.
            Step::Foot(_) => {
                return Ok(if walk.is_blank(place.saturating_add(FOOT as u64))? {
                    Found::Whole(totals)
                } else {
                    Found::Damaged(format!("something follows its footer at byte {place}"))
                });
            }
            Step::Frame(head) => {
                if walk.body(place, &head)?.is_some() {
                    totals.add(&head);
                    continue;
                }
                let after = place.saturating_add(head.size());
                let torn = !walk.is_finished(place, &head)? && walk.is_blank(after)?;
                return Ok(if torn {
                    Found::Torn(totals)
                } else {
                    Found::Damaged(format!("the frame at byte {place} is damaged"))
                });
            }
            Step::Damage(_) => {
                // The room taken ahead, a head or footer that was not written whole, or damage.
                let after = place.saturating_add(FOOT as u64);
                return Ok(if walk.is_blank(place)? {
                    Found::Whole(totals)
                } else if walk.is_blank(after)? {
                    Found::Torn(totals)
                } else {
                    Found::Damaged(format!("at byte {place} there is no frame"))
                });
            }
        }
    }
}

/// Cuts a torn end off, and keeps the whole records of it in a frame at the same place, so that their positions stay.
fn mend(
    file: &File,
    walk: &mut Walk,
    pipeline: &PipelineId,
    entry: &Entry,
    mut totals: Totals,
    squeeze: &mut zstd::bulk::Compressor<'_>,
) -> io::Result<Totals> {
    let place = totals.length;
    let (kept, promised) = match walk.step(place)? {
        Step::Frame(head) => (walk.salvage(place, &head)?, head.records),
        Step::Foot(_) | Step::End | Step::Damage(_) => (Vec::new(), 0),
    };
    let records = kept.len();
    let mut out = Vec::new();
    if place == START {
        file.write_all_at(&header(entry.number), 0)?;
    }
    if let Some(filling) = refill(&kept)? {
        totals.add(&filling.write(entry.number, squeeze, &mut out)?);
    }
    file.set_len(place)?;
    file.write_all_at(&out, place)?;
    file.sync_all()?;
    tracing::warn!(
        %pipeline, segment = entry.number, from = place, cut = walk.end().saturating_sub(place), kept = records,
        lost = (promised as usize).saturating_sub(records),
        "the end of a raw log was not written whole, and was cut; nothing in it was acknowledged"
    );
    Ok(totals)
}

fn refill(kept: &[Decoded]) -> io::Result<Option<Filling>> {
    let mut filling = Filling::default();
    for record in kept {
        let encoded = encode(&record.record).map_err(io::Error::other)?;
        filling.add(&encoded.bytes, encoded.received, encoded.payload);
    }
    Ok((filling.records > 0).then_some(filling))
}

/// Renames a damaged segment, with the reason beside it.
pub(super) fn put_aside(
    disk: &Disk,
    pipeline: &PipelineId,
    entry: &Entry,
    reason: &str,
) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let from = disk.file(pipeline, entry);
    let to = disk.path(pipeline, entry, QUARANTINED);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(disk.path(pipeline, entry, REASON))?;
    writeln!(file, "{reason}")?;
    file.sync_all()?;
    std::fs::rename(&from, &to)?;
    sync_folder(&disk.folder(pipeline, entry.day))?;
    tracing::error!(
        %pipeline, segment = entry.number, path = %to.display(), reason,
        "a segment of the raw log is damaged and was put aside; what can be read of it still is"
    );
    Ok(())
}

/// The same segment, put aside.
pub(super) fn quarantined(entry: &Entry) -> Entry {
    Entry {
        state: State::Quarantined,
        ..*entry
    }
}
