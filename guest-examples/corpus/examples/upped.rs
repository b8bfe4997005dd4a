//! Answers "uploaded". Not loaded at the start: a test uploads it.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Upped;

impl Plugin for Upped {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("upped")
    }
}

impl Pipe for Upped {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text("uploaded")?;
        Ok(())
    }
}

weir_sdk::plugin!(Upped: pipe);
