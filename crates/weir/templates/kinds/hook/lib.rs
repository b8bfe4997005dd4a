//! A hook: code that runs where the host, or another plugin, says it is about to do something. This one runs before each chat that a
//! plugin answers: it puts a rule in front of the conversation and refuses a chat in which nobody has said anything.

use weir_sdk::{
    Failure, Hook, Hooks, Json, Manifest, Plugin,
    serde_json::{Value, json},
};

const RULE: &str = "Answer in one sentence.";

#[derive(Default)]
struct {{Type}};

impl Plugin for {{Type}} {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("{{Title}}")
            .hook(Hook::before("chat_request"))
            {{manifest}}
    }
}

impl Hooks for {{Type}} {
    fn before(&mut self, _point: &str, context: Json) -> Result<Json, Failure> {
        {{use}}
        Ok(rule(context.parse()?)?.into())
    }
}

/// The context with the rule in front of the messages.
fn rule(mut context: Value) -> Result<Value, Failure> {
    let messages = context
        .pointer_mut("/body/messages")
        .and_then(Value::as_array_mut)
        .filter(|messages| !messages.is_empty())
        .ok_or_else(|| Failure::refused("nobody has said anything"))?;
    messages.insert(0, json!({ "role": "system", "content": RULE }));
    Ok(context)
}

weir_sdk::plugin!({{Type}}: hooks);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_comes_first() {
        let chat = json!({ "body": { "messages": [{ "role": "user", "content": "hi" }] } });
        let ruled = rule(chat).unwrap();
        assert_eq!(ruled["body"]["messages"][0]["content"], RULE);
        assert_eq!(ruled["body"]["messages"][1]["content"], "hi");
    }

    #[test]
    fn silence_is_refused() {
        let chat = json!({ "body": { "messages": [] } });
        assert!(matches!(rule(chat), Err(Failure::Refused(_))));
    }
}
