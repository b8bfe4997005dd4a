//! What a replay would change: the same payloads through two versions, no sinks opened, and what came out compared record by record.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use model::pipeline::{Pipeline, StageSpec, Work};
use model::run::{Part, RunId, RunRecord, RunState, Started};
use serde_json::Value;

use super::{Replay, ReplayError, check_sinks, trigger};
use crate::Engine;
use crate::run::tee::Tee;

/// Most pairs that are shown.
const SAMPLES: usize = 10;

/// What would come out otherwise.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Diff {
    /// The version that the other is compared with; none: there is none before it.
    pub before: Option<Side>,
    /// The version that the replay would go through.
    pub after: Side,
    /// The fields by which records were paired; without, those that are not the same are paired in their order.
    pub key: Vec<String>,
    /// Records that are the same.
    pub same: u64,
    /// Records that come out otherwise.
    pub changed: u64,
    /// Records that come out only of the version of the replay.
    pub added: u64,
    /// Records that come out only of the version before.
    pub removed: u64,
    /// Some of those that are not the same.
    pub samples: Vec<Sample>,
}

/// One version in a diff.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Side {
    /// Its number.
    pub version: u64,
    /// The run, which opened no sinks.
    pub run: RunId,
    /// Records that were read.
    pub read: u64,
    /// Records that would go to each sink.
    pub records: u64,
    /// Records that its stages rejected.
    pub rejected: u64,
}

/// A record before and after.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Sample {
    /// As the version before makes it.
    pub before: Option<Value>,
    /// As the version of the replay makes it.
    pub after: Option<Value>,
}

impl Engine {
    /// Says what a replay would change, and changes nothing. `against` is the version it is compared with; none: the one before.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub async fn replay_diff(
        self: &Arc<Self>,
        replay: &Replay,
        against: Option<u64>,
    ) -> Result<Diff, ReplayError> {
        let version = self.replayed_version(replay)?;
        let before = against.or_else(|| {
            let kept = self.pipeline_versions(&replay.pipeline);
            let earlier = kept.iter().map(|v| v.version).filter(|v| *v < version);
            earlier.max()
        });
        let (after, pipeline, lines) = self.dry(replay, version).await?;
        let key = key(&pipeline);
        let Some(before) = before else {
            let added = after.records;
            let samples = lines.iter().take(SAMPLES);
            return Ok(Diff {
                before: None,
                after,
                key,
                same: 0,
                changed: 0,
                added,
                removed: 0,
                samples: samples.map(|line| sample(None, Some(line))).collect(),
            });
        };
        let (before, _, earlier) = self.dry(replay, before).await?;
        let found = compare(earlier, lines, &key);
        Ok(Diff {
            before: Some(before),
            after,
            key,
            same: found.same,
            changed: found.changed,
            added: found.added,
            removed: found.removed,
            samples: found.samples,
        })
    }

    /// Runs a version without sinks; what would have gone to them.
    async fn dry(
        self: &Arc<Self>,
        replay: &Replay,
        version: u64,
    ) -> Result<(Side, Arc<Pipeline>, Vec<Bytes>), ReplayError> {
        let feed = self.feed_of(replay)?;
        let pipeline = self.replayed(&replay.pipeline, version, &feed).await?;
        check_sinks(&pipeline, &feed)?;
        let mut trigger = trigger(replay, feed);
        trigger.dry_run = true;
        let mut job = self.job(Arc::clone(&pipeline), version, &trigger)?;
        let tee = Arc::new(Tee::default());
        job.tee = Some(Arc::clone(&tee));
        let entry = self.start_run(job, Started::Replay, None)?;
        // Whoever asked may be gone by then.
        let ending = Ending(Arc::clone(&entry));
        let run = entry.over().await;
        drop(ending);
        if tee.is_full() {
            return Err(ReplayError::TooMuch(format!(
                "version {version} makes more than can be compared at once ({} MiB); narrow the span with `from` and `until`",
                Tee::MOST >> 20
            )));
        }
        if !matches!(run.state, RunState::Succeeded | RunState::Partial) {
            return Err(ReplayError::Failed(format!(
                "version {version} does not come to its end with it: {}",
                run.error.join(": ")
            )));
        }
        Ok((side(version, &run), pipeline, tee.take()))
    }
}

