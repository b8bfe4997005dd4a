//! The examples that work with the host and with each other: provider, shape, telemetry, bridge, integration, audit.

use weir_testkit::serde_json::json;

use crate::examples;

#[test]
fn provider_answers_peers_and_people() {
    let provider = examples(&["provider"]).start_blocking().unwrap();
    let embedded = provider.peer("someone", "embed", &json!({"texts": ["a b", "A  B", "c"]}));
    let answer = embedded.assert_ok().result.clone().unwrap().json.unwrap();
    assert_eq!(answer["embeddings"][0], answer["embeddings"][1]);
    assert_ne!(answer["embeddings"][0], answer["embeddings"][2]);
    provider
        .peer("someone", "models", &json!({}))
        .assert_json(&json!([{"id": "trigrams-256", "dimensions": 256}]));
    provider
        .peer("someone", "embed", &json!({"text": "a"}))
        .assert_error("invalid: payload: unknown field `text`");
    provider
        .chat("What is a manifold?")
        .assert_contains("several models");
}

#[test]
fn shape_checks_its_own_stages() {
    let shape = examples(&["shape"]).start_blocking().unwrap();
    let stage = |plugin: &str, config| json!({"pipeline": "p", "stage": {"name": "tidy", "kind": "transform", "type": "plugin", "plugin": plugin, "config": config}});
    let validate = |context| shape.hook("validate_stage", &context, &json!({}));
    validate(stage("shape", json!({"keep": ["id"]}))).assert_ok();
    validate(stage("other", json!({"keep": 1}))).assert_ok();
    let refused = validate(stage("shape", json!({"keep": 1})));
    refused.assert_error("hook-error at validate_stage: stage 'tidy': config:");
    assert_eq!(refused.step, None, "the step is not taken");
}

#[test]
fn telemetry_looks_on() {
    let kit = examples(&["echo", "telemetry"]).start_blocking().unwrap();
    kit.chat("hi").assert_text("hi");
    let context = json!({"run_id": "r", "pipeline": "p", "stage": {"name": "s", "kind": "transform", "type": "x", "config": {}}, "records": 3, "bytes": 9});
    let result = json!({"in": 3, "out": 2, "rejected": 1, "time_ms": 4});
    let executed = kit.hook("stage_execute", &context, &result);
    executed.assert_json(&result);
    assert_eq!(
        executed.step,
        Some(context.clone()),
        "with the context as it was"
    );
    let failed = json!({"in": 0, "out": 0, "rejected": 0, "time_ms": 0, "error": "disk full"});
    kit.hook("stage_execute", &context, &failed)
        .assert_json(&failed);
    let metrics = kit.metrics();
    for line in [
        r#"chats_total{plugin="telemetry",model_plugin="echo",outcome="ok"} 1"#,
        r#"stages_total{plugin="telemetry",outcome="ok",pipeline="p",stage="s"} 1"#,
        r#"stages_total{plugin="telemetry",outcome="failed",pipeline="p",stage="s"} 1"#,
        r#"stage_records_total{plugin="telemetry",direction="in",pipeline="p",stage="s"} 3"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[test]
fn bridge_carries_letters_and_asks_at_its_point() {
    let kit = examples(&["bridge", "audit"]).start_blocking().unwrap();
    let letter = json!({"to": "ann", "text": "hi"});
    let sent = kit.peer("bob", "send", &letter);
    sent.assert_json(&json!({"number": 1}))
        .assert_event("bridge.sent", &json!({"from": "bob", "to": "ann"}))
        .assert_logged("topic=\"bridge.sent\"");
    assert_eq!(kit.state().len(), 2, "a letter and the number");
    kit.peer("ann", "receive", &json!({}))
        .assert_json(&json!({"letters": [{"from": "bob", "text": "hi"}]}));
    let key = json!({"to": "ann", "text": "-----BEGIN PRIVATE KEY-----"});
    kit.peer("bob", "send", &key)
        .assert_error("letters must not hold private keys");
    let passed = kit.hook(
        "bridge/before_send",
        &json!({"from": "a", "to": "b", "text": "c"}),
        &json!(null),
    );
    passed.assert_json(&json!({"text": "c"}));
    kit.cast("bob", "send", &letter).assert_ok();
    kit.cast("bob", "sned", &letter)
        .assert_error("no method is called 'sned'");
    kit.peer("ann", "receive", &json!({}))
        .assert_json(&json!({"letters": [{"from": "bob", "text": "hi"}]}));
}

#[test]
fn integration_needs_its_bridge_and_can_do_without_the_provider() {
    let error = examples(&["integration"])
        .start_blocking()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("integration.wasm did not start") && error.contains("bridge"),
        "{error}"
    );
    let kit = examples(&["integration", "bridge"])
        .start_blocking()
        .unwrap();
    kit.chat("help")
        .assert_contains("The bridge is there, the provider is not there.");
    let full = examples(&["integration", "bridge", "provider"])
        .start_blocking()
        .unwrap();
    for text in ["bananas are yellow", "write a plugin"] {
        let message = json!({"to": "integration", "text": text});
        full.on("bridge")
            .peer("someone", "send", &message)
            .assert_ok();
    }
    full.chat("letters like writing plugins")
        .assert_text("someone: write a plugin\nsomeone: bananas are yellow");
    full.chat("letters").assert_text("No letters.");
    full.chat("send audit hi")
        .assert_contains("is on its way to audit");
}

#[test]
fn audit_hears_what_becomes_of_plugins() {
    let audit = examples(&["audit"]).start_blocking().unwrap();
    let failed = json!({"plugin": "p", "reason": "it crashed"});
    let outcome = audit.emit_as("weir", "weir.plugin.failed", &failed);
    outcome.assert_event("weir.plugin.failed", &failed);
    let line = outcome.log.iter().find(|l| l.plugin == "audit").unwrap();
    assert_eq!((line.level, line.message.as_str()), ("warn", "event"));
    assert!(line.fields.contains("about=\"p\""), "{line}");
    audit.emit("other.topic", &json!(1)).assert_ok();
    let heard = r#"audited_events_total{plugin="audit",topic="weir.plugin.failed"} 1"#;
    let metrics = audit.metrics();
    assert!(metrics.contains(heard), "{metrics}");
}
