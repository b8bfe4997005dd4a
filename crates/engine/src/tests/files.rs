//! Files come, change, move and go; broken ones are listed; installs, deletes, stops and starts.

use serde_json::json;
use sha2::Digest as _;

use super::fake::{chat, chat_at, file, install, world};
use crate::{AddError, ManageError, Options, PluginState};
use model::component::Origin;
use model::error::{Fault, LoadError};
use model::limits::Limits;

fn pipe(id: &str, version: &str) -> serde_json::Value {
    json!({"id": id, "version": version, "roles": ["pipe"]})
}

#[tokio::test]
async fn a_boot_with_broken_files_serves_and_lists_them() {
    let world = world();
    world.put("good.wasm", &pipe("good", "1.0.0"));
    world.put("core.wasm", &json!("junk"));
    world.put(
        "init.wasm",
        &json!({"id": "init", "version": "1.0.0", "fail": "load"}),
    );
    world.put(
        "start.wasm",
        &json!({"id": "start", "version": "1.0.0", "fail": "start"}),
    );
    world.put("settings.wasm", &pipe("settings", "1.0.0"));
    world
        .settings
        .lock()
        .unwrap()
        .insert("settings.toml".into(), "limts = 1".into());
    let engine = world.engine();
    assert!(!engine.is_ready());
    let report = engine.sync().await;
    assert!(engine.is_ready());
    assert_eq!(report.loaded, [file("good.wasm")]);
    let codes: Vec<_> = report
        .failed
        .iter()
        .map(|(n, e)| (n.as_str(), e.code()))
        .collect();
    assert_eq!(
        codes,
        [
            ("core.wasm", "bad_manifest"),
            ("init.wasm", "start_failed"),
            ("settings.wasm", "bad_settings"),
            ("start.wasm", "start_failed")
        ]
    );
    assert_eq!(chat(&engine, "good", "").await.unwrap()[0], "good@1.0.0");
    let status = engine.plugin("settings").unwrap();
    assert_eq!(
        (status.state, status.id.clone()),
        (PluginState::Failed, None)
    );
    let reason = status.reason.unwrap().message;
    assert!(
        reason.contains("settings.toml") && reason.contains("limts"),
        "{reason}"
    );
    assert_eq!(engine.plugins().len(), 5);

    // Nothing changed: nothing is loaded again.
    let report = engine.sync().await;
    assert_eq!(
        (report.unchanged, report.loaded.len(), report.failed.len()),
        (5, 0, 0)
    );
    // A corrected settings file is a change.
    world.settings.lock().unwrap().remove("settings.toml");
    assert_eq!(engine.sync().await.loaded, [file("settings.wasm")]);
}

