//! What a new instance is told at its start. Valves that change later come through `valves`.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::Failure;

/// The operator's settings for this plugin and the valves in force, as `init` gets them.
///
/// ```
/// # use weir_sdk::{Config, Failure};
/// # use serde::Deserialize;
/// #[derive(Deserialize)]
/// struct Settings { greeting: String }
///
/// fn init(config: &Config) -> Result<(), Failure> {
///     let settings: Settings = config.parse()?; // says what is wrong with it, as `invalid`
///     # drop(settings); Ok(())
/// }
/// ```
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Config {
    /// The table `[config]` of the plugin's settings; an empty object if there is none.
    #[serde(default)]
    pub config: Value,
    /// The valves in force, an object.
    #[serde(default)]
    pub valves: Value,
}

impl Config {
    /// The operator's settings as a type of yours. A mismatch is [`Failure::Invalid`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        T::deserialize(&self.config)
            .map_err(|error| Failure::invalid(format!("configuration: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_is_invalid() {
        let config: Config =
            serde_json::from_str(r#"{"config": {"n": "x"}, "valves": {}}"#).unwrap();
        let failure = config
            .parse::<std::collections::BTreeMap<String, u8>>()
            .unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("configuration: invalid type: string \"x\", expected u8")
        );
    }
}
