//! What the server reads of an upstream's OpenAI objects when a pipe passes them on: text, end, and a completion as a chunk.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// What a line of an upstream's stream holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// It is a chunk with choices.
    pub(crate) has_choices: bool,
    /// A choice has a finish reason.
    pub(crate) finished: bool,
    /// The first choice's text.
    pub(crate) content: String,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
}

/// Reads a chunk; none if it is something else.
pub(crate) fn read(json: &str) -> Option<Seen> {
    let chunk: Chunk<'_> = serde_json::from_str(json).ok()?;
    let finished = chunk.choices.iter().any(|c| c.finish_reason.is_some());
    let first = chunk.choices.into_iter().next();
    let content = first
        .as_ref()
        .and_then(|c| c.delta.as_ref()?.content.as_deref());
    Some(Seen {
        has_choices: first.is_some(),
        finished,
        content: content.unwrap_or_default().to_owned(),
    })
}

/// A completion as one chunk; none if the object is something else.
pub(crate) fn as_chunk(json: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(json).ok()?;
    let object = value.as_object_mut()?;
    let choices = object.get_mut("choices")?.as_array_mut()?;
    if choices.is_empty()
        || !choices
            .iter()
            .all(|c| c.get("message").is_some_and(Value::is_object))
    {
        return None;
    }
    for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(Value::Object(mut message)) = choice.remove("message") {
            message.entry("role").or_insert_with(|| "assistant".into());
            choice.insert("delta".into(), message.into());
        }
        let reason = choice.entry("finish_reason").or_insert(Value::Null);
        if reason.is_null() {
            *reason = "stop".into();
        }
    }
    object.insert("object".into(), "chat.completion.chunk".into());
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_and_other_lines_are_not() {
        let seen = read(r#"{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"a\nb"},"finish_reason":null}]}"#).unwrap();
        assert_eq!(
            seen,
            Seen {
                has_choices: true,
                finished: false,
                content: "a\nb".into()
            }
        );
        let seen = read(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).unwrap();
        assert!(seen.finished && seen.content.is_empty());
        assert_eq!(read(r#"{"event":{}}"#), None);
        assert_eq!(read(": ping"), None);
    }

    #[test]
    fn a_completion_becomes_a_chunk() {
        let chunk = as_chunk(r#"{"object":"chat.completion","choices":[{"message":{"content":"x"}}],"usage":{"total_tokens":3}}"#).unwrap();
        let value: Value = serde_json::from_str(&chunk).unwrap();
        assert_eq!(value["object"], "chat.completion.chunk");
        assert_eq!(value["choices"][0]["delta"]["content"], "x");
        assert_eq!(value["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(value["choices"][0]["finish_reason"], "stop");
        assert_eq!(value["usage"]["total_tokens"], 3);
        assert_eq!(as_chunk(r#"{"z":1,"choices":[]}"#), None);
    }
}
