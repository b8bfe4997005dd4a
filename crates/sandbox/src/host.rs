//! Host functions: what plugins import. One file an interface; each checks its grant, counts, and then does it.

pub(crate) mod chat;
pub(crate) mod denied;
pub(crate) mod grants;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod state;
pub(crate) mod stdio;
pub(crate) mod valves;
