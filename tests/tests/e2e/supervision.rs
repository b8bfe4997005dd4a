//! Plugins that crash or do not start: when they are started again, how often, by which policy, and where it is shown.

use std::time::Duration;

use e2e::actors::stamp;
use e2e::neighbour::{NEIGHBOUR, beside};
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};

/// A plugin that starts, stops and crash as `config` (TOML) says, with settings before it: `restart = ".."`.
fn moody(setup: Setup, id: &str, restart: &str, config: &str) -> Setup {
    let settings = format!("restart = \"{restart}\"\n[grants]\nstate = true\n[config]\n{config}\n");
    setup.actor("life", &settings, &json!({"id": id, "version": "1.0.0"}))
}

/// One fault is a crash; the first restart comes after a second, as all others.
const SHORT: &str = "[quarantine]\nfaults = 1\nfirst_s = 1\nlongest_s = 1\n";

async fn plugin(server: &Server, id: &str) -> Value {
    server.plugin(id).await.unwrap_or_else(|| panic!("no {id}"))
}

async fn until_state(server: &Server, id: &str, state: &str) -> Value {
    let wanted = |p: &Value| p["state"] == state;
    server.until_plugin(id, PATIENCE, wanted).await
}

async fn crash(server: &Server, id: &str) {
    let answer = server.chat(id, "crash").await;
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "trapped");
}

