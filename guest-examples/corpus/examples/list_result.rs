//! The recorded pipeline returned a list, which the reference ignores.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct List;

impl Plugin for List {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("list_result")
    }
}

impl Pipe for List {
    fn run(&mut self, _: &Request, _: &Reply) -> Result<(), Failure> {
        Ok(())
    }
}

weir_sdk::plugin!(List: pipe);
