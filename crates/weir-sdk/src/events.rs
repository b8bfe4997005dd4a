//! The event bus, the emitting side. Grant: `events`, with the topics. The hearing side is the role [`Subscriber`](crate::Subscriber).
//!
//! A topic is 1 to 200 bytes of `A-Z a-z 0-9 _ - . : /`, first a letter or digit. Topics that start with `weir.` are the host's.
//!
//! ```no_run
//! # use weir_sdk::{events, serde_json::json};
//! events::emit("orders.new", &json!({"number": 17}))?;
//! # Ok::<(), weir_sdk::Failure>(())
//! ```

use std::{error::Error, fmt};

use serde::Serialize;

use crate::bindings::events::weir::host::events;

/// Why an event was not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// No grant, not for this topic, a topic of the host's, text that is no topic, a payload over the `event_bytes` limit, or a hook at
    /// `event_emitted` refused it.
    Denied,
    /// This event was caused by an event that was caused by ... 8 deep: a storm ends here.
    TooDeep,
    /// A subscriber that may hold up others had no room for it within one second. The event is not queued for anybody.
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
            Self::Denied => formatter.write_str(
                "events: the operator's grant does not cover this topic, the payload is too large, or a hook refused it",
            ),
            Self::TooDeep => formatter.write_str("events: 8 events deep, an event storm"),
            Self::Full => formatter.write_str("events: a subscriber has no room"),
            Self::NotJson(reason) => write!(formatter, "events: the payload is not JSON: {reason}"),
        }
    }
}

impl Error for EmitError {}
