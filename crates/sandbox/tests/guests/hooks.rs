//! Hooks: what they return, their continuation, their deadline, and hooks that mean harm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::BoxFuture;
use model::error::{Fault, LoadError};
use model::exchange::Cause;
use model::grants::{Capability, HooksGrant};
use model::hooks::{HookCall, Mode, Next, PointName};
use model::limits::Limit;
use model::plugin::Plugin;
use model::settings::{PluginSettings, Reuse};

use crate::wat::Wat;
use crate::world::{World, limited, load, nobody, world};

const MANIFEST: &str = r#"{"id":"h","version":"1.0.0","hooks":[{"point":"chat_request","mode":"around"},{"point":"b/p","mode":"before"}]}"#;

/// A plugin with hooks. `before` is the body of all but `around`: `$point`, `$point_len`, `$context`, `$len`; `around` has `$next`, too.
struct Hooks<'a> {
    before: &'a str,
    around: &'a str,
    more: &'a str,
}

const PASS: Hooks<'_> = Hooks {
    before: "(call $ok (local.get $context) (local.get $len))",
    around: "(call $drop (local.get $next)) (call $ok (local.get $context) (local.get $len))",
    more: "",
};

fn granted(mut settings: PluginSettings) -> PluginSettings {
    settings.grants.hooks = Some(HooksGrant::All);
    settings
}

impl Hooks<'_> {
    async fn load(&self, world: &World, changes: &[(&str, u64)]) -> Arc<dyn Plugin> {
        self.try_load(world, granted(limited(changes, Reuse::Pool)))
            .await
            .unwrap()
    }

    async fn try_load(
        &self,
        world: &World,
        settings: PluginSettings,
    ) -> Result<Arc<dyn Plugin>, LoadError> {
        let export = |name: &str, next: &str, body: &str| {
            format!(
                r#"(func (export "weir:plugin/hooks@0.1.0#{name}")
                  (param $point i32) (param $point_len i32) (param $context i32) (param $len i32) {next} (result i32) {body})"#
            )
        };
        let code = [
            export("before", "", self.before),
            export("after", "", self.before),
            export("replace", "", self.before),
            export("around", "(param $next i32)", self.around),
            self.more.to_owned(),
        ];
        let wat = Wat {
            manifest: MANIFEST,
            exports: &["hooks"],
            imports: &[],
            head: r#"
              (import "weir:host/hooking@0.1.0" "[method]continuation.run" (func $run (param i32 i32 i32 i32)))
              (import "weir:host/hooking@0.1.0" "[resource-drop]continuation" (func $drop (param i32)))"#,
            code: &code.join("\n"),
        };
        load(world, wat.component(), settings).await
    }
}

/// A continuation: counts, takes some time, and comes to something.
struct Step {
    runs: Arc<AtomicU64>,
    heard: Arc<Mutex<String>>,
    takes: Duration,
    outcome: Result<String, Fault>,
}

impl Next for Step {
    fn run(self: Box<Self>, context: String) -> BoxFuture<'static, Result<String, Fault>> {
        Box::pin(async move {
            self.runs.fetch_add(1, Ordering::Relaxed);
            *self.heard.lock().unwrap() = context;
            if !self.takes.is_zero() {
                // What a slow step looks like from outside.
                let slow = tokio::time::timeout(self.takes, std::future::pending::<()>());
                assert!(slow.await.is_err());
            }
            self.outcome
        })
    }
}

#[derive(Default)]
struct Around {
    runs: Arc<AtomicU64>,
    heard: Arc<Mutex<String>>,
}

impl Around {
    async fn call(
        &self,
        plugin: &Arc<dyn Plugin>,
        outcome: Result<String, Fault>,
    ) -> Result<String, Fault> {
        self.call_slow(plugin, outcome, Duration::ZERO).await
    }

    async fn call_slow(
        &self,
        plugin: &Arc<dyn Plugin>,
        outcome: Result<String, Fault>,
        takes: Duration,
    ) -> Result<String, Fault> {
        let next = Step {
            runs: Arc::clone(&self.runs),
            heard: Arc::clone(&self.heard),
            takes,
            outcome,
        };
        hook(plugin, Mode::Around, Some(Box::new(next))).await
    }

    fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }
}

async fn hook(
    plugin: &Arc<dyn Plugin>,
    mode: Mode,
    next: Option<Box<dyn Next>>,
) -> Result<String, Fault> {
    let call = HookCall {
        point: PointName::new("chat_request").unwrap(),
        mode,
        context: r#"{"a":1}"#.into(),
        next,
    };
    let outcome = Arc::clone(plugin).hook(call, nobody()).await;
    outcome.map_err(|e| e.fault)
}

