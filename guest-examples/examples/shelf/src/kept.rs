//! What lies on a shelf: batches under numbers in the plugin's state, and parts of them. Which part a run is at is the source's business.

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_select::concat::concat_batches;
use weir_sdk::{
    Batch, Encoding, Failure,
    serde::{Deserialize, Serialize},
    serde_json::Value,
    state::{self, StateError},
};

/// A shelf in the plugin's state.
#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields)]
pub struct Shelf {
    shelf: String,
}

/// The batch that was put last.
#[derive(Default, Serialize, Deserialize)]
#[serde(crate = "weir_sdk::serde")]
pub struct Last {
    /// 0 before the first.
    pub number: u64,
    /// Under which it was delivered.
    key: String,
}

/// A batch that was kept.
pub enum Kept {
    /// JSON lines.
    Lines(Vec<u8>),
    /// Rows of Arrow.
    Table(RecordBatch),
}

impl Shelf {
    /// The shelf of a stage. What is wrong is [`Failure::Invalid`].
    pub fn named(config: Value) -> Result<Self, Failure> {
        let shelf = Self::deserialize(config)
            .map_err(|error| Failure::invalid(format!("config: {error}")))?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if shelf.shelf.is_empty() || shelf.shelf.len() > 64 || !shelf.shelf.chars().all(fits) {
            return Err(Failure::invalid(format!(
                "config: shelf: {:?} is no name of a shelf: 1 to 64 of A-Z a-z 0-9 _ - are",
                shelf.shelf
            )));
        }
        Ok(shelf)
    }

    /// Puts a batch there, once: it is delivered again under the same key where its answer was lost.
    pub fn put(&self, batch: &Batch, key: &str) -> Result<(), Failure> {
        let last = self.last()?;
        if batch.count == 0 || last.key == key {
            return Ok(());
        }
        let number = last.number + 1;
        // It is there once it is the last one: until then, the next try takes its place.
        state::set(&self.batch(number), &batch.data).map_err(kept)?;
        let key = key.to_owned();
        state::set_json(&self.of("last"), &Last { number, key }).map_err(kept)?;
        Ok(())
    }

    /// The batch that was put last.
    pub fn last(&self) -> Result<Last, Failure> {
        let last = state::get_json(&self.of("last")).map_err(kept)?;
        Ok(last.unwrap_or_default())
    }

    /// A batch that was put.
    pub fn get(&self, number: u64) -> Result<Kept, Failure> {
        let entry = state::get(&self.batch(number)).map_err(kept)?;
        let missing = || Failure::internal(format!("batch {number} has been taken away"));
        Kept::read(entry.ok_or_else(missing)?.value)
    }

    fn batch(&self, number: u64) -> String {
        self.of(&format!("batch/{number}"))
    }

    fn of(&self, what: &str) -> String {
        format!("{}/{what}", self.shelf)
    }
}

impl Kept {
    fn read(data: Vec<u8>) -> Result<Self, Failure> {
        // A stream of Arrow begins with a byte that no UTF-8 begins with.
        if data.first() != Some(&0xff) {
            return Ok(Self::Lines(data));
        }
        let stream = StreamReader::try_new(data.as_slice(), None)?;
        let schema = stream.schema();
        let batches = stream.collect::<Result<Vec<_>, _>>()?;
        Ok(Self::Table(concat_batches(&schema, &batches)?))
    }

    /// How many records it has.
    pub fn records(&self) -> usize {
        match self {
            Self::Lines(data) => data.iter().filter(|byte| **byte == b'\n').count(),
            Self::Table(rows) => rows.num_rows(),
        }
    }

    /// So many of its records, behind the first `skip`; at least one, if there is one.
    pub fn part(&self, skip: usize, max_records: u32, max_bytes: u32) -> Result<Batch, Failure> {
        let most = usize::try_from(max_records)?;
        let bytes = usize::try_from(max_bytes)?;
        match self {
            Self::Lines(data) => {
                let mut part = Vec::new();
                let mut count = 0;
                let lines = data.split_inclusive(|byte| *byte == b'\n');
                for line in lines.skip(skip).take(most) {
                    if count > 0 && part.len() + line.len() > bytes {
                        break;
                    }
                    part.extend_from_slice(line);
                    count += 1;
                }
                Ok(Batch {
                    encoding: Encoding::Ndjson,
                    count,
                    data: part,
                })
            }
            Self::Table(rows) => {
                let left = rows.num_rows().saturating_sub(skip);
                let each = rows.get_array_memory_size() / rows.num_rows().max(1);
                let fit = bytes / each.max(1);
                let part = rows.slice(skip.min(rows.num_rows()), left.min(most).min(fit.max(1)));
                let mut stream = StreamWriter::try_new(Vec::new(), &part.schema())?;
                stream.write(&part)?;
                Ok(Batch {
                    encoding: Encoding::ArrowIpc,
                    count: u32::try_from(part.num_rows())?,
                    data: stream.into_inner()?,
                })
            }
        }
    }
}

/// A full shelf stays full, and a store that does not answer may do so later.
fn kept(error: StateError) -> Failure {
    match error {
        StateError::Full => Failure::refused("the shelves are full (limits.state_bytes)"),
        StateError::Unavailable(_) => Failure::transient(error),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[test]
    fn names_are_checked() {
        for (config, word) in [
            (json!({}), "missing field `shelf`"),
            (json!({"shelf": "a", "x": 1}), "unknown field `x`"),
            (json!({"shelf": ""}), "no name"),
            (json!({"shelf": "a/b"}), "no name"),
        ] {
            let failure = Shelf::named(config).err();
            let said = failure.map(|f| f.to_string()).unwrap_or_default();
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn parts_keep_to_what_is_asked_for() {
        let kept = Kept::Lines(b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n".to_vec());
        assert_eq!(kept.records(), 3);
        let part = |skip, records, bytes| kept.part(skip, records, bytes).unwrap();
        assert_eq!(part(0, 2, 100).data, b"{\"n\":1}\n{\"n\":2}\n");
        assert_eq!(part(1, 5, 10).data, b"{\"n\":2}\n");
        assert_eq!(part(2, 5, 1).count, 1);
        assert_eq!(part(3, 5, 100).count, 0);
    }
}
