//! Starting with a folder of broken files: the server serves, and lists each with its reason.

use std::time::Duration;

use e2e::guests;
use e2e::server::Setup;

/// A file of the folder, and a word of the reason for which it is refused.
const BROKEN: [(&str, &str); 13] = [
    ("hostile/text.wasm", "not_a_component"),
    ("hostile/empty-file.wasm", "not_a_component"),
    ("hostile/truncated.wasm", "not_a_component"),
    ("hostile/core-module.wasm", "not_a_component"),
    ("hostile/compiled.wasm", "not_a_component"),
    ("hostile/no-lifecycle.wasm", "missing_export"),
    ("hostile/no-role.wasm", "missing_export"),
    ("hostile/empty.wasm", "missing_export"),
    ("hostile/wrong-version.wasm", "missing_export"),
    ("hostile/bomb-body.wasm", "too_big"),
    ("hostile/bomb-functions.wasm", "too_big"),
    ("hostile/manifest-text.wasm", "bad_manifest"),
    ("hostile/id-traversal.wasm", "bad_manifest"),
];

#[tokio::test]
async fn a_folder_of_broken_files_is_served_and_each_says_why() {
    let mut setup = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("hostile/id-duplicate.wasm");
    for (guest, _) in BROKEN {
        setup = setup.guest(guest);
    }
    let server = setup.start().await;
    assert_eq!(server.chat("ok", "hi").await.status, 200);
    assert_eq!(
        server.get("/models").await.json()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let mut wrong = Vec::new();
    for (guest, code) in BROKEN {
        let file = guest.trim_start_matches("hostile/");
        let found = server.reason(file).await;
        if found.0 != code || found.1.is_empty() {
            wrong.push(format!("{file}: wanted {code}, got {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // Two files, one id: one of them is at work, the other says which.
    let mut twins = Vec::new();
    for file in ["ok.wasm", "id-duplicate.wasm"] {
        let twin = server.list().await;
        twins.extend(twin.into_iter().find(|p| p["file"] == file));
    }
    let (at_work, other): (Vec<_>, Vec<_>) = twins.iter().partition(|p| p["state"] == "started");
    assert!(at_work.len() == 1 && other.len() == 1, "{twins:?}");
    assert_eq!(other[0]["reason"]["code"], "duplicate_id");
    let message = other[0]["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains(at_work[0]["file"].as_str().unwrap()),
        "{message}"
    );
}

/// Bombs that pass admission cost the compiler's budget, not the server's life.
#[tokio::test]
async fn a_compile_bomb_holds_up_nobody() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .config("[runtime]\ncompile_cpu_s = 3\ncompile_time_s = 3\n")
        .start()
        .await;
    let before = server.footprint();
    for bomb in [
        "bomb-bodies",
        "bomb-functions-under",
        "bomb-instances",
        "bomb-nesting",
    ] {
        let file = format!("{bomb}.wasm");
        let target = server.plugins().join(&file);
        std::fs::write(target, guests::bytes(&format!("hostile/{file}"))).unwrap();
    }
    for _ in 0..50 {
        assert_eq!(server.chat("ok", "hi").await.content(), "ok");
    }
    for bomb in [
        "bomb-bodies",
        "bomb-functions-under",
        "bomb-instances",
        "bomb-nesting",
    ] {
        let file = format!("{bomb}.wasm");
        let seen = server
            .until_plugin(&file, Duration::from_secs(60), |p| {
                matches!(p["state"].as_str(), Some("started" | "failed"))
            })
            .await;
        println!("{file}: {} {}", seen["state"], seen["reason"]);
    }
    assert_eq!(
        server.plugin("bomb-bodies.wasm").await.unwrap()["state"],
        "failed"
    );
    let grown = server.footprint().rss.saturating_sub(before.rss);
    assert!(grown < 300 << 20, "the host grew by {} MiB", grown >> 20);
    assert_eq!(server.chat("ok", "hi").await.content(), "ok");
}

#[tokio::test]
async fn a_missing_grant_is_refused_by_name_with_the_line_that_would_grant_it() {
    let state = guests::bytes("examples/rate-limit.wasm");
    let http = guests::bytes("examples/openai-proxy.wasm");
    let server = Setup::new()
        .file("rate-limit.wasm", &state)
        .file("openai-proxy.wasm", &http)
        .start()
        .await;
    let (code, message) = server.reason("rate-limit.wasm").await;
    assert_eq!(code, "missing_grant");
    for part in ["weir:host/state", "rate-limit.toml", "grants.state = true"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let (code, message) = server.reason("openai-proxy.wasm").await;
    assert_eq!(code, "missing_grant");
    assert!(
        message.contains("wasi:http") && message.contains("grants.http"),
        "{message}"
    );
    // The operator grants it, and it is live.
    std::fs::write(
        server.plugins().join("rate-limit.toml"),
        "grants.state = true",
    )
    .unwrap();
    let limit = Duration::from_secs(5);
    server
        .until_plugin("rate-limit.wasm", limit, |p| p["state"] == "started")
        .await;
}

#[tokio::test]
async fn bad_settings_fail_their_plugin_only() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("corpus/echo_str.wasm")
        .file("ok.toml", b"limits = { fule = 1 }")
        .file(
            "echo_str.toml",
            b"limits = { memory_bytes = 99999999999999 }",
        )
        .guest("corpus/gen_words.wasm")
        .start()
        .await;
    let (code, message) = server.reason("ok.wasm").await;
    assert!(
        code == "bad_settings" && message.contains("fule"),
        "{code} {message}"
    );
    let (_, message) = server.reason("echo_str.wasm").await;
    assert!(
        message.contains("memory_bytes") && message.contains("ceiling"),
        "{message}"
    );
    assert_eq!(server.chat("gen_words", "").await.status, 200);
}
