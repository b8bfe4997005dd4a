//! Hooks that crash, hang and lie: each misdeed in each mode. What they do to their neighbours is `hostile_system`.

use std::time::Duration;

use e2e::http::Answer;
use e2e::server::{Server, Setup};
use e2e::wait::Stopwatch;
use serde_json::Value;

/// Short enough for tests, long enough for a busy machine.
const SETTINGS: &str = "[limits]\nhook_deadline_ms = 400\n[grants]\nhooks = [\"chat_request\"]\n";

/// Starts a hook, chats, and stops it: what came of the chat, and how long it took.
async fn with(server: &Server, hook: &str) -> (Answer, Duration) {
    server.restart(hook).await;
    let watch = Stopwatch::start();
    let answer = server.chat("echo", "hi").await;
    let took = watch.elapsed();
    server.stop(hook).await;
    (answer, took)
}

/// A server with `echo` and these hooks, none of them at work yet.
async fn server(hooks: &[String]) -> Server {
    let mut setup = Setup::new()
        .config("[quarantine]\nfaults = 1000\n")
        .guest("examples/echo.wasm");
    for hook in hooks {
        setup = setup
            .guest(&format!("hostile/system/{hook}.wasm"))
            .file(&format!("{hook}.toml"), SETTINGS.as_bytes());
    }
    let server = setup.start().await;
    for hook in hooks {
        server.stop(hook).await;
    }
    server
}

fn failed(hook: &str, answer: &Answer) {
    assert!(answer.status >= 500, "{hook}: {}", answer.text());
    let error = answer.json()["error"].clone();
    assert_eq!(error["code"], "hook_error", "{hook}: {error}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("hook-error at chat_request: "),
        "{hook}: {message}"
    );
}

/// In each mode: what crashes ends the step, or does not, as its `on_failure` says.
async fn misdeed(misdeed: &str) {
    let modes = ["before", "around", "replace"];
    let hooks: Vec<_> = modes
        .iter()
        .flat_map(|mode| ["", "-skip"].map(|other| format!("hook-{misdeed}-{mode}{other}")))
        .chain(["", "-fail"].map(|other| format!("hook-{misdeed}-after{other}")))
        .collect();
    let server = server(&hooks).await;
    for hook in &hooks {
        let (answer, took) = with(&server, hook).await;
        assert!(took < Duration::from_secs(5), "{hook}: {took:?}");
        let skips = hook.ends_with("-skip") || hook.ends_with("-after");
        if skips {
            assert_eq!(answer.content(), "hi", "{hook}: as if it were not there");
        } else {
            failed(hook, &answer);
        }
    }
    assert_eq!(server.chat("echo", "hi").await.content(), "hi");
}

#[tokio::test]
async fn hooks_that_trap() {
    misdeed("trap").await;
}

#[tokio::test]
async fn hooks_that_never_end() {
    misdeed("spin").await;
}

#[tokio::test]
async fn hooks_that_wait_for_ever() {
    misdeed("block").await;
}

#[tokio::test]
async fn hooks_that_do_not_keep_to_their_step() {
    let hooks = [
        "hook-never-next",
        "hook-twice",
        "hook-trap-after-next",
        "hook-trap-after-next-skip",
        "hook-spin-after-next",
        "hook-wrong-schema",
    ];
    let server = server(&hooks.map(String::from)).await;
    let echoed = async || server.get("/api/v1/plugins/echo").await.json()["calls"]["total"].clone();
    // A hook that does not call `next` answers in its place: a choice.
    let (answer, _) = with(&server, "hook-never-next").await;
    assert_eq!(answer.content(), "next was never called");
    assert_eq!(echoed().await, 0, "the step did not happen");
    let (answer, _) = with(&server, "hook-twice").await;
    assert_eq!(echoed().await, 1, "the step happened once");
    let content = answer.content();
    let both: Value = serde_json::from_str(content.strip_prefix("hi").unwrap()).unwrap();
    assert!(both["first"]["ok"].is_object(), "{both}");
    let second = both["second"]["error"].as_str().unwrap();
    assert!(second.contains("Internal"), "{both}");
    for (hook, happened) in [("hook-trap-after-next", 2), ("hook-spin-after-next", 3)] {
        let (answer, _) = with(&server, hook).await;
        failed(hook, &answer);
        assert_eq!(echoed().await, happened, "{hook}: the step happened once");
    }
    let (answer, _) = with(&server, "hook-trap-after-next-skip").await;
    assert_eq!(answer.content(), "hi");
    assert_eq!(echoed().await, 4, "it does not happen again");
    let (answer, _) = with(&server, "hook-wrong-schema").await;
    assert!(answer.status >= 400, "{}", answer.text());
    let said = answer.json()["error"]["message"].to_string();
    assert!(said.contains("chat_request"), "{said}");
    assert_eq!(echoed().await, 4, "the step did not happen");
}

#[tokio::test]
async fn hooks_that_answer_rubbish() {
    let hooks = ["text", "scalar", "deep", "big", "claim", "after"]
        .map(|kind| format!("hook-rubbish-{kind}"));
    let server = server(&hooks).await;
    for hook in &hooks {
        let (answer, took) = with(&server, hook).await;
        assert!(took < Duration::from_secs(5), "{hook}: {took:?}");
        assert!(answer.status >= 400, "{hook}: {}", answer.text());
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains("chat_request"), "{hook}: {message}");
        let calls = server.get("/api/v1/plugins/echo").await.json()["calls"].clone();
        let happened = u64::from(hook == "hook-rubbish-after");
        assert_eq!(calls["total"], happened, "{hook}: only before an `after`");
    }
    assert_eq!(server.chat("echo", "hi").await.content(), "hi");
}

#[tokio::test]
async fn hooks_at_no_point_are_refused() {
    let server = Setup::new()
        .guest("hostile/system/hook-nowhere.wasm")
        .guest("hostile/system/hook-bad-mode.wasm")
        .start()
        .await;
    let (_, message) = server.reason("hook-nowhere.wasm").await;
    assert!(message.contains("chat_requests"), "{message}");
    assert!(
        message.contains("chat_request,"),
        "what there is: {message}"
    );
    let (_, message) = server.reason("hook-bad-mode.wasm").await;
    assert!(message.contains("replace"), "{message}");
    assert!(message.contains("around"), "what there is: {message}");
}
