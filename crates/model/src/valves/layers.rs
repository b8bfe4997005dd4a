//! The values a plugin starts with: the spec's defaults, and over them what the plugin, the operator and people say.

use serde_json::{Map, Value};

use super::{Spec, ValveError};

/// Values from one place.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The place, for errors: `the manifest`, `hello.toml`, ..
    pub from: &'a str,
    /// The values it gives; the rest stays as it is.
    pub values: &'a Map<String, Value>,
    /// Are names that the spec does not know left out in silence, or an error?
    pub ignore_unknown: bool,
}

/// Values that do not fit, and where they come from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{from}: {text}")]
pub struct LayerError {
    /// The place they come from.
    pub from: String,
    /// What is wrong, with the key.
    pub text: String,
}

impl Spec {
    /// All values after these layers, the later ones over the earlier ones.
    ///
    /// # Errors
    /// The first layer that does not fit with all that is wrong in it; or the valves that no layer gives although they are required.
    pub fn layer(&self, layers: &[Layer<'_>]) -> Result<Map<String, Value>, LayerError> {
        let mut given = Map::new();
        for layer in layers {
            for (name, value) in self.check_layer(layer)? {
                given.insert(name, value);
            }
        }
        self.fit(&given).map_err(|wrong| LayerError {
            from: "required values".into(),
            text: join(&wrong),
        })
    }

    fn check_layer(&self, layer: &Layer<'_>) -> Result<Map<String, Value>, LayerError> {
        let failed = |text| LayerError {
            from: layer.from.into(),
            text,
        };
        let mut fitted = Map::new();
        let mut wrong = Vec::new();
        for (name, value) in layer.values {
            match self.fields.iter().find(|f| f.name == *name) {
                Some(field) => match field.kind.fit(value, &[name]) {
                    Ok(value) => {
                        fitted.insert(name.clone(), value);
                    }
                    Err(errors) => wrong.extend(errors.iter().map(shown)),
                },
                None if layer.ignore_unknown => {}
                None => {
                    let known: Vec<_> = self.names().collect();
                    wrong.push(format!(
                        "{name}: there is no such valve; there are: {}",
                        known.join(", ")
                    ));
                }
            }
        }
        if wrong.is_empty() {
            Ok(fitted)
        } else {
            Err(failed(wrong.join("; ")))
        }
    }
}

fn join(errors: &[ValveError]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// The error with the type that was given. Not the value: it may be a secret.
fn shown(error: &ValveError) -> String {
    let given = match error.input {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("{error} (given: {given})")
}
