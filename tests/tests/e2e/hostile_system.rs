//! Attacks through the plugin system, hooks, events, peers and metrics, each beside a good plugin that answers all the while.

use e2e::http::{self, Answer, Request};
use e2e::neighbour::{NEIGHBOUR, beside};
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use serde_json::json;

use super::events::heard;

/// Attacks, and expects the neighbour to answer in time all the while and the host's memory to stay in bounds: what came of it.
async fn attack<T>(server: &Server, name: &str, attack: impl Future<Output = T>) -> T {
    let before = server.footprint();
    let (outcome, took, slowest) = beside(server, attack).await;
    let grown = server.footprint().rss.saturating_sub(before.rss) >> 20;
    println!("{name}: {took:?}, slowest neighbour {slowest:?}, {grown} MiB more");
    assert!(slowest < NEIGHBOUR, "{name}: {slowest:?}");
    assert!(grown < 128, "{name}: {grown} MiB more");
    outcome
}

/// Sends a request eight times at once.
async fn burst(server: &Server, request: &Request) -> Vec<Answer> {
    let one = || {
        let (host, request) = (server.host, request.clone());
        tokio::spawn(async move { http::send(host, &request).await.unwrap() })
    };
    let calls: Vec<_> = (0..8).map(|_| one()).collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

/// Hooks that emit in the hook at `event_emitted`: not called for what they caused themselves, and no deeper than 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_that_cause_what_they_hook_into() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("system/emitter-all.wasm")
        .guest("hostile/system/meddler-self.wasm")
        .guest("hostile/system/meddler-a.wasm")
        .guest("hostile/system/meddler-b.wasm")
        .start()
        .await;
    for hook in ["meddler-a", "meddler-b"] {
        server.stop(hook).await;
    }
    let emit = json!({"emit": "start", "payload": {}});
    let mut stream = server.listen("?topic=meddler.*&topic=start", None).await;
    assert_eq!(server.tell("emitter-all", &emit).await, json!({"ok": 1}));
    let topics = |events: Vec<e2e::sse::Event>| -> Vec<String> {
        events.into_iter().map(|e| e.topic).collect()
    };
    assert_eq!(topics(stream.take(2).await), ["meddler.self", "start"]);
    server.stop("meddler-self").await;
    for hook in ["meddler-a", "meddler-b"] {
        server.restart(hook).await;
    }
    let storm = server.tell("emitter-all", &emit);
    let told = attack(&server, "meddlers", storm).await;
    assert_eq!(told, json!({"ok": 1}));
    // a's event is seen by b and b's by a, once each: neither is called about what it is itself the cause of.
    let mut caused = Vec::new();
    loop {
        let event = stream.next().await;
        if event.topic == "start" {
            break;
        }
        caused.push(event.topic);
    }
    caused.sort();
    assert_eq!(
        caused,
        ["meddler.a", "meddler.a", "meddler.b", "meddler.b"],
        "a for start, b for that; b for start, a for that"
    );
}

/// Filters hang in their hooks; chats do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_plugin_beside_hooks_that_hang() {
    let hook = |id: &str, mode: &str, misdeed: &str, point: &str| json!({"id": id, "version": "1.0.0", "hooks": [{"point": point, "mode": mode}], "does": {mode: misdeed}});
    let settings = "[limits]\nhook_deadline_ms = 500\n[grants]\nhooks = true\n";
    let server = Setup::new()
        .config("[quarantine]\nfaults = 1000\n")
        .guest("corpus/ok.wasm")
        .guest("examples/redact.wasm")
        .actor("hook", settings, &hook("spins", "before", "spin", "inlet"))
        .actor(
            "hook",
            settings,
            &hook("blocks", "around", "block", "outlet"),
        )
        .start()
        .await;
    let body = json!({"body": {"messages": [{"role": "user", "content": "hi"}]}});
    for way in ["inlet", "outlet"] {
        let path = format!("/redact/filter/{way}");
        let request = server.request("POST", &path).json(&body);
        let calls = async {
            for answer in burst(&server, &request).await {
                let text = answer.text();
                assert_eq!(answer.json()["error"]["code"], "hook_error", "{text}");
            }
        };
        attack(&server, way, calls).await;
    }
}

