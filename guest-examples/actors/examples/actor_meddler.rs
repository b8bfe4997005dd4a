//! Template `meddler`: hooks that go on to emit events and call peers, in every mode but `replace`. `does` is `{"emit": <topic>}` or `{"call": <plugin>}`
//! (method `echo`). What came of it is appended, as text, to what `show` points at in the context or result that is passed on.

use actors::{does, edit::edit};
use weir_sdk::{
    Continuation, Failure, Hooks, Plugin, calls, events,
    serde_json::{Value, json},
};

#[derive(Default)]
struct Meddler;

impl Plugin for Meddler {}

impl Hooks for Meddler {
    fn before(&mut self, _: &str, context: Value) -> Result<Value, Failure> {
        Ok(meddle(context))
    }

    fn after(&mut self, _: &str, _: Value, result: Value) -> Result<Value, Failure> {
        Ok(meddle(result))
    }

    fn around(&mut self, _: &str, context: Value, next: &Continuation) -> Result<Value, Failure> {
        next.proceed(&meddle(context))
    }
}

fn meddle(mut document: Value) -> Value {
    let does = does();
    let text = |key| does.get(key).and_then(Value::as_str);
    let outcome = if let Some(topic) = text("emit") {
        events::emit(topic, &json!({}))
            .map_err(|error| error.to_string())
            .map(|()| Value::Null)
    } else {
        calls::call(text("call").unwrap_or_default(), "echo", &json!({}), None)
            .map_err(|error| error.to_string())
    };
    let outcome = outcome.map_or_else(
        |error| json!({"error": error}),
        |answer| json!({"ok": answer}),
    );
    if let Some(pointer) = text("show") {
        edit(
            &mut document,
            &json!({"append": {pointer: outcome.to_string()}}),
        );
    }
    document
}

actors::actor!(Meddler: hooks);
