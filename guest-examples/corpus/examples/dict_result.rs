//! Answers with an object of its own.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request, serde_json::json};

#[derive(Default)]
struct Dict;

impl Plugin for Dict {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("dict_result")
    }
}

impl Pipe for Dict {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.object(&json!({"z": 1, "a": "ü", "choices": []}))?;
        Ok(())
    }
}

weir_sdk::plugin!(Dict: pipe);
