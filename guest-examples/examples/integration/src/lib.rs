//! A pipe that works with other plugins. It needs the peer `bridge`, which carries its letters; where `provider` is there, too, it puts the letters that are
//! most like what was asked for first. The grant is in `integration.toml`.
//!
//! What the user may say: `send <plugin> <text>`, `letters`, `letters like <text>`; all else shows this and who is there.

mod command;
mod rank;

use command::Command;
use weir_sdk::{
    Failure, Manifest, Pipe, Plugin, Reply, Request,
    calls::{self, CallError},
    grants, log,
    serde::Deserialize,
    serde_json::{self, Value, json},
};

/// Carries the letters.
const BRIDGE: &str = "bridge";
/// Whose embeddings may be used, if it is there.
const PROVIDER: &str = "provider";

#[derive(Default)]
struct Integration;

#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde")]
struct Letter {
    from: String,
    text: String,
}

impl Plugin for Integration {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("Letters")
            .depends_on(BRIDGE, "^1.0")
            .depends_on_optionally(PROVIDER, "*")
    }
}

impl Pipe for Integration {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let answer = match Command::parse(&request.user_text()) {
            Command::Send { to, text } => {
                let receipt = bridge("send", &json!({"to": to, "text": text}))?;
                format!(
                    "Letter {} is on its way to {to}.",
                    receipt.get("number").unwrap_or(&Value::Null)
                )
            }
            Command::Letters { like } => {
                let mut letters = letters()?;
                if let Some(words) = like {
                    letters = most_like_first(&words, letters);
                }
                show(&letters)
            }
            Command::Help => help(),
        };
        reply.text(answer)?;
        Ok(())
    }
}

fn bridge(method: &str, payload: &Value) -> Result<Value, Failure> {
    calls::call(BRIDGE, method, payload, None).map_err(CallError::into_failure)
}

fn letters() -> Result<Vec<Letter>, Failure> {
    #[derive(Deserialize)]
    #[serde(crate = "weir_sdk::serde")]
    struct Received {
        letters: Vec<Letter>,
    }
    let received: Received = serde_json::from_value(bridge("receive", &json!({"most": 20}))?)?;
    Ok(received.letters)
}

/// Best first; in the order they came where nobody can tell. Letters that were received are gone from the bridge, so no failure may lose them here.
fn most_like_first(words: &str, letters: Vec<Letter>) -> Vec<Letter> {
    if !grants::providers("embeddings")
        .iter()
        .any(|id| id == PROVIDER)
    {
        return letters;
    }
    match order(words, &letters) {
        Ok(order) => {
            let mut letters: Vec<_> = letters.into_iter().map(Some).collect();
            order
                .into_iter()
                .filter_map(|place| letters.get_mut(place)?.take())
                .collect()
        }
        Err(failure) => {
            log::warn(format!("letters stay in the order they came: {failure}"));
            letters
        }
    }
}

fn order(words: &str, letters: &[Letter]) -> Result<Vec<usize>, Failure> {
    let texts: Vec<_> = std::iter::once(words)
        .chain(letters.iter().map(|letter| letter.text.as_str()))
        .collect();
    let answer = calls::call(PROVIDER, "embed", &json!({"texts": texts}), None)
        .map_err(CallError::into_failure)?;
    rank::order(answer, letters.len())
}

fn show(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "No letters.".to_owned();
    }
    let lines: Vec<_> = letters
        .iter()
        .map(|letter| format!("{}: {}", letter.from, letter.text))
        .collect();
    lines.join("\n")
}

fn help() -> String {
    let is = |plugin| {
        if grants::present(plugin) {
            "there"
        } else {
            "not there"
        }
    };
    format!(
        "{}\nThe bridge is {}, the provider is {}.",
        command::HELP,
        is(BRIDGE),
        is(PROVIDER)
    )
}

weir_sdk::plugin!(Integration: pipe);
