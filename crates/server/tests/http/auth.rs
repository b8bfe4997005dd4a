//! Who may call what.

use crate::client::Request;
use crate::world::{KEY, World, strict, world};

const INLET: &str = r#"{"body":{"model":"echo"}}"#;
const CHAT: &str = r#"{"model":"echo","stream":false,"messages":[]}"#;

/// Every kind of route, and whether it is open in default and in strict mode.
fn matrix() -> Vec<(Request, bool, bool)> {
    let get = |path| Request::new("GET", path);
    let post = |path, body: &str| Request::new("POST", path).json(body);
    vec![
        (get("/"), true, true),
        (get("/v1"), true, true),
        (get("/healthz"), true, true),
        (get("/readyz"), true, true),
        (get("/openapi.json"), false, true),
        (get("/metrics"), false, false),
        (get("/models"), false, false),
        (get("/v1/models"), false, false),
        (get("/pipelines"), false, false),
        (post("/pipelines/reload", ""), false, false),
        (
            post("/pipelines/add", r#"{"url":"http://x/y.py"}"#),
            false,
            false,
        ),
        (
            Request::new("POST", "/pipelines/upload").file("a.wasm", b"x"),
            false,
            false,
        ),
        (
            Request::new("DELETE", "/pipelines/delete").json(r#"{"id":"echo"}"#),
            false,
            false,
        ),
        (post("/v1/chat/completions", CHAT), false, true),
        (post("/echo/filter/inlet", INLET), false, true),
        (post("/v1/echo/filter/outlet", INLET), false, true),
        (get("/filter/valves"), false, true),
        (get("/v1/filter/valves/spec"), false, true),
        (post("/filter/valves/update", "{}"), false, true),
        (get("/api/v1/plugins"), false, false),
        (get("/api/v1/plugins/echo"), false, false),
        (post("/api/v1/execute", "{}"), false, false),
        (get("/api/v1/plugins/filter/valves"), false, false),
    ]
}

async fn check(world: &World, request: Request, open: bool) {
    let answer = world.send_bare(request.clone()).await;
    if open {
        assert!(answer.status < 400, "{request:?} gave {answer:?}");
        return;
    }
    assert_eq!(answer.status, 403, "{request:?} gave {answer:?}");
    assert_eq!(answer.json()["detail"], "Not authenticated");
    let wrong = world.send_bare(request.clone().key("nope")).await;
    assert_eq!(wrong.status, 401, "{request:?} gave {wrong:?}");
    assert_eq!(wrong.json()["detail"], "Invalid API key");
    let basic = request.header("Authorization", "Basic Zm9vOmJhcg==");
    let basic = world.send_bare(basic).await;
    assert_eq!(basic.status, 403);
    assert_eq!(basic.json()["detail"], "Invalid authentication credentials");
}

#[tokio::test]
async fn by_default_a_key_is_needed_nearly_everywhere() {
    let world = world().await;
    for (request, open, _) in matrix() {
        check(&world, request, open).await;
    }
    assert!(!world.log.has("chat"), "no plugin was called");
    let lower = Request::new("GET", "/models").header("Authorization", &format!("bearer {KEY}"));
    assert_eq!(world.send_bare(lower).await.status, 200);
}

#[tokio::test]
async fn strict_mode_is_as_open_as_the_reference() {
    let world = strict().await;
    for (request, _, open) in matrix() {
        check(&world, request, open).await;
    }
}

#[tokio::test]
async fn the_key_comes_before_the_body_but_not_in_strict_mode() {
    let broken = || Request::new("POST", "/pipelines/add").json("{");
    let world = world().await;
    world
        .send_bare(broken())
        .await
        .check(403, "not_authenticated", "Not authenticated");
    world
        .send(broken())
        .await
        .check(400, "invalid_json", "not JSON");
    let strict = strict().await;
    let answer = strict.send_bare(broken()).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["detail"][0]["type"], "json_invalid");
    let missing = Request::new("POST", "/pipelines/add").json("{}");
    assert_eq!(strict.send_bare(missing).await.status, 403);
}
