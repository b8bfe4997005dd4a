//! How a pipe's items look on the wire: OpenAI chunks as server-sent events, or one completion. Two dialects: ours, and strict mode's,
//! which prints as Python does and ends (or does not end) a stream as the reference does. Moving items is `stream`'s business, events of the bus are `listen`'s.

pub(crate) mod follow;
pub(crate) mod listen;
mod openai;
pub(crate) mod stream;

use bytes::Bytes;
use model::chat::Item;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::push_string;
use crate::rescue::Problem;
use crate::strict::python;

/// Writes the answer to one chat.
#[derive(Debug)]
pub(crate) struct Encoder {
    strict: bool,
    model: String,
    /// Seconds since 1970-01-01 UTC.
    created: u64,
    /// One for the answer; in strict mode each chunk has its own.
    id: String,
    begun: Begun,
    /// The role was sent; LibreChat refuses chunks when none ever is.
    role_sent: bool,
    /// A finish reason was sent.
    finished: bool,
}

/// What a stream began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    Items,
    /// Strict mode: a whole object, of which the reference streams nothing.
    Whole,
}

/// The end of a chunk that has content.
enum Tail {
    More,
    Stop,
}

impl Encoder {
    pub(crate) fn new(model: &str, created: u64, strict: bool) -> Self {
        Self {
            strict,
            model: model.into(),
            created,
            id: fresh_id(model),
            begun: Begun::Nothing,
            role_sent: false,
            finished: false,
        }
    }

    /// The event for one item; none where nothing is to be sent.
    ///
    /// # Errors
    /// The plugin wrote what is no JSON.
    pub(crate) fn item(&mut self, item: Item) -> Result<Option<Bytes>, Problem> {
        if self.begun == Begun::Whole {
            return Ok(None);
        }
        let whole = self.strict && matches!(item, Item::Object(_)) && self.begun == Begun::Nothing;
        self.begun = if whole { Begun::Whole } else { Begun::Items };
        match item {
            Item::Text(text) if self.strict && text.starts_with("data:") => Ok(raw(&text)),
            Item::Text(text) => Ok(Some(self.text(&text))),
            Item::Raw(line) => Ok(self.raw(&line)),
            Item::Event(json) => self.event(&json).map(Some),
            Item::Object(_) if whole => Ok(None),
            Item::Object(json) => self.object(&json).map(Some),
        }
    }

    /// What ends a stream that went well: events to be sent one by one.
    pub(crate) fn end(&mut self) -> Vec<Bytes> {
        if self.strict {
            return match self.begun {
                Begun::Items => vec![
                    self.chunk("{}", &Tail::Stop),
                    Bytes::from_static(b"data: [DONE]"),
                ],
                Begun::Nothing | Begun::Whole => Vec::new(),
            };
        }
        let done = Bytes::from_static(b"data: [DONE]\n\n");
        if self.finished {
            return vec![done];
        }
        let delta = if self.role_sent {
            "{}"
        } else {
            r#"{"role":"assistant"}"#
        };
        vec![self.chunk(delta, &Tail::Stop), done]
    }

    /// What ends a stream that failed, outside strict mode.
    pub(crate) fn failure(problem: &Problem) -> Vec<Bytes> {
        let event = format!(
            "data: {}\n\n",
            serde_json::json!({ "error": problem.error_object() })
        );
        vec![event.into(), Bytes::from_static(b"data: [DONE]\n\n")]
    }

    fn text(&mut self, text: &str) -> Bytes {
        let mut delta = String::with_capacity(text.len() + 48);
        if self.strict {
            delta.push_str("{\"content\": ");
            python::ascii(text, &mut delta);
        } else {
            let role = if self.role_sent {
                ""
            } else {
                r#""role":"assistant","#
            };
            self.role_sent = true;
            delta.push('{');
            delta.push_str(role);
            delta.push_str("\"content\":");
            push_string(&mut delta, text);
        }
        delta.push('}');
        self.chunk(&delta, &Tail::More)
    }

    fn raw(&mut self, line: &str) -> Option<Bytes> {
        if self.strict {
            return raw(line);
        }
        let mut out = String::with_capacity(line.len() + 2);
        // A line break in it must not hide a `[DONE]`: each line is an event of its own.
        for line in line.split(['\r', '\n']) {
            let data = line.strip_prefix("data:").map_or("", str::trim);
            if line.is_empty() || data == "[DONE]" {
                continue;
            }
            if let Some(seen) = openai::read(data) {
                self.role_sent |= seen.has_choices;
                self.finished |= seen.finished;
            }
            out.push_str(line);
            out.push_str("\n\n");
        }
        (!out.is_empty()).then(|| out.into())
    }

