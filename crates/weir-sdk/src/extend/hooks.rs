//! The role `hooks`: code at the host's and other plugins' hook points.

use serde::Deserialize;
use serde_json::value::RawValue;

pub use crate::bindings::hooks::weir::host::hooking::Continuation;
use crate::{
    Failure, Json, Plugin,
    bindings::{base::weir::types::values, hooks::exports::weir::plugin::hooks},
    failure::{lift, lower},
    json::parse,
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
///     Continuation, Event, Failure, Hook, Hooks, Json, Manifest, Peer, PeerRequest, Plugin, Subscriber, log, serde_json::Value,
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
///     fn around(&mut self, point: &str, context: Json, next: &Continuation) -> Result<Json, Failure> {
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
    fn before(&mut self, point: &str, context: Json) -> Result<Json, Failure> {
        let _ = point;
        Ok(context)
    }

    /// Runs after the step: returns the result to go on with, or refuses. `context` is what the step was run with, `result` what came of it.
    fn after(&mut self, point: &str, context: Json, result: Json) -> Result<Json, Failure> {
        let _ = (point, context);
        Ok(result)
    }

    /// Runs in place of the step and may let it happen, once, through `next`. Returns the result.
    fn around(&mut self, point: &str, context: Json, next: &Continuation) -> Result<Json, Failure> {
        let _ = point;
        next.proceed(&context)
    }

    /// Takes the place of the step: returns the result. Of several plugins that replace a step, only the one with the lowest priority is called.
    fn replace(&mut self, point: &str, context: Json) -> Result<Json, Failure> {
        let _ = context;
        Err(Failure::internal(format!(
            "this plugin does not replace '{point}'"
        )))
    }
}

impl Continuation {
    /// Runs the inner hooks and the step itself with this context, and returns what came of it. A second time answers `internal`.
    pub fn proceed(&self, context: &Json) -> Result<Json, Failure> {
        self.run(context.text()).map(Json::checked).map_err(lift)
    }
}

impl<P: Hooks + Instance> hooks::Guest for Adapter<P> {
    fn before(point: String, context: String) -> Result<String, values::Failure> {
        let context = Json::checked(context);
        answer(P::with(|plugin| plugin.before(&point, context)))
    }

    fn after(point: String, context: String) -> Result<String, values::Failure> {
        let done = parse("context", &context);
        answer(done.and_then(|Done { context, result }| {
            let (context, result) = (Json::checked(context.get()), Json::checked(result.get()));
            P::with(|plugin| plugin.after(&point, context, result))
        }))
    }

    fn around(
        point: String,
        context: String,
        next: &Continuation,
    ) -> Result<String, values::Failure> {
        let context = Json::checked(context);
        answer(P::with(|plugin| plugin.around(&point, context, next)))
    }

    fn replace(point: String, context: String) -> Result<String, values::Failure> {
        let context = Json::checked(context);
        answer(P::with(|plugin| plugin.replace(&point, context)))
    }
}

/// What an `after` hook gets.
#[derive(Debug, Deserialize)]
struct Done<'a> {
    #[serde(borrow)]
    context: &'a RawValue,
    #[serde(borrow)]
    result: &'a RawValue,
}

fn answer(result: Result<Json, Failure>) -> Result<String, values::Failure> {
    result.map(Json::into_text).map_err(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_after_hook_gets_context_and_result_apart() {
        let done: Done<'_> = parse("context", r#"{"context":{"a": 1},"result":null}"#).unwrap();
        assert_eq!(
            (done.context.get(), done.result.get()),
            (r#"{"a": 1}"#, "null")
        );
        let failure = parse::<Done<'_>>("context", r#"{"context":{}}"#).unwrap_err();
        assert!(failure.message().contains("missing field `result`"));
    }
}
