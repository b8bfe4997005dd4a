//! Calls to other plugins, the calling side. Grant: `calls`, and a declared dependency ([`Manifest::depends_on`](crate::Manifest::depends_on)). The
//! answering side is the role [`Peer`](crate::Peer).
//!
//! ```no_run
//! # use weir_sdk::{calls::{self, CallError}, serde_json::json};
//! let answer = calls::call("bridge", "receive", &json!({"box": "in"}), None).map_err(CallError::into_failure)?;
//! # drop(answer); Ok::<(), weir_sdk::Failure>(())
//! ```

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
    /// Calls 8 deep: plugins that call plugins end here.
    TooDeep,
    /// No answer within the time-out. The callee may have done what it was asked, or still do it.
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

/// Queues the call and goes on. Nobody hears the answer. [`CallError::Failed`] with [`Failure::Transient`] when the callee's queue is full.
pub fn cast<T: Serialize + ?Sized>(
    plugin: &str,
    method: &str,
    payload: &T,
) -> Result<(), CallError> {
    calls::cast(plugin, method, &json(payload)?).map_err(translate)
}

impl CallError {
    /// As an answer to one's own caller: a failure of the callee is passed on as it is, a plugin that is absent, late or crashed is
    /// [`Failure::Transient`], all else [`Failure::Internal`].
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::NotFound | Self::TimedOut | Self::Crashed(_) => Failure::transient(self),
            Self::Denied | Self::Cycle(_) | Self::TooDeep | Self::NotJson(_) => {
                Failure::internal(self)
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_passed_on_and_a_crash_is_transient() {
        let refused = Failure::refused("no");
        assert_eq!(CallError::Failed(refused.clone()).into_failure(), refused);
        assert_eq!(
            CallError::TimedOut.into_failure(),
            Failure::transient("call: no answer in time")
        );
        assert_eq!(
            CallError::Cycle(vec!["a".into(), "b".into()]).into_failure(),
            Failure::internal("call: a cycle: a -> b")
        );
    }
}
