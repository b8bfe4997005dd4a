//! Routing: every documented route is there, and what is not there says so.

use serde_json::Value;
use server::Cors;

use crate::client::Request;
use crate::world::{Wish, start, strict, world};

#[tokio::test]
async fn every_route_of_the_document_is_served() {
    let world = world().await;
    let document = world.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let real = path.replace("{n}", "1");
        let real = ["{id}", "{name}", "{point}"]
            .iter()
            .fold(real, |path, name| path.replace(name, "no/such"));
        for method in operations.as_object().unwrap().keys() {
            seen += 1;
            // What has no end is asked for its head.
            let asked = match (method.as_str(), path.as_str()) {
                ("get", "/api/v1/events") => "HEAD".into(),
                _ => method.to_uppercase(),
            };
            let request = Request::new(&asked, &real);
            let answer = world.send(request).await;
            assert_ne!(answer.status, 405, "{method} {path}");
            let missing =
                answer.status == 404 && asked != "HEAD" && answer.json()["detail"] == "Not Found";
            assert!(!missing, "{method} {path} is not routed");
            let asks = operations[method].get("security").is_some();
            let bare = world
                .send_bare(Request::new(&method.to_uppercase(), &real))
                .await;
            assert_eq!(bare.status == 403, asks, "{method} {path}");
        }
        let wrong = world.send(Request::new("PATCH", &real)).await;
        wrong.check(405, "method_not_allowed", "Method Not Allowed");
        let mut allowed: Vec<_> = wrong
            .header("allow")
            .unwrap()
            .split(", ")
            .map(str::to_lowercase)
            .collect();
        let mut listed: Vec<_> = operations.as_object().unwrap().keys().cloned().collect();
        allowed.sort();
        listed.sort();
        assert_eq!(allowed, listed, "{path}");
    }
    assert!(seen > 40, "{seen}");
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_slash_too_many_is_sent_on() {
    let world = world().await;
    for path in [
        "/nope",
        "/v1/models/echo",
        "/v2",
        "//",
        "/api/v1/nope",
        "/valves",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(answer.json()["detail"], "Not Found");
    }
    for (path, to) in [
        ("/v1/", "/v1"),
        ("/models/?a=b", "/models?a=b"),
        ("/echo/filter/inlet/", "/echo/filter/inlet"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (307, Some(to)),
            "{path}"
        );
    }
    let away = world.get("//evil.example/valves/").await;
    assert_ne!(away.header("location"), Some("//evil.example/valves"));
    let strict = strict().await;
    let answer = strict.get("/v1/").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, Some("http://test/v1"))
    );
    assert_eq!(answer.body, "");
}

#[tokio::test]
async fn head_is_get_without_the_body_but_not_in_strict_mode() {
    let plain = world().await;
    let answer = plain.send(Request::new("HEAD", "/")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let strict = strict().await;
    let answer = strict.send(Request::new("HEAD", "/")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_configuration() {
    let ask = || Request::new("GET", "/").header("Origin", "http://ui.example");
    let plain = world().await;
    assert_eq!(
        plain
            .send(ask())
            .await
            .header("access-control-allow-origin"),
        None
    );
    let cors = Cors {
        allow: vec!["http://ui.example".into()],
    };
    let open = start(Wish {
        cors,
        ..Wish::default()
    })
    .await;
    let answer = open.send(ask()).await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://ui.example")
    );
    assert_eq!(answer.header("vary"), Some("Origin"));
    let preflight = Request::new("OPTIONS", "/v1/models")
        .header("Origin", "http://ui.example")
        .header("Access-Control-Request-Method", "GET");
    assert_eq!(open.send_bare(preflight).await.status, 200);
}

#[tokio::test]
async fn the_lists_are_as_open_webui_wants_them() {
    let world = world().await;
    let models = world.get("/v1/models").await.json();
    assert_eq!(models["pipelines"], true);
    let mani: &Value = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["id"] == "mani.p1")
        .unwrap();
    assert_eq!(
        mani.to_string(),
        r#"{"id":"mani.p1","name":"Mani: P1","object":"model","created":1700000000,"owned_by":"openai","pipeline":{"type":"manifold","valves":false}}"#
    );
    let pipelines = world.get("/pipelines").await.json();
    let filter = pipelines["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["id"] == "filter")
        .unwrap();
    assert_eq!(
        filter.to_string(),
        r#"{"id":"filter","name":"filter_file","type":"filter","valves":true}"#
    );
}
