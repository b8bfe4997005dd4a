//! What every source, transform and sink has to do, native or plugin, as checks for tests: each gives the first thing that is wrong.
//!
//! They look from outside only: what is opened is opened, used and dropped as a run does it.

mod sink;
mod source;
mod transform;

pub use sink::{OpenSink, Shown, Shows, sink};
pub use source::{OpenSource, source};
pub use transform::{Subject, transform};
