//! Dead letters that a job tries again.

use model::store::{Failure, Fence, Letter, LetterFilter, LetterId, LetterState, Redriven};

use super::super::jobs::holds;
use super::super::tx::{Halt, Tx, execute, touched, values};
use super::{FREE, Which};

/// Gives letters to a job, in the order they came.
pub(super) async fn take(
    tx: &mut dyn Tx,
    fence: Fence,
    filter: &LetterFilter,
    limit: u32,
) -> Result<Vec<Letter>, Halt> {
    holds(tx, fence).await?;
    let mut which = Which::of(filter);
    which.sql += &format!(" AND state <> 'resolved' AND {FREE}");
    let mut letters = which.letters(tx, limit, "/*skip locked*/").await?;
    for letter in &mut letters {
        execute(
            tx,
            "UPDATE letters SET state = 'taken', taken_by = $2, taken_fence = $3 WHERE id = $1",
            &values![letter.id.0, fence.job.0, fence.number],
        )
        .await?;
        letter.state = LetterState::Taken;
    }
    Ok(letters)
}

/// Says what became of them. The job is held.
pub(in crate::store) async fn redriven(
    tx: &mut dyn Tx,
    fence: Fence,
    letters: &[(LetterId, Redriven)],
) -> Result<(), Halt> {
    for (id, outcome) in letters {
        let (state, reason, tried) = match outcome {
            Redriven::Resolved => (LetterState::Resolved, None, true),
            Redriven::Failed { reason } | Redriven::Rejected { reason } => {
                (LetterState::Waiting, Some(reason), true)
            }
            Redriven::Untried => (LetterState::Waiting, None, false),
        };
        let rejected = matches!(outcome, Redriven::Rejected { .. });
        let done = touched(
            tx,
            "UPDATE letters SET state = $4, reason = coalesce($5, reason), attempts = attempts + $6,
                 undelivered = CASE WHEN $7 = 1 THEN 0 ELSE undelivered END
             WHERE id = $1 AND taken_by = $2 AND taken_fence = $3 AND state = 'taken' RETURNING 1",
            &values![id.0, fence.job.0, fence.number, state, reason, tried, rejected],
        )
        .await?;
        if !done {
            let id = id.0;
            return Err(
                Failure::Conflict(format!("the dead letter {id} is not with this job")).into(),
            );
        }
    }
    Ok(())
}
