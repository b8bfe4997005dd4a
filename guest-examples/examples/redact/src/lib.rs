//! A filter with typed valves: it takes e-mail addresses out of what people send to a model, and, if the operator likes, out of the answers.

mod email;

use weir_sdk::{
    Failure, Filter, Manifest, Message, Plugin, Valves,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::Value,
    valves,
};

/// What people can set.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", default)]
#[schemars(crate = "weir_sdk::schemars")]
struct Settings {
    /// Models whose chats are filtered; * for all.
    pipelines: Vec<String>,
    /// Filters run lowest first.
    priority: i64,
    /// What an address is replaced with.
    replacement: String,
    /// Also in the model's answers?
    answers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pipelines: vec!["*".to_owned()],
            priority: 0,
            replacement: "[e-mail]".to_owned(),
            answers: false,
        }
    }
}

#[derive(Default)]
struct Redact;

impl Plugin for Redact {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Redact e-mail addresses")
    }
}

impl Valves for Redact {
    type Fields = Settings;
}

impl Filter for Redact {
    fn inlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        let Settings { replacement, .. } = valves::get()?;
        message.each_text(|text| *text = email::replace(text, &replacement));
        Ok(message.body)
    }

    fn outlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        let Settings {
            replacement,
            answers,
            ..
        } = valves::get()?;
        if answers {
            message.each_text(|text| *text = email::replace(text, &replacement));
        }
        Ok(message.body)
    }
}

weir_sdk::plugin!(Redact: filter, valves);
