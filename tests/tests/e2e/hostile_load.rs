//! Hostile guests while they are loaded: each is refused in time, by name, and the server serves on.

use std::time::Duration;

use e2e::guests;
use e2e::neighbour::{NEIGHBOUR, beside};
use e2e::server::Setup;

/// The limit on each step of a start.
const DEADLINE: Duration = Duration::from_millis(500);
/// Compiling is taken from the cache by then; the rest is for reading, checking and starting.
const GRACE: Duration = Duration::from_millis(100);

/// A component, and codes of which one has to be the reason.
const LOADS: [(&str, &[&str]); 15] = [
    ("spin-describe", &["start_failed"]),
    ("spin-init", &["start_failed"]),
    ("spin-instantiate", &["start_failed"]),
    ("spin-spec", &["start_failed"]),
    ("spin-start", &["start_failed"]),
    ("manifest-deep", &["bad_manifest", "start_failed"]),
    ("manifest-huge", &["bad_manifest", "start_failed"]),
    ("manifest-text", &["bad_manifest"]),
    ("spec-deep", &["bad_valves", "start_failed"]),
    ("spec-huge", &["bad_valves", "start_failed"]),
    ("memory-initial", &["too_big", "start_failed"]),
    ("memory-many", &["not_a_component", "too_big"]),
    ("memory-sum", &["too_big", "start_failed"]),
    ("table-initial", &["too_big", "start_failed"]),
    ("id-traversal", &["bad_manifest"]),
];

#[tokio::test]
async fn components_that_will_not_start_are_refused_in_time() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .config("[limits]\nstart_deadline_ms = 500\nmemory_bytes = 67108864\n")
        .start()
        .await;
    let upload = async |name: &str| {
        let bytes = guests::bytes(&format!("hostile/{name}.wasm"));
        let request = server.request("POST", "/pipelines/upload");
        server
            .send(&request.file(&format!("{name}.wasm"), &bytes))
            .await
    };
    for (name, _) in &LOADS {
        upload(name).await;
    }
    let before = server.footprint();
    let mut wrong = Vec::new();
    for (name, codes) in &LOADS {
        let (answer, took, slowest) = beside(&server, upload(name)).await;
        let code = answer.json()["error"]["code"].clone();
        let known = code.as_str().is_some_and(|c| codes.contains(&c));
        if !known || took > DEADLINE + GRACE {
            wrong.push(format!("{name}: {code} after {took:?}: {}", answer.text()));
        }
        if slowest > NEIGHBOUR {
            wrong.push(format!("{name}: a call of the neighbour took {slowest:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let after = server.footprint();
    assert!(after.files <= before.files + 4, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + 4, "{before:?} {after:?}");
    let grown = after.anonymous.saturating_sub(before.anonymous);
    assert!(grown < 32 << 20, "{} KiB more", grown >> 10);
    let files = std::fs::read_dir(server.plugins()).unwrap().count();
    assert_eq!(files, 1, "what was refused left no file");
}
