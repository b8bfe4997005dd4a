//! A pipe that streams: a status event first, then its answer word by word. It waits when the client is slow, and stops when the client leaves,
//! because `?` hands on the error of a write.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request, serde_json::json};

#[derive(Default)]
struct Stream;

impl Plugin for Stream {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Word by word")
    }
}

impl Pipe for Stream {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.event(&status("Thinking", false))?;
        for word in request.user_text().split_inclusive(' ') {
            reply.text(word)?;
        }
        reply.event(&status("Done", true))?;
        Ok(())
    }
}

/// What Open WebUI shows above the answer.
fn status(description: &str, done: bool) -> weir_sdk::serde_json::Value {
    json!({"event": {"type": "status", "data": {"description": description, "done": done}}})
}

weir_sdk::plugin!(Stream: pipe);
