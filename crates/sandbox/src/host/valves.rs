//! `weir:host/valves`: the values now in force.

use crate::bindings::weir::host::valves::Host;
use crate::state::State;

impl Host for State {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.budget.bytes(self.valves.len());
        Ok(self.valves.to_string())
    }
}
