//! The outside world behind the ports of `model`: the clock, outgoing HTTP, the plugins folders, valve files, plugins' state,
//! the durable store of runs, the operator's secrets, the native stages of data pipelines, the folders of their specs and what references in them stand for.
//!
//! Each adapter is given where it works when it is made and keeps nothing global. No WebAssembly and no HTTP server here.

pub mod bronze;
pub mod clock;
pub mod folder;
pub mod http;
pub mod references;
pub mod secrets;
pub mod specs;
pub mod stages;
pub mod store;
pub mod valves;

mod files;
