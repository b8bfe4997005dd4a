//! Installing by content: uploads as Open WebUI's admin page sends them, adding by URL, deleting. What cannot work changes nothing.

use e2e::guests;
use e2e::server::{Server, Setup};
use e2e::upstream::{Reply, Upstream};
use serde_json::json;

async fn upload(server: &Server, name: &str, content: &[u8]) -> e2e::http::Answer {
    let request = server.request("POST", "/pipelines/upload");
    server.send(&request.file(name, content)).await
}

fn files(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.plugins()).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_component_in_a_chunked_form_is_at_work_at_once() {
    let server = Setup::new().start().await;
    let upped = guests::bytes("corpus/upload/upped.wasm");
    let answer = upload(&server, "x.wasm.py", &upped).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["status"], true);
    assert_eq!(server.chat("upped", "hi").await.content(), "uploaded");
    assert_eq!(files(&server), ["x.wasm"]);
    let plugin = server.plugin("upped").await.unwrap();
    assert_eq!(plugin["origin"]["from"], "upload", "{plugin}");
    // Plain names work too, and so do names that only look like Python.
    let added = guests::bytes("corpus/upload/added.wasm");
    let answer = upload(&server, "added.py", &added).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(server.chat("added", "hi").await.content(), "added");
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_and_leaves_no_file() {
    let server = Setup::new().start().await;
    for (name, content) in [
        ("x.wasm.py", &b"class Pipeline: pass"[..]),
        ("x.wasm", b"\0asm"),
        ("x.wasm", b""),
        ("x.wasm", &guests::bytes("hostile/core-module.wasm")),
        ("x.wasm", &guests::bytes("hostile/no-role.wasm")),
        ("x.wasm", &guests::bytes("hostile/compiled.wasm")),
    ] {
        let answer = upload(&server, name, content).await;
        assert!(
            (400..500).contains(&answer.status),
            "{name}: {}",
            answer.text()
        );
        let json = answer.json();
        assert!(
            json["detail"].as_str().is_some_and(|d| !d.is_empty()),
            "{json}"
        );
        assert!(json["error"]["code"].is_string(), "{json}");
    }
    assert!(files(&server).is_empty(), "{:?}", files(&server));
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let server = Setup::new().start().await;
    let upped = guests::bytes("corpus/upload/upped.wasm");
    for name in [
        "../escaped.wasm",
        "/escaped.wasm",
        "a/../../escaped.wasm",
        "..\\\\escaped.wasm",
        ".wasm",
    ] {
        let answer = upload(&server, name, &upped).await;
        assert!(
            (400..500).contains(&answer.status),
            "{name}: {}",
            answer.text()
        );
    }
    assert!(files(&server).is_empty());
    let beside = server.plugins().parent().unwrap().join("escaped.wasm");
    assert!(!beside.exists());
}

#[tokio::test]
async fn a_broken_upload_keeps_the_old_version_and_says_why() {
    let server = Setup::new().guest("corpus/ok.wasm").start().await;
    let before = std::fs::read(server.plugins().join("ok.wasm")).unwrap();
    let answer = upload(&server, "ok.wasm", &guests::bytes("hostile/truncated.wasm")).await;
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    assert_eq!(server.chat("ok", "hi").await.content(), "ok");
    assert_eq!(
        std::fs::read(server.plugins().join("ok.wasm")).unwrap(),
        before
    );
}

#[tokio::test]
async fn installing_touches_no_other_plugin() {
    let server = Setup::new().guest("examples/counter.wasm").start().await;
    assert_eq!(server.chat("counter", "").await.content(), "1");
    let upped = guests::bytes("corpus/upload/upped.wasm");
    assert_eq!(upload(&server, "upped.wasm", &upped).await.status, 200);
    assert_eq!(server.chat("counter", "").await.content(), "2");
    let delete = server
        .request("DELETE", "/pipelines/delete")
        .json(&json!({"id": "upped"}));
    assert_eq!(server.send(&delete).await.status, 200);
    assert_eq!(server.chat("counter", "").await.content(), "3");
    assert_eq!(server.plugin("counter").await.unwrap()["generation"], 1);
    assert_eq!(server.chat("upped", "").await.status, 404);
    assert_eq!(server.send(&delete).await.status, 404);
}

#[tokio::test]
async fn an_upload_cannot_bring_settings_nor_take_over_an_id() {
    let server = Setup::new().guest("corpus/ok.wasm").start().await;
    let settings = upload(&server, "rate-limit.toml", b"grants.state = true").await;
    assert!((400..500).contains(&settings.status), "{}", settings.text());
    let asks = upload(
        &server,
        "rate-limit.wasm",
        &guests::bytes("examples/rate-limit.wasm"),
    )
    .await;
    assert_eq!(
        asks.json()["error"]["code"],
        "missing_grant",
        "{}",
        asks.text()
    );
    let takes = upload(
        &server,
        "other.wasm",
        &guests::bytes("hostile/id-duplicate.wasm"),
    )
    .await;
    assert_eq!(takes.status, 409, "{}", takes.text());
    assert_eq!(files(&server), ["ok.wasm"]);
    assert_eq!(server.chat("ok", "hi").await.content(), "ok");
}

#[tokio::test]
async fn adding_by_url_is_off_until_an_origin_is_allowed() {
    let upped = guests::bytes("corpus/upload/upped.wasm");
    let files = Upstream::start(vec![
        ("/upped.wasm", Reply::Body(upped)),
        ("/endless.wasm", Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![0; 65536])),
        ("/moved.wasm", Reply::Raw(vec![
            b"HTTP/1.1 302 Found\r\nlocation: /upped.wasm\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
        ])),
    ])
    .await;
    let url = |path: &str| json!({"url": format!("http://{}{path}", files.host)});
    let server = Setup::new().start().await;
    let off = server.post("/pipelines/add", &url("/upped.wasm")).await;
    assert!(
        off.status >= 400 && off.text().contains("add"),
        "{}",
        off.text()
    );
    assert!(files.seen().is_empty(), "nothing was fetched");
    let config = format!(
        "[add]\nallow = [\"http://{}\"]\nprivate = [\"127.0.0.0/8\"]\n[limits]\ncomponent_bytes = 4000000\n",
        files.host
    );
    let server = Setup::new().config(&config).start().await;
    let added = server
        .post("/v1/pipelines/add", &url("/upped.wasm?raw=true#x"))
        .await;
    assert_eq!(added.status, 200, "{}", added.text());
    assert_eq!(server.chat("upped", "hi").await.content(), "uploaded");
    for (other, what) in [
        (
            json!({"url": "http://127.0.0.1:1/x.wasm"}),
            "another origin",
        ),
        (json!({"url": "file:///etc/passwd"}), "a file"),
        (json!({"url": "x.wasm"}), "no URL"),
        (url("/missing.wasm"), "404"),
        (url("/moved.wasm"), "a redirect"),
        (url("/endless.wasm"), "an endless body"),
    ] {
        let answer = server.post("/pipelines/add", &other).await;
        assert!(
            (400..600).contains(&answer.status),
            "{what}: {}",
            answer.text()
        );
        assert_ne!(answer.status, 500, "{what}: {}", answer.text());
    }
}