#[tokio::test]
async fn files_change_move_and_go() {
    let world = world();
    world.put("a.wasm", &pipe("p", "1.0.0"));
    let engine = world.engine();
    engine.sync().await;
    world.put("a.wasm", &pipe("p", "2.0.0"));
    engine.sync().await;
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@2.0.0");
    world.until("stop p@1.0.0", 1).await;
    world.until("drop p@1.0.0", 1).await;

    // Moved, to a name before and one after.
    for (from, to) in [("a.wasm", "z.wasm"), ("z.wasm", "b.wasm")] {
        world.remove(from);
        world.put(to, &pipe("p", "2.0.0"));
        let report = engine.sync().await;
        assert_eq!(
            (report.loaded, report.removed),
            (vec![file(to)], vec![file(from)])
        );
    }
    let old = engine.find_model("p").unwrap();
    world.remove("b.wasm");
    assert_eq!(engine.sync().await.removed, [file("b.wasm")]);
    assert!(engine.find_model("p").is_none() && engine.plugins().is_empty());
    assert!(
        matches!(chat_at(&engine, &old, "").await.unwrap_err().fault, Fault::Unavailable { reason, .. } if reason.contains("removed"))
    );
    world.until("drop p@2.0.0", 3).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_changes_nothing() {
    let world = world();
    world.put("a.wasm", &pipe("p", "1.0.0"));
    let engine = world.engine();
    engine.sync().await;
    world.broken.lock().unwrap().insert("list");
    assert!(engine.sync().await.error.is_some());
    world.broken.lock().unwrap().clear();
    world.broken.lock().unwrap().insert("read");
    assert_eq!(engine.sync().await.failed[0].1.code(), "host");
    assert_eq!(
        chat(&engine, "p", "").await.unwrap()[0],
        "p@1.0.0",
        "what served goes on"
    );
    assert!(engine.plugin("p").unwrap().last_load_error.is_some());
    world.broken.lock().unwrap().clear();
    engine.sync().await;
    assert!(engine.plugin("p").unwrap().last_load_error.is_none());
}

#[tokio::test]
async fn of_two_with_one_id_the_first_by_name_has_it() {
    let world = world();
    for _ in 0..20 {
        let engine = world.engine_with(Options {
            load_parallel: 8,
            ..Options::default()
        });
        for name in ["c.wasm", "a.wasm", "b.wasm"] {
            world.put(name, &pipe("p", "1.0.0"));
        }
        let report = engine.sync().await;
        assert_eq!(report.loaded, [file("a.wasm")]);
        let failed: Vec<_> = report.failed.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(failed, ["b.wasm", "c.wasm"]);
        // Later, the one who has it keeps it, until it goes.
        world.remove("a.wasm");
        let report = engine.sync().await;
        assert_eq!(report.loaded.len(), 1);
    }
    let engine = world.engine();
    engine.sync().await;
    let error = install(&engine, "new.wasm", &pipe("p", "9.0.0"))
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::DuplicateId { .. }), "{error}");
    assert!(!world.files.lock().unwrap().contains_key(&file("new.wasm")));
    assert_eq!(
        engine.plugins().len(),
        2,
        "a client's broken file is not listed"
    );
}

#[tokio::test]
async fn installs_load_first_and_store_then() {
    let world = world();
    let engine = world.engine();
    engine.sync().await;
    let installed = install(&engine, "p.wasm", &pipe("p", "1.0.0"))
        .await
        .unwrap();
    assert_eq!((installed.id.as_str(), installed.replaced), ("p", false));
    assert!(world.files.lock().unwrap().contains_key(&file("p.wasm")));
    // The watcher sees the new file; it is the same.
    assert_eq!(engine.sync().await.unchanged, 1);
    assert_eq!(engine.plugin("p").unwrap().origin, Origin::Upload);

    let before = world.files.lock().unwrap().clone();
    for broken in [
        json!("junk"),
        json!({"id": "p", "version": "2.0.0", "roles": ["pipe"], "fail": "start"}),
    ] {
        install(&engine, "p.wasm", &broken).await.unwrap_err();
        assert_eq!(*world.files.lock().unwrap(), before);
        assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.0.0");
        let status = engine.plugin("p").unwrap();
        assert_eq!(status.state, PluginState::Started);
        assert!(status.last_load_error.is_some());
    }
    world.broken.lock().unwrap().insert("write");
    let error = install(&engine, "p.wasm", &pipe("p", "2.0.0"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("write is broken"), "{error}");
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.0.0");
    assert_eq!(
        world.count("stop p@2.0.0"),
        1,
        "it was started, so it is stopped"
    );
    world.broken.lock().unwrap().clear();
    assert!(
        install(&engine, "p.wasm", &pipe("p", "2.0.0"))
            .await
            .unwrap()
            .replaced
    );
    // Another plugin in the same file takes its place.
    install(&engine, "p.wasm", &pipe("q", "1.0.0"))
        .await
        .unwrap();
    assert!(engine.find_model("p").is_none() && engine.find_model("q").is_some());
    world.until("stop p@2.0.0", 2).await;
    install(&engine, "other.wasm", &pipe("p", "1.0.0"))
        .await
        .unwrap();
}

#[tokio::test]
async fn adding_by_url() {
    let world = world();
    let engine = world.engine();
    world.put("src.wasm", &pipe("p", "1.0.0"));
    let add = |url: &'static str| {
        let engine = engine.clone();
        async move { engine.add_url(url, file("p.wasm")).await }
    };
    add("https://h/src.wasm").await.unwrap();
    assert_eq!(
        engine.plugin("p").unwrap().origin,
        Origin::Url("https://h/src.wasm".into())
    );
    assert!(matches!(
        add("https://h/none.wasm").await,
        Err(AddError::Status(404))
    ));
    assert!(matches!(
        add("https://h/denied").await,
        Err(AddError::Fetch(_))
    ));
    for bad in ["p.wasm", "ftp://h/p.wasm", "/p.wasm", "http://"] {
        assert!(matches!(add(bad).await, Err(AddError::Url { .. })), "{bad}");
    }
}

