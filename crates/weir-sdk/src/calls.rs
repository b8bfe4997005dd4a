//! Calls to other plugins, the calling side. Grant: `calls`, and a declared dependency. The answering side is the role `peer`.

use std::{error::Error, fmt, time::Duration};

use serde::Serialize;
use serde_json::Value;

use crate::{Failure, bindings::calls::weir::host::calls, failure::lift};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No grant, or no declared dependency.
    Denied,
    /// The plugin is not there, or not started.
    NotFound,
    /// The call would come back to a plugin that is already waiting: the chain, first caller first.
    Cycle(Vec<String>),
    /// Calls 8 deep.
    TooDeep,
    /// No answer within the time-out.
    TimedOut,
    /// The callee trapped or ran into a limit.
    Crashed(String),
    /// The callee answered with a failure.
    Failed(Failure),
    /// The payload or the answer is not JSON.
    NotJson(String),
}

/// Waits for the answer: 5 s if no time-out is given, never past the caller's own deadline. The callee pays with its own fuel.
pub fn call<T: Serialize + ?Sized>(
    plugin: &str,
    method: &str,
    payload: &T,
    timeout: Option<Duration>,
) -> Result<Value, CallError> {
    let timeout = timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    let answer = calls::call(plugin, method, &json(payload)?, timeout).map_err(translate)?;
    serde_json::from_str(&answer).map_err(|error| CallError::NotJson(error.to_string()))
}

/// Queues the call and goes on. Nobody hears the answer.
pub fn cast<T: Serialize + ?Sized>(
    plugin: &str,
    method: &str,
    payload: &T,
) -> Result<(), CallError> {
    calls::cast(plugin, method, &json(payload)?).map_err(translate)
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => formatter.write_str("call: no grant, or no declared dependency"),
            Self::NotFound => formatter.write_str("call: the plugin is not there"),
            Self::Cycle(chain) => write!(formatter, "call: a cycle: {}", chain.join(" -> ")),
            Self::TooDeep => formatter.write_str("call: 8 calls deep"),
            Self::TimedOut => formatter.write_str("call: no answer in time"),
            Self::Crashed(reason) => write!(formatter, "call: the plugin crashed: {reason}"),
            Self::Failed(failure) => write!(formatter, "call: {failure}"),
            Self::NotJson(reason) => write!(formatter, "call: not JSON: {reason}"),
        }
    }
}

impl Error for CallError {}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, CallError> {
    serde_json::to_string(value).map_err(|error| CallError::NotJson(error.to_string()))
}

fn translate(error: calls::CallError) -> CallError {
    match error {
        calls::CallError::Denied => CallError::Denied,
        calls::CallError::NotFound => CallError::NotFound,
        calls::CallError::Cycle(chain) => CallError::Cycle(chain),
        calls::CallError::TooDeep => CallError::TooDeep,
        calls::CallError::TimedOut => CallError::TimedOut,
        calls::CallError::Crashed(reason) => CallError::Crashed(reason),
        calls::CallError::Failed(failure) => CallError::Failed(lift(failure)),
    }
}
