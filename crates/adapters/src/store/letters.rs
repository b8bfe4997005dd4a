//! Dead letters: kept, listed, edited, taken to be tried again, forgotten. They come in with their jobs.

pub(super) mod redrive;

use std::collections::BTreeMap;

use bytes::Bytes;
use model::id::PipelineId;
use model::store::{
    Answer, Failure, Fence, Letter, LetterFilter, LetterId, LetterState, Letters, MOST_ROWS,
    NewLetter, Purge, Room, Waiting,
};

use super::Database;
use super::jobs::check_name;
use super::tx::{Halt, Row, Tx, Value, execute, one, values};

const COLUMNS: &str =
    "id, pipeline, run, stage, number, reason, attempts, original, undelivered, at, edited, state";

/// Bytes of the records that one call returns, beyond the first of them.
const MOST_BYTES: u64 = 16 << 20;

/// No job that is still at work has it.
const FREE: &str = "(state <> 'taken' OR NOT EXISTS (
    SELECT 1 FROM jobs WHERE jobs.id = letters.taken_by AND jobs.fence = letters.taken_fence AND jobs.state = 'executing'
))";

impl Letters for Database {
    fn letters(&self, filter: LetterFilter, limit: u32) -> Answer<Vec<Letter>> {
        self.reads((filter, limit), |tx, (filter, limit)| {
            Box::pin(async move {
                let which = Which::of(filter).and("state = $", filter.state.map(Into::into));
                which.letters(tx, *limit, "").await
            })
        })
    }

    fn letter(&self, id: LetterId) -> Answer<Option<Letter>> {
        self.reads(id, |tx, id| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM letters WHERE id = $1");
                one(tx, &sql, &values![id.0]).await?.map(read).transpose()
            })
        })
    }

    fn letters_waiting(&self, pipeline: PipelineId) -> Answer<Vec<Waiting>> {
        self.reads(pipeline, |tx, pipeline| {
            Box::pin(async move {
                let sql = "SELECT stage, undelivered, count(*), min(at) FROM letters
                     WHERE pipeline = $1 AND state <> 'resolved' GROUP BY stage, undelivered ORDER BY stage, undelivered";
                let rows = tx.query(sql, &values![pipeline]).await?;
                rows.into_iter().map(waiting).collect()
            })
        })
    }

    fn letters_kept(&self, pipeline: PipelineId) -> Answer<Room> {
        self.reads(pipeline, |tx, pipeline| {
            Box::pin(async move {
                let sql = "SELECT letters, bytes FROM letter_totals WHERE pipeline = $1";
                let row = one(tx, sql, &values![pipeline]).await?;
                row.map_or(
                    Ok(Room {
                        letters: 0,
                        bytes: 0,
                    }),
                    room,
                )
            })
        })
    }

    fn edit_letter(&self, id: LetterId, record: Option<Bytes>) -> Answer<bool> {
        self.writes((id, record), |tx, (id, record)| {
            Box::pin(edit(tx, *id, record.as_ref()))
        })
    }

    fn take_letters(&self, fence: Fence, filter: LetterFilter, limit: u32) -> Answer<Vec<Letter>> {
        self.writes((fence, filter, limit), |tx, (fence, filter, limit)| {
            Box::pin(redrive::take(tx, *fence, filter, *limit))
        })
    }

    fn purge_letters(&self, purge: Purge, most: u32) -> Answer<u32> {
        self.writes((purge, most), |tx, (purge, most)| {
            Box::pin(forget(tx, purge, *most))
        })
    }
}

fn read(mut row: Row) -> Result<Letter, Halt> {
    Ok(Letter {
        id: LetterId(row.int()?),
        new: NewLetter {
            pipeline: row.named(|name| PipelineId::new(name).ok())?,
            run: row.word()?,
            stage: row.text()?,
            number: row.number()?,
            reason: row.text()?,
            attempts: row.number()?,
            original: row.bytes()?,
            undelivered: row.flag()?,
            at: row.moment()?,
        },
        edited: row.maybe_bytes()?,
        state: row.named(LetterState::by_name)?,
    })
}

fn waiting(mut row: Row) -> Result<Waiting, Halt> {
    Ok(Waiting {
        stage: row.text()?,
        undelivered: row.flag()?,
        letters: row.number()?,
        since: row.moment()?,
    })
}

fn room(mut row: Row) -> Result<Room, Halt> {
    Ok(Room {
        letters: row.number()?,
        bytes: row.number()?,
    })
}

/// Conditions on letters, and the values in them.
struct Which {
    sql: String,
    values: Vec<Value>,
}

impl Which {
    /// All conditions of a filter but the state.
    fn of(filter: &LetterFilter) -> Self {
        Self {
            sql: "pipeline = $1".into(),
            values: vec![Value::from(&filter.pipeline)],
        }
        .and("stage = $", filter.stage.as_ref().map(Into::into))
        .and("undelivered = $", filter.undelivered.map(Into::into))
        .and("id = $", filter.id.map(|id| id.0.into()))
        .and("id > $", filter.after.map(|id| id.0.into()))
    }

    /// One more, which ends in the number of its value.
    fn and(mut self, condition: &str, value: Option<Value>) -> Self {
        if let Some(value) = value {
            self.values.push(value);
            self.sql += &format!(" AND {condition}{}", self.values.len());
        }
        self
    }

