//! A filter that puts a prefix before what comes in and behind what goes out. It fails on the words and the shapes that the recorded one failed on,
//! with Python's texts.

use weir_sdk::{
    Failure, Filter, Manifest, Message, Plugin,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    serde_json::{Value, json},
    valves,
};

#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "weir_sdk::serde")]
#[schemars(crate = "weir_sdk::schemars")]
struct Valves {
    #[serde(default)]
    pipelines: Vec<String>,
    #[serde(default)]
    priority: i64,
    #[serde(default = "prefix")]
    prefix: String,
}

fn prefix() -> String {
    "[f]".to_owned()
}

#[derive(Default)]
struct Basic;

impl Plugin for Basic {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .id("filter_basic")
            .name("Basic Filter")
            .valves(json!({"pipelines": ["*"], "priority": 5}))
    }
}

impl weir_sdk::Valves for Basic {
    type Fields = Valves;
}

impl Filter for Basic {
    fn inlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        let Valves { prefix, .. } = valves::get()?;
        match content(&mut message)? {
            Value::String(text) if text == "raise" => Err(Failure::internal(
                "Rate limit exceeded. Please try again later.",
            )),
            Value::String(text) if text == "none" => Ok(Value::Null),
            Value::String(text) => {
                text.insert_str(0, &prefix);
                Ok(message.body)
            }
            other => Err(Failure::internal(format!(
                "can only concatenate str (not \"{}\") to str",
                class(other)
            ))),
        }
    }

    fn outlet(&mut self, mut message: Message) -> Result<Value, Failure> {
        let Valves { prefix, .. } = valves::get()?;
        match content(&mut message)? {
            Value::String(text) if text == "raise" => Err(Failure::internal("'missing'")),
            Value::String(text) => {
                text.push_str(&prefix);
                Ok(message.body)
            }
            Value::Array(_) => Err(Failure::internal(
                "can only concatenate list (not \"str\") to list",
            )),
            other => Err(Failure::internal(format!(
                "unsupported operand type(s) for +: '{}' and 'str'",
                class(other)
            ))),
        }
    }
}

/// `body["messages"][-1]["content"]`
fn content(message: &mut Message) -> Result<&mut Value, Failure> {
    let messages = message
        .body
        .get_mut("messages")
        .ok_or_else(|| Failure::internal("'messages'"))?;
    let last = match messages {
        Value::Array(messages) => messages
            .last_mut()
            .ok_or_else(|| Failure::internal("list index out of range")),
        Value::Object(_) => Err(Failure::internal("-1")),
        other => Err(Failure::internal(format!(
            "'{}' object is not subscriptable",
            class(other)
        ))),
    }?;
    match last {
        Value::Object(last) => last
            .get_mut("content")
            .ok_or_else(|| Failure::internal("'content'")),
        Value::String(_) => Err(Failure::internal(
            "string indices must be integers, not 'str'",
        )),
        Value::Array(_) => Err(Failure::internal(
            "list indices must be integers or slices, not str",
        )),
        other => Err(Failure::internal(format!(
            "'{}' object is not subscriptable",
            class(other)
        ))),
    }
}

/// The name of the Python type.
fn class(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

weir_sdk::plugin!(Basic: filter, valves);
