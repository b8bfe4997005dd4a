//! Inlets and outlets.

use serde_json::{Value, json};

use crate::world::{strict, world};

fn body(model: &str, content: &str) -> String {
    json!({"user": {"id": "u1"}, "body": {"model": model, "messages": [{"role": "user", "content": content}]}})
        .to_string()
}

#[tokio::test]
async fn every_listed_id_answers() {
    let world = world().await;
    let models = world.get("/models").await.json();
    let ids: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        ids,
        ["echo", "filter", "mani.org/p.2:x", "mani.p1", "org/plug"]
    );
    for id in ids
        .iter()
        .map(String::as_str)
        .chain(["mani", "mani.org%2Fp.2%3Ax", "org%2fplug"])
    {
        for direction in ["inlet", "outlet"] {
            for prefix in ["", "/v1"] {
                let path = format!("{prefix}/{id}/filter/{direction}");
                let answer = world.post(&path, body("llama3", "x")).await;
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_hook_gets_the_user_and_its_body_comes_back() {
    let world = world().await;
    let back = world
        .post("/filter/filter/inlet", body("m", "x"))
        .await
        .json();
    assert_eq!(back["messages"][0]["content"], "[inlet]x");
    assert_eq!(back["user_seen"], r#"{"id":"u1"}"#);
    let back = world
        .post("/filter/filter/outlet?x=1", body("m", "x"))
        .await
        .json();
    assert_eq!(back["messages"][0]["content"], "[outlet]x");
    let lossless = r#"{"body": {"z": 1E5, "n": 12345678901234567890123, "dup": 1, "dup": 2} }"#;
    let back = world.post("/echo/filter/inlet", lossless).await;
    assert_eq!(
        back.body,
        r#"{"z": 1E5, "n": 12345678901234567890123, "dup": 1, "dup": 2}"#
    );
}

#[tokio::test]
async fn refusals_are_shown_three_ways() {
    let world = world().await;
    let refused = world
        .post("/filter/filter/inlet", body("m", "fail refused"))
        .await;
    refused.check(403, "refused", "in the plugin's words");
    assert_eq!(refused.reason, "in the plugin's words");
    let busy = world
        .post("/filter/filter/inlet", body("m", "fail transient"))
        .await;
    busy.check(503, "transient", "in the plugin's words");
    assert_eq!(busy.header("retry-after"), Some("3"));
    let strict = strict().await;
    let refused = strict
        .post("/filter/filter/inlet", body("m", "fail refused"))
        .await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (500, r#"{"detail":"in the plugin's words"}"#)
    );
    assert_eq!(refused.reason, "Internal Server Error");
}

#[tokio::test]
async fn what_does_not_fit_is_told() {
    let world = world().await;
    let check = async |path: &str, body: &str, status, code: &str, words: &str| {
        world.post(path, body).await.check(status, code, words);
    };
    check(
        "/nope/filter/inlet",
        &body("m", "x"),
        404,
        "filter_not_found",
        "Filter nope not found",
    )
    .await;
    check(
        "/echo/filter/inlet",
        "{}",
        422,
        "invalid_request",
        "body: nothing",
    )
    .await;
    check(
        "/echo/filter/inlet",
        r#"{"body":{},"user":"ann"}"#,
        422,
        "invalid_request",
        "user",
    )
    .await;
    check(
        "/echo/filter/inlet",
        r#"{"body":[]}"#,
        422,
        "invalid_request",
        "body: []",
    )
    .await;
}

#[tokio::test]
async fn the_server_runs_all_matching_filters_itself() {
    let world = world().await;
    let answer = world.post("/api/v1/inlet", body("echo", "x")).await;
    let all = answer.json();
    assert_eq!(all["body"]["messages"][0]["content"], "[inlet]x");
    assert_eq!(
        all["through"].as_array().unwrap().first(),
        Some(&Value::from("filter")),
        "{answer:?}"
    );
    let unnamed = world.post("/api/v1/outlet", r#"{"body":{}}"#).await;
    unnamed.check(422, "invalid_request", "body.model");
}
