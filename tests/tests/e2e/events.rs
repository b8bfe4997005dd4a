//! Events: who hears what and in which order, over the bus and over HTTP, and what the host itself tells.

use std::time::Duration;

use e2e::server::{Server, Setup};
use e2e::sse::Event;
use e2e::wait::{PATIENCE, Stopwatch, until};
use serde_json::{Value, json};

/// The events a listener heard, as soon as they are so many. At most the last 1,000 are kept.
pub(crate) async fn heard(server: &Server, listener: &str, count: u64) -> Vec<Value> {
    let what = format!("{listener} hears {count} events");
    until(&what, PATIENCE, async || {
        let told = server.tell(listener, &json!({"heard": 1000})).await;
        let events = told["events"].as_array().unwrap().clone();
        (told["count"].as_u64() >= Some(count)).then_some(events)
    })
    .await
}

fn numbers(events: &[Value]) -> Vec<u64> {
    let number = |e: &Value| e["payload"]["number"].as_u64().unwrap();
    events.iter().map(number).collect()
}

/// A listener in one instance, for these topics.
fn listener(id: &str, topics: &Value) -> Value {
    json!({"id": id, "version": "1.0.0", "topics": topics})
}

const SINGLE: &str = "reuse = \"single\"\n[grants]\nevents = true\n";

#[tokio::test]
async fn plugins_hear_what_they_asked_for_in_order() {
    let server = Setup::new()
        .guest("system/emitter.wasm")
        .guest("system/emitter-all.wasm")
        .guest("system/listener.wasm")
        .actor("bus", SINGLE, &listener("exact", &json!(["orders.new"])))
        .start()
        .await;
    let mut stream = server.listen("?topic=orders.*&topic=other", None).await;
    let emit =
        |topic: &str, count: u64| json!({"emit": topic, "count": count, "payload": {"a": 1}});
    let told = server.tell("emitter", &emit("orders.new", 100)).await;
    assert_eq!(told, json!({"ok": 100}));
    let told = server.tell("emitter", &emit("orders.newer", 10)).await;
    assert_eq!(told, json!({"ok": 10}));
    // The grant names `orders.*`; topics of the host's are nobody's, whatever is granted.
    for (emitter, topic) in [
        ("emitter", "other"),
        ("emitter", "orders"),
        ("emitter-all", "weir.plugin.started"),
        ("emitter-all", "weir."),
        ("emitter-all", "a b"),
        ("emitter-all", ""),
    ] {
        let told = server.tell(emitter, &emit(topic, 3)).await;
        assert_eq!(told, json!({"denied": 3}), "{emitter}: {topic}");
    }
    let told = server.tell("emitter-all", &emit("other", 1)).await;
    assert_eq!(told, json!({"ok": 1}));

    let (first, more): (Vec<u64>, Vec<u64>) = ((0..100).collect(), (0..10).collect());
    let all = heard(&server, "listener", 110).await;
    assert_eq!(numbers(&all), [&first[..], &more[..]].concat());
    assert_eq!(all[0]["origin"], "emitter");
    let exact = heard(&server, "exact", 100).await;
    assert_eq!(numbers(&exact), first);
    let sent = stream.take(111).await;
    assert_eq!(sent[110].topic, "other");
    assert_eq!(sent[110].data["origin"], "emitter-all");
    for (heard, sent) in all.iter().zip(&sent) {
        let same = [("id", &sent.data["id"]), ("payload", sent.payload())];
        for (key, value) in same {
            assert_eq!(&heard[key], value, "one event, told alike to all");
        }
        assert_eq!(sent.data["id"], sent.id);
    }
    assert!(sent.windows(2).all(|w| w[0].id < w[1].id), "ids grow");
}

#[tokio::test]
async fn payloads_are_bounded() {
    let server = Setup::new().guest("system/emitter.wasm").start().await;
    let emit = |bytes: u64| json!({"emit": "orders.x", "bytes": bytes});
    for (bytes, came) in [(65_000, "ok"), (65_536, "denied"), (10_000_000, "denied")] {
        let told = server.tell("emitter", &emit(bytes)).await;
        assert_eq!(told, json!({came: 1}), "{bytes}");
    }
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_where_it_was() {
    let server = Setup::new().guest("system/emitter.wasm").start().await;
    let emit = |count: u64| json!({"emit": "orders.x", "count": count, "payload": {}});
    let number = |e: &Event| e.payload()["number"].as_u64().unwrap();
    let mut stream = server.listen("?topic=orders.*", None).await;
    server.tell("emitter", &emit(10)).await;
    let first = stream.take(4).await;
    drop(stream);
    let mut stream = server.listen("?topic=orders.*", Some(first[3].id)).await;
    let rest = stream.take(6).await;
    let seen: Vec<_> = first.iter().chain(&rest).map(number).collect();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());

    // From before the start: it cannot be known what was missed.
    let mut stream = server.listen("?topic=orders.*", Some(1)).await;
    let gap = stream.next().await;
    assert_eq!(gap.topic, "weir.gap");
    assert_eq!(gap.data, json!({"missed": null}));

    // 10,000 are kept: whoever comes back after more is told how many are gone.
    let last = rest[5].id;
    server.tell("emitter", &emit(12_000)).await;
    let query = format!("?topic=orders.*&last_event_id={last}");
    let mut stream = server.listen(&query, None).await;
    let (gap, next) = (stream.next().await, stream.next().await);
    assert_eq!(gap.topic, "weir.gap");
    let missed = gap.data["missed"].as_u64().unwrap();
    assert!(missed >= 2000, "{missed}");
    assert_eq!(gap.id, last + missed);
    assert_eq!(next.id, last + missed + 1, "nothing else is lost");
    let rest = stream.take(9_999).await;
    assert_eq!(number(rest.last().unwrap()), 11_999);
}

