//! Where a pipe writes its answer. It belongs to the host: nothing is buffered here.

use std::{error::Error, fmt};

use serde::Serialize;

use crate::bindings::pipe::weir::host::chat;

/// The answer under way. Every method waits while the client is slow, and fails once the client has left.
pub use crate::bindings::pipe::weir::host::chat::Reply;

/// Why an item was not written. Pass it on with `?`: there is nobody left to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The client has left, or the deadline has passed.
    Closed,
    /// Over the plugin's `output_bytes` or `output_items` limit. The client is told that the answer was cut.
    Full,
    /// The value given to [`Reply::event`] or [`Reply::object`] cannot be written as JSON, for example a map with keys that are not strings.
    NotJson,
}

impl Reply {
    /// Text for the reader. In a stream one chunk; else all texts of a call are joined.
    pub fn text(&self, text: impl Into<String>) -> Result<(), WriteError> {
        self.item(&chat::Item::Text(text.into()))
    }

    /// A status, citation or other event for the client, beside the text: any JSON object, by custom
    /// `{"event": {"type": .., "data": ..}}`. Sent in a stream; dropped otherwise.
    pub fn event<T: Serialize + ?Sized>(&self, event: &T) -> Result<(), WriteError> {
        self.item(&chat::Item::Event(json(event)?))
    }

    /// A ready line of an upstream's event stream, `data: ...`, without its line end.
    pub fn raw(&self, line: impl Into<String>) -> Result<(), WriteError> {
        self.item(&chat::Item::Raw(line.into()))
    }

    /// The whole answer as one object, for example an upstream's completion.
    pub fn object<T: Serialize + ?Sized>(&self, object: &T) -> Result<(), WriteError> {
        self.item(&chat::Item::Object(json(object)?))
    }

    fn item(&self, item: &chat::Item) -> Result<(), WriteError> {
        self.write(item).map_err(|error| match error {
            chat::WriteError::Closed => WriteError::Closed,
            chat::WriteError::Full => WriteError::Full,
        })
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "the client has left, or the deadline has passed",
            Self::Full => "the answer is over the plugin's output limit",
            Self::NotJson => "the value cannot be written as JSON",
        })
    }
}

impl Error for WriteError {}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, WriteError> {
    serde_json::to_string(value).map_err(|_| WriteError::NotJson)
}
