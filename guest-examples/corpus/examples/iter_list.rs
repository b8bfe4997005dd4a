//! The recorded pipeline returned an iterator, which the reference reads only in a stream.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request};

#[derive(Default)]
struct Iterator;

impl Plugin for Iterator {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("iter_list")
    }
}

impl Pipe for Iterator {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        if request.is_stream() {
            reply.text("a")?;
            reply.text("b")?;
        }
        Ok(())
    }
}

weir_sdk::plugin!(Iterator: pipe);
