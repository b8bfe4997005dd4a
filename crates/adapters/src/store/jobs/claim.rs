//! Who gets a job next, and for how long.

use model::run::RunId;
use model::store::{ASTRAY, Ask, Claim, Claims, Fence, JobId, MOST_ROWS, ToEnd, Why};

use super::super::tx::{Halt, Row, Tx, Value, execute, one, values};
use super::{check_name, end_attempt};

/// Attempts of a run that are kept.
const ATTEMPTS: i64 = 100;

/// What a claim reads of a job.
const COLUMNS: &str = "id, run, attempt, max_attempts, args, fence, cancel_wanted";

struct Found {
    id: i64,
    run: RunId,
    attempt: u32,
    max_attempts: u32,
    args: String,
    fence: i64,
    cancel_wanted: bool,
}

impl Found {
    fn read(mut row: Row) -> Result<Self, Halt> {
        Ok(Self {
            id: row.int()?,
            run: row.word()?,
            attempt: row.number()?,
            max_attempts: row.number()?,
            args: row.text()?,
            fence: row.int()?,
            cancel_wanted: row.flag()?,
        })
    }
}

/// Jobs that nobody has any more first, then those that wait, within the bound of the queue.
pub(super) async fn claim(tx: &mut dyn Tx, ask: &Ask) -> Result<Claims, Halt> {
    check_name("queue", &ask.queue)?;
    check_name("owner", &ask.owner)?;
    let most = i64::from(ask.most.min(MOST_ROWS));
    let mut claims = Claims::default();
    lock(tx, &ask.queue).await?;
    let lost = lost(tx, ask, most).await?;
    // Those have a place in the queue already.
    let rescued = i64::try_from(lost.len()).unwrap_or(i64::MAX);
    for mut job in lost {
        if !has_begun(tx, &job.run).await? {
            job.attempt = job.attempt.saturating_sub(1);
        }
        end_attempt(tx, &job.run, job.fence, "lost", None, ask.now).await?;
        take(tx, ask, job, true, &mut claims).await?;
    }
    if ask.set_back {
        recall(tx, ask).await?;
    }
    let free = free(tx, ask).await?.min(most.saturating_sub(rescued));
    if free > 0 {
        stage(tx, ask).await?;
        let next = find(
            tx,
            "state = 'available' ORDER BY priority DESC, due, id LIMIT $2",
            &values![&ask.queue, free],
        )
        .await?;
        for job in next {
            take(tx, ask, job, false, &mut claims).await?;
        }
    }
    Ok(claims)
}

/// Nobody else claims from this queue until the end of the transaction.
async fn lock(tx: &mut dyn Tx, queue: &str) -> Result<(), Halt> {
    let sql = "SELECT name FROM queues WHERE name = $1 /*for update*/";
    if one(tx, sql, &values![queue]).await?.is_none() {
        let add = "INSERT INTO queues (name) VALUES ($1) ON CONFLICT DO NOTHING";
        execute(tx, add, &values![queue]).await?;
        one(tx, sql, &values![queue]).await?;
    }
    Ok(())
}

async fn find(tx: &mut dyn Tx, which: &str, values: &[Value]) -> Result<Vec<Found>, Halt> {
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE queue = $1 AND {which} /*skip locked*/");
    let rows = tx.query(&sql, values).await?;
    rows.into_iter().map(Found::read).collect()
}

/// Jobs that nobody has any more, and those of silent leases that are as they were seen.
async fn lost(tx: &mut dyn Tx, ask: &Ask, most: i64) -> Result<Vec<Found>, Halt> {
    let mut lost = find(
        tx,
        "state = 'executing' AND lease_until IS NULL ORDER BY id LIMIT $2",
        &values![&ask.queue, most],
    )
    .await?;
    for lease in &ask.silent {
        let Some(until) = lease.until.filter(|_| (lost.len() as i64) < most) else {
            continue;
        };
        let found = find(
            tx,
            "state = 'executing' AND id = $2 AND fence = $3 AND lease_until = $4",
            &values![&ask.queue, lease.fence.job.0, lease.fence.number, until],
        )
        .await?;
        lost.extend(found);
    }
    Ok(lost)
}

