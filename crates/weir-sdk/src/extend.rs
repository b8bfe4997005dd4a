//! The roles that extend the host: `hooks`, `subscriber` and `peer`.

mod hooks;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::hooks::{Continuation, Hooks};
use crate::{
    Failure, Plugin,
    bindings::{
        base::weir::types::values, peer::exports::weir::plugin::peer,
        subscriber::exports::weir::plugin::subscriber,
    },
    failure::lower,
    json::parse,
    plugin::{Adapter, Instance},
};

/// One event from the bus.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Grows by one with each event of the host.
    pub id: u64,
    /// Its topic.
    pub topic: String,
    /// The plugin that emitted it, or `weir`.
    pub origin: String,
    /// When it was emitted, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// What it says.
    pub payload: Value,
}

impl Event {
    /// What it says as a type of yours. A mismatch is [`Failure::Invalid`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        typed("payload", &self.payload)
    }
}

/// Hears events on the topics its manifest names ([`Manifest::topic`](crate::Manifest::topic), grant: `events`) and, without asking, of what becomes
/// of the plugins it depends on: `weir.dependency.started`, `.stopped` and `.failed`, with `{"plugin": ..}`.
pub trait Subscriber: Plugin {
    /// One event. Events of a topic come in the order they were emitted. A failure loses the event: it is logged and not repeated.
    fn on_event(&mut self, event: Event) -> Result<(), Failure>;
}

/// A call from another plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerRequest {
    /// The id of the plugin that calls: act with the caller's rights in mind, not your own.
    pub caller: String,
    /// What it wants.
    pub method: String,
    /// The arguments.
    pub payload: Value,
    /// Nobody waits for the answer.
    pub cast: bool,
}

impl PeerRequest {
    /// The arguments as a type of yours. A mismatch is [`Failure::Invalid`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        typed("payload", &self.payload)
    }
}

/// Answers other plugins' calls.
pub trait Peer: Plugin {
    /// One call.
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure>;
}

impl<P: Subscriber + Instance> subscriber::Guest for Adapter<P> {
    fn on_event(event: subscriber::Event) -> Result<(), values::Failure> {
        let subscriber::Event {
            id,
            topic,
            origin,
            time_ms,
            payload,
        } = event;
        let payload = parse("payload", &payload).map_err(lower)?;
        P::with(|plugin| {
            plugin.on_event(Event {
                id,
                topic,
                origin,
                time_ms,
                payload,
            })
        })
        .map_err(lower)
    }
}

impl<P: Peer + Instance> peer::Guest for Adapter<P> {
    fn handle(request: peer::Request) -> Result<String, values::Failure> {
        let peer::Request {
            caller,
            method,
            payload,
            cast,
        } = request;
        let request = parse("payload", &payload).map(|payload| PeerRequest {
            caller,
            method,
            payload,
            cast,
        });
        answer(request.and_then(|request| P::with(|plugin| plugin.handle(request))))
    }
}

fn typed<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| Failure::invalid(format!("{name}: {error}")))
}

fn answer(result: Result<Value, Failure>) -> Result<String, values::Failure> {
    result.map(|value| value.to_string()).map_err(lower)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_that_does_not_fit_is_invalid() {
        let request = PeerRequest {
            caller: "a".into(),
            method: "m".into(),
            payload: json!({"n": -1}),
            cast: false,
        };
        let failure = request
            .parse::<std::collections::BTreeMap<String, u8>>()
            .unwrap_err();
        // How serde says it depends on the features of serde_json in the build.
        assert!(
            matches!(&failure, Failure::Invalid(text) if text.starts_with("payload: invalid")),
            "{failure:?}"
        );
    }
}
