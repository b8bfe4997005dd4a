//! Makes a value fit a kind, as pydantic 2.7 does in its lax mode: same conversions, same names and words of errors.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::ValveError;
use super::kind::{Kind, Length, Range, python};
use super::number::{self, IntText};

/// How much a value had to change to fit; pydantic's smart unions take the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// It was of the kind.
    Exact,
    /// Its kind can stand for the other without any doubt, as an integer for a float.
    Strict,
    /// It was read as the kind.
    Lax,
}

/// Floats from here on are no 64-bit integers: 2 to the power of 63.
const MAX_INT_FLOAT: f64 = 9_223_372_036_854_775_808.0;
/// Errors after which the rest of a list or dictionary is not looked at.
const MAX_ERRORS: usize = 100;
const TOO_LONG: (&str, &str) = (
    "int_parsing_size",
    "Unable to parse input string as an integer, exceeded maximum size",
);

type Fit = Result<(Value, Match), Vec<ValveError>>;

impl Kind {
    /// The value, converted.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub(super) fn fit(&self, value: &Value, loc: &[&str]) -> Result<Value, Vec<ValveError>> {
        self.try_fit(value, loc).map(|(value, _)| value)
    }

    fn try_fit(&self, value: &Value, loc: &[&str]) -> Fit {
        let wrong = |kind, message: String| Err(vec![error(loc, kind, message, value)]);
        match self {
            Self::Any => Ok((value.clone(), Match::Exact)),
            Self::Null if value.is_null() => Ok((Value::Null, Match::Exact)),
            Self::Null => wrong("none_required", "Input should be None".into()),
            Self::Bool => fit_bool(value).or_else(|(kind, text)| wrong(kind, text.into())),
            Self::Int(range) => {
                let (int, matched) = fit_int(value)
                    .map_err(|(kind, text)| vec![error(loc, kind, text.into(), value)])?;
                in_range(int, range, loc, value).map(|v| (v, matched))
            }
            Self::Float(range) => {
                let (float, matched) = fit_float(value)
                    .map_err(|(kind, text)| vec![error(loc, kind, text.into(), value)])?;
                in_range(float, range, loc, value).map(|v| (v, matched))
            }
            Self::Text(length) => match value {
                Value::String(text) => check_text(text, *length, loc, value),
                _ => wrong("string_type", "Input should be a valid string".into()),
            },
            Self::Literal(of) if of.contains(value) => Ok((value.clone(), Match::Exact)),
            Self::Literal(of) => wrong("literal_error", format!("Input should be {}", any_of(of))),
            Self::List {
                items,
                length,
                unique,
            } => match value {
                Value::Array(array) => fit_list(array, items, *length, *unique, loc),
                _ if *unique => wrong("set_type", "Input should be a valid set".into()),
                _ => wrong("list_type", "Input should be a valid list".into()),
            },
            Self::Dict { values, length } => match value {
                Value::Object(object) => fit_dict(object, values, *length, loc),
                _ => wrong("dict_type", "Input should be a valid dictionary".into()),
            },
            Self::Nullable(_) if value.is_null() => Ok((Value::Null, Match::Exact)),
            Self::Nullable(kind) => kind.try_fit(value, loc),
            Self::Union(of) => fit_union(of, value, loc),
        }
    }
}

fn error(loc: &[&str], kind: &'static str, message: String, input: &Value) -> ValveError {
    ValveError {
        loc: loc.iter().map(ToString::to_string).collect(),
        kind,
        message,
        input: input.clone(),
    }
}