#[tokio::test]
async fn delete_stop_and_start() {
    let world = world();
    world.put("p.wasm", &pipe("p", "1.0.0"));
    world.put("bad.wasm", &json!("junk"));
    let engine = world.engine();
    engine.sync().await;
    engine.stop("p", false).await.unwrap();
    world.until("stop p@1.0.0", 1).await;
    let error = chat(&engine, "p", "").await.unwrap_err();
    assert!(
        matches!(error.fault, Fault::Unavailable { ref reason, .. } if reason.contains("stopped")),
        "{error}"
    );
    assert_eq!(engine.plugin("p").unwrap().state, PluginState::Stopped);
    assert!(engine.models().await.is_empty());
    engine.sync().await;
    engine.reload_all().await;
    assert_eq!(
        engine.plugin("p").unwrap().state,
        PluginState::Stopped,
        "it stays stopped"
    );
    engine.start("p").await.unwrap();
    engine.start("p").await.unwrap();
    assert_eq!(
        world.count("start p@1.0.0"),
        2,
        "starting twice is starting once"
    );
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.0.0");

    world.broken.lock().unwrap().insert("remove");
    assert!(matches!(
        engine.delete("p", false).await,
        Err(ManageError::Store(_))
    ));
    assert!(engine.find_model("p").is_some());
    world.broken.lock().unwrap().clear();
    engine.delete("p", false).await.unwrap();
    engine.delete("bad", false).await.unwrap();
    assert!(matches!(
        engine.delete("p", false).await,
        Err(ManageError::NotFound(_))
    ));
    assert!(engine.plugins().is_empty() && world.files.lock().unwrap().is_empty());
    world.until("stop p@1.0.0", 2).await;
}

#[tokio::test]
async fn one_slow_file_delays_no_other() {
    let world = world();
    let engine = world.engine();
    world.put(
        "a.wasm",
        &json!({"id": "slow", "version": "1.0.0", "roles": ["pipe"], "hold": "inspect"}),
    );
    let booting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.sync().await }
    });
    world.until("inspect a.wasm", 1).await;
    world.put("b.wasm", &pipe("quick", "1.0.0"));
    let second = tokio::spawn({
        let engine = engine.clone();
        async move { engine.sync().await }
    });
    world.until("start quick@1.0.0", 1).await;
    assert_eq!(engine.plugins()[0].state, PluginState::Discovered);
    // Looks that pile up behind a slow file are one look.
    let third = engine.sync().await;
    assert_eq!(third.unchanged, 2);
    world.hold.add_permits(1);
    assert_eq!(booting.await.unwrap().loaded, [file("a.wasm")]);
    second.await.unwrap();
    assert_eq!(world.count("inspect a.wasm"), 1);
}

#[tokio::test]
async fn slow_compiles_hold_up_no_load_reload_upload_or_look() {
    let world = world();
    let engine = world.engine();
    world.put("ready.wasm", &pipe("ready", "1.0.0"));
    engine.sync().await;
    for id in ["slow1", "slow2", "slow3"] {
        let content = json!({"id": id, "version": "1.0.0", "roles": ["pipe"], "hold": "inspect"});
        world.put(&format!("{id}.wasm"), &content);
    }
    let slow = tokio::spawn({
        let engine = engine.clone();
        async move { engine.sync().await }
    });
    for id in ["slow1", "slow2", "slow3"] {
        world.until(&format!("inspect {id}.wasm"), 1).await;
    }
    // More of them than files are read at once.
    assert_eq!(Options::default().load_parallel, 2);
    install(&engine, "up.wasm", &pipe("up", "1.0.0"))
        .await
        .unwrap();
    engine.reload("ready").await.unwrap();
    assert_eq!(world.count("start ready@1.0.0"), 2);
    world.put("new.wasm", &pipe("new", "1.0.0"));
    let look = tokio::spawn({
        let engine = engine.clone();
        async move { engine.sync().await }
    });
    world.until("start new@1.0.0", 1).await;
    world.hold.add_permits(3);
    assert_eq!(slow.await.unwrap().loaded.len(), 3);
    assert!(look.await.unwrap().failed.is_empty());
}

