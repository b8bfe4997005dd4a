//! What is done to a record: fields required, renamed and kept. Knows nothing of batches.

use std::collections::{BTreeMap, BTreeSet};

use weir_sdk::{
    Failure,
    serde::Deserialize,
    serde_json::{Map, Value},
};

/// The stage's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "weir_sdk::serde", default, deny_unknown_fields)]
pub struct Shape {
    require: Vec<String>,
    rename: BTreeMap<String, String>,
    keep: Option<Vec<String>>,
}

impl Shape {
    /// Reads the settings. What is wrong is [`Failure::Invalid`].
    pub fn parse(config: &Value) -> Result<Self, Failure> {
        let shape = Self::deserialize(config)
            .map_err(|error| Failure::invalid(format!("config: {error}")))?;
        let targets: BTreeSet<_> = shape.rename.values().collect();
        if targets.len() < shape.rename.len() {
            return Err(Failure::invalid(
                "config: rename: two fields get the same name",
            ));
        }
        Ok(shape)
    }

    /// The record in shape, or why it is rejected.
    pub fn bring(&self, record: Value) -> Result<Map<String, Value>, String> {
        let Value::Object(record) = record else {
            return Err("the record is not an object".to_owned());
        };
        for field in &self.require {
            if record.get(field).is_none_or(Value::is_null) {
                return Err(format!("field '{field}' is missing"));
            }
        }
        let mut renamed = Map::new();
        for (field, value) in record {
            let name = self.rename.get(&field).unwrap_or(&field);
            if renamed.insert(name.clone(), value).is_some() {
                return Err(format!("two fields would be called '{name}'"));
            }
        }
        let Some(keep) = &self.keep else {
            return Ok(renamed);
        };
        let kept = keep
            .iter()
            .filter_map(|field| Some((field.clone(), renamed.get(field)?.clone())));
        Ok(kept.collect())
    }
}

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[track_caller]
    fn check(config: &Value, record: Value, expected: Result<Value, &str>) {
        let shape = Shape::parse(config).unwrap();
        let brought = shape.bring(record).map(Value::Object);
        assert_eq!(brought, expected.map_err(str::to_owned));
    }

    #[test]
    fn brings_records_into_shape() {
        check(
            &json!({}),
            json!({"b": 1, "a": 2}),
            Ok(json!({"b": 1, "a": 2})),
        );
        check(
            &json!({"rename": {"a": "b"}}),
            json!({"a": 1}),
            Ok(json!({"b": 1})),
        );
        check(
            &json!({"rename": {"a": "b", "b": "a"}}),
            json!({"a": 1, "b": 2}),
            Ok(json!({"b": 1, "a": 2})),
        );
        check(
            &json!({"rename": {"a": "b"}}),
            json!({"a": 1, "b": 2}),
            Err("two fields would be called 'b'"),
        );
        check(
            &json!({"keep": ["c", "a"]}),
            json!({"a": 1, "b": 2}),
            Ok(json!({"a": 1})),
        );
        check(
            &json!({"require": ["a"]}),
            json!({"a": null}),
            Err("field 'a' is missing"),
        );
    }

    #[test]
    fn wrong_settings_are_invalid() {
        for (config, word) in [
            (json!({"requires": []}), "unknown field `requires`"),
            (json!(null), "null"),
            (json!({"rename": {"a": "c", "b": "c"}}), "the same name"),
        ] {
            let failure = Shape::parse(&config).unwrap_err();
            assert!(failure.message().contains(word), "{failure}");
        }
    }
}