/// `'a', 'b' or 'c'`
fn any_of(literals: &[Value]) -> String {
    let texts: Vec<_> = literals.iter().map(python).collect();
    match texts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn fit_bool(value: &Value) -> Result<(Value, Match), (&'static str, &'static str)> {
    const PARSING: (&str, &str) = (
        "bool_parsing",
        "Input should be a valid boolean, unable to interpret input",
    );
    const TYPE: (&str, &str) = ("bool_type", "Input should be a valid boolean");
    let read = match value {
        Value::Bool(b) => return Ok((Value::Bool(*b), Match::Exact)),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "0" | "off" | "f" | "false" | "n" | "no" => false,
            "1" | "on" | "t" | "true" | "y" | "yes" => true,
            _ => return Err(PARSING),
        },
        Value::Number(n) => match n.as_f64() {
            Some(0.0) => false,
            Some(1.0) => true,
            // A float that is no 64-bit integer: pydantic does not even try.
            Some(f) if number::is_float(n) && (f.fract() != 0.0 || f.abs() >= MAX_INT_FLOAT) => {
                return Err(TYPE);
            }
            _ => return Err(PARSING),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(TYPE),
    };
    Ok((Value::Bool(read), Match::Lax))
}

fn fit_int(value: &Value) -> Result<(Number, Match), (&'static str, &'static str)> {
    match value {
        Value::Number(n) if !number::is_float(n) => Ok((n.clone(), Match::Exact)),
        Value::Number(n) => match n.as_f64() {
            Some(f) if f.is_finite() && f.fract() == 0.0 && f.abs() >= MAX_INT_FLOAT => {
                Err(TOO_LONG)
            }
            Some(f) if f.is_finite() => match number::int_of_float(f) {
                Some(int) => Ok((int, Match::Lax)),
                None => Err((
                    "int_from_float",
                    "Input should be a valid integer, got a number with a fractional part",
                )),
            },
            _ => Err(("finite_number", "Input should be a finite number")),
        },
        Value::Bool(b) => Ok((Number::from(u8::from(*b)), Match::Lax)),
        Value::String(text) => match number::int_of_text(text) {
            IntText::Int(int) => Ok((int, Match::Lax)),
            IntText::TooLong => Err(TOO_LONG),
            IntText::No => Err((
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
            )),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(("int_type", "Input should be a valid integer"))
        }
    }
}

fn fit_float(value: &Value) -> Result<(Number, Match), (&'static str, &'static str)> {
    const FINITE: (&str, &str) = ("finite_number", "Input should be a finite number");
    let (float, matched) = match value {
        Value::Number(n) if number::is_float(n) => (n.as_f64(), Match::Exact),
        Value::Number(n) => (n.as_f64(), Match::Strict),
        Value::Bool(b) => (Some(f64::from(u8::from(*b))), Match::Lax),
        Value::String(text) => match number::float_of_text(text) {
            Some(float) => (Some(float), Match::Lax),
            None => {
                return Err((
                    "float_parsing",
                    "Input should be a valid number, unable to parse string as a number",
                ));
            }
        },
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(("float_type", "Input should be a valid number"));
        }
    };
    // JSON has no infinities and no NaN, so unlike pydantic we never take them.
    let number = float.and_then(Number::from_f64).ok_or(FINITE)?;
    Ok((number, matched))
}

fn in_range(
    number: Number,
    range: &Range,
    loc: &[&str],
    input: &Value,
) -> Result<Value, Vec<ValveError>> {
    use Ordering::{Equal, Greater, Less};
    let wrong = |kind, text: String| {
        Err(vec![error(
            loc,
            kind,
            format!("Input should be {text}"),
            input,
        )])
    };
    if let Some(step) = range.multiple_of
        && !step.divides(&number)
    {
        return wrong("multiple_of", format!("a multiple of {step}"));
    }
    let checks: [(_, &[Ordering], _, _); 4] = [
        (
            range.le,
            &[Less, Equal],
            "less_than_equal",
            "less than or equal to",
        ),
        (range.lt, &[Less], "less_than", "less than"),
        (
            range.ge,
            &[Greater, Equal],
            "greater_than_equal",
            "greater than or equal to",
        ),
        (range.gt, &[Greater], "greater_than", "greater than"),
    ];
    for (bound, allowed, kind, words) in checks {
        if let Some(bound) = bound
            && !bound.compare(&number).is_some_and(|o| allowed.contains(&o))
        {
            return wrong(kind, format!("{words} {bound}"));
        }
    }
    Ok(Value::Number(number))
}