fn fine() -> Result<String, Fault> {
    Ok(r#"{"done":true}"#.into())
}

const RUN: &str =
    "(call $run (local.get $next) (local.get $context) (local.get $len) (i32.const 96))";

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_returns_its_document() {
    let world = world();
    let plugin = PASS.load(&world, &[]).await;
    let about = plugin.about();
    assert_eq!(about.track, "0.1");
    assert!(about.asks.contains(&Capability::Hooks));
    assert!(about.notes.is_empty(), "{:?}", about.notes);
    for mode in [Mode::Before, Mode::After, Mode::Replace] {
        assert_eq!(hook(&plugin, mode, None).await.unwrap(), r#"{"a":1}"#);
    }
    let around = Around::default();
    assert_eq!(around.call(&plugin, fine()).await.unwrap(), r#"{"a":1}"#);
    assert_eq!(around.runs(), 0, "never is a choice");
    let usage = plugin.usage();
    assert_eq!(usage.instances_made, 1);
    assert!(usage.bytes_in >= 28 && usage.bytes_out >= 28, "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_need_a_grant_or_stay_inactive() {
    let world = world();
    let refused = PASS
        .try_load(&world, PluginSettings::default())
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "the hook at b/p",
        "test.toml",
        r#"grants.hooks = ["b/p", "chat_request"]"#,
    ] {
        assert!(refused.contains(part), "{part} in {refused}");
    }
    let mut settings = PluginSettings::default();
    settings.grants.optional.push(Capability::Hooks);
    let plugin = PASS.try_load(&world, settings).await.unwrap();
    let notes = &plugin.about().notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("inactive"), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_around_hook_runs_the_rest_once() {
    let world = world();
    let twice = Hooks {
        around: &format!(
            "{RUN} {RUN} (call $drop (local.get $next))
             ;; Both outcomes: 9 for ok and the case of the failure.
             (call $digit (call $outcome (i32.const 96) (i32.const 4)))"
        ),
        ..PASS
    };
    let plugin = twice.load(&world, &[]).await;
    let around = Around::default();
    let answer = around.call(&plugin, fine()).await.unwrap();
    assert_eq!(answer, "3", "the second run is `internal`, and no trap");
    assert_eq!(around.runs(), 1);
    assert_eq!(*around.heard.lock().unwrap(), r#"{"a":1}"#);
    assert_eq!(plugin.usage().instances, 1, "the instance stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_the_rest_reaches_the_hook() {
    let world = world();
    let result = Hooks {
        around: &format!(
            "{RUN} (call $drop (local.get $next))
             (if (result i32) (i32.load8_u (i32.const 96))
               (then (call $fail (i32.load8_u (i32.const 100)) (i32.load (i32.const 104)) (i32.load (i32.const 108))))
               (else (call $ok (i32.load (i32.const 100)) (i32.load (i32.const 104)))))"
        ),
        ..PASS
    };
    let plugin = result.load(&world, &[]).await;
    let around = Around::default();
    assert_eq!(
        around.call(&plugin, fine()).await.unwrap(),
        r#"{"done":true}"#
    );
    let refused = Fault::Refused("not with me".into());
    let heard = around.call(&plugin, Err(refused.clone())).await;
    assert_eq!(heard.unwrap_err(), refused);
    let trapped = Fault::Trapped("wasm trap: unreachable at 0x77".into());
    let heard = around.call(&plugin, Err(trapped)).await;
    assert_eq!(heard.unwrap_err(), Fault::Internal("trapped".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_is_not_json_runs_nothing() {
    let world = world();
    let rubbish = Hooks {
        around: "(call $run (local.get $next) (i32.const 8192) (i32.const 3) (i32.const 96))
            (call $drop (local.get $next)) (call $digit (call $outcome (i32.const 96) (i32.const 4)))",
        more: r#"(data (i32.const 8192) "{]}")"#,
        ..PASS
    };
    let plugin = rubbish.load(&world, &[]).await;
    let around = Around::default();
    assert_eq!(around.call(&plugin, fine()).await.unwrap(), "3");
    assert_eq!(around.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuation_ends_with_the_call() {
    let world = world();
    let keep = Hooks {
        around: "(global.set $kept (local.get $next)) (call $ok (local.get $context) (local.get $len))",
        before:
            "(call $run (global.get $kept) (local.get $context) (local.get $len) (i32.const 96))
            (call $ok (local.get $context) (local.get $len))",
        more: "(global $kept (mut i32) (i32.const 0))",
    };
    let plugin = keep.load(&world, &[]).await;
    let around = Around::default();
    let kept = around.call(&plugin, fine()).await.unwrap_err();
    assert_eq!(kept.code(), "trapped", "{kept}");
    assert_eq!(plugin.usage().instances, 0, "its instance goes");
    // An instance that has none has nothing to run, whatever handle it makes up.
    let forged = hook(&plugin, Mode::Before, None).await.unwrap_err();
    assert_eq!(forged.code(), "trapped", "{forged}");
    assert_eq!(around.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_is_named_and_not_passed_on() {
    let world = world();
    let rubbish = Hooks {
        before: "(call $ok (i32.const 8192) (i32.const 3))",
        more: r#"(data (i32.const 8192) "{]}")"#,
        ..PASS
    };
    let deep = Hooks {
        before: "(memory.fill (i32.const 8192) (i32.const 91) (i32.const 200))
            (memory.fill (i32.const 8392) (i32.const 93) (i32.const 200))
            (call $ok (i32.const 8192) (i32.const 400))",
        ..PASS
    };
    let huge = Hooks {
        before: "(call $ok (i32.const 0) (i32.const 1073741824))",
        ..PASS
    };
    let trap = Hooks {
        before: "unreachable",
        ..PASS
    };
    for (hooks, code, word) in [
        (&rubbish, "plugin_failed", "not JSON"),
        (&deep, "plugin_failed", "128 levels"),
        (&huge, "trapped", ""),
        (&trap, "trapped", "unreachable"),
    ] {
        let plugin = hooks.load(&world, &[]).await;
        for mode in [Mode::Before, Mode::After, Mode::Replace] {
            let fault = hook(&plugin, mode, None).await.unwrap_err();
            assert_eq!(fault.code(), code, "{fault}");
            assert!(fault.to_string().contains(word), "{word:?} in {fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_has_its_own_deadline_and_what_it_waits_for_does_not_count() {
    const LIMIT: u64 = 200;
    let world = world();
    let spin = "(loop $again (br $again)) unreachable";
    let after = format!("{RUN} (call $drop (local.get $next)) {spin}");
    let hooks = Hooks {
        before: spin,
        around: &format!(
            "{RUN} (call $drop (local.get $next)) (call $ok (local.get $context) (local.get $len))"
        ),
        ..PASS
    };
    let exceeded = Fault::DeadlineExceeded {
        limit_name: Limit::HookDeadlineMs,
        limit: LIMIT,
    };
    let limits = [("hook_deadline_ms", LIMIT)];
    let plugin = hooks.load(&world, &limits).await;
    let spun = hook(&plugin, Mode::Before, None).await;
    assert_eq!(spun.unwrap_err(), exceeded);

    let around = Around::default();
    let slow = Duration::from_millis(LIMIT * 3);
    let answer = around.call_slow(&plugin, fine(), slow).await;
    assert_eq!(answer.unwrap(), r#"{"a":1}"#);

    let hooks = Hooks {
        around: &after,
        ..PASS
    };
    let plugin = hooks.load(&world, &limits).await;
    let spun = around.call_slow(&plugin, fine(), slow).await;
    assert_eq!(spun.unwrap_err(), exceeded, "its own time counts again");
}

/// A continuation that calls the next of some hooks, as an engine does.
struct Chain {
    plugins: Vec<Arc<dyn Plugin>>,
    cause: Cause,
}

impl Next for Chain {
    fn run(mut self: Box<Self>, context: String) -> BoxFuture<'static, Result<String, Fault>> {
        Box::pin(async move {
            let Some(plugin) = self.plugins.pop() else {
                return Ok(format!(r#"{{"step":{context}}}"#));
            };
            let cause = self.cause.clone();
            let call = HookCall {
                point: PointName::new("chat_request").unwrap(),
                mode: Mode::Around,
                context,
                next: Some(self),
            };
            plugin.hook(call, cause).await.map_err(|e| e.fault)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_lie_around_one_another() {
    let world = world();
    let onion = Hooks {
        around: &format!(
            "{RUN} (call $drop (local.get $next)) (call $ok (i32.load (i32.const 100)) (i32.load (i32.const 104)))"
        ),
        ..PASS
    };
    let mut plugins = Vec::new();
    for _ in 0..10 {
        plugins.push(onion.load(&world, &[]).await);
    }
    let chain = Chain {
        plugins: plugins.clone(),
        cause: nobody(),
    };
    let answer = Box::new(chain).run("1".into()).await;
    assert_eq!(answer.unwrap(), r#"{"step":1}"#);
    for plugin in &plugins {
        let usage = plugin.usage();
        assert_eq!(usage.instances, 1, "{usage:?}");
    }
}
