//! Replays: what was received goes through its pipeline again, after a crash byte for byte, and after a fix with other values in the same rows.

use e2e::server::{Server, Setup, command};
use e2e::upstream::{Reply, Upstream};
use e2e::wait::{PATIENCE, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pipelines::{Place, copy, run, send_spec};
use crate::webhooks::{hook, serve, setup, signed, taken};

const ORDERS: u64 = 50;

/// Orders into a table; `total` says where the total is taken from.
fn orders(total: &str) -> String {
    format!(
        "id: orders\ntrigger: {{webhook: {{secret: '${{env:WEIR_TEST_HOOK}}'}}}}\ntransforms:\n  - {{type: map, fields: {{id: id, total: {total}}}}}\nsink: {{type: sqlite, name: db, path: orders.sqlite, table: orders, mode: upsert, key: [id], create: true}}\n"
    )
}

async fn put(server: &Server, text: &str) -> u64 {
    let answer = send_spec(server, "PUT", "/api/v1/pipelines/orders", text).await;
    assert!(answer.status < 300, "{}", answer.text());
    answer.json()["version"].as_u64().unwrap()
}

fn rows(place: &Place) -> Vec<(u64, u64)> {
    let Ok(database) = rusqlite::Connection::open(place.data("orders.sqlite")) else {
        return Vec::new();
    };
    let Ok(mut select) = database.prepare("SELECT id, total FROM orders ORDER BY id") else {
        return Vec::new();
    };
    let rows = select.query_map([], |row| {
        let id: i64 = row.get(0)?;
        let total: i64 = row.get(1)?;
        Ok((id.unsigned_abs(), total.unsigned_abs()))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// A replay, run to its end.
async fn replayed(server: &Server, id: &str, body: &Value) -> Value {
    let path = format!("/api/v1/pipelines/{id}/replay");
    let answer = server.post(&path, body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json()["id"].as_str().unwrap().to_owned();
    until("the replay is over", PATIENCE, async || {
        let run = server.get(&format!("/api/v1/runs/{run}")).await.json();
        let state = run["state"].as_str().unwrap().to_owned();
        (!["queued", "running"].contains(&state.as_str())).then_some(run)
    })
    .await
}

/// The same diff as `weir replay` shows it.
async fn from_the_command_line(server: &Server) -> String {
    let server = format!("http://{}", server.host);
    let asking = tokio::task::spawn_blocking(move || {
        let mut command = command();
        command.args(["replay", "orders", "--dry-run", "--server", &server]);
        command.env("PIPELINES_API_KEY", e2e::server::KEY).output()
    });
    let output = asking.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_fixed_and_what_it_made_is_corrected() {
    let place = Place::new().await;
    place.spec("other", &copy("other", "other.ndjson"));
    let server = serve(&place).await;
    assert_eq!(put(&server, &orders("price")).await, 1);
    for n in 1..=ORDERS {
        let body = format!("{{\"id\":{n},\"price\":{n},\"total\":{}}}", n * 10);
        taken(&server, &signed("orders", body.as_bytes()), "orders").await;
    }
    let wrong = until("all are there", PATIENCE, async || {
        let rows = rows(&place);
        (rows.len() as u64 == ORDERS).then_some(rows)
    })
    .await;
    assert!(wrong.iter().all(|(id, total)| id == total));
    let cursor = async || {
        let all = server.get("/api/v1/pipelines/orders/raw").await.json();
        all["segments"][0]["records"].as_u64().unwrap()
    };
    let kept = cursor().await;
    assert_eq!(put(&server, &orders("total")).await, 2);
    let path = "/api/v1/pipelines/orders/replay";
    let diff = server.post(path, &json!({"dry_run": true})).await;
    assert_eq!(diff.status, 200, "{}", diff.text());
    let diff = diff.json();
    let counts = ["same", "changed", "added", "removed"].map(|key| diff[key].as_u64().unwrap());
    assert_eq!(counts, [0, ORDERS, 0, 0], "{diff:#}");
    assert_eq!(
        (&diff["before"]["version"], &diff["after"]["version"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(diff["key"], json!(["id"]));
    let samples = diff["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 10);
    assert_eq!(
        samples[0],
        json!({"before": {"id": 1, "total": 1}, "after": {"id": 1, "total": 10}})
    );
    assert_eq!(rows(&place), wrong, "a diff changes nothing");
    let said = from_the_command_line(&server).await;
    assert!(said.contains("+ {\"id\":1,\"total\":10}"), "{said}");
    let run = replayed(&server, "orders", &json!({})).await;
    assert_eq!(
        (&run["state"], &run["started_by"]),
        (&json!("succeeded"), &json!("replay"))
    );
    let right = rows(&place);
    assert_eq!(right.len() as u64, ORDERS, "no row more");
    assert!(
        right.iter().all(|(id, total)| *total == id * 10),
        "{right:?}"
    );
    // As it was once: the version of the time.
    let run = replayed(&server, "orders", &json!({"version": 1})).await;
    assert_eq!(
        (&run["state"], &run["version"]),
        (&json!("succeeded"), &json!(1))
    );
    assert_eq!(rows(&place), wrong);
    // None of it moved what is still to be taken.
    taken(
        &server,
        &signed("orders", br#"{"id":51,"price":1,"total":2}"#),
        "orders",
    )
    .await;
    until("the new one is there", PATIENCE, async || {
        rows(&place).contains(&(51, 2)).then_some(())
    })
    .await;
    assert_eq!(cursor().await, kept + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_same_bytes_come_out() {
    let place = Place::new().await;
    place.spec("hook", &hook("hook", ""));
    let server = serve(&place).await;
    let mut sent = String::new();
    for n in 0..40 {
        // Numbers and escapes as they were written, too.
        let body = format!(
            "{{\"n\":{n},\"price\":1.50,\"big\":12345678901234567890,\"s\":\"\\u00fc {n}\"}}"
        );
        taken(&server, &signed("hook", body.as_bytes()), "hook").await;
        sent += &format!("{body}\n");
    }
    server.signal(Signal::KILL);
    let server = setup(&place, server.into_setup().await).start().await;
    let into = json!({"into": [{"type": "file", "path": "again.ndjson"}]});
    let run = replayed(&server, "hook", &into).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let again = std::fs::read_to_string(place.data("again.ndjson")).unwrap();
    assert_eq!(again, sent);
    // A part of the time.
    let records = server
        .get("/api/v1/pipelines/hook/raw/records")
        .await
        .json();
    let middle = records["records"][10]["received"].as_str().unwrap();
    let of = |name: &str, span: Value| {
        let mut body = json!({"into": [{"type": "file", "path": name}]});
        body.as_object_mut()
            .unwrap()
            .extend(span.as_object().unwrap().clone());
        body
    };
    replayed(&server, "hook", &of("one.ndjson", json!({"until": middle}))).await;
    replayed(&server, "hook", &of("two.ndjson", json!({"from": middle}))).await;
    let halves = ["one.ndjson", "two.ndjson"]
        .map(|name| std::fs::read_to_string(place.data(name)).unwrap_or_default());
    assert_eq!(halves.concat(), sent);
    assert!(!halves[1].is_empty());
}

/// A page of a connection with one issue; is there another one?
fn page(number: u64, more: bool) -> Reply {
    let body = json!({"data": {"issues": {
        "edges": [{"node": {"number": number}}],
        "pageInfo": {"hasNextPage": more, "endCursor": format!("c{number}")},
    }}});
    Reply::answer("200 OK", "application/json", &body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_api_and_a_plugin_gave_goes_through_again_without_them() {
    let place = Place::new().await;
    let pages = vec![page(1, true), page(2, false), page(3, false)];
    let api = Upstream::start(vec![("/graphql", Reply::InTurn(pages))]).await;
    let sink = "sink: {type: file, path: '{{run.id}}.ndjson'}\n";
    place.spec("issues", &format!(
        "id: issues\nsource:\n  type: graphql\n  url: http://{}/graphql\n  query: 'query($after: String) {{ issues(after: $after) {{ edges {{ node {{ number }} }} pageInfo {{ hasNextPage endCursor }} }} }}'\n  pagination: {{connection: data.issues}}\n{sink}",
        api.host
    ));
    let config = "config: {shelf: s}";
    place.spec("fill", &format!(
        "id: fill\nsource: {{type: file, path: some.ndjson}}\nsink: {{type: plugin, plugin: shelf, {config}}}\n"
    ));
    place.spec(
        "taken",
        &format!("id: taken\nsource: {{type: plugin, plugin: shelf, {config}}}\n{sink}"),
    );
    std::fs::write(place.data("some.ndjson"), "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let allow = format!("allow = [\"http://{}\", ", api.host);
    let setup = Setup::new().guest("examples/shelf.wasm");
    let config = place.config().replace("allow = [", &allow);
    let server = setup.config(&config).start().await;
    let out = |run: &Value| {
        assert_eq!(run["state"], "succeeded", "{run:#}");
        let file = format!("{}.ndjson", run["id"].as_str().unwrap());
        std::fs::read_to_string(place.data(&file)).unwrap()
    };
    run(&server, "fill", &json!({})).await;
    let mut first = Vec::new();
    for id in ["issues", "taken"] {
        first.push(out(&run(&server, id, &json!({})).await));
    }
    assert_eq!(
        first,
        ["{\"number\":1}\n{\"number\":2}\n", "{\"n\":1}\n{\"n\":2}\n"]
    );
    // Both would give something else now.
    run(&server, "fill", &json!({})).await;
    for (id, first) in ["issues", "taken"].into_iter().zip(&first) {
        let again = out(&replayed(&server, id, &json!({})).await);
        assert_eq!(again, *first, "{id}");
    }
    assert_eq!(api.seen().len(), 2, "nobody is asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_that_cannot_be() {
    let place = Place::new().await;
    place.spec("hook", &hook("hook", ""));
    place.spec("other", &copy("other", "other.ndjson"));
    place.spec("both", "sequential: {pipelines: [hook, other]}\n");
    let server = setup(&place, Setup::new()).start().await;
    taken(&server, &signed("hook", b"{\"n\":1}"), "hook").await;
    let check = async |id: &str, body: Value, status: u16, said: &str| {
        let answer = server
            .post(&format!("/api/v1/pipelines/{id}/replay"), &body)
            .await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{body}: {text}");
        assert!(text.contains(said), "{body}: {text}");
    };
    check("nope", json!({}), 404, "pipeline_not_found").await;
    check("hook", json!({"form": "2026"}), 422, "form").await;
    check("hook", json!({"from": "yesterday"}), 422, "from").await;
    check(
        "hook",
        json!({"from": "2026-02", "until": "2026-01"}),
        422,
        "until",
    )
    .await;
    check("hook", json!({"version": 7}), 422, "version 7").await;
    check("hook", json!({"against": 1}), 422, "dry_run").await;
    check("hook", json!({"sinks": ["nope"]}), 422, "file").await;
    check("hook", json!({"sinks": []}), 422, "empty").await;
    let into = json!([{"type": "file", "path": "x.ndjson"}]);
    check(
        "hook",
        json!({"sinks": ["file"], "into": into}),
        422,
        "only one",
    )
    .await;
    check("hook", json!({"into": [{"type": "fiel"}]}), 422, "fiel").await;
    check("both", json!({}), 422, "made of others").await;
    let run = replayed(&server, "other", &json!({})).await;
    assert_eq!(run["state"], "failed");
    assert!(
        run["error"].to_string().contains("cannot be replayed"),
        "{run:#}"
    );
}
