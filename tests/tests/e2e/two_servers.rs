//! Two servers that share one PostgreSQL store: each tick is started once, whichever of them is there, and what one leaves behind the other, or the same one when it is back, carries out.

use e2e::postgres::Postgres;
use e2e::server::{Server, Setup};
use e2e::wait::{PATIENCE, until};
use rustix::process::Signal;

use crate::pipelines::Place;

/// Ticks that are looked at.
const TICKS: usize = 100;
/// Between two of them.
const EVERY_MS: u64 = 200;

struct Shared {
    place: Place,
    postgres: Postgres,
}

impl Shared {
    async fn new() -> Self {
        let (place, postgres) = (Place::new().await, Postgres::start());
        let address = postgres.address();
        place.spec("ticks", &format!(
            "id: ticks\ntrigger: {{every: {EVERY_MS}ms, overlap: allow}}\nerrors: {{rerun: {{max_retries: 10}}}}\n\
             source: {{type: file, path: one.ndjson}}\ntransforms:\n  - {{type: map, fields: {{run: {{value: '{{{{run.id}}}}'}}}}}}\n\
             sink: {{type: postgres, url: 'postgres://postgres@{address}/postgres', password: '${{env:WEIR_TEST_PASSWORD}}', table: ticks}}\n",
        ));
        std::fs::write(place.data("one.ndjson"), "{\"n\":1}\n").unwrap();
        let table = postgres.query("CREATE TABLE ticks (run text NOT NULL)");
        assert_eq!(table, "");
        Self { place, postgres }
    }

    async fn start(&self, setup: Setup) -> Server {
        let address = self.postgres.address();
        let config = self
            .place
            .config()
            .replace("databases = [", &format!("databases = [\"{address}\", "));
        let url = format!("postgres://postgres@{address}/postgres");
        let store = format!("[store]\nurl = {url:?}\npassword = \"${{env:WEIR_TEST_PASSWORD}}\"\n");
        let setup = setup.config(&format!("{config}{store}"));
        setup.env("WEIR_TEST_PASSWORD", "weir").start().await
    }

    /// The ticks that were started, in milliseconds since 1970, in order.
    fn ticks(&self) -> Vec<u64> {
        let keys = self.postgres.query(
            "SELECT substr(idempotency_key, 6) FROM weir.runs WHERE pipeline = 'ticks' ORDER BY 1",
        );
        keys.lines().map(|key| key.parse().unwrap()).collect()
    }

    async fn until_ticks(&self, count: usize) {
        until("ticks", PATIENCE, async || {
            (self.ticks().len() >= count).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tick_is_started_once_while_one_of_two_is_killed_and_comes_back() {
    let shared = Shared::new().await;
    let (one, two) = tokio::join!(shared.start(Setup::new()), shared.start(Setup::new()));
    shared.until_ticks(TICKS / 5).await;
    one.signal(Signal::KILL);
    shared.until_ticks(2 * TICKS / 5).await;
    let one = shared.start(one.into_setup().await).await;
    shared.until_ticks(3 * TICKS / 5).await;
    two.signal(Signal::KILL);
    shared.until_ticks(4 * TICKS / 5).await;
    let two = shared.start(two.into_setup().await).await;
    shared.until_ticks(TICKS).await;
    // Both pause it, whoever is asked.
    let paused = two.call("POST", "/api/v1/pipelines/ticks/pause").await;
    assert_eq!(paused.json()["status"], "paused", "{}", paused.text());
    until("the other knows it too", PATIENCE, async || {
        let pipeline = one.get("/api/v1/pipelines/ticks").await.json();
        (pipeline["status"] == "paused").then_some(())
    })
    .await;
    let ticks = shared.ticks();
    for pair in ticks.windows(2) {
        assert_eq!(pair[1] - pair[0], EVERY_MS, "{ticks:?}");
    }
    // What waits goes on when it is resumed; then all are carried out, each once.
    let resumed = one.call("POST", "/api/v1/pipelines/ticks/resume").await;
    assert_ne!(resumed.json()["status"], "paused", "{}", resumed.text());
    shared.until_ticks(ticks.len() + 1).await;
    let last = ticks[ticks.len() - 1];
    until("all are carried out", PATIENCE, async || {
        let open = format!(
            "SELECT count(*) FROM weir.runs WHERE state <> 'succeeded' AND substr(idempotency_key, 6)::bigint <= {last}"
        );
        (shared.postgres.query(&open) == "0").then_some(())
    })
    .await;
    let twice =
        "SELECT count(*) FROM (SELECT run FROM ticks GROUP BY run HAVING count(*) > 1) AS t";
    let lost = format!(
        "SELECT count(*) FROM weir.runs WHERE substr(idempotency_key, 6)::bigint <= {last} AND id NOT IN (SELECT run FROM ticks)"
    );
    let (twice, lost) = (shared.postgres.query(twice), shared.postgres.query(&lost));
    // The sink only inserts, so that a run whose server was killed between the insert and its end is there twice: two may be.
    assert!(twice.parse::<usize>().unwrap() <= 2, "{twice} twice");
    assert_eq!(lost, "0");
}
