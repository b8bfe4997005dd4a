//! Answers "ok".

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Plain;

impl Plugin for Plain {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("ok")
    }
}

impl Pipe for Plain {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text("ok")?;
        Ok(())
    }
}

weir_sdk::plugin!(Plain: pipe);