    fn event(&self, json: &str) -> Result<Bytes, Problem> {
        let value: &RawValue = serde_json::from_str(json).map_err(|_| not_json("an event"))?;
        Ok(if self.strict {
            let value: Value = serde_json::from_str(json).map_err(|_| not_json("an event"))?;
            format!("data: {}\n\n", python::dumps(&value)).into()
        } else {
            data(&one_line(value.get()))
        })
    }

    fn object(&mut self, json: &str) -> Result<Bytes, Problem> {
        let value: &RawValue = serde_json::from_str(json).map_err(|_| not_json("an object"))?;
        if !self.strict
            && let Some(chunk) = openai::as_chunk(json)
        {
            (self.role_sent, self.finished) = (true, true);
            return Ok(data(&chunk));
        }
        Ok(data(&one_line(value.get())))
    }

    fn chunk(&self, delta: &str, tail: &Tail) -> Bytes {
        let finish = match tail {
            Tail::More => "null",
            Tail::Stop => "\"stop\"",
        };
        let mut out = String::with_capacity(delta.len() + self.model.len() * 2 + 220);
        if self.strict {
            out.push_str("data: {\"id\": ");
            python::ascii(&fresh_id(&self.model), &mut out);
            out.push_str(", \"object\": \"chat.completion.chunk\", \"created\": ");
            out.push_str(&self.created.to_string());
            out.push_str(", \"model\": ");
            python::ascii(&self.model, &mut out);
            out.push_str(", \"choices\": [{\"index\": 0, \"delta\": ");
            out.push_str(delta);
            out.push_str(", \"logprobs\": null, \"finish_reason\": ");
        } else {
            out.push_str("data: {\"id\":");
            push_string(&mut out, &self.id);
            out.push_str(",\"object\":\"chat.completion.chunk\",\"created\":");
            out.push_str(&self.created.to_string());
            out.push_str(",\"model\":");
            push_string(&mut out, &self.model);
            out.push_str(",\"choices\":[{\"index\":0,\"delta\":");
            out.push_str(delta);
            out.push_str(",\"logprobs\":null,\"finish_reason\":");
        }
        out.push_str(finish);
        out.push_str("}]}\n\n");
        out.into()
    }

    /// The body of an answer that is not streamed.
    ///
    /// # Errors
    /// The plugin wrote what is no JSON.
    pub(crate) fn whole(&self, items: Vec<Item>) -> Result<String, Problem> {
        let mut content = String::new();
        let mut object = None;
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Item::Text(text) if content.is_empty() => content = text,
                Item::Text(text) => content.push_str(&text),
                Item::Raw(line) if self.strict => content.push_str(&line),
                Item::Raw(line) => {
                    let data = line.trim().strip_prefix("data:").map_or("", str::trim);
                    content.push_str(&openai::read(data).unwrap_or_default().content);
                }
                Item::Event(json) if self.strict => {
                    let value = serde_json::from_str(&json).map_err(|_| not_json("an event"))?;
                    content.push_str(&python::repr(&value));
                }
                Item::Event(_) => {}
                Item::Object(_) if self.strict && index > 0 => {}
                Item::Object(json) => object = Some(json),
            }
        }
        match object {
            Some(json) if self.strict => serde_json::from_str::<Value>(&json)
                .map(|v| v.to_string())
                .map_err(|_| not_json("an object")),
            Some(json) => match serde_json::from_str::<&RawValue>(&json) {
                Ok(_) => Ok(json),
                Err(_) => Err(not_json("an object")),
            },
            None => Ok(self.completion(&content)),
        }
    }

    fn completion(&self, content: &str) -> String {
        let mut out = String::with_capacity(content.len() + self.model.len() * 2 + 240);
        out.push_str("{\"id\":");
        push_string(&mut out, &self.id);
        out.push_str(",\"object\":\"chat.completion\",\"created\":");
        out.push_str(&self.created.to_string());
        out.push_str(",\"model\":");
        push_string(&mut out, &self.model);
        out.push_str(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
        push_string(&mut out, content);
        out.push_str("},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
        out
    }
}

fn fresh_id(model: &str) -> String {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
    format!("{model}-{id}")
}

fn raw(line: &str) -> Option<Bytes> {
    let line = line.trim_end_matches(['\r', '\n']);
    Some(format!("{line}\n\n").into())
}

fn data(json: &str) -> Bytes {
    format!("data: {json}\n\n").into()
}

/// JSON without line breaks, which would end the event.
fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(['\r', '\n']) {
        return text.into();
    }
    // In JSON a line break can only stand between tokens: within strings it is escaped.
    text.replace(['\r', '\n'], " ").into()
}

fn not_json(what: &str) -> Problem {
    tracing::warn!(what, "a plugin wrote what is no JSON");
    Problem::new(
        http::StatusCode::INTERNAL_SERVER_ERROR,
        "malformed_output",
        format!("the plugin wrote {what} that is not JSON"),
    )
}

#[cfg(test)]
mod tests;
