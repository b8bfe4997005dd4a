//! What pydantic says of bodies that do not fit: the 422s of the reference, item by item, and its text about valves.

use http::StatusCode;
use model::valves::ValveError;
use serde_json::{Map, Value, json};

use super::decode::Decoded;
use super::python;
use crate::rescue::Problem;

/// A body as far as FastAPI reads it before it looks at the key: none, or a value.
///
/// # Errors
/// 422 for JSON that is broken, 400 for bytes that cannot be read, 500 for values that cannot be written.
pub(crate) fn early(decoded: Decoded) -> Result<Option<Value>, Problem> {
    match decoded {
        Decoded::Absent => Ok(None),
        Decoded::Json(value) => Ok(Some(value)),
        Decoded::Text(text) => Ok(Some(Value::String(text))),
        Decoded::Broken { at, words } => {
            let mut item = item(
                "json_invalid",
                json!(["body", at]),
                "JSON decode error",
                json!({}),
            );
            item.insert("ctx".into(), json!({ "error": words }));
            Err(refused(vec![item]))
        }
        Decoded::Unreadable => Err(Problem::bad_request("There was an error parsing the body")),
        Decoded::Unwritable => Err(Problem::bare()),
    }
}

/// A body that must be there.
///
/// # Errors
/// 422 if it is not.
pub(crate) fn required(body: Option<Value>) -> Result<Value, Problem> {
    body.ok_or_else(|| refused(vec![missing(json!(["body"]), Value::Null)]))
}

/// A body that must be an object of any kind.
///
/// # Errors
/// 422 if it is not.
pub(crate) fn dict(body: Value) -> Result<Map<String, Value>, Problem> {
    match body {
        Value::Object(fields) => Ok(fields),
        other => Err(refused(vec![not_a_dict(json!(["body"]), other)])),
    }
}

/// `{"url": str}` or `{"id": str}`: the text of the one field.
///
/// # Errors
/// 422 if it is not there or no string.
pub(crate) fn text_field(body: &Value, name: &str) -> Result<String, Problem> {
    let mut wrong = Vec::new();
    let fields = model(body, json!(["body"]), &mut wrong);
    let text = fields.and_then(|f| text(f, body, &["body".into()], name, &mut wrong));
    text.ok_or_else(|| refused(wrong))
}

/// `FilterForm`: `body` is an object, `user` an object or null.
///
/// # Errors
/// 422 if it does not fit.
pub(crate) fn filter_form(body: &Value) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    if let Some(fields) = model(body, json!(["body"]), &mut wrong) {
        match fields.get("body") {
            None => wrong.push(missing(json!(["body", "body"]), body.clone())),
            Some(Value::Object(_)) => {}
            Some(other) => wrong.push(not_a_dict(json!(["body", "body"]), other.clone())),
        }
        match fields.get("user") {
            None | Some(Value::Null | Value::Object(_)) => {}
            Some(other) => wrong.push(not_a_dict(json!(["body", "user"]), other.clone())),
        }
    }
    none_or(wrong)
}

/// `OpenAIChatCompletionForm`.
///
/// # Errors
/// 422 if it does not fit.
pub(crate) fn chat_form(body: &Value) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    if let Some(fields) = model(body, json!(["body"]), &mut wrong) {
        if let Some(stream) = fields.get("stream")
            && let Err((kind, words)) = lax_bool(stream)
        {
            wrong.push(item(kind, json!(["body", "stream"]), words, stream.clone()));
        }
        text(fields, body, &["body".into()], "model", &mut wrong);
        match fields.get("messages") {
            None => wrong.push(missing(json!(["body", "messages"]), body.clone())),
            Some(Value::Array(all)) => {
                for (index, one) in all.iter().enumerate() {
                    message(index, one, &mut wrong);
                }
            }
            Some(other) => wrong.push(item(
                "list_type",
                json!(["body", "messages"]),
                "Input should be a valid list",
                other.clone(),
            )),
        }
    }
    none_or(wrong)
}

fn message(index: usize, one: &Value, wrong: &mut Vec<Map<String, Value>>) {
    let at = ["body".into(), "messages".into(), Value::from(index)];
    let Some(fields) = model(one, Value::from(at.to_vec()), wrong) else {
        return;
    };
    text(fields, one, &at, "role", wrong);
    match fields.get("content") {
        None => wrong.push(missing(
            json!(["body", "messages", index, "content"]),
            one.clone(),
        )),
        Some(Value::String(_) | Value::Array(_)) => {}
        Some(other) => {
            let at = |branch: &str| json!(["body", "messages", index, "content", branch]);
            let words = "Input should be a valid string";
            wrong.push(item("string_type", at("str"), words, other.clone()));
            let words = "Input should be a valid list";
            wrong.push(item("list_type", at("list[any]"), words, other.clone()));
        }
    }
}

