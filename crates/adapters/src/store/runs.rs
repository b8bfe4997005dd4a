//! Runs: found, listed, forgotten. They are written with their jobs.

use model::id::PipelineId;
use model::run::{RunId, RunState, Started};
use model::store::{
    Answer, Failure, MOST_ROWS, Moment, NewRun, RunChange, RunFilter, Runs, StoredRun,
};

use super::Database;
use super::tx::{Halt, Row, Tx, Value, one, touched, values};

const COLUMNS: &str = "id, pipeline, version, started_by, parent, submitted, idempotency_key, record, state, started, ended";

impl Runs for Database {
    fn run(&self, id: RunId) -> Answer<Option<StoredRun>> {
        self.reads(id, |tx, id| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM runs WHERE id = $1");
                one(tx, &sql, &values![id]).await?.map(read).transpose()
            })
        })
    }

    fn run_by_key(&self, pipeline: PipelineId, key: String) -> Answer<Option<RunId>> {
        self.reads((pipeline, key), |tx, (pipeline, key)| {
            Box::pin(async move {
                let row = by_key(tx, pipeline, key).await?;
                row.map(|mut row| row.word()).transpose()
            })
        })
    }

    fn runs(&self, filter: RunFilter, limit: u32) -> Answer<Vec<StoredRun>> {
        self.reads((filter, limit), |tx, (filter, limit)| {
            Box::pin(list(tx, filter, *limit))
        })
    }

    fn prune_runs(&self, before: Moment, most: u32) -> Answer<u32> {
        self.writes((before, most), |tx, (before, most)| {
            Box::pin(prune(
                tx,
                "ended < $1 ORDER BY ended",
                values![*before],
                *most,
            ))
        })
    }

    fn prune_runs_of(&self, pipeline: PipelineId, keep: u32, most: u32) -> Answer<u32> {
        self.writes((pipeline, keep, most), |tx, (pipeline, keep, most)| {
            Box::pin(prune_of(tx, pipeline, *keep, *most))
        })
    }
}

fn read(mut row: Row) -> Result<StoredRun, Halt> {
    Ok(StoredRun {
        run: NewRun {
            id: row.word()?,
            pipeline: row.named(|name| PipelineId::new(name).ok())?,
            version: row.number()?,
            started_by: row.named(Started::by_name)?,
            parent: row.maybe_word()?,
            submitted: row.moment()?,
            key: row.maybe_text()?,
            record: row.text()?,
        },
        state: row.named(RunState::by_name)?,
        started: row.maybe_moment()?,
        ended: row.maybe_moment()?,
    })
}

/// Adds a run that waits; false when its id or key is there.
pub(super) async fn add(tx: &mut dyn Tx, run: &NewRun) -> Result<bool, Halt> {
    touched(
        tx,
        "INSERT INTO runs (id, pipeline, version, started_by, parent, state, submitted, idempotency_key, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id",
        &values![
            &run.id,
            &run.pipeline,
            run.version,
            run.started_by,
            run.parent.as_ref(),
            RunState::Queued,
            run.submitted,
            run.key.as_ref(),
            &run.record,
        ],
    )
    .await
}

/// Says what a run has become.
pub(super) async fn change(tx: &mut dyn Tx, change: &RunChange) -> Result<(), Halt> {
    let there = touched(
        tx,
        "UPDATE runs SET state = $2, started = $3, ended = $4, record = $5 WHERE id = $1 RETURNING id",
        &values![
            &change.id,
            change.state,
            change.started,
            change.ended,
            &change.record,
        ],
    )
    .await?;
    if there {
        return Ok(());
    }
    Err(Failure::Conflict(format!("there is no run {} to change", change.id)).into())
}

/// The row with the id of the run with this key.
pub(super) async fn by_key(
    tx: &mut dyn Tx,
    pipeline: &PipelineId,
    key: &str,
) -> Result<Option<Row>, Halt> {
    one(
        tx,
        "SELECT id FROM runs WHERE pipeline = $1 AND idempotency_key = $2",
        &values![pipeline, key],
    )
    .await
}

async fn list(tx: &mut dyn Tx, filter: &RunFilter, limit: u32) -> Result<Vec<StoredRun>, Halt> {
    // Parts of one run are few: the index of another column would find many.
    let (pipeline, state) = match filter.parent {
        None => ("pipeline", "state"),
        Some(_) => ("(pipeline || '')", "(state || '')"),
    };
    let mut sql = format!("SELECT {COLUMNS} FROM runs WHERE true");
    let mut values = Vec::new();
    let parts: [(_, _, Option<Value>); 4] = [
        (pipeline, "=", filter.pipeline.as_ref().map(Into::into)),
        (state, "=", filter.state.map(Into::into)),
        ("parent", "=", filter.parent.as_ref().map(Into::into)),
        ("id", "<", filter.before.as_ref().map(Into::into)),
    ];
    for (column, is, value) in parts {
        if let Some(value) = value {
            values.push(value);
            sql += &format!(" AND {column} {is} ${}", values.len());
        }
    }
    values.push(limit.min(MOST_ROWS).into());
    sql += &format!(" ORDER BY id DESC LIMIT ${}", values.len());
    let rows = tx.query(&sql, &values).await?;
    rows.into_iter().map(read).collect()
}

/// Forgets runs that are over, and whose jobs are; `which` has the parameters of `values` and an order. Jobs and attempts go with them.
async fn prune<const N: usize>(
    tx: &mut dyn Tx,
    which: &str,
    values: [Value; N],
    most: u32,
) -> Result<u32, Halt> {
    let mut values = values.to_vec();
    values.push(most.min(MOST_ROWS).into());
    let sql = format!(
        "DELETE FROM runs WHERE id IN (
             SELECT id FROM runs
             WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.run = runs.id AND jobs.ended IS NULL) AND {which} LIMIT ${}
         ) RETURNING 1",
        values.len()
    );
    let gone = tx.query(&sql, &values).await?;
    Ok(u32::try_from(gone.len()).unwrap_or(u32::MAX))
}

async fn prune_of(
    tx: &mut dyn Tx,
    pipeline: &PipelineId,
    keep: u32,
    most: u32,
) -> Result<u32, Halt> {
    // The newest that is too many.
    let row = one(
        tx,
        "SELECT id FROM runs WHERE pipeline = $1 ORDER BY id DESC LIMIT 1 OFFSET $2",
        &values![pipeline, keep],
    )
    .await?;
    let Some(mut row) = row else { return Ok(0) };
    let newest: RunId = row.word()?;
    let which = "pipeline = $1 AND id <= $2 AND ended IS NOT NULL ORDER BY id";
    prune(tx, which, values![pipeline, &newest], most).await
}
