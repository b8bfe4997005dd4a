//! Attacks through manifests, dependencies and the life cycle: bombs, circles, a chain of 500, ends that hang. Each beside a good plugin.

use std::time::Duration;

use e2e::guests;
use e2e::http::Answer;
use e2e::neighbour::{NEIGHBOUR, beside};
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, Stopwatch, until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// How many the chain has.
const CHAIN: usize = 500;

async fn upload(server: &Server, name: &str) -> Answer {
    let bytes = guests::bytes(&format!("hostile/system/{name}.wasm"));
    let request = server.request("POST", "/pipelines/upload");
    server
        .send(&request.file(&format!("{name}.wasm"), &bytes))
        .await
}

/// A component, and what its refusal has to say.
const MANIFESTS: [(&str, &str); 17] = [
    ("bomb-hooks", "bytes; at most 262144 are allowed"),
    (
        "bomb-topics",
        "topics: 10000 entries; at most 100 are allowed",
    ),
    ("bomb-dependencies", "bytes; at most 262144 are allowed"),
    ("bomb-points", "bytes; at most 262144 are allowed"),
    (
        "bomb-provides",
        "provides: 10000 entries; at most 100 are allowed",
    ),
    ("bomb-name", "bytes; at most 262144 are allowed"),
    ("bomb-deep", "recursion limit exceeded"),
    (
        "bomb-101-hooks",
        "hooks: 101 entries; at most 100 are allowed",
    ),
    (
        "bomb-101-topics",
        "topics: 101 entries; at most 100 are allowed",
    ),
    (
        "bomb-101-dependencies",
        "dependencies: 101 entries; at most 100 are allowed",
    ),
    (
        "bomb-101-points",
        "points: 101 entries; at most 100 are allowed",
    ),
    (
        "bomb-101-provides",
        "provides: 101 entries; at most 100 are allowed",
    ),
    (
        "bomb-same-hooks",
        "hooks: before chat_request is there twice",
    ),
    (
        "bad-range",
        "dependencies[0]: version: \"one\" is not a version range",
    ),
    ("bad-topic", "topics[0]: \"a b\" is not a topic"),
    (
        "bad-capability",
        "provides: \"A B\" is no name of a capability",
    ),
    (
        "self-dependent",
        "dependencies[0]: a plugin cannot depend on itself",
    ),
];

#[tokio::test]
async fn manifests_that_are_too_much_or_make_no_sense_are_refused() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .file("bad-topic.toml", b"grants = { events = true }")
        .start()
        .await;
    let mut wrong = Vec::new();
    let mut before = None;
    for (name, wanted) in MANIFESTS {
        let (answer, _, slowest) = beside(&server, upload(&server, name)).await;
        let error = &answer.json()["error"];
        let message = error["message"].as_str().unwrap_or_default();
        if answer.status != 422 || error["code"] != "bad_manifest" || !message.contains(wanted) {
            wrong.push(format!("{name}: {} {error}", answer.status));
        }
        // What a plugin wrote is shown, but not all of it.
        if answer.body.len() > 4096 {
            wrong.push(format!("{name}: a refusal of {} bytes", answer.body.len()));
        }
        if slowest > NEIGHBOUR {
            wrong.push(format!("{name}: a call of the neighbour took {slowest:?}"));
        }
        before.get_or_insert_with(|| server.footprint());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let grown = server
        .footprint()
        .anonymous
        .saturating_sub(before.unwrap().anonymous);
    assert!(grown < 32 << 20, "{} KiB more", grown >> 10);
    let files = std::fs::read_dir(server.plugins()).unwrap().count();
    assert_eq!(files, 2, "what was refused left no file");
}

/// Only the circle and who depends on it fail, each time it comes.
#[tokio::test]
async fn a_circle_of_dependencies_holds_up_nobody() {
    let mut setup = Setup::new().guest("corpus/ok.wasm");
    for name in ["circle-a", "circle-b", "circle-c", "circle-guest"] {
        setup = setup.guest(&format!("hostile/system/{name}.wasm"));
    }
    let server = setup.start().await;
    for _ in 0..20 {
        let reload = server.call("POST", "/pipelines/reload");
        let (answer, _, slowest) = beside(&server, reload).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            slowest < NEIGHBOUR,
            "a call of the neighbour took {slowest:?}"
        );
    }
    for (name, chain) in [
        ("circle-a", "circle-a -> circle-b -> circle-c -> circle-a"),
        ("circle-b", "circle-b -> circle-c -> circle-a -> circle-b"),
        ("circle-c", "circle-c -> circle-a -> circle-b -> circle-c"),
        (
            "circle-guest",
            "circle-guest -> circle-a -> circle-b -> circle-c -> circle-a",
        ),
    ] {
        let (code, message) = server.reason(&format!("{name}.wasm")).await;
        assert_eq!(code, "dependency");
        assert!(
            message.contains(&format!("(the chain: {chain})")),
            "{message}"
        );
    }
}

