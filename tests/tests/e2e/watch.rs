//! The plugins folder, followed: what is added, changed or removed is live within one second of the write's end.

use std::io::Write;
use std::time::Duration;

use e2e::guests;
use e2e::server::Setup;
use e2e::wait::{Stopwatch, until};

/// How long a change may take.
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn added_changed_and_removed_files_are_live_within_a_second() {
    let server = Setup::new().start().await;
    // Compiled before, so that the compiler's time is not what is measured.
    let first = guests::bytes("corpus/gen_words.wasm");
    let second = e2e::guests::rebuilt_words();
    let path = server.plugins().join("gen_words.wasm");
    for content in [&first, &second] {
        std::fs::write(&path, content).unwrap();
        server
            .until_plugin("gen_words", Duration::from_secs(20), |p| {
                p["state"] == "started"
            })
            .await;
        let wanted = if content == &first { "one" } else { "ONE" };
        until("it answers", Duration::from_secs(20), async || {
            let answer = server.chat("gen_words", "").await;
            (answer.status == 200 && answer.content().starts_with(wanted)).then_some(())
        })
        .await;
    }
    std::fs::remove_file(&path).unwrap();
    until("it is gone", SECOND, async || {
        server.plugin("gen_words").await.is_none().then_some(())
    })
    .await;
    assert_eq!(server.chat("gen_words", "").await.status, 404);
    for (content, wanted) in [(&first, "one"), (&second, "ONE"), (&first, "one")] {
        std::fs::write(&path, content).unwrap();
        let watch = Stopwatch::start();
        until("the change is live", SECOND, async || {
            let answer = server.chat("gen_words", "").await;
            (answer.status == 200 && answer.content().starts_with(wanted)).then_some(())
        })
        .await;
        println!("live after {:?}", watch.elapsed());
    }
    let aside = server.plugins().join("other.wasm");
    std::fs::rename(&path, &aside).unwrap();
    until("the renamed file is at work", SECOND, async || {
        let plugin = server.plugin("gen_words").await?;
        (plugin["file"] == "other.wasm" && plugin["state"] == "started").then_some(())
    })
    .await;
}

#[tokio::test]
async fn changed_settings_are_live_within_a_second() {
    let server = Setup::new().guest("corpus/ok.wasm").start().await;
    let settings = server.plugins().join("ok.toml");
    std::fs::write(&settings, "limits = { fuel = 123456789 }").unwrap();
    until("the new limit shows", SECOND, async || {
        let plugin = server.get("/api/v1/plugins/ok/limits").await.json();
        let limits = plugin["limits"].as_array()?;
        let fuel = limits.iter().find(|l| l["name"] == "fuel")?;
        (fuel["value"] == 123_456_789).then_some(())
    })
    .await;
    std::fs::write(&settings, "limits = { fuel = 0 }").unwrap();
    let plugin = server
        .until_plugin("ok", SECOND, |p| !p["last_load_error"].is_null())
        .await;
    assert_eq!(
        plugin["state"], "started",
        "the old version serves on: {plugin}"
    );
    assert_eq!(server.chat("ok", "").await.content(), "ok");
}

/// A writer that stops halfway, while it has the file open: the half is never loaded, and the old version serves.
#[tokio::test]
async fn a_half_written_file_is_never_loaded() {
    let server = Setup::new().guest("corpus/ok.wasm").start().await;
    let bytes = guests::bytes("corpus/ok.wasm");
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let mut file = std::fs::File::create(server.plugins().join("ok.wasm")).unwrap();
    file.write_all(half).unwrap();
    file.sync_all().unwrap();
    let watch = Stopwatch::start();
    while watch.elapsed() < SECOND * 2 {
        assert_eq!(server.chat("ok", "").await.content(), "ok");
        let plugin = server.plugin("ok").await.unwrap();
        let error = &plugin["last_load_error"];
        assert!(
            error.is_null(),
            "half a file is no reason to say anything: {error}"
        );
    }
    // The whole of another build: the server sees one change, the whole one.
    file.write_all(rest).unwrap();
    drop(file);
    std::fs::write(
        server.plugins().join("ok.toml"),
        "limits = { fuel = 99999999 }",
    )
    .unwrap();
    let live = |p: &serde_json::Value| p["generation"] == 2;
    let plugin = server.until_plugin("ok", SECOND, live).await;
    assert!(plugin["last_load_error"].is_null(), "{plugin}");
    assert!(
        !server.log().contains("a plugin failed"),
        "{}",
        server.log()
    );
}

/// A file that somebody keeps open holds back no other.
#[tokio::test]
async fn an_open_file_holds_back_no_other_change() {
    let server = Setup::new().guest("corpus/ok.wasm").start().await;
    let mut file = std::fs::File::create(server.plugins().join("slow.wasm")).unwrap();
    file.write_all(b"half").unwrap();
    file.sync_all().unwrap();
    let settings = server.plugins().join("ok.toml");
    std::fs::write(settings, "limits = { fuel = 99999999 }").unwrap();
    server
        .until_plugin("ok", SECOND, |p| p["generation"] == 2)
        .await;
}
