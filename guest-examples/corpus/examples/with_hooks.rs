//! A pipe with an inlet and an outlet of its own.

use corpus::python;
use weir_sdk::{
    Failure, Filter, Manifest, Message, Pipe, Plugin, Reply, Request, serde_json::Value,
};

#[derive(Default)]
struct Hooked;

impl Plugin for Hooked {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("with_hooks")
    }
}

impl Filter for Hooked {
    fn inlet(&mut self, message: Message) -> Result<Value, Failure> {
        Ok(signed(message, "inlet"))
    }

    fn outlet(&mut self, message: Message) -> Result<Value, Failure> {
        Ok(signed(message, "outlet"))
    }
}

impl Pipe for Hooked {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let body = request.body();
        reply.text(format!(
            "hooked: {}",
            python::str(body.get("inlet_by").unwrap_or(&Value::Null))
        ))?;
        Ok(())
    }
}

fn signed(mut message: Message, hook: &str) -> Value {
    if let Some(body) = message.body.as_object_mut() {
        body.insert(format!("{hook}_by"), "with_hooks".into());
        body.insert(format!("{hook}_user"), message.user.unwrap_or_default());
    }
    message.body
}

weir_sdk::plugin!(Hooked: pipe, filter);
