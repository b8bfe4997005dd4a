//! Keeps the records of one pipeline for another: a sink that puts batches on a shelf in the plugin's state, in the encoding in which they come, and a source that gives
//! what lies there, and goes on after it in the next run. The grant is in `shelf.toml`.
//!
//! ```yaml
//! config:
//!   shelf: orders
//! ```

mod kept;

use kept::{Kept, Shelf};
use weir_sdk::{
    Batch, Encoding, Failure, Manifest, Plugin, Pulled, Reader, Reject, Sink, Source, Window,
    Writer,
    serde::{Deserialize, Serialize},
    serde_json::{self, Value},
};

#[derive(Default)]
struct ShelfPlugin;

impl Plugin for ShelfPlugin {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Shelf")
    }
}

impl Sink for ShelfPlugin {
    type Writer = Putting;
}

impl Source for ShelfPlugin {
    type Reader = Taking;
}

/// Writes during one run.
struct Putting(Shelf);

impl Writer for Putting {
    fn open(config: Value) -> Result<Self, Failure> {
        Shelf::named(config).map(Self)
    }

    fn push(&mut self, batch: Batch, key: &str) -> Result<Vec<Reject>, Failure> {
        self.0.put(&batch, key)?;
        Ok(Vec::new())
    }
}

/// How far a source is: batches are numbered from 1.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields)]
struct Place {
    batch: u64,
    /// So many records of it were given.
    records: usize,
}

/// Reads during one run, up to what lies there when it is opened.
struct Taking {
    shelf: Shelf,
    last: u64,
    at: Place,
    /// The batch it is at, once it was fetched.
    held: Option<Kept>,
}

impl Reader for Taking {
    fn open(config: Value, cursor: Option<Value>, _: Option<Window>) -> Result<Self, Failure> {
        let shelf = Shelf::named(config)?;
        let start = Place {
            batch: 1,
            records: 0,
        };
        let at = cursor
            .map_or(Ok(start), serde_json::from_value)
            .map_err(|error| Failure::invalid(format!("cursor: {error}")))?;
        let last = shelf.last()?.number;
        Ok(Self {
            shelf,
            last,
            at,
            held: None,
        })
    }

    fn pull(&mut self, max_records: u32, max_bytes: u32) -> Result<Pulled, Failure> {
        let batch = if self.at.batch > self.last {
            let encoding = Encoding::Ndjson;
            let (count, data) = (0, Vec::new());
            Batch {
                encoding,
                count,
                data,
            }
        } else {
            let held = match self.held.take() {
                Some(held) => held,
                None => self.shelf.get(self.at.batch)?,
            };
            let part = held.part(self.at.records, max_records, max_bytes)?;
            self.at.records += usize::try_from(part.count)?;
            if self.at.records < held.records() {
                self.held = Some(held);
            } else {
                self.at = Place {
                    batch: self.at.batch + 1,
                    records: 0,
                };
            }
            part
        };
        Ok(Pulled {
            batch,
            cursor: Some(serde_json::to_value(self.at)?),
            done: self.at.batch > self.last,
        })
    }
}

weir_sdk::plugin!(ShelfPlugin: source, sink);
