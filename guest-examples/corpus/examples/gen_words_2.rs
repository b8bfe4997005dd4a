//! The next version of `gen_words`: the same id, version 0.2.0, other words. A test replaces one with the other.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Words;

impl Plugin for Words {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .id("gen_words")
            .version("0.2.0")
            .name("Generator of words")
    }
}

impl Pipe for Words {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        for word in ["ONE ", "TWO ", "DREI Ü ", "\"QUOTED\"\n"] {
            reply.text(word)?;
        }
        Ok(())
    }
}

weir_sdk::plugin!(Words: pipe);
