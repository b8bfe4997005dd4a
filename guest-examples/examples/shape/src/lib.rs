//! A stage of a data pipeline that brings records into shape, with a hook that checks its settings when a pipeline is written, not when it runs. The
//! grant is in `shape.toml`.
//!
//! ```yaml
//! config:
//!   require: [id]          # records without one of these fields, or with null there, are rejected
//!   rename: { old: new }   # first
//!   keep: [id, new]        # then only these, in this order; all if absent
//! ```

mod fields;

use fields::Shape;
use weir_sdk::{
    Batch, Failure, Hook, Hooks, Json, Manifest, Plugin, Transform, Transformed, Transformer,
    Verdict, serde_json::Value,
};

#[derive(Default)]
struct ShapePlugin;

impl Plugin for ShapePlugin {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("Shape")
            .provides("node_types", Value::from_iter([("types", vec!["shape"])]))
            .hook(Hook::before("validate_stage"))
    }
}

impl Transform for ShapePlugin {
    type Transformer = Shape;
}

impl Transformer for Shape {
    fn open(config: Value) -> Result<Self, Failure> {
        Self::parse(&config)
    }

    fn apply(&mut self, batch: Batch) -> Result<Transformed, Failure> {
        batch.each(|record| match self.bring(record) {
            Ok(record) => Verdict::Keep(record),
            Err(reason) => Verdict::Reject(reason),
        })
    }
}

impl Hooks for ShapePlugin {
    /// Refuses a stage of ours that would fail when it is opened. Other stages are none of our business.
    fn before(&mut self, _: &str, context: Json) -> Result<Json, Failure> {
        check(&context.parse()?)?;
        Ok(context)
    }
}

/// Checks the stage of a `validate_stage` context, if it is ours.
fn check(context: &Value) -> Result<(), Failure> {
    let text = |pointer| context.pointer(pointer).and_then(Value::as_str);
    if text("/stage/plugin") != Some(env!("CARGO_PKG_NAME")) {
        return Ok(());
    }
    let name = text("/stage/name").unwrap_or_default();
    if text("/stage/kind") != Some("transform") {
        return Err(Failure::invalid(format!(
            "stage '{name}': shape is a transform"
        )));
    }
    let config = context.pointer("/stage/config").unwrap_or(&Value::Null);
    match Shape::parse(config) {
        Ok(_) => Ok(()),
        Err(failure) => Err(Failure::invalid(format!("stage '{name}': {failure}"))),
    }
}

weir_sdk::plugin!(ShapePlugin: transform, hooks);

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    fn context(plugin: &str, kind: &str, config: &Value) -> Value {
        json!({"pipeline": "p", "stage": {"name": "tidy", "kind": kind, "type": "plugin", "plugin": plugin, "config": config}})
    }

    #[test]
    fn checks_its_own_stages_only() {
        let wrong = json!({"rename": 1});
        assert_eq!(check(&context("other", "transform", &wrong)), Ok(()));
        assert_eq!(
            check(&context("shape", "transform", &json!({"keep": ["a"]}))),
            Ok(())
        );
        let failure = check(&context("shape", "transform", &wrong)).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("stage 'tidy': config: invalid type: integer `1`, expected a map")
        );
        let failure = check(&context("shape", "sink", &json!({}))).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("stage 'tidy': shape is a transform")
        );
    }

    #[test]
    fn every_record_comes_out_or_is_rejected() {
        let config = json!({"require": ["id"], "rename": {"n": "name"}, "keep": ["name", "id"]});
        let mut shape = Shape::open(config).unwrap();
        let batch = Batch::ndjson(&[
            json!({"id": 1, "n": "a", "x": 0}),
            json!({"n": "b"}),
            json!([]),
        ])
        .unwrap();
        let done = shape.apply(batch).unwrap();
        assert_eq!(done.batch.data, b"{\"name\":\"a\",\"id\":1}\n");
        let rejects: Vec<_> = done
            .rejects
            .iter()
            .map(|reject| (reject.index, reject.reason.as_str()))
            .collect();
        assert_eq!(
            rejects,
            [
                (1, "field 'id' is missing"),
                (2, "the record is not an object")
            ]
        );
    }
}