/// The value of a metric of a plugin.
async fn metric(server: &Server, name: &str, id: &str) -> f64 {
    let text = server.get("/metrics").await.text();
    let start = format!("{name}{{plugin=\"{id}\"");
    let line = text.lines().find(|l| l.starts_with(&start));
    let value = line.and_then(|l| l.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {start}"))
}

/// States and generations of a plugin, in the order the log tells them.
fn told(server: &Server, id: &str) -> Vec<(String, u64)> {
    let log = server.log();
    let lines = log.lines().filter_map(|l| serde_json::from_str(l).ok());
    let lines = lines.filter(|l: &Value| {
        l["target"] == "engine::lifecycle"
            && (l["plugin"] == id || l["file"] == format!("{id}.wasm"))
    });
    let states =
        lines.filter_map(|l| Some((l["state"].as_str()?.to_owned(), l["generation"].as_u64()?)));
    states.collect()
}

#[tokio::test]
async fn a_plugin_that_crashes_is_started_again_by_itself() {
    let server = moody(Setup::new(), "moody", "transient", "")
        .actor(
            "tiny",
            "",
            &json!({"id": "child", "version": "1.0.0", "dependencies": [{"id": "moody"}]}),
        )
        .guest("corpus/ok.wasm")
        .config(SHORT)
        .start()
        .await;
    assert_eq!(
        server.chat("moody", "").await.content(),
        "1 starts, 1 calls"
    );
    let attack = async {
        crash(&server, "moody").await;
        let crashed = plugin(&server, "moody").await;
        assert_eq!(crashed["state"], "quarantined", "{crashed}");
        assert_eq!(crashed["reason"]["code"], "quarantined");
        assert!(crashed["restarts"]["next_at_ms"].as_u64() >= crashed["reason"]["at_ms"].as_u64());
        assert_eq!(crashed["faults"][0]["code"], "trapped", "{crashed}");
        let refused = server.chat("moody", "").await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!(wait <= 1, "{wait}");
        // Who needs it goes on, and is shown what became of it.
        let child = server.get("/api/v1/plugins/child").await.json();
        assert_eq!(child["state"], "started");
        assert_eq!(child["dependencies"][0]["state"], "quarantined");
        until_state(&server, "moody", "started").await
    };
    let (started, _, slowest) = beside(&server, attack).await;
    assert!(
        slowest < NEIGHBOUR,
        "a call of the neighbour took {slowest:?}"
    );
    assert_eq!(started["generation"], 2);
    assert_eq!(
        started["restarts"],
        json!({"policy": "transient", "count": 1, "next_at_ms": null})
    );
    assert_eq!(started["reason"], Value::Null);
    // A new instance, and the state is still there.
    assert_eq!(
        server.chat("moody", "").await.content(),
        "2 starts, 1 calls"
    );
    for (name, value) in [
        ("weir_plugin_restarts_total", 1.0),
        ("weir_plugin_quarantines_total", 1.0),
        ("weir_plugin_faults_total", 1.0),
    ] {
        assert!(
            (metric(&server, name, "moody").await - value).abs() < 0.1,
            "{name}"
        );
    }
    assert!(metric(&server, "weir_plugin_restarts_total", "ok").await < 0.1);
    let states = told(&server, "moody");
    let wanted = [
        ("discovered", 1),
        ("loaded", 1),
        ("initialised", 1),
        ("started", 1),
        ("quarantined", 1),
        ("discovered", 2),
        ("loaded", 2),
        ("initialised", 2),
        ("started", 2),
    ];
    assert_eq!(states, wanted.map(|(s, g)| (s.to_owned(), g)));
}

#[tokio::test]
async fn one_that_crashes_too_often_stays_down_until_somebody_helps() {
    let server = moody(Setup::new(), "moody", "transient", "")
        .guest("corpus/ok.wasm")
        .config(&format!(
            "{SHORT}[supervision]\nrestarts = 2\nwithin_s = 600\n"
        ))
        .start()
        .await;
    for _ in 0..2 {
        crash(&server, "moody").await;
        until_state(&server, "moody", "started").await;
    }
    crash(&server, "moody").await;
    let failed = until_state(&server, "moody", "failed").await;
    assert_eq!(failed["reason"]["code"], "crashed", "{failed}");
    let message = failed["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains("was started again 2 times within 600 s"),
        "{message}"
    );
    assert_eq!(failed["restarts"]["count"], 2);
    assert_eq!(failed["restarts"]["next_at_ms"], Value::Null);
    let answer = server.chat("moody", "").await;
    assert_eq!(
        answer.json()["error"]["code"],
        "unavailable",
        "{}",
        answer.text()
    );
    assert_eq!(server.chat("ok", "").await.content(), "ok");
    // An operator, after whom the count begins anew.
    let start = server.call("POST", "/api/v1/plugins/moody/start").await;
    assert_eq!(start.json()["state"], "started", "{}", start.text());
    for _ in 0..2 {
        crash(&server, "moody").await;
        until_state(&server, "moody", "started").await;
    }
    crash(&server, "moody").await;
    until_state(&server, "moody", "failed").await;
    // A new file.
    let new = stamp("life", &json!({"id": "moody", "version": "1.0.1"}));
    std::fs::write(server.plugins().join("moody.wasm"), new).unwrap();
    let started = until_state(&server, "moody", "started").await;
    assert_eq!(started["version"], "1.0.1");
    crash(&server, "moody").await;
    until_state(&server, "moody", "started").await;
}

#[tokio::test]
async fn a_temporary_plugin_is_not_started_again() {
    let setup = moody(Setup::new(), "moody", "temporary", "");
    let server = moody(
        setup,
        "ill",
        "temporary",
        "start = { fail = \"transient\" }",
    )
    .config(SHORT)
    .start()
    .await;
    let ill = plugin(&server, "ill").await;
    assert_eq!(
        (&ill["state"], &ill["reason"]["code"]),
        (&json!("failed"), &json!("start_failed"))
    );
    assert_eq!(
        ill["restarts"],
        json!({"policy": "temporary", "count": 0, "next_at_ms": null})
    );
    crash(&server, "moody").await;
    let failed = until_state(&server, "moody", "failed").await;
    assert_eq!(failed["reason"]["code"], "crashed");
    let message = failed["reason"]["message"].as_str().unwrap();
    assert!(message.contains("restart = \"temporary\""), "{message}");
    assert_eq!(
        failed["restarts"],
        json!({"policy": "temporary", "count": 0, "next_at_ms": null})
    );
    let reload = server.call("POST", "/api/v1/plugins/moody/reload").await;
    assert_eq!(reload.json()["state"], "started", "{}", reload.text());
}

/// What a start that failed is followed by: the policy and the kind of failure decide.
#[tokio::test]
async fn a_start_that_fails_is_tried_again_if_that_may_help() {
    let twice = |what: &str| format!("start = {what}\nstart_failures = 2");
    let mut setup = Setup::new().guest("corpus/ok.wasm");
    for (id, restart, config) in [
        (
            "comes-transient",
            "transient",
            twice("{ fail = \"transient\" }"),
        ),
        ("comes-trap", "permanent", twice("\"trap\"")),
        (
            "comes-internal",
            "permanent",
            twice("{ fail = \"internal\" }"),
        ),
        ("stays-trap", "transient", twice("\"trap\"")),
        (
            "stays-internal",
            "transient",
            twice("{ fail = \"internal\" }"),
        ),
        (
            "stays-invalid",
            "permanent",
            "init = { fail = \"invalid\" }".into(),
        ),
    ] {
        setup = moody(setup, id, restart, &config);
    }
    let server = setup.config(SHORT).start().await;
    assert_eq!(server.chat("ok", "").await.content(), "ok");
    for id in ["comes-transient", "comes-trap", "comes-internal"] {
        let started = until_state(&server, id, "started").await;
        assert_eq!(started["restarts"]["count"], 2, "{started}");
        assert_eq!(server.chat(id, "").await.content(), "3 starts, 1 calls");
    }
    // By now two restarts of these would have come, too.
    for (id, code) in [
        ("stays-trap", "start_failed"),
        ("stays-internal", "start_failed"),
        ("stays-invalid", "refused_config"),
    ] {
        let failed = plugin(&server, id).await;
        assert_eq!(failed["state"], "failed", "{failed}");
        assert_eq!(failed["reason"]["code"], code, "{failed}");
        assert_eq!(failed["restarts"]["count"], 0, "{failed}");
        assert_eq!(failed["restarts"]["next_at_ms"], Value::Null, "{failed}");
    }
    let invalid = plugin(&server, "stays-invalid").await;
    assert_eq!(
        invalid["faults"],
        json!([]),
        "a refused configuration is no fault"
    );
    assert!(
        invalid["reason"]["message"]
            .as_str()
            .unwrap()
            .contains("told to fail: invalid")
    );
    // The operator corrects it.
    std::fs::write(
        server.plugins().join("stays-invalid.toml"),
        "[grants]\nstate = true\n",
    )
    .unwrap();
    until_state(&server, "stays-invalid", "started").await;
}

/// A start that never succeeds is given up, and those that need it come with it once it does.
#[tokio::test]
async fn a_start_that_never_succeeds_is_given_up() {
    let settings = "restart = \"permanent\"\n[grants]\nstate = true\n[config]\nstart = \"trap\"\n";
    let server = Setup::new()
        .actor(
            "life",
            settings,
            &json!({"id": "moody", "version": "1.0.0"}),
        )
        .actor(
            "tiny",
            "",
            &json!({"id": "child", "version": "1.0.0", "dependencies": [{"id": "moody"}]}),
        )
        .config(&format!(
            "{SHORT}[supervision]\nrestarts = 2\nwithin_s = 600\n"
        ))
        .start()
        .await;
    let failed = until("it is given up", PATIENCE, async || {
        let moody = plugin(&server, "moody").await;
        let message = moody["reason"]["message"].as_str()?.to_owned();
        message
            .contains("given up after 2 restarts within 600 s")
            .then_some(moody)
    })
    .await;
    assert_eq!(
        (&failed["state"], &failed["restarts"]["count"]),
        (&json!("failed"), &json!(2))
    );
    assert_eq!(failed["restarts"]["next_at_ms"], Value::Null);
    let (code, message) = server.reason("child.wasm").await;
    assert_eq!(code, "dependency");
    assert!(
        message.contains("child needs moody, which failed (start_failed)"),
        "{message}"
    );
    std::fs::write(
        server.plugins().join("moody.toml"),
        "[grants]\nstate = true\n",
    )
    .unwrap();
    until_state(&server, "child", "started").await;
    assert_eq!(
        server.chat("moody", "").await.content(),
        "4 starts, 1 calls"
    );
}

/// Each wait is twice the one before, up to the longest.
#[tokio::test]
async fn restarts_come_after_longer_and_longer_waits() {
    let server = moody(Setup::new(), "moody", "transient", "")
        .config(
            "[quarantine]\nfaults = 1\nfirst_s = 1\nlongest_s = 3\n[supervision]\nrestarts = 100\n",
        )
        .start()
        .await;
    for wanted in [1000, 2000, 3000] {
        crash(&server, "moody").await;
        let crashed = plugin(&server, "moody").await;
        let time = |at: &Value| Duration::from_millis(at.as_u64().unwrap());
        let at = time(&crashed["reason"]["at_ms"]);
        let wait = time(&crashed["restarts"]["next_at_ms"]).saturating_sub(at);
        let difference = wait.abs_diff(Duration::from_millis(wanted));
        assert!(
            difference < Duration::from_millis(300),
            "{wanted}: {crashed}"
        );
        let started = until_state(&server, "moody", "started").await;
        let waited = time(&started["loaded_at_ms"]).saturating_sub(at);
        assert!(
            waited + Duration::from_millis(50) >= wait,
            "{waited:?}, not {wait:?}"
        );
    }
}
