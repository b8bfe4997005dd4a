//! What the end-to-end tests share: the real server as a child process, a plain HTTP client that sees every byte, the built
//! guests, and waiting for conditions. Nothing here knows how Weir works inside.

pub mod actors;
pub mod bench;
pub mod guests;
pub mod http;
pub mod load;
pub mod neighbour;
pub mod postgres;
pub mod process;
pub mod server;
pub mod sse;
pub mod upstream;
pub mod wait;
