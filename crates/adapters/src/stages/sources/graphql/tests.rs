//! The source `graphql`: pages of connections, and errors in answers that say 200.

use serde_json::{Value, json};

use super::*;
use crate::stages::web::testing::{Got, Reply, Upstream, context, read, web};

async fn get(up: &Upstream, mut options: Value) -> Got {
    options["url"] = up.origin.clone().into();
    let (web, _) = web();
    read(&GraphQl(web), &options, None, context(None), 2).await
}

async fn one(body: &'static str, options: Value) -> Got {
    get(&Upstream::replies(vec![Reply::json(body)]).await, options).await
}

#[tokio::test]
async fn a_connection_is_read_page_by_page() {
    let up = Upstream::replies(vec![
        Reply::json(
            r#"{"data":{"r":{"issues":{"edges":[{"node":{"id":1}},{"node":null},{"node":{"id":2}}],"pageInfo":{"hasNextPage":true,"endCursor":"c1"}}}}}"#,
        ),
        Reply::json(
            r#"{"data":{"r":{"issues":{"nodes":[{"id":3}],"pageInfo":{"hasNextPage":false,"endCursor":"c2"}}}}}"#,
        ),
    ])
    .await;
    let query = "query($after: String, $n: Int) { r { issues(after: $after, first: $n) { edges { node { id } } pageInfo { hasNextPage endCursor } } } }";
    let options = json!({
        "query": query, "variables": {"n": 2},
        "pagination": {"connection": "data.r.issues"},
        "auth": {"type": "bearer", "token": "t"},
    });
    let got = get(&up, options).await;
    assert_eq!(got.whole(), [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#]);
    let seen = up.seen();
    let body = |n: usize| serde_json::from_str::<Value>(&seen[n].body).unwrap();
    assert_eq!(
        body(0),
        json!({"query": query, "variables": {"n": 2, "after": null}})
    );
    assert_eq!(body(1)["variables"], json!({"n": 2, "after": "c1"}));
    assert_eq!(seen[0].line, "POST /");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[1].header("authorization"), Some("Bearer t"));
}

#[tokio::test]
async fn records_are_found_without_pages() {
    let list = r#"{"data":{"countries":[{"c":"AT"},{"c":"DE"}]},"errors":[]}"#;
    let options = json!({"query": "{countries{c}}", "records": "data.countries"});
    assert_eq!(
        one(list, options).await.whole(),
        [r#"{"c":"AT"}"#, r#"{"c":"DE"}"#]
    );
    let options = json!({"query": "{countries{c}}", "records": "data"});
    let single = r#"{"data":{"me":{"id":1}}}"#;
    assert_eq!(one(single, options).await.whole(), [r#"{"me":{"id":1}}"#]);
}

#[tokio::test]
async fn errors_in_an_answer_are_failures() {
    let options = |partial: bool| json!({"query": "{a}", "records": "data.a", "partial": partial});
    let errors = r#"{"data":{"a":[1]},"errors":[{"message":"no such\nfield","path":["a",0,"b"]},{"message":"x"},{},{}]}"#;
    let got = one(errors, options(false)).await;
    let said = got.failed();
    assert!(said.starts_with("invalid: "), "{said}");
    assert!(
        said.contains("GraphQL errors: no such field (at a.0.b); x; without a message; and 1 more"),
        "{said}"
    );
    assert!(got.records.is_empty());
    assert_eq!(one(errors, options(true)).await.whole(), ["1"]);
    for (body, want) in [
        (
            r#"{"data":null,"errors":[{"message":"down"}]}"#,
            "GraphQL errors: down",
        ),
        (r#"{"errors":[{"message":"down"}]}"#, "GraphQL errors: down"),
        ("{}", "neither `data` nor `errors`"),
        ("[]", "neither `data` nor `errors`"),
        ("<html>", "is no JSON"),
    ] {
        let said = one(body, options(true)).await.failed();
        assert!(said.contains(want), "{body}: {said}");
    }
    let refused = Reply::new(
        &[
            "400 Bad Request",
            "content-type: application/graphql-response+json",
        ],
        r#"{"errors":[{"message":"bad query"}]}"#,
    );
    let said = get(&Upstream::replies(vec![refused]).await, options(false))
        .await
        .failed();
    assert!(
        said.contains("400 Bad Request") && said.contains("bad query"),
        "{said}"
    );
}

#[tokio::test]
async fn a_connection_without_its_parts_is_a_failure() {
    let options = json!({"query": "($after)", "pagination": {"connection": "data.a"}});
    for (body, want) in [
        (r#"{"data":{}}"#, "no connection at `data.a`"),
        (r#"{"data":{"a":{"edges":[]}}}"#, "ask for `pageInfo"),
        (
            r#"{"data":{"a":{"pageInfo":{"hasNextPage":false}}}}"#,
            "neither `edges` nor `nodes`",
        ),
        (
            r#"{"data":{"a":{"edges":[],"pageInfo":{"hasNextPage":true}}}}"#,
            "holds no cursor",
        ),
        (
            r#"{"data":{"a":{"edges":[],"pageInfo":{"hasNextPage":true,"endCursor":"x"}}}}"#,
            "would never end",
        ),
    ] {
        let said = one(body, options.clone()).await.failed();
        assert!(said.contains(want), "{body}: {said}");
    }
}

#[test]
fn options_that_do_not_fit_are_all_named() {
    let (web, _) = web();
    let check = |options: Value, want: &[&str]| {
        let wrong = GraphQl(web.clone()).check(&options);
        let pointers: Vec<_> = wrong.iter().map(|m| m.pointer.as_str()).collect();
        assert_eq!(pointers, want, "{wrong:?}");
    };
    let url = "https://h/graphql";
    check(
        json!({"url": url, "query": "{a}", "records": "data.a"}),
        &[],
    );
    check(json!({"url": "x", "query": "{a}"}), &["/url", "/records"]);
    let both =
        json!({"url": url, "query": "{a}", "records": "data", "pagination": {"connection": "."}});
    check(both, &["/records", "/pagination/connection", "/query"]);
}
