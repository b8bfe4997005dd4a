//! The example plugins, each in a kit: what they do, and what the kit shows of it. `just guests` builds them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "guests/chats.rs"]
mod chats;
#[path = "guests/kit.rs"]
mod kit;
#[path = "guests/others.rs"]
mod others;
#[path = "guests/stages.rs"]
mod stages;

use weir_testkit::Kit;

/// Where a component lies.
fn dist(component: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/dist");
    format!("{root}/{component}.wasm")
}

/// A kit with example plugins and the settings beside them.
fn examples(names: &[&str]) -> Kit {
    let add = |kit: Kit, name: &&str| kit.plugin(dist(&format!("examples/{name}")));
    names.iter().fold(Kit::new(), add)
}
