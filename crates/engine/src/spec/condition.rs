//! Conditions of compositions, read and checked: CEL over the names there are. What they give is the run's business.

use std::panic::catch_unwind;

use cel::Program;
use model::pipeline::Parameter;

use crate::nearest::{instead, quoted};

/// Most bytes of a condition: it is evaluated without a bound of its own, over values that are small.
const MAX: usize = 4_096;
/// How deep brackets may nest.
const MAX_DEPTH: usize = 64;
/// What a condition may name.
pub(crate) const NAMES: [&str; 3] = ["params", "window", "previous"];

/// Reads a condition.
pub(crate) fn compile(text: &str, parameters: &[Parameter]) -> Result<Program, String> {
    let given = quoted(text);
    if text.len() > MAX {
        return Err(format!("the condition has more than {MAX} bytes"));
    }
    if depth(text) > MAX_DEPTH {
        return Err(format!(
            "the condition's brackets nest more than {MAX_DEPTH} deep"
        ));
    }
    // The parser is a library's: what it cannot take is an error of whoever wrote the condition, whatever it does then.
    let program = match catch_unwind(|| Program::compile(text)) {
        Ok(Ok(program)) => program,
        Ok(Err(errors)) => {
            let said = errors.errors.iter();
            let said = said.map(|e| (e.pos.0, e.pos.1, e.msg.as_str()));
            return Err(format!("the condition {given} {}", model::cel::wrong(said)));
        }
        Err(_) => return Err(format!("the condition {given} is no CEL")),
    };
    let references = program.references();
    let mut named = references.variables();
    named.sort_unstable();
    let bound = bound(text);
    for name in named {
        if bound.contains(&name) {
            continue;
        }
        if !NAMES.contains(&name) {
            let meant = parameters.iter().find(|p| p.name == name);
            let instead = match meant {
                Some(p) => format!("; did you mean \"params.{}\"?", p.name),
                None => instead(name, NAMES.into_iter()),
            };
            return Err(format!(
                "the condition {given} names {}, which is nothing here{instead}",
                quoted(name)
            ));
        }
    }
    Ok(program)
}

fn depth(text: &str) -> usize {
    let (mut deepest, mut now) = (0, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => now = now.saturating_add(1),
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

/// The names that macros give the entries they look at, as `x` in `list.exists(x, x > 1)`.
fn bound(text: &str) -> Vec<&str> {
    const MACROS: [&str; 5] = ["all(", "exists(", "exists_one(", "map(", "filter("];
    let after = MACROS.iter().flat_map(|name| text.split(name).skip(1));
    let first = after.filter_map(|rest| rest.split([',', ')']).next());
    first.map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_checked() {
        let parameters = [Parameter {
            name: "full".into(),
            schema: json!({"type": "boolean"}),
            default: None,
        }];
        for good in [
            "true",
            "params.full && previous.records_out > 0",
            "previous.state == 'succeeded' || window.start < '2026'",
            "[1, 2].exists(x, x == previous.rejected)",
        ] {
            assert!(compile(good, &parameters).is_ok(), "{good}");
        }
        for (bad, words) in [
            ("", "is no CEL"),
            ("params.full &&", "is no CEL"),
            ("full", "did you mean \"params.full\"?"),
            ("previos.state == 'x'", "did you mean \"previous\"?"),
            (&"(".repeat(4_000), "64 deep"),
            (&"x".repeat(5_000), "4096 bytes"),
        ] {
            let said = compile(bad, &parameters).err().unwrap_or_default();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}
