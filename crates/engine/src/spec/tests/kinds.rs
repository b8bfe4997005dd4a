//! A small source, transform and sink for tests of specs: they have options and are never opened.

use std::sync::Arc;

use model::BoxFuture;
use model::data::{Batch, Encoding, Opening, Reader, Transformer, Writer};
use model::error::Fault;
use model::stage::{
    Context, Convert, Described, Kind, Misfit, Natives, SinkKind, SourceKind, TransformKind,
};
use serde_json::{Value, json};

/// What tests name in specs: the source `rows`, the transform `pick` and the sink `store`.
pub(crate) fn natives() -> Natives {
    Natives {
        sources: vec![Arc::new(Rows)],
        transforms: vec![Arc::new(Pick)],
        sinks: vec![Arc::new(Store)],
        convert: Arc::new(Never),
    }
}

#[derive(Debug)]
struct Rows;
#[derive(Debug)]
struct Pick;
#[derive(Debug)]
struct Store;
#[derive(Debug)]
struct Never;

fn never<T>() -> BoxFuture<'static, Result<T, Fault>> {
    Box::pin(async { Err(Fault::Internal("it is never opened".into())) })
}

impl Kind for Rows {
    fn described(&self) -> Described {
        Described {
            name: "rows",
            summary: "Rows.",
            options: json!({
                "type": "object",
                "title": "Rows",
                "additionalProperties": false,
                "required": ["path"],
                "properties": {
                    "path": {"type": "string"},
                    "limit": {"type": ["integer", "null"], "minimum": 1},
                    "retry": {"$ref": "#/$defs/Retry"},
                },
                "$defs": {"Retry": {"type": "object", "additionalProperties": false, "properties": {"tries": {"type": "integer"}}}},
            }),
        }
    }

    fn check(&self, options: &Value) -> Vec<Misfit> {
        let tries = options.pointer("/retry/tries").and_then(Value::as_u64);
        let wrong = tries.filter(|t| *t > 5);
        wrong
            .map(|t| Misfit::new("/retry/tries", format!("{t} tries are too many")))
            .into_iter()
            .collect()
    }
}

impl SourceKind for Rows {
    fn goes_on(&self, options: &Value) -> bool {
        options["path"] != "whole"
    }

    fn open(&self, _: Opening, _: Context) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        never()
    }
}

impl Kind for Pick {
    fn described(&self) -> Described {
        Described {
            name: "pick",
            summary: "Picks.",
            options: json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["fields"],
                "properties": {"fields": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
            }),
        }
    }
}

impl TransformKind for Pick {
    fn open(
        &self,
        _: String,
        _: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
        never()
    }
}

impl Kind for Store {
    fn described(&self) -> Described {
        Described {
            name: "store",
            summary: "Stores.",
            options: json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["table"],
                "properties": {"table": {"type": "string"}, "mode": {"oneOf": [{"const": "insert"}, {"const": "upsert"}]}},
            }),
        }
    }
}

impl SinkKind for Store {
    fn open(&self, _: String, _: Context) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        never()
    }
}

impl Convert for Never {
    fn convert(&self, batch: Batch, _: Encoding) -> Result<Batch, Fault> {
        Ok(batch)
    }
}
