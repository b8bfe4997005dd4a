//! Template `meddler`: hooks that go on to emit events and call peers, in every mode but `replace`. `does` is `{"emit": <topic>}` or `{"call": <plugin>}`
//! (method `echo`). What came of it is appended, as text, to what `show` points at in the context or result that is passed on.

use actors::{does, edit::edit};
use weir_sdk::{
    Continuation, Failure, Hooks, Json, Plugin, calls, events,
    serde_json::{Value, json},
};

#[derive(Default)]
struct Meddler;

impl Plugin for Meddler {}

impl Hooks for Meddler {
    fn before(&mut self, _: &str, context: Json) -> Result<Json, Failure> {
        meddle(context)
    }

    fn after(&mut self, _: &str, _: Json, result: Json) -> Result<Json, Failure> {
        meddle(result)
    }

    fn around(&mut self, _: &str, context: Json, next: &Continuation) -> Result<Json, Failure> {
        next.proceed(&meddle(context)?)
    }
}

fn meddle(document: Json) -> Result<Json, Failure> {
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
    let Some(pointer) = text("show") else {
        return Ok(document);
    };
    let mut document: Value = document.parse()?;
    edit(
        &mut document,
        &json!({"append": {pointer: outcome.to_string()}}),
    );
    Ok(document.into())
}

actors::actor!(Meddler: hooks);
