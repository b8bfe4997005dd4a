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
        let described = self.shared.about.is_some();
        Ok(described && self.shared.host.ports.exchange.present(&plugin))
    }

    fn providers(&mut self, capability: String) -> wasmtime::Result<Vec<String>> {
        if self.shared.about.is_none() {
            return Ok(Vec::new());
        }
        let found = self.shared.host.ports.exchange.providers(&capability);
        let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
        self.budget.bytes(ids.iter().map(String::len).sum());
        Ok(ids)
    }
}
