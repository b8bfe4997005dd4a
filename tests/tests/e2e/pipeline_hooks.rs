//! Hooks of real plugins at the points of pipelines and runs, on a server.

use e2e::server::Setup;
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};

use crate::pipelines::{Place, run, send_spec};

#[tokio::test(flavor = "multi_thread")]
async fn hooks_after_a_stage_are_told_what_it_did() {
    let place = Place::new().await;
    let spec = "source: {type: file, name: in, path: in.ndjson, validate: true}\ntransforms: [{type: filter, name: some, where: n > 1}]\nsink: {type: file, name: out, path: out.ndjson}\n";
    place.spec("counted", spec);
    let setup = Setup::new().guest("examples/telemetry.wasm");
    let server = place.setup(setup).start().await;
    let record = run(&server, "counted", &json!({})).await;
    assert_eq!(record["state"], "partial", "{record}");
    let told = |stage: &str, direction: &str, count: u32| {
        format!(
            "weir_guest_telemetry_stage_records_total{{plugin=\"telemetry\",direction=\"{direction}\",pipeline=\"counted\",stage=\"{stage}\"}} {count}\n"
        )
    };
    let metrics = server.get("/metrics").await.text();
    for line in [
        told("in", "in", 0),
        told("in", "out", 3),
        told("in", "rejected", 1),
        told("some", "in", 3),
        told("some", "out", 2),
        told("out", "in", 2),
        told("out", "out", 2),
    ] {
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
}

/// What is wrong with this spec: lines and messages.
async fn wrong(setup: Setup, place: &Place, spec: &str) -> Vec<(u64, String)> {
    let server = place.setup(setup).start().await;
    let answer = send_spec(&server, "POST", "/api/v1/pipelines", spec).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let told = |error: &Value| {
        let message = error["message"].as_str().unwrap().to_owned();
        (error["line"].as_u64().unwrap(), message)
    };
    let body = answer.json();
    let errors = body["error"]["errors"].as_array().unwrap();
    // A file in the folder is told the same.
    place.spec("s", spec);
    let listed = until("the file has failed", PATIENCE, async || {
        let listed = server.get("/api/v1/pipelines/s").await.json();
        (listed["state"] == "failed").then_some(listed)
    })
    .await;
    assert_eq!(listed["reason"]["problems"], json!(errors), "{listed}");
    errors.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hooks_find_in_a_spec_is_shown_at_its_line() {
    let spec = "id: s\nsource: {type: file, path: in.ndjson}\ntransforms:\n  - {type: filter, where: n > 1}\n  - type: plugin\n    plugin: shape\n    config: {keep: 1}\nsink: {type: file, path: out.ndjson}\n";
    let place = Place::new().await;
    let shape = Setup::new().guest("examples/shape.wasm");
    let found = wrong(shape, &place, spec).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let (line, what) = &found[0];
    assert!(*line == 5 && what.contains("invalid type"), "{found:?}");

    // Findings have places of the whole spec, or of the stage that the hook was asked about.
    let spec =
        "id: s\nsource:\n  type: file\n  path: in.ndjson\nsink: {type: file, path: out.ndjson}\n";
    let finds = |point: &str, path: &str| {
        let errors = json!([{"path": path, "message": "not so"}]);
        let manifest = json!({"id": "finder", "version": "1.0.0", "hooks": [{"point": point, "mode": "after"}],
            "does": {"after": {"edit": {"set": {"/errors": errors}}}}});
        Setup::new().actor("hook", "grants.hooks = true", &manifest)
    };
    for (point, path, lines) in [
        ("validate_pipeline", "/source/path", &[4][..]),
        ("validate_pipeline", "/sink", &[5]),
        ("validate_pipeline", "/nowhere", &[1]),
        ("validate_stage", "", &[2, 5]),
        ("validate_stage", "/config/path", &[4, 5]),
        ("validate_stage", "/source/path", &[4, 5]),
    ] {
        let place = Place::new().await;
        let found = wrong(finds(point, path), &place, spec).await;
        let at: Vec<_> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(at, lines, "{point} {path:?}: {found:?}");
        assert!(found.iter().all(|(_, what)| what == "not so"), "{found:?}");
    }
}
