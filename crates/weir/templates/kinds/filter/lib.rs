//! A filter: hides the words that its valves list in what people send to a model, and in the answers.

use weir_sdk::{
    Failure, Filter, Manifest, Message, Plugin, Valves,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::Value,
    valves,
};

/// What people can set while it runs.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", default)]
#[schemars(crate = "weir_sdk::schemars")]
struct Settings {
    /// Models whose chats are filtered; * for all.
    pipelines: Vec<String>,
    /// Filters run lowest first.
    priority: i64,
    /// Words to hide.
    words: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pipelines: vec!["*".to_owned()],
            priority: 0,
            words: Vec::new(),
        }
    }
}

#[derive(Default)]
struct {{Type}};

impl Plugin for {{Type}} {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("{{Title}}")
            {{manifest}}
    }
}

impl Valves for {{Type}} {
    type Fields = Settings;
}

impl Filter for {{Type}} {
    fn inlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        {{use}}
        let settings: Settings = valves::get()?;
        message.each_text(|text| *text = hide(text, &settings.words));
        Ok(message.body)
    }

    fn outlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        let settings: Settings = valves::get()?;
        message.each_text(|text| *text = hide(text, &settings.words));
        Ok(message.body)
    }
}

/// The text with three stars for each of the words.
fn hide(text: &str, words: &[String]) -> String {
    let given = words.iter().filter(|word| !word.is_empty());
    given.fold(text.to_owned(), |text, word| text.replace(word, "***"))
}

weir_sdk::plugin!({{Type}}: filter, valves);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_words() {
        let words = ["plan".to_owned(), String::new()];
        assert_eq!(hide("the plan", &words), "the ***");
        assert_eq!(hide("the plan", &[]), "the plan");
    }
}
