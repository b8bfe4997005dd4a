//! The native stages: what a spec may name as `type`. Each kind lives in a file or folder of its own below; the three lists say which there are.
//!
//! No running here: who pulls, pushes, counts and retries is the engine.

use std::path::PathBuf;
use std::sync::Arc;

use model::ports::{Clock, Egress, Timer};
use model::stage::{Convert, Natives};

pub use console::Console;
pub use convert::ArrowConvert;
pub use sinks::file::SilverFolder;
pub use transforms::jq_worker;

mod blocking;
pub mod conformance;
mod console;
mod convert;
mod format;
#[cfg(test)]
mod given;
mod options;
mod record;
pub(crate) mod sinks;
mod sources;
mod span;
mod transforms;
mod web;

/// What native stages work with.
#[derive(Debug, Clone)]
pub struct StagePorts {
    /// Outgoing HTTP.
    pub egress: Arc<dyn Egress>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Waiting by that time: before a request is tried again, and to keep a pace.
    pub timer: Arc<dyn Timer>,
    /// The program that is started for work that needs a process of its own (`jq`): usually the host itself.
    pub program: PathBuf,
    /// Where the `console` sink shows records.
    pub console: Console,
}

/// All native stages, and what turns batches from one encoding into another between them.
#[must_use]
pub fn natives(ports: &StagePorts, convert: Arc<dyn Convert>) -> Natives {
    Natives {
        sources: sources::all(ports),
        transforms: transforms::all(ports),
        sinks: sinks::all(ports),
        convert,
    }
}
