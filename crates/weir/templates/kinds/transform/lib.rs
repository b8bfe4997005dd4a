//! A transform: turns records into records. This one trims the text in a field, which a pipeline names in the stage's settings, and rejects records without it.

use weir_sdk::{
    Batch, Failure, Manifest, Plugin, Reject, Transform, Transformed, Transformer,
    serde::Deserialize,
    serde_json::Value,
};

/// The stage's settings, and what works during one run.
#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields)]
struct Trim {
    /// The field whose text is trimmed.
    field: String,
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

impl Transform for {{Type}} {
    type Transformer = Trim;
}

impl Transformer for Trim {
    fn open(config: Value) -> Result<Self, Failure> {
        Self::deserialize(config).map_err(|error| Failure::invalid(format!("settings: {error}")))
    }

    fn apply(&mut self, batch: Batch) -> Result<Transformed, Failure> {
        let (mut kept, mut rejects) = (Vec::new(), Vec::new());
        for (index, mut record) in (0..).zip(batch.records::<Value>()?) {
            match record.get_mut(&self.field) {
                Some(Value::String(text)) => {
                    *text = text.trim().to_owned();
                    kept.push(record);
                }
                _ => rejects.push(Reject {
                    index,
                    reason: format!("no text in '{}'", self.field),
                }),
            }
        }
        Ok(Transformed {
            batch: Batch::ndjson(&kept)?,
            rejects,
        })
    }
}

weir_sdk::plugin!({{Type}}: transform);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::serde_json::json;

    #[test]
    fn trims_and_rejects() {
        let mut trim = Trim::open(json!({ "field": "name" })).unwrap();
        let batch = Batch::ndjson(&[json!({ "name": " Ann " }), json!({ "age": 3 })]).unwrap();
        let done = trim.apply(batch).unwrap();
        assert_eq!(done.batch.data, b"{\"name\":\"Ann\"}\n");
        assert_eq!(done.rejects.len(), 1);
        assert_eq!(done.rejects[0].index, 1);
    }

    #[test]
    fn wrong_settings_are_invalid() {
        let failure = Trim::open(json!({ "feild": "name" })).err();
        assert!(matches!(failure, Some(Failure::Invalid(_))));
    }
}
