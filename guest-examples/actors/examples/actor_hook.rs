//! Template `hook`: hooks in every mode. `does` holds what to do in each: `before`, `after`, `around`, `replace`.
//!
//! - an action of `actors::act`, or
//! - `{"edit": ..}`: what is passed on is changed as `actors::edit` says: the context (`before`, `around`) or the result (`after`);
//! - `around` also: `{"edit_result": ..}`, `{"never": <result>}` (does not call `next`), `"twice"` (calls it twice; the result's `text` is what came of both),
//!   `{"then": <action>}` (calls it, then does the action);
//! - `replace`: `{"answer": <result>}`.

use actors::{act, does, edit::edit};
use weir_sdk::{
    Config, Continuation, Failure, Hooks, Plugin,
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
    fn before(&mut self, _: &str, context: Value) -> Result<Value, Failure> {
        changed(self.action("before"), context)
    }

    fn after(&mut self, _: &str, _: Value, result: Value) -> Result<Value, Failure> {
        changed(self.action("after"), result)
    }

    fn around(&mut self, _: &str, context: Value, next: &Continuation) -> Result<Value, Failure> {
        let action = self.action("around");
        if let Some(answer) = action.get("never") {
            return Ok(answer.clone());
        }
        if action == "twice" {
            let both = json!({"first": outcome(next.proceed(&context)), "second": outcome(next.proceed(&context))});
            return Ok(json!({"text": both.to_string()}));
        }
        if let Some(then) = action.get("then") {
            let result = next.proceed(&context)?;
            return act(then).map(|()| result);
        }
        let mut result = next.proceed(&changed(action, context)?)?;
        if let Some(changes) = action.get("edit_result") {
            edit(&mut result, changes);
        }
        Ok(result)
    }

    fn replace(&mut self, _: &str, _: Value) -> Result<Value, Failure> {
        let action = self.action("replace");
        match action.get("answer") {
            Some(answer) => Ok(answer.clone()),
            None => act(action).map(|()| json!({})),
        }
    }
}

fn changed(action: &Value, mut document: Value) -> Result<Value, Failure> {
    if action.get("edit_result").is_some() && action.get("edit").is_none() {
        return Ok(document);
    }
    match action.get("edit") {
        Some(changes) => edit(&mut document, changes),
        None => act(action)?,
    }
    Ok(document)
}

fn outcome(result: Result<Value, Failure>) -> Value {
    match result {
        Ok(value) => json!({"ok": value}),
        Err(failure) => json!({"error": format!("{failure:?}")}),
    }
}

actors::actor!(Hook: hooks);