/// Events that cause events: each chain ends after 8, however many there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storms_of_events_end() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("system/emitter-all.wasm")
        .guest("hostile/system/storm.wasm")
        .guest("hostile/system/storm-double.wasm")
        .guest("hostile/system/storm-ping.wasm")
        .guest("hostile/system/storm-pong.wasm")
        .start()
        .await;
    for (topic, listener, count) in [
        ("storm", "storm", 8),
        ("double", "storm-double", 255),
        ("ping", "storm-ping", 4),
    ] {
        let mut stream = server.listen(&format!("?topic={topic}.*"), None).await;
        let emit = json!({"emit": format!("{topic}.go"), "payload": {}});
        let storm = async {
            assert_eq!(server.tell("emitter-all", &emit).await, json!({"ok": 1}));
            heard(&server, listener, count).await;
            settled(&server, listener).await;
        };
        attack(&server, listener, storm).await;
        let told = server.tell(listener, &json!({"heard": 0})).await;
        assert_eq!(told["count"], count, "{listener}: no more come");
        let events = stream.take(usize::try_from(count).unwrap()).await;
        assert_eq!(events[0].topic, format!("{topic}.go"));
    }
    let pong = server.tell("storm-pong", &json!({"heard": 0})).await;
    assert_eq!(pong["count"], 4, "{pong}");
}

/// Waits until nothing waits for a plugin, and nothing is under way in it.
async fn settled(server: &Server, plugin: &str) {
    server
        .until_shown(plugin, |p| {
            p["waiting"]["events"] == 0 && p["calls"]["in_flight"] == 0
        })
        .await;
}

/// Subscribers that never return, trap, fail or are slow hold up neither who emits nor who listens beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_misbehave_hold_up_nobody() {
    let mut setup = Setup::new()
        .config("[limits]\ndeadline_ms = 2000\n")
        .guest("corpus/ok.wasm")
        .guest("system/emitter.wasm")
        .guest("system/listener.wasm");
    let bad = ["spin", "block", "trap", "fail", "slow"];
    for misdeed in bad {
        setup = setup.guest(&format!("hostile/system/listener-{misdeed}.wasm"));
    }
    let server = setup.start().await;
    let emit = json!({"emit": "orders.x", "count": 500, "payload": {}});
    let events = async {
        assert_eq!(server.tell("emitter", &emit).await, json!({"ok": 500}));
        heard(&server, "listener", 500).await
    };
    let all = attack(&server, "subscribers", events).await;
    let numbers = all.iter().map(|e| e["payload"]["number"].as_u64().unwrap());
    assert!(numbers.eq(0..500), "all, in order");
    // The ones that crash are dealt with like any plugin that does.
    for (misdeed, state) in [("trap", "quarantined"), ("fail", "started")] {
        let name = format!("listener-{misdeed}");
        server
            .until_plugin(&name, PATIENCE, |p| p["state"] == state)
            .await;
    }
    let faults = async |name: &str| {
        let shown = server.get(&format!("/api/v1/plugins/{name}")).await.json();
        shown["faults"].as_array().unwrap().len()
    };
    for name in ["listener-spin", "listener-block"] {
        until("the deadline ends it", PATIENCE, async || {
            (faults(name).await > 0).then_some(())
        })
        .await;
    }
    assert_eq!(faults("listener-fail").await, 0, "a failure is no fault");
}

