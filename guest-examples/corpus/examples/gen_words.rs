//! Streams words.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Words;

impl Plugin for Words {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("gen_words").name("Generator of words")
    }
}

impl Pipe for Words {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        for word in ["one ", "two ", "drei ü ", "\"quoted\"\n"] {
            reply.text(word)?;
        }
        Ok(())
    }
}

weir_sdk::plugin!(Words: pipe);
