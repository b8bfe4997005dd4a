//! `weir:host/calls`: checks that a plugin may call another one, and hands the call to the exchange.

use std::time::Duration;

use model::exchange::{Caller, PeerError};
use model::grants::Capability;
use model::id::PluginId;
use model::limits::Limit;

use crate::bindings::weir::host::calls::{CallError, Host};
use crate::bindings::weir::types::values::Failure;
use crate::json;
use crate::state::State;
use crate::trap;

/// Time-out of a call whose caller names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

impl State {
    /// Who calls whom.
    fn may_call(&self, plugin: &str) -> Result<(Caller, PluginId), String> {
        let (Some(caller), Some(about)) = (self.caller(), &self.shared.about) else {
            return Err("nothing is granted yet".into());
        };
        let grant = self.shared.grants.calls.as_ref();
        let grant = grant.ok_or("the grant `calls` is missing")?;
        let callee = PluginId::new(plugin).map_err(|e| e.to_string())?;
        if !about.manifest.dependencies.iter().any(|d| d.id == callee) {
            return Err(format!("{callee} is not among its manifest's dependencies"));
        }
        if !grant.covers(&callee) {
            return Err(format!("calls of {callee} are not granted"));
        }
        Ok((caller, callee))
    }

    /// Who calls whom, with a payload that does.
    fn check_call(
        &mut self,
        plugin: &str,
        method: &str,
        payload: &str,
    ) -> Result<(Caller, PluginId), CallError> {
        let bytes = method.len() + payload.len();
        self.budget.bytes(bytes);
        let allowed = self.may_call(plugin).map_err(|reason| {
            self.shared.denied(Capability::Calls, || reason);
            CallError::Denied
        })?;
        let invalid = |text: String| CallError::Failed(Failure::Invalid(text));
        let limit = self.shared.limits.get(Limit::EventBytes);
        if bytes as u64 > limit {
            return Err(invalid(format!(
                "method and payload have {bytes} bytes; the limit event_bytes = {limit}"
            )));
        }
        json::check(payload).map_err(|e| invalid(format!("the payload {e}")))?;
        self.shared.counters.used(Capability::Calls);
        Ok(allowed)
    }
}

fn wit(error: PeerError) -> CallError {
    match error {
        PeerError::NotFound => CallError::NotFound,
        PeerError::Cycle(chain) => CallError::Cycle(chain),
        PeerError::TooDeep => CallError::TooDeep,
        PeerError::TimedOut => CallError::TimedOut,
        PeerError::Crashed(text) => CallError::Crashed(text),
        PeerError::Failed(fault) => match trap::failure(fault) {
            Ok(failure) => CallError::Failed(failure),
            Err(text) => CallError::Crashed(text),
        },
    }
}

impl Host for State {
    async fn call(
        &mut self,
        plugin: String,
        method: String,
        payload: String,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Result<String, CallError>> {
        let (caller, callee) = match self.check_call(&plugin, &method, &payload) {
            Ok(allowed) => allowed,
            Err(error) => return Ok(Err(error)),
        };
        let timeout = timeout_ms.map_or(DEFAULT_TIMEOUT, |ms| Duration::from_millis(ms.into()));
        let timeout = timeout.min(self.ongoing.left());
        let exchange = &self.shared.host.ports.exchange;
        let calling = exchange.call(caller, callee, method, payload, timeout);
        let answer = self.ongoing.others(calling).await;
        self.budget.bytes(answer.as_ref().map_or(0, String::len));
        Ok(answer.map_err(wit))
    }

    async fn cast(
        &mut self,
        plugin: String,
        method: String,
        payload: String,
    ) -> wasmtime::Result<Result<(), CallError>> {
        let (caller, callee) = match self.check_call(&plugin, &method, &payload) {
            Ok(allowed) => allowed,
            Err(error) => return Ok(Err(error)),
        };
        let exchange = &self.shared.host.ports.exchange;
        let queued = exchange.cast(caller, callee, method, payload);
        Ok(queued.map_err(wit))
    }
}
