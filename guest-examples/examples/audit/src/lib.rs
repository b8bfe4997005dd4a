//! A subscriber that logs and counts what becomes of plugins and of letters on the bridge, and a hook at the bridge's point that lets no private key
//! pass. The grants are in `audit.toml`.

use weir_sdk::{
    Event, Failure, Hook, Hooks, Json, Manifest, Plugin, Subscriber,
    log::{self, Level},
    metrics,
    serde::Deserialize,
    serde_json::Value,
};

/// What counts of a letter on the bridge.
#[derive(Deserialize)]
#[serde(crate = "weir_sdk::serde")]
struct Letter {
    text: String,
}

#[derive(Default)]
struct Audit;

impl Plugin for Audit {
    fn manifest(manifest: Manifest) -> Manifest {
        manifest
            .name("Audit")
            .topic("weir.plugin.*")
            .topic("bridge.*")
            .hook(Hook::before("bridge/before_send"))
            // Only so that it is started after the bridge and misses no letter.
            .depends_on_optionally("bridge", "^1.0")
    }
}

impl Subscriber for Audit {
    fn on_event(&mut self, event: Event) -> Result<(), Failure> {
        let (level, topic) = (level(&event.topic), event.topic.as_str());
        let about = about(&event.payload);
        log::write(
            level,
            "event",
            &[
                ("topic", topic),
                ("origin", &event.origin),
                ("about", about),
            ],
        );
        metrics::add("audited_events", 1, &[("topic", topic)]);
        Ok(())
    }
}

impl Hooks for Audit {
    fn before(&mut self, _: &str, letter: Json) -> Result<Json, Failure> {
        if has_private_key(&letter.parse::<Letter>()?.text) {
            metrics::add("refused_letters", 1, &[]);
            return Err(Failure::refused("letters must not hold private keys"));
        }
        Ok(letter)
    }
}

/// What an operator has to look at some time; the rest is for finding faults.
fn level(topic: &str) -> Level {
    match topic {
        "weir.plugin.failed" | "weir.plugin.quarantined" => Level::Warn,
        _ => Level::Debug,
    }
}

/// The plugin that an event is about: of the host's events the one named, of a letter its receiver.
fn about(payload: &Value) -> &str {
    let key = |key| payload.get(key).and_then(Value::as_str);
    key("plugin").or_else(|| key("to")).unwrap_or_default()
}

/// Does it hold a key in PEM?
fn has_private_key(text: &str) -> bool {
    text.lines()
        .any(|line| line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----"))
}

weir_sdk::plugin!(Audit: subscriber, hooks);

#[cfg(test)]
mod tests {
    use weir_sdk::serde_json::json;

    use super::*;

    #[test]
    fn finds_private_keys() {
        assert!(has_private_key(
            "see:\n-----BEGIN RSA PRIVATE KEY-----\nMII"
        ));
        assert!(has_private_key("-----BEGIN PRIVATE KEY-----"));
        assert!(!has_private_key("-----BEGIN PUBLIC KEY-----\nPRIVATE KEY"));
        assert!(!has_private_key("my private key is hidden"));
    }

    #[test]
    fn what_an_event_is_about() {
        assert_eq!(about(&json!({"plugin": "echo", "to": "x"})), "echo");
        assert_eq!(about(&json!({"from": "a", "to": "b"})), "b");
        assert_eq!(about(&json!([])), "");
        assert_eq!(level("weir.plugin.failed"), Level::Warn);
        assert_eq!(level("weir.plugin.started"), Level::Debug);
    }
}
