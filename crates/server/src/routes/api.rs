//! Calls the Open WebUI contract does not have: one run of a pipe with its items, and filters run by the server.

use axum::body::Body;
use model::chat::{Direction, Item};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Answer, Call, json as answer};
use crate::context::Object;
use crate::form::{ChatForm, FilterForm};
use crate::json::{self, Fields};
use crate::rescue::{self, Problem};
use crate::{context, reply};

/// `POST /api/v1/execute`: `{"body": {..}, "user"?: .., "model"?: "..", "extra"?: {..}}`.
pub(crate) async fn execute(call: Call, body: Body) -> Answer {
    let held = call.read(body).await?;
    let fields = Fields::parse(&held.bytes, call.app.config.limits.max_json_depth)?;
    let extra = object(&fields, "extra")?;
    let body = chat_body(&fields)?;
    let form = ChatForm::read(Fields::parse(body.as_bytes(), usize::MAX)?)?;
    let Some(target) = call.app.engine.find_model(&form.model) else {
        let message = format!("no model is called {:?}", form.model);
        return Err(Problem::not_found("model_not_found", message));
    };
    let metadata = extra.or(form.metadata()).map(|m| m.get().to_owned());
    let sub = target.sub().unwrap_or(&form.model).to_owned();
    let request = form.request(sub, context::user(&call.head.headers), metadata);
    let (reply, items) = reply::list();
    let result = call.app.engine.chat(&target, request, reply).await;
    result.map_err(|e| rescue::stage(&e))?;
    Ok(answer(executed(&form.model, items.take())?))
}

/// The chat body with `user` and `model` beside it put in, not streamed.
fn chat_body(fields: &Fields<'_>) -> Result<String, Problem> {
    let inner = object(fields, "body")?
        .ok_or_else(|| Problem::unfit("body: nothing was given; an object is needed"))?;
    let inner = Fields::of(inner)?;
    let mut body = Object::default();
    for (key, value) in inner.iter() {
        let beside = matches!(key, "user" | "model") && fields.present(key).is_some();
        if !beside && key != "stream" {
            body.push(key, value.get());
        }
    }
    for key in ["user", "model"] {
        if let Some(value) = fields.present(key) {
            body.push(key, value.get());
        }
    }
    if inner.get("messages").is_none() {
        body.push("messages", "[]");
    }
    body.push("stream", "false");
    Ok(body.finish())
}

fn object<'a>(fields: &Fields<'a>, key: &str) -> Result<Option<&'a RawValue>, Problem> {
    match fields.present(key) {
        Some(raw) if json::kind(raw) != "an object" => Err(Problem::unfit(format!(
            "{key}: {} was given; an object is needed",
            json::kind(raw)
        ))),
        other => Ok(other),
    }
}

fn executed(model: &str, items: Vec<Item>) -> Result<String, Problem> {
    let mut text = String::new();
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        let (kind, value) = match item {
            Item::Text(t) => {
                text.push_str(&t);
                ("text", Value::String(t))
            }
            Item::Raw(line) => ("raw", Value::String(line)),
            Item::Event(json) => ("event", parsed(&json)?),
            Item::Object(json) => ("object", parsed(&json)?),
        };
        list.push(json!({"type": kind, kind: value}));
    }
    Ok(json!({"model": model, "text": text, "items": list}).to_string())
}

fn parsed(json: &str) -> Result<Value, Problem> {
    serde_json::from_str(json).map_err(|_| {
        Problem::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "malformed_output",
            "the plugin wrote an item that is not JSON",
        )
    })
}

/// `POST /api/v1/inlet`.
pub(crate) async fn inlet(call: Call, body: Body) -> Answer {
    chain(call, body, Direction::Inlet).await
}

/// `POST /api/v1/outlet`.
pub(crate) async fn outlet(call: Call, body: Body) -> Answer {
    chain(call, body, Direction::Outlet).await
}

async fn chain(call: Call, body: Body, direction: Direction) -> Answer {
    let held = call.read(body).await?;
    let fields = Fields::parse(&held.bytes, call.app.config.limits.max_json_depth)?;
    let form = FilterForm::read(&fields)?;
    if form.model.is_none() {
        return Err(Problem::unfit(
            "body.model: nothing was given; the id of the model whose filters are to run is needed",
        ));
    }
    let chained = call
        .app
        .engine
        .filter_chain(direction, form.message())
        .await;
    let chained = chained.map_err(|e| rescue::stage(&e))?;
    let mut out = Object::default();
    out.push("body", &chained.body);
    out.push("through", &json!(chained.through).to_string());
    Ok(answer(out.finish()))
}
