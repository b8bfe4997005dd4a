//! Guests on the sandbox, without a server: a world of ports around it, components from the corpus, and components written by hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests, and a clock of their own"
)]

#[path = "guests/calls.rs"]
mod calls;
#[path = "guests/hooks.rs"]
mod hooks;
#[path = "guests/others.rs"]
mod others;
#[path = "guests/wat.rs"]
mod wat;
#[path = "guests/world.rs"]
mod world;
