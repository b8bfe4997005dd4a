//! Plugins that call each other: who may call whom, what callers are told, and that no call of a peer ends the caller.

use std::time::Duration;

use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, Stopwatch, until};
use serde_json::{Value, json};

/// A call that came to nothing: its kind.
async fn error(server: &Server, caller: &str, order: &Value) -> String {
    let told = server.tell(caller, order).await;
    told["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{caller} {order}: {told}"))
        .to_owned()
}

#[tokio::test]
async fn peers_call_each_other_and_are_told_who_calls() {
    let server = Setup::new()
        .guest("system/caller.wasm")
        .guest("system/callee.wasm")
        .file(
            "callee.toml",
            b"reuse = \"single\"\n[grants]\ncalls = true\n",
        )
        .start()
        .await;
    let order = json!({"call": "callee", "method": "echo", "payload": {"a": [1, "ä"]}});
    let told = server.tell("caller", &order).await;
    let answer = json!({"caller": "caller", "cast": false, "payload": {"a": [1, "ä"]}, "calls": 1});
    assert_eq!(told, json!({"ok": answer}));
    // What the caller calls itself does not count.
    let order = json!({"call": "callee", "payload": {"caller": "operator"}});
    let told = server.tell("caller", &order).await;
    assert_eq!(told["ok"]["caller"], "caller", "{told}");

    let cast = json!({"cast": "callee", "count": 5});
    assert_eq!(server.tell("caller", &cast).await, json!({"ok": 5}));
    let order = json!({"call": "callee"});
    until("the casts arrive", PATIENCE, async || {
        let told = server.tell("caller", &order).await;
        (told["ok"]["calls"].as_u64()? >= 8).then_some(())
    })
    .await;
    let unknown = json!({"call": "callee", "method": "nonsense"});
    assert_eq!(error(&server, "caller", &unknown).await, "invalid");
}

#[tokio::test]
async fn only_declared_and_granted_peers_are_called() {
    let caller = |id: &str| {
        let needs = json!([{"id": "callee"}, {"id": "other", "optional": true}]);
        json!({"id": id, "version": "1.0.0", "dependencies": needs})
    };
    let server = Setup::new()
        .guest("system/caller.wasm")
        .guest("system/callee.wasm")
        .guest("hostile/system/stranger.wasm")
        .actor(
            "relay",
            "[grants]\ncalls = true\n",
            &json!({"id": "other", "version": "1.0.0"}),
        )
        .actor(
            "relay",
            "[grants]\ncalls = [\"other\"]\n",
            &caller("narrow"),
        )
        .actor(
            "relay",
            "[grants]\noptional = [\"calls\"]\n",
            &caller("humble"),
        )
        .actor("relay", "", &caller("greedy"))
        .start()
        .await;
    let call = |plugin: &str| json!({"call": plugin});
    // No dependency, no call: whatever is granted.
    assert_eq!(error(&server, "stranger", &call("callee")).await, "denied");
    assert_eq!(
        error(&server, "stranger", &call("stranger")).await,
        "denied"
    );
    assert_eq!(error(&server, "stranger", &call("nobody")).await, "denied");
    // No grant, no call: whatever is declared.
    assert_eq!(error(&server, "narrow", &call("callee")).await, "denied");
    let told = server.tell("narrow", &call("other")).await;
    assert_eq!(told["ok"]["caller"], "narrow", "{told}");
    assert_eq!(error(&server, "humble", &call("callee")).await, "denied");
    assert_eq!(
        error(&server, "humble", &json!({"cast": "callee"})).await,
        "denied"
    );
    let (code, message) = server.reason("greedy.wasm").await;
    assert_eq!(code, "missing_grant", "{message}");
    assert!(message.contains("calls"), "{message}");
    // Declared and granted, but not there; there, then stopped.
    assert_eq!(error(&server, "caller", &call("bridge")).await, "not_found");
    let told = server.tell("caller", &call("callee")).await;
    assert_eq!(told["ok"]["caller"], "caller");
    let stop = "/api/v1/plugins/callee/stop?force=true";
    assert_eq!(server.call("POST", stop).await.status, 200);
    assert_eq!(error(&server, "caller", &call("callee")).await, "not_found");
    server.restart("callee").await;
    let told = server.tell("caller", &call("callee")).await;
    assert_eq!(told["ok"]["caller"], "caller");
}

#[tokio::test]
async fn a_cycle_is_named() {
    let server = Setup::new()
        .guest("hostile/system/cycle-a.wasm")
        .guest("hostile/system/cycle-b.wasm")
        .start()
        .await;
    let order = json!({"relay": {"path": ["cycle-b", "cycle-a"]}});
    let told = server.tell("cycle-a", &order).await;
    let inner = &told["ok"];
    assert_eq!(inner["error"], "cycle", "{told}");
    assert_eq!(inner["chain"], json!(["cycle-a", "cycle-b", "cycle-a"]));
    let order = json!({"relay": {"path": ["cycle-b"], "method": "echo"}});
    let told = server.tell("cycle-a", &order).await;
    assert_eq!(
        told["ok"]["caller"], "cycle-a",
        "one way is no cycle: {told}"
    );
}

#[tokio::test]
async fn chains_of_peers_end_at_a_depth() {
    let mut setup = Setup::new();
    for number in 0..10 {
        setup = setup.guest(&format!("hostile/system/deep-{number}.wasm"));
    }
    let server = setup.start().await;
    let path = |last: usize| {
        let path: Vec<_> = (1..=last).map(|n| format!("deep-{n}")).collect();
        json!({"relay": {"path": path}})
    };
    let ends = |told: &Value| {
        let mut end = told.clone();
        while end["ok"].is_object() && end["ok"].get("caller").is_none() {
            end = end["ok"].take();
        }
        end
    };
    let told = server.tell("deep-0", &path(8)).await;
    assert_eq!(ends(&told)["ok"]["caller"], "deep-7", "{told}");
    let told = server.tell("deep-0", &path(9)).await;
    assert_eq!(ends(&told)["error"], "too_deep", "{told}");
}

