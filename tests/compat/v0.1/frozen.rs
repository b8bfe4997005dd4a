//! The source of `frozen.wasm`, for reading. Nothing builds it: see README.md.

use weir_sdk::{
    Failure, Filter, Manifest, Message, Pipe, Plugin, Reply, Request, Valves, grants, log,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::Value,
    valves,
};

/// What people can set.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", default)]
#[schemars(crate = "weir_sdk::schemars")]
struct Settings {
    /// Models whose chats are filtered; * for all.
    pipelines: Vec<String>,
    /// Filters run lowest first.
    priority: i64,
    /// What the answer starts with.
    greeting: String,
    /// What the filter adds to texts.
    mark: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pipelines: vec!["*".to_owned()],
            priority: 7,
            greeting: "Hello".to_owned(),
            mark: "!".to_owned(),
        }
    }
}

#[derive(Default)]
struct Frozen {
    calls: u64,
}

impl Plugin for Frozen {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("Frozen")
    }

    fn start(&mut self) -> Result<(), Failure> {
        log::info("frozen has started");
        Ok(())
    }
}

impl Valves for Frozen {
    type Fields = Settings;
}

impl Pipe for Frozen {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let Settings { greeting, .. } = valves::get()?;
        self.calls += 1;
        match request.user_text().as_str() {
            "fail" => Err(Failure::refused("frozen says no")),
            "granted" => {
                reply.text(grants::granted("state").to_string())?;
                Ok(())
            }
            text => {
                reply.text(format!("{greeting}, "))?;
                reply.text(text)?;
                Ok(())
            }
        }
    }
}

impl Filter for Frozen {
    fn inlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        let Settings { mark, .. } = valves::get()?;
        message.each_text(|text| text.push_str(&mark));
        Ok(message.body)
    }

    fn outlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        let Settings { mark, .. } = valves::get()?;
        message.each_text(|text| text.insert_str(0, &mark));
        Ok(message.body)
    }
}

weir_sdk::plugin!(Frozen: pipe, filter, valves);
