//! Commands that ask a running server: the real program on both sides. And a server over several folders.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use e2e::guests;
use e2e::server::{Server, Setup, command};
use e2e::wait::{PATIENCE, until};
use serde_json::Value;

/// Runs `weir` for this server to its end: exit code, standard output, standard error.
fn weir(server: &Server, args: &[&str]) -> (i32, String, String) {
    let mut command = command();
    command
        .args(args)
        .env("WEIR_SERVER", format!("http://{}", server.host))
        .env("PIPELINES_API_KEY", &server.key);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What a command that works prints.
fn told(server: &Server, args: &[&str]) -> String {
    let (code, out, error) = weir(server, args);
    assert_eq!(code, 0, "{args:?}: {error}");
    out
}

/// A command that is ended with the test.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _status = self.0.wait();
    }
}

fn bridged() -> Setup {
    Setup::new()
        .guest("examples/bridge.wasm")
        .guest("examples/integration.wasm")
        .guest("examples/audit.wasm")
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_shown_and_managed() {
    let server = bridged().start().await;
    let list = told(&server, &["plugins"]);
    assert!(list.starts_with("ID "), "{list}");
    for id in ["bridge", "integration", "audit"] {
        let line = list.lines().find(|l| l.starts_with(id)).unwrap();
        assert!(line.contains("started"), "{list}");
    }
    let one = told(&server, &["plugins", "integration"]);
    assert!(one.contains("bridge ^1.0 (started)"), "{one}");
    let (code, _, error) = weir(&server, &["plugins", "stop", "bridge"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("needed by") && error.contains("integration"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    let stopped = told(&server, &["plugins", "stop", "bridge", "--force"]);
    assert_eq!(stopped, "bridge is stopped\n");
    let list = told(&server, &["plugins"]);
    let line = list.lines().find(|l| l.starts_with("integration")).unwrap();
    assert!(line.contains("failed"), "{list}");
    assert_eq!(
        told(&server, &["plugins", "start", "bridge"]),
        "bridge is started\n"
    );
    server
        .until_plugin("integration", PATIENCE, |p| p["state"] == "started")
        .await;
    let json: Value =
        serde_json::from_str(&told(&server, &["plugins", "bridge", "--json"])).unwrap();
    assert_eq!(json["id"], "bridge");
    told(&server, &["plugins", "delete", "audit"]);
    assert!(server.plugin("audit").await.is_none());
    let (code, _, error) = weir(&server, &["plugins", "nobody"]);
    assert!(code == 1 && error.contains("nobody"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_capabilities_and_grants_are_shown() {
    let server = bridged().start().await;
    let hooks = told(&server, &["hooks"]);
    let line = hooks.lines().find(|l| l.starts_with("bridge/before_send"));
    assert!(line.is_some_and(|l| l.contains("audit")), "{hooks}");
    let point = told(&server, &["hooks", "chat_request"]);
    assert!(
        point.contains("context") && point.contains("no hooks"),
        "{point}"
    );
    let all = told(&server, &["capabilities"]);
    assert!(all.contains("bridge"), "{all}");
    let grants = told(&server, &["grants", "show", "audit"]);
    assert!(grants.contains("weir.plugin.*"), "{grants}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed() {
    let server = Setup::new().guest("examples/echo.wasm").start().await;
    let args = [
        "events",
        "--json",
        "--since",
        "1",
        "--topic",
        "weir.plugin.st*",
    ];
    let child = command()
        .args(args)
        .env("WEIR_SERVER", format!("http://{}", server.host))
        .env("PIPELINES_API_KEY", &server.key)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Following(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let gap = next();
    assert_eq!(gap["topic"], "weir.gap");
    assert_eq!(gap["payload"]["missed"], Value::Null, "of a server before");
    let started = next();
    assert_eq!(started["topic"], "weir.plugin.started");
    assert_eq!(started["payload"]["plugin"], "echo");
    told(&server, &["plugins", "stop", "echo"]);
    assert_eq!(next()["topic"], "weir.plugin.stopping");
    assert_eq!(next()["topic"], "weir.plugin.stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_this_machine_is_found_and_stays_here() {
    let server = Setup::new().no_key().start().await;
    let run = |to: &str| {
        let output = command()
            .args(["plugins", "--server", to])
            .env("WEIR_DATA", server.data())
            .current_dir(server.data())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), error)
    };
    assert_eq!(run(&format!("http://{}", server.host)).0, Some(0));
    let (code, error) = run("http://192.0.2.1:9099");
    assert!(
        code == Some(1) && error.contains("not sent to another"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_folders_are_served_and_followed() {
    let others = tempfile::tempdir().unwrap();
    let echo = guests::bytes("examples/echo.wasm");
    std::fs::write(others.path().join("echo.wasm"), &echo).unwrap();
    let folder = others.path().display().to_string();
    let server = Setup::new()
        .guest("examples/stream.wasm")
        .args(&["--plugins", &folder])
        .start()
        .await;
    for id in ["echo", "stream"] {
        assert!(server.plugin(id).await.is_some(), "{id}");
    }
    let redact = guests::bytes("examples/redact.wasm");
    std::fs::write(others.path().join("redact.wasm"), redact).unwrap();
    server
        .until_plugin("redact", PATIENCE, |p| p["state"] == "started")
        .await;
    std::fs::write(server.plugins().join("echo.wasm"), &echo).unwrap();
    let left = format!("{folder}/echo.wasm");
    until("the file left out is warned about", PATIENCE, async || {
        server.log().contains(&left).then_some(())
    })
    .await;
    told(&server, &["plugins", "delete", "redact"]);
    assert!(!others.path().join("redact.wasm").exists());
}
