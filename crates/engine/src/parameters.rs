//! The values a run is given: checked against what its pipeline declares, all at once. What they are used for is the templates' business.

use model::pipeline::Parameter;
use model::stage::{Misfit, is_open};
use serde_json::{Map, Value};

use crate::nearest::{instead, quoted};
use crate::spec::Checker;
use crate::templates::pointer;

/// Where the values stand in a request.
const ROOT: &str = "/parameters";

/// The values of a run: those given, and the defaults of the others, in the order they are declared.
///
/// # Errors
/// All that is wrong, each at `/parameters/<name>`, or below: names that are not declared, values that do not fit, values that are missing.
pub fn complete(
    declared: &[Parameter],
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Misfit>> {
    let wrong = wrong(declared, given, |_| false);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let values = declared.iter().filter_map(|parameter| {
        let value = given.get(&parameter.name).or(parameter.default.as_ref())?;
        Some((parameter.name.clone(), value.clone()))
    });
    Ok(values.collect())
}

/// What is wrong with values that may hold templates: those are not known yet, the others have to fit.
pub(crate) fn check(declared: &[Parameter], given: &Map<String, Value>) -> Vec<Misfit> {
    wrong(declared, given, holds_template)
}

fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => is_open(text),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(members) => members.values().any(holds_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Names that are not declared, values that do not fit, unless they are `open`, and values that are missing.
fn wrong(
    declared: &[Parameter],
    given: &Map<String, Value>,
    open: impl Fn(&Value) -> bool,
) -> Vec<Misfit> {
    let names = declared.iter().map(|p| p.name.as_str());
    let mut wrong = Vec::new();
    for name in given.keys() {
        if !declared.iter().any(|p| p.name == *name) {
            let instead = instead(name, names.clone());
            let message = format!("the pipeline has no parameter {}{instead}", quoted(name));
            wrong.push(Misfit::new(pointer(ROOT, name), message));
        }
    }
    for parameter in declared {
        let at = pointer(ROOT, &parameter.name);
        match (given.get(&parameter.name), &parameter.default) {
            (Some(value), _) if open(value) => {}
            (Some(value), _) => wrong.extend(fit(parameter, value, &at)),
            (None, Some(_)) => {}
            (None, None) => {
                let message = format!(
                    "the parameter `{}` is needed: it has no default",
                    parameter.name
                );
                wrong.push(Misfit::new(at, message));
            }
        }
    }
    wrong
}

/// Values given as texts (`--param name=text`): each becomes what its schema asks for, where the text can be that. Nothing is checked yet; of a name that is given
/// twice the last value counts.
#[must_use]
pub fn from_texts(declared: &[Parameter], given: &[(String, String)]) -> Map<String, Value> {
    let typed = given.iter().map(|(name, text)| {
        let parameter = declared.iter().find(|p| p.name == *name);
        let value = parameter.and_then(|p| typed(&p.schema, text));
        (name.clone(), value.unwrap_or_else(|| text.clone().into()))
    });
    typed.collect()
}

/// What does not fit of a value that stands at `at`.
pub(crate) fn fit(parameter: &Parameter, value: &Value, at: &str) -> Vec<Misfit> {
    match Checker::new(&parameter.schema) {
        Ok(checker) => {
            let findings = checker.check_named(value, &parameter.name);
            findings
                .into_iter()
                .map(|f| Misfit::from(f.below(at)))
                .collect()
        }
        Err(e) => vec![Misfit::new(
            at,
            format!("its schema is no JSON Schema: {e}"),
        )],
    }
}

/// The text as JSON, where the schema wants anything but texts. A text it allows stays one.
fn typed(schema: &Value, text: &str) -> Option<Value> {
    let types = schema.get("type")?;
    let is_text = |t: &Value| t == "string";
    if is_text(types) || types.as_array().is_some_and(|all| all.iter().any(is_text)) {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared() -> Vec<Parameter> {
        let parameter = |name: &str, schema: Value, default: Option<Value>| Parameter {
            name: name.into(),
            schema,
            default,
        };
        vec![
            parameter("city", json!({"type": "string", "minLength": 2}), None),
            parameter(
                "days",
                json!({"type": "integer", "minimum": 1}),
                Some(json!(7)),
            ),
            parameter(
                "deep",
                json!({"type": "object", "properties": {"x": {"type": "number"}}}),
                Some(json!({})),
            ),
            parameter(
                "flag",
                json!({"type": ["boolean", "null"]}),
                Some(json!(null)),
            ),
        ]
    }

    fn said(given: &Value) -> Vec<(String, String)> {
        let wrong = complete(&declared(), given.as_object().unwrap()).unwrap_err();
        wrong.into_iter().map(|m| (m.pointer, m.message)).collect()
    }

    #[test]
    fn values_are_completed() {
        let given = json!({"days": 3, "city": "Ulm"});
        let values = complete(&declared(), given.as_object().unwrap()).unwrap();
        let expected = json!({"city": "Ulm", "days": 3, "deep": {}, "flag": null});
        assert_eq!(Value::Object(values), expected);
    }

    #[test]
    fn all_that_is_wrong_comes_at_once() {
        let said = said(&json!({"day": 1, "days": 0, "deep": {"x": "a"}}));
        let check = |i: usize, at: &str, words: &str| {
            assert_eq!(said[i].0, at);
            assert!(said[i].1.contains(words), "{said:?}");
        };
        check(
            0,
            "/parameters/day",
            "no parameter \"day\"; did you mean \"days\"?",
        );
        check(1, "/parameters/city", "`city` is needed");
        check(2, "/parameters/days", "`days` is 0; at least 1");
        check(3, "/parameters/deep/x", "`x` is \"a\"; a number is allowed");
        assert_eq!(said.len(), 4);
    }

    #[test]
    fn texts_become_what_the_schema_asks_for() {
        let check = |name: &str, text: &str, expected: Value| {
            let given = [(name.to_owned(), text.to_owned())];
            assert_eq!(
                from_texts(&declared(), &given)[name],
                expected,
                "{name}={text}"
            );
        };
        check("city", "5", json!("5"));
        check("days", "5", json!(5));
        check("days", "five", json!("five"));
        check("deep", r#"{"x": 1}"#, json!({"x": 1}));
        check("flag", "true", json!(true));
        check("other", "true", json!("true"));
        let refused = said(&json!({"city": "Ulm", "days": "five"}));
        assert!(
            refused[0].1.contains("`days` is \"five\"; a whole number"),
            "{refused:?}"
        );
    }
}
