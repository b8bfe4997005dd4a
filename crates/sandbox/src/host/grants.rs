//! `weir:host/grants`: what the operator granted, and who else is there.

use model::grants::Capability;

use crate::bindings::weir::host::grants::Host;
use crate::state::State;

impl Host for State {
    fn granted(&mut self, capability: String) -> wasmtime::Result<bool> {
        Ok(Capability::ALL
            .into_iter()
            .find(|c| c.name() == capability)
            .is_some_and(|c| self.shared.grants.has(c)))
    }

    fn present(&mut self, plugin: String) -> wasmtime::Result<bool> {
        let present = self.shared.host.present.lock();
        Ok(present.is_ok_and(|set| set.keys().any(|id| id.as_str() == plugin)))
    }
}
