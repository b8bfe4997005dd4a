//! Returns without an answer.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Nothing;

impl Plugin for Nothing {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("none_result")
    }
}

impl Pipe for Nothing {
    fn run(&mut self, _: &Request, _: &Reply) -> Result<(), Failure> {
        Ok(())
    }
}

weir_sdk::plugin!(Nothing: pipe);
