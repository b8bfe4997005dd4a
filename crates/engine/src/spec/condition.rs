//! Conditions of compositions, checked: CEL over the names there are. What they give is the run's business.

use model::pipeline::Parameter;

use crate::nearest::{instead, quoted};

/// Most bytes of a condition.
const MAX: usize = 4_096;
/// What a condition may name.
const NAMES: [&str; 3] = ["params", "window", "previous"];

/// Checks a condition.
pub(super) fn check(text: &str, parameters: &[Parameter]) -> Result<(), String> {
    let given = quoted(text);
    if text.len() > MAX {
        return Err(format!("the condition has more than {MAX} bytes"));
    }
    let program = cel::Program::compile(text).map_err(|e| {
        let said = e.to_string();
        let first = said
            .lines()
            .map(str::trim)
            .find(|l| !l.is_empty())
            .unwrap_or_default()
            .to_owned();
        format!("{given} is no CEL expression: {first}")
    })?;
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
                "{given} names {}, which is nothing here{instead}",
                quoted(name)
            ));
        }
    }
    Ok(())
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
            assert_eq!(check(good, &parameters), Ok(()), "{good}");
        }
        for (bad, words) in [
            ("", "no CEL expression"),
            ("params.full &&", "no CEL expression"),
            ("full", "did you mean \"params.full\"?"),
            ("previos.state == 'x'", "did you mean \"previous\"?"),
            (&"(".repeat(4_000), "no CEL expression"),
            (&"x".repeat(5_000), "4096 bytes"),
        ] {
            let said = check(bad, &parameters).unwrap_err();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}
