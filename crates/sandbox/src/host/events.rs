//! `weir:host/events`: checks what a plugin emits, and hands it to the exchange.

use model::events::Topic;
use model::exchange::{Caller, EmitError};
use model::grants::Capability;
use model::limits::Limit;

use crate::bindings::weir::host::events::{EmitError as WitError, Host};
use crate::json;
use crate::state::State;

impl State {
    /// Who emits, and on which topic.
    fn may_emit(&self, topic: &str, payload: &str) -> Result<(Caller, Topic), String> {
        let caller = self.caller().ok_or("nothing is granted yet")?;
        let grant = self.shared.grants.events.as_ref();
        let grant = grant.ok_or("the grant `events` is missing")?;
        let topic = Topic::new(topic).map_err(|e| e.to_string())?;
        if topic.is_of_host() {
            return Err(format!("the topic {topic} is one of the host's"));
        }
        if !grant.may_emit(&topic) {
            return Err(format!("the topic {topic} is not granted for emitting"));
        }
        let limit = self.shared.limits.get(Limit::EventBytes);
        if payload.len() as u64 > limit {
            let bytes = payload.len();
            return Err(format!(
                "the payload has {bytes} bytes; the limit event_bytes = {limit}"
            ));
        }
        json::check(payload).map_err(|e| format!("the payload {e}"))?;
        Ok((caller, topic))
    }

    fn emit_denied(&self, reason: String) -> WitError {
        self.shared.denied(Capability::Events, || reason);
        WitError::Denied
    }
}

impl Host for State {
    async fn emit(
        &mut self,
        topic: String,
        payload: String,
    ) -> wasmtime::Result<Result<(), WitError>> {
        self.budget.bytes(topic.len() + payload.len());
        let (caller, topic) = match self.may_emit(&topic, &payload) {
            Ok(allowed) => allowed,
            Err(reason) => return Ok(Err(self.emit_denied(reason))),
        };
        let emitting = self.shared.host.ports.exchange.emit(caller, topic, payload);
        let outcome = self.ongoing.others(emitting).await;
        self.shared.counters.used(Capability::Events);
        Ok(match outcome {
            Ok(_) => Ok(()),
            Err(EmitError::Refused(reason)) => {
                Err(self.emit_denied(format!("a hook at event_emitted refused it: {reason}")))
            }
            Err(EmitError::TooDeep) => Err(WitError::TooDeep),
            Err(EmitError::Full) => Err(WitError::Full),
        })
    }
}
