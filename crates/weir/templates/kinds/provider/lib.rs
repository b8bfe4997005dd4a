//! A provider: offers a capability that other plugins look up by name and use through peer calls. This one provides `word-count`, with
//! the method `count`.

use weir_sdk::{
    Failure, Manifest, Peer, PeerRequest, Plugin,
    serde_json::{Value, json},
};

#[derive(Default)]
struct {{Type}};

impl Plugin for {{Type}} {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("{{Title}}")
            .provides("word-count", json!({ "methods": ["count"] }))
            {{manifest}}
    }
}

impl Peer for {{Type}} {
    fn handle(&mut self, request: PeerRequest) -> Result<Value, Failure> {
        {{use}}
        // `request.caller` is who asks: act with its rights in mind, not your own.
        match request.method.as_str() {
            "count" => count(&request.payload),
            other => Err(Failure::invalid(format!(
                "no method is called '{other}'; there is count"
            ))),
        }
    }
}

/// How many words are in `{"text": ..}`.
fn count(payload: &Value) -> Result<Value, Failure> {
    let text = payload
        .get("text")
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::invalid("count: give {\"text\": ..}"))?;
    Ok(json!({ "words": text.split_whitespace().count() }))
}

weir_sdk::plugin!({{Type}}: peer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(count(&json!({ "text": "one two" })), Ok(json!({ "words": 2 })));
        assert!(matches!(count(&json!({})), Err(Failure::Invalid(_))));
    }
}
