//! One expression of a template: checked against the names there are, and evaluated with bounds. Where it stands is not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value as Jinja};
use model::pipeline::Parameter;
use model::run::Covered;
use serde_json::Value;

use super::Values;
use crate::nearest::{instead, listed, quoted};

/// Steps of one expression.
const FUEL: u64 = 1_000;
/// What a template may name.
const NAMES: [&str; 5] = ["timescope", "window", "params", "pipeline", "run"];
/// What may stand after `|`.
const FILTERS: [&str; 5] = ["date", "default", "lower", "upper", "urlencode"];
const NO_TIMESCOPE: &str =
    "the pipeline has no timescope, so there is neither {{timescope}} nor {{window.…}}";

/// Evaluates expressions with the values of one run.
pub(super) struct Evaluator<'a> {
    values: &'a Values,
    environment: Environment<'static>,
    context: Jinja,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(values: &'a Values) -> Self {
        let one = |name: &str, value: &str| map_of([(name.to_owned(), Jinja::from(value))]);
        let parameters = values.parameters.iter();
        let parameters = map_of(parameters.map(|(name, value)| (name.clone(), jinja(value))));
        let mut names = BTreeMap::from([
            ("params".to_owned(), parameters),
            ("pipeline".into(), one("id", values.pipeline.as_str())),
            ("run".into(), one("id", values.run.as_str())),
        ]);
        if let Some(Covered { label, start, end }) = &values.window {
            let bounds = [("start", start), ("end", end)];
            let bounds = bounds.into_iter().filter_map(|(name, bound)| {
                let bound = bound.as_deref()?;
                Some((name.to_owned(), Jinja::from(bound)))
            });
            names.insert("window".into(), map_of(bounds));
            names.insert("timescope".into(), Jinja::from(label.as_str()));
        }
        Self {
            values,
            environment: environment(),
            context: map_of(names),
        }
    }

    /// What an expression gives.
    pub(super) fn value(&self, expression: &str) -> Result<Value, String> {
        // A parameter as it was given: through the template engine a decimal of many digits would lose some.
        if let Some(name) = expression.strip_prefix("params.")
            && let Some(value) = self.values.parameters.get(name)
        {
            return Ok(value.clone());
        }
        let said = |e: &minijinja::Error| self.said(expression, e);
        let compiled = self.environment.compile_expression(expression);
        let compiled = compiled.map_err(|e| said(&e))?;
        let given = compiled.eval(self.context.clone()).map_err(|e| said(&e))?;
        if given.is_undefined() {
            return Err(self.undefined(expression));
        }
        serde_json::to_value(&given).map_err(|_| format!("{{{{{expression}}}}} gives no value"))
    }

    fn said(&self, expression: &str, error: &minijinja::Error) -> String {
        match error.kind() {
            ErrorKind::UndefinedError => self.undefined(expression),
            _ => sentence(expression, error),
        }
    }

    fn undefined(&self, expression: &str) -> String {
        let names = self.values.parameters.keys().map(String::as_str);
        let there = match &self.values.window {
            None if expression.contains("window") || expression.contains("timescope") => {
                NO_TIMESCOPE.into()
            }
            Some(Covered { start: None, .. }) if expression.contains("window") => {
                "the timescope `all` has no bounds".into()
            }
            _ => format!(
                "{} can be named, and of parameters {}",
                NAMES.join(", "),
                listed(names)
            ),
        };
        format!("{} has no value: {there}", shown(expression))
    }
}

