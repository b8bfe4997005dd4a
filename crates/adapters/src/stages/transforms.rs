//! The native transforms. One file or folder a kind; this is the list.

use std::sync::Arc;

use model::stage::TransformKind;

use super::StagePorts;

mod columns;
mod condition;
mod convert;
mod dedupe;
mod each;
mod filter;
mod jq;
mod map;

pub use jq::jq_worker;

/// All kinds of transform there are, in the order in which lists show them.
pub(super) fn all(ports: &StagePorts) -> Vec<Arc<dyn TransformKind>> {
    vec![
        Arc::new(filter::Filter),
        Arc::new(map::Map),
        Arc::new(convert::Convert),
        Arc::new(columns::Columns),
        Arc::new(dedupe::Dedupe),
        Arc::new(jq::Jq {
            program: ports.program.clone(),
        }),
    ]
}
