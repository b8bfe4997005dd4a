//! What the kit itself promises: errors in plain words, kits side by side, async and not.

use weir_testkit::serde_json::json;
use weir_testkit::{Kit, KitError, Upstream};

use crate::{dist, examples};

fn error(kit: Kit) -> String {
    kit.start_blocking().unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said_in_plain_words() {
    assert_eq!(Kit::new().start_blocking().unwrap_err(), KitError::NoPlugin);
    let e = error(Kit::new().plugin("no/such.wasm"));
    assert!(e.contains("no file no/such.wasm; build it first"), "{e}");
    let e = error(Kit::new().plugin("Cargo.toml"));
    assert!(e.contains("Cargo.toml") && e.contains(".wasm"), "{e}");
    let e = error(Kit::new().settings("x"));
    assert!(
        e.contains("Kit::settings") && e.contains("Kit::plugin"),
        "{e}"
    );
    let e = error(examples(&["echo", "echo"]));
    assert!(e.contains("echo.wasm"), "{e}");
    let e = error(examples(&["echo"]).upstream(Upstream::get("nowhere")));
    assert!(e.contains("\"nowhere\""), "{e}");
    let e = error(examples(&["echo"]).settings("limits.fule = 1"));
    assert!(e.contains("fule"), "{e}");
    let e = error(examples(&["rate-limit"]).settings(""));
    assert!(
        e.contains("grants.state = true") && e.contains("Kit::settings"),
        "{e}"
    );
    let e = error(Kit::new().plugin(dist("hostile/no-role")));
    assert!(e.contains("no-role.wasm did not start"), "{e}");
}

#[test]
#[should_panic(expected = "the kit has no plugin \"ehco\"; there are: echo")]
fn another_plugin_has_to_be_there() {
    let echo = examples(&["echo"]).start_blocking().unwrap();
    drop(echo.on("ehco"));
}

#[tokio::test]
async fn async_tests_await_the_same_calls() {
    let echo = examples(&["echo"]).start().await.unwrap();
    let (a, b) = (echo.clone(), echo.clone());
    let both = tokio::join!(a.chat("one"), b.chat("two"));
    both.0.assert_text("one");
    both.1.assert_text("two");
    let e = examples(&["echo"])
        .start_blocking()
        .unwrap_err()
        .to_string();
    assert!(e.contains("Kit::start().await"), "{e}");
    echo.stop().await;
    echo.chat("three").await.assert_error("unavailable");
}

#[test]
fn kits_do_not_hear_each_other() {
    let one = examples(&["bridge", "audit"]).start_blocking().unwrap();
    let two = examples(&["bridge", "audit"]).start_blocking().unwrap();
    let before = two.log().len();
    let letter = json!({"to": "ann", "text": "hi"});
    one.peer("bob", "send", &letter)
        .assert_logged("bridge.sent");
    assert_eq!(two.log().len(), before);
    assert!(two.state().is_empty());
    assert!(!two.events().iter().any(|e| e.topic == "bridge.sent"));
}

#[test]
fn limits_hold_and_say_so() {
    let tiny = examples(&["echo"]).settings("limits.fuel = 10");
    let outcome = tiny.start_blocking().unwrap().chat("hi");
    outcome
        .assert_error("out_of_fuel")
        .assert_error("fuel = 10");
    assert!(outcome.to_string().contains("of 10, memory"), "{outcome}");
}
