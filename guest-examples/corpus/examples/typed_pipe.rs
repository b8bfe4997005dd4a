//! Loaded but not offered as a model.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Typed;

impl Plugin for Typed {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("typed_pipe").listed(false)
    }
}

impl Pipe for Typed {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text("unreachable through /chat/completions")?;
        Ok(())
    }
}

weir_sdk::plugin!(Typed: pipe);
