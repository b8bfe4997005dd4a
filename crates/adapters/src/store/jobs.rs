//! Jobs: submitted, renewed, committed for, settled, cancelled. Who gets one is `claim`'s business.

mod claim;

use std::time::Duration;

use model::run::RunId;
use model::store::{
    Answer, Ask, Attempt, Cancel, Claims, Commit, Failure, Fence, Job, JobId, JobState, Jobs,
    Lease, Moment, NewJob, Outcome, Renewed, RunChange, Submission, Submitted,
};

use super::tx::{Halt, Row, Tx, execute, one, touched, values};
use super::{Database, checkpoints, letters, runs};

/// Longest key or name, in bytes: PostgreSQL has a bound for what is in an index.
pub(super) const LONGEST: usize = 512;

impl Jobs for Database {
    fn submit(&self, submission: Submission) -> Answer<Submitted> {
        self.writes(submission, |tx, s| Box::pin(submit(tx, s)))
    }

    fn claim(&self, ask: Ask) -> Answer<Claims> {
        self.writes(ask, |tx, ask| Box::pin(claim::claim(tx, ask)))
    }

    fn renew(&self, fences: Vec<Fence>, lease: Duration, now: Moment) -> Answer<Vec<Renewed>> {
        self.writes((fences, now.plus(lease)), |tx, (fences, until)| {
            Box::pin(renew(tx, fences, *until))
        })
    }

    fn commit(&self, fence: Fence, commit: Commit) -> Answer<()> {
        self.writes((fence, commit), |tx, (fence, commit)| {
            Box::pin(async move {
                held(tx, *fence).await?;
                write(tx, *fence, commit).await
            })
        })
    }

    fn settle(
        &self,
        fence: Fence,
        outcome: Outcome,
        commit: Commit,
        now: Moment,
    ) -> Answer<JobState> {
        self.writes(
            (fence, outcome, commit, now),
            |tx, (fence, outcome, commit, now)| {
                Box::pin(async move {
                    let state = settle(tx, *fence, outcome, *now).await?;
                    write(tx, *fence, commit).await?;
                    Ok(state)
                })
            },
        )
    }

    fn cancel(&self, change: RunChange, now: Moment) -> Answer<Cancel> {
        self.writes((change, now), |tx, (change, now)| {
            Box::pin(cancel(tx, change, *now))
        })
    }

    fn hasten(&self, run: RunId, at: Moment) -> Answer<bool> {
        self.writes((run, at), |tx, (run, at)| {
            Box::pin(async move {
                let sql = "UPDATE jobs SET due = CASE WHEN due > $2 THEN $2 ELSE due END
                     WHERE run = $1 AND state IN ('available', 'scheduled', 'retryable') RETURNING 1";
                touched(tx, sql, &values![run, *at]).await
            })
        })
    }

    fn forsake(&self, owner: String) -> Answer<u64> {
        self.writes(owner, |tx, owner| {
            Box::pin(async move {
                let ended = tx
                    .query(
                        "UPDATE jobs SET lease_until = NULL
                         WHERE state = 'executing' AND owner = $1 AND lease_until IS NOT NULL RETURNING id",
                        &values![owner],
                    )
                    .await?;
                Ok(ended.len() as u64)
            })
        })
    }

    fn leases(&self, queue: String) -> Answer<Vec<Lease>> {
        self.reads(queue, |tx, queue| Box::pin(leases(tx, queue)))
    }

    fn job(&self, run: RunId) -> Answer<Option<Job>> {
        self.reads(run, |tx, run| Box::pin(job(tx, run)))
    }

    fn attempts(&self, run: RunId) -> Answer<Vec<Attempt>> {
        self.reads(run, |tx, run| Box::pin(attempts(tx, run)))
    }

    fn due(&self, queue: String) -> Answer<Option<Moment>> {
        self.reads(queue, |tx, queue| Box::pin(due(tx, queue)))
    }
}

/// Is this a key or name that can be kept?
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Halt> {
    if (1..=LONGEST).contains(&name.len()) {
        return Ok(());
    }
    let length = name.len();
    Err(Failure::Invalid(format!(
        "the {what} has {length} bytes; 1 to {LONGEST} are allowed"
    ))
    .into())
}

fn check(submission: &Submission) -> Result<(), Halt> {
    let Submission { run, job } = submission;
    check_name("queue", &job.queue)?;
    job.key
        .as_ref()
        .map_or(Ok(()), |key| check_name("job's key", key))?;
    run.key
        .as_ref()
        .map_or(Ok(()), |key| check_name("idempotency key", key))?;
    if job.max_attempts == 0 {
        return Err(Failure::Invalid("a job is tried at least once".into()).into());
    }
    Ok(())
}

