//! Valves without a field.

use weir_sdk::{
    Failure, Manifest, Pipe, Plugin, Reply, Request,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
};

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde")]
#[schemars(crate = "weir_sdk::schemars")]
struct Valves {}

#[derive(Default)]
struct Empty;

impl Plugin for Empty {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("valves_empty")
    }
}

impl weir_sdk::Valves for Empty {
    type Fields = Valves;
}

impl Pipe for Empty {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text("x")?;
        Ok(())
    }
}

weir_sdk::plugin!(Empty: pipe, valves);