/// Was anything of a claimed run carried out? One that was only looked at, since it has to wait for others, did not take its server down.
async fn has_begun(tx: &mut dyn Tx, run: &RunId) -> Result<bool, Halt> {
    let sql = "SELECT 1 FROM runs WHERE id = $1 AND state <> 'queued'";
    let found = one(tx, sql, &values![run]).await?;
    Ok(found.is_some())
}

/// What was put off by a clock that was set back since is due now.
async fn recall(tx: &mut dyn Tx, ask: &Ask) -> Result<(), Halt> {
    execute(
        tx,
        "UPDATE jobs SET due = $2
         WHERE queue = $1 AND state IN ('scheduled', 'retryable') AND due > $2 AND (
             EXISTS (SELECT 1 FROM attempts WHERE attempts.run = jobs.run AND attempts.fence = jobs.fence AND attempts.ended > $3)
             OR jobs.fence = 0 AND EXISTS (SELECT 1 FROM runs WHERE runs.id = jobs.run AND runs.submitted > $3))",
        &values![&ask.queue, ask.now, ask.now.plus(ASTRAY)],
    )
    .await
}

/// How many more of the queue may be at work.
async fn free(tx: &mut dyn Tx, ask: &Ask) -> Result<i64, Halt> {
    let sql = "SELECT count(*) FROM jobs WHERE queue = $1 AND state = 'executing'";
    let row = one(tx, sql, &values![&ask.queue]).await?;
    let working = row.map_or(Ok(0), |mut row| row.int())?;
    Ok(i64::from(ask.at_once).saturating_sub(working))
}

/// Those whose time has come are available from now on.
async fn stage(tx: &mut dyn Tx, ask: &Ask) -> Result<(), Halt> {
    execute(
        tx,
        "WITH ready AS MATERIALIZED (
             SELECT id FROM jobs WHERE queue = $1 AND state IN ('scheduled', 'retryable') AND due <= $2
             ORDER BY due LIMIT $3 /*skip locked*/
         )
         UPDATE jobs SET state = 'available' WHERE id IN (SELECT id FROM ready)",
        &values![&ask.queue, ask.now, MOST_ROWS],
    )
    .await
}

/// Makes a job the owner's.
async fn take(
    tx: &mut dyn Tx,
    ask: &Ask,
    job: Found,
    rescued: bool,
    claims: &mut Claims,
) -> Result<(), Halt> {
    let why = if job.cancel_wanted {
        Some(Why::Cancelled)
    } else if job.attempt >= job.max_attempts {
        Some(Why::Spent)
    } else {
        None
    };
    let fence = job.fence.saturating_add(1);
    // Only to be settled: that is no attempt.
    let attempt = job.attempt.saturating_add(u32::from(why.is_none()));
    execute(
        tx,
        "UPDATE jobs SET state = 'executing', attempt = $2, fence = $3, owner = $4, lease_until = $5 WHERE id = $1",
        &values![job.id, attempt, fence, &ask.owner, ask.now.plus(ask.lease)],
    )
    .await?;
    if why.is_none() {
        begin_attempt(tx, ask, &job.run, fence, attempt).await?;
    }
    let claim = Claim {
        fence: Fence {
            job: JobId(job.id),
            number: fence,
        },
        run: job.run,
        attempt,
        max_attempts: job.max_attempts,
        args: job.args,
        rescued,
    };
    match why {
        None => claims.to_run.push(claim),
        Some(why) => claims.to_end.push(ToEnd { claim, why }),
    }
    Ok(())
}

async fn begin_attempt(
    tx: &mut dyn Tx,
    ask: &Ask,
    run: &RunId,
    fence: i64,
    attempt: u32,
) -> Result<(), Halt> {
    execute(
        tx,
        "INSERT INTO attempts (run, fence, number, owner, began) VALUES ($1, $2, $3, $4, $5)",
        &values![run, fence, attempt, &ask.owner, ask.now],
    )
    .await?;
    if fence > ATTEMPTS {
        let sql = "DELETE FROM attempts WHERE run = $1 AND fence <= $2";
        let kept_from = fence.saturating_sub(ATTEMPTS);
        execute(tx, sql, &values![run, kept_from]).await?;
    }
    Ok(())
}
