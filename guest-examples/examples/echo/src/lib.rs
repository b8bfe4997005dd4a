//! A pipe that answers with what the user said. The smallest plugin there is.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Echo;

impl Plugin for Echo {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Echo")
    }
}

impl Pipe for Echo {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text(request.user_text())?;
        Ok(())
    }
}

weir_sdk::plugin!(Echo: pipe);
