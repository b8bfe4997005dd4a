//! Hostile guests in calls: each is stopped by its limit, in time, and leaves nothing behind. What must stop which is in
//! `guest-examples/hostile/README.md`.

use std::time::Duration;

use e2e::guests;
use e2e::http::Answer;
use e2e::neighbour::{NEIGHBOUR, beside};
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, Stopwatch, until};
use serde_json::json;

/// The limit on a call's time, in these tests.
const DEADLINE: Duration = Duration::from_millis(1000);
/// How much later a call may end.
const GRACE: Duration = Duration::from_millis(100);
/// Limits of every plugin in these tests.
const LIMITS: &str = "[quarantine]\nfaults = 1000000\n[limits]\ndeadline_ms = 1000\nstart_deadline_ms = 1000\nmemory_bytes = 100663296\noutput_bytes = 1048576\noutput_items = 1000\nhost_calls = 100000\n";

/// How much more memory the host may hold: one instance at its limit, and as much again for what is on its way.
const MEMORY: u64 = (2 * 96) << 20;

/// What is to come of an attack.
enum End {
    /// A fault with one of these codes.
    Fault(&'static [&'static str]),
    /// An answer that holds this.
    Says(&'static str),
}
use End::{Fault, Says};

const TIME: End = Fault(&["deadline_exceeded", "out_of_fuel"]);
const LIMIT: End = Fault(&["limit_reached"]);
/// Floods: whichever limit is first.
const FLOOD: End = Fault(&["limit_reached", "deadline_exceeded", "out_of_fuel"]);
const TRAP: End = Fault(&["trapped"]);

/// Models of `hostile.wasm`.
const ATTACKS: [(&str, End); 29] = [
    ("spin", TIME),
    ("spin-after-text", TIME),
    ("stack", TRAP),
    ("sleep", TIME),
    ("sleep-forever", TIME),
    ("sleep-until-the-end", TIME),
    ("trap", TRAP),
    ("trap-after-text", TRAP),
    ("error", Fault(&["plugin_failed"])),
    ("exit", TRAP),
    ("grow", Fault(&["out_of_memory"])),
    ("grow-politely", Says(" MiB")),
    ("fill", TIME),
    ("host-calls", LIMIT),
    ("clock", LIMIT),
    ("log", FLOOD),
    ("log-control", Says("logged")),
    ("stdout", FLOOD),
    ("stderr", FLOOD),
    ("reply-bytes", Fault(&["limit_reached", "plugin_failed"])),
    ("reply-items", Fault(&["limit_reached", "plugin_failed"])),
    ("reply-huge", Fault(&["limit_reached", "out_of_memory"])),
    ("reply-deaf", FLOOD),
    ("handles", Fault(&["limit_reached", "trapped"])),
    ("random", Fault(&["limit_reached", "trapped"])),
    ("environment", Says("0 variables, ")),
    ("files", Says("nothing found")),
    ("sockets", Says("nothing found")),
    ("no-such-attack", Fault(&["model_not_found", "invalid"])),
];

/// What is wrong with how an attack ended, if anything is.
fn judge(answer: &Answer, took: Duration, end: &End) -> Option<String> {
    let text = answer.text();
    let fits = match end {
        Fault(codes) => {
            let code = serde_json::from_str::<serde_json::Value>(&text).ok();
            let code = code.and_then(|j| j["error"]["code"].as_str().map(ToOwned::to_owned));
            answer.status >= 400 && code.is_some_and(|c| codes.contains(&c.as_str()))
        }
        Says(words) => answer.status == 200 && text.contains(words),
    };
    let in_time = took < DEADLINE + GRACE;
    let shown: String = text.chars().take(300).collect();
    (!fits || !in_time).then(|| format!("{} after {took:?}: {shown}", answer.status))
}

/// One attack beside a neighbour: everything that is wrong with its end, with the neighbour and with the host's memory.
async fn attack(
    server: &Server,
    (model, text): (&str, &str),
    end: &End,
    rss_before: u64,
) -> Vec<String> {
    let (answer, took, slowest) = beside(server, server.chat(model, text)).await;
    let mut wrong: Vec<_> = judge(&answer, took, end).into_iter().collect();
    if slowest > NEIGHBOUR {
        wrong.push(format!("a call of the neighbour took {slowest:?}"));
    }
    let grown = server.footprint().rss.saturating_sub(rss_before);
    if grown > MEMORY {
        wrong.push(format!("{} MiB more memory", grown >> 20));
    }
    wrong.iter().map(|how| format!("{model}: {how}")).collect()
}

