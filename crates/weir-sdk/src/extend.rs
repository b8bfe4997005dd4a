//! The roles that extend the host: `hooks`, `subscriber` and `peer`.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use crate::bindings::hooks::weir::host::hooking::Continuation;
use crate::{
    Failure, Plugin,
    bindings::{
        base::weir::types::values, hooks::exports::weir::plugin::hooks,
        peer::exports::weir::plugin::peer, subscriber::exports::weir::plugin::subscriber,
    },
    failure::{lift, lower},
    plugin::{Adapter, Instance},
};

/// Code at hook points; the manifest says which points, modes and priorities ([`Manifest::hook`](crate::Manifest::hook)). Implement the modes
/// you ask for. Grant: `hooks`.
///
/// All hooks at a point lie around the step like the skins of an onion. A failure refuses: the step does not happen, or its result does not count.
/// What contexts and results look like at each point, `GET /api/v1/hooks` shows.
///
/// ```
/// use weir_sdk::{
///     Continuation, Event, Failure, Hook, Hooks, Manifest, Peer, PeerRequest, Plugin, Subscriber, log, serde_json::Value,
/// };
///
/// #[derive(Default)]
/// struct Watcher { seen: u64 }
///
/// impl Plugin for Watcher {
///     fn manifest(manifest: Manifest) -> Manifest {
///         manifest
///             .hook(Hook::around("chat_request").priority(10).skip_on_failure())
///             .topic("weir.plugin.*")
///     }
/// }
/// impl Hooks for Watcher {
///     fn around(&mut self, point: &str, context: Value, next: &Continuation) -> Result<Value, Failure> {
///         let result = next.proceed(&context);
///         log::info(format!("{point} is done"));
///         result
///     }
/// }
/// impl Subscriber for Watcher {
///     fn on_event(&mut self, event: Event) -> Result<(), Failure> {
///         self.seen = event.id;
///         Ok(())
///     }
/// }
/// impl Peer for Watcher {
///     fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
///         match request.method.as_str() {
///             "seen" => Ok(self.seen.into()),
///             other => Err(Failure::invalid(format!("no method is called '{other}'; there is seen"))),
///         }
///     }
/// }
/// weir_sdk::plugin!(Watcher: hooks, subscriber, peer);
/// # fn main() {}
/// ```
pub trait Hooks: Plugin {
    /// Runs before the step: returns the context to go on with, or refuses.
    fn before(&mut self, point: &str, context: Value) -> Result<Value, Failure> {
        let _ = point;
        Ok(context)
    }

    /// Runs after the step: returns the result to go on with, or refuses. `context` is what the step was run with, `result` what came of it.
    fn after(&mut self, point: &str, context: Value, result: Value) -> Result<Value, Failure> {
        let _ = (point, context);
        Ok(result)
    }

    /// Runs in place of the step and may let it happen, once, through `next`. Returns the result.
    fn around(
        &mut self,
        point: &str,
        context: Value,
        next: &Continuation,
    ) -> Result<Value, Failure> {
        let _ = point;
        next.proceed(&context)
    }

    /// Takes the place of the step: returns the result. Of several plugins that replace a step, only the one with the lowest priority is called.
    fn replace(&mut self, point: &str, context: Value) -> Result<Value, Failure> {
        let _ = context;
        Err(Failure::internal(format!(
            "this plugin does not replace '{point}'"
        )))
    }
}

impl Continuation {
    /// Runs the inner hooks and the step itself with this context, and returns what came of it. A second time answers `internal`.
    pub fn proceed(&self, context: &Value) -> Result<Value, Failure> {
        let result = self.run(&context.to_string()).map_err(lift)?;
        parse("result", &result)
    }
}

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

impl<P: Hooks + Instance> hooks::Guest for Adapter<P> {
    fn before(point: String, context: String) -> Result<String, values::Failure> {
        answer(
            parse("context", &context)
                .and_then(|context| P::with(|plugin| plugin.before(&point, context))),
        )
    }

    fn after(point: String, context: String) -> Result<String, values::Failure> {
        answer(done(&context).and_then(|Done { context, result }| {
            P::with(|plugin| plugin.after(&point, context, result))
        }))
    }

    fn around(
        point: String,
        context: String,
        next: &Continuation,
    ) -> Result<String, values::Failure> {
        answer(
            parse("context", &context)
                .and_then(|context| P::with(|plugin| plugin.around(&point, context, next))),
        )
    }

    fn replace(point: String, context: String) -> Result<String, values::Failure> {
        answer(
            parse("context", &context)
                .and_then(|context| P::with(|plugin| plugin.replace(&point, context))),
        )
    }
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

/// What an `after` hook gets.
#[derive(Debug, Deserialize, PartialEq)]
struct Done {
    context: Value,
    result: Value,
}

fn done(text: &str) -> Result<Done, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::invalid(format!("context: {error}")))
}

fn parse(name: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::invalid(format!("{name}: {error}")))
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
    fn an_after_hook_gets_context_and_result_apart() {
        let expected = Done {
            context: json!({"a": 1}),
            result: json!(null),
        };
        assert_eq!(done(r#"{"context":{"a":1},"result":null}"#), Ok(expected));
        let failure = done(r#"{"context":{}}"#).unwrap_err();
        assert!(failure.message().contains("missing field `result`"));
    }

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
