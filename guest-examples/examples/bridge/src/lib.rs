//! A peer that carries letters between plugins, kept in `weir:host/state` until they are fetched. It trusts no payload about who is who: the sender and the
//! receiver of letters are the caller that the host names. Other plugins may look into each letter, change or refuse it, at the point
//! `bridge/before_send`. The grants are in `bridge.toml`.
//!
//! | method | payload | answer |
//! |---|---|---|
//! | `send` | `{"to": <plugin id>, "text"}`, at most 16 KiB | `{"number"}`; at most 100 letters wait for one plugin |
//! | `receive` | `{"most"}`, 10 if absent | `{"letters": [{"from", "text"}]}`: the caller's own, oldest first. They are gone then |

mod letters;

use letters::Letter;
use weir_sdk::{
    Failure, Manifest, Peer, PeerRequest, Plugin, events, log,
    points::{self, FireError},
    serde::Deserialize,
    serde_json::{Value, json},
};

#[derive(Default)]
struct Bridge;

#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields)]
struct Send {
    to: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde", deny_unknown_fields, default)]
struct Receive {
    most: u32,
}

impl Default for Receive {
    fn default() -> Self {
        Self { most: 10 }
    }
}

impl Plugin for Bridge {
    fn manifest(manifest: Manifest) -> Manifest {
        let text = json!({"type": "string"});
        manifest
            .name("Bridge")
            .provides("messages", json!({"type": "bridge"}))
            .point(
                "before_send",
                "A letter is about to be put away. Changes of the text count; the rest is for information.",
                json!({"type": "object", "properties": {"from": text, "to": text, "text": text}, "required": ["from", "to", "text"]}),
            )
    }
}

impl Peer for Bridge {
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
        match request.method.as_str() {
            "send" => send(&request.caller, request.parse()?),
            "receive" => {
                let Receive { most } = request.parse()?;
                Ok(json!({"letters": letters::take(&request.caller, most)?}))
            }
            other => Err(Failure::invalid(format!(
                "no method is called '{other}'; there are send and receive"
            ))),
        }
    }
}

fn send(from: &str, Send { to, text }: Send) -> Result<Value, Failure> {
    let letter = json!({"from": from, "to": to, "text": text});
    let passed = points::fire("before_send", &letter).map_err(FireError::into_failure)?;
    let text = passed.get("text").and_then(Value::as_str).ok_or_else(|| {
        Failure::internal("a hook at bridge/before_send took the letter's text away")
    })?;
    let letter = Letter {
        from: from.to_owned(),
        text: text.to_owned(),
    };
    let number = letters::put(&to, &letter)?;
    // The letter is safe: that nobody hears of it is no reason to fail.
    if let Err(error) = events::emit(
        "bridge.sent",
        &json!({"from": from, "to": to, "number": number}),
    ) {
        log::warn(format!("bridge.sent was not told: {error}"));
    }
    Ok(json!({"number": number}))
}

weir_sdk::plugin!(Bridge: peer);

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, payload: Value) -> Result<Value, Failure> {
        Bridge.handle(PeerRequest {
            caller: "test".into(),
            method: method.into(),
            payload,
            cast: false,
        })
    }

    #[test]
    fn nobody_says_who_he_is() {
        let failure = call("send", json!({"to": "a", "text": "x", "from": "b"})).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("payload: unknown field `from`, expected `to` or `text`")
        );
        let failure = call("receive", json!({"of": "b"})).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("payload: unknown field `of`, expected `most`")
        );
    }

    #[test]
    fn methods_are_named() {
        let failure = call("read", json!({})).unwrap_err();
        assert_eq!(
            failure,
            Failure::invalid("no method is called 'read'; there are send and receive")
        );
    }
}
