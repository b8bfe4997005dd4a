//! Host functions: what plugins import. One file an interface; each checks its grant, counts, and then does it.

pub(crate) mod calls;
pub(crate) mod chat;
pub(crate) mod clocks;
pub(crate) mod events;
pub(crate) mod grants;
pub(crate) mod hooking;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod points;
pub(crate) mod secrets;
pub(crate) mod state;
pub(crate) mod stdio;
pub(crate) mod valves;
