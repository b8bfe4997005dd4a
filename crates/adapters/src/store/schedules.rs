//! Schedules and conditions of pipelines.

use model::id::PipelineId;
use model::store::{Advance, Advanced, Answer, Condition, Moment, Schedule, Schedules};

use super::Database;
use super::jobs::{check_name, submit};
use super::tx::{Halt, Row, Tx, execute, one, touched, values};

impl Schedules for Database {
    fn schedules(&self) -> Answer<Vec<Schedule>> {
        self.reads((), |tx, ()| {
            Box::pin(async move {
                let sql =
                    "SELECT pipeline, trigger_digest, since, last FROM schedules ORDER BY pipeline";
                let rows = tx.query(sql, &[]).await?;
                rows.into_iter().map(read).collect()
            })
        })
    }

    fn arm(&self, pipeline: PipelineId, digest: String, now: Moment) -> Answer<Schedule> {
        let armed = Schedule {
            pipeline,
            digest,
            since: now,
            last: None,
        };
        self.writes(armed, |tx, armed| Box::pin(arm(tx, armed)))
    }

    fn disarm(&self, pipeline: PipelineId) -> Answer<bool> {
        self.writes(pipeline, |tx, pipeline| {
            Box::pin(async move {
                let sql = "DELETE FROM schedules WHERE pipeline = $1 RETURNING 1";
                touched(tx, sql, &values![pipeline]).await
            })
        })
    }

    fn advance(&self, step: Advance) -> Answer<Advanced> {
        self.writes(step, |tx, step| Box::pin(advance(tx, step)))
    }

    fn conditions(&self) -> Answer<Vec<Condition>> {
        self.reads((), |tx, ()| {
            Box::pin(async move {
                let rows = tx
                    .query(
                        "SELECT pipeline, paused, error, error_since FROM conditions
                         WHERE paused <> 0 OR error IS NOT NULL ORDER BY pipeline",
                        &[],
                    )
                    .await?;
                rows.into_iter().map(read_condition).collect()
            })
        })
    }

    fn pause(&self, pipeline: PipelineId, paused: bool) -> Answer<bool> {
        self.writes((pipeline, paused), |tx, (pipeline, paused)| {
            Box::pin(async move {
                let mut condition = condition(tx, pipeline).await?;
                if condition.paused == *paused {
                    return Ok(false);
                }
                condition.paused = *paused;
                put_condition(tx, &condition).await?;
                Ok(true)
            })
        })
    }

    fn report(&self, pipeline: PipelineId, error: Option<String>, now: Moment) -> Answer<bool> {
        self.writes((pipeline, error, now), |tx, (pipeline, error, now)| {
            Box::pin(report(tx, pipeline, error.as_ref(), *now))
        })
    }
}

fn read(mut row: Row) -> Result<Schedule, Halt> {
    Ok(Schedule {
        pipeline: row.named(|name| PipelineId::new(name).ok())?,
        digest: row.text()?,
        since: row.moment()?,
        last: row.maybe_moment()?,
    })
}

async fn find(tx: &mut dyn Tx, pipeline: &PipelineId) -> Result<Option<Schedule>, Halt> {
    let row = one(
        tx,
        "SELECT pipeline, trigger_digest, since, last FROM schedules WHERE pipeline = $1 /*for update*/",
        &values![pipeline],
    )
    .await?;
    row.map(read).transpose()
}

async fn arm(tx: &mut dyn Tx, armed: &Schedule) -> Result<Schedule, Halt> {
    check_name("trigger's digest", &armed.digest)?;
    if let Some(there) = find(tx, &armed.pipeline).await?
        && there.digest == armed.digest
    {
        return Ok(there);
    }
    // Of two who arm at once the second finds it there.
    let row = one(
        tx,
        "INSERT INTO schedules (pipeline, trigger_digest, since, last) VALUES ($1, $2, $3, NULL)
         ON CONFLICT (pipeline) DO UPDATE SET trigger_digest = excluded.trigger_digest, since = excluded.since, last = NULL
         WHERE schedules.trigger_digest <> excluded.trigger_digest
         RETURNING pipeline, trigger_digest, since, last",
        &values![&armed.pipeline, &armed.digest, armed.since],
    )
    .await?;
    row.map_or_else(
        || Err(Halt::Again("the schedule was armed meanwhile".into())),
        read,
    )
}

async fn advance(tx: &mut dyn Tx, step: &Advance) -> Result<Advanced, Halt> {
    let moved = touched(
        tx,
        "UPDATE schedules SET last = $4 WHERE pipeline = $1 AND trigger_digest = $2 AND last IS NOT DISTINCT FROM $3 RETURNING 1",
        &values![&step.pipeline, &step.digest, step.from, step.to],
    )
    .await?;
    if !moved {
        return Ok(Advanced::Stands(find(tx, &step.pipeline).await?));
    }
    let mut submitted = Vec::with_capacity(step.submissions.len());
    for submission in &step.submissions {
        submitted.push(submit(tx, submission).await?);
    }
    Ok(Advanced::Moved(submitted))
}

fn read_condition(mut row: Row) -> Result<Condition, Halt> {
    Ok(Condition {
        pipeline: row.named(|name| PipelineId::new(name).ok())?,
        paused: row.flag()?,
        error: row.maybe_text()?,
        error_since: row.maybe_moment()?,
    })
}

async fn condition(tx: &mut dyn Tx, pipeline: &PipelineId) -> Result<Condition, Halt> {
    let row = one(
        tx,
        "SELECT pipeline, paused, error, error_since FROM conditions WHERE pipeline = $1 /*for update*/",
        &values![pipeline],
    )
    .await?;
    row.map_or_else(
        || {
            Ok(Condition {
                pipeline: pipeline.clone(),
                paused: false,
                error: None,
                error_since: None,
            })
        },
        read_condition,
    )
}

async fn put_condition(tx: &mut dyn Tx, condition: &Condition) -> Result<(), Halt> {
    execute(
        tx,
        "INSERT INTO conditions (pipeline, paused, error, error_since) VALUES ($1, $2, $3, $4)
         ON CONFLICT (pipeline) DO UPDATE
         SET paused = excluded.paused, error = excluded.error, error_since = excluded.error_since",
        &values![
            &condition.pipeline,
            condition.paused,
            condition.error.as_ref(),
            condition.error_since,
        ],
    )
    .await
}

async fn report(
    tx: &mut dyn Tx,
    pipeline: &PipelineId,
    error: Option<&String>,
    now: Moment,
) -> Result<bool, Halt> {
    let mut condition = condition(tx, pipeline).await?;
    if condition.error.as_ref() == error {
        return Ok(false);
    }
    let turned = condition.error.is_some() != error.is_some();
    condition.error = error.cloned();
    condition.error_since = match error {
        None => None,
        Some(_) => condition.error_since.or(Some(now)),
    };
    put_condition(tx, &condition).await?;
    Ok(turned)
}