    /// The letters in the order they came, as many as are wanted and not too large together.
    async fn letters(
        mut self,
        tx: &mut dyn Tx,
        limit: u32,
        lock: &str,
    ) -> Result<Vec<Letter>, Halt> {
        self.values.push(limit.min(MOST_ROWS).into());
        let Self { sql, mut values } = self;
        let sizes = format!(
            "SELECT id, bytes FROM letters WHERE {sql} ORDER BY id LIMIT ${} {lock}",
            values.len()
        );
        let (mut last, mut size) = (None, 0_u64);
        for mut row in tx.query(&sizes, &values).await? {
            let id = row.int()?;
            size = size.saturating_add(row.number()?);
            if last.is_some() && size > MOST_BYTES {
                break;
            }
            last = Some(id);
        }
        let Some(last) = last else {
            return Ok(Vec::new());
        };
        values.push(last.into());
        let number = values.len();
        let rows = format!(
            "SELECT {COLUMNS} FROM letters WHERE {sql} AND id <= ${number} ORDER BY id LIMIT ${} {lock}",
            number.saturating_sub(1)
        );
        let rows = tx.query(&rows, &values).await?;
        rows.into_iter().map(read).collect()
    }
}

/// Keeps letters, within the room there is.
pub(super) async fn add(
    tx: &mut dyn Tx,
    letters: &[NewLetter],
    room: Option<Room>,
) -> Result<(), Halt> {
    let mut sums: BTreeMap<&PipelineId, (i64, i64)> = BTreeMap::new();
    for letter in letters {
        check_name("stage's name", &letter.stage)?;
        let (number, bytes) = sums.entry(&letter.pipeline).or_default();
        *number = number.saturating_add(1);
        *bytes = bytes.saturating_add(length(&letter.original));
    }
    for (pipeline, (number, bytes)) in sums {
        let now = count(tx, pipeline, number, bytes).await?;
        if let Some(room) = room
            && (now.letters > room.letters || now.bytes > room.bytes)
        {
            return Err(Failure::Bound(format!(
                "{pipeline} may keep {} dead letters and {} bytes of them, and would have {} and {}",
                room.letters, room.bytes, now.letters, now.bytes
            ))
            .into());
        }
    }
    for letter in letters {
        execute(
            tx,
            "INSERT INTO letters (pipeline, run, stage, number, reason, attempts, original, bytes, undelivered, state, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting', $10)",
            &values![
                &letter.pipeline,
                &letter.run,
                &letter.stage,
                letter.number,
                &letter.reason,
                letter.attempts,
                &letter.original,
                length(&letter.original),
                letter.undelivered,
                letter.at,
            ],
        )
        .await?;
    }
    Ok(())
}

fn length(bytes: &Bytes) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// Adds to what a pipeline keeps; what it keeps then.
async fn count(
    tx: &mut dyn Tx,
    pipeline: &PipelineId,
    letters: i64,
    bytes: i64,
) -> Result<Room, Halt> {
    let row = one(
        tx,
        "INSERT INTO letter_totals (pipeline, letters, bytes) VALUES ($1, $2, $3)
         ON CONFLICT (pipeline) DO UPDATE
         SET letters = letter_totals.letters + excluded.letters, bytes = letter_totals.bytes + excluded.bytes
         RETURNING letters, bytes",
        &values![pipeline, letters, bytes],
    )
    .await?;
    row.map_or_else(|| Err(Halt::Again("no totals".into())), room)
}

async fn edit(tx: &mut dyn Tx, id: LetterId, record: Option<&Bytes>) -> Result<bool, Halt> {
    let row = one(
        tx,
        "SELECT pipeline, bytes, length(original) FROM letters WHERE id = $1 AND state = 'waiting' /*for update*/",
        &values![id.0],
    )
    .await?;
    let Some(mut row) = row else { return Ok(false) };
    let pipeline = row.named(|name| PipelineId::new(name).ok())?;
    let (before, original) = (row.int()?, row.int()?);
    let bytes = original.saturating_add(record.map_or(0, length));
    execute(
        tx,
        "UPDATE letters SET edited = $2, bytes = $3 WHERE id = $1",
        &values![id.0, record, bytes],
    )
    .await?;
    count(tx, &pipeline, 0, bytes.saturating_sub(before)).await?;
    Ok(true)
}

async fn forget(tx: &mut dyn Tx, purge: &Purge, most: u32) -> Result<u32, Halt> {
    let filter = LetterFilter {
        stage: purge.stage.clone(),
        id: purge.id,
        ..LetterFilter::of(purge.pipeline.clone())
    };
    let mut which = Which::of(&filter)
        .and("state = $", purge.state.map(Into::into))
        .and("at < $", purge.before.map(Into::into));
    if let Some(keep) = purge.keep {
        // The newest that is too many.
        let row = one(
            tx,
            "SELECT id FROM letters WHERE pipeline = $1 ORDER BY id DESC LIMIT 1 OFFSET $2",
            &values![&purge.pipeline, keep],
        )
        .await?;
        let Some(mut row) = row else { return Ok(0) };
        which = which.and("id <= $", Some(row.int()?.into()));
    }
    let Which { sql, mut values } = which;
    values.push(most.min(MOST_ROWS).into());
    let sql = format!(
        "DELETE FROM letters WHERE id IN (SELECT id FROM letters WHERE {sql} AND {FREE} ORDER BY id LIMIT ${}) RETURNING bytes",
        values.len()
    );
    let (mut gone, mut bytes) = (0_u32, 0_i64);
    for mut row in tx.query(&sql, &values).await? {
        gone = gone.saturating_add(1);
        bytes = bytes.saturating_add(row.int()?);
    }
    if gone > 0 {
        let less = i64::from(gone).saturating_neg();
        count(tx, &purge.pipeline, less, bytes.saturating_neg()).await?;
    }
    Ok(gone)
}