/// Idle again: no call under way.
async fn quiet(server: &Server) {
    until("no call is under way", PATIENCE, async || {
        let list = server.list().await;
        list.iter()
            .all(|p| p["calls"]["in_flight"] == 0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn attacks_in_a_call_end_by_their_limit_and_leave_nothing() {
    let server = Setup::new()
        .guest("hostile/hostile.wasm")
        .guest("corpus/ok.wasm")
        .config(LIMITS)
        .start()
        .await;
    // A first round warms up what is made once: threads, pools, buffers.
    for (name, _) in &ATTACKS {
        server.chat(&format!("hostile.{name}"), "x").await;
    }
    quiet(&server).await;
    let before = server.footprint();
    let mut wrong = Vec::new();
    for (name, end) in &ATTACKS {
        wrong.extend(attack(&server, (&format!("hostile.{name}"), "x"), end, before.rss).await);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    quiet(&server).await;
    let after = server.footprint();
    assert!(after.files <= before.files + 4, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + 4, "{before:?} {after:?}");
    let grown = after.anonymous.saturating_sub(before.anonymous);
    assert!(grown < 16 << 20, "{} KiB more", grown >> 10);
}

/// A stream that is cut by a limit ends with an error and `[DONE]`, whatever the guest wrote into it.
#[tokio::test]
async fn streams_of_attackers_end_as_streams_do() {
    let server = Setup::new()
        .guest("hostile/hostile.wasm")
        .config(LIMITS)
        .start()
        .await;
    for name in [
        "spin-after-text",
        "trap-after-text",
        "reply-bytes",
        "reply-items",
    ] {
        let answer = server.stream(&format!("hostile.{name}"), "").await;
        assert!(answer.complete, "{name}");
        let events = answer.events();
        assert_eq!(events.last().unwrap(), "[DONE]", "{name}");
        assert!(
            events[events.len() - 2].contains("\"error\""),
            "{name}: {:?}",
            events[events.len() - 2]
        );
    }
    let answer = server.stream("hostile.reply-smuggle", "").await;
    assert!(answer.complete, "{}", answer.text());
    let text = answer.text();
    assert_eq!(
        answer.events().iter().filter(|e| *e == "[DONE]").count(),
        1,
        "{text}"
    );
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!text.contains("HTTP/1.1 200 OK\r\n"), "{text}");
}

#[tokio::test]
async fn a_plugins_log_lines_cannot_forge_others() {
    let server = Setup::new()
        .guest("hostile/hostile.wasm")
        .config(LIMITS)
        .start()
        .await;
    server.chat("hostile.log-control", "").await;
    server.chat("hostile.log", "").await;
    quiet(&server).await;
    let log = server.log();
    assert!(
        !log.contains('\u{7}') && !log.contains("\u{1b}[2J"),
        "control characters pass"
    );
    let forged = log.lines().filter(|l| l.starts_with("level=error forged"));
    assert_eq!(forged.count(), 0);
    assert!(log.len() < 2 << 20, "{} bytes of log", log.len());
}

/// What one tenant's call left in memory is not there for another plugin, nor for a later version.
#[tokio::test]
async fn no_residue_of_one_tenant_reaches_another() {
    let server = Setup::new()
        .guest("hostile/hostile.wasm")
        .file("hostile.toml", b"reuse = \"call\"")
        .config(LIMITS)
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(
            server.chat("hostile.keep", "s3cr3t-of-ann").await.content(),
            "kept"
        );
        let found = server.chat("hostile.find", "nna-fo-t3rc3s").await;
        let text = found.text();
        assert!(
            found.status != 200 || text.contains("nothing found"),
            "{text}"
        );
    }
}

/// Components that abuse the boundary itself, at a call.
const BOUNDARY: [(&str, End); 14] = [
    (
        "alias-log",
        Fault(&[
            "limit_reached",
            "trapped",
            "deadline_exceeded",
            "out_of_fuel",
        ]),
    ),
    ("double-drop", Fault(&["trapped"])),
    ("forged-handle", Fault(&["trapped"])),
    ("keep-borrow", Fault(&["trapped"])),
    ("realloc-range", Fault(&["trapped"])),
    ("result-bounds", Fault(&["trapped"])),
    (
        "result-huge",
        Fault(&["trapped", "limit_reached", "out_of_memory"]),
    ),
    ("result-pointer", Fault(&["trapped"])),
    ("result-utf8", Fault(&["trapped"])),
    ("result-variant", Fault(&["trapped"])),
    ("spin-post-return", TIME),
    ("spin-realloc", TIME),
    ("spin-stop", Says("")),
    ("table-grow", Says("")),
];

#[tokio::test]
async fn components_that_abuse_the_boundary_are_stopped_at_each_call() {
    let mut setup = Setup::new().guest("corpus/ok.wasm").config(LIMITS);
    for (name, _) in &BOUNDARY {
        setup = setup.guest(&format!("hostile/{name}.wasm"));
    }
    let server = setup.start().await;
    let before = server.footprint();
    let mut wrong = Vec::new();
    for (name, end) in &BOUNDARY {
        // Twice: an instance that failed must not be used again.
        for _ in 1..=2 {
            wrong.extend(attack(&server, (name, "hello"), end, before.rss).await);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(server.chat("ok", "").await.content(), "ok");
}

#[tokio::test]
async fn filters_manifolds_and_valves_that_never_return_are_stopped() {
    let server = Setup::new()
        .guest("hostile/spin-inlet.wasm")
        .guest("hostile/spin-models.wasm")
        .guest("hostile/spin-updated.wasm")
        .guest("hostile/alias-models.wasm")
        .guest("corpus/ok.wasm")
        .config(LIMITS)
        .start()
        .await;
    let watch = Stopwatch::start();
    let body = json!({"body": {"messages": []}});
    let answer = server.post("/spin-inlet/filter/inlet", &body).await;
    assert_eq!(
        answer.json()["error"]["code"],
        "deadline_exceeded",
        "{}",
        answer.text()
    );
    assert!(watch.elapsed() < DEADLINE + GRACE);
    let watch = Stopwatch::start();
    let models = server.get("/models").await.json();
    assert!(
        watch.elapsed() < DEADLINE * 2 + GRACE,
        "{:?}",
        watch.elapsed()
    );
    assert!(
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|m| m["id"] == "ok"),
        "{models}"
    );
    let watch = Stopwatch::start();
    let answer = server.post("/spin-updated/valves/update", &json!({})).await;
    assert!(
        answer.status >= 400
            || server.plugin("spin-updated.wasm").await.unwrap()["state"] == "failed",
        "{}",
        answer.text()
    );
    assert!(
        watch.elapsed() < DEADLINE + GRACE * 3,
        "{:?}",
        watch.elapsed()
    );
}

#[tokio::test]
async fn state_is_bounded_and_keys_are_only_keys() {
    let server = Setup::new()
        .guest("hostile/hostile-state.wasm")
        // It is the quota and the number of calls that end them, also on a slow disk.
        .config(&LIMITS.replace("deadline_ms = 1000", "deadline_ms = 20000"))
        .start()
        .await;
    let say = async |attack: &str| server.chat(&format!("hostile-state.{attack}"), "").await;
    // First, since it needs a key of its own and the others fill the quota.
    let calls = say("calls").await;
    assert!(
        judge(&calls, Duration::ZERO, &FLOOD).is_none(),
        "{}",
        calls.text()
    );
    assert!(
        say("bytes").await.content().contains("values: "),
        "the quota of bytes"
    );
    assert!(
        say("keys").await.content().contains("keys: "),
        "the quota of keys"
    );
    let value = say("value").await;
    assert!(
        value.status >= 400 || !value.content().contains("written"),
        "{}",
        value.text()
    );
    let names = say("names").await;
    assert!(!names.content().contains("lost"), "{}", names.text());
    assert!(say("list").await.content().contains(" keys"));
    let size = std::fs::metadata(server.data().join("state.sqlite"))
        .unwrap()
        .len();
    assert!(size < 32 << 20, "{size} bytes on disk");
    let outside = server.data().parent().unwrap().join("other");
    assert!(!outside.exists());
}

/// Every guest of the folder is used by a test: this one, or those above and in the modules beside.
#[test]
fn every_hostile_guest_has_a_test() {
    let sources = guests::root().join("tests/tests/e2e");
    let text: String = std::fs::read_dir(sources)
        .unwrap()
        .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
        .collect();
    let unused: Vec<_> = guests::list("hostile")
        .into_iter()
        .filter(|n| !text.contains(n.trim_end_matches(".wasm")))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}
