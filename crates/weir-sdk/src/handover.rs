//! The role `handover`: carrying memory across a reload. What lasts beyond that belongs in `state`.

use crate::{
    Failure, Plugin,
    bindings::{base::weir::types::values, handover::exports::weir::plugin::handover},
    failure::lower,
    plugin::{Adapter, Instance},
};

/// Carries what a plugin remembers from one version to the next. For plugins that run with `reuse = "single"`.
pub trait Handover: Plugin {
    /// What the next version needs to know, in any format. A failure keeps the old version serving.
    fn snapshot(&mut self) -> Result<Vec<u8>, Failure>;

    /// Takes over, after `init` and before `start`. `from_version` is the semantic version that made the snapshot. A failure keeps
    /// the old version serving.
    fn restore(&mut self, from_version: &str, snapshot: &[u8]) -> Result<(), Failure>;
}

impl<P: Handover + Instance> handover::Guest for Adapter<P> {
    fn snapshot() -> Result<Vec<u8>, values::Failure> {
        P::with(P::snapshot).map_err(lower)
    }

    fn restore(from_version: String, snapshot: Vec<u8>) -> Result<(), values::Failure> {
        P::with(|plugin| plugin.restore(&from_version, &snapshot)).map_err(lower)
    }
}
