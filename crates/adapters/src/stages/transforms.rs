//! The native transforms. One file or folder a kind; this is the list.

use std::sync::Arc;

use model::stage::TransformKind;

use super::StagePorts;

/// All kinds of transform there are, in the order in which lists show them.
pub(super) fn all(_ports: &StagePorts) -> Vec<Arc<dyn TransformKind>> {
    vec![]
}
