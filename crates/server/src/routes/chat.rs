//! Chats: from a request to a running pipe, streamed or whole.

use axum::body::Body;
use axum::response::Response;
use engine::Target;
use http::{HeaderValue, StatusCode, header};
use model::chat::ChatRequest;

use super::{Answer, Call, json};
use crate::body::{Held, Share};
use crate::context::{self, Spoken};
use crate::form::ChatForm;
use crate::json::Fields;
use crate::reply;
use crate::rescue::{self, Problem};
use crate::sse::Encoder;
use crate::sse::stream::ChatStream;
use crate::strict::{decode, pydantic};

/// Ids named in a 404, at most.
const NAMED: usize = 20;

/// A chat that can be run.
struct Ready {
    target: Target,
    /// The full id, as the client gave it.
    model: String,
    stream: bool,
    request: ChatRequest,
}

/// `POST /chat/completions`.
pub(crate) async fn chat(call: Call, body: Body) -> Answer {
    let held = call.read(body).await?;
    let ready = prepare(&call, &held).await?;
    let share = held.into_share();
    let encoder = Encoder::new(&ready.model, call.app.unix_now(), call.strict);
    if ready.stream {
        stream(call, ready, encoder, share).await
    } else {
        whole(&call, ready, &encoder, share).await
    }
}

async fn prepare(call: &Call, held: &Held) -> Result<Ready, Problem> {
    let depth = call.app.config.limits.max_json_depth;
    if !call.strict {
        let form = ChatForm::read(Fields::parse(&held.bytes, depth)?)?;
        return resolve(call, &form).await;
    }
    let body = pydantic::early(decode::decode(&call.head.headers, &held.bytes))?;
    let body = pydantic::required(body)?;
    pydantic::chat_form(&body)?;
    let text = body.to_string();
    let form = ChatForm::read(Fields::parse(text.as_bytes(), depth)?)?;
    resolve(call, &form).await
}

async fn resolve(call: &Call, form: &ChatForm<'_>) -> Result<Ready, Problem> {
    let (app, headers) = (&call.app, &call.head.headers);
    let Some(target) = app.engine.find_model(&form.model) else {
        return Err(not_found(call, &form.model).await);
    };
    let user = context::user(headers);
    let said = form.user_id();
    let header_id = context::user_id(headers);
    let spoken = Spoken {
        user: said.as_deref().or(header_id).unwrap_or_default(),
        model: &form.model,
        last: form.last,
    };
    let kept = match form.metadata() {
        None => app.conversations.recall(spoken),
        Some(_) => None,
    };
    let metadata = context::metadata(form.metadata(), kept.as_deref(), headers);
    let sub = target.sub().unwrap_or(&form.model).to_owned();
    Ok(Ready {
        request: form.request(sub, user, metadata),
        target,
        model: form.model.clone(),
        stream: form.stream,
    })
}

/// 404 that names what there is, as far as the engine knows: no plugin is waited for.
async fn not_found(call: &Call, model: &str) -> Problem {
    let mut message = format!("Pipeline {model} not found");
    if !call.strict {
        let listed = call.app.engine.models().await;
        let ids: Vec<_> = listed
            .iter()
            .filter(|m| m.kind != engine::Kind::Filter)
            .map(|m| m.id.as_str())
            .take(NAMED)
            .collect();
        message = match ids.len() {
            0 => format!("{message}; there are none"),
            NAMED => format!("{message}; there are, among others: {}", ids.join(", ")),
            _ => format!("{message}; there are: {}", ids.join(", ")),
        };
    }
    Problem::not_found("model_not_found", message)
}

async fn whole(call: &Call, ready: Ready, encoder: &Encoder, share: Share) -> Answer {
    let (reply, items) = reply::joined();
    let result = call
        .app
        .engine
        .chat(&ready.target, ready.request, reply)
        .await;
    drop(share);
    let body = match result {
        Ok(()) => encoder.whole(items.take()),
        Err(error) => Err(rescue::stage(&error)),
    };
    match body {
        Ok(body) => Ok(json(body)),
        // The reference says nothing of a pipe that raises.
        Err(problem) if call.strict && !problem.is_ours() => Err(Problem::bare()),
        Err(problem) => Err(problem),
    }
}

async fn stream(call: Call, ready: Ready, encoder: Encoder, share: Share) -> Answer {
    let (reply, items) = reply::channel();
    let (strict, engine) = (call.strict, call.app.engine.clone());
    let running = Box::pin(async move {
        let result = engine.chat(&ready.target, ready.request, reply).await;
        drop(share);
        result
    });
    let mut stream = ChatStream::new(running, items, encoder, strict);
    stream.begin().await?;
    let mut response = Response::new(Body::new(stream));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    if !strict {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // Asks proxies not to collect events.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    Ok(response)
}
