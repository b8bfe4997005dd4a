//! A source: reads records from somewhere. This one counts from `from` to `to`, which a pipeline says in the stage's settings.

use weir_sdk::{
    Batch, Failure, Manifest, Plugin, Pulled, Reader, Source, Window,
    serde::Deserialize,
    serde_json::{Value, json},
};

/// The stage's settings.
#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields)]
struct Settings {
    /// The first number.
    from: u64,
    /// The number after the last.
    to: u64,
}

/// Reads during one run.
struct Numbers {
    next: u64,
    to: u64,
}

#[derive(Default)]
struct {{Type}};

impl Plugin for {{Type}} {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("{{Title}}")
            {{manifest}}
    }
    {{start}}
}

impl Source for {{Type}} {
    type Reader = Numbers;
}

impl Reader for Numbers {
    fn open(config: Value, cursor: Option<Value>, _: Option<Window>) -> Result<Self, Failure> {
        let Settings { from, to } = Settings::deserialize(config)
            .map_err(|error| Failure::invalid(format!("settings: {error}")))?;
        // The cursor is what the last run gave with its last batch: go on from there.
        let next = cursor.and_then(|cursor| cursor.as_u64()).unwrap_or(from);
        Ok(Self { next, to })
    }

    fn pull(&mut self, max_records: u32, _max_bytes: u32) -> Result<Pulled, Failure> {
        let end = self.to.min(self.next.saturating_add(max_records.into()));
        let records: Vec<_> = (self.next..end).map(|n| json!({ "n": n })).collect();
        self.next = self.next.max(end);
        Ok(Pulled {
            batch: Batch::ndjson(&records)?,
            cursor: Some(self.next.into()),
            done: self.next >= self.to,
        })
    }
}

weir_sdk::plugin!({{Type}}: source);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_where_the_cursor_says() {
        let config = json!({ "from": 1, "to": 4 });
        let mut reader = Numbers::open(config.clone(), None, None).unwrap();
        let first = reader.pull(2, 1024).unwrap();
        assert_eq!(first.batch.data, b"{\"n\":1}\n{\"n\":2}\n");
        assert!(!first.done);

        let mut reader = Numbers::open(config, first.cursor, None).unwrap();
        let last = reader.pull(2, 1024).unwrap();
        assert_eq!(last.batch.data, b"{\"n\":3}\n");
        assert!(last.done);
    }

    #[test]
    fn wrong_settings_are_invalid() {
        let failure = Numbers::open(json!({ "from": "x" }), None, None).err();
        assert!(matches!(failure, Some(Failure::Invalid(_))));
    }
}
