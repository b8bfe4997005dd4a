//! The chat roles: `pipe`, `manifold` and `filter`. The requests they get are in modules of their own.

mod message;
mod reply;
mod request;

use serde_json::Value;

pub use self::{
    message::Message,
    reply::{Reply, WriteError},
    request::Request,
};
use crate::{
    Failure, Plugin,
    bindings::{
        base::weir::types::values, filter::exports::weir::plugin::filter,
        manifold::exports::weir::plugin::manifold, pipe::exports::weir::plugin::pipe,
    },
    failure::lower,
    plugin::{Adapter, Instance},
};

/// Answers chats. Each plugin with this role is offered as a model.
pub trait Pipe: Plugin {
    /// Answers one request by writing to `reply`; returning ok ends the answer. Called for each chat, streamed or not. A failure before the first
    /// item becomes an HTTP error; after it, an error event in the stream.
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure>;
}

/// One model of a manifold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Unique in the plugin; may hold any characters. Users see `<plugin id>.<id>`, the pipe gets it as [`Request::model`].
    pub id: String,
    /// What people read, after the plugin's name.
    pub name: String,
}

impl Model {
    /// A model with this id and name.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
        }
    }
}

/// A pipe that offers several models. It exports `pipe` too, which answers for all of them.
pub trait Manifold: Pipe {
    /// The models now on offer. Called at load, when valves change, and when a list is asked for and the last answer is older than 10 s.
    fn models(&mut self) -> Result<Vec<Model>, Failure>;
}

/// Changes requests before, and answers after, a model. A filter has valves `pipelines` and `priority` as a rule: see [`Valves`](crate::Valves).
pub trait Filter: Plugin {
    /// Before the model: returns the body to go on with. A failure ends the chat and is shown to the user.
    fn inlet(&mut self, message: Message) -> Result<Value, Failure> {
        Ok(message.body)
    }

    /// After the answer: returns the body to go on with. A failure is shown to the user.
    fn outlet(&mut self, message: Message) -> Result<Value, Failure> {
        Ok(message.body)
    }
}

impl<P: Pipe + Instance> pipe::Guest for Adapter<P> {
    fn run(request: pipe::Request, reply: &Reply) -> Result<(), values::Failure> {
        P::with(|plugin| plugin.run(&Request::from(request), reply)).map_err(lower)
    }
}

impl<P: Manifold + Instance> manifold::Guest for Adapter<P> {
    fn models() -> Result<Vec<manifold::Model>, values::Failure> {
        let models = P::with(P::models).map_err(lower)?;
        Ok(models
            .into_iter()
            .map(|model| manifold::Model {
                id: model.id,
                name: model.name,
            })
            .collect())
    }
}

impl<P: Filter + Instance> filter::Guest for Adapter<P> {
    fn inlet(message: filter::Message) -> Result<String, values::Failure> {
        let message = Message::try_from(message).map_err(lower)?;
        P::with(|plugin| plugin.inlet(message))
            .map(|body| body.to_string())
            .map_err(lower)
    }

    fn outlet(message: filter::Message) -> Result<String, values::Failure> {
        let message = Message::try_from(message).map_err(lower)?;
        P::with(|plugin| plugin.outlet(message))
            .map(|body| body.to_string())
            .map_err(lower)
    }
}
