//! Runs that outlive the server: killed, restarted, asked for twice, started by the clock and by each other.

use e2e::postgres::Postgres;
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::crashes::store_in;
use crate::pipelines::{Place, copy, run, start};

/// The runs of a pipeline, the newest first.
async fn runs(server: &Server, pipeline: &str) -> Vec<Value> {
    let path = format!("/api/v1/runs?pipeline={pipeline}");
    let page = server.get(&path).await.json();
    page["runs"].as_array().unwrap().clone()
}

/// Ends the server as a power cut would, and starts it again over the same folders.
async fn killed(place: &Place, server: Server) -> Server {
    server.signal(Signal::KILL);
    place.setup(server.into_setup().await).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_under_way_when_the_server_was_killed_is_taken_up_again() {
    let place = Place::new().await;
    place.spec("a", &copy("a", "a.ndjson"));
    place.spec("stuck", &place.stuck("stuck", "out.ndjson"));
    let server = place.serve().await;
    let done = run(&server, "a", &json!({})).await;
    let id = start(&server, "stuck").await;
    let server = killed(&place, server).await;
    // What was over is still known, and what was not goes on.
    let before = &runs(&server, "a").await[0];
    assert_eq!(
        (&before["id"], &before["state"]),
        (&done["id"], &done["state"])
    );
    assert_eq!(before["stages"], done["stages"]);
    let path = format!("/api/v1/runs/{id}");
    let again = until("it is taken up", PATIENCE, async || {
        let run = server.get(&path).await.json();
        let attempts = run["attempts"].as_array().map_or(0, Vec::len);
        (run["state"] == "running" && attempts > 1).then_some(run)
    })
    .await;
    let outcomes: Vec<_> = again["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["outcome"])
        .collect();
    assert_eq!(outcomes, [&json!("lost"), &Value::Null], "{again:#}");
    let cancelled = server.call("POST", &format!("{path}/cancel")).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text());
    until("it is over", PATIENCE, async || {
        let run = server.get(&path).await.json();
        (run["state"] == "cancelled").then_some(())
    })
    .await;
    // A cancelled run is not taken up.
    let server = killed(&place, server).await;
    let run = server.get(&path).await.json();
    assert_eq!(run["state"], "cancelled", "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_leaves_its_runs_for_the_next_one() {
    let place = Place::new().await;
    place.spec("stuck", &place.stuck("stuck", "out.ndjson"));
    let server = place.serve().await;
    let id = start(&server, "stuck").await;
    // That is SIGTERM.
    let server = place.setup(server.into_setup().await).start().await;
    until("it is taken up", PATIENCE, async || {
        let run = server.get(&format!("/api/v1/runs/{id}")).await.json();
        (run["state"] == "running").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_same_run_also_after_a_restart() {
    let place = Place::new().await;
    place.spec("a", &copy("a", "a.ndjson"));
    place.spec("b", &copy("b", "b.ndjson"));
    let server = place.serve().await;
    let ask = async |server: &Server, pipeline: &str, key: &str| {
        let path = format!("/api/v1/pipelines/{pipeline}/runs");
        let request = server.request("POST", &path).json(&json!({"wait": true}));
        let answer = server.send(&request.header("Idempotency-Key", key)).await;
        assert!([200, 202].contains(&answer.status), "{}", answer.text());
        answer.json()["id"].clone()
    };
    let one = ask(&server, "a", "order-1").await;
    assert_eq!(ask(&server, "a", "order-1").await, one);
    let server = killed(&place, server).await;
    assert_eq!(ask(&server, "a", "order-1").await, one);
    assert_ne!(ask(&server, "a", "order-2").await, one);
    assert_ne!(
        ask(&server, "b", "order-1").await,
        one,
        "keys are a pipeline's own"
    );
    assert_eq!(runs(&server, "a").await.len(), 2);
    let path = "/api/v1/pipelines/a/runs";
    for bad in [String::new(), "x".repeat(256)] {
        let request = server.request("POST", path).header("Idempotency-Key", &bad);
        assert_eq!(server.send(&request).await.status, 400, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_run_each_so_often_and_after_each_other() {
    let place = Place::new().await;
    let every = format!("{}trigger: {{every: 200ms}}\n", copy("a", "a.ndjson"));
    place.spec("a", &every);
    place.spec(
        "b",
        &format!("{}trigger: {{after: a, on: any}}\n", copy("b", "b.ndjson")),
    );
    let server = place.serve().await;
    let three = until("three runs", PATIENCE, async || {
        let all = runs(&server, "a").await;
        (all.iter().filter(|r| r["state"] == "partial").count() >= 3).then_some(all)
    })
    .await;
    assert!(
        three.iter().all(|r| r["started_by"] == "schedule"),
        "{three:#?}"
    );
    let after = until("two runs after it", PATIENCE, async || {
        let all = runs(&server, "b").await;
        (all.len() >= 2).then_some(all)
    })
    .await;
    assert!(after.iter().all(|r| r["started_by"] == "after"));
    // The clock goes on where it was, and a paused pipeline stands still.
    let server = killed(&place, server).await;
    until("it goes on", PATIENCE, async || {
        (runs(&server, "a").await.len() > three.len()).then_some(())
    })
    .await;
    let request = server.request("PUT", "/api/v1/pipelines/a");
    let paused = format!("{every}status: paused\n").into_bytes();
    let request = request
        .body(paused)
        .header("content-type", "application/yaml");
    assert_eq!(server.send(&request).await.status, 200);
    let quiet = until("it stands still", PATIENCE, async || {
        let before = runs(&server, "a").await;
        tokio::task::yield_now().await;
        // What waits goes on waiting.
        let over = before
            .iter()
            .all(|r| r["state"] == "partial" || r["state"] == "queued");
        over.then_some(before.len())
    })
    .await;
    let later = run(&server, "b", &json!({})).await;
    assert_eq!(later["state"], "partial");
    assert!(runs(&server, "a").await.len() <= quiet + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_run_reads_only_what_has_come_since() {
    let place = Place::new().await;
    let input = place.data("in.ndjson");
    let spec = "id: a\nsource: {type: file, path: in.ndjson, incremental: true}\nsink: {type: file, path: '{{run.id}}.ndjson'}\n";
    place.spec("a", spec);
    let server = place.serve().await;
    let read = async |server: &Server, body: &Value| {
        let run = run(server, "a", body).await;
        let id = run["id"].as_str().unwrap();
        let written = std::fs::read_to_string(place.data(&format!("{id}.ndjson")));
        written.unwrap_or_default()
    };
    let add = |text: &str| {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&input)
            .unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    };
    std::fs::write(&input, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    // A look at it moves nothing.
    let dry = run(&server, "a", &json!({"dry_run": true})).await;
    assert_eq!(dry["stages"][0]["records_out"], 2, "{dry:#}");
    assert_eq!(read(&server, &json!({})).await, "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(read(&server, &json!({})).await, "");
    let server = killed(&place, server).await;
    add("{\"n\":3}\n");
    assert_eq!(read(&server, &json!({"limit": 1})).await, "{\"n\":1}\n");
    assert_eq!(read(&server, &json!({})).await, "{\"n\":3}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_plugins_keep_lies_in_the_database_that_servers_share() {
    let postgres = Postgres::start();
    let place = Place::new().await;
    let shelf = "type: plugin, plugin: shelf, config: {shelf: s}";
    place.spec(
        "fill",
        &format!("id: fill\nsource: {{type: file, path: some.ndjson}}\nsink: {{{shelf}}}\n"),
    );
    place.spec(
        "take",
        &format!("id: take\nsource: {{{shelf}}}\nsink: {{type: file, path: taken.ndjson}}\n"),
    );
    std::fs::write(place.data("some.ndjson"), "{\"n\":1}\n").unwrap();
    let start = async || {
        let setup = Setup::new().guest("examples/shelf.wasm");
        let setup = setup.guest("corpus/valves_all.wasm");
        let config = format!("{}{}", place.config(), store_in(&postgres));
        setup
            .config(&config)
            .env("WEIR_TEST_PASSWORD", "weir")
            .start()
            .await
    };
    let server = start().await;
    let set = json!({"HOST": "example.com"});
    let values = server.post("/valves_all/valves/update", &set).await.json();
    let filled = run(&server, "fill", &json!({})).await;
    assert_eq!(filled["state"], "succeeded", "{filled:#}");
    for left in ["state.sqlite", "store.sqlite", "valves"] {
        assert!(!server.data().join(left).exists(), "{left}");
    }
    drop(server);
    // Another one, with nothing of its own.
    let server = start().await;
    assert_eq!(server.get("/valves_all/valves").await.json(), values);
    let taken = run(&server, "take", &json!({})).await;
    assert_eq!(taken["state"], "succeeded", "{taken:#}");
    let records = std::fs::read_to_string(place.data("taken.ndjson")).unwrap();
    assert_eq!(records, "{\"n\":1}\n");
}
