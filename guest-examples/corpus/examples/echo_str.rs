//! Answers with the model and the user's words.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

use corpus::python;

#[derive(Default)]
struct Echo;

impl Plugin for Echo {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("echo_str").name("Echo")
    }
}

impl Pipe for Echo {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text(format!(
            "echo[{}]: {}",
            request.model(),
            python::str(&request.user_message())
        ))?;
        Ok(())
    }
}

weir_sdk::plugin!(Echo: pipe);
