//! Answers with a typed object.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request, serde::Serialize};

#[derive(Serialize)]
#[serde(crate = "weir_sdk::serde")]
struct Answer {
    z: i64,
    a: Option<String>,
}

#[derive(Default)]
struct Model;

impl Plugin for Model {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("model_result")
    }
}

impl Pipe for Model {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.object(&Answer { z: 1, a: None })?;
        Ok(())
    }
}

weir_sdk::plugin!(Model: pipe);