/// Checks an expression without values.
pub(super) fn check(
    expression: &str,
    parameters: &[Parameter],
    has_timescope: bool,
) -> Result<(), String> {
    let environment = environment();
    let compiled = environment
        .compile_expression(expression)
        .map_err(|e| sentence(expression, &e))?;
    for filter in filters(expression) {
        if !FILTERS.contains(&filter) {
            let instead = instead(filter, FILTERS.into_iter());
            return Err(format!(
                "{}: there is no filter {filter:?}{instead}",
                shown(expression)
            ));
        }
    }
    let mut named: Vec<_> = compiled.undeclared_variables(true).into_iter().collect();
    named.sort();
    for name in named {
        let (root, member) = name.split_once('.').unwrap_or((&name, ""));
        let members = |allowed: &[&str]| {
            if member.is_empty() || allowed.contains(&member) {
                return Ok(());
            }
            let instead = instead(member, allowed.iter().copied());
            Err(format!("{} has no {member:?}{instead}", shown(root)))
        };
        match root {
            "timescope" | "window" if !has_timescope => return Err(NO_TIMESCOPE.into()),
            "timescope" => members(&[])?,
            "window" => members(&["start", "end"])?,
            "pipeline" | "run" => members(&["id"])?,
            "params" => check_parameter(member, parameters)?,
            _ => {
                let instead = instead(root, NAMES.into_iter());
                return Err(format!("{} names nothing{instead}", shown(&name)));
            }
        }
    }
    Ok(())
}

fn check_parameter(path: &str, parameters: &[Parameter]) -> Result<(), String> {
    let name = path.split('.').next().unwrap_or(path);
    if name.is_empty() || parameters.iter().any(|p| p.name == name) {
        return Ok(());
    }
    let names = parameters.iter().map(|p| p.name.as_str());
    Err(format!(
        "there is no parameter {}{}",
        quoted(name),
        instead(name, names)
    ))
}

/// The names after `|`. The template engine looks them up only when it evaluates.
fn filters(expression: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    let outside = expression.split(move |c: char| {
        let was = quote;
        match quote {
            Some(open) => quote = quote.filter(|_| c != open),
            None => quote = Some(c).filter(|c| ['"', '\''].contains(c)),
        }
        was.is_none() && c == '|'
    });
    let word = |c: char| c.is_alphanumeric() || c == '_';
    outside
        .skip(1)
        .filter_map(move |part| part.trim_start().split(|c| !word(c)).next())
}

/// What the template engine says, in our words.
fn sentence(expression: &str, error: &minijinja::Error) -> String {
    let shown = shown(expression);
    let detail = error.detail().unwrap_or("it cannot be read");
    match error.kind() {
        ErrorKind::UnknownFilter => {
            format!("{shown}: {detail}; filters are {}", FILTERS.join(", "))
        }
        ErrorKind::OutOfFuel => format!("{shown} takes more than {FUEL} steps"),
        _ => format!("{shown}: {detail}"),
    }
}

fn shown(expression: &str) -> String {
    format!("{{{{{expression}}}}}")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("date", date);
    environment.add_filter("default", minijinja::filters::default);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_filter("urlencode", urlencode);
    environment
}

/// `window.start | date("%Y/%m/%d")`: a moment of RFC 3339 in another form, in its own offset.
fn date(moment: &str, format: &str) -> Result<String, minijinja::Error> {
    let wrong = |text: String| minijinja::Error::new(ErrorKind::InvalidOperation, text);
    let (instant, offset) = crate::timescope::moment(moment).map_err(wrong)?;
    let local = instant.to_zoned(jiff::tz::TimeZone::fixed(offset));
    jiff::fmt::strtime::format(format, &local).map_err(|e| wrong(e.to_string()))
}

/// Every byte but letters, digits and `-._~` as `%XX`: safe in a path segment, a query and a form.
fn urlencode(value: &Jinja) -> Result<String, minijinja::Error> {
    // The engine's own leaves `/` as it is, which would let a value add segments to a path.
    Ok(minijinja::filters::urlencode(value)?.replace('/', "%2F"))
}

/// A value in a text; none for null.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}

fn map_of(members: impl IntoIterator<Item = (String, Jinja)>) -> Jinja {
    Jinja::from_pairs(members)
}

/// Not by way of serde: there a number of arbitrary precision is a map.
fn jinja(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(i), _, _) => Jinja::from(i),
            (_, Some(u), _) => Jinja::from(u),
            (_, _, Some(f)) => Jinja::from(f),
            _ => Jinja::from(n.to_string()),
        },
        Value::String(text) => Jinja::from(text.as_str()),
        Value::Array(items) => items.iter().map(jinja).collect(),
        Value::Object(members) => map_of(members.iter().map(|(n, v)| (n.clone(), jinja(v)))),
    }
}
