//! The event bus, the emitting side. Grant: `events`, with the topics' prefixes. The hearing side is the role `subscriber`.

use std::{error::Error, fmt};

use serde::Serialize;

use crate::bindings::events::weir::host::events;

/// Why an event was not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// No grant, or not for this topic.
    Denied,
    /// This event was caused by an event that was caused by ... 8 deep: a storm ends here.
    TooDeep,
    /// The bus takes no more just now.
    Full,
    /// The payload cannot be written as JSON.
    NotJson(String),
}

/// Tells all who subscribe to the topic; returns once the event is queued.
pub fn emit<T: Serialize + ?Sized>(topic: &str, payload: &T) -> Result<(), EmitError> {
    let payload =
        serde_json::to_string(payload).map_err(|error| EmitError::NotJson(error.to_string()))?;
    events::emit(topic, &payload).map_err(|error| match error {
        events::EmitError::Denied => EmitError::Denied,
        events::EmitError::TooDeep => EmitError::TooDeep,
        events::EmitError::Full => EmitError::Full,
    })
}

impl fmt::Display for EmitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => {
                formatter.write_str("events: the operator's grant does not cover this topic")
            }
            Self::TooDeep => formatter.write_str("events: 8 events deep, an event storm"),
            Self::Full => formatter.write_str("events: the bus is full"),
            Self::NotJson(reason) => write!(formatter, "events: the payload is not JSON: {reason}"),
        }
    }
}

impl Error for EmitError {}
