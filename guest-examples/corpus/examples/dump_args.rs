//! Answers with what it was called with, as Python would write it.

use weir_sdk::{Failure, Manifest, Pipe, Plugin, Reply, Request, serde_json::json};

use corpus::python;

#[derive(Default)]
struct DumpArgs;

impl Plugin for DumpArgs {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("dump_args")
    }
}

impl Pipe for DumpArgs {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let model = json!(request.model()).to_string();
        let (user_message, messages, body) = (
            request.user_message_json(),
            request.messages_json(),
            request.body_json(),
        );
        let all = format!(
            r#"{{"user_message":{user_message},"model_id":{model},"messages":{messages},"body":{body}}}"#
        );
        reply.text(python::dumps(&all))?;
        Ok(())
    }
}

weir_sdk::plugin!(DumpArgs: pipe);
