//! Template `bus`: hears events and emits them. What it heard is in the instance's memory, so it runs with `reuse = "single"`.
//!
//! The pipe and the peer (whatever the method) get
//! - `{"emit": <topic>, "payload", "bytes", "count"}`: emits so often, with a payload of so many bytes if `bytes` is there; answers with how often each came:
//!   `{"ok": .., "denied": ..}`. In the payload object `number` is set to the event's number, from 0;
//! - `{"heard": <most>}`: answers `{"count", "events": [..]}`, the last ones;
//! - `{"forget": true}`: starts over.
//!
//! If the manifest's `does` has `on_event`, it is done for each event: an action, or `{"emit": <topic>, "times"}`. `stop` is an action for the end.

use std::collections::{BTreeMap, VecDeque};

use actors::{act, does, order};
use weir_sdk::{
    Config, Event, Failure, Peer, PeerRequest, Pipe, Plugin, Reply, Request, Subscriber,
    events::{self, EmitError},
    serde_json::{Value, json},
};

/// Most events that are kept.
const KEPT: usize = 1000;

#[derive(Default)]
struct Bus {
    does: Value,
    count: u64,
    heard: VecDeque<Value>,
}

impl Bus {
    fn carry_out(&mut self, order: &Value) -> Value {
        if let Some(most) = order.get("heard") {
            let most = most
                .as_u64()
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(KEPT);
            let skipped = self.heard.len().saturating_sub(most);
            let events: Vec<_> = self.heard.iter().skip(skipped).collect();
            return json!({"count": self.count, "events": events});
        }
        if order.get("forget").is_some() {
            self.count = 0;
            self.heard.clear();
            return Value::Null;
        }
        emit(order)
    }
}

impl Plugin for Bus {
    fn init(&mut self, _: &Config) -> Result<(), Failure> {
        self.does = does();
        Ok(())
    }
}

impl Subscriber for Bus {
    fn on_event(&mut self, event: Event) -> Result<(), Failure> {
        self.count += 1;
        if self.heard.len() == KEPT {
            self.heard.pop_front();
        }
        let Event {
            id,
            topic,
            origin,
            time_ms,
            payload,
        } = event;
        self.heard.push_back(json!({"id": id, "topic": topic, "origin": origin, "time_ms": time_ms, "payload": payload}));
        let Some(action) = self.does.get("on_event") else {
            return Ok(());
        };
        match action.get("emit") {
            Some(topic) => {
                let times = action.get("times").unwrap_or(&Value::Null);
                emit(&json!({"emit": topic, "count": times, "payload": payload}));
                Ok(())
            }
            None => act(action),
        }
    }
}

impl Pipe for Bus {
    fn run(&mut self, request: &Request, reply: &Reply) -> Result<(), Failure> {
        let answer = self.carry_out(&order(request));
        reply.text(answer.to_string())?;
        Ok(())
    }
}

impl Peer for Bus {
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
        Ok(self.carry_out(&request.payload))
    }
}

fn emit(order: &Value) -> Value {
    let Some(topic) = order.get("emit").and_then(Value::as_str) else {
        return json!({"error": "no such order"});
    };
    let number = |key| order.get(key).and_then(Value::as_u64);
    let mut payload = match number("bytes") {
        Some(bytes) => Value::from("x".repeat(usize::try_from(bytes).unwrap_or(usize::MAX))),
        None => order.get("payload").cloned().unwrap_or_default(),
    };
    let mut came = BTreeMap::<&str, u64>::new();
    for number in 0..number("count").unwrap_or(1) {
        if let Some(payload) = payload.as_object_mut() {
            payload.insert("number".to_owned(), number.into());
        }
        let kind = match events::emit(topic, &payload) {
            Ok(()) => "ok",
            Err(EmitError::Denied) => "denied",
            Err(EmitError::TooDeep) => "too_deep",
            Err(EmitError::Full) => "full",
            Err(EmitError::NotJson(_)) => "not_json",
        };
        *came.entry(kind).or_default() += 1;
    }
    json!(came)
}

actors::actor!(Bus: pipe, subscriber, peer);
