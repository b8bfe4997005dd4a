//! A manifold with one model and no name of its own.

use weir_sdk::{Failure, Manifest, Manifold, Model, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Dynamic;

impl Plugin for Dynamic {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("manifold_fn").name("")
    }
}

impl Manifold for Dynamic {
    fn models(&mut self) -> Result<Vec<Model>, Failure> {
        Ok(vec![Model::new("dyn", "Dynamic")])
    }
}

impl Pipe for Dynamic {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text(format!("dyn {}", request.model()))?;
        Ok(())
    }
}

weir_sdk::plugin!(Dynamic: pipe, manifold);
