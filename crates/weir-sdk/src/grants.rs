//! What the operator granted, so that a plugin can do without. Needs no grant itself.

use crate::bindings::base::weir::host::grants;

/// Is this capability granted? One of `http`, `state`, `events`, `calls`, `secrets`, `metrics`; other names are not granted.
pub fn granted(capability: &str) -> bool {
    grants::granted(capability)
}

/// Is the plugin with this id loaded and started?
pub fn present(plugin: &str) -> bool {
    grants::present(plugin)
}
