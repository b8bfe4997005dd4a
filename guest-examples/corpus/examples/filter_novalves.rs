//! A filter without valves that changes nothing.

use weir_sdk::{Filter, Manifest, Plugin};

#[derive(Default)]
struct NoValves;

impl Plugin for NoValves {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("filter_novalves")
    }
}

impl Filter for NoValves {}

weir_sdk::plugin!(NoValves: filter);
