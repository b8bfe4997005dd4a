//! Write plugins for Weir in Rust.
//!
//! A plugin is a WebAssembly component. Its author writes a struct, implements [`Plugin`] and a trait for each role, and calls
//! [`plugin!`] once. This crate only wraps the contract in `wit/v0.1`; what a call may cost and what the host does when it
//! fails is said there, at the top of `lifecycle.wit`.
//!
//! ```
//! use weir_sdk::{Failure, Pipe, Plugin, Reply, Request};
//!
//! #[derive(Default)]
//! struct Echo;
//!
//! impl Plugin for Echo {}
//!
//! impl Pipe for Echo {
//!     fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
//!         reply.text(format!("You said: {}", request.user_text()))?;
//!         Ok(())
//!     }
//! }
//!
//! weir_sdk::plugin!(Echo: pipe);
//! # fn main() {}
//! ```
//!
//! In `Cargo.toml`: `crate-type = ["cdylib"]`, and this crate. Then `cargo build --release --target wasm32-wasip2`.
//!
//! | role in `plugin!` | trait | what it does |
//! |---|---|---|
//! | `pipe` | [`Pipe`] | answers chats |
//! | `manifold` | [`Manifold`] | lists the models that its pipe answers for |
//! | `filter` | [`Filter`] | changes requests before, and answers after, a model |
//! | `valves` | [`Valves`] | has settings that people change while it runs |
//! | `handover` | [`Handover`] | carries what it remembers across a reload |
//! | `source`, `transform`, `sink` | [`Source`], [`Transform`], [`Sink`] | stages of a data pipeline |
//! | `hooks` | [`Hooks`] | runs code at hook points: the host's and other plugins' |
//! | `subscriber` | [`Subscriber`] | hears events |
//! | `peer` | [`Peer`] | answers other plugins' calls |
//!
//! Modules of this crate that need a grant say so. A component imports only what its code calls, so a plugin that never touches [`state`] never
//! asks for it.
#![deny(missing_docs)]

#[doc(hidden)]
pub mod bindings;
pub mod calls;
mod chat;
mod config;
mod data;
pub mod events;
mod extend;
mod failure;
pub mod grants;
mod handover;
#[cfg(feature = "http")]
pub mod http;
mod json;
pub mod log;
mod manifest;
pub mod metrics;
mod plugin;
pub mod points;
pub mod secrets;
pub mod state;
pub mod valves;

pub use chat::{Filter, Manifold, Message, Model, Pipe, Reply, Request, WriteError};
pub use config::Config;
pub use data::{
    Batch, Encoding, Pulled, Reader, Reject, Sink, Source, Transform, Transformed, Transformer,
    Verdict, Window, Writer,
};
pub use extend::{Continuation, Event, Hooks, Peer, PeerRequest, Subscriber};
pub use failure::Failure;
pub use handover::Handover;
pub use json::Json;
pub use manifest::{Hook, Manifest};
pub use plugin::Plugin;
pub use schemars;
pub use serde;
pub use serde_json;
pub use valves::Valves;

/// What the macros expand to. Not for use by hand; it may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::plugin::{Adapter, Instance, Package};
}
