//! `weir:host/hooking`: the continuation of an `around` hook.

use std::sync::Arc;

use model::hooks::Next;
use wasmtime::component::Resource;

use crate::bindings::weir::host::hooking::{Host, HostContinuation};
use crate::bindings::weir::types::values::{self, Failure};
use crate::json;
use crate::state::State;
use crate::trap;

/// The continuation of one call, as it lies in the resource table. Public only for the generated bindings.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ContinuationSlot {
    /// None once it was run.
    next: Option<Box<dyn Next>>,
}

impl ContinuationSlot {
    pub(crate) fn new(next: Option<Box<dyn Next>>) -> Self {
        Self { next }
    }
}

impl values::Host for State {}

impl Host for State {}

impl HostContinuation for State {
    async fn run(
        &mut self,
        slot: Resource<ContinuationSlot>,
        context: String,
    ) -> wasmtime::Result<Result<String, Failure>> {
        self.budget.bytes(context.len());
        let internal = |text: String| Ok(Err(Failure::Internal(text)));
        let slot = self.table.get_mut(&slot)?;
        if slot.next.is_none() {
            return internal("the continuation was run before; it can be run once".into());
        }
        if let Err(reason) = json::check(&context) {
            return internal(format!("the context {reason}"));
        }
        let Some(next) = slot.next.take() else {
            return internal("there is nothing to run".into());
        };
        let ongoing = Arc::clone(&self.ongoing);
        let standing_still = ongoing.stand_still();
        let outcome = ongoing.others(next.run(context)).await;
        drop(standing_still);
        self.budget.bytes(outcome.as_ref().map_or(0, String::len));
        Ok(outcome.map_err(trap::answer))
    }

    async fn drop(&mut self, slot: Resource<ContinuationSlot>) -> wasmtime::Result<()> {
        self.table.delete(slot)?;
        Ok(())
    }
}
