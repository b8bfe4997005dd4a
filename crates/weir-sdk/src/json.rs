//! JSON documents that pass through a plugin: text until somebody wants to know what it says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Failure;

/// A JSON document as text. One that is only passed on is never parsed; who reads it pays for what is read, least with a type of their own that has only
/// the fields that count.
///
/// ```
/// use weir_sdk::{Json, serde::Deserialize, serde_json::Value};
///
/// #[derive(Deserialize)]
/// #[serde(crate = "weir_sdk::serde")]
/// struct Chat<'a> { model: &'a str }
///
/// # fn main() -> Result<(), weir_sdk::Failure> {
/// let chat = Json::of(&[("model", "echo")].into_iter().collect::<std::collections::BTreeMap<_, _>>())?;
/// assert_eq!(chat.parse::<Chat>()?.model, "echo");
///
/// let mut value: Value = chat.parse()?;
/// value["seen"] = true.into();
/// assert_eq!(Json::from(value).text(), r#"{"model":"echo","seen":true}"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// The document of a value. What has no JSON (a map whose keys are no texts) is [`Failure::Internal`].
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Failure> {
        serde_json::to_string(value)
            .map(Self)
            .map_err(Failure::internal)
    }

    /// A document as it came from the host, which has checked it.
    pub(crate) fn checked(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What the document says, as a [`Value`] or a type of yours, which may borrow from it. A mismatch is [`Failure::Invalid`].
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        parse("document", &self.0)
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Its text, to keep.
    pub fn into_text(self) -> String {
        self.0
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}

/// Reads a document; `name` is what it is called in the failure.
pub(crate) fn parse<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::invalid(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_mismatch_says_what_is_wrong() {
        let failure = Json::checked("[1]").parse::<String>().unwrap_err();
        assert!(
            matches!(&failure, Failure::Invalid(text) if text.starts_with("document: invalid type")),
            "{failure:?}"
        );
    }

    #[test]
    fn what_has_no_json_is_a_failure() {
        let keys = BTreeMap::from([(vec![1], 1)]);
        assert!(matches!(Json::of(&keys), Err(Failure::Internal(_))));
    }
}
