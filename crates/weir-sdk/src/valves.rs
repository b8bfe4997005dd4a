//! Valves: settings that people change while the plugin runs. The host checks and converts what they enter; this is the plugin's side.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Failure, Plugin,
    bindings::{base::weir::types::values, valves::exports::weir::plugin::valves},
    failure::lower,
    plugin::{Adapter, Instance},
};

/// The role `valves`. The schema that people see comes from the type: doc comments are descriptions, `#[serde(default)]` makes a
/// field optional, its value is the default. Fields keep their order.
///
/// Fields may be strings, integers, numbers, booleans, lists of those, maps of strings, `Option`s, and enums without data. A filter's valves should
/// have `pipelines` (a list of model ids, `["*"]` for all) and `priority` (an integer, lowest first).
///
/// ```
/// # use weir_sdk::{Failure, Filter, Message, Plugin, Valves, valves, serde_json::Value};
/// use weir_sdk::schemars::JsonSchema;
/// use weir_sdk::serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, Serialize, JsonSchema)]
/// #[serde(crate = "weir_sdk::serde", default)]
/// #[schemars(crate = "weir_sdk::schemars")]
/// struct Settings {
///     /// Models to filter; `*` for all.
///     pipelines: Vec<String>,
///     /// Lowest first.
///     priority: i64,
/// }
///
/// impl Default for Settings {
///     fn default() -> Self {
///         Self { pipelines: vec!["*".into()], priority: 0 }
///     }
/// }
///
/// #[derive(Default)]
/// struct Polite;
///
/// impl Plugin for Polite {}
/// impl Valves for Polite {
///     type Fields = Settings;
/// }
/// impl Filter for Polite {
///     fn inlet(&mut self, message: Message) -> Result<Value, Failure> {
///         let settings: Settings = valves::get()?; // always the ones in force
///         # drop(settings);
///         Ok(message.body)
///     }
/// }
/// weir_sdk::plugin!(Polite: filter, valves);
/// # fn main() {}
/// ```
pub trait Valves: Plugin {
    /// The valves, as a type.
    type Fields: Serialize + DeserializeOwned + JsonSchema;

    /// The valves have changed. Only needed by a plugin that prepares something from them; others call [`get`] where they need them.
    /// A failure is told to whoever made the change; the change stays.
    fn updated(&mut self, fields: Self::Fields) -> Result<(), Failure> {
        let _ = fields;
        Ok(())
    }
}

/// The valves now in force. [`Failure::Internal`] if they do not fit the type, which the host rules out for the type in [`Valves::Fields`].
pub fn get<T: DeserializeOwned>() -> Result<T, Failure> {
    parse(&crate::bindings::base::weir::host::valves::get())
}

/// The JSON Schema of a valves type, as the host gets it: one level, without references.
pub fn spec<T: JsonSchema>() -> serde_json::Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.into_generator().into_root_schema_for::<T>().into()
}

impl<P: Valves + Instance> valves::Guest for Adapter<P> {
    fn spec() -> String {
        spec::<P::Fields>().to_string()
    }

    fn updated(valves: String) -> Result<(), values::Failure> {
        parse(&valves)
            .and_then(|fields| P::with(|plugin| plugin.updated(fields)))
            .map_err(lower)
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::internal(format!("valves: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    /// What the plugin can be told.
    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(default)]
    struct Settings {
        /// Where it listens.
        host: String,
        port: u16,
        #[schemars(range(min = 0.0, max = 2.0))]
        temperature: f64,
        enabled: bool,
        mode: Mode,
        tags: Vec<String>,
        limit: Option<i64>,
        headers: BTreeMap<String, String>,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Slow,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                host: "localhost".into(),
                port: 80,
                temperature: 0.7,
                enabled: true,
                mode: Mode::Slow,
                tags: vec!["a".into()],
                limit: None,
                headers: BTreeMap::new(),
            }
        }
    }

    #[test]
    fn the_schema_keeps_the_order_of_fields() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&spec::<Settings>()).unwrap());
    }

    #[test]
    fn an_enum_without_defaults_is_required() {
        #[derive(Deserialize, Serialize, JsonSchema)]
        struct Needed {
            mode: Mode,
        }
        assert_eq!(spec::<Needed>().pointer("/required/0").unwrap(), "mode");
        assert!(spec::<Needed>().get("$defs").is_none());
    }

    #[test]
    fn what_does_not_fit_says_where() {
        let failure = parse::<Settings>(r#"{"port": 70000}"#).err().unwrap();
        assert!(
            failure
                .message()
                .starts_with("valves: invalid value: integer `70000`, expected u16"),
            "{failure}"
        );
    }
}