/// 500 plugins of which each needs the next, in the wrong order of their names.
#[tokio::test]
async fn a_chain_of_500_starts_falls_and_comes_back() {
    let last = format!("chain-{:03}", CHAIN - 1);
    let mut setup = Setup::new().guest("corpus/ok.wasm");
    for file in guests::list("hostile/chain") {
        if file != format!("{last}.wasm") {
            setup = setup.guest(&format!("hostile/chain/{file}"));
        }
    }
    let watch = Stopwatch::start();
    let mut server = setup.start().await;
    // The last is missing: nobody starts, and all say why.
    let message = server.reason("chain-000.wasm").await.1;
    let missing = format!("chain-498 needs {last}, which is missing");
    assert!(message.starts_with(&missing), "{message}");
    assert!(message.contains("chain-000 -> chain-001 -> "), "{message}");
    assert!(message.contains(&format!("-> {last}")), "{message}");
    assert!(message.len() < 16384, "{} bytes", message.len());
    println!("up without the last after {:?}", watch.elapsed());
    assert_eq!(server.chat("ok", "").await.content(), "ok");
    // It comes, goes, and comes again.
    let component = guests::bytes(&format!("hostile/chain/{last}.wasm"));
    let path = server.plugins().join(format!("{last}.wasm"));
    let at_work = async || {
        let list = server.list().await;
        list.iter().filter(|p| p["state"] == "started").count()
    };
    for round in 1..=2 {
        let comes = async {
            std::fs::write(&path, &component).unwrap();
            until("all start", PATIENCE, async || {
                (at_work().await == CHAIN + 1).then_some(())
            })
            .await;
        };
        let ((), took, slowest) = beside(&server, comes).await;
        println!("all started after {took:?}, slowest {slowest:?}");
        assert!(
            slowest < NEIGHBOUR,
            "a call of the neighbour took {slowest:?}"
        );
        if round == 1 {
            let path = format!("/api/v1/plugins/{last}?force=true");
            let goes = server.call("DELETE", &path);
            let (answer, took, slowest) = beside(&server, goes).await;
            println!("all taken down after {took:?}, slowest {slowest:?}");
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(at_work().await, 1);
            assert!(
                slowest < NEIGHBOUR,
                "a call of the neighbour took {slowest:?}"
            );
        }
    }
    let watch = Stopwatch::start();
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).await.success());
    println!("ended after {:?}", watch.elapsed());
}

/// Plugins whose `stop` traps, works or waits for ever: a reload, an unload and the end of the host go on.
#[tokio::test]
async fn a_stop_that_never_ends_holds_up_nothing() {
    let limits = "[limits]\nstart_deadline_ms = 500\n";
    let mut setup = Setup::new().guest("corpus/ok.wasm").config(limits);
    for kind in ["spin", "block", "trap"] {
        setup = setup.guest(&format!("hostile/system/stop-{kind}.wasm"));
    }
    let child = json!({"id": "child", "version": "1.0.0", "dependencies": [{"id": "stop-block"}]});
    let mut server = setup.actor("tiny", "", &child).start().await;
    let bound = Duration::from_secs(5);
    for kind in ["spin", "block", "trap"] {
        for path in ["reload", "stop?force=true", "start"] {
            let path = format!("/api/v1/plugins/stop-{kind}/{path}");
            let (answer, took, slowest) = beside(&server, server.call("POST", &path)).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert!(took < bound, "{path} took {took:?}");
            assert!(
                slowest < NEIGHBOUR,
                "{path}: a call of the neighbour took {slowest:?}"
            );
        }
        assert_eq!(server.chat(&format!("stop-{kind}"), "").await.status, 200);
    }
    let started = |p: &Value| p["state"] == "started";
    server.until_plugin("child", PATIENCE, started).await;
    let deleted = server.call("DELETE", "/api/v1/plugins/stop-spin").await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let watch = Stopwatch::start();
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).await.success());
    assert!(
        watch.elapsed() < bound,
        "the end took {:?}",
        watch.elapsed()
    );
}

/// A plugin that crashes whenever it is called, and one that fails at every start: they are started again at the pace of the configuration, not at theirs.
#[tokio::test]
async fn plugins_that_crash_all_the_time_cost_the_others_nothing() {
    let settings = |config: &str| {
        format!("restart = \"permanent\"\n[grants]\nstate = true\n[config]\n{config}\n")
    };
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .actor(
            "life",
            &settings(""),
            &json!({"id": "crashes", "version": "1.0.0"}),
        )
        .actor(
            "life",
            &settings("start = \"trap\""),
            &json!({"id": "never-starts", "version": "1.0.0"}),
        )
        .config(
            "[quarantine]\nfaults = 1\nfirst_s = 1\nlongest_s = 1\n[supervision]\nrestarts = 3\n",
        )
        .start()
        .await;
    let attack = async {
        let request = server.chat_request("crashes", "crash");
        let load = e2e::load::Load::start(server.host, 4, &request, |answer| match answer.status {
            500 | 503 => Ok(()),
            other => Err(format!("{other} {}", answer.text())),
        });
        let failed = |p: &Value| p["state"] == "failed" && p["restarts"]["count"] == 3;
        let crashes = server.until_plugin("crashes", PATIENCE, failed).await;
        let never = server.until_plugin("never-starts", PATIENCE, failed).await;
        (load.stop().await, crashes, never)
    };
    let ((outcome, crashes, never), took, slowest) = beside(&server, attack).await;
    assert!(
        outcome.failures.is_empty(),
        "{:?}",
        outcome.failures.first()
    );
    assert!(outcome.latencies.len() > 100);
    assert!(
        took > Duration::from_secs(2),
        "three waits of a second: {took:?}"
    );
    assert!(
        slowest < NEIGHBOUR,
        "a call of the neighbour took {slowest:?}"
    );
    assert_eq!(crashes["reason"]["code"], "crashed", "{crashes}");
    assert_eq!(never["reason"]["code"], "start_failed", "{never}");
}
