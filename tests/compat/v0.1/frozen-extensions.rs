//! The source of `frozen-extensions.wasm`, for reading. Nothing builds it: see README.md.

use weir_sdk::{
    Continuation, Event, Failure, Handover, Hook, Hooks, Manifest, Peer, PeerRequest, Plugin,
    Subscriber,
    calls::{self, CallError},
    events, grants, metrics,
    points::{self, FireError},
    secrets,
    serde_json::{Value, json},
    state,
};

#[derive(Default)]
struct Frozen;

impl Plugin for Frozen {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("Frozen extensions")
            .provides("frost", json!({"type": "test", "degrees": [-1, -2]}))
            .depends_on_optionally("callee", ">=1.0, <3")
            .hook(Hook::before("chat_request").priority(40))
            .hook(Hook::around("chat_request").skip_on_failure())
            .hook(Hook::after("chat_request"))
            .point("check", "A text is looked at", json!({"type": "object"}))
            .topic("frost.*")
    }
}

impl Hooks for Frozen {
    fn before(&mut self, _: &str, mut context: Value) -> Result<Value, Failure> {
        if let Some(body) = context.get_mut("body").and_then(Value::as_object_mut) {
            body.insert("frozen".to_owned(), true.into());
        }
        Ok(context)
    }

    fn around(&mut self, _: &str, context: Value, next: &Continuation) -> Result<Value, Failure> {
        let result = next.proceed(&context)?;
        metrics::add("chats", 1, &[("kind", "frozen")]);
        metrics::set(
            "last_items",
            result.get("items").and_then(Value::as_f64).unwrap_or(0.0),
            &[],
        );
        metrics::record(
            "bytes",
            result.get("bytes").and_then(Value::as_f64).unwrap_or(0.0),
            &[],
        );
        Ok(result)
    }

    fn after(&mut self, _: &str, _: Value, mut result: Value) -> Result<Value, Failure> {
        if let Some(result) = result.as_object_mut() {
            let text = result
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let text = format!("{text} [frozen]");
            result.insert("text".to_owned(), text.into());
        }
        Ok(result)
    }
}

impl Subscriber for Frozen {
    fn on_event(&mut self, event: Event) -> Result<(), Failure> {
        state::add("heard", 1)?;
        state::set_json(
            "last",
            &json!({"topic": event.topic, "origin": event.origin, "payload": event.payload}),
        )?;
        Ok(())
    }
}

impl Peer for Frozen {
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
        let text = request.payload.as_str().unwrap_or_default();
        match request.method.as_str() {
            "heard" => Ok(json!({
                "count": state::add("heard", 0)?,
                "last": state::get_json::<Value>("last")?,
                "handed_over": state::get_json::<Value>("handed_over")?,
            })),
            "emit" => Ok(events::emit(text, &json!({"by": request.caller}))?.into()),
            "call" => calls::call("callee", "echo", text, None).map_err(CallError::into_failure),
            "cast" => Ok(calls::cast("callee", "echo", text)
                .map_err(CallError::into_failure)?
                .into()),
            "fire" => {
                points::fire("check", &json!({"text": text})).map_err(FireError::into_failure)
            }
            "secret" => Ok(secrets::get(text)?.len().into()),
            "granted" => Ok(grants::granted(text).into()),
            "present" => Ok(grants::present(text).into()),
            "providers" => Ok(grants::providers(text).into()),
            other => Err(Failure::invalid(format!("no method is called '{other}'"))),
        }
    }
}

impl Handover for Frozen {
    fn snapshot(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(b"ice".to_vec())
    }

    fn restore(&mut self, from_version: &str, snapshot: &[u8]) -> Result<(), Failure> {
        if snapshot != b"ice" {
            return Err(Failure::invalid("this is no snapshot of mine"));
        }
        state::set_json("handed_over", from_version)?;
        Ok(())
    }
}

weir_sdk::plugin!(Frozen: hooks, subscriber, peer, handover);
