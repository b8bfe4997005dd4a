//! A sink: writes records somewhere. This one keeps each batch in the plugin's own durable state, once: a batch that comes again has the same key.

use weir_sdk::{
    Batch, Failure, Manifest, Plugin, Reject, Sink, Writer, serde_json::Value, state,
};

/// Writes during one run.
struct Keep;

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

impl Sink for {{Type}} {
    type Writer = Keep;
}

impl Writer for Keep {
    fn open(_config: Value) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn push(&mut self, batch: Batch, key: &str) -> Result<Vec<Reject>, Failure> {
        let (kept, rejects) = sort(&batch)?;
        state::set(&format!("batch/{key}"), &kept.data)?;
        // Ok means that the records are safe.
        Ok(rejects)
    }
}

/// The records to keep, and those to give up on: all that are no objects.
fn sort(batch: &Batch) -> Result<(Batch, Vec<Reject>), Failure> {
    let (mut kept, mut rejects) = (Vec::new(), Vec::new());
    for (index, record) in (0..).zip(batch.records::<Value>()?) {
        if record.is_object() {
            kept.push(record);
        } else {
            rejects.push(Reject {
                index,
                reason: "the record is no object".to_owned(),
            });
        }
    }
    Ok((Batch::ndjson(&kept)?, rejects))
}

weir_sdk::plugin!({{Type}}: sink);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::serde_json::json;

    #[test]
    fn gives_up_on_what_is_no_object() {
        let batch = Batch::ndjson(&[json!({ "a": 1 }), json!(2)]).unwrap();
        let (kept, rejects) = sort(&batch).unwrap();
        assert_eq!(kept.data, b"{\"a\":1}\n");
        assert_eq!(rejects.len(), 1);
        assert_eq!(rejects[0].index, 1);
    }
}
