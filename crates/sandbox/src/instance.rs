//! One instance of a plugin: a store, the exports the host calls, and the metering around each call.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::error::Fault;
use model::limits::Limit;
use wasmtime::{CallHook, Store, StoreContextMut};

use crate::budget::Reached;
use crate::exports::{Blueprint, Exports, Run};
use crate::ongoing::Ongoing;
use crate::state::{Shared, State};
use crate::trap;
use crate::usage::add;

/// Fuel between two looks at the scheduler. Smaller costs more (1.59x at 100 k against 1.45x at 1 M, of plain); larger makes
/// deadlines late (140 ms for 100 at 10 M).
const YIELD_EVERY: u64 = 1_000_000;

/// One instance.
pub(crate) struct Instance {
    store: Store<State>,
    exports: Exports,
    /// Calls it has served.
    pub(crate) calls: u64,
    /// The change of valves it was told last.
    pub(crate) valves_change: u64,
    /// Fuel given to the call under way.
    fuel_given: u64,
    /// Fuel that its calls have burnt.
    burnt: u64,
}

impl Instance {
    /// Instantiates, within the start's fuel. The caller sets the deadline. When the process has no room for another instance,
    /// idle ones of any plugin make some.
    pub(crate) async fn new(
        shared: &Arc<Shared>,
        blueprint: &Blueprint,
        valves: &Arc<str>,
        ongoing: &Arc<Ongoing>,
    ) -> Result<Self, Fault> {
        let state = || State::new(Arc::clone(shared), Arc::clone(valves), Arc::clone(ongoing));
        match Self::try_new(shared, blueprint, state()).await {
            Err(Fault::Unavailable { .. }) if shared.host.shed_idle() => {
                Self::try_new(shared, blueprint, state()).await
            }
            made => made,
        }
    }

    async fn try_new(shared: &Shared, blueprint: &Blueprint, state: State) -> Result<Self, Fault> {
        let fuel = shared.limits.get(Limit::StartFuel);
        let mut store = Store::new(&shared.host.engine, state);
        let made = Self::instantiate(&mut store, blueprint, fuel).await;
        let used = fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        add(&shared.counters.fuel, used);
        let exports = made.map_err(|e| {
            let refused = store.data_mut().limiter.take_refused();
            start_fault(trap::fault(&e, &shared.limits, refused), shared)
        })?;
        add(&shared.counters.instances_made, 1);
        add(&shared.counters.instances, 1);
        Ok(Self {
            store,
            exports,
            calls: 0,
            valves_change: 0,
            fuel_given: 0,
            burnt: 0,
        })
    }

    async fn instantiate(
        store: &mut Store<State>,
        blueprint: &Blueprint,
        fuel: u64,
    ) -> wasmtime::Result<Exports> {
        let limits = store.data().shared.limits.clone();
        store.limiter(|s| &mut s.limiter);
        store.set_fuel(fuel)?;
        store.fuel_async_yield_interval(Some(YIELD_EVERY))?;
        store.set_hostcall_fuel(limits.size(Limit::OutputBytes));
        store.set_max_component_handles(limits.size(Limit::Handles));
        store.call_hook(|store, hook| match hook {
            CallHook::CallingHost => host_called(store),
            CallHook::CallingWasm | CallHook::ReturningFromWasm | CallHook::ReturningFromHost => {
                Ok(())
            }
        });
        let instance = blueprint.pre.instantiate_async(&mut *store).await?;
        blueprint.load(store, &instance)
    }

