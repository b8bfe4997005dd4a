//! What a run is given for its pipeline's parameters: checked, with defaults put in.

use model::pipeline::Parameter;
use model::stage::Misfit;
use serde_json::{Map, Value};

/// The values of all parameters, in the order of the spec.
pub(crate) fn checked(
    parameters: &[Parameter],
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Misfit>> {
    let mut wrong = Vec::new();
    for name in given.keys() {
        if !parameters.iter().any(|p| p.name == *name) {
            wrong.push(Misfit::new(at(name), unknown(name, parameters)));
        }
    }
    let mut values = Map::new();
    for parameter in parameters {
        let name = &parameter.name;
        let Some(value) = given.get(name).or(parameter.default.as_ref()) else {
            let what = format!("the parameter {name} has no default and has to be given");
            wrong.push(Misfit::new(at(name), what));
            continue;
        };
        match fits(&parameter.schema, value) {
            Ok(()) => {
                values.insert(name.clone(), value.clone());
            }
            Err(what) => wrong.push(Misfit::new(at(name), what)),
        }
    }
    if wrong.is_empty() {
        Ok(values)
    } else {
        Err(wrong)
    }
}

fn at(name: &str) -> String {
    format!("/parameters/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn unknown(name: &str, parameters: &[Parameter]) -> String {
    let names: Vec<_> = parameters.iter().map(|p| p.name.as_str()).collect();
    match names.as_slice() {
        [] => format!("there is no parameter {name:?}: the pipeline has none"),
        names => format!(
            "there is no parameter {name:?}; there are {}",
            names.join(", ")
        ),
    }
}

fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|e| format!("the parameter's schema cannot be used: {e}"))?;
    let said: Vec<_> = validator
        .iter_errors(value)
        .map(|e| match e.instance_path().to_string().as_str() {
            "" => e.to_string(),
            at => format!("{at}: {e}"),
        })
        .collect();
    if said.is_empty() {
        Ok(())
    } else {
        Err(said.join("; "))
    }
}