/// Ends the run when nobody waits any more.
struct Ending(Arc<crate::runs::entry::Entry>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn side(version: u64, run: &RunRecord) -> Side {
    let of = |part| run.stages.iter().filter(move |s| s.part == part);
    Side {
        version,
        run: run.id.clone(),
        read: of(Part::Source).map(|s| s.records_out).sum(),
        records: of(Part::Sink).map(|s| s.records_in).max().unwrap_or(0),
        rejected: run.stages.iter().map(|s| s.rejected).sum(),
    }
}

/// The fields by which a sink tells records apart.
fn key(pipeline: &Pipeline) -> Vec<String> {
    let Work::Flow(flow) = &pipeline.work else {
        return Vec::new();
    };
    let of = |sink: &StageSpec| -> Option<Vec<String>> {
        let fields = sink.options.get("key")?.as_array()?;
        let fields = fields.iter().map(|f| f.as_str().map(str::to_owned));
        fields.collect()
    };
    flow.sinks.iter().find_map(of).unwrap_or_default()
}

fn value(line: &Bytes) -> Value {
    serde_json::from_slice(line)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(line).into_owned()))
}

fn sample(before: Option<&Bytes>, after: Option<&Bytes>) -> Sample {
    Sample {
        before: before.map(value),
        after: after.map(value),
    }
}

/// What a comparison found.
#[derive(Default)]
struct Found {
    same: u64,
    changed: u64,
    added: u64,
    removed: u64,
    samples: Vec<Sample>,
}

impl Found {
    fn changed(&mut self, before: &Bytes, after: &Bytes) {
        self.changed += 1;
        self.show(Some(before), Some(after));
    }

    fn show(&mut self, before: Option<&Bytes>, after: Option<&Bytes>) {
        if self.samples.len() < SAMPLES {
            self.samples.push(sample(before, after));
        }
    }
}

/// Takes out what is the same on both sides, in whatever order; pairs the rest by key, or in its order.
fn compare(before: Vec<Bytes>, after: Vec<Bytes>, key: &[String]) -> Found {
    let mut found = Found::default();
    let mut left: BTreeMap<Bytes, VecDeque<usize>> = BTreeMap::new();
    for (place, line) in before.iter().enumerate() {
        left.entry(line.clone()).or_default().push_back(place);
    }
    let mut gone = vec![false; before.len()];
    let mut others = Vec::new();
    for line in after {
        match left.get_mut(&line).and_then(VecDeque::pop_front) {
            Some(place) => {
                found.same += 1;
                if let Some(gone) = gone.get_mut(place) {
                    *gone = true;
                }
            }
            None => others.push(line),
        }
    }
    let rest = before.into_iter().zip(gone);
    let rest = rest.filter_map(|(line, gone)| (!gone).then_some(line));
    let mut rest: BTreeMap<String, VecDeque<Bytes>> =
        rest.fold(BTreeMap::new(), |mut all, line| {
            all.entry(name(&line, key)).or_default().push_back(line);
            all
        });
    for line in others {
        match rest
            .get_mut(&name(&line, key))
            .and_then(VecDeque::pop_front)
        {
            Some(before) => found.changed(&before, &line),
            None => {
                found.added += 1;
                found.show(None, Some(&line));
            }
        }
    }
    for before in rest.into_values().flatten() {
        found.removed += 1;
        found.show(Some(&before), None);
    }
    found
}

/// What a record is called by its key; without one, all are called the same.
fn name(line: &Bytes, key: &[String]) -> String {
    if key.is_empty() {
        return String::new();
    }
    let record = value(line);
    let fields: Vec<_> = key.iter().map(|field| record.get(field)).collect();
    serde_json::to_string(&fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_paired_by_key_or_in_their_order() {
        let lines = |all: &[&str]| -> Vec<Bytes> {
            all.iter().map(|l| Bytes::from((*l).to_owned())).collect()
        };
        let check = |before: &[&str], after: &[&str], key: &[&str], want: [u64; 4]| {
            let key: Vec<_> = key.iter().map(|k| (*k).to_owned()).collect();
            let found = compare(lines(before), lines(after), &key);
            let got = [found.same, found.changed, found.added, found.removed];
            assert_eq!(got, want, "{before:?} {after:?}");
            let shown = (found.changed + found.added + found.removed).min(10);
            assert_eq!(found.samples.len() as u64, shown);
        };
        let one = [
            r#"{"id":1,"v":1}"#,
            r#"{"id":2,"v":2}"#,
            r#"{"id":3,"v":3}"#,
        ];
        check(&one, &one, &["id"], [3, 0, 0, 0]);
        check(&[], &[], &[], [0; 4]);
        check(&one, &[], &["id"], [0, 0, 0, 3]);
        check(&[], &one, &[], [0, 0, 3, 0]);
        let turned = [one[2], one[0], one[1]];
        check(&one, &turned, &[], [3, 0, 0, 0]);
        let fixed = [
            r#"{"id":1,"v":1}"#,
            r#"{"id":3,"v":30}"#,
            r#"{"id":4,"v":4}"#,
        ];
        check(&one, &fixed, &["id"], [1, 1, 1, 1]);
        check(&one, &fixed, &[], [1, 2, 0, 0]);
        check(&["x", "x"], &["x"], &["id"], [1, 0, 0, 1]);
    }
}
