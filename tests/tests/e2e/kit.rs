//! The author's commands on real components: check, grants suggest, invoke, test, dev.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use e2e::guests;
use e2e::http::{self, Request};
use e2e::server::command;
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};

/// Runs `weir` to its end: exit code, standard output, standard error.
fn weir(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = command().args(args).current_dir(folder.path()).output();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn dist(component: &str) -> String {
    guests::path(component).display().to_string()
}

/// A folder with a copy of a component, without the settings beside it.
fn alone(component: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder
        .path()
        .join(Path::new(component).file_name().unwrap());
    std::fs::write(&path, guests::bytes(component)).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn check_says_what_a_component_is() {
    let (code, out, error) = weir(&["check", &dist("examples/audit.wasm")]);
    assert_eq!(code, 0, "{out}{error}");
    for part in [
        "audit.wasm: ok",
        "track 0.1",
        "KiB",
        "roles: hooks, subscriber",
        "asks for: events (granted), metrics (granted), hooks (granted)",
        "depends on: bridge ^1.0 (optional)",
        "hooks: before bridge/before_send (priority 50)",
        "hears: weir.plugin.*, bridge.*",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, out, error) = weir(&["check", &dist("examples/bridge.wasm")]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("defines points: bridge/before_send"), "{out}");
    assert!(out.contains("provides: messages"), "{out}");
    let (code, out, error) = weir(&["check", &dist("examples/integration.wasm")]);
    assert_eq!(code, 0, "what it depends on may be elsewhere: {out}{error}");
    assert!(out.contains("note: not started here"), "{out}");
}

#[test]
fn check_says_all_that_is_not_granted_and_the_lines_that_would() {
    let (_folder, path) = alone("examples/audit.wasm");
    let (code, out, error) = weir(&["check", &path]);
    assert_eq!(code, 65, "{out}{error}");
    for part in [
        "it would be refused",
        r#"grants.events = { subscribe = ["weir.plugin.*", "bridge.*"] }"#,
        "grants.metrics = true",
        r#"grants.hooks = ["bridge/before_send"]"#,
        "audit.toml",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let (code, out, _) = weir(&["check", "--json", &path, &dist("examples/echo.wasm")]);
    assert_eq!(code, 65, "{out}");
    let reports: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(reports[0]["refused"][1]["line"], "grants.metrics = true");
    assert_eq!(
        reports[0]["asks"][0],
        json!({"capability": "events", "granted": false, "optional": false})
    );
    let echo = &reports[1];
    assert_eq!(echo["refused"], json!([]));
    assert_eq!(echo["manifest"]["id"], "echo");
    assert!(echo["start"]["fuel"].as_u64().unwrap() > 0, "{echo}");
}

#[test]
fn what_is_suggested_is_what_is_needed() {
    for component in [
        "audit",
        "bridge",
        "telemetry",
        "rate-limit",
        "shape",
        "integration",
    ] {
        let (folder, path) = alone(&format!("examples/{component}.wasm"));
        assert_eq!(weir(&["check", &path]).0, 65, "{component}");
        let (code, beside, error) = weir(&["grants", "suggest", &path, "--beside"]);
        assert_eq!(code, 0, "{error}");
        let settings = folder.path().join(format!("{component}.toml"));
        std::fs::write(&settings, &beside).unwrap();
        let (code, _, error) = weir(&["check", &path]);
        assert_eq!(code, 0, "{component}: {beside}{error}");
        std::fs::remove_file(&settings).unwrap();
        let (_, inside, _) = weir(&["grants", "suggest", &path]);
        assert!(
            inside.contains(&format!("[plugins.\"{component}\".grants]")),
            "{inside}"
        );
        let config = folder.path().join("host.toml");
        std::fs::write(&config, &inside).unwrap();
        let config = config.display().to_string();
        let (code, _, error) = weir(&["check", "--config", &config, &path]);
        assert_eq!(code, 0, "{component}: {inside}{error}");
    }
    let (_, out, _) = weir(&["grants", "suggest", &dist("examples/openai-proxy.wasm")]);
    assert!(
        out.contains("\n# http = { allow = ["),
        "to be filled in: {out}"
    );
    let (_, out, _) = weir(&["grants", "suggest", &dist("examples/echo.wasm")]);
    assert!(out.contains("asks for nothing"), "{out}");
    assert_eq!(
        weir(&["grants", "suggest", &dist("hostile/no-role.wasm")]).0,
        65
    );
}

#[test]
fn invoke_makes_every_kind_of_call() {
    let check = |args: &[&str], parts: &[&str]| {
        let (code, out, error) = weir(&[&["invoke"], args].concat());
        assert_eq!(code, 0, "{args:?}: {out}{error}");
        for part in parts {
            let all = format!("{out}\n{error}");
            assert!(all.contains(part), "{args:?}: {part} in {all}");
        }
    };
    let (echo, manifold) = (dist("examples/echo.wasm"), dist("examples/manifold.wasm"));
    let used = [
        "fuel ",
        " of 10000000000",
        "memory ",
        "host calls ",
        "time ",
        " of 300000 ms",
    ];
    check(
        &[&echo, "pipe", "--message", "hello you"],
        &[&["hello you"], &used[..]].concat(),
    );
    check(&[&manifold, "models"], &["manifold.loud", "manifold.quiet"]);
    check(&[&manifold, "--model", "loud", "-m", "hi"], &["HI"]);
    let redact = dist("examples/redact.wasm");
    check(&[&redact, "inlet", "-m", "to a@b.com"], &["to [e-mail]"]);
    let (bridge, audit) = (dist("examples/bridge.wasm"), dist("examples/audit.wasm"));
    let send = [
        "--method",
        "send",
        "--payload",
        r#"{"to":"ann","text":"hi"}"#,
    ];
    let by_bob = [
        &[&*bridge, "peer", "--caller", "bob", "--with", &*audit],
        &send[..],
    ]
    .concat();
    check(
        &by_bob,
        &[r#"{"number":1}"#, "event bridge.sent by bridge:"],
    );
    let event = [
        "event",
        "--topic",
        "bridge.lost",
        "--payload",
        r#"{"to":"ann"}"#,
    ];
    check(
        &[&[&*audit], &event[..]].concat(),
        &["emitted as", "event bridge.lost by someone"],
    );
    let shape = dist("examples/shape.wasm");
    let stage = |config| json!({"pipeline": "p", "stage": {"name": "s", "kind": "transform", "type": "plugin", "plugin": "shape", "config": config}});
    let hook = [&*shape, "hook", "--point", "validate_stage", "--context"];
    let good = stage(json!({"keep": ["a"]})).to_string();
    check(
        &[&hook[..], &[&good]].concat(),
        &["context of the step: {\"pipeline\"", "result: {}"],
    );
    let bad = stage(json!({"keep": 1})).to_string();
    let (code, out, error) = weir(&[&["invoke"], &hook[..], &[&bad]].concat());
    assert_eq!(code, 1, "{out}{error}");
    assert!(
        error.contains("hook-error at validate_stage: stage 's'"),
        "{error}"
    );
    let (code, _, error) = weir(&["invoke", &bridge, "peer"]);
    assert!(code == 1 && error.contains("--method is needed"), "{error}");
}

#[test]
fn invoke_names_what_was_denied() {
    let (folder, path) = alone("examples/rate-limit.wasm");
    let settings = "grants.optional = [\"state\"]\n";
    std::fs::write(folder.path().join("rate-limit.toml"), settings).unwrap();
    let (code, _, error) = weir(&["invoke", &path, "inlet"]);
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("denied: state, 1 times; grants.state = true"),
        "{error}"
    );
}

/// A project's folder as far as `weir test` needs it: the component in `dist`, with its settings, and cases.
fn project(component: &str, cases: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for part in ["dist", "tests"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    let name = Path::new(component).file_name().unwrap();
    let path = folder.path().join("dist").join(name);
    std::fs::write(&path, guests::bytes(component)).unwrap();
    let beside = guests::path(component).with_extension("toml");
    if let Ok(settings) = std::fs::read(beside) {
        std::fs::write(path.with_extension("toml"), settings).unwrap();
    }
    std::fs::write(folder.path().join("tests/cases.toml"), cases).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn test_runs_cases_and_says_which_fail() {
    let (_folder, path) = project(
        "examples/echo.wasm",
        r#"
        [[case]]
        name = "says it again"
        call = "pipe"
        message = "hi"
        expect.text = "hi"
        expect.fuel_below = 10000000
        [[case]]
        name = "says what it is"
        call = "describe"
        expect.json = { id = "echo", roles = ["pipe"] }
        "#,
    );
    let (code, out, error) = weir(&["test", &path]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(
        out.contains("ok      says it again") && out.contains("all 2 cases passed"),
        "{out}"
    );
    let (_folder, path) = project(
        "examples/echo.wasm",
        "[[case]]\nname = \"wrong\"\ncall = \"pipe\"\nmessage = \"hi\"\nexpect.text = \"ho\"\nexpect.fuel_below = 1\n",
    );
    let (code, out, error) = weir(&["test", &path]);
    assert_eq!(code, 1, "{out}{error}");
    for part in [
        "FAILED  wrong",
        "expected \"ho\"",
        "got      \"hi\"",
        "less than 1",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(error.contains("1 of 1 cases failed"), "{error}");
}

#[test]
fn test_has_the_whole_world_of_a_plugin() {
    let bridge = dist("examples/bridge.wasm");
    let cases = format!(
        r#"
        plugins = [{bridge:?}]
        [[case]]
        name = "sends letters"
        call = "pipe"
        message = "send ann hi"
        expect.contains = "on its way to ann"
        expect.events = [{{ topic = "bridge.sent", payload = {{ to = "ann" }} }}]
        "#
    );
    let (_folder, path) = project("examples/integration.wasm", &cases);
    let (code, out, error) = weir(&["test", &path]);
    assert_eq!(code, 0, "{out}{error}");
    let (_folder, path) = project(
        "examples/openai-proxy.wasm",
        r#"
        settings = { grants = { http = { allow = ["https://llm.example"] } } }
        [[case]]
        name = "passes on"
        call = "pipe"
        message = "hi"
        valves = { base_url = "https://llm.example/v1" }
        upstream = [{ method = "POST", url = "https://llm.example/v1/chat/completions", json = { id = "x" } }]
        expect.json = { id = "x" }
        [[case]]
        name = "goes nowhere else"
        call = "pipe"
        message = "hi"
        valves = { base_url = "https://other.example/v1" }
        expect.denied = ["http"]
        "#,
    );
    let (code, out, error) = weir(&["test", &path]);
    assert_eq!(code, 0, "{out}{error}");
    let (_folder, path) = project(
        "examples/shape.wasm",
        r#"
        [[case]]
        name = "refuses what it cannot do"
        call = "hook"
        point = "validate_stage"
        mode = "before"
        context = { pipeline = "p", stage = { name = "s", kind = "sink", type = "plugin", plugin = "shape", config = {} } }
        expect.error = "shape is a transform"
        [[case]]
        name = "lets others pass"
        call = "hook"
        point = "validate_stage"
        mode = "before"
        context = { pipeline = "p", stage = { name = "s", kind = "sink", type = "file", config = {} } }
        expect.json = { pipeline = "p" }
        "#,
    );
    let (code, out, error) = weir(&["test", &path]);
    assert_eq!(code, 0, "{out}{error}");
}

#[test]
fn test_says_where_a_case_is_wrong() {
    let check = |case: &str, parts: &[&str]| {
        let (_folder, path) = project("examples/echo.wasm", case);
        let (code, out, error) = weir(&["test", &path]);
        assert_eq!(code, 65, "{out}{error}");
        for part in [&["cases.toml"], parts].concat() {
            assert!(error.contains(part), "{part} in {error}");
        }
    };
    check(
        "[[case]]\nname = \"a\"\ncall = \"pipe\"\nmesage = \"hi\"\n",
        &["line 4", "mesage", "message"],
    );
    check(
        "[[case]]\nname = \"a\"\ncall = \"transform\"\n",
        &["transform", "needs records"],
    );
    let (_folder, path) = alone("examples/echo.wasm");
    let (code, _, error) = weir(&["test", &path]);
    assert!(code == 65 && error.contains("tests/*.toml"), "{error}");
}

/// A running `weir dev`.
struct Dev {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Dev {
    fn start(project: &Path) -> Self {
        let mut child = command()
            .args(["dev", project.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for pipe in pipes {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    *said.lock().unwrap() += &(line + "\n");
                }
            });
        }
        Self { child, said }
    }

    /// Waits until a pattern was said, and returns what its group caught.
    async fn says(&mut self, pattern: &str) -> String {
        let pattern = regex::Regex::new(pattern).unwrap();
        until(&format!("{pattern}"), PATIENCE, async || {
            let said = self.said.lock().unwrap().clone();
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("it ended with {status}: {said}");
            }
            Some(pattern.captures(&said)?[1].to_owned())
        })
        .await
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What makes the component of this test's project: its source is the line that says which.
fn build_script(component: &Path) -> String {
    format!(
        "import {{ copyFileSync }} from 'node:fs';\ncopyFileSync({:?}, process.argv[2]);\n",
        component.display().to_string()
    )
}

fn js_project(component: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file("package.json", r#"{"name": "words", "type": "module"}"#);
    file("build.mjs", &build_script(component));
    let tool = folder
        .path()
        .join("node_modules/@bytecodealliance/componentize-js");
    std::fs::create_dir_all(tool).unwrap();
    folder
}

#[tokio::test]
async fn dev_serves_builds_again_and_ends() {
    let old = guests::path("corpus/gen_words.wasm");
    let project = js_project(&old);
    let new: PathBuf = project.path().join("new.bin");
    std::fs::write(&new, guests::rebuilt_words()).unwrap();
    let source = project.path().join("build.mjs");
    std::fs::write(&source, "throw new Error('not yet');\n").unwrap();
    let mut dev = Dev::start(project.path());
    dev.says("(not built: tried again when a source changes)")
        .await;
    std::fs::write(&source, build_script(&old)).unwrap();
    let host = dev.says(r"serves on http://(127\.0\.0\.1:\d+)").await;
    let key = dev.says(r"Authorization: Bearer (\S+?)\x22").await;
    let host = host.parse().unwrap();
    let body = json!({"model": "gen_words", "stream": false, "messages": [{"role": "user", "content": ""}]});
    let request = Request::new("POST", "/v1/chat/completions")
        .bearer(&key)
        .json(&body);
    let words = async || http::send(host, &request).await.unwrap().content();
    assert!(words().await.starts_with("one two"));
    std::fs::write(&source, build_script(&new)).unwrap();
    until("the new version serves", PATIENCE, async || {
        words().await.starts_with("ONE TWO").then_some(())
    })
    .await;
    std::fs::write(&source, "throw new Error('a typo');\n").unwrap();
    dev.says("(not built: the version before goes on)").await;
    assert!(words().await.starts_with("ONE TWO"));
    let pid = rustix::process::Pid::from_child(&dev.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = until("it ends", PATIENCE, async || dev.child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
}
