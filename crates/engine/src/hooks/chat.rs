//! The points `chat_request` and `chat_reply`: what hooks see of a chat, and what they may change. The answer streams on while hooks wait.

use std::sync::Arc;

use model::BoxFuture;
use model::chat::{ChatRequest, Closed, Item, Reply};
use model::error::StageError;
use model::exchange::Cause;
use model::hooks::Point;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use super::filter::{Changed, or_null, quoted, unfit, words};
use super::step;
use crate::Engine;
use crate::catalog::Target;

/// Most bytes of an answer's text that hooks at `chat_reply` are shown of a stream.
const SHOWN: usize = 1024 * 1024;

/// The answer under way, shared by the plugin that writes it and the hooks that add to it.
#[derive(Clone)]
struct Answer(Arc<Mutex<Written>>);

struct Written {
    reply: Box<dyn Reply>,
    /// Is it kept back until hooks at `chat_reply` have seen it?
    hold: bool,
    held: Vec<Item>,
    /// All texts, those in raw lines too, where hooks at `chat_reply` will want them.
    text: Option<String>,
    object: Option<String>,
    items: u64,
    bytes: u64,
}

impl Reply for Answer {
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>> {
        Box::pin(async move { self.0.lock().await.write(item).await })
    }
}

impl Written {
    async fn write(&mut self, item: Item) -> Result<(), Closed> {
        self.items += 1;
        self.bytes += item.text().len() as u64;
        if let Some(text) = &mut self.text {
            match &item {
                Item::Text(t) if self.hold || text.len() < SHOWN => text.push_str(t),
                Item::Raw(line) if self.hold || text.len() < SHOWN => text.push_str(&said_in(line)),
                Item::Object(json) => self.object = Some(json.clone()),
                Item::Text(_) | Item::Event(_) | Item::Raw(_) => {}
            }
        }
        if self.hold {
            self.held.push(item);
            return Ok(());
        }
        self.reply.write(item).await
    }

    /// Sends what was kept back; with this text and object in place of the plugin's, where they differ.
    async fn send(&mut self, text: &str, object: Option<&str>) -> Result<(), Closed> {
        let same = self.text.as_deref() == Some(text) && self.object.as_deref() == object;
        self.hold = false;
        for item in std::mem::take(&mut self.held) {
            if same || matches!(item, Item::Event(_)) {
                self.reply.write(item).await?;
            }
        }
        if same {
            return Ok(());
        }
        if !text.is_empty() {
            self.reply.write(Item::Text(text.into())).await?;
        }
        match object {
            Some(json) => self.reply.write(Item::Object(json.into())).await,
            None => Ok(()),
        }
    }
}

/// What counts of the result of `chat_request`.
#[derive(Deserialize)]
struct Requested {
    text: Option<String>,
}

/// What counts of the context of `chat_reply`.
#[derive(Deserialize)]
struct Replied<'a> {
    text: String,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

impl Engine {
    /// Runs a chat with the hooks at `chat_request` around it and those at `chat_reply` after it.
    pub(crate) async fn chat_with_hooks(
        self: &Arc<Self>,
        target: &Target,
        request: ChatRequest,
        reply: Box<dyn Reply>,
    ) -> Result<(), StageError> {
        let stream = is_streamed(&request.body);
        let watched = self.hooked.at(Point::ChatReply);
        let answer = Answer(Arc::new(Mutex::new(Written {
            reply,
            hold: watched && !stream,
            held: Vec::new(),
            text: watched.then(String::new),
            object: None,
            items: 0,
            bytes: 0,
        })));
        let about = format!(
            r#"{{"plugin":{},"model":{},"stream":{stream},"user":{},"metadata":{},"#,
            quoted(target.plugin_id().as_str()),
            quoted(&request.model),
            or_null(request.user.as_ref()),
            or_null(request.metadata.as_ref()),
        );
        self.request(target, request, &about, &answer).await?;
        if watched {
            self.reply(target, &about, &answer).await?;
        }
        Ok(())
    }

