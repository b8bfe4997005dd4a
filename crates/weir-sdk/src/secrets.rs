//! Named secrets. Grant: `secrets`, each by name; what a name stands for is in the host's configuration.
//!
//! Ask for a secret when you need it and do not keep it: the operator may change it.
//!
//! ```no_run
//! # use weir_sdk::secrets;
//! let key = secrets::get("openai")?;
//! # drop(key); Ok::<(), weir_sdk::Failure>(())
//! ```

use std::{error::Error, fmt};

use crate::bindings::secrets::weir::host::secrets;

/// Why there is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// No grant for this name.
    Denied,
    /// Granted, but the operator has not set it.
    NotFound,
}

/// The secret's text. Do not log it or send it to people.
pub fn get(name: &str) -> Result<String, SecretError> {
    secrets::get(name).map_err(|error| match error {
        secrets::SecretError::Denied => SecretError::Denied,
        secrets::SecretError::NotFound => SecretError::NotFound,
    })
}

impl fmt::Display for SecretError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Denied => "secrets: the operator's grant does not cover this name",
            Self::NotFound => "secrets: not set",
        })
    }
}

impl Error for SecretError {}
