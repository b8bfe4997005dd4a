//! A chat as it reaches a plugin: requests, filter messages, reply items, and the port a reply is written to.

use crate::BoxFuture;

/// One chat request, as `pipe.run` gets it. All bodies are JSON text.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// The model asked for; of a manifold, the part after the plugin's id.
    pub model: String,
    /// The last user message: a JSON string, a list of parts, or `null`.
    pub user_message: String,
    /// All messages, a JSON array.
    pub messages: String,
    /// The whole request body.
    pub body: String,
    /// Who asks.
    pub user: Option<String>,
    /// chat_id, session_id, message_id, task and the like.
    pub metadata: Option<String>,
}

/// One piece of a pipe's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text for the reader.
    Text(String),
    /// A status or other event, JSON.
    Event(String),
    /// A ready line of an event stream.
    Raw(String),
    /// The whole answer, JSON.
    Object(String),
}

impl Item {
    /// The text or JSON it carries.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Text(t) | Self::Event(t) | Self::Raw(t) | Self::Object(t) => t,
        }
    }
}

/// The client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has left")]
pub struct Closed;

/// Where a pipe's answer goes: one call, one client.
pub trait Reply: Send + 'static {
    /// Sends one item; waits while the client is slow.
    fn write(&mut self, item: Item) -> BoxFuture<'_, Result<(), Closed>>;
}

/// Before the model, or after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Before the model.
    Inlet,
    /// After the answer.
    Outlet,
}

impl Direction {
    /// `inlet` or `outlet`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inlet => "inlet",
            Self::Outlet => "outlet",
        }
    }
}

/// What a filter gets. All bodies are JSON text.
#[derive(Debug, Clone)]
pub struct FilterMessage {
    /// The request, or the conversation with its answer.
    pub body: String,
    /// Who asks.
    pub user: Option<String>,
    /// The model it is about.
    pub model: Option<String>,
    /// chat_id, session_id, message_id, task and the like.
    pub metadata: Option<String>,
}

/// One model of a manifold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Model {
    /// Unique in the plugin; may hold any characters.
    pub id: String,
    /// What people read, after the plugin's name.
    pub name: String,
}