    async fn request(
        self: &Arc<Self>,
        target: &Target,
        request: ChatRequest,
        about: &str,
        answer: &Answer,
    ) -> Result<(), StageError> {
        let point = Point::ChatRequest;
        let context = format!(r#"{about}"body":{}}}"#, request.body);
        let before = context.clone();
        let (engine, to, out) = (Arc::clone(self), target.clone(), answer.clone());
        let step = step(move |context: String, cause| async move {
            let request = if context == before {
                request
            } else {
                changed(&to, request, &context)?
            };
            engine
                .run_chat(&to, request, Box::new(out.clone()), cause)
                .await?;
            let written = out.0.lock().await;
            let (items, bytes) = (written.items, written.bytes);
            Ok(format!(r#"{{"items":{items},"bytes":{bytes}}}"#))
        });
        let result = self.step(point, Cause::default(), context, step).await?;
        let result: Requested = serde_json::from_str(&result).map_err(|e| {
            unfit(
                point,
                &target.slot,
                format!("the result after the hooks: {}", words(&e)),
            )
        })?;
        if let Some(text) = result.text {
            // A client that left does not want it any more.
            let _left = answer.0.lock().await.write(Item::Text(text)).await;
        }
        Ok(())
    }

    async fn reply(
        self: &Arc<Self>,
        target: &Target,
        about: &str,
        answer: &Answer,
    ) -> Result<(), StageError> {
        let point = Point::ChatReply;
        let context = {
            let written = answer.0.lock().await;
            let text = quoted(written.text.as_deref().unwrap_or_default());
            let object = or_null(written.object.as_ref());
            format!(r#"{about}"text":{text},"object":{object}}}"#)
        };
        let (out, slot) = (answer.clone(), Arc::clone(&target.slot));
        let step = step(move |context: String, _| async move {
            let replied: Replied<'_> = serde_json::from_str(&context).map_err(|e| {
                unfit(
                    point,
                    &slot,
                    format!("the context after the hooks: {}", words(&e)),
                )
            })?;
            let mut written = out.0.lock().await;
            let sent = if written.hold {
                let object = replied.object.map(RawValue::get);
                written.send(&replied.text, object).await.is_ok()
            } else {
                true
            };
            Ok(format!(r#"{{"sent":{sent}}}"#))
        });
        self.step(point, Cause::default(), context, step).await?;
        Ok(())
    }
}

/// The text in a ready line of an upstream's stream; empty where there is none.
fn said_in(line: &str) -> String {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        #[serde(alias = "message")]
        delta: Part,
    }
    #[derive(Deserialize)]
    struct Part {
        content: Option<String>,
    }
    let data = line.trim().strip_prefix("data:").unwrap_or_default();
    let chunk = serde_json::from_str::<Chunk>(data.trim());
    let choices = chunk.map(|c| c.choices).unwrap_or_default();
    let texts = choices.into_iter().filter_map(|c| c.delta.content);
    texts.collect()
}

/// The request with what hooks made of its body, user and metadata.
fn changed(
    target: &Target,
    request: ChatRequest,
    context: &str,
) -> Result<ChatRequest, StageError> {
    let changed = Changed::read(Point::ChatRequest, &target.slot, context)?;
    let text = |raw: &RawValue| raw.get().to_owned();
    let mut request = ChatRequest {
        user: changed.user.map(text),
        metadata: changed.metadata.map(text),
        ..request
    };
    if changed.body.get() != request.body {
        request.body = text(changed.body);
        (request.messages, request.user_message) = said(&request.body);
    }
    Ok(request)
}

/// A body's messages, and what the user said last, as a plugin is told them.
fn said(body: &str) -> (String, String) {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let Some(messages) = body.get("messages").and_then(Value::as_array) else {
        return ("[]".into(), "null".into());
    };
    let by_user = |m: &&Value| m.get("role").and_then(Value::as_str) == Some("user");
    let last = messages.iter().rev().find(by_user);
    let content = last.and_then(|m| m.get("content")).unwrap_or(&Value::Null);
    (
        Value::from(messages.clone()).to_string(),
        content.to_string(),
    )
}

fn is_streamed(body: &str) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        stream: Option<Value>,
    }
    let body = serde_json::from_str::<Body>(body);
    body.is_ok_and(|b| b.stream == Some(Value::Bool(true)))
}
