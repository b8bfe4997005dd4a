//! Has an id that is not its file's name.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct CustomId;

impl Plugin for CustomId {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("my-own-id").name("Has its own id")
    }
}

impl Pipe for CustomId {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text(format!("I am {}", request.model()))?;
        Ok(())
    }
}

weir_sdk::plugin!(CustomId: pipe);
