//! The native sources. One file or folder a kind; this is the list.

use std::sync::Arc;

use model::stage::SourceKind;

use super::StagePorts;

mod file;

#[cfg(test)]
pub(super) use file::FileSource;

/// All kinds of source there are, in the order in which lists show them.
pub(super) fn all(_ports: &StagePorts) -> Vec<Arc<dyn SourceKind>> {
    vec![Arc::new(file::FileSource)]
}
