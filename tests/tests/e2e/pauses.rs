//! Pipelines that are paused, resumed and changed while a run of theirs is under way: it ends at its next batch, and goes on from there.

use std::sync::Arc;

use e2e::server::{Server, Setup};
use e2e::upstream::{Reply, Upstream, head};
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::pipelines::{Place, send_spec};

const RECORDS: usize = 1_000;

/// A server, and who gets the records of its pipeline, ten at a time, as fast as the gate lets through.
struct Slow {
    place: Place,
    server: Server,
    gate: Arc<Semaphore>,
    upstream: Upstream,
}

impl Slow {
    async fn new() -> Self {
        let place = Place::new().await;
        let records: String = (0..RECORDS).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        std::fs::write(place.data("in.ndjson"), records).unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let reply = Reply::Gated(Vec::new(), Arc::clone(&gate), head("text/plain"));
        let upstream = Upstream::start(vec![("/", reply)]).await;
        let here = upstream.host;
        let config = place
            .config()
            .replace("allow = [", &format!("allow = [\"http://{here}\", "));
        let server = Setup::new().config(&config).start().await;
        Self {
            place,
            server,
            gate,
            upstream,
        }
    }

    /// The pipeline, which does this with each record.
    fn spec(&self, more: &str) -> String {
        format!(
            "id: a\ntrigger: {{every: 1h}}\nlimits: {{batch_records: 10, queue: 1}}\nsource: {{type: file, path: in.ndjson{more}\nsink: {{type: http_api, url: 'http://{}/', body: ndjson}}\n",
            self.upstream.host
        )
    }

    /// Registers it, and waits until its first run delivers.
    async fn begun(&self, more: &str) {
        self.place.spec("a", &self.spec(more));
        until("a batch is on its way", PATIENCE, async || {
            (!self.upstream.seen().is_empty()).then_some(())
        })
        .await;
    }

    /// The records that arrived, in their order.
    fn arrived(&self) -> Vec<Value> {
        let bodies = self.upstream.seen().into_iter();
        let bodies = bodies.map(|r| r.split_once("\r\n\r\n").unwrap().1.to_owned());
        let records = bodies.flat_map(|b| b.lines().map(str::to_owned).collect::<Vec<_>>());
        records.map(|r| serde_json::from_str(&r).unwrap()).collect()
    }

    /// The only run, once it is in this state.
    async fn run(&self, state: &str) -> Value {
        until(&format!("the run is {state}"), PATIENCE, async || {
            let page = self.server.get("/api/v1/runs?pipeline=a").await.json();
            let runs = page["runs"].as_array().unwrap();
            assert!(runs.len() < 2, "{page:#}");
            let id = runs.first()?["id"].as_str()?.to_owned();
            let run = self.server.get(&format!("/api/v1/runs/{id}")).await.json();
            (run["state"] == state).then_some(run)
        })
        .await
    }

    fn check_all_arrived_once(&self) {
        let numbers: Vec<_> = self
            .arrived()
            .iter()
            .map(|r| r["n"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..RECORDS as u64).collect::<Vec<_>>());
    }
}

fn outcomes(run: &Value) -> Vec<&Value> {
    let attempts = run["attempts"].as_array().unwrap();
    attempts.iter().map(|a| &a["outcome"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_ends_at_its_next_batch_and_goes_on_there() {
    for source in ["}", ", incremental: true}"] {
        let slow = Slow::new().await;
        slow.begun(source).await;
        let paused = slow.server.call("POST", "/api/v1/pipelines/a/pause").await;
        assert_eq!(paused.json()["status"], "paused", "{}", paused.text());
        slow.gate.add_permits(RECORDS);
        let run = slow.run("queued").await;
        let before = slow.arrived().len();
        assert!(before < RECORDS / 2, "{before}");
        let log = run["log"].to_string();
        assert!(log.contains("its pipeline is paused"), "{run:#}");
        let pipeline = slow.server.get("/api/v1/pipelines/a").await.json();
        assert_eq!(pipeline["status"], "paused", "a pause is no error");
        let resumed = slow.server.call("POST", "/api/v1/pipelines/a/resume").await;
        assert_eq!(resumed.json()["status"], "active", "{}", resumed.text());
        let run = slow.run("succeeded").await;
        slow.check_all_arrived_once();
        assert_eq!(outcomes(&run).last(), Some(&&json!("completed")), "{run:#}");
        assert!(!outcomes(&run).contains(&&json!("failed")), "{run:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_pipeline_goes_on_from_the_next_batch_with_what_it_is_now() {
    let slow = Slow::new().await;
    slow.begun(", incremental: true}").await;
    let changed = slow.spec(
        ", incremental: true}\ntransforms: [{type: map, rest: true, fields: {v: {value: 2}}}]",
    );
    let answer = send_spec(&slow.server, "PUT", "/api/v1/pipelines/a", &changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    slow.gate.add_permits(RECORDS);
    let run = slow.run("succeeded").await;
    slow.check_all_arrived_once();
    assert_eq!(run["version"], 2, "{run:#}");
    let arrived = slow.arrived();
    let first = arrived.iter().position(|r| r["v"] == 2).unwrap();
    assert!(first > 0 && first < RECORDS / 2, "{first}");
    let (before, after) = arrived.split_at(first);
    assert!(before.iter().all(|r| r.get("v").is_none()), "{before:?}");
    assert!(after.iter().all(|r| r["v"] == 2), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_would_be_read_again_ends_as_it_began() {
    // It reads all each time; or one of its sinks shows all or nothing.
    for source in ["}", ", incremental: true}\npersistence: {silver: true}"] {
        ends_as_it_began(source).await;
    }
}

async fn ends_as_it_began(source: &str) {
    let slow = Slow::new().await;
    slow.begun(source).await;
    let map = "transforms: [{type: map, rest: true, fields: {v: {value: 2}}}]";
    let changed = slow.spec(&format!("{source}\n{map}"));
    let answer = send_spec(&slow.server, "PUT", "/api/v1/pipelines/a", &changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    slow.gate.add_permits(RECORDS);
    let run = slow.run("succeeded").await;
    assert_eq!(run["version"], 1, "{run:#}");
    slow.check_all_arrived_once();
    assert!(slow.arrived().iter().all(|r| r.get("v").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_somebody_asked_for_goes_on_while_its_pipeline_is_paused() {
    let slow = Slow::new().await;
    let spec = slow.spec("}").replace("trigger: {every: 1h}\n", "");
    let answer = send_spec(&slow.server, "POST", "/api/v1/pipelines", &spec).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let id = crate::pipelines::start(&slow.server, "a").await;
    slow.server.call("POST", "/api/v1/pipelines/a/pause").await;
    slow.gate.add_permits(RECORDS);
    let run = slow.run("succeeded").await;
    assert_eq!(run["id"], id.as_str(), "{run:#}");
    slow.check_all_arrived_once();
}
