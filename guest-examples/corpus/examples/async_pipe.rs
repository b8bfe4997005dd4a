//! The recorded pipeline forgot to await its answer: there is none.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Async;

impl Plugin for Async {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("async_pipe")
    }
}

impl Pipe for Async {
    fn run(&mut self, _: &Request, _: &Reply) -> Result<(), Failure> {
        Ok(())
    }
}

weir_sdk::plugin!(Async: pipe);
