//! `weir:host/secrets`: hands out the secrets that the grant names, and remembers them so that they stay out of the log.

use model::grants::Capability;

use crate::bindings::weir::host::secrets::{Host, SecretError};
use crate::state::State;

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<String, SecretError>> {
        let shared = &self.shared;
        let granted = shared.about.is_some()
            && shared
                .grants
                .secrets
                .as_ref()
                .is_some_and(|names| names.contains(&name));
        if !granted {
            shared.denied(Capability::Secrets, || {
                format!("the secret {name:?} is not granted")
            });
            return Ok(Err(SecretError::Denied));
        }
        shared.counters.used(Capability::Secrets);
        let Some(secret) = shared.host.ports.secrets.get(&name) else {
            return Ok(Err(SecretError::NotFound));
        };
        shared.secrets.learn(&secret);
        self.budget.bytes(secret.len());
        Ok(Ok(secret))
    }
}
