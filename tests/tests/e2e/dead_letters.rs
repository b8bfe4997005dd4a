//! Dead letters and checkpoints over the API and from the command line: bad requests first, then a record that is mended and delivered.

use e2e::http::Answer;
use e2e::server::Server;
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};

use crate::pipelines::{Place, copy, run};
use crate::pipelines_remote::{told, weir};

const LETTERS: &str = "/api/v1/pipelines/a/dead-letters";

/// A pipeline that writes each run to a file of its own.
const EACH: &str = "id: a\nsource: {type: file, path: in.ndjson, validate: true}\nsink: {type: file, path: '{{run.id}}.ndjson'}\n";

async fn put(server: &Server, path: &str, body: &str) -> Answer {
    let request = server.request("PUT", path).body(body.as_bytes().to_vec());
    server.send(&request).await
}

/// What a run has come to, once it is over.
async fn over(server: &Server, id: &Value) -> Value {
    let path = format!("/api/v1/runs/{}", id.as_str().unwrap());
    until("the run is over", PATIENCE, async || {
        let run = server.get(&path).await.json();
        let going = ["queued", "running"].contains(&run["state"].as_str()?);
        (!going).then_some(run)
    })
    .await
}

/// Has these tried again, and waits for it.
async fn redriven(server: &Server, path: &str, body: &Value) -> Value {
    let answer = server.post(&format!("{path}/redrive"), body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let runs = answer.json()["runs"].clone();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    over(server, &runs[0]).await
}

async fn check(server: &Server, method: &str, path: &str, status: u16, said: &str) {
    let answer = server.call(method, path).await;
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    assert!(answer.text().contains(said), "{path}: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_what_is_allowed() {
    let place = Place::new().await;
    place.spec("a", EACH);
    let server = place.serve().await;
    let none = "/api/v1/pipelines/none/dead-letters";
    check(&server, "GET", none, 404, "pipeline_not_found").await;
    check(
        &server,
        "GET",
        "/api/v1/pipelines/none/checkpoints",
        404,
        "pipeline_not_found",
    )
    .await;
    check(
        &server,
        "POST",
        &format!("{none}/redrive"),
        404,
        "pipeline_not_found",
    )
    .await;
    check(
        &server,
        "GET",
        &format!("{LETTERS}?state=lost"),
        400,
        "waiting, taken, resolved",
    )
    .await;
    check(&server, "GET", &format!("{LETTERS}?limit=0"), 400, "limit").await;
    check(
        &server,
        "DELETE",
        &format!("{LETTERS}?before=soon"),
        400,
        "2026-11-22T15:30:00Z",
    )
    .await;
    for id in ["1", "x", "-1"] {
        check(
            &server,
            "GET",
            &format!("{LETTERS}/{id}"),
            404,
            "dead_letter_not_found",
        )
        .await;
    }
    check(
        &server,
        "DELETE",
        "/api/v1/pipelines/a/checkpoints/source",
        404,
        "checkpoint_not_found",
    )
    .await;
    let answer = server
        .post(&format!("{LETTERS}/redrive"), &json!({"id": 1}))
        .await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let answer = server
        .post(&format!("{LETTERS}/redrive"), &json!({"ids": [1]}))
        .await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let answer = server.post(&format!("{LETTERS}/redrive"), &json!({})).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"runs": []})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_fit_is_mended_and_delivered() {
    let place = Place::new().await;
    place.spec("a", EACH);
    let server = place.serve().await;
    run(&server, "a", &json!({})).await;
    let page = server.get(LETTERS).await.json();
    let letter = page["letters"][0].clone();
    assert_eq!(page["letters"].as_array().unwrap().len(), 1, "{page:#}");
    assert_eq!(
        (&letter["stage"], &letter["number"]),
        (&json!("file"), &json!(3))
    );
    assert_eq!(
        (&letter["record"], &letter["state"]),
        (&json!("no json"), &json!("waiting"))
    );
    assert_eq!(page["waiting"][0]["letters"], 1);
    let pipeline = server.get("/api/v1/pipelines/a").await.json();
    assert_eq!(pipeline["dead_letters"], page["waiting"]);
    assert_eq!(pipeline["circuits"], json!([]));
    let one = format!("{LETTERS}/{}", letter["id"]);
    assert_eq!(put(&server, &one, "{\"n\":").await.status, 400);
    // As it is, it is tried in vain.
    redriven(&server, LETTERS, &json!({"stage": "file"})).await;
    let again = server.get(&one).await.json();
    assert_eq!(
        (&again["attempts"], &again["state"]),
        (&json!(2), &json!("waiting"))
    );
    assert_eq!(again["record"], "no json");
    let edited = put(&server, &one, "{\"n\": 4}\n").await;
    assert_eq!(
        (edited.status, edited.json()["edited_record"].clone()),
        (200, json!("{\"n\": 4}"))
    );
    assert_eq!(
        put(&server, &one, "null").await.json()["edited_record"],
        Value::Null
    );
    put(&server, &one, "{\"n\": 4}").await;
    let done = redriven(&server, LETTERS, &json!({"ids": [letter["id"]]})).await;
    assert_eq!(
        (&done["state"], &done["started_by"]),
        (&json!("succeeded"), &json!("redrive"))
    );
    let file = place.data(&format!("{}.ndjson", done["id"].as_str().unwrap()));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"n\": 4}\n");
    assert_eq!(server.get(&one).await.json()["state"], "resolved");
    let late = put(&server, &one, "{}").await;
    assert_eq!(late.status, 409, "{}", late.text());
    check(
        &server,
        "DELETE",
        &format!("{LETTERS}?state=resolved"),
        200,
        "{\"forgotten\":1}",
    )
    .await;
    check(&server, "GET", &one, 404, "dead_letter_not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaces_its_file_is_not_given_a_single_record() {
    let place = Place::new().await;
    place.spec("b", &copy("b", "b.ndjson"));
    let server = place.serve().await;
    run(&server, "b", &json!({})).await;
    let whole = std::fs::read(place.data("b.ndjson")).unwrap();
    let letters = "/api/v1/pipelines/b/dead-letters";
    let refused = redriven(&server, letters, &json!({})).await;
    assert_eq!(refused["state"], "failed", "{refused:#}");
    assert!(
        refused["error"][0].as_str().unwrap().contains("as a whole"),
        "{refused:#}"
    );
    assert_eq!(std::fs::read(place.data("b.ndjson")).unwrap(), whole);
    assert_eq!(
        server.get(letters).await.json()["letters"][0]["state"],
        "waiting"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_dealt_with_from_the_command_line() {
    let place = Place::new().await;
    place.spec("a", EACH);
    let server = place.serve().await;
    assert!(told(&server, &["dead-letters", "list", "a"]).contains("no dead letters"));
    run(&server, "a", &json!({})).await;
    let listed = told(
        &server,
        &["dead-letters", "list", "a", "--state", "waiting"],
    );
    let row = listed.lines().find(|l| l.contains("no json")).unwrap();
    let id = row.split_whitespace().next().unwrap();
    assert!(told(&server, &["dead-letters", "show", "a", id]).contains("no json"));
    for bad in [
        &["dead-letters", "edit", "a", id][..],
        &["dead-letters", "purge", "a"],
        &["dead-letters", "show", "a", "999"],
    ] {
        assert_eq!(weir(&server, bad).0, 1, "{bad:?}");
    }
    let file = place.data("fixed.json");
    std::fs::write(&file, "{\"n\":5}").unwrap();
    let file = file.display().to_string();
    let edited = told(
        &server,
        &["dead-letters", "edit", "a", id, "--record", &file],
    );
    assert!(edited.contains("{\"n\":5}"), "{edited}");
    assert!(told(&server, &["dead-letters", "retry", "a", id]).contains("run_"));
    until("it is delivered", PATIENCE, async || {
        let listed = told(&server, &["dead-letters", "list", "a"]);
        listed.contains("resolved").then_some(())
    })
    .await;
    let gone = told(&server, &["dead-letters", "purge", "a", "--all"]);
    assert!(gone.contains("1 dead letters"), "{gone}");
}
