//! Answers "added". Not loaded at the start: a test adds it by URL.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Added;

impl Plugin for Added {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("added")
    }
}

impl Pipe for Added {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text("added")?;
        Ok(())
    }
}

weir_sdk::plugin!(Added: pipe);