/// Pydantic's lax reading of a boolean.
///
/// # Errors
/// The error's name and words.
pub(crate) fn lax_bool(value: &Value) -> Result<bool, (&'static str, &'static str)> {
    const PARSING: (&str, &str) = (
        "bool_parsing",
        "Input should be a valid boolean, unable to interpret input",
    );
    const TYPE: (&str, &str) = ("bool_type", "Input should be a valid boolean");
    match value {
        Value::Bool(b) => Ok(*b),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "0" | "off" | "f" | "false" | "n" | "no" => Ok(false),
            "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
            _ => Err(PARSING),
        },
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            Some(n) if n.fract() != 0.0 => Err(TYPE),
            _ => Err(PARSING),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(TYPE),
    }
}

/// An upload without a file field, or with a text in its place.
pub(crate) fn no_file(plain: Option<&str>) -> Problem {
    let at = json!(["body", "file"]);
    let wrong = match plain {
        None => missing(at, Value::Null),
        Some(text) => {
            let words = "Value error, Expected UploadFile, received: <class 'str'>";
            let mut item = item("value_error", at, words, text.into());
            item.insert("ctx".into(), json!({"error": {}}));
            item
        }
    };
    refused(vec![wrong])
}

/// `str(ValidationError)` of pydantic 2.7 for valves that do not fit.
pub(crate) fn valves_text(title: &str, errors: &[ValveError]) -> String {
    let s = if errors.len() == 1 { "" } else { "s" };
    let mut text = format!("{} validation error{s} for {title}", errors.len());
    for e in errors {
        let kind = e.kind;
        text.push_str(&format!(
            "\n{}\n  {} [type={kind}, input_value={}, input_type={}]\n    For further information visit https://errors.pydantic.dev/2.7/v/{kind}",
            e.loc.join("."),
            e.message,
            shortened(&python::repr(&e.input)),
            python::type_name(&e.input),
        ));
    }
    text
}

/// Pydantic keeps 25 characters of a long value's start and 24 of its end.
fn shortened(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    match (chars.first_chunk::<25>(), chars.last_chunk::<24>()) {
        (Some(head), Some(tail)) if chars.len() > 50 => {
            let mut short = String::from_iter(head);
            short.push_str("...");
            short.extend(tail);
            short
        }
        _ => text.into(),
    }
}

type Item = Map<String, Value>;

/// The fields of what must be a model's object.
fn model<'a>(value: &'a Value, at: Value, wrong: &mut Vec<Item>) -> Option<&'a Map<String, Value>> {
    if let Value::Object(fields) = value {
        return Some(fields);
    }
    let words = "Input should be a valid dictionary or object to extract fields from";
    wrong.push(item("model_attributes_type", at, words, value.clone()));
    None
}

/// A required text among the fields of `whole`.
fn text(
    fields: &Map<String, Value>,
    whole: &Value,
    at: &[Value],
    name: &str,
    wrong: &mut Vec<Item>,
) -> Option<String> {
    let mut place = at.to_vec();
    place.push(name.into());
    match fields.get(name) {
        Some(Value::String(text)) => return Some(text.clone()),
        None => wrong.push(missing(place.into(), whole.clone())),
        Some(other) => {
            let words = "Input should be a valid string";
            wrong.push(item("string_type", place.into(), words, other.clone()));
        }
    }
    None
}

fn missing(at: Value, input: Value) -> Item {
    item("missing", at, "Field required", input)
}

fn not_a_dict(at: Value, input: Value) -> Item {
    item("dict_type", at, "Input should be a valid dictionary", input)
}

fn item(kind: &str, at: Value, words: &str, input: Value) -> Item {
    let mut item = Map::new();
    item.insert("type".into(), kind.into());
    item.insert("loc".into(), at);
    item.insert("msg".into(), words.into());
    item.insert("input".into(), input);
    item
}

fn none_or(wrong: Vec<Item>) -> Result<(), Problem> {
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(refused(wrong))
    }
}

fn refused(wrong: Vec<Item>) -> Problem {
    let items: Vec<Value> = wrong.into_iter().map(Value::Object).collect();
    Problem::unfit("the body does not fit")
        .with_status(StatusCode::UNPROCESSABLE_ENTITY)
        .with_detail(items.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valves_are_refused_in_pydantic_s_words() {
        let error = ValveError {
            loc: vec!["HOST".into()],
            kind: "missing",
            message: "Field required".into(),
            input: json!({"API_KEY": "k2"}),
        };
        assert_eq!(
            valves_text("Valves", &[error]),
            "1 validation error for Valves\nHOST\n  Field required [type=missing, input_value={'API_KEY': 'k2'}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.7/v/missing"
        );
    }

    #[test]
    fn long_values_are_shortened_in_the_middle() {
        let long = format!("'{}'", "x".repeat(60));
        assert_eq!(
            shortened(&long),
            format!("'{}...{}'", "x".repeat(24), "x".repeat(23))
        );
        assert_eq!(shortened("'short'"), "'short'");
    }

    #[test]
    fn booleans_are_read_laxly() {
        for (given, read) in [
            (json!("NO"), Ok(false)),
            (json!(1), Ok(true)),
            (json!(0.0), Ok(false)),
            (json!(2), Err("bool_parsing")),
            (json!("maybe"), Err("bool_parsing")),
            (json!(null), Err("bool_type")),
            (json!(0.5), Err("bool_type")),
        ] {
            assert_eq!(lax_bool(&given).map_err(|e| e.0), read, "{given}");
        }
    }
}
