//! Everything at once for a while: plugins are unloaded, loaded, reloaded and crash in a loop, under load. No reply is lost, nothing gets stuck, and
//! afterwards the host holds what it held before.
//!
//! `WEIR_SOAK_S` says for how many seconds: 20 without it, 120 in `just soak`.

use std::time::Duration;

use e2e::http::Answer;
use e2e::load::Load;
use e2e::process::Footprint;
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, Stopwatch, until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Clients of each plugin.
const CLIENTS: usize = 2;
/// How long the host may take to let go what it held for calls and versions that are over.
const CALM: Duration = Duration::from_secs(20);
/// The host keeps 10,000 events, and each load tells four at least.
const LOADS: u64 = 3000;
/// What `hook-after` adds to each answer.
const HOOKED: &str = " [after]";

fn length() -> Duration {
    let written = std::env::var("WEIR_SOAK_S").ok();
    let seconds = written.map_or(20, |s| s.parse().expect("WEIR_SOAK_S in whole seconds"));
    Duration::from_secs(seconds)
}

/// Plugins of many kinds, that are disturbed, and `ok`, that is not.
async fn serve() -> Server {
    let needs =
        |id: &str, on: &str| json!({"id": id, "version": "1.0.0", "dependencies": [{"id": on}]});
    let moody = json!({"id": "moody", "version": "1.0.0"});
    let mut setup = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("corpus/gen_words.wasm")
        .guest("examples/counter.wasm")
        .guest("system/hook-after.wasm")
        .guest("system/listener-all.wasm")
        .guest("system/callee.wasm")
        .guest("system/caller.wasm")
        .actor("life", "[grants]\nstate = true\n", &moody)
        .actor("tiny", "", &needs("moody-child", "moody"))
        .actor("tiny", "", &needs("stopped-child", "stopped"))
        .config("[quarantine]\nfaults = 1\nfirst_s = 1\nlongest_s = 1\n[supervision]\nrestarts = 1000000\n");
    for id in ["stopped", "deleted", "removed"] {
        setup = setup.actor("tiny", "", &json!({"id": id, "version": "1.0.0"}));
    }
    setup.start().await
}

/// What an answer has to be: the status is one of these, and a 200 has this text.
fn expect(
    statuses: &'static [u16],
    is_right: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> impl Fn(&Answer) -> Result<(), String> + Send + Sync + 'static {
    move |answer| {
        let known = answer.complete && statuses.contains(&answer.status);
        let right = |text: &str| text.strip_suffix(HOOKED).is_some_and(&is_right);
        if known && (answer.status != 200 || right(&answer.content())) {
            return Ok(());
        }
        Err(format!("{} {}", answer.status, answer.text()))
    }
}

/// Clients for every plugin. Reloads are seen by none of them; crashes and unloads only by those of the plugin.
fn load(server: &Server) -> Vec<(&'static str, Load)> {
    let call = json!({"call": "callee", "method": "echo", "payload": 1}).to_string();
    let start = |model: &'static str, text: &str, check| {
        let request = server.chat_request(model, text);
        (model, Load::start(server.host, CLIENTS, &request, check))
    };
    type Check = Box<dyn Fn(&Answer) -> Result<(), String> + Send + Sync>;
    let always = |is_right: fn(&str) -> bool| -> Check { Box::new(expect(&[200], is_right)) };
    let mostly =
        |is_right: fn(&str) -> bool| -> Check { Box::new(expect(&[200, 404, 503], is_right)) };
    vec![
        start("ok", "", always(|text| text == "ok")),
        start(
            "gen_words",
            "",
            always(|text| text == "one two drei ü \"quoted\"\n"),
        ),
        start("counter", "", always(|text| text.parse::<u64>().is_ok())),
        start(
            "caller",
            &call,
            always(|text| text.contains("\"caller\":\"caller\"")),
        ),
        start("moody", "", mostly(|text| text.contains(" starts, "))),
        start("moody-child", "", always(|text| text == "ok")),
        start("stopped-child", "", mostly(|text| text == "ok")),
        start("deleted", "", mostly(|text| text == "ok")),
        start("removed", "", mostly(|text| text == "ok")),
    ]
}

