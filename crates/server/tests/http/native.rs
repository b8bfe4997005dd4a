//! Our own API.

use serde_json::{Value, json};

use crate::client::Request;
use crate::fake::component;
use crate::world::{FUEL, Wish, start, world};

#[tokio::test]
async fn plugins_are_listed_with_all_that_is_known() {
    let world = world().await;
    let list = world.get("/api/v1/plugins").await.json();
    let ids: Vec<_> = list["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["id"].clone())
        .collect();
    assert_eq!(ids.len(), 4, "{list}");
    let one = world.get("/api/v1/plugins/filter").await.json();
    assert_eq!(one["state"], "started");
    assert_eq!(one["kind"], "filter");
    assert_eq!(one["file"], "filter_file.wasm");
    assert_eq!(one["version"], "1.2.3");
    assert_eq!(one["origin"]["from"], "folder");
    assert_eq!(one["reuse"], "pool");
    let slash = world.get("/api/v1/plugins/org/plug").await.json();
    assert_eq!(slash["id"], "org/plug");
    world
        .get("/api/v1/plugins/nope")
        .await
        .check(404, "plugin_not_found", "nope");
    let limits = world.get("/api/v1/plugins/org%2Fplug/limits").await.json();
    let fuel = limits["limits"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["name"] == "fuel")
        .unwrap();
    assert_eq!(
        *fuel,
        json!({"name":"fuel","unit":"fuel","value":FUEL,"default":FUEL,"ceiling":10_000_000_000_000_u64})
    );
    let grants = world.get("/api/v1/plugins/echo/grants").await.json();
    assert_eq!(grants["missing"], json!([]));
    world.chat("echo", "fail trapped", false).await;
    let faults = world.get("/api/v1/plugins/echo/faults").await.json();
    assert_eq!(faults["faults"][0]["code"], "trapped");
    assert!(
        faults["faults"][0]["message"]
            .as_str()
            .unwrap()
            .contains("secret backtrace"),
        "operators see it"
    );
}

#[tokio::test]
async fn requests_for_plugins_wait_for_the_boot_and_health_does_not() {
    let world = start(Wish {
        booted: false,
        ..Wish::default()
    })
    .await;
    assert_eq!(world.get("/healthz").await.status, 200);
    assert_eq!(world.get("/").await.status, 200);
    let models = world.get("/v1/models");
    tokio::pin!(models);
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut models).await;
    assert!(early.is_err(), "it waits");
    world.boot.send_replace(true);
    assert_eq!(models.await.status, 200);
}

#[tokio::test]
async fn a_plugin_is_installed_stopped_started_reloaded_and_deleted() {
    let world = world().await;
    let bytes = component(&json!({"id": "new/one", "roles": ["pipe"]}));
    let put = || Request::new("PUT", "/api/v1/plugins?name=new.wasm").body(bytes.to_vec());
    let first = world.send(put()).await;
    assert_eq!(
        (first.status, first.json()["id"].as_str()),
        (201, Some("new/one")),
        "{first:?}"
    );
    let again = world.send(put()).await;
    assert_eq!(
        (again.status, &again.json()["replaced"]),
        (200, &Value::from(true))
    );
    let form = Request::new("POST", "/api/v1/plugins").file("new.wasm", &bytes);
    assert_eq!(world.send(form).await.status, 200);
    let unnamed = Request::new("POST", "/api/v1/plugins").body(bytes.to_vec());
    world
        .send(unnamed)
        .await
        .check(422, "invalid_request", "name");

    let at = "/api/v1/plugins/new/one";
    let stopped = world.post(&format!("{at}/stop"), "").await.json();
    assert_eq!(stopped["state"], "stopped");
    assert_ne!(world.chat("new/one", "x", false).await.status, 200);
    assert_eq!(
        world.post(&format!("{at}/start"), "").await.json()["state"],
        "started"
    );
    assert_eq!(world.chat("new/one", "x", false).await.status, 200);
    assert_eq!(world.post(&format!("{at}/reload"), "").await.status, 200);
    assert_eq!(world.send(Request::new("DELETE", at)).await.status, 200);
    world
        .get(at)
        .await
        .check(404, "plugin_not_found", "new/one");
    world
        .post(&format!("{at}/reload"), "")
        .await
        .check(404, "plugin_not_found", "new/one");
    let report = world.post("/api/v1/reload", "").await.json();
    assert_eq!(report["failed"], json!([]), "{report}");
}

