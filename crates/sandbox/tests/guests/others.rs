//! What reaches other plugins: events, peer calls, own points, secrets, metrics; what is denied; and CPU time.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::error::Fault;
use model::events::{Event, Topic, TopicPattern};
use model::exchange::{Cause, EmitError, PeerError, PeerRequest};
use model::grants::{CallsGrant, Capability, EventsGrant, Grants};
use model::id::PluginId;
use model::limits::Limit;
use model::plugin::{Plugin, Usage};
use model::settings::{PluginSettings, Reuse};
use tracing_subscriber::fmt::MakeWriter;

use crate::wat::Wat;
use crate::world::{World, limited, load, world};

const MANIFEST: &str = r#"{"id":"p","version":"1.0.0","dependencies":[{"id":"b"},{"id":"c"}],"points":[{"name":"mine"}],"provides":{"x":true}}"#;

const HEAD: &str = r#"
  (import "weir:host/events@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
  (import "weir:host/calls@0.1.0" "call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "weir:host/calls@0.1.0" "cast" (func $cast (param i32 i32 i32 i32 i32 i32 i32)))
  (import "weir:host/secrets@0.1.0" "get" (func $secret (param i32 i32 i32)))
  (import "weir:host/metrics@0.1.0" "add" (func $add (param i32 i32 i64 i32 i32)))
  (import "weir:host/points@0.1.0" "fire" (func $fire (param i32 i32 i32 i32 i32)))
  (import "weir:host/grants@0.1.0" "present" (func $present (param i32 i32) (result i32)))
  (import "weir:host/grants@0.1.0" "providers" (func $providers (param i32 i32 i32)))
  (import "weir:host/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#;
const IMPORTS: [&str; 7] = [
    "events", "calls", "secrets", "metrics", "points", "grants", "log",
];

/// Each test's plugin does one thing with the method as a name and the payload as what it is about.
fn asks(body: &str, more: &str) -> String {
    format!(
        r#"(func (export "weir:plugin/peer@0.1.0#handle")
          (param $caller i32) (param $caller_len i32) (param $method i32) (param $method_len i32)
          (param $payload i32) (param $len i32) (param $cast_ i32) (result i32) {body})
        {more}"#
    )
}

async fn peer(world: &World, body: &str, settings: PluginSettings) -> Arc<dyn Plugin> {
    named(world, MANIFEST, body, "", settings).await
}

async fn named(
    world: &World,
    manifest: &str,
    body: &str,
    more: &str,
    settings: PluginSettings,
) -> Arc<dyn Plugin> {
    let wat = Wat {
        manifest,
        exports: &["peer"],
        imports: &IMPORTS,
        head: HEAD,
        code: &asks(body, more),
    };
    load(world, wat.component(), settings).await.unwrap()
}

fn everything() -> PluginSettings {
    with(Grants {
        events: Some(EventsGrant {
            emit: vec![TopicPattern::new("orders.*").unwrap()],
            subscribe: Vec::new(),
        }),
        calls: Some(CallsGrant::Plugins(vec![PluginId::new("b").unwrap()])),
        secrets: Some(vec!["key".into(), "lost".into()]),
        metrics: true,
        ..Grants::default()
    })
}

fn with(grants: Grants) -> PluginSettings {
    PluginSettings {
        grants: Grants {
            optional: Capability::ALL.to_vec(),
            ..grants
        },
        ..limited(&[("event_bytes", 1_000)], Reuse::Pool)
    }
}

/// Why a client's third-hand request is served: `first` waits for it.
fn because() -> Cause {
    Cause {
        chain: Arc::from([PluginId::new("first").unwrap()]),
        depth: 1,
        events: 2,
    }
}

async fn ask(plugin: &Arc<dyn Plugin>, method: &str, payload: &str) -> Result<String, Fault> {
    let request = PeerRequest {
        caller: PluginId::new("first").unwrap(),
        method: method.into(),
        payload: payload.into(),
        cast: false,
    };
    let outcome = Arc::clone(plugin).handle(request, because()).await;
    outcome.map_err(|e| e.fault)
}

fn uses(usage: &Usage, capability: Capability) -> (u64, u64) {
    let uses = usage.capabilities[capability as usize];
    (uses.used, uses.denied)
}

const EMIT: &str = "(call $emit (local.get $method) (local.get $method_len) (local.get $payload) (local.get $len) (i32.const 96))
    (call $digit (call $outcome (i32.const 96) (i32.const 1)))";
const CALL: &str = "(call $call (local.get $method) (local.get $method_len) (local.get $method) (local.get $method_len)
      (local.get $payload) (local.get $len) (i32.const 0) (i32.const 0) (i32.const 96))
    (call $digit (call $outcome (i32.const 96) (i32.const 4)))";
const ECHO: &str = "(call $ok (local.get $payload) (local.get $len))";

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_answers_with_json() {
    let world = world();
    let plugin = peer(&world, ECHO, everything()).await;
    assert_eq!(ask(&plugin, "m", "[1]").await.unwrap(), "[1]");
    let fault = ask(&plugin, "m", "{]").await.unwrap_err();
    assert!(
        fault.to_string().contains("an answer that is not JSON"),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_out_on_granted_topics() {
    let world = world();
    let plugin = peer(&world, EMIT, everything()).await;
    assert_eq!(ask(&plugin, "orders.new", "{}").await.unwrap(), "9");
    {
        let emitted = world.others.emitted.lock().unwrap();
        let (caller, topic, payload) = &emitted[0];
        assert_eq!((topic.as_str(), payload.as_str()), ("orders.new", "{}"));
        assert_eq!(caller.plugin.as_str(), "p");
        assert_eq!(caller.cause, because());
    }
    let large = format!("{:?}", "x".repeat(1_000));
    for (topic, payload) in [
        ("other", "{}"),
        ("weir.plugin.started", "{}"),
        ("a b", "{}"),
        ("", "{}"),
        ("orders.new", "{]"),
        ("orders.new", large.as_str()),
    ] {
        assert_eq!(ask(&plugin, topic, payload).await.unwrap(), "0", "{topic}");
    }
    assert_eq!(world.others.emitted.lock().unwrap().len(), 1);
    assert_eq!(uses(&plugin.usage(), Capability::Events), (1, 6));
    for (refusal, digit) in [
        (EmitError::Refused("no".into()), "0"),
        (EmitError::TooDeep, "1"),
        (EmitError::Full, "2"),
    ] {
        world.others.refusals.lock().unwrap().push(refusal);
        assert_eq!(ask(&plugin, "orders.new", "1").await.unwrap(), digit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_to_declared_and_granted_plugins() {
    let world = world();
    let plugin = peer(&world, CALL, everything()).await;
    assert_eq!(ask(&plugin, "b", "{}").await.unwrap(), "1", "not there");
    let callee = r#"{"id":"b","version":"1.0.0"}"#;
    named(&world, callee, ECHO, "", with(Grants::default())).await;
    assert_eq!(ask(&plugin, "b", "[7]").await.unwrap(), "9");
    // Declared and not granted; neither; itself; no name at all.
    for denied in ["c", "d", "p", "../b", ""] {
        assert_eq!(ask(&plugin, denied, "{}").await.unwrap(), "0", "{denied}");
    }
    let large = format!("{:?}", "x".repeat(1_000));
    for payload in ["{]", large.as_str()] {
        assert_eq!(ask(&plugin, "b", payload).await.unwrap(), "6", "failed");
    }
    assert_eq!(uses(&plugin.usage(), Capability::Calls), (2, 5));
    let called = world.others.called.lock().unwrap();
    assert_eq!(called.len(), 2);
    let (caller, _, timeout) = &called[1];
    assert_eq!((caller.plugin.as_str(), &caller.cause), ("p", &because()));
    assert_eq!(*timeout, Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_given_no_more_time_than_its_caller_has() {
    let world = world();
    let settings = PluginSettings {
        limits: limited(&[("deadline_ms", 2_000)], Reuse::Pool).limits,
        ..everything()
    };
    let plugin = peer(&world, CALL, settings).await;
    ask(&plugin, "b", "{}").await.unwrap();
    let called = world.others.called.lock().unwrap();
    assert!(called[0].2 <= Duration::from_secs(2), "{called:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_with_a_call_has_its_case() {
    let world = world();
    let plugin = peer(&world, CALL, everything()).await;
    let trapped = || Fault::Trapped("at 0x77".into());
    for (error, digit) in [
        (PeerError::NotFound, "1"),
        (PeerError::Cycle(vec!["a".into(), "p".into()]), "2"),
        (PeerError::TooDeep, "3"),
        (PeerError::TimedOut, "4"),
        (PeerError::Crashed("out_of_fuel".into()), "5"),
        (PeerError::Failed(trapped()), "5"),
        (PeerError::Failed(Fault::Refused("no".into())), "6"),
    ] {
        world.others.answers.lock().unwrap().push(error.clone());
        let answer = ask(&plugin, "b", "{}").await.unwrap();
        assert_eq!(answer, digit, "{error}");
    }
}

/// `call` of `b` with the payload, and its answer passed on.
const FORWARD: &str =
    "(call $call (local.get $method) (local.get $method_len) (i32.const 8192) (i32.const 1)
      (local.get $payload) (local.get $len) (i32.const 0) (i32.const 0) (i32.const 96))
    (call $ok (i32.load (i32.const 100)) (i32.load (i32.const 104)))";

#[tokio::test(flavor = "multi_thread")]
async fn calls_may_lie_inside_one_another() {
    let world = world();
    let bee = r#"(data (i32.const 8192) "c")"#;
    let first = named(&world, MANIFEST, FORWARD, bee, everything()).await;
    let middle = r#"{"id":"b","version":"1.0.0","dependencies":[{"id":"c"}]}"#;
    let settings = with(Grants {
        calls: Some(CallsGrant::Dependencies),
        ..Grants::default()
    });
    named(&world, middle, FORWARD, bee, settings.clone()).await;
    let last = r#"{"id":"c","version":"1.0.0"}"#;
    named(&world, last, ECHO, "", settings).await;
    let answer = ask(&first, "b", r#"{"deep":1}"#).await.unwrap();
    assert_eq!(answer, r#"{"deep":1}"#);
    let called = world.others.called.lock().unwrap();
    let chains: Vec<_> = called.iter().map(|(c, _, _)| c.cause.chain.len()).collect();
    assert_eq!(chains, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn casts_are_checked_as_calls_are() {
    let world = world();
    let cast = "(call $cast (local.get $method) (local.get $method_len) (local.get $method) (local.get $method_len)
          (local.get $payload) (local.get $len) (i32.const 96))
        (call $digit (call $outcome (i32.const 96) (i32.const 4)))";
    let plugin = peer(&world, cast, everything()).await;
    for (callee, payload, digit) in [("b", "1", "9"), ("c", "1", "0"), ("b", "{", "6")] {
        assert_eq!(ask(&plugin, callee, payload).await.unwrap(), digit);
    }
    assert_eq!(world.others.called.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_points_are_fired_by_their_names() {
    let world = world();
    let fire = "(call $fire (local.get $method) (local.get $method_len) (local.get $payload) (local.get $len) (i32.const 96))
        (call $digit (call $outcome (i32.const 96) (i32.const 4)))";
    let plugin = peer(&world, fire, everything()).await;
    for (name, context, digit) in [
        ("mine", "{}", "9"),
        ("mine", "{", "0"),
        ("p/mine", "{}", "0"),
        ("other", "{}", "0"),
        ("chat_request", "{}", "0"),
        ("", "{}", "0"),
        ("mine", r#""refuse""#, "2"),
    ] {
        let answer = ask(&plugin, name, context).await.unwrap();
        assert_eq!(answer, digit, "{name} {context}");
    }
    let fired = world.others.fired.lock().unwrap();
    assert_eq!(fired.len(), 2);
    assert_eq!(fired[0].1, "p/mine");
    assert_eq!(fired[0].0.cause, because());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_and_who_provides() {
    let world = world();
    let there = "(call $providers (local.get $payload) (local.get $len) (i32.const 96))
        (call $digit (i32.add (call $present (local.get $method) (local.get $method_len))
          (i32.mul (i32.const 2) (i32.load (i32.const 100)))))";
    let plugin = peer(&world, there, everything()).await;
    for (id, capability, digit) in [("p", "x", "3"), ("p", "1", "1"), ("b", "x", "2")] {
        assert_eq!(ask(&plugin, id, capability).await.unwrap(), digit);
    }
}

/// Lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_secret_is_handed_out_by_name_and_stays_out_of_log_and_failures() {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt().with_writer(lines.clone());
    let _log = tracing::subscriber::set_default(log.with_ansi(false).finish());
    let world = world();
    // Gets the secret and logs it, with a word before it; then says it in a failure.
    let leak = r#"
        (call $secret (local.get $method) (local.get $method_len) (i32.const 96))
        (if (result i32) (i32.load8_u (i32.const 96))
          (then (call $digit (i32.load8_u (i32.const 100))))
          (else
            (call $log (i32.const 2) (i32.load (i32.const 100)) (i32.load (i32.const 104)) (i32.const 0) (i32.const 0))
            (call $fail (i32.const 2) (i32.load (i32.const 100)) (i32.load (i32.const 104)))))"#;
    let plugin = peer(&world, leak, everything()).await;
    assert_eq!(ask(&plugin, "other", "1").await.unwrap(), "0", "denied");
    assert_eq!(ask(&plugin, "lost", "1").await.unwrap(), "1", "not found");
    let fault = ask(&plugin, "key", "1").await.unwrap_err();
    assert_eq!(fault, Fault::Refused("***".into()));
    assert_eq!(uses(&plugin.usage(), Capability::Secrets), (2, 1));
    let text = lines.text();
    assert!(text.contains("***"), "{text}");
    assert!(!text.contains("hunter22"), "{text}");
    assert!(text.contains("plugin was denied"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_with_good_names_are_kept_and_others_counted() {
    let world = world();
    let count = "(call $add (local.get $method) (local.get $method_len) (i64.const 2) (i32.const 0) (i32.const 0))
        (call $digit (i32.const 0))";
    let plugin = peer(&world, count, everything()).await;
    for name in ["orders_total", "Orders", "", "a-b", "1a"] {
        ask(&plugin, name, "1").await.unwrap();
    }
    let observed = world.others.observed.lock().unwrap();
    let names: Vec<_> = observed.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["orders_total"]);
    assert_eq!(uses(&plugin.usage(), Capability::Metrics), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_optional_and_not_granted_answers_denied() {
    let world = world();
    for (body, name, capability) in [
        (EMIT, "orders.new", Capability::Events),
        (CALL, "b", Capability::Calls),
    ] {
        let plugin = peer(&world, body, with(Grants::default())).await;
        assert_eq!(ask(&plugin, name, "1").await.unwrap(), "0");
        assert_eq!(uses(&plugin.usage(), capability), (0, 1));
    }
    assert!(world.others.emitted.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted_while_a_plugin_describes_itself() {
    let world = world();
    // Emits, calls, fires and counts in `describe`; traps unless all is denied.
    let more = r#"
        (data (i32.const 8192) "orders.newbmine1key")
        (func $must (param $result i32) (param $at i32)
          (if (call $outcome (local.get $result) (local.get $at)) (then (unreachable))))
        (func $on_describe
          (call $emit (i32.const 8192) (i32.const 10) (i32.const 8207) (i32.const 1) (i32.const 96))
          (call $must (i32.const 96) (i32.const 1))
          (call $call (i32.const 8202) (i32.const 1) (i32.const 8202) (i32.const 1)
            (i32.const 8207) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 96))
          (call $must (i32.const 96) (i32.const 4))
          (call $fire (i32.const 8203) (i32.const 4) (i32.const 8207) (i32.const 1) (i32.const 96))
          (call $must (i32.const 96) (i32.const 4))
          (call $secret (i32.const 8208) (i32.const 3) (i32.const 96))
          (call $must (i32.const 96) (i32.const 4))
          (call $add (i32.const 8203) (i32.const 4) (i64.const 1) (i32.const 0) (i32.const 0))
          (if (call $present (i32.const 8202) (i32.const 1)) (then (unreachable))))"#;
    named(&world, MANIFEST, ECHO, more, everything()).await;
    let others = &world.others;
    assert!(others.emitted.lock().unwrap().is_empty());
    assert!(others.called.lock().unwrap().is_empty());
    assert!(others.fired.lock().unwrap().is_empty());
    assert!(others.observed.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_time_is_counted_and_ends() {
    let world = world();
    let settings = PluginSettings {
        limits: limited(&[("cpu_ms", 50)], Reuse::Pool).limits,
        ..everything()
    };
    let spin = "(loop $again (br $again)) unreachable";
    let plugin = peer(&world, spin, settings).await;
    let fault = ask(&plugin, "m", "1").await.unwrap_err();
    let limit = Limit::CpuMs;
    assert_eq!(fault, Fault::LimitReached { limit, value: 50 });
    let usage = plugin.usage();
    assert!((50_000..5_000_000).contains(&usage.cpu_us), "{usage:?}");
    assert_eq!(usage.instances, 0);
}

/// Counts up to a number.
fn busy(turns: u32) -> String {
    format!(
        "(local $i i32) (loop $again
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const {turns}))))"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_of_a_long_call_is_not_on_the_slow_lane() {
    let world = world();
    let bee = r#"(data (i32.const 8192) "c")"#;
    // Long enough for the slow lane, and then a call.
    let long = format!("{} {FORWARD}", busy(100_000_000));
    let caller = named(&world, MANIFEST, &long, bee, everything()).await;
    let callee = r#"{"id":"b","version":"1.0.0"}"#;
    named(&world, callee, ECHO, "", with(Grants::default())).await;
    assert_eq!(ask(&caller, "b", "[1]").await.unwrap(), "[1]");
    let threads = world.others.threads.lock().unwrap();
    assert_eq!(threads.len(), 1);
    assert_ne!(threads[0].as_deref(), Some("weir-slow-lane"));
    assert!(caller.usage().cpu_us > 10_000, "{:?}", caller.usage());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_callee_burns_is_not_its_callers_cpu_time() {
    let world = world();
    let bee = r#"(data (i32.const 8192) "c")"#;
    let caller = named(&world, MANIFEST, FORWARD, bee, everything()).await;
    let busy = format!("{} {ECHO}", busy(100_000_000));
    let callee = r#"{"id":"b","version":"1.0.0"}"#;
    let callee = named(&world, callee, &busy, "", with(Grants::default())).await;
    let before = caller.usage().cpu_us;
    assert_eq!(ask(&caller, "b", "[1]").await.unwrap(), "[1]");
    let (callers, callees) = (caller.usage().cpu_us - before, callee.usage().cpu_us);
    assert!(callers * 2 < callees, "{callers} us and {callees} us");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_hears_events_and_why() {
    let world = world();
    // Emits what it hears, so that the test sees it.
    let wat = Wat {
        manifest: r#"{"id":"s","version":"1.0.0","topics":["orders.*"]}"#,
        exports: &["subscriber"],
        imports: &["events"],
        head: r#"(import "weir:host/events@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))"#,
        code: r#"(func (export "weir:plugin/subscriber@0.1.0#on-event")
            (param $id i64) (param $topic i32) (param $topic_len i32) (param $origin i32) (param $origin_len i32)
            (param $time i64) (param $payload i32) (param $len i32) (result i32)
            (if (i64.ne (local.get $id) (i64.const 7)) (then (unreachable)))
            (if (i64.ne (local.get $time) (i64.const 5)) (then (unreachable)))
            (call $emit (local.get $topic) (local.get $topic_len) (local.get $payload) (local.get $len) (i32.const 96))
            (i32.store8 (i32.const 64) (i32.const 0)) (i32.const 64))"#,
    };
    let refused = load(&world, wat.component(), PluginSettings::default()).await;
    assert_eq!(refused.unwrap_err().code(), "missing_grant");
    let mut settings = everything();
    settings.grants.events.as_mut().unwrap().subscribe = vec![TopicPattern::new("*").unwrap()];
    let plugin = load(&world, wat.component(), settings).await.unwrap();
    assert!(plugin.about().asks.contains(&Capability::Events));
    let event = Arc::new(Event {
        id: 7,
        topic: Topic::new("orders.new").unwrap(),
        origin: "first".into(),
        at: std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(5),
        payload: "[1]".into(),
        cause: because(),
    });
    Arc::clone(&plugin).on_event(event).await.unwrap();
    let emitted = world.others.emitted.lock().unwrap();
    assert_eq!(emitted[0].2, "[1]");
    assert_eq!(emitted[0].0.cause, because());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_not_there_is_unavailable() {
    let world = world();
    let plugin = peer(&world, ECHO, everything()).await;
    let error = Arc::clone(&plugin).models().await.unwrap_err();
    assert_eq!(error.fault.code(), "unavailable", "{error}");
}
