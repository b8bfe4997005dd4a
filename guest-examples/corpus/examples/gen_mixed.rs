//! Streams every kind of item. Python's bytes, numbers and None have no counterpart: they are text here.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request, serde_json::json};

#[derive(Default)]
struct Mixed;

impl Plugin for Mixed {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("gen_mixed")
    }
}

impl Pipe for Mixed {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        reply.text("plain")?;
        reply.text("bytes")?;
        reply.raw(r#"data: {"raw": "sse bytes"}"#)?;
        reply.raw(r#"data: {"raw": "sse str"}"#)?;
        reply.event(&json!({"event": {"type": "status", "data": {"description": "working ü", "done": false}}}))?;
        reply.raw(r#"data: {"kind":"model","n":3}"#)?;
        reply.text("42")?;
        reply.text("None")?;
        reply.text("")?;
        reply.raw("data: [DONE]")?;
        Ok(())
    }
}

weir_sdk::plugin!(Mixed: pipe);
