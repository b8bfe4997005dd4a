//! What the operator granted, so that a plugin can do without; and who else is there. Needs no grant itself.
//!
//! ```no_run
//! # use weir_sdk::{grants, state};
//! if grants::granted("state") {
//!     state::add("visits", 1)?;
//! }
//! let embedder = grants::providers("embeddings").into_iter().next(); // none: go without
//! # drop(embedder); Ok::<(), weir_sdk::Failure>(())
//! ```

use crate::bindings::base::weir::host::grants;

/// Is this capability granted? One of `http`, `state`, `events`, `calls`, `secrets`, `metrics`, `hooks`; other names are not granted.
pub fn granted(capability: &str) -> bool {
    grants::granted(capability)
}

/// Is the plugin with this id loaded and started?
pub fn present(plugin: &str) -> bool {
    grants::present(plugin)
}

/// The ids of the started plugins that provide this capability ([`Manifest::provides`](crate::Manifest::provides)), the one the operator prefers first.
pub fn providers(capability: &str) -> Vec<String> {
    grants::providers(capability)
}
