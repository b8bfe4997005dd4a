//! Template `relay`: a peer that calls peers, and a pipe through which a test has it call.
//!
//! The pipe gets `{"call": <plugin>, "method", "payload", "timeout_ms"}` or `{"cast": ..}`; `count` repeats it, and `relay` is the same as a call of the method `relay`
//! below in this plugin itself. It answers with `{"ok": <answer>}` or `{"error": <kind>, "text"}`; repeated, with how often each came.
//!
//! | method | payload | answer |
//! |---|---|---|
//! | `echo` | any | `{"caller", "cast", "payload", "calls"}`, the last counted by the instance |
//! | `relay` | `{"path": [<plugin>, ..], "method", "payload"}` | calls `relay` of the first of the path with the rest, or the method in the last; what came of it as above |
//! | `act` | an action | null |
//! | `flood` | an order of the pipe | as the pipe's |
//!
//! If the manifest's `does` has `handle`, that action comes first.

use std::{collections::BTreeMap, time::Duration};

use actors::{act, does, order};
use weir_sdk::{
    Config, Failure, Peer, PeerRequest, Pipe, Plugin, Reply, Request,
    calls::{self, CallError},
    serde_json::{Value, json},
};

#[derive(Default)]
struct Relay {
    does: Value,
    calls: u64,
}

impl Plugin for Relay {
    fn init(&mut self, _: &Config) -> Result<(), Failure> {
        self.does = does();
        Ok(())
    }
}

impl Pipe for Relay {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let order = order(request);
        let answer = match order.get("relay") {
            Some(payload) => relay(payload),
            None => carry_out(&order),
        };
        reply.text(answer.to_string())?;
        Ok(())
    }
}

impl Peer for Relay {
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
        self.calls += 1;
        act(self.does.get("handle").unwrap_or(&Value::Null))?;
        match request.method.as_str() {
            "echo" => Ok(json!({
                "caller": request.caller, "cast": request.cast, "payload": request.payload, "calls": self.calls,
            })),
            "relay" => Ok(relay(&request.payload)),
            "act" => act(&request.payload).map(|()| Value::Null),
            "flood" => Ok(carry_out(&request.payload)),
            other => Err(Failure::invalid(format!("no method is called '{other}'"))),
        }
    }
}

/// Passes the payload on along the path.
fn relay(payload: &Value) -> Value {
    let path = payload
        .get("path")
        .and_then(Value::as_array)
        .map(Vec::as_slice);
    let part = |key| payload.get(key).cloned().unwrap_or_default();
    let Some((Value::String(first), rest)) = path.and_then(|path| path.split_first()) else {
        return json!({"error": "no path"});
    };
    let answer = if rest.is_empty() {
        calls::call(
            first,
            part("method").as_str().unwrap_or("echo"),
            &part("payload"),
            None,
        )
    } else {
        let payload = json!({"path": rest, "method": part("method"), "payload": part("payload")});
        calls::call(first, "relay", &payload, None)
    };
    outcome(answer)
}

/// Calls or casts, once or often.
fn carry_out(order: &Value) -> Value {
    let count = order.get("count").and_then(Value::as_u64);
    let Some(count) = count else {
        return outcome(one(order));
    };
    let mut came = BTreeMap::<String, u64>::new();
    for _ in 0..count {
        let outcome = outcome(one(order));
        let kind = outcome.get("error").and_then(Value::as_str).unwrap_or("ok");
        *came.entry(kind.to_owned()).or_default() += 1;
    }
    json!(came)
}

fn one(order: &Value) -> Result<Value, CallError> {
    let text = |key| order.get(key).and_then(Value::as_str);
    let method = text("method").unwrap_or("echo");
    let payload = order.get("payload").unwrap_or(&Value::Null);
    if let Some(plugin) = text("cast") {
        return calls::cast(plugin, method, payload).map(|()| Value::Null);
    }
    let timeout = order
        .get("timeout_ms")
        .and_then(Value::as_u64)
        .map(Duration::from_millis);
    calls::call(text("call").unwrap_or_default(), method, payload, timeout)
}

fn outcome(answer: Result<Value, CallError>) -> Value {
    let error = match answer {
        Ok(answer) => return json!({"ok": answer}),
        Err(error) => error,
    };
    let kind = match &error {
        CallError::Denied => "denied",
        CallError::NotFound => "not_found",
        CallError::Cycle(_) => "cycle",
        CallError::TooDeep => "too_deep",
        CallError::TimedOut => "timed_out",
        CallError::Crashed(_) => "crashed",
        CallError::Failed(Failure::Invalid(_)) => "invalid",
        CallError::Failed(Failure::Transient { .. }) => "transient",
        CallError::Failed(Failure::Refused(_)) => "refused",
        CallError::Failed(Failure::Internal(_)) => "internal",
        CallError::NotJson(_) => "not_json",
    };
    let mut outcome = json!({"error": kind, "text": error.to_string()});
    if let (CallError::Cycle(chain), Some(outcome)) = (&error, outcome.as_object_mut()) {
        outcome.insert("chain".to_owned(), json!(chain));
    }
    outcome
}

actors::actor!(Relay: pipe, peer);