#[tokio::test]
async fn what_a_callee_does_is_an_error_to_its_caller() {
    let limits = b"limits = { deadline_ms = 1000 }\n[grants]\ncalls = true\n";
    let mut setup = Setup::new()
        .guest("system/caller.wasm")
        .config("[quarantine]\nfaults = 1000\n");
    for misdeed in ["trap", "spin", "block", "slow", "fail"] {
        setup = setup
            .guest(&format!("hostile/system/peer-{misdeed}.wasm"))
            .file(&format!("peer-{misdeed}.toml"), limits);
    }
    let server = setup.start().await;
    for (callee, kind) in [
        ("peer-trap", "crashed"),
        ("peer-spin", "crashed"),
        ("peer-block", "crashed"),
        ("peer-fail", "refused"),
    ] {
        let order = json!({"call": callee});
        let watch = Stopwatch::start();
        assert_eq!(error(&server, "caller", &order).await, kind, "{callee}");
        assert!(watch.elapsed() < Duration::from_secs(5), "{callee}");
    }
    let slow = json!({"call": "peer-slow"});
    assert_eq!(server.tell("caller", &slow).await["ok"]["caller"], "caller");
    let slow = json!({"call": "peer-slow", "timeout_ms": 50});
    let watch = Stopwatch::start();
    assert_eq!(error(&server, "caller", &slow).await, "timed_out");
    assert!(
        watch.elapsed() < Duration::from_millis(300),
        "{:?}",
        watch.elapsed()
    );
    // A caller's patience ends before a callee's deadline: then it is late, and goes on for nobody.
    for late in ["peer-spin", "peer-block"] {
        let order = json!({"call": late, "timeout_ms": 100});
        assert_eq!(
            error(&server, "caller", &order).await,
            "timed_out",
            "{late}"
        );
    }
    // The faults are the callees', not the caller's.
    let faults = async |id: &str| {
        let shown = server.get(&format!("/api/v1/plugins/{id}")).await.json();
        shown["faults"].as_array().unwrap().len()
    };
    assert_eq!(faults("caller").await, 0);
    assert_eq!(faults("peer-trap").await, 1);
    assert_eq!(faults("peer-fail").await, 0, "a failure is no fault");
}

/// A callee without fuel ends there, not its caller.
#[tokio::test]
async fn a_callees_fuel_is_its_own() {
    let server = Setup::new()
        .guest("system/caller.wasm")
        .guest("hostile/system/peer-spin.wasm")
        .file(
            "peer-spin.toml",
            b"limits = { fuel = 100000000 }\n[grants]\ncalls = true\n",
        )
        .start()
        .await;
    let told = server.tell("caller", &json!({"call": "peer-spin"})).await;
    assert_eq!(told["error"], "crashed", "{told}");
    assert!(told["text"].as_str().unwrap().contains("fuel"), "{told}");
    let told = server.tell("caller", &json!({"call": "nobody"})).await;
    assert_eq!(told["error"], "denied", "the caller goes on: {told}");
}

#[tokio::test]
async fn a_hook_may_call_a_peer() {
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .guest("system/callee.wasm")
        .guest("system/hook-calls-peer.wasm")
        .start()
        .await;
    let answer = server.chat("echo", "hi").await.content();
    let told = answer.strip_prefix("hi").unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!(told["ok"]["caller"], "hook-calls-peer", "{answer}");
}

/// Rights go no further than the plugin that was given them lets them: it is told who calls, whatever the caller says.
#[tokio::test]
async fn a_deputy_serves_only_whom_it_may() {
    let server = Setup::new()
        .env("E2E_KNOWN", "the-deputys-secret")
        .config("[secrets]\nknown = \"${env:E2E_KNOWN}\"\n")
        .guest("hostile/system/deputy.wasm")
        .guest("hostile/system/deputy-unchecked.wasm")
        .guest("hostile/system/thief.wasm")
        .guest("hostile/system/trusted.wasm")
        .guest("hostile/system/stranger.wasm")
        .start()
        .await;
    let ask = |whom: &str| json!({"call": whom, "method": "secret", "payload": "known"});
    let told = server.tell("trusted", &ask("deputy")).await;
    assert_eq!(told, json!({"ok": "the-deputys-secret"}));
    let told = server.tell("thief", &ask("deputy")).await;
    assert_eq!(told["error"], "refused", "{told}");
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("thief may not"), "{text}");
    // One that does not look gives its rights away: to those alone who were granted the call.
    let told = server.tell("thief", &ask("deputy-unchecked")).await;
    assert_eq!(told, json!({"ok": "the-deputys-secret"}));
    assert_eq!(
        error(&server, "stranger", &ask("deputy-unchecked")).await,
        "denied"
    );
    // What the deputy was not granted it cannot give.
    let other = json!({"call": "deputy-unchecked", "method": "secret", "payload": "other"});
    let kind = error(&server, "thief", &other).await;
    assert!(
        ["refused", "internal", "invalid"].contains(&kind.as_str()),
        "{kind}"
    );
    let fetch =
        json!({"call": "deputy-unchecked", "method": "fetch", "payload": "http://127.0.0.1/"});
    let kind = error(&server, "thief", &fetch).await;
    assert!(
        ["refused", "internal", "invalid"].contains(&kind.as_str()),
        "{kind}"
    );
}
