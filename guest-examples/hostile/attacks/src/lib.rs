//! Attacks that live in an ordinary call, written with the SDK. The components are in `examples/`: each is a manifold whose models are the
//! attacks, by name. `hostile/README.md` says what must stop each.

pub mod flood;
pub mod memory;
pub mod probe;
pub mod time;

use weir_sdk::{Failure, Model, Reply, Request};

/// Runs one attack. It comes back only if nothing stopped it: with a text that says how far it got.
pub type Attack = fn(&Request, &Reply) -> Result<String, Failure>;

/// A model for each attack.
pub fn models(attacks: &[(&str, Attack)]) -> Vec<Model> {
    attacks
        .iter()
        .map(|(name, _)| Model::new(*name, *name))
        .collect()
}

/// Runs the attack that the model names, and answers with what came of it.
pub fn run(attacks: &[(&str, Attack)], request: &Request, reply: &Reply) -> Result<(), Failure> {
    let attack = attacks.iter().find(|(name, _)| *name == request.model());
    let (_, attack) = attack
        .ok_or_else(|| Failure::invalid(format!("no attack is called '{}'", request.model())))?;
    let outcome = attack(request, reply)?;
    reply.text(outcome)?;
    Ok(())
}
