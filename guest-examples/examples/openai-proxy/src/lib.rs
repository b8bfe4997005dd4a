//! A pipe that passes chats on to an OpenAI-compatible server and streams what comes back. Where it may connect to is the operator's word, in
//! `openai-proxy.toml`; the address, key and model are valves.

use weir_sdk::{
    Failure, Manifest, Pipe, Plugin, Reply, Request, Valves, http,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::Value,
    valves,
};

/// The largest answer taken whole, in bytes.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// What people can set.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", default)]
#[schemars(crate = "weir_sdk::schemars")]
struct Settings {
    /// Where the server's API is, up to and with /v1.
    base_url: String,
    /// Its key; empty if it needs none.
    api_key: String,
    /// The model to ask for.
    model: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_url: "http://127.0.0.1:11434/v1".to_owned(),
            api_key: String::new(),
            model: "llama3.2".to_owned(),
        }
    }
}

#[derive(Default)]
struct Proxy;

impl Plugin for Proxy {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.name("OpenAI proxy")
    }
}

impl Valves for Proxy {
    type Fields = Settings;
}

impl Pipe for Proxy {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let Settings {
            base_url,
            api_key,
            model,
        } = valves::get()?;
        let mut body = request.body();
        body.insert("model".to_owned(), model.into());
        // Open WebUI sends who asks as an object; the API wants a text, and need not know.
        body.remove("user");

        let url = format!("{}/chat/completions", base_url.trim_end_matches('/'));
        let mut call = http::post(url).json(&body)?;
        if !api_key.is_empty() {
            call = call.bearer(&api_key);
        }
        let response = call.send()?.ok()?;

        let is_stream = response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        if !is_stream {
            reply.object(&response.json::<Value>(ANSWER_BYTES)?)?;
            return Ok(());
        }
        for line in response.lines() {
            let line = line?;
            if line.starts_with("data:") {
                reply.raw(line)?;
            }
        }
        Ok(())
    }
}

weir_sdk::plugin!(Proxy: pipe, valves);
