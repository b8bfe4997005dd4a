//! The words of Weir: ids, manifests, limits, grants, settings, valves, errors, and the ports (traits) between the crates.
//!
//! Nothing here runs anything: no runtime, no sandbox, no HTTP server, no database. The other crates agree on these types and
//! depend on each other only through the ports.

pub mod access;
pub mod bronze;
pub mod cel;
pub mod chat;
pub mod component;
pub mod data;
pub mod egress;
pub mod error;
pub mod events;
pub mod exchange;
pub mod grants;
pub mod hooks;
pub mod id;
pub mod limits;
pub mod manifest;
pub mod pipeline;
pub mod plugin;
pub mod ports;
pub mod redact;
pub mod run;
pub mod settings;
pub mod silver;
pub mod stage;
pub mod store;
pub mod text;
pub mod valves;

/// A boxed future that may be sent to another thread: what the ports return, so that they stay object-safe.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
