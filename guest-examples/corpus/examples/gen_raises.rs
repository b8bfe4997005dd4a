//! Fails in the middle of its answer.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Raises;

impl Plugin for Raises {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("gen_raises")
    }
}

impl Pipe for Raises {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text("before ")?;
        Err(Failure::internal("boom in generator"))
    }
}

weir_sdk::plugin!(Raises: pipe);
