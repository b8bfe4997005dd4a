//! Checkpoints. They are written with their jobs.

use model::id::PipelineId;
use model::store::{Answer, Checkpoint, Checkpoints};

use super::Database;
use super::jobs::check_name;
use super::tx::{Halt, Row, Tx, execute, one, touched, values};

impl Checkpoints for Database {
    fn checkpoint(&self, pipeline: PipelineId, name: String) -> Answer<Option<Checkpoint>> {
        self.reads((pipeline, name), |tx, (pipeline, name)| {
            Box::pin(async move {
                let row = one(
                    tx,
                    "SELECT pipeline, name, source_cursor, sinks, run, records, at FROM checkpoints WHERE pipeline = $1 AND name = $2",
                    &values![pipeline, name],
                )
                .await?;
                row.map(read).transpose()
            })
        })
    }

    fn checkpoints(&self, pipeline: PipelineId) -> Answer<Vec<Checkpoint>> {
        self.reads(pipeline, |tx, pipeline| {
            Box::pin(async move {
                let rows = tx
                    .query(
                        "SELECT pipeline, name, source_cursor, sinks, run, records, at FROM checkpoints WHERE pipeline = $1 ORDER BY name",
                        &values![pipeline],
                    )
                    .await?;
                rows.into_iter().map(read).collect()
            })
        })
    }

    fn remove_checkpoint(&self, pipeline: PipelineId, name: String) -> Answer<bool> {
        self.writes((pipeline, name), |tx, (pipeline, name)| {
            Box::pin(remove(tx, pipeline, name))
        })
    }
}

fn read(mut row: Row) -> Result<Checkpoint, Halt> {
    Ok(Checkpoint {
        pipeline: row.named(|name| PipelineId::new(name).ok())?,
        name: row.text()?,
        cursor: row.maybe_text()?,
        sinks: row.text()?,
        run: row.word()?,
        records: row.number()?,
        at: row.moment()?,
    })
}

/// Forgets one; was it there?
pub(super) async fn remove(
    tx: &mut dyn Tx,
    pipeline: &PipelineId,
    name: &str,
) -> Result<bool, Halt> {
    let sql = "DELETE FROM checkpoints WHERE pipeline = $1 AND name = $2 RETURNING 1";
    touched(tx, sql, &values![pipeline, name]).await
}

/// Puts one in the place of the one before.
pub(super) async fn put(tx: &mut dyn Tx, checkpoint: &Checkpoint) -> Result<(), Halt> {
    check_name("checkpoint's name", &checkpoint.name)?;
    execute(
        tx,
        "INSERT INTO checkpoints (pipeline, name, source_cursor, sinks, run, records, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (pipeline, name) DO UPDATE
         SET source_cursor = excluded.source_cursor, sinks = excluded.sinks, run = excluded.run, records = excluded.records, at = excluded.at",
        &values![
            &checkpoint.pipeline,
            &checkpoint.name,
            checkpoint.cursor.as_ref(),
            &checkpoint.sinks,
            &checkpoint.run,
            checkpoint.records,
            checkpoint.at,
        ],
    )
    .await
}
