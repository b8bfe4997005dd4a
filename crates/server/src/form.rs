//! What clients send to chats and filters, read from JSON text as far as the server needs it.

use model::chat::{ChatRequest, FilterMessage};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::context::Object;
use crate::json::messages::{Messages, first_text};
use crate::json::{self, Fields, Unusable};
use crate::rescue::Problem;
use crate::strict::pydantic;

/// A chat request, checked.
#[derive(Debug)]
pub(crate) struct ChatForm<'a> {
    fields: Fields<'a>,
    /// The model's full id.
    pub(crate) model: String,
    /// Streaming is the default, as in the reference.
    pub(crate) stream: bool,
    messages: &'a RawValue,
    /// The last user message: a JSON string, list or `null`.
    pub(crate) last: &'a str,
}

/// A message for a filter, checked.
#[derive(Debug)]
pub(crate) struct FilterForm<'a> {
    /// The request or conversation, an object.
    pub(crate) body: &'a RawValue,
    user: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    /// The model the body names.
    pub(crate) model: Option<String>,
}

impl From<Unusable> for Problem {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::NotAnObject(_) => Self::unfit(why.to_string()),
            Unusable::Syntax(_)
            | Unusable::TooDeep(_)
            | Unusable::TooManyKeys
            | Unusable::LoneSurrogate => Self::new(
                http::StatusCode::BAD_REQUEST,
                "invalid_json",
                why.to_string(),
            ),
        }
    }
}

impl<'a> ChatForm<'a> {
    /// Reads a chat request.
    ///
    /// # Errors
    /// 422 that names the field, what was given and what is allowed.
    pub(crate) fn read(fields: Fields<'a>) -> Result<Self, Problem> {
        let model = fields
            .get("model")
            .and_then(json::string)
            .ok_or_else(|| unfit("model", fields.get("model"), "the id of a model, a string"))?;
        let model = model.into_owned();
        let stream = match fields.get("stream") {
            None => true,
            Some(raw) => serde_json::from_str::<Value>(raw.get())
                .ok()
                .and_then(|v| pydantic::lax_bool(&v).ok())
                .ok_or_else(|| unfit("stream", Some(raw), "true or false"))?,
        };
        let messages = fields
            .get("messages")
            .ok_or_else(|| unfit("messages", None, "an array of messages"))?;
        let last = last_user_message(messages)?;
        Ok(Self {
            fields,
            model,
            stream,
            messages,
            last,
        })
    }

    /// The user's id, as the body tells it.
    pub(crate) fn user_id(&self) -> Option<String> {
        user_id(self.fields.present("user")?)
    }

    /// What the body itself says about the conversation.
    pub(crate) fn metadata(&self) -> Option<&'a RawValue> {
        self.fields
            .present("metadata")
            .filter(|m| json::kind(m) == "an object")
    }

    /// What the pipe gets. `model` is the part of the id it is to see.
    pub(crate) fn request(
        &self,
        model: String,
        user: Option<String>,
        metadata: Option<String>,
    ) -> ChatRequest {
        let mut body = Object::default();
        body.push("stream", if self.stream { "true" } else { "false" });
        body.push_text("model", &self.model);
        body.push("messages", self.messages.get());
        for (key, value) in self.fields.iter() {
            if !matches!(key, "stream" | "model" | "messages") {
                body.push(key, value.get());
            }
        }
        ChatRequest {
            model,
            user_message: self.last.to_owned(),
            messages: self.messages.get().to_owned(),
            body: body.finish(),
            user: self
                .fields
                .present("user")
                .map(|u| u.get().to_owned())
                .or(user),
            metadata,
        }
    }
}

impl<'a> FilterForm<'a> {
    /// Reads a message for a filter: `{"body": {..}, "user"?: {..}}`.
    ///
    /// # Errors
    /// 422 that names the field, what was given and what is allowed.
    pub(crate) fn read(fields: &Fields<'a>) -> Result<Self, Problem> {
        let is_object = |raw: &&RawValue| json::kind(raw) == "an object";
        let body = fields
            .get("body")
            .filter(is_object)
            .ok_or_else(|| unfit("body", fields.get("body"), "an object"))?;
        let user = fields.present("user");
        if let Some(user) = user.filter(|u| !is_object(u)) {
            return Err(unfit("user", Some(user), "an object or null"));
        }
        let inner = Fields::of(body)?;
        let metadata = inner.present("metadata").or(fields.present("metadata"));
        Ok(Self {
            body,
            user,
            metadata: metadata.filter(is_object),
            messages: inner.get("messages"),
            model: inner
                .get("model")
                .and_then(json::string)
                .map(|m| m.into_owned()),
        })
    }

