//! Retention: which segments of a pipeline go, and their going. The open one stays, and so does whatever was not taken.

use std::fs;

use model::bronze::{BronzeError, Retention, Swept, Taken};
use model::id::PipelineId;

use super::catalog::{Disk, Entry, QUARANTINED, REASON, SEALED, State, UPLOADED};
use super::day::Day;
use super::frame::{FOOT, Totals};
use super::owner::Owner;
use super::tail::remove;

/// What is to go.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Segments, oldest first.
    pub(super) segments: Vec<Entry>,
    /// Segments of which the local file goes.
    local: Vec<Entry>,
}

/// Decides what goes.
pub(super) fn plan(owner: &Owner, pipeline: &PipelineId, retention: &Retention) -> Plan {
    let entries = owner.catalog.from(pipeline, 0, usize::MAX);
    let all: Vec<(Entry, Option<Totals>, u64)> = entries
        .into_iter()
        .map(|entry| {
            let totals = owner.disk.totals(pipeline, &entry).ok().flatten();
            let whole = totals.map_or(0, |t| t.length.saturating_add(FOOT as u64));
            // Room that an open one has taken ahead does not count.
            let size = match entry.state {
                State::Open => whole,
                _ => whole.max(local_size(&owner.disk, pipeline, &entry)),
            };
            (entry, totals, size)
        })
        .collect();
    let mut size: u64 = all.iter().map(|(_, _, size)| size).sum();
    let mut plan = Plan::default();
    for (entry, totals, own) in all {
        if entry.state == State::Open {
            continue;
        }
        // Of a damaged one nothing may be known: then the end of its day counts.
        let latest = totals.map_or_else(|| entry.day.end(), |t| t.latest);
        let older =
            |age: Option<u64>| age.is_some_and(|age| latest.saturating_add(age) < retention.now_ms);
        let many = retention.bytes.is_some_and(|most| size > most);
        let taken = is_taken(retention.taken, entry.number, totals.as_ref());
        if taken && (older(retention.age_ms) || many) {
            size = size.saturating_sub(own);
            plan.segments.push(entry);
        } else if entry.state == (State::Uploaded { local: true }) && older(retention.local_ms) {
            plan.local.push(entry);
        }
    }
    plan
}

/// Removes what was decided on; what lies in an object store is gone there already.
pub(super) fn carry_out(
    owner: &mut Owner,
    pipeline: &PipelineId,
    plan: Plan,
    now_ms: u64,
) -> Result<Swept, BronzeError> {
    let mut swept = Swept::default();
    for entry in plan.segments {
        let freed = local_size(&owner.disk, pipeline, &entry);
        // Another number is given out before the highest one is forgotten, so that numbers grow also over a restart.
        if owner.catalog.last(pipeline) == Some(entry.number) {
            owner.begin(pipeline, now_ms, Day::of(now_ms)?)?;
        }
        owner.catalog.remove(pipeline, entry.number);
        for end in [SEALED, QUARANTINED, REASON, UPLOADED] {
            remove(&owner.disk.path(pipeline, &entry, end));
        }
        // It goes with the last segment of its day, and stays with any other.
        drop(fs::remove_dir(owner.disk.folder(pipeline, entry.day)));
        swept.segments = swept.segments.saturating_add(1);
        swept.bytes = swept.bytes.saturating_add(freed);
    }
    for entry in plan.local {
        let totals = owner.disk.totals(pipeline, &entry).ok().flatten();
        let freed = local_size(&owner.disk, pipeline, &entry);
        let state = State::Uploaded { local: false };
        owner.catalog.put(
            pipeline,
            Entry {
                state,
                totals,
                ..entry
            },
        );
        remove(&owner.disk.path(pipeline, &entry, SEALED));
        swept.local_files = swept.local_files.saturating_add(1);
        swept.bytes = swept.bytes.saturating_add(freed);
    }
    Ok(swept)
}

/// Bytes of a segment's file here.
fn local_size(disk: &Disk, pipeline: &PipelineId, entry: &Entry) -> u64 {
    fs::metadata(disk.file(pipeline, entry)).map_or(0, |m| m.len())
}

/// Was all of a segment taken?
fn is_taken(taken: Taken, number: u64, totals: Option<&Totals>) -> bool {
    match taken {
        Taken::All => true,
        Taken::Nothing => false,
        Taken::To(position) => {
            let last = totals.and_then(|t| t.last_position(number));
            number < position.segment() || last.is_some_and(|last| last <= position)
        }
    }
}
