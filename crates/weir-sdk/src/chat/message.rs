//! What a filter gets: a parsed body, and who it is about.

use serde_json::Value;

use crate::{Failure, bindings::filter::exports::weir::plugin::filter};

/// A request on its way in, or a conversation with its answer on its way out.
///
/// Integers beyond 64 bits become floating point numbers when a body is parsed; all else keeps its value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The body, an object, as the client sent it: return it, changed or not.
    pub body: Value,
    /// Who asks: an object with `id`, `name`, `email`, `role`.
    pub user: Option<Value>,
    /// The model it is about, where the body names one.
    pub model: Option<String>,
    /// What is known of the conversation, an object: `chat_id`, `session_id`, `message_id`, `task` and the like.
    pub metadata: Option<Value>,
}

impl Message {
    /// The last of the body's `messages`, if it is an object: `{"role", "content", ..}`.
    pub fn last(&mut self) -> Option<&mut Value> {
        self.body.get_mut("messages")?.as_array_mut()?.last_mut()
    }

    /// Runs `edit` on every text of every message: contents that are strings, and the text parts of contents that are lists.
    pub fn each_text(&mut self, mut edit: impl FnMut(&mut String)) {
        let messages = self.body.get_mut("messages").and_then(Value::as_array_mut);
        for content in messages
            .into_iter()
            .flatten()
            .filter_map(|message| message.get_mut("content"))
        {
            match content {
                Value::String(text) => edit(text),
                Value::Array(parts) => {
                    for part in parts {
                        if let Some(Value::String(text)) = part.get_mut("text") {
                            edit(text);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

impl TryFrom<filter::Message> for Message {
    type Error = Failure;

    fn try_from(message: filter::Message) -> Result<Self, Failure> {
        let optional = |name, text: Option<String>| text.map(|text| parse(name, &text)).transpose();
        Ok(Self {
            body: parse("body", &message.body)?,
            user: optional("user", message.user)?,
            model: message.model,
            metadata: optional("metadata", message.metadata)?,
        })
    }
}

fn parse(name: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::invalid(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_every_text() {
        let mut message = Message {
            body: json!({"messages": [{"content": "a"}, {"content": null}, {"content": [{"type": "text", "text": "b"}, {"type": "image_url"}]}]}),
            user: None,
            model: None,
            metadata: None,
        };
        message.each_text(|text| text.push('!'));
        let expected = json!({"messages": [{"content": "a!"}, {"content": null}, {"content": [{"type": "text", "text": "b!"}, {"type": "image_url"}]}]});
        assert_eq!(message.body, expected);
        assert!(message.last().unwrap()["content"].is_array());
    }

    #[test]
    fn keeps_order_and_numbers() {
        let body = r#"{"z":1.0,"a":18446744073709551615,"s":0.1,"f":-0.0}"#;
        assert_eq!(parse("body", body).unwrap().to_string(), body);
    }

    #[test]
    fn a_broken_body_says_where() {
        assert_eq!(
            parse("body", "{"),
            Err(Failure::invalid(
                "body: EOF while parsing an object at line 1 column 1"
            ))
        );
    }
}
