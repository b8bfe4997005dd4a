//! Why a plugin did not do what it was asked. Limits are not here: the host enforces them, and ends the call.

use std::{error::Error, fmt, time::Duration};

use crate::bindings::base::weir::types::values;

/// An ordinary answer that says no. The instance stays in use and the plugin's health is not touched.
///
/// Any [`std::error::Error`] becomes [`Failure::Internal`] with `?`; choose another kind with `map_err`:
///
/// ```
/// # use weir_sdk::Failure;
/// fn port(text: &str) -> Result<u16, Failure> {
///     text.parse().map_err(|error| Failure::invalid(format!("port '{text}': {error}")))
/// }
/// assert_eq!(port("x"), Err(Failure::invalid("port 'x': invalid digit found in string")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The input or the configuration is wrong; trying again will not help. HTTP 400 (422 for valves).
    Invalid(String),
    /// Something outside failed; trying again may help. HTTP 503.
    Transient {
        /// For people: one sentence, without secrets.
        message: String,
        /// How long the caller should wait before it tries again.
        retry_after: Option<Duration>,
    },
    /// A policy says no. HTTP 403.
    Refused(String),
    /// The plugin's own fault. HTTP 500; the text is shown to the caller.
    Internal(String),
}

impl Failure {
    /// The input or the configuration is wrong.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::Invalid(message.to_string())
    }

    /// Something outside failed, and may work later.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::Transient {
            message: message.to_string(),
            retry_after: None,
        }
    }

    /// Something outside failed, and may work again after this time (whole milliseconds; more than 49 days count as 49).
    pub fn retry_after(message: impl fmt::Display, wait: Duration) -> Self {
        Self::Transient {
            message: message.to_string(),
            retry_after: Some(wait),
        }
    }

    /// A policy says no.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::Refused(message.to_string())
    }

    /// The plugin's own fault.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::Internal(message.to_string())
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        match self {
            Self::Invalid(message)
            | Self::Refused(message)
            | Self::Internal(message)
            | Self::Transient { message, .. } => message,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

// `Failure` itself is not an `Error`: else this would clash with `From<Failure> for Failure`.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::internal(error)
    }
}

/// To the contract's type.
pub(crate) fn lower(failure: Failure) -> values::Failure {
    match failure {
        Failure::Invalid(message) => values::Failure::Invalid(message),
        Failure::Refused(message) => values::Failure::Refused(message),
        Failure::Internal(message) => values::Failure::Internal(message),
        Failure::Transient {
            message,
            retry_after,
        } => values::Failure::Transient(values::Transience {
            message,
            retry_after_ms: retry_after
                .map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        }),
    }
}

/// From the contract's type.
pub(crate) fn lift(failure: values::Failure) -> Failure {
    match failure {
        values::Failure::Invalid(message) => Failure::Invalid(message),
        values::Failure::Refused(message) => Failure::Refused(message),
        values::Failure::Internal(message) => Failure::Internal(message),
        values::Failure::Transient(transience) => Failure::Transient {
            message: transience.message,
            retry_after: transience
                .retry_after_ms
                .map(|ms| Duration::from_millis(ms.into())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crosses_the_border_and_back() {
        let all = [
            Failure::invalid("a"),
            Failure::refused("b"),
            Failure::internal("c"),
            Failure::transient("d"),
            Failure::retry_after("e", Duration::from_millis(1500)),
        ];
        for failure in all {
            assert_eq!(lift(lower(failure.clone())), failure);
        }
    }

    #[test]
    fn a_long_wait_is_cut_not_wrapped() {
        let lowered = lower(Failure::retry_after("x", Duration::from_secs(u64::MAX)));
        assert_eq!(
            lift(lowered),
            Failure::retry_after("x", Duration::from_millis(u32::MAX.into()))
        );
    }

    #[test]
    fn any_error_becomes_internal() {
        fn parse(text: &str) -> Result<serde_json::Value, Failure> {
            Ok(serde_json::from_str(text)?)
        }
        assert_eq!(
            parse("{"),
            Err(Failure::internal(
                "EOF while parsing an object at line 1 column 1"
            ))
        );
    }
}
