//! What a call came to: the answer or the failure, what it used, and what was heard and logged meanwhile. Saying what a test expects of it
//! is `assertions.rs`.

use std::fmt::{self, Write};
use std::time::Duration;

use model::limits::{Limit, Limits};
use serde_json::Value;

use crate::logs::LogLine;
use crate::upstream::Sent;

/// What one call came to. Its assertions print all of it when they fail.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was called, for people: `chat of echo`.
    pub call: String,
    /// What came of it.
    pub result: Result<Reply, Failed>,
    /// What it used.
    pub used: Used,
    /// Events that were emitted from its begin to its end, the host's own included.
    pub events: Vec<EventSeen>,
    /// Lines logged meanwhile.
    pub log: Vec<LogLine>,
    /// Requests sent meanwhile.
    pub requests: Vec<Sent>,
    /// Of a hook: the context with which the step at its point was taken; none if it was not, and for other calls.
    pub step: Option<Value>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The pieces of a pipe's answer, in order; empty for other calls.
    pub items: Vec<Item>,
    /// The text: of a pipe all its texts together, of other calls the JSON they answered with.
    pub text: String,
    /// The JSON: what the call answered with; of a pipe the last object it wrote.
    pub json: Option<Value>,
}

/// One piece of a pipe's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text for the reader.
    Text(String),
    /// A status or other event.
    Event(Value),
    /// A ready line of an event stream.
    Raw(String),
    /// The whole answer as JSON.
    Object(Value),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// A stable word, as in the API of a server: `invalid`, `transient`, `refused`, `plugin_failed`, `out_of_fuel`, `trapped`, `hook_error`, ..
    pub code: String,
    /// A sentence: `refused: not today`.
    pub message: String,
}

/// What a call used.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// Fuel.
    pub fuel: u64,
    /// The largest memory of an instance since the plugin was loaded, in bytes.
    pub memory: u64,
    /// Host functions called.
    pub host_calls: u64,
    /// Outgoing HTTP requests.
    pub http_requests: u64,
    /// How long it took, in real time.
    pub time: Duration,
    /// How often each capability was denied, by its name: `http`, `state`, `events`, ..
    pub denied: Vec<(String, u64)>,
    pub(crate) limits: Limits,
}

/// An event as it was emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSeen {
    /// What it is about.
    pub topic: String,
    /// The plugin that emitted it, or `weir`.
    pub origin: String,
    /// What it says.
    pub payload: Value,
}

impl Reply {
    /// An answer that is JSON text; text that is none stays text.
    pub(crate) fn of_json(text: String) -> Self {
        Self {
            items: Vec::new(),
            json: serde_json::from_str(&text).ok(),
            text,
        }
    }

    /// An answer that is a value.
    pub(crate) fn of_value(value: Value) -> Self {
        Self {
            items: Vec::new(),
            text: value.to_string(),
            json: Some(value),
        }
    }

    /// An answer in pieces.
    pub(crate) fn of_items(items: Vec<Item>) -> Self {
        let texts = items.iter().filter_map(|item| match item {
            Item::Text(text) => Some(text.as_str()),
            Item::Event(_) | Item::Raw(_) | Item::Object(_) => None,
        });
        let text = texts.collect();
        let json = items.iter().rev().find_map(|item| match item {
            Item::Object(value) => Some(value.clone()),
            Item::Text(_) | Item::Event(_) | Item::Raw(_) => None,
        });
        Self { items, text, json }
    }
}

impl From<model::chat::Item> for Item {
    fn from(item: model::chat::Item) -> Self {
        // The sandbox lets only JSON through where JSON is due; anything else is shown as it is.
        let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        match item {
            model::chat::Item::Text(text) => Self::Text(text),
            model::chat::Item::Event(text) => Self::Event(json(text)),
            model::chat::Item::Raw(line) => Self::Raw(line),
            model::chat::Item::Object(text) => Self::Object(json(text)),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for EventSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}: {}", self.topic, self.origin, self.payload)
    }
}

impl fmt::Display for Used {
    /// One line, each number beside its limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = |limit| self.limits.get(limit);
        write!(
            f,
            "fuel {} of {}, memory {} of {} bytes, host calls {} of {}, requests {} of {}, {:.1} of {} ms",
            self.fuel,
            limit(Limit::Fuel),
            self.memory,
            limit(Limit::MemoryBytes),
            self.host_calls,
            limit(Limit::HostCalls),
            self.http_requests,
            limit(Limit::HttpRequests),
            self.time.as_secs_f64() * 1_000.0,
            limit(Limit::DeadlineMs),
        )
    }
}

impl fmt::Display for Outcome {
    /// Everything that is known, for a failed test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.call)?;
        match &self.result {
            Ok(reply) => {
                writeln!(f, "  answered: {}", reply.text)?;
                for item in &reply.items {
                    match item {
                        Item::Text(_) => {}
                        Item::Event(json) => writeln!(f, "  event of the reply: {json}")?,
                        Item::Raw(line) => writeln!(f, "  raw line: {line}")?,
                        Item::Object(json) => writeln!(f, "  object: {json}")?,
                    }
                }
            }
            Err(failed) => writeln!(f, "  failed ({}): {}", failed.code, failed.message)?,
        }
        if let Some(step) = &self.step {
            writeln!(f, "  the step was taken with: {step}")?;
        }
        writeln!(f, "  used: {}", self.used)?;
        let denied: Vec<_> = self
            .used
            .denied
            .iter()
            .map(|(c, n)| format!("{c} ({n})"))
            .collect();
        let mut lines = String::new();
        each(&mut lines, "denied", &denied);
        each(&mut lines, "event", &self.events);
        each(&mut lines, "log", &self.log);
        each(&mut lines, "request", &self.requests);
        f.write_str(lines.trim_end_matches('\n'))
    }
}

fn each<T: fmt::Display>(text: &mut String, what: &str, entries: &[T]) {
    for entry in entries {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "  {what}: {entry}");
    }
}
