//! What a pipe gets. Documents stay text until they are asked for: many pipes need only the user's words.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Failure, bindings::pipe::exports::weir::plugin::pipe};

/// One chat request.
#[derive(Clone, Debug)]
pub struct Request {
    model: String,
    user_message: String,
    messages: String,
    body: String,
    user: Option<String>,
    metadata: Option<String>,
}

impl Request {
    /// The model asked for. Of a manifold: the part after the plugin's id and the dot.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What the user said last, as text; empty if it has none.
    pub fn user_text(&self) -> String {
        match self.user_message() {
            Value::String(text) => text,
            _ => String::new(),
        }
    }

    /// What the user said last: a string; a list of parts if it has no text; null if no user has spoken.
    pub fn user_message(&self) -> Value {
        serde_json::from_str(&self.user_message).unwrap_or_default()
    }

    /// All messages so far: a list of `{"role", "content", ..}`.
    pub fn messages(&self) -> Vec<Value> {
        serde_json::from_str(&self.messages).unwrap_or_default()
    }

    /// The whole request: `stream`, `model`, `messages`, then all else the client sent, in its order.
    pub fn body(&self) -> Map<String, Value> {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The whole request as a type of yours. A mismatch is [`Failure::Invalid`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.body)
            .map_err(|error| Failure::invalid(format!("request: {error}")))
    }

    /// The whole request as the JSON text that the host passed, to hand on as it is.
    pub fn body_json(&self) -> &str {
        &self.body
    }

    /// All messages as the JSON text that the host passed.
    pub fn messages_json(&self) -> &str {
        &self.messages
    }

    /// What the user said last as the JSON text that the host passed.
    pub fn user_message_json(&self) -> &str {
        &self.user_message
    }

    /// Did the client ask for a stream? A plugin may ignore it.
    pub fn is_stream(&self) -> bool {
        self.body()
            .get("stream")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    /// Who asks, as the client tells: an object with `id`, `name`, `email`, `role`; or a string.
    pub fn user(&self) -> Option<Value> {
        self.user
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    }

    /// What is known of the conversation: `chat_id`, `session_id`, `message_id`, `task` and the like.
    pub fn metadata(&self) -> Map<String, Value> {
        self.metadata
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// What the client wants it for, if the user did not ask this himself: for example `title_generation`.
    pub fn task(&self) -> Option<String> {
        self.metadata()
            .get("task")
            .and_then(Value::as_str)
            .map(str::to_owned)
    }
}

impl From<pipe::Request> for Request {
    fn from(request: pipe::Request) -> Self {
        let pipe::Request {
            model,
            user_message,
            messages,
            body,
            user,
            metadata,
        } = request;
        Self {
            model,
            user_message,
            messages,
            body,
            user,
            metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(user_message: &str, metadata: Option<&str>) -> Request {
        Request {
            model: "m".into(),
            user_message: user_message.into(),
            messages: r#"[{"role": "user", "content": "hi"}]"#.into(),
            body: r#"{"stream": true, "model": "x.m", "messages": [], "temperature": 0.5}"#.into(),
            user: None,
            metadata: metadata.map(Into::into),
        }
    }

    #[test]
    fn the_users_words() {
        assert_eq!(request(r#""hi""#, None).user_text(), "hi");
        assert_eq!(request(r#"[{"type": "image_url"}]"#, None).user_text(), "");
        assert_eq!(request("null", None).user_text(), "");
    }

    #[test]
    fn the_rest() {
        let request = request(
            "null",
            Some(r#"{"task": "title_generation", "chat_id": "c"}"#),
        );
        assert!(request.is_stream());
        assert_eq!(request.task().as_deref(), Some("title_generation"));
        assert_eq!(request.messages()[0]["content"], "hi");
        assert_eq!(request.body()["temperature"], 0.5);
        assert_eq!(request.user(), None);
    }

    #[test]
    fn a_mismatch_is_invalid() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[expect(dead_code, reason = "only its type matters")]
            stream: u8,
        }
        let failure = request("null", None).parse::<Body>().unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid(
                "request: invalid type: boolean `true`, expected u8 at line 1 column 15"
            )
        );
    }
}