/// Adds a run and its job, or finds what is there.
pub(super) async fn submit(tx: &mut dyn Tx, submission: &Submission) -> Result<Submitted, Halt> {
    check(submission)?;
    let Submission { run, job } = submission;
    if let Some(there) = found(tx, submission).await? {
        return Ok(Submitted {
            run: there,
            new: false,
        });
    }
    let state = if job.at > run.submitted {
        JobState::Scheduled
    } else {
        JobState::Available
    };
    // Whoever submits the same at the same time is found next time.
    let again = || Halt::Again("another submission was in the way".into());
    if !runs::add(tx, run).await? {
        return Err(again());
    }
    let added = touched(
        tx,
        "INSERT INTO jobs (run, queue, unique_key, priority, due, attempt, max_attempts, args, state, fence, cancel_wanted)
         VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, 0, 0) ON CONFLICT DO NOTHING RETURNING id",
        &values![
            &run.id,
            &job.queue,
            job.key.as_ref(),
            job.priority,
            job.at,
            job.max_attempts,
            &job.args,
            state,
        ],
    )
    .await?;
    if !added {
        return Err(again());
    }
    Ok(Submitted {
        run: run.id.clone(),
        new: true,
    })
}

/// The run that stands for a submission already.
async fn found(tx: &mut dyn Tx, submission: &Submission) -> Result<Option<RunId>, Halt> {
    let Submission { run, job } = submission;
    let mut row = one(tx, "SELECT id FROM runs WHERE id = $1", &values![&run.id]).await?;
    if let (None, Some(key)) = (&row, &run.key) {
        row = runs::by_key(tx, &run.pipeline, key).await?;
    }
    if let (None, Some(key)) = (&row, &job.key) {
        row = one(
            tx,
            "SELECT run FROM jobs WHERE unique_key = $1 AND ended IS NULL",
            &values![key],
        )
        .await?;
    }
    row.map(|mut row| row.word()).transpose()
}

/// A job that is one's own.
struct Held {
    run: RunId,
    attempt: i64,
    max_attempts: i64,
    cancel_wanted: bool,
}

/// Nobody else can claim the job until the end of the transaction; is it still one's own?
async fn held(tx: &mut dyn Tx, fence: Fence) -> Result<Held, Halt> {
    let row = one(
        tx,
        "SELECT run, attempt, max_attempts, cancel_wanted FROM jobs
         WHERE id = $1 AND fence = $2 AND state = 'executing' /*for update*/",
        &values![fence.job.0, fence.number],
    )
    .await?;
    let mut row = row.ok_or(Failure::Lost)?;
    Ok(Held {
        run: row.word()?,
        attempt: row.int()?,
        max_attempts: row.int()?,
        cancel_wanted: row.flag()?,
    })
}

/// The same, for what is written elsewhere.
pub(super) async fn holds(tx: &mut dyn Tx, fence: Fence) -> Result<(), Halt> {
    held(tx, fence).await.map(drop)
}

async fn write(tx: &mut dyn Tx, fence: Fence, commit: &Commit) -> Result<(), Halt> {
    for run in &commit.new_runs {
        runs::add(tx, run).await?;
    }
    for change in &commit.runs {
        runs::change(tx, change).await?;
    }
    for checkpoint in &commit.checkpoints {
        checkpoints::put(tx, checkpoint).await?;
    }
    for (pipeline, name) in &commit.forgotten {
        checkpoints::remove(tx, pipeline, name).await?;
    }
    letters::redrive::redriven(tx, fence, &commit.redriven).await?;
    for submission in &commit.submissions {
        submit(tx, submission).await?;
    }
    letters::add(tx, &commit.letters, commit.room).await
}

async fn settle(
    tx: &mut dyn Tx,
    fence: Fence,
    outcome: &Outcome,
    now: Moment,
) -> Result<JobState, Halt> {
    let held = held(tx, fence).await?;
    // Whoever is to be cancelled is claimed at once to be told.
    let next = |at: Moment| if held.cancel_wanted { now } else { at };
    let (state, due, said, error) = match outcome {
        Outcome::Completed => (JobState::Completed, None, "completed", None),
        Outcome::Retry { .. } if held.attempt >= held.max_attempts => {
            return Err(Failure::Conflict(format!(
                "all {} attempts are used up",
                held.max_attempts
            ))
            .into());
        }
        Outcome::Retry { error, at } => {
            (JobState::Retryable, Some(next(*at)), "failed", Some(error))
        }
        Outcome::Discarded { error } => (JobState::Discarded, None, "failed", Some(error)),
        Outcome::Snoozed { until } => (JobState::Scheduled, Some(next(*until)), "snoozed", None),
        Outcome::Cancelled => (JobState::Cancelled, None, "cancelled", None),
    };
    let attempt = match outcome {
        Outcome::Snoozed { .. } => held.attempt.saturating_sub(1),
        _ => held.attempt,
    };
    execute(
        tx,
        "UPDATE jobs SET state = $2, due = coalesce($3, due), attempt = $4, ended = $5, lease_until = NULL WHERE id = $1",
        &values![fence.job.0, state, due, attempt, state.is_over().then_some(now)],
    )
    .await?;
    end_attempt(
        tx,
        &held.run,
        fence.number,
        said,
        error.map(String::as_str),
        now,
    )
    .await?;
    Ok(state)
}