/// A part of the disturbance, over and over while `goes_on`: how many rounds there were.
async fn repeat(goes_on: impl Fn() -> bool, round: impl AsyncFn()) -> u64 {
    let mut rounds = 0;
    while goes_on() {
        round().await;
        rounds += 1;
    }
    rounds
}

async fn manage(server: &Server, method: &str, path: &str) {
    let answer = server
        .call(method, &format!("/api/v1/plugins/{path}"))
        .await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

async fn is_started(server: &Server, id: &str) {
    let started = |p: &Value| p["state"] == "started";
    server.until_plugin(id, PATIENCE, started).await;
}

/// Unloads, reloads and crashes side by side for a time, under load.
async fn disturb(server: &Server, time: Duration) {
    let watch = Stopwatch::start();
    let goes_on = || watch.elapsed() < time;
    let load = load(server);
    let reloads = repeat(goes_on, async || {
        for id in [
            "gen_words",
            "counter",
            "hook-after",
            "listener-all",
            "callee",
            "caller",
        ] {
            manage(server, "POST", &format!("{id}/reload")).await;
        }
    });
    let crashes = repeat(goes_on, async || {
        let answer = server.chat("moody", "crash").await;
        assert_eq!(answer.status, 500, "{}", answer.text());
        is_started(server, "moody").await;
    });
    let stops = repeat(goes_on, async || {
        manage(server, "POST", "stopped/stop?force=true").await;
        manage(server, "POST", "stopped/start").await;
        is_started(server, "stopped-child").await;
    });
    let deleted = std::fs::read(server.plugins().join("deleted.wasm")).unwrap();
    let deletes = repeat(goes_on, async || {
        manage(server, "DELETE", "deleted").await;
        let upload = server.request("POST", "/pipelines/upload");
        let answer = server.send(&upload.file("deleted.wasm", &deleted)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    });
    let (path, aside) = (
        server.plugins().join("removed.wasm"),
        server.plugins().join("aside"),
    );
    let removes = repeat(goes_on, async || {
        std::fs::rename(&path, &aside).unwrap();
        until("its plugin is gone", PATIENCE, async || {
            server.plugin("removed").await.is_none().then_some(())
        })
        .await;
        std::fs::rename(&aside, &path).unwrap();
        is_started(server, "removed").await;
    });
    let rounds = tokio::join!(reloads, crashes, stops, deletes, removes);
    println!("rounds of reloads, crashes, stops, deletes, removes: {rounds:?}");
    for (model, load) in load {
        let outcome = load.stop().await;
        let (calls, slowest) = (outcome.latencies.len(), outcome.latencies.last());
        println!("{model}: {calls} calls, the slowest {slowest:?}");
        assert!(
            outcome.failures.is_empty(),
            "{model}: {:?}",
            outcome.failures.first()
        );
        assert!(calls > 100, "{model}: only {calls} calls");
    }
}

/// How many loads of components went well.
async fn loads(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await.text();
    let start = "weir_plugin_loads_total{outcome=\"ok\"} ";
    let value = metrics.lines().find_map(|l| l.strip_prefix(start));
    value
        .and_then(|v| v.parse().ok())
        .expect("a count of loads")
}

/// Disturbs the server until its buffers are full, and the allocator and the pool of memories have found their size: a round adds less than 2 %.
async fn warm_up(server: &Server) -> Footprint {
    let mut last = server.footprint();
    until("what it holds does not grow", PATIENCE * 10, async || {
        disturb(server, length() / 4).await;
        let before = std::mem::replace(&mut last, server.footprint());
        let is_steady = last.rss <= before.rss + before.rss / 50;
        (is_steady && loads(server).await > LOADS).then_some(last)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unloads_reloads_and_crashes_under_load_leave_nothing_behind() {
    let mut server = serve().await;
    let before = warm_up(&server).await;
    disturb(&server, length()).await;
    println!(
        "before: {before:?}; right afterwards: {:?}",
        server.footprint()
    );
    until("what calls and versions held is let go", CALM, async || {
        let now = server.footprint();
        let is_back = now.rss <= before.rss + before.rss / 10
            && now.threads <= before.threads + 4
            && now.files <= before.files + 4;
        is_back.then_some(())
    })
    .await;
    for plugin in server.list().await {
        assert_eq!(plugin["state"], "started", "{plugin}");
        assert_eq!(plugin["calls"]["in_flight"], 0, "{plugin}");
    }
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).await.success());
}