#[tokio::test]
async fn valves_are_there_as_well() {
    let world = world().await;
    let at = "/api/v1/plugins/filter/valves";
    assert_eq!(world.get(at).await.json()["priority"], 5);
    let put = Request::new("PUT", at).json(r#"{"priority": 3}"#);
    assert_eq!(world.send(put).await.json()["priority"], 3);
    assert_eq!(
        world.get(&format!("{at}/spec")).await.json()["title"],
        "Valves"
    );
}

#[tokio::test]
async fn execute_runs_a_pipe_once_and_gives_its_items() {
    let world = world().await;
    let body = json!({"model": "echo", "user": {"id": "u"}, "extra": {"task": "t"}, "body": {"model": "nope", "stream": true, "messages": [{"role": "user", "content": "dump"}]}});
    let done = world.post("/api/v1/execute", body.to_string()).await.json();
    assert_eq!(done["model"], "echo");
    assert_eq!(done["items"][0]["type"], "text");
    assert_eq!(done["items"][0]["text"], done["text"]);
    let told: Value = serde_json::from_str(done["text"].as_str().unwrap()).unwrap();
    assert_eq!(told["metadata"], r#"{"task":"t"}"#);
    assert_eq!(told["user"], r#"{"id":"u"}"#);
    assert!(
        told["body"]
            .as_str()
            .unwrap()
            .starts_with(r#"{"stream":false,"model":"echo""#)
    );
    let event =
        json!({"body": {"model": "echo", "messages": [{"role": "user", "content": "event"}]}});
    let done = world
        .post("/api/v1/execute", event.to_string())
        .await
        .json();
    assert_eq!(
        done["items"][0],
        json!({"type": "event", "event": {"event": {"type": "status"}}})
    );
    let check = async |body: &str, status, code: &str, words: &str| {
        world
            .post("/api/v1/execute", body)
            .await
            .check(status, code, words);
    };
    check("{}", 422, "invalid_request", "body").await;
    check(r#"{"body":{}}"#, 422, "invalid_request", "model").await;
    check(
        r#"{"body":{"model":"nope"}}"#,
        404,
        "model_not_found",
        "nope",
    )
    .await;
    check(
        r#"{"body":{"model":"echo"},"extra":1}"#,
        422,
        "invalid_request",
        "extra",
    )
    .await;
}

#[tokio::test]
async fn metrics_are_text() {
    let world = world().await;
    world.chat("echo", "x", false).await;
    let sample = "\nweir_plugin_calls_total{";
    let plain = world.get("/metrics").await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(plain.header("content-type"), Some(kind));
    for part in [
        sample,
        "# HELP weir_plugin_calls_total Calls",
        "\n# TYPE weir_plugin_calls_total counter\n",
        "\n# TYPE weir_plugin_calls_in_flight gauge\n",
        "\n# TYPE weir_plugin_call_duration_seconds histogram\n",
        "plugin=\"echo\"",
    ] {
        assert!(plain.body.contains(part), "{part:?} in {}", plain.body);
    }
    assert!(!plain.body.contains("# EOF"));
    let request = Request::new("GET", "/metrics").header(
        "Accept",
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
    );
    let open = world.send(request).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(kind));
    assert!(open.body.ends_with("# EOF\n"));
    for part in [sample, "\n# TYPE weir_plugin_calls counter\n"] {
        assert!(open.body.contains(part), "{part:?} in {}", open.body);
    }
    let refused =
        Request::new("GET", "/metrics").header("Accept", "application/openmetrics-text;q=0");
    let answer = world.send(refused).await;
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
}