    /// Runs one export with its own budget of fuel. On any error but a plugin's own failure the instance must be thrown away.
    pub(crate) async fn run<R>(&mut self, work: Work<R>) -> Result<R, Fault> {
        self.begin(&work);
        let outcome = (work.run)(&mut self.store, &self.exports).await;
        self.end();
        let state = self.store.data_mut();
        let refused = state.limiter.take_refused();
        let limits = &state.shared.limits;
        match outcome {
            Ok(_) if state.budget.cut.is_some() => {
                let limit = state.budget.cut.unwrap_or(Limit::OutputBytes);
                Err(Fault::LimitReached {
                    limit,
                    value: limits.get(limit),
                })
            }
            Ok(result) => {
                result.map_err(|failure| state.shared.secrets.redacted(trap::said(failure)))
            }
            Err(error) => {
                let fault = trap::fault(&error, limits, refused);
                let fault = state.shared.secrets.redacted(fault);
                Err(if work.is_start {
                    start_fault(fault, &state.shared)
                } else {
                    fault
                })
            }
        }
    }

    fn begin<R>(&mut self, work: &Work<R>) {
        let (fuel, bytes) = (work.fuel, work.given);
        self.fuel_given = fuel;
        // Fuel is always configured, so this cannot fail; if it did, the call would run on the fuel left over.
        let _configured = self.store.fuel_async_yield_interval(Some(YIELD_EVERY));
        let _configured = self.store.set_fuel(fuel);
        let output = self.store.data().shared.limits.size(Limit::OutputBytes);
        self.store.set_hostcall_fuel(output.saturating_add(bytes));
        self.store.data_mut().begin(bytes, &work.ongoing);
        self.calls += 1;
    }

    /// Books what the call used; also when it was dropped under way.
    fn end(&mut self) {
        let left = self.store.get_fuel().unwrap_or(0);
        let used = std::mem::take(&mut self.fuel_given).saturating_sub(left);
        let state = self.store.data_mut();
        state.end();
        let counters = &state.shared.counters;
        let used = used.saturating_add(state.budget.owed());
        add(&counters.fuel, used);
        add(&counters.host_calls, state.budget.host_calls);
        add(&counters.bytes_out, state.budget.output_bytes);
        self.burnt = self.burnt.saturating_add(used);
    }

    /// Fuel that its calls have burnt so far.
    pub(crate) fn burnt(&self) -> u64 {
        self.burnt
    }

    pub(crate) fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.fuel_given > 0 {
            self.end();
        }
        let counters = &self.store.data().shared.counters;
        counters.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One call of an export: its fuel, and what to do.
pub(crate) struct Work<R> {
    pub(crate) fuel: u64,
    /// Bytes that came in with it: it may answer with as many more than its limit, so that passing a large body on is no fault.
    pub(crate) given: usize,
    /// One of the calls a start consists of: its own limits are named in errors.
    pub(crate) is_start: bool,
    pub(crate) ongoing: Arc<Ongoing>,
    pub(crate) run: Run<R>,
}

/// Errors of a start name the start's limits.
fn start_fault(fault: Fault, shared: &Shared) -> Fault {
    match fault {
        Fault::OutOfFuel { .. } => Fault::OutOfFuel {
            limit: shared.limits.get(Limit::StartFuel),
        },
        other => other,
    }
}

/// Counts a host call and takes its price from the store's fuel. Setting a store's fuel restarts its yield interval, so a guest
/// that does little but call the host would never yield: after each payment it is made to, by an interval of one unit that
/// lasts until the next time it is seen here.
fn host_called(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<()> {
    let state = store.data_mut();
    let was_yielding = std::mem::take(&mut state.budget.yielding);
    let written = state.log.take_uncharged();
    state.budget.bytes(written);
    let limits = &state.shared.limits;
    let owed = state.budget.host_call(limits)?;
    let value = limits.get(Limit::Fuel);
    if was_yielding {
        store.fuel_async_yield_interval(Some(YIELD_EVERY))?;
    }
    let Some(owed) = owed else { return Ok(()) };
    let left = store.get_fuel()?;
    if owed > left {
        store.set_fuel(0)?;
        return Err(Reached {
            limit: Limit::Fuel,
            value,
        }
        .into());
    }
    store.data_mut().budget.yielding = true;
    store.fuel_async_yield_interval(Some(1))?;
    store.set_fuel(left - owed)
}