#[test]
fn every_line_that_would_grant_is_read() {
    for capability in model::grants::Capability::ALL {
        let written: model::settings::WrittenSettings =
            toml::from_str(capability.example()).unwrap();
        let (defaults, ceilings) = (Limits::defaults(), Limits::ceilings());
        let grants = written.check(&defaults, &ceilings).unwrap().grants;
        assert!(grants.has(capability), "{capability:?}");
    }
}

#[tokio::test]
async fn settings_with_a_digest_are_for_that_component_only() {
    let hex = |content: &serde_json::Value| -> String {
        let digest = sha2::Sha256::digest(content.to_string());
        digest.iter().map(|b| format!("{b:02x}")).collect()
    };
    let (mine, other) = (pipe("p", "1.0.0"), pipe("p", "2.0.0"));
    let world = world();
    let mut options = Options::default();
    let text = format!("digest = \"{}\"\ngrants.state = true", hex(&mine));
    let written = toml::from_str(&text).unwrap();
    options.plugins.insert("p".into(), written);
    let engine = world.engine_with(options);
    let refused = async |name: &str, place: &str| {
        let error = install(&engine, name, &other).await.unwrap_err();
        assert_eq!(error.code(), "bad_settings");
        let error = error.to_string();
        for part in [place, &hex(&mine), &hex(&other)] {
            assert!(error.contains(part), "{part} in {error}");
        }
    };
    refused("p.wasm", "[plugins.\"p\"]").await;
    assert_eq!(world.count("load p@2.0.0 valves {} announce false"), 0);
    install(&engine, "p.wasm", &mine).await.unwrap();
    assert!(
        engine
            .plugin("p")
            .unwrap()
            .settings
            .unwrap()
            .grants
            .state
            .is_some()
    );
    // The one that has the grant goes on, and its file is not replaced.
    refused("p.wasm", "[plugins.\"p\"]").await;
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.0.0");
    // Beside a file: refused before any of it runs.
    engine.delete("p", false).await.unwrap();
    world.settings.lock().unwrap().insert("q.toml".into(), text);
    let inspected = world.count("inspect q.wasm");
    refused("q.wasm", "q.toml").await;
    assert_eq!(world.count("inspect q.wasm"), inspected);
    install(&engine, "q.wasm", &mine).await.unwrap();
    // Also in the folder.
    world.put("q.wasm", &other);
    let report = engine.sync().await;
    assert_eq!(report.failed[0].1.code(), "bad_settings");
    assert_eq!(chat(&engine, "p", "").await.unwrap()[0], "p@1.0.0");
}

#[tokio::test]
async fn shutdown_stops_everything_in_time() {
    let world = world();
    world.put("a.wasm", &pipe("a", "1.0.0"));
    world.put("b.wasm", &pipe("b", "1.0.0"));
    let engine = world.engine();
    engine.sync().await;
    let held = tokio::spawn({
        let engine = engine.clone();
        async move { chat(&engine, "a", "hold").await }
    });
    world.until("holding", 1).await;
    engine.shutdown(std::time::Duration::from_millis(200)).await;
    assert_eq!(
        (world.count("stop a@1.0.0"), world.count("stop b@1.0.0")),
        (1, 1)
    );
    assert!(chat(&engine, "b", "").await.is_err());
    assert!(matches!(
        engine.reload("a").await,
        Err(ManageError::ShuttingDown)
    ));
    world.hold.add_permits(1);
    held.await.unwrap().unwrap();
}
