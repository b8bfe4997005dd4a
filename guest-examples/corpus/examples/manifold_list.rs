//! A manifold with two models, valves, and an inlet of its own. One model's id holds a dot, a slash and a colon.

use corpus::python;
use weir_sdk::{
    Failure, Filter, Manifest, Manifold, Message, Model, Pipe, Plugin, Reply, Request,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::Value,
    valves,
};

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", default)]
#[schemars(crate = "weir_sdk::schemars")]
struct Valves {
    greeting: String,
}

impl Default for Valves {
    fn default() -> Self {
        Self {
            greeting: "hi".to_owned(),
        }
    }
}

#[derive(Default)]
struct Mani;

impl Plugin for Mani {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("manifold_list").name("Mani: ")
    }
}

impl weir_sdk::Valves for Mani {
    type Fields = Valves;
}

impl Manifold for Mani {
    fn models(&mut self) -> Result<Vec<Model>, Failure> {
        Ok(vec![
            Model::new("p1", "One"),
            Model::new("org/p.2:x", "Two"),
        ])
    }
}

impl Pipe for Mani {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let Valves { greeting } = valves::get()?;
        let body = request.body();
        let model = python::str(body.get("model").unwrap_or(&Value::Null));
        reply.text(format!(
            "{greeting} {} (body.model={model})",
            request.model()
        ))?;
        Ok(())
    }
}

impl Filter for Mani {
    fn inlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        if let Some(body) = message.body.as_object_mut() {
            body.insert("seen".to_owned(), Value::Bool(true));
        }
        Ok(message.body)
    }
}

weir_sdk::plugin!(Mani: pipe, manifold, filter, valves);
