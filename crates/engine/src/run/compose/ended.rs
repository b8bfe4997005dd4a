//! How compositions end, by the ends of their parts.

use model::run::{RunId, RunRecord, RunState};
use model::text::clipped;

use super::super::{End, Failure};
use crate::runs::entry::Entry;

/// Most failures of parts beside each other that are told one by one.
const SAID: usize = 20;
/// Most bytes of one of them.
const SAID_BYTES: usize = 1_000;

/// What counts of a part that is over.
#[derive(Debug)]
pub(super) struct Ended {
    name: String,
    id: RunId,
    pub(super) state: RunState,
    error: Vec<String>,
}

impl Ended {
    pub(super) fn of(name: String, run: &RunRecord) -> Self {
        Self {
            name,
            id: run.id.clone(),
            state: run.state,
            error: run.error.clone(),
        }
    }

    /// Why it failed.
    fn failure(self) -> Failure {
        let error = match (self.state, self.error) {
            (RunState::Cancelled, _) => vec!["it was cancelled".to_owned()],
            (_, error) if error.is_empty() => vec!["no reason".to_owned()],
            (_, error) => error,
        };
        Failure(error).within(format!("pipeline {} ({})", self.name, self.id))
    }
}

pub(super) fn has_failed(state: RunState) -> bool {
    matches!(state, RunState::Failed | RunState::Cancelled)
}

pub(super) fn cancelled_or(entry: &Entry, end: End) -> End {
    if entry.is_cancelled() {
        End::Cancelled
    } else {
        end
    }
}

/// How a composition ended, by its parts that began. `one_is_enough`: those that failed are a part of it that was not delivered.
pub(super) fn judge(entry: &Entry, ends: Vec<Ended>, one_is_enough: bool) -> End {
    if entry.is_cancelled() {
        return End::Cancelled;
    }
    let whole = ends.iter().all(|end| end.state == RunState::Succeeded);
    let (failed, good): (Vec<_>, Vec<_>) = ends.into_iter().partition(|e| has_failed(e.state));
    if failed.is_empty() {
        return End::Complete(whole);
    }
    let number = failed.len();
    let mut failures = failed.into_iter().map(Ended::failure);
    if one_is_enough && !good.is_empty() {
        for failure in failures {
            entry.log("warn", None, failure.said());
        }
        return End::Complete(false);
    }
    match failures.next() {
        Some(one) if number == 1 => End::Failed(one),
        first => End::Failed(beside_each_other(first.into_iter().chain(failures), number)),
    }
}

/// Failures of which none is another's cause: in one piece, a line each.
fn beside_each_other(failures: impl Iterator<Item = Failure>, number: usize) -> Failure {
    let said = failures.take(SAID);
    let lines = said.map(|failure| clipped(failure.said(), SAID_BYTES));
    let more = number.saturating_sub(SAID);
    let more = (more > 0).then(|| format!("and {more} more"));
    let lines: Vec<_> = lines.chain(more).collect();
    Failure::new(lines.join("\n")).within(format!("{number} pipelines failed"))
}
