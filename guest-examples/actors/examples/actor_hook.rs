//! Template `hook`: hooks in every mode. `does` holds what to do in each: `before`, `after`, `around`, `replace`.
//!
//! - an action of `actors::act`, or
//! - `{"edit": ..}`: what is passed on is changed as `actors::edit` says: the context (`before`, `around`) or the result (`after`);
//! - `around` also: `{"edit_result": ..}`, `{"never": <result>}` (does not call `next`), `"twice"` (calls it twice; the result's `text` is what came of both),
//!   `{"then": <action>}` (calls it, then does the action);
//! - `replace`: `{"answer": <result>}`.

use actors::{act, does, edit::edit};
use weir_sdk::{
    Config, Continuation, Failure, Hooks, Json, Plugin,
    serde_json::{Value, json},
};

#[derive(Default)]
struct Hook {
    does: Value,
}

impl Hook {
    fn action(&self, mode: &str) -> &Value {
        self.does.get(mode).unwrap_or(&Value::Null)
    }
}

impl Plugin for Hook {
    fn init(&mut self, _: &Config) -> Result<(), Failure> {
        self.does = does();
        Ok(())
    }
}

impl Hooks for Hook {
    fn before(&mut self, _: &str, context: Json) -> Result<Json, Failure> {
        changed(self.action("before"), context)
    }

    fn after(&mut self, _: &str, _: Json, result: Json) -> Result<Json, Failure> {
        changed(self.action("after"), result)
    }

    fn around(&mut self, _: &str, context: Json, next: &Continuation) -> Result<Json, Failure> {
        let action = self.action("around");
        if let Some(answer) = action.get("never") {
            return Json::of(answer);
        }
        if action == "twice" {
            let both = json!({"first": outcome(next.proceed(&context)), "second": outcome(next.proceed(&context))});
            return Ok(json!({"text": both.to_string()}).into());
        }
        if let Some(then) = action.get("then") {
            let result = next.proceed(&context)?;
            return act(then).map(|()| result);
        }
        let result = next.proceed(&changed(action, context)?)?;
        match action.get("edit_result") {
            Some(changes) => edited(&result, changes),
            None => Ok(result),
        }
    }

    fn replace(&mut self, _: &str, _: Json) -> Result<Json, Failure> {
        let action = self.action("replace");
        match action.get("answer") {
            Some(answer) => Json::of(answer),
            None => act(action).map(|()| json!({}).into()),
        }
    }
}

fn changed(action: &Value, document: Json) -> Result<Json, Failure> {
    match action.get("edit") {
        Some(changes) => edited(&document, changes),
        None if action.get("edit_result").is_some() => Ok(document),
        None => act(action).map(|()| document),
    }
}

fn edited(document: &Json, changes: &Value) -> Result<Json, Failure> {
    let mut value: Value = document.parse()?;
    edit(&mut value, changes);
    Ok(value.into())
}

fn outcome(result: Result<Json, Failure>) -> Value {
    match result.and_then(|json| json.parse::<Value>()) {
        Ok(value) => json!({"ok": value}),
        Err(failure) => json!({"error": format!("{failure:?}")}),
    }
}

actors::actor!(Hook: hooks);
