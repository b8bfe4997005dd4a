//! Hook points of the plugin's own, at which other plugins may run code. Needs no grant: it is the hooks that need one. The point must be in the
//! manifest ([`Manifest::point`](crate::Manifest::point)).
//!
//! ```no_run
//! # use weir_sdk::{points::{self, FireError}, serde_json::json};
//! // Hooks may change the letter, or refuse it.
//! let letter = points::fire("before_send", &json!({"text": "hi"})).map_err(FireError::into_failure)?;
//! # drop(letter); Ok::<(), weir_sdk::Failure>(())
//! ```

use std::{error::Error, fmt};

use serde::Serialize;
use serde_json::Value;

use crate::{Failure, bindings::points::weir::host::points, failure::lift};

/// Why nothing came of the hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FireError {
    /// The manifest names no such point.
    Unknown,
    /// Calls 8 deep: plugins that call plugins end here.
    TooDeep,
    /// A hook refused; or it crashed and its `on_failure` is `fail`.
    Refused(Failure),
    /// The context or what came of it is not JSON.
    NotJson(String),
}

/// Runs the hooks at the point `<own id>/<name>` on this context and returns what came of it; the context itself where there are none.
pub fn fire<T: Serialize + ?Sized>(name: &str, context: &T) -> Result<Value, FireError> {
    let context =
        serde_json::to_string(context).map_err(|error| FireError::NotJson(error.to_string()))?;
    let result = points::fire(name, &context).map_err(|error| match error {
        points::FireError::Unknown => FireError::Unknown,
        points::FireError::TooDeep => FireError::TooDeep,
        points::FireError::Refused(failure) => FireError::Refused(lift(failure)),
    })?;
    serde_json::from_str(&result).map_err(|error| FireError::NotJson(error.to_string()))
}

impl FireError {
    /// As an answer to one's own caller: a refusal is passed on as it is, all else is [`Failure::Internal`].
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Refused(failure) => failure,
            Self::Unknown | Self::TooDeep | Self::NotJson(_) => Failure::internal(self),
        }
    }
}

impl fmt::Display for FireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => formatter.write_str("point: the manifest names no such point"),
            Self::TooDeep => formatter.write_str("point: calls 8 deep"),
            Self::Refused(failure) => write!(formatter, "point: {failure}"),
            Self::NotJson(reason) => write!(formatter, "point: not JSON: {reason}"),
        }
    }
}

impl Error for FireError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_passed_on() {
        let refused = Failure::refused("too long");
        assert_eq!(FireError::Refused(refused.clone()).into_failure(), refused);
        assert_eq!(
            FireError::Unknown.into_failure(),
            Failure::internal("point: the manifest names no such point")
        );
    }
}