/// Proxies and clients see that a silent stream is alive.
#[tokio::test]
async fn a_silent_stream_is_kept_alive() {
    let server = Setup::new().start().await;
    let mut stream = server.listen("?topic=never", None).await;
    let hello = stream.block().await;
    assert!(hello.contains("\n:") || hello.starts_with(':'), "{hello}");
    let watch = Stopwatch::start();
    let comment = stream.block().await;
    assert!(comment.starts_with(':'), "{comment}");
    let silent = watch.elapsed();
    assert!(
        (Duration::from_secs(10)..Duration::from_secs(20)).contains(&silent),
        "{silent:?}"
    );
}

#[tokio::test]
async fn the_life_of_plugins_is_told_in_order() {
    let server = Setup::new()
        .guest("examples/echo.wasm")
        .actor("bus", SINGLE, &listener("watch", &json!(["weir.plugin.*"])))
        .start()
        .await;
    let mut stream = server.listen("?topic=weir.plugin.*", None).await;
    let post = async |what: &str| {
        let path = format!("/api/v1/plugins/echo/{what}");
        let answer = server.call("POST", &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let mut told = async |count: usize| -> Vec<(String, u64)> {
        let events = stream.take(count).await;
        let one = |e: &Event| {
            if e.topic != "weir.plugin.discovered" {
                assert_eq!(e.payload()["plugin"], "echo", "{e:?}");
            }
            assert_eq!(e.payload()["file"], "echo.wasm", "{e:?}");
            assert_eq!(e.data["origin"], "weir", "{e:?}");
            let state = e.topic.strip_prefix("weir.plugin.").unwrap().to_owned();
            (state, e.payload()["generation"].as_u64().unwrap())
        };
        events.iter().map(one).collect()
    };
    let names = |told: &[(String, u64)]| -> Vec<String> {
        let names = told.iter().map(|(state, _)| state.clone());
        names.filter(|state| state != "discovered").collect()
    };
    post("stop").await;
    assert_eq!(names(&told(2).await), ["stopping", "stopped"]);
    post("start").await;
    let up = ["loaded", "initialised", "started"];
    let started = until_state(&mut told, "started").await;
    assert_eq!(names(&started), up);
    post("reload").await;
    let reloaded = until_state(&mut told, "started").await;
    assert_eq!(names(&reloaded), up);
    assert!(reloaded.last().unwrap().1 > started.last().unwrap().1);
    let deleted = server.call("DELETE", "/api/v1/plugins/echo").await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert_eq!(names(&told(2).await), ["stopping", "stopped"]);
    // A plugin hears the same.
    let events = heard(&server, "watch", 10).await;
    let mut of_echo = events.iter().filter(|e| e["payload"]["plugin"] == "echo");
    let last = of_echo.next_back().unwrap();
    assert_eq!(last["topic"], "weir.plugin.stopped", "{last}");
}

async fn until_state(
    told: &mut impl AsyncFnMut(usize) -> Vec<(String, u64)>,
    state: &str,
) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    while all.last().is_none_or(|(s, _): &(String, u64)| s != state) {
        all.extend(told(1).await);
    }
    all
}

#[tokio::test]
async fn a_load_that_fails_is_told_with_its_reason() {
    let server = Setup::new().start().await;
    let mut stream = server.listen("?topic=weir.plugin.failed", None).await;
    server.install("hostile/no-lifecycle.wasm");
    let failed = stream.next().await;
    assert_eq!(failed.payload()["file"], "no-lifecycle.wasm");
    let (_, message) = server.reason("no-lifecycle.wasm").await;
    let told = failed.payload()["reason"].to_string();
    assert!(told.contains(message.as_str()), "{told}: {message}");
}

/// Whoever depends on a plugin hears of it without asking, and nobody else does.
#[tokio::test]
async fn dependants_are_told_what_becomes_of_a_plugin() {
    let dependant = json!({"id": "dependant", "version": "1.0.0", "dependencies": [{"id": "moody", "optional": true}]});
    let server = Setup::new()
        .config("[quarantine]\nfaults = 1\n")
        .guest("system/moody.wasm")
        .file(
            "moody.toml",
            b"restart = \"temporary\"\n[grants]\nstate = true\n",
        )
        .actor("bus", SINGLE, &dependant)
        .actor("bus", SINGLE, &listener("stranger", &json!(["orders.x"])))
        .start()
        .await;
    server.tell("dependant", &json!({"forget": true})).await;
    server.stop("moody").await;
    server.restart("moody").await;
    assert_eq!(server.chat("moody", "crash").await.status, 500);
    let events = heard(&server, "dependant", 3).await;
    let topics: Vec<_> = events.iter().map(|e| e["topic"].clone()).collect();
    let told = ["stopped", "started", "failed"].map(|s| json!(format!("weir.dependency.{s}")));
    assert_eq!(topics, told);
    for event in &events {
        assert_eq!(event["payload"]["plugin"], "moody", "{event}");
        assert_eq!(event["origin"], "weir", "{event}");
    }
    let strangers = server.tell("stranger", &json!({"heard": 10})).await;
    assert_eq!(strangers["count"], 0, "{strangers}");
}

#[tokio::test]
async fn with_back_pressure_nothing_is_lost() {
    let settings = "reuse = \"single\"\noverflow = \"back_pressure\"\nlimits = { event_queue = 2 }\n[grants]\nevents = true\n";
    let patient = json!({"id": "patient", "version": "1.0.0", "topics": ["orders.*"], "does": {"on_event": {"sleep_ms": 50}}});
    let server = Setup::new()
        .guest("system/emitter.wasm")
        .actor("bus", settings, &patient)
        .start()
        .await;
    let watch = Stopwatch::start();
    let emit = json!({"emit": "orders.x", "count": 20, "payload": {}});
    assert_eq!(server.tell("emitter", &emit).await, json!({"ok": 20}));
    let waited = watch.elapsed();
    assert!(waited > Duration::from_millis(500), "{waited:?}");
    let all = heard(&server, "patient", 20).await;
    assert_eq!(numbers(&all), (0..20).collect::<Vec<_>>());
    let waiting = server.get("/api/v1/plugins/patient").await.json()["waiting"].clone();
    assert_eq!(waiting["events_dropped"], 0, "{waiting}");
}

/// Who emits waits a second for a subscriber that hangs, not longer.
#[tokio::test]
async fn back_pressure_ends_after_a_second() {
    let settings = "reuse = \"single\"\noverflow = \"back_pressure\"\nlimits = { event_queue = 1 }\n[grants]\nevents = true\n";
    let hangs = json!({"id": "hangs", "version": "1.0.0", "topics": ["orders.*"], "does": {"on_event": "block"}});
    let server = Setup::new()
        .guest("system/emitter.wasm")
        .actor("bus", settings, &hangs)
        .start()
        .await;
    let emit = json!({"emit": "orders.x", "payload": {}});
    // One is being heard, one waits.
    assert_eq!(server.tell("emitter", &emit).await, json!({"ok": 1}));
    server
        .until_shown("hangs", |p| p["waiting"]["events"] == 0)
        .await;
    assert_eq!(server.tell("emitter", &emit).await, json!({"ok": 1}));
    let watch = Stopwatch::start();
    assert_eq!(server.tell("emitter", &emit).await, json!({"full": 1}));
    let waited = watch.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(3)).contains(&waited),
        "{waited:?}"
    );
}

/// Without it, who emits never waits, and the oldest events are dropped and counted.
#[tokio::test]
async fn by_default_the_oldest_events_are_dropped() {
    let settings = "reuse = \"single\"\nlimits = { event_queue = 3 }\n[grants]\nevents = true\n";
    let slow = json!({"id": "slow", "version": "1.0.0", "topics": ["orders.*"], "does": {"on_event": {"sleep_ms": 100}}});
    let server = Setup::new()
        .guest("system/emitter.wasm")
        .actor("bus", settings, &slow)
        .start()
        .await;
    let emit = json!({"emit": "orders.x", "count": 100, "payload": {}});
    assert_eq!(server.tell("emitter", &emit).await, json!({"ok": 100}));
    let dropped = server
        .until_shown("slow", |p| p["waiting"]["events"] == 0)
        .await["waiting"]["events_dropped"]
        .as_u64()
        .unwrap();
    let all = heard(&server, "slow", 100 - dropped).await;
    assert_eq!(all.len() as u64, 100 - dropped);
    assert!(dropped >= 90, "{dropped}");
    assert_eq!(numbers(&all)[all.len() - 3..], [97, 98, 99]);
}