fn check_text(text: &str, length: Length, loc: &[&str], value: &Value) -> Fit {
    let count = text.chars().count();
    let say = |kind, which: &str, n: usize| {
        let plural = if n == 1 { "" } else { "s" };
        Err(vec![error(
            loc,
            kind,
            format!("String should have at {which} {n} character{plural}"),
            value,
        )])
    };
    match length {
        Length { min: Some(n), .. } if count < n => say("string_too_short", "least", n),
        Length { max: Some(n), .. } if count > n => say("string_too_long", "most", n),
        Length { .. } => Ok((value.clone(), Match::Exact)),
    }
}

fn check_items(
    what: &str,
    count: usize,
    length: Length,
    loc: &[&str],
    input: &(impl Clone + Into<Value>),
) -> Result<(), Vec<ValveError>> {
    let say = |kind, which: &str, n: usize| {
        let plural = if n == 1 { "" } else { "s" };
        let text =
            format!("{what} should have at {which} {n} item{plural} after validation, not {count}");
        Err(vec![error(loc, kind, text, &input.clone().into())])
    };
    match length {
        Length { min: Some(n), .. } if count < n => say("too_short", "least", n),
        Length { max: Some(n), .. } if count > n => say("too_long", "most", n),
        Length { .. } => Ok(()),
    }
}

fn fit_list(array: &Vec<Value>, items: &Kind, length: Length, unique: bool, loc: &[&str]) -> Fit {
    let what = if unique { "Set" } else { "List" };
    if !unique {
        // As pydantic: a list that is too long is not even looked into.
        let most = Length {
            min: None,
            max: length.max,
        };
        check_items(what, array.len(), most, loc, array)?;
    }
    let mut fitted = Vec::with_capacity(array.len());
    let mut seen = HashSet::new();
    let mut errors = Vec::new();
    let mut matched = Match::Exact;
    for (index, value) in array.iter().enumerate() {
        let index = index.to_string();
        let place: Vec<&str> = loc.iter().copied().chain([index.as_str()]).collect();
        match items.try_fit(value, &place) {
            Ok((value, how)) => {
                matched = matched.max(how);
                if !unique || seen.insert(value.to_string()) {
                    fitted.push(value);
                }
            }
            Err(wrong) => errors.extend(wrong),
        }
        if errors.len() >= MAX_ERRORS {
            break;
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    check_items(what, fitted.len(), length, loc, array)?;
    Ok((Value::Array(fitted), matched))
}

fn fit_dict(object: &Map<String, Value>, values: &Kind, length: Length, loc: &[&str]) -> Fit {
    let mut fitted = Map::new();
    let mut errors = Vec::new();
    let mut matched = Match::Exact;
    for (key, value) in object {
        let place: Vec<&str> = loc.iter().copied().chain([key.as_str()]).collect();
        match values.try_fit(value, &place) {
            Ok((value, how)) => {
                matched = matched.max(how);
                fitted.insert(key.clone(), value);
            }
            Err(wrong) => errors.extend(wrong),
        }
        if errors.len() >= MAX_ERRORS {
            break;
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    check_items("Dictionary", fitted.len(), length, loc, object)?;
    Ok((Value::Object(fitted), matched))
}

/// The first member that fits exactly; else the one that fits best, the first of equals.
fn fit_union(of: &[Kind], value: &Value, loc: &[&str]) -> Fit {
    let mut best: Option<(Value, Match)> = None;
    let mut errors = Vec::new();
    for kind in of {
        let label = kind.label();
        let place: Vec<&str> = loc.iter().copied().chain([label.as_str()]).collect();
        match kind.try_fit(value, &place) {
            Ok((value, Match::Exact)) => return Ok((value, Match::Exact)),
            Ok((value, how)) => {
                if best.as_ref().is_none_or(|(_, b)| how < *b) {
                    best = Some((value, how));
                }
            }
            Err(wrong) => errors.extend(wrong),
        }
    }
    best.ok_or(errors)
}
