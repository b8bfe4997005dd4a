//! What a run came to, told to the store: before anybody else hears of its end.

use std::time::Duration;

use model::run::{RunId, RunRecord, RunState, Started};
use model::store::{Commit, Moment, NewRun, Outcome};

use super::progress::{Left, progress_of};
use super::{Durable, Held, change, text};
use crate::Engine;
use crate::runs::entry::Entry;
use crate::slot::lock;

/// Between two tries to tell the store.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Tells the store of the end of a run: of a claimed one that its job is settled, of a part of one what became of it. Answers only when the store has it, or when the run is somebody else's by now;
    /// with it, whether the run goes on from the store, as another attempt or on another server.
    pub(crate) async fn settle_run(&self, entry: &Entry, record: &RunRecord) -> bool {
        let Some(durable) = &self.durable else {
            return false;
        };
        let Some((whole, held)) = self.whole_of(durable, &record.id) else {
            return lock(&durable.held).remove(&record.id).is_some();
        };
        let is_whole = whole == record.id;
        let left = entry.take_left();
        let (outcome, commit) = if is_whole {
            self.outcome(entry, record, held, left)
        } else {
            let now = self.ports.clock.now().into();
            (Outcome::Completed, of_part(record, left.commit, now))
        };
        let goes_on = outcome.goes_on();
        loop {
            let now = self.ports.clock.now().into();
            let (outcome, commit) = (outcome.clone(), commit.clone());
            let told = if is_whole {
                let settled = durable.store.settle(held.fence, outcome, commit, now);
                settled.await.map(drop)
            } else {
                durable.store.commit(held.fence, commit).await
            };
            match told {
                Ok(()) => break,
                Err(error) if error.is_retryable() && durable.held(&whole).is_some() => {
                    tracing::warn!(run_id = %record.id, %error, "the end of a run cannot be kept yet");
                    self.ports.stages.timer.wait(PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(run_id = %record.id, %error, "the end of a run is not kept");
                    break;
                }
            }
        }
        if is_whole {
            lock(&durable.held).remove(&whole);
            durable.poke();
        }
        if record.started_by == Started::Redrive {
            self.look_behind(durable, record).await;
        } else {
            self.report(durable, record).await;
        }
        is_whole && goes_on
    }

    /// The claimed run that a run is, or is part of.
    pub(crate) fn whole_of(&self, durable: &Durable, run: &RunId) -> Option<(RunId, Held)> {
        let mut id = run.clone();
        loop {
            if let Some(held) = durable.held(&id) {
                return Some((id, held));
            }
            id = self.runs.book.get(&id)?.look(|run| run.parent.clone())?;
        }
    }

    fn outcome(
        &self,
        entry: &Entry,
        record: &RunRecord,
        held: Held,
        left: Left,
    ) -> (Outcome, Commit) {
        let now = Moment::from(self.ports.clock.now());
        let error = record.error.join(": ");
        let is_put_off = entry.is_put_off() && !entry.is_cancelled();
        let outcome = match record.state {
            // Whoever shuts down cancels what is under way, and what is put off goes on later: that is no end.
            RunState::Cancelled if self.is_closing() || is_put_off => {
                Outcome::Snoozed { until: now }
            }
            RunState::Cancelled => Outcome::Cancelled,
            RunState::Failed => match held.again {
                Some(wait) => Outcome::Retry {
                    error,
                    at: now.plus(wait),
                },
                None => Outcome::Discarded { error },
            },
            _ => Outcome::Completed,
        };
        let goes_on = outcome.goes_on();
        let mut record = record.clone();
        if goes_on {
            record.state = RunState::Queued;
        }
        let started = instant(record.started_at.as_deref());
        let ended = (!goes_on).then_some(now);
        let mut commit = Commit {
            runs: vec![change(&record, started, ended)],
            ..left.commit
        };
        if goes_on {
            commit.checkpoints.extend(left.progress);
        } else {
            let progress = (record.pipeline.clone(), progress_of(&record.id));
            commit.forgotten.push(progress);
        }
        (outcome, commit)
    }
}

/// What became of a run that is part of a claimed one.
fn of_part(record: &RunRecord, left: Commit, now: Moment) -> Commit {
    let submitted = instant(Some(&record.submitted_at)).unwrap_or(now);
    let started = instant(record.started_at.as_deref());
    Commit {
        new_runs: vec![NewRun {
            id: record.id.clone(),
            pipeline: record.pipeline.clone(),
            version: record.version,
            started_by: record.started_by,
            parent: record.parent.clone(),
            submitted,
            key: None,
            record: text(record),
        }],
        runs: vec![change(record, started, Some(now))],
        ..left
    }
}

fn instant(text: Option<&str>) -> Option<Moment> {
    let at: jiff::Timestamp = text?.parse().ok()?;
    Some(Moment::from_ms(at.as_millisecond()))
}