/// A million events, past subscribers that do not keep up and a client that does not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_events_stay_in_bounds() {
    const AT_ONCE: u64 = 100_000;
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("system/emitter.wasm")
        .guest("hostile/system/listener-slow.wasm")
        .guest("hostile/system/listener-block.wasm")
        .start()
        .await;
    let _deaf = server.listen("?topic=orders.*", None).await;
    let emit =
        json!({"emit": "orders.x", "count": AT_ONCE, "payload": {"filler": "x".repeat(100)}});
    let before = server.footprint();
    let mut slowest = Vec::new();
    for _ in 0..10 {
        let (told, took, slow) = beside(&server, server.tell("emitter", &emit)).await;
        assert_eq!(told, json!({"ok": AT_ONCE}), "who emits never waits");
        let grown = server.footprint().rss.saturating_sub(before.rss) >> 20;
        println!("{took:?}, slowest neighbour {slow:?}, {grown} MiB more");
        assert!(grown < 128, "{grown} MiB more");
        slowest.push(slow);
    }
    // It takes long enough for other work of the machine to get in between: the median of the rounds counts.
    slowest.sort();
    assert!(slowest[5] < NEIGHBOUR, "{slowest:?}");
    for listener in ["listener-slow", "listener-block"] {
        let shown = server
            .get(&format!("/api/v1/plugins/{listener}"))
            .await
            .json();
        let waiting = &shown["waiting"];
        assert!(waiting["events"].as_u64() <= Some(1024), "{waiting}");
        let dropped = waiting["events_dropped"].as_u64().unwrap();
        assert!(dropped > 990_000, "{listener}: {waiting}");
    }
    // What a plugin heard is in order: only the oldest were dropped.
    let told = server.tell("listener-slow", &json!({"heard": 1000})).await;
    let ids = told["events"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|e| e["id"].as_u64().unwrap()).collect();
    assert!(
        ids.len() > 1 && ids.windows(2).all(|w| w[0] < w[1]),
        "{ids:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_peer_calls_stays_in_bounds() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("system/callee.wasm")
        .guest("hostile/system/flooder.wasm")
        .start()
        .await;
    let calls = json!({"call": "callee", "count": 20_000});
    let told = attack(&server, "calls", server.tell("flooder", &calls)).await;
    assert_eq!(told, json!({"ok": 20_000}));
    let casts = json!({"cast": "callee", "count": 150_000});
    let told = attack(&server, "casts", server.tell("flooder", &casts)).await;
    let of = |kind: &str| told[kind].as_u64().unwrap_or(0);
    assert_eq!(of("ok") + of("transient"), 150_000, "{told}");
    assert!(of("transient") > 0, "the queue is bounded: {told}");
    // Past `host_calls` it ends.
    let flood = json!({"cast": "callee", "count": 1_000_000}).to_string();
    let flood = server.chat("flooder", &flood);
    let answer = attack(&server, "more casts", flood).await;
    assert_eq!(answer.json()["error"]["code"], "limit_reached");
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("host_calls"), "{message}");
}

/// A callee that hangs holds up its caller only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callees_that_hang_hold_up_only_their_callers() {
    let server = Setup::new()
        .config("[quarantine]\nfaults = 1000\n[limits]\ndeadline_ms = 1000\n")
        .guest("corpus/ok.wasm")
        .guest("system/caller.wasm")
        .guest("hostile/system/peer-spin.wasm")
        .guest("hostile/system/peer-block.wasm")
        .start()
        .await;
    for callee in ["peer-spin", "peer-block"] {
        let order = json!({"call": callee}).to_string();
        let request = server.chat_request("caller", &order);
        let calls = async {
            for answer in burst(&server, &request).await {
                assert!(answer.status > 0 && answer.complete);
            }
        };
        attack(&server, callee, calls).await;
    }
    let shown = server.plugin("caller").await.unwrap();
    assert_eq!(shown["state"], "started", "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_metrics_stays_in_bounds() {
    let server = Setup::new()
        .guest("corpus/ok.wasm")
        .guest("hostile/system/probe.wasm")
        .start()
        .await;
    for order in [json!({"labels": 190_000}), json!({"names": 60_000})] {
        let flood = server.tell("probe", &order);
        attack(&server, "metrics", flood).await;
    }
    let metrics = server.get("/metrics").await.text();
    let own = metrics.lines().filter(|l| l.starts_with("weir_guest_"));
    assert!(own.count() <= 200 * 9, "200 series, of up to 9 lines each");
}
