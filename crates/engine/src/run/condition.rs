//! Conditions of compositions: CEL over `params`, `window` and `previous`.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::{Context, Program, Value as Cel};
use serde_json::{Map, Number, Value, json};

use model::run::{Covered, RunRecord};

use crate::spec::CONDITION_NAMES;

/// A condition that was read.
pub(crate) struct Condition(Program);

impl Condition {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let program = crate::spec::compile_condition(text, &[])?;
        Ok(Self(program))
    }

    /// Does it hold?
    pub(crate) fn holds(
        &self,
        parameters: &Map<String, Value>,
        window: Option<&Covered>,
        previous: Option<&RunRecord>,
    ) -> Result<bool, String> {
        let mut context = Context::default();
        let window = window.map_or(Value::Null, |w| json!(w));
        let previous = previous.map_or(Value::Null, summary);
        let parameters = Value::Object(parameters.clone());
        for (name, value) in CONDITION_NAMES.iter().zip([parameters, window, previous]) {
            context.add_variable_from_value(*name, to_cel(value));
        }
        let done = catch_unwind(AssertUnwindSafe(|| self.0.execute(&context)));
        match done {
            Ok(Ok(Cel::Bool(holds))) => Ok(holds),
            Ok(Ok(other)) => Err(format!(
                "the condition gives a value of the type {}, neither true nor false",
                other.type_of()
            )),
            Ok(Err(error)) => Err(format!("the condition cannot be evaluated: {error}")),
            Err(_) => Err("the condition cannot be evaluated".into()),
        }
    }
}

/// What `previous` is.
fn summary(run: &RunRecord) -> Value {
    let counts = super::Counts::of(run);
    json!({
        "state": run.state,
        "records_in": counts.records_in,
        "records_out": counts.records_out,
        "rejected": counts.rejected,
    })
}

fn to_cel(value: Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(b),
        Value::Number(n) => number(&n),
        Value::String(text) => Cel::from(text),
        Value::Array(items) => Cel::from(items.into_iter().map(to_cel).collect::<Vec<_>>()),
        Value::Object(members) => {
            let members = members.into_iter().map(|(k, v)| (k, to_cel(v)));
            Cel::from(members.collect::<HashMap<_, _>>())
        }
    }
}

fn number(n: &Number) -> Cel {
    if let Some(n) = n.as_i64() {
        Cel::Int(n)
    } else if let Some(n) = n.as_u64() {
        Cel::UInt(n)
    } else {
        Cel::Float(n.as_f64().unwrap_or(f64::NAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(condition: &str) -> Result<bool, String> {
        let given = json!({"n": 3, "name": "a", "big": 1.5});
        let window = Covered {
            label: "2026".into(),
            start: Some("2026-01-01T00:00:00Z".into()),
            end: None,
        };
        let condition = Condition::parse(condition)?;
        condition.holds(given.as_object().unwrap(), Some(&window), None)
    }

    #[test]
    fn conditions_are_read_and_evaluated() {
        for bad in [
            "",
            "params.",
            "param.n == 3",
            "params.n",
            "params.missing > 1",
            "params.n > 'a'",
            &"(".repeat(100),
            &"1+".repeat(3000),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for (condition, holds) in [
            ("params.n == 3", true),
            ("params.n > 3 || params.name.startsWith('a')", true),
            ("params.big < 1.0", false),
            ("window.label == '2026' && window.end == null", true),
            ("previous == null", true),
        ] {
            assert_eq!(check(condition), Ok(holds), "{condition}");
        }
    }
}
