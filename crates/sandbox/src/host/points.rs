//! `weir:host/points`: runs the hooks at a point of the plugin's own.

use model::exchange::FireError;

use crate::bindings::weir::host::points::{FireError as WitError, Host};
use crate::json;
use crate::state::State;
use crate::trap;

impl State {
    /// The whole name of a point that the manifest defines.
    fn own_point(&self, name: &str) -> Option<String> {
        let manifest = &self.shared.about.as_ref()?.manifest;
        let is_it = |full: &str| {
            full.strip_prefix(manifest.id.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
                == Some(name)
        };
        let point = manifest.points.iter().find(|p| is_it(&p.full_name))?;
        Some(point.full_name.clone())
    }
}

impl Host for State {
    async fn fire(
        &mut self,
        name: String,
        context: String,
    ) -> wasmtime::Result<Result<String, WitError>> {
        self.budget.bytes(context.len());
        let (Some(point), Some(caller)) = (self.own_point(&name), self.caller()) else {
            return Ok(Err(WitError::Unknown));
        };
        if json::check(&context).is_err() {
            return Ok(Err(WitError::Unknown));
        }
        let exchange = &self.shared.host.ports.exchange;
        let outcome = self
            .ongoing
            .others(exchange.fire(caller, point, context))
            .await;
        self.budget.bytes(outcome.as_ref().map_or(0, String::len));
        Ok(outcome.map_err(|error| match error {
            FireError::TooDeep => WitError::TooDeep,
            FireError::Refused(fault) => WitError::Refused(trap::answer(fault)),
        }))
    }
}
