//! Templates (`{{…}}`) and references (`${…}`) in the options of stages: each string is cut into pieces once, and what a piece gives is never read again. So a
//! parameter's value is data, whatever it holds. What the options mean is the stages' business.

mod evaluate;
mod pieces;

use model::id::PipelineId;
use model::pipeline::Parameter;
use model::ports::References;
use model::run::{Covered, RunId};
use model::stage::{Misfit, is_open};
use serde_json::{Map, Value};

use evaluate::{Evaluator, text_of};
use pieces::{Piece, pieces};

/// Most bytes of one filled string.
const MAX_STRING: usize = 1 << 20;
/// Most bytes of all strings of one stage.
const MAX_ALL: usize = 4 << 20;

/// What templates are filled with.
#[derive(Debug, Clone)]
pub struct Values {
    /// `{{pipeline.id}}`.
    pub pipeline: PipelineId,
    /// `{{run.id}}`.
    pub run: RunId,
    /// `{{params.<name>}}`: all that are declared, with defaults put in.
    pub parameters: Map<String, Value>,
    /// `{{timescope}}`, `{{window.start}}`, `{{window.end}}`; none: the pipeline has no timescope.
    pub window: Option<Covered>,
}

/// The options with every string filled in. A string that is one template and nothing else becomes that template's value, so a number stays a number. May read
/// files, through `references`.
///
/// # Errors
/// All that could not be filled in, by place. No message holds what a reference stands for.
pub fn fill(
    options: &Map<String, Value>,
    values: &Values,
    references: &dyn References,
) -> Result<Map<String, Value>, Vec<Misfit>> {
    let mut filling = Filling {
        evaluator: Evaluator::new(values),
        references,
        left: MAX_ALL,
        wrong: Vec::new(),
    };
    let filled = filling.map(options, "");
    if filling.wrong.is_empty() {
        Ok(filled)
    } else {
        Err(filling.wrong)
    }
}

/// What is wrong with the templates and references of options, as far as that can be seen without values.
#[must_use]
pub fn check(
    options: &Map<String, Value>,
    parameters: &[Parameter],
    has_timescope: bool,
) -> Vec<Misfit> {
    let mut wrong = Vec::new();
    for (name, value) in options {
        each_string(value, &pointer("", name), &mut |text, at| {
            if let Err(message) = check_text(text, parameters, has_timescope) {
                wrong.push(Misfit::new(at, message));
            }
        });
    }
    wrong
}

/// The places with references.
pub(crate) fn references(options: &Map<String, Value>) -> Vec<String> {
    let mut places = Vec::new();
    for (name, value) in options {
        each_string(value, &pointer("", name), &mut |text, at| {
            let pieces = pieces(text).unwrap_or_default();
            if pieces.iter().any(|p| matches!(p, Piece::Reference(_))) {
                places.push(at.to_owned());
            }
        });
    }
    places
}

/// Checks a text that has to be kept out of the spec it stands in: it holds references, and no templates.
pub(crate) fn needs_reference(text: &str) -> Result<(), String> {
    let pieces = pieces(text)?;
    if pieces.iter().any(|p| matches!(p, Piece::Expression(_))) {
        return Err("templates (`{{…}}`) cannot stand here: there is no run yet".into());
    }
    if pieces.iter().any(|p| matches!(p, Piece::Reference(_))) {
        return Ok(());
    }
    // It is not shown: it may be the secret.
    Err("a reference is needed, `${env:NAME}` or `${file:path}`: whoever sees a spec sees what stands in it".into())
}

/// A text with its references filled in, and no templates. May read files.
///
/// # Errors
/// A sentence with the name of what has no value, never with a value.
pub(crate) fn resolved(text: &str, references: &dyn References) -> Result<String, String> {
    let mut filled = String::new();
    for piece in pieces(text)? {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Reference(reference) => filled.push_str(&references.get(reference)?),
            Piece::Expression(_) => return Err("templates cannot stand here".into()),
        }
    }
    Ok(filled)
}

fn check_text(text: &str, parameters: &[Parameter], has_timescope: bool) -> Result<(), String> {
    for piece in pieces(text)? {
        if let Piece::Expression(expression) = piece {
            evaluate::check(expression, parameters, has_timescope)?;
        }
    }
    Ok(())
}

/// The pointer of a member.
pub(crate) fn pointer(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn each_string(value: &Value, at: &str, see: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(text, at),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                each_string(item, &format!("{at}/{i}"), see);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                each_string(member, &pointer(at, name), see);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One walk through the options of a stage.
struct Filling<'a> {
    evaluator: Evaluator<'a>,
    references: &'a dyn References,
    /// Bytes that filled strings may still have.
    left: usize,
    wrong: Vec<Misfit>,
}

impl Filling<'_> {
    fn map(&mut self, members: &Map<String, Value>, at: &str) -> Map<String, Value> {
        members
            .iter()
            .map(|(name, value)| (name.clone(), self.value(value, &pointer(at, name))))
            .collect()
    }

    fn value(&mut self, value: &Value, at: &str) -> Value {
        match value {
            Value::String(text) if is_open(text) => match self.text(text) {
                Ok(value) => value,
                Err(message) => {
                    self.wrong.push(Misfit::new(at, message));
                    Value::Null
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Value::Array(
                    items
                        .map(|(i, item)| self.value(item, &format!("{at}/{i}")))
                        .collect(),
                )
            }
            Value::Object(members) => Value::Object(self.map(members, at)),
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str) -> Result<Value, String> {
        let pieces = pieces(text)?;
        if let [Piece::Expression(expression)] = pieces.as_slice() {
            let value = self.evaluator.value(expression)?;
            self.spend(serde_json::to_string(&value).map_or(0, |json| json.len()))?;
            return Ok(value);
        }
        let mut filled = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Expression(expression) => {
                    let value = self.evaluator.value(expression)?;
                    let text = text_of(&value).ok_or_else(|| {
                        format!("{{{{{expression}}}}} is null, which has no text")
                    })?;
                    filled.push_str(&text);
                }
                Piece::Reference(reference) => filled.push_str(&self.references.get(reference)?),
            }
            if filled.len() > MAX_STRING {
                return Err(format!(
                    "has more than {MAX_STRING} bytes once it is filled in"
                ));
            }
        }
        self.spend(filled.len())?;
        Ok(Value::String(filled))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| {
            format!(
                "the options of the stage have more than {MAX_ALL} bytes once they are filled in"
            )
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