    /// The user's id.
    pub(crate) fn user_id(&self) -> Option<String> {
        user_id(self.user?)
    }

    /// What the body says about the conversation.
    pub(crate) fn metadata(&self) -> Option<&'a RawValue> {
        self.metadata
    }

    /// The last user message; none if there are no readable messages.
    pub(crate) fn last(&self) -> Option<&'a str> {
        last_user_message(self.messages?).ok()
    }

    /// What the filter gets.
    pub(crate) fn message(&self) -> FilterMessage {
        FilterMessage {
            body: self.body.get().to_owned(),
            user: self.user.map(|u| u.get().to_owned()),
            model: self.model.clone(),
            metadata: self.metadata.map(|m| m.get().to_owned()),
        }
    }
}

/// The last user message in a chat or filter body; none if there are no readable messages.
pub(crate) fn last_in(body: &RawValue) -> Option<&str> {
    let messages = Fields::of(body).ok()?.get("messages")?;
    last_user_message(messages).ok()
}

/// As the reference picks it: of the last message with role `user` the text, or the first part of type `text`, or all parts.
fn last_user_message(messages: &RawValue) -> Result<&str, Problem> {
    let not_messages = || {
        unfit(
            "messages",
            Some(messages),
            "an array of objects, each with a `role` that is a string",
        )
    };
    let all: Messages<'_> = serde_json::from_str(messages.get()).map_err(|_| not_messages())?;
    if all.unfit {
        return Err(not_messages());
    }
    let Some(content) = all.last else {
        return Ok("null");
    };
    let text = match json::kind(content) {
        "an array" => first_text(content).unwrap_or(content),
        _ => content,
    };
    Ok(text.get())
}

fn user_id(user: &RawValue) -> Option<String> {
    if let Some(name) = json::string(user) {
        return Some(name.into_owned());
    }
    let fields = Fields::of(user).ok()?;
    fields
        .get("id")
        .and_then(json::string)
        .map(|id| id.into_owned())
}

/// Longest part of a wrong value that is shown.
const SHOWN: usize = 100;

fn unfit(field: &str, given: Option<&RawValue>, allowed: &str) -> Problem {
    let given = match given {
        None => "nothing was given".to_owned(),
        Some(raw) => {
            let short: String = raw.get().chars().take(SHOWN).collect();
            format!("{short} was given")
        }
    };
    Problem::unfit(format!("{field}: {given}; {allowed} is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Result<ChatRequest, String> {
        let fields = Fields::parse(body.as_bytes(), 128).unwrap();
        ChatForm::read(fields)
            .map(|f| f.request("sub".into(), None, None))
            .map_err(|p| p.message().to_owned())
    }

    #[test]
    fn the_body_is_in_the_reference_s_order_and_loses_nothing() {
        let got = chat(r#"{"model":"m.sub","x":1E400,"messages":[{"role":"user","content":"hi"}],"stream":"no","user":{"id":"u"}}"#).unwrap();
        assert_eq!(
            got.body,
            r#"{"stream":false,"model":"m.sub","messages":[{"role":"user","content":"hi"}],"x":1E400,"user":{"id":"u"}}"#
        );
        assert_eq!(
            (got.model.as_str(), got.user_message.as_str()),
            ("sub", "\"hi\"")
        );
        assert_eq!(got.user.as_deref(), Some(r#"{"id":"u"}"#));
    }

    #[test]
    fn the_last_user_message_is_picked_as_the_reference_does() {
        let check = |messages: &str, want: &str| {
            let got = chat(&format!(r#"{{"model":"m","messages":{messages}}}"#)).unwrap();
            assert_eq!(got.user_message, want, "{messages}");
        };
        check(
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":null}]"#,
            "\"a\"",
        );
        check(
            r#"[{"role":"user","content":[{"type":"image_url"},{"type":"text","text":"t1"}]}]"#,
            "\"t1\"",
        );
        check(
            r#"[{"role":"user","content":[{"type":"image_url"}]}]"#,
            r#"[{"type":"image_url"}]"#,
        );
        check(r#"[{"role":"system","content":"s"}]"#, "null");
        check("[]", "null");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |body: &str, word: &str| {
            let e = chat(body).unwrap_err();
            assert!(e.contains(word), "{word} in {e}");
        };
        check("{}", "model: nothing");
        check(r#"{"model":5}"#, "model: 5 was given");
        check(r#"{"model":"m"}"#, "messages: nothing");
        check(r#"{"model":"m","messages":[{"content":"x"}]}"#, "role");
        check(r#"{"model":"m","messages":["x"]}"#, "messages");
        check(r#"{"model":"m","messages":[],"stream":"maybe"}"#, "stream");
    }
}
