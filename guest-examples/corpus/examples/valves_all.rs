//! Valves of every kind that Python pipelines use. Answers with the number of changes it was told of, and the valves.

use std::collections::BTreeMap;

use weir_sdk::{
    Failure, Manifest, Pipe, Plugin, Reply, Request,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::{self, json},
    valves,
};

/// All the kinds of valve that the examples use.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde")]
#[schemars(crate = "weir_sdk::schemars")]
struct Valves {
    /// The key
    #[serde(rename = "API_KEY", default)]
    api_key: String,
    #[serde(rename = "HOST")]
    host: String,
    #[serde(rename = "PORT", default = "port")]
    port: i64,
    #[serde(default = "temperature")]
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: f64,
    #[serde(default = "enabled")]
    enabled: bool,
    #[serde(default = "mode")]
    mode: Mode,
    #[serde(default = "tags")]
    tags: Vec<String>,
    #[serde(default)]
    limit: Option<i64>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "either")]
    either: Either,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "weir_sdk::schemars")]
enum Mode {
    Fast,
    Slow,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde", untagged)]
#[schemars(crate = "weir_sdk::schemars")]
enum Either {
    Number(i64),
    Text(String),
}

fn port() -> i64 {
    5006
}

fn temperature() -> f64 {
    0.7
}

fn enabled() -> bool {
    true
}

fn mode() -> Mode {
    Mode::Fast
}

fn tags() -> Vec<String> {
    vec!["a".to_owned()]
}

fn either() -> Either {
    Either::Number(1)
}

#[derive(Default)]
struct All {
    started: bool,
    updates: u64,
}

impl Plugin for All {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .id("valves_all")
            .name("Valves of all kinds")
            .valves(json!({"HOST": "localhost"}))
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.started = true;
        Ok(())
    }
}

impl weir_sdk::Valves for All {
    type Fields = Valves;

    /// The recorded pipeline was not told of kept valves at its start: only what comes later counts.
    fn updated(&mut self, valves: Valves) -> Result<(), Failure> {
        if !self.started {
            return Ok(());
        }
        self.updates += 1;
        if valves.host == "raise" {
            return Err(Failure::internal("on_valves_updated refused"));
        }
        Ok(())
    }
}

impl Pipe for All {
    fn run(&mut self, _: &Request, reply: &Reply) -> Result<(), Failure> {
        let valves: Valves = valves::get()?;
        reply.text(format!(
            "{} {}",
            self.updates,
            serde_json::to_string(&valves)?
        ))?;
        Ok(())
    }
}

weir_sdk::plugin!(All: pipe, valves);
