//! Attacks on the state store, with the grant for it: `hostile-state.bytes` and so on.

use attacks::Attack;
use weir_sdk::{Failure, Manifest, Manifold, Model, Pipe, Plugin, Reply, Request, state};

const ATTACKS: &[(&str, Attack)] = &[
    ("bytes", bytes),
    ("keys", keys),
    ("value", value),
    ("names", names),
    ("calls", calls),
    ("list", list),
];

/// Writes values of 256 KiB under ever new keys, and says why it was stopped.
fn bytes(_: &Request, _: &Reply) -> Result<String, Failure> {
    let value = vec![0_u8; 256 * 1024];
    for number in 0_u64.. {
        if let Err(error) = state::set(&format!("bytes/{number}"), &value) {
            return Ok(format!("{number} values: {error}"));
        }
    }
    Ok("no end".to_owned())
}

/// Writes small values under ever new keys, and says why it was stopped.
fn keys(_: &Request, _: &Reply) -> Result<String, Failure> {
    for number in 0_u64.. {
        if let Err(error) = state::set(&format!("keys/{number}"), b"x") {
            return Ok(format!("{number} keys: {error}"));
        }
    }
    Ok("no end".to_owned())
}

/// Writes one value of 100 MiB.
fn value(_: &Request, _: &Reply) -> Result<String, Failure> {
    let outcome = state::set("value", &vec![0_u8; 100 * 1024 * 1024]);
    Ok(outcome.map_or_else(|error| error.to_string(), |_| "written".to_owned()))
}

/// Uses keys that are too long, empty, or would lead somewhere else if they were paths or SQL.
fn names(_: &Request, _: &Reply) -> Result<String, Failure> {
    let long = "k".repeat(513);
    let tries = [
        "",
        long.as_str(),
        "../../other/key",
        "'; DROP TABLE state; --",
        "nul\0byte",
        "\u{202e}",
    ];
    let outcomes = tries.map(
        |key| match state::set(key, b"x").and_then(|_| state::get(key)) {
            Ok(Some(entry)) if entry.value == b"x" => "kept".to_owned(),
            Ok(_) => "lost".to_owned(),
            Err(error) => error.to_string(),
        },
    );
    Ok(outcomes.join("; "))
}

/// Counts for ever.
fn calls(_: &Request, _: &Reply) -> Result<String, Failure> {
    loop {
        state::add("calls", 1)?;
    }
}

/// Asks for more keys than a list may have.
fn list(_: &Request, _: &Reply) -> Result<String, Failure> {
    Ok(format!(
        "{} keys",
        state::list_keys("", None, u32::MAX)?.len()
    ))
}

#[derive(Default)]
struct HostileState;

impl Plugin for HostileState {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest.id("hostile-state").name("Hostile to state: ")
    }
}

impl Manifold for HostileState {
    fn models(&mut self) -> Result<Vec<Model>, Failure> {
        Ok(attacks::models(ATTACKS))
    }
}

impl Pipe for HostileState {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        attacks::run(ATTACKS, request, reply)
    }
}

weir_sdk::plugin!(HostileState: pipe, manifold);
