//! Durable key-value state of the plugin, shared by all its instances and kept across reloads and restarts. Grant: `state`.
//!
//! Keys are 1 to 512 bytes and, where the grant names prefixes, start with one of them. Each call is one transaction. Sizes are bounded
//! by the `state_bytes` and `state_keys` limits.
//!
//! ```no_run
//! # use weir_sdk::state;
//! let visits = state::add("visits", 1)?;
//! # Ok::<(), weir_sdk::Failure>(())
//! ```

use std::{error::Error, fmt};

use serde::{Serialize, de::DeserializeOwned};

use crate::bindings::state::weir::host::state;

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// No grant, a key outside the granted prefixes, or a key of a wrong length.
    Denied,
    /// Over the plugin's quota of bytes or keys. Nothing was written.
    Full,
    /// [`swap`] found another version, which is given (none: the key is absent); or [`add`] found something that is not a counter. Nothing was written.
    Conflict(Option<u64>),
    /// The store did not answer. It is not known whether a write took place.
    Unavailable(String),
    /// The value is not the JSON that was asked for ([`get_json`]), or cannot be written as JSON ([`set_json`]).
    NotJson(String),
}

/// A value and the version it was written as. Versions of a key only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was written.
    pub value: Vec<u8>,
    /// The version, for [`swap`].
    pub version: u64,
}

/// Reads a value; none if the key is absent.
pub fn get(key: &str) -> Result<Option<Entry>, StateError> {
    let entry = state::get(key).map_err(lift)?;
    Ok(entry.map(|entry| Entry {
        value: entry.value,
        version: entry.version,
    }))
}

/// Reads a value that [`set_json`] wrote.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, StateError> {
    let entry = get(key)?;
    entry
        .map(|entry| serde_json::from_slice(&entry.value))
        .transpose()
        .map_err(|error| StateError::NotJson(error.to_string()))
}

/// Writes, whatever was there; returns the new version.
pub fn set(key: &str, value: &[u8]) -> Result<u64, StateError> {
    state::set(key, value).map_err(lift)
}

/// Writes a value as JSON, whatever was there; returns the new version.
pub fn set_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<u64, StateError> {
    set(
        key,
        &serde_json::to_vec(value).map_err(|error| StateError::NotJson(error.to_string()))?,
    )
}

/// Removes; was it there?
pub fn delete(key: &str) -> Result<bool, StateError> {
    state::delete(key).map_err(lift)
}

/// Writes only if the key still has this version (none: only if it is absent); returns the new version.
pub fn swap(key: &str, version: Option<u64>, value: &[u8]) -> Result<u64, StateError> {
    state::swap(key, version, value).map_err(lift)
}

/// Adds to a 64-bit counter in one step and returns the sum; an absent key counts as 0.
pub fn add(key: &str, delta: i64) -> Result<i64, StateError> {
    state::add(key, delta).map_err(lift)
}

/// Keys that start with `prefix`, in byte order, after `after`; at most `limit`, and never more than 1,000.
pub fn list_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StateError> {
    state::list_keys(prefix, after, limit).map_err(lift)
}

impl fmt::Display for StateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => {
                formatter.write_str("state: the operator's grant does not cover this key")
            }
            Self::Full => formatter.write_str("state: over the plugin's quota"),
            Self::Conflict(_) => {
                formatter.write_str("state: the value has changed, or is not a counter")
            }
            Self::Unavailable(reason) => {
                write!(formatter, "state: the store did not answer: {reason}")
            }
            Self::NotJson(reason) => write!(formatter, "state: not the expected JSON: {reason}"),
        }
    }
}

impl Error for StateError {}

fn lift(error: state::StateError) -> StateError {
    match error {
        state::StateError::Denied => StateError::Denied,
        state::StateError::Full => StateError::Full,
        state::StateError::Conflict(version) => StateError::Conflict(version),
        state::StateError::Unavailable(reason) => StateError::Unavailable(reason),
    }
}
