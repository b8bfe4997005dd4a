//! Interfaces whose engine side does not exist yet. They are linked only for a plugin whose operator marked the capability
//! optional, and answer `denied`.

use wasmtime::component::Resource;

use crate::bindings::weir::host::{calls, events, hooking, metrics, secrets};
use crate::bindings::weir::types::values;
use crate::state::State;
use crate::usage::add;

impl State {
    pub(crate) fn denied(&mut self) {
        add(&self.shared.counters.denials, 1);
    }
}

impl values::Host for State {}

impl events::Host for State {
    fn emit(
        &mut self,
        _topic: String,
        _payload: String,
    ) -> wasmtime::Result<Result<(), events::EmitError>> {
        self.denied();
        Ok(Err(events::EmitError::Denied))
    }
}

impl calls::Host for State {
    fn call(
        &mut self,
        _plugin: String,
        _method: String,
        _payload: String,
        _timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Result<String, calls::CallError>> {
        self.denied();
        Ok(Err(calls::CallError::Denied))
    }

    fn cast(
        &mut self,
        _plugin: String,
        _method: String,
        _payload: String,
    ) -> wasmtime::Result<Result<(), calls::CallError>> {
        self.denied();
        Ok(Err(calls::CallError::Denied))
    }
}

impl secrets::Host for State {
    fn get(&mut self, _name: String) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        self.denied();
        Ok(Err(secrets::SecretError::Denied))
    }
}

impl metrics::Host for State {
    fn add(
        &mut self,
        _counter: String,
        _delta: u64,
        _labels: metrics::Labels,
    ) -> wasmtime::Result<()> {
        self.denied();
        Ok(())
    }

    fn set(
        &mut self,
        _gauge: String,
        _value: f64,
        _labels: metrics::Labels,
    ) -> wasmtime::Result<()> {
        self.denied();
        Ok(())
    }

    fn record_value(
        &mut self,
        _histogram: String,
        _value: f64,
        _labels: metrics::Labels,
    ) -> wasmtime::Result<()> {
        self.denied();
        Ok(())
    }
}

impl hooking::Host for State {}

/// No continuation is ever handed out, so none of these can be reached with a handle of the guest's.
impl hooking::HostContinuation for State {
    fn run(
        &mut self,
        _this: Resource<hooking::Continuation>,
        _context: String,
    ) -> wasmtime::Result<Result<String, hooking::Failure>> {
        Ok(Err(hooking::Failure::Internal(
            "hooks are not run by this version of Weir".into(),
        )))
    }

    fn drop(&mut self, _this: Resource<hooking::Continuation>) -> wasmtime::Result<()> {
        Ok(())
    }
}
