//! Fails before its answer.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Raises;

impl Plugin for Raises {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("raises")
    }
}

impl Pipe for Raises {
    fn run(&mut self, _: &Request, _: &Reply) -> Result<(), Failure> {
        Err(Failure::internal("boom in pipe"))
    }
}

weir_sdk::plugin!(Raises: pipe);