async fn end_attempt(
    tx: &mut dyn Tx,
    run: &RunId,
    fence: i64,
    outcome: &str,
    error: Option<&str>,
    now: Moment,
) -> Result<(), Halt> {
    execute(
        tx,
        "UPDATE attempts SET ended = $3, outcome = $4, error = $5 WHERE run = $1 AND fence = $2",
        &values![run, fence, now, outcome, error],
    )
    .await
}

async fn renew(tx: &mut dyn Tx, fences: &[Fence], until: Moment) -> Result<Vec<Renewed>, Halt> {
    let mut all = Vec::with_capacity(fences.len());
    for fence in fences {
        let row = one(
            tx,
            "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND fence = $2 AND state = 'executing' RETURNING cancel_wanted",
            &values![fence.job.0, fence.number, until],
        )
        .await?;
        all.push(match row.map(|mut row| row.flag()).transpose()? {
            None => Renewed::Lost,
            Some(false) => Renewed::Held,
            Some(true) => Renewed::CancelWanted,
        });
    }
    Ok(all)
}

async fn cancel(tx: &mut dyn Tx, change: &RunChange, now: Moment) -> Result<Cancel, Halt> {
    let row = one(
        tx,
        "SELECT id, state FROM jobs WHERE run = $1 /*for update*/",
        &values![&change.id],
    )
    .await?;
    let Some(mut row) = row else {
        return Ok(Cancel::None);
    };
    let id = row.int()?;
    let state = row.named(JobState::by_name)?;
    if state.is_over() {
        return Ok(Cancel::Over);
    }
    if state == JobState::Executing {
        let sql = "UPDATE jobs SET cancel_wanted = 1 WHERE id = $1";
        execute(tx, sql, &values![id]).await?;
        return Ok(Cancel::Wanted);
    }
    execute(
        tx,
        "UPDATE jobs SET state = 'cancelled', ended = $2 WHERE id = $1",
        &values![id, now],
    )
    .await?;
    runs::change(tx, change).await?;
    Ok(Cancel::Done)
}

async fn job(tx: &mut dyn Tx, run: &RunId) -> Result<Option<Job>, Halt> {
    let row = one(
        tx,
        "SELECT id, run, queue, unique_key, priority, due, max_attempts, args, state, attempt, owner, lease_until, cancel_wanted, ended
         FROM jobs WHERE run = $1",
        &values![run],
    )
    .await?;
    row.map(read_job).transpose()
}

fn read_job(mut row: Row) -> Result<Job, Halt> {
    Ok(Job {
        id: JobId(row.int()?),
        run: row.word()?,
        new: NewJob {
            queue: row.text()?,
            key: row.maybe_text()?,
            priority: row.number()?,
            at: row.moment()?,
            max_attempts: row.number()?,
            args: row.text()?,
        },
        state: row.named(JobState::by_name)?,
        attempt: row.number()?,
        owner: row.maybe_text()?,
        lease_until: row.maybe_moment()?,
        cancel_wanted: row.flag()?,
        ended: row.maybe_moment()?,
    })
}

async fn attempts(tx: &mut dyn Tx, run: &RunId) -> Result<Vec<Attempt>, Halt> {
    let rows = tx
        .query(
            "SELECT number, owner, began, ended, outcome, error FROM attempts WHERE run = $1 ORDER BY fence",
            &values![run],
        )
        .await?;
    let read = |mut row: Row| {
        Ok(Attempt {
            number: row.number()?,
            owner: row.text()?,
            began: row.moment()?,
            ended: row.maybe_moment()?,
            outcome: row.maybe_text()?,
            error: row.maybe_text()?,
        })
    };
    rows.into_iter().map(read).collect()
}

async fn leases(tx: &mut dyn Tx, queue: &str) -> Result<Vec<Lease>, Halt> {
    let sql = "SELECT id, fence, lease_until FROM jobs WHERE queue = $1 AND state = 'executing' ORDER BY lease_until, id";
    let rows = tx.query(sql, &values![queue]).await?;
    let read = |mut row: Row| {
        Ok(Lease {
            fence: Fence {
                job: JobId(row.int()?),
                number: row.int()?,
            },
            until: row.maybe_moment()?,
        })
    };
    rows.into_iter().map(read).collect()
}

async fn due(tx: &mut dyn Tx, queue: &str) -> Result<Option<Moment>, Halt> {
    let mut first = None;
    for sql in [
        "SELECT due FROM jobs WHERE queue = $1 AND state = 'available' ORDER BY priority DESC, due, id LIMIT 1",
        "SELECT due FROM jobs WHERE queue = $1 AND state IN ('scheduled', 'retryable') ORDER BY due LIMIT 1",
    ] {
        if let Some(mut row) = one(tx, sql, &values![queue]).await?
            && let Some(at) = row.maybe_moment()?
        {
            first = Some(first.map_or(at, |first: Moment| first.min(at)));
        }
    }
    Ok(first)
}
