//! Adding, uploading, deleting, reloading, and valves.

use serde_json::json;
use server::AddPolicy;

use crate::client::Request;
use crate::fake::component;
use crate::world::{Wish, World, start, strict, world};

fn new_pipe() -> Vec<u8> {
    component(&json!({"id": "upped", "roles": ["pipe"]})).to_vec()
}

fn upload(name: &str, content: &[u8]) -> Request {
    Request::new("POST", "/pipelines/upload").file(name, content)
}

async fn has(world: &World, id: &str) -> bool {
    let listed = world.get("/pipelines").await.json();
    listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .any(|p| p["id"] == id)
}

#[tokio::test]
async fn what_counts_is_the_content() {
    for (name, stored) in [
        ("x.wasm", "x.wasm"),
        ("x.wasm.py", "x.wasm"),
        ("x.py", "x.wasm"),
    ] {
        let world = world().await;
        let answer = world.send(upload(name, &new_pipe())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let detail = format!("Pipeline uploaded successfully to /srv/pipelines/{stored}");
        assert_eq!(answer.json()["detail"], detail);
        assert!(has(&world, "upped").await && world.log.has(&format!("write {stored}")));
        assert_eq!(world.chat("upped", "hi", false).await.status, 200);
    }
}

#[tokio::test]
async fn an_upload_takes_the_place_of_the_file_of_its_name() {
    for (there, name) in [
        ("x.wasm", "x.wasm.py"),
        ("x.wasm.py", "x.wasm"),
        ("x.wasm.py", "x.wasm.py"),
    ] {
        for world in [world().await, strict().await] {
            world.dropped(there, &new_pipe()).await;
            let pipe = json!({"id": "upped", "roles": ["pipe"], "name": "New"});
            let answer = world.send(upload(name, &component(&pipe))).await;
            assert_eq!(answer.status, 200, "{there} {name}: {answer:?}");
            let plugin = world.get("/api/v1/plugins/upped").await.json();
            assert_eq!(
                (&plugin["name"], &plugin["file"]),
                (&json!("New"), &json!(there))
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_its_reason() {
    let world = world().await;
    let answer = world.send(upload("broken.py", b"class Pipeline\n")).await;
    answer.check(422, "not_a_component", "not a WebAssembly component");
    assert!(!world.log.has("write broken.wasm"));
}

#[tokio::test]
async fn no_name_leaves_the_folder() {
    for world in [world().await, strict().await] {
        for name in [
            "../escaped.py",
            "../../x.wasm",
            "a/b.wasm",
            "..\\\\x.wasm.py",
            "/etc/x.wasm",
            "..",
            ".x.wasm",
        ] {
            let answer = world.send(upload(name, &new_pipe())).await;
            assert_eq!(answer.status, 400, "{name}: {answer:?}");
        }
        for name in ["..%2Fx.wasm", "%2e%2e/x.wasm", "a%5Cb.wasm", ""] {
            let request = Request::new("PUT", &format!("/api/v1/plugins?name={name}"));
            let answer = world.send(request.body(new_pipe())).await;
            answer.check(400, "bad_file_name", "file name");
        }
        assert!(!has(&world, "upped").await);
    }
}

#[tokio::test]
async fn rubbish_in_forms_is_refused() {
    let world = world().await;
    let form = |body: &str| {
        Request::new("POST", "/pipelines/upload")
            .header("Content-Type", "multipart/form-data; boundary=b")
            .body(body)
    };
    for (request, status) in [
        (form(""), 400),
        (form("no boundary at all"), 400),
        (
            form(
                "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wasm\"\r\n\r\ncut",
            ),
            400,
        ),
        (form("--b\r\n\r\nx\r\n--b--\r\n"), 400),
        (
            form("--b\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--b--\r\n"),
            422,
        ),
        (
            form("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n"),
            422,
        ),
        (Request::new("POST", "/pipelines/upload").json("{}"), 422),
        (Request::new("POST", "/pipelines/upload"), 422),
        (
            Request::new("POST", "/pipelines/upload")
                .header("Content-Type", "multipart/form-data")
                .body("x"),
            400,
        ),
    ] {
        let answer = world.send(request.clone()).await;
        assert_eq!(answer.status, status, "{request:?} gave {answer:?}");
        assert!(answer.json()["error"]["code"].is_string());
    }
}

#[tokio::test]
async fn uploads_in_strict_mode_are_as_recorded() {
    let world = strict().await;
    let check = async |name: &str, content: &[u8], status, detail: &str| {
        let answer = world.send(upload(name, content)).await;
        assert_eq!(
            (answer.status, answer.json()["detail"].as_str()),
            (status, Some(detail))
        );
    };
    check("x.wasm", b"\0asm", 400, "Only Python files are allowed.").await;
    check("x.PY", b"class", 400, "Only Python files are allowed.").await;
    let told = "Pipeline uploaded successfully to /srv/pipelines/";
    check(
        "broken_up.py",
        b"class Pipeline",
        200,
        &format!("{told}broken_up.py"),
    )
    .await;
    check("upped.py", &new_pipe(), 200, &format!("{told}upped.py")).await;
    assert!(has(&world, "upped").await && !has(&world, "broken_up").await);
}

#[tokio::test]
async fn adding_by_url_is_off_until_an_origin_is_allowed() {
    let closed = world().await;
    let body = |url: &str| json!({ "url": url }).to_string();
    let answer = closed
        .post("/pipelines/add", body("https://files.example/added.wasm"))
        .await;
    answer.check(403, "add_denied", "weir.toml");
}

#[tokio::test]
async fn adding_by_url_takes_only_allowed_origins_and_true_components() {
    let body = |url: &str| json!({ "url": url }).to_string();
    let add = AddPolicy {
        allow: vec!["https://files.example".parse().unwrap()],
    };
    let open = start(Wish {
        add,
        ..Wish::default()
    })
    .await;
    let check = async |url: &str, status, code: &str, words: &str| {
        open.post("/pipelines/add", body(url))
            .await
            .check(status, code, words);
    };
    check(
        "https://other.example/added.wasm",
        403,
        "add_denied",
        "other.example",
    )
    .await;
    check(
        "https://files.example:444/added.wasm",
        403,
        "add_denied",
        "444",
    )
    .await;
    check(
        "http://files.example/added.wasm",
        403,
        "add_denied",
        "http:",
    )
    .await;
    check(
        "https://files.example@evil.example/added.wasm",
        400,
        "bad_url",
        "URL",
    )
    .await;
    check("file:///tmp/added.wasm", 400, "bad_url", "URL").await;
    check("added.wasm", 400, "bad_url", "URL").await;
    check(
        "https://files.example/missing.wasm",
        502,
        "fetch_failed",
        "404",
    )
    .await;
    check(
        "https://files.example/text.wasm",
        422,
        "not_a_component",
        "not a WebAssembly",
    )
    .await;
    check("https://files.example/x.txt", 400, "bad_file_name", "x.txt").await;
    check(
        "https://files.example/..%2f..%2fadded.wasm",
        400,
        "bad_file_name",
        "file name",
    )
    .await;
    let answer = open
        .post(
            "/pipelines/add",
            body("https://files.example/added.wasm?raw=true#x"),
        )
        .await;
    assert_eq!(
        answer.json()["detail"],
        "Pipeline added successfully from /srv/pipelines/added.wasm"
    );
    assert!(has(&open, "added").await);
}

#[tokio::test]
async fn adding_in_strict_mode_is_as_recorded() {
    let world = strict().await;
    for (url, status, detail) in [
        (
            "http://127.0.0.1:9199/x.wasm",
            400,
            "URL must point to a Python file",
        ),
        (
            "http://127.0.0.1:9199/missing.py",
            400,
            "Failed to download file",
        ),
        (
            "http://127.0.0.1:1/x.py",
            500,
            "Cannot connect to host 127.0.0.1:1 ssl:default [Connection refused]",
        ),
        ("x.py", 500, "x.py"),
        ("file:///tmp/x.py", 500, "file:///tmp/x.py"),
        (
            "http://127.0.0.1:9199/added.py?raw=true#x",
            200,
            "Pipeline added successfully from /srv/pipelines/added.py",
        ),
    ] {
        let answer = world
            .post("/pipelines/add", json!({ "url": url }).to_string())
            .await;
        assert_eq!(
            (answer.status, answer.json()["detail"].as_str()),
            (status, Some(detail)),
            "{url}"
        );
    }
    assert!(has(&world, "added").await);
}

#[tokio::test]
async fn deleting_what_is_not_there_is_404() {
    let delete = |id: &str| {
        Request::new("DELETE", "/v1/pipelines/delete").json(json!({ "id": id }).to_string())
    };
    let plain = world().await;
    let answer = plain.send(delete("echo")).await;
    assert_eq!(
        answer.json()["detail"],
        "Pipeline echo deleted successfully"
    );
    assert!(!has(&plain, "echo").await && has(&plain, "mani").await);
    plain
        .send(delete("echo"))
        .await
        .check(404, "plugin_not_found", "Pipeline echo not found");
    plain
        .send(delete("../x"))
        .await
        .check(404, "plugin_not_found", "../x");
    let strict = strict().await;
    let answer = strict.send(delete("mani.p1")).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "Internal Server Error")
    );
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn a_reload_of_all_says_so() {
    for world in [world().await, strict().await] {
        let answer = world.post("/pipelines/reload", "").await;
        assert_eq!(
            answer.body,
            r#"{"message":"Pipelines reloaded successfully."}"#
        );
        assert_eq!(world.chat("echo", "x", false).await.status, 200);
    }
}

#[tokio::test]
async fn valves_are_replaced_and_refused_in_both_dialects() {
    let plain = world().await;
    let update = "/filter/valves/update";
    let answer = plain
        .post(update, r#"{"priority":"7","pipelines":["a"],"x":1}"#)
        .await;
    assert_eq!(
        answer.body,
        r#"{"pipelines":["a"],"priority":7,"prefix":"[f]"}"#
    );
    assert_eq!(plain.get("/v1/filter/valves").await.body, answer.body);
    let listed = plain.get("/models").await.json();
    let filter = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["id"] == "filter")
        .unwrap();
    assert_eq!(
        filter["pipeline"],
        json!({"type":"filter","pipelines":["a"],"priority":7,"valves":true})
    );
    let wrong = plain.post(update, r#"{"priority":"abc"}"#).await;
    wrong.check(422, "invalid_valves", "priority");
    assert_eq!(
        wrong.json()["error"]["errors"][0]["loc"],
        json!(["priority"])
    );
    plain
        .post(update, "[1]")
        .await
        .check(422, "invalid_request", "an array");
    let hook = plain.post(update, r#"{"prefix":"raise"}"#).await;
    hook.check(500, "plugin_failed", "on_valves_updated refused");
    assert_eq!(
        plain.get("/filter/valves").await.json()["prefix"],
        "raise",
        "the update stays"
    );
    plain
        .get("/echo/valves")
        .await
        .check(404, "no_valves", "Valves for echo not found");
    plain
        .get("/nope/valves/spec")
        .await
        .check(404, "plugin_not_found", "Pipeline nope not found");

    let strict = strict().await;
    let wrong = strict.post(update, r#"{"priority":"abc"}"#).await;
    assert_eq!(wrong.status, 500);
    assert!(
        wrong.json()["detail"]
            .as_str()
            .unwrap()
            .starts_with("1 validation error for Valves\npriority\n  ")
    );
    let hook = strict.post(update, r#"{"prefix":"raise"}"#).await;
    assert_eq!(
        (hook.status, hook.body.as_str()),
        (500, r#"{"detail":"on_valves_updated refused"}"#)
    );
}
