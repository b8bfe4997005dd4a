//! `weir:host/state`: the plugin's durable keys, behind its grant and its quota.

use model::grants::{Capability, StateGrant};
use model::id::PluginId;
use model::limits::Limit;
use model::ports::{Expect, Quota, StateError};

use crate::bindings::weir::host::state::{Entry, Host, StateError as WitError};
use crate::state::State;

/// Most keys of one listing.
const MAX_LISTED: u32 = 1_000;

impl State {
    /// The grant and whose state it is; none is counted as a denial.
    fn state_grant(&self, key: Option<&str>) -> Result<PluginId, WitError> {
        let covers = |grant: &StateGrant| key.is_none_or(|k| grant.covers(k));
        match (&self.shared.grants.state, self.shared.id()) {
            (Some(grant), Some(id)) if covers(grant) => {
                self.shared.counters.used(Capability::State);
                Ok(id.clone())
            }
            (grant, _) => {
                self.shared
                    .denied(Capability::State, || match (grant, key) {
                        (Some(_), Some(key)) => format!("the key {key:?} is not granted"),
                        _ => "the grant `state` is missing".into(),
                    });
                Err(WitError::Denied)
            }
        }
    }

    fn quota(&self) -> Quota {
        Quota {
            bytes: self.shared.limits.get(Limit::StateBytes),
            keys: self.shared.limits.get(Limit::StateKeys),
        }
    }

    async fn put(&mut self, key: String, value: Vec<u8>, expect: Expect) -> Result<u64, WitError> {
        let id = self.state_grant(Some(&key))?;
        self.budget.bytes(key.len() + value.len());
        let store = &self.shared.host.ports.state;
        store
            .put(id, key, value, expect, self.quota())
            .await
            .map_err(wit)
    }
}

fn wit(error: StateError) -> WitError {
    match error {
        StateError::Full => WitError::Full,
        StateError::Conflict(version) => WitError::Conflict(version),
        StateError::Unavailable(reason) => WitError::Unavailable(reason),
    }
}

impl Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Entry>, WitError>> {
        let id = match self.state_grant(Some(&key)) {
            Ok(id) => id,
            Err(e) => return Ok(Err(e)),
        };
        let found = self.shared.host.ports.state.get(id, key).await.map_err(wit);
        if let Ok(Some(entry)) = &found {
            self.budget.bytes(entry.value.len());
        }
        Ok(found.map(|entry| {
            entry.map(|e| Entry {
                value: e.value,
                version: e.version,
            })
        }))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<u64, WitError>> {
        Ok(self.put(key, value, Expect::Any).await)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<bool, WitError>> {
        let id = match self.state_grant(Some(&key)) {
            Ok(id) => id,
            Err(e) => return Ok(Err(e)),
        };
        Ok(self
            .shared
            .host
            .ports
            .state
            .delete(id, key)
            .await
            .map_err(wit))
    }

    async fn swap(
        &mut self,
        key: String,
        version: Option<u64>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<u64, WitError>> {
        Ok(self.put(key, value, Expect::Version(version)).await)
    }

    async fn add(&mut self, key: String, delta: i64) -> wasmtime::Result<Result<i64, WitError>> {
        let id = match self.state_grant(Some(&key)) {
            Ok(id) => id,
            Err(e) => return Ok(Err(e)),
        };
        let quota = self.quota();
        Ok(self
            .shared
            .host
            .ports
            .state
            .add(id, key, delta, quota)
            .await
            .map_err(wit))
    }

    async fn list_keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, WitError>> {
        // A listing below a granted prefix is granted; where prefixes are granted, all keys at once are not.
        let key = match &self.shared.grants.state {
            Some(grant) if grant.prefixes.is_empty() => None,
            Some(_) | None => Some(prefix.as_str()),
        };
        let id = match self.state_grant(key) {
            Ok(id) => id,
            Err(e) => return Ok(Err(e)),
        };
        let keys = self
            .shared
            .host
            .ports
            .state
            .keys(id, prefix, after, limit.min(MAX_LISTED));
        let found = keys.await.map_err(wit);
        if let Ok(keys) = &found {
            self.budget.bytes(keys.iter().map(String::len).sum());
        }
        Ok(found)
    }
}
