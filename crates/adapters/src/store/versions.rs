//! Versions of pipeline specs.

use model::id::PipelineId;
use model::store::{Answer, MOST_ROWS, Moment, SpecVersion, Versions};

use super::Database;
use super::jobs::check_name;
use super::tx::{Halt, Row, Tx, one, touched, values};

impl Versions for Database {
    fn put_version(
        &self,
        pipeline: PipelineId,
        digest: String,
        text: String,
        now: Moment,
    ) -> Answer<u64> {
        let version = SpecVersion {
            pipeline,
            version: 0,
            digest,
            text,
            at: now,
        };
        self.writes(version, |tx, version| Box::pin(put(tx, version)))
    }

    fn version(&self, pipeline: PipelineId, version: u64) -> Answer<Option<SpecVersion>> {
        self.reads((pipeline, version), |tx, (pipeline, version)| {
            Box::pin(async move {
                let row = one(
                    tx,
                    "SELECT pipeline, version, digest, at, spec FROM versions WHERE pipeline = $1 AND version = $2",
                    &values![pipeline, *version],
                )
                .await?;
                row.map(|row| read(row, true)).transpose()
            })
        })
    }

    fn versions(
        &self,
        pipeline: PipelineId,
        before: Option<u64>,
        limit: u32,
    ) -> Answer<Vec<SpecVersion>> {
        let before = before.unwrap_or(u64::MAX);
        self.reads((pipeline, before, limit), |tx, (pipeline, before, limit)| {
            Box::pin(async move {
                let rows = tx
                    .query(
                        "SELECT pipeline, version, digest, at FROM versions WHERE pipeline = $1 AND version < $2
                         ORDER BY version DESC LIMIT $3",
                        &values![pipeline, *before, (*limit).min(MOST_ROWS)],
                    )
                    .await?;
                rows.into_iter().map(|row| read(row, false)).collect()
            })
        })
    }
}

fn read(mut row: Row, with_text: bool) -> Result<SpecVersion, Halt> {
    Ok(SpecVersion {
        pipeline: row.named(|name| PipelineId::new(name).ok())?,
        version: row.number()?,
        digest: row.text()?,
        at: row.moment()?,
        text: if with_text {
            row.text()?
        } else {
            String::new()
        },
    })
}

async fn put(tx: &mut dyn Tx, new: &SpecVersion) -> Result<u64, Halt> {
    check_name("digest", &new.digest)?;
    let there = one(
        tx,
        "SELECT version FROM versions WHERE pipeline = $1 AND digest = $2",
        &values![&new.pipeline, &new.digest],
    )
    .await?;
    if let Some(mut row) = there {
        return row.number();
    }
    let sql = "SELECT coalesce(max(version), 0) + 1 FROM versions WHERE pipeline = $1";
    let next = one(tx, sql, &values![&new.pipeline]).await?;
    let version: u64 = next.map_or(Ok(1), |mut row| row.number())?;
    let added = touched(
        tx,
        "INSERT INTO versions (pipeline, version, digest, spec, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING 1",
        &values![&new.pipeline, version, &new.digest, &new.text, new.at],
    )
    .await?;
    if added {
        Ok(version)
    } else {
        Err(Halt::Again("another version was in the way".into()))
    }
}
