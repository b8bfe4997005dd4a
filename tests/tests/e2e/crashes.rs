//! The server is killed again and again, at random moments of all it does: while it takes webhooks, starts runs, reads, transforms, writes to sinks, and tells its store. What it said yes to takes place, and
//! where a sink writes by key or as a whole, nothing is there twice or in part.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use e2e::http::{self, Request};
use e2e::postgres::Postgres;
use e2e::server::{Server, Setup};
use e2e::wait::{Stopwatch, until};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::pipelines::Place;

/// How often each server is killed: two of them, more than two hundred times.
const KILLS: usize = 105;
/// The longest life, from when it is ready.
const LIFE: Duration = Duration::from_millis(250);
/// How long it may take in the end until all is done.
const LAST: Duration = Duration::from_secs(120);
/// Orders of a life: more than it can carry out, and few enough to be done in the end.
const ORDERS: usize = 5;
/// How often somebody asks for them.
const TRIES: usize = 200;
/// Webhooks of a life, at most.
const HOOKS: usize = 200;
/// Lines that the growing file gets in a life.
const LINES: usize = 20;
/// What webhooks are signed with.
const SECRET: &str = "s3cret-of-webhooks";
/// Records of an order.
const RECORDS: usize = 100;

/// Moments that look like chance, the same in each run of the test.
struct Chance(u64);

impl Chance {
    fn below(&mut self, span: Duration) -> Duration {
        // The multiplier and increment of Knuth's MMIX.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        span.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

pub(crate) struct World {
    pub(crate) place: Place,
    store: String,
}

impl World {
    pub(crate) async fn new(store: String) -> Self {
        let place = Place::new().await;
        let records: String = (0..RECORDS).map(|n| format!("{{\"k\":{n}}}\n")).collect();
        std::fs::write(place.data("order.ndjson"), records).unwrap();
        std::fs::create_dir(place.data("out")).unwrap();
        let table = |name: &str, key: &str| {
            format!(
                "{{type: sqlite, path: all.sqlite, table: {name}, mode: upsert, key: [{key}], create: true}}"
            )
        };
        // Somebody asks for it; one sink by key, one as a whole.
        place.spec("orders", &format!(
            "id: orders\nparameters: {{n: {{type: integer}}}}\nerrors: {{rerun: {{max_retries: 100}}}}\nlimits: {{batch_records: 10}}\n\
             source: {{type: file, path: order.ndjson}}\ntransforms:\n  - {{type: map, fields: {{k: k, order: {{value: '{{{{params.n}}}}'}}}}}}\n\
             sinks:\n  - {}\n  - {{type: file, path: 'out/{{{{params.n}}}}.ndjson'}}\n",
            table("orders", "order, k"),
        ));
        // The clock starts it.
        place.spec("ticks", &format!(
            "id: ticks\ntrigger: {{every: 100ms}}\nerrors: {{rerun: {{max_retries: 100}}}}\nsource: {{type: file, path: order.ndjson}}\n\
             transforms:\n  - {{type: map, fields: {{k: k, run: {{value: '{{{{run.id}}}}'}}}}}}\nsink: {}\n",
            table("ticks", "run, k"),
        ));
        // Others send it.
        place.spec("hooks", &format!(
            "id: hooks\ntrigger: {{webhook: {{secret: '${{env:WEIR_TEST_HOOKS}}', rate: {{requests: 1000000, per: 1s}}}}}}\n\
             errors: {{rerun: {{max_retries: 100}}}}\nsink: {}\n",
            table("hooks", "n"),
        ));
        // It goes on where it was.
        std::fs::write(place.data("grows.ndjson"), "").unwrap();
        place.spec(
            "grows",
            &format!(
                "id: grows\ntrigger: {{every: 100ms}}\nerrors: {{rerun: {{max_retries: 100}}}}\n\
             source: {{type: file, path: grows.ndjson, incremental: true}}\nsink: {}\n",
                table("grows", "n"),
            ),
        );
        Self { place, store }
    }

    /// Adds lines to the file that grows, whose last number was this.
    pub(crate) fn grow(&self, last: &mut usize) {
        let lines: String = (*last..*last + LINES)
            .map(|n| format!("{{\"n\":{n}}}\n"))
            .collect();
        let mut file = std::fs::OpenOptions::new();
        let file = file.append(true).open(self.place.data("grows.ndjson"));
        file.unwrap().write_all(lines.as_bytes()).unwrap();
        *last += LINES;
    }

    pub(crate) async fn start(&self, setup: Setup) -> Server {
        self.setup(setup).start().await
    }

    pub(crate) fn setup(&self, setup: Setup) -> Setup {
        let config = format!("{}{}", self.place.config(), self.store);
        let env = setup.env("WEIR_TEST_PASSWORD", "weir");
        env.env("WEIR_TEST_HOOKS", SECRET).config(&config)
    }

    fn out(&self) -> PathBuf {
        self.place.data("out")
    }

    /// All that a file sink ever showed is whole.
    pub(crate) fn check_files(&self) {
        for entry in std::fs::read_dir(self.out()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "ndjson") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text.lines().count(), RECORDS, "{}", path.display());
            }
        }
    }

    /// The numbers in a table, if it is there by now.
    fn numbers(&self, table: &str) -> BTreeSet<usize> {
        let rows = self.rows(table, "n").into_iter();
        rows.map(|(n, _)| n.parse().unwrap()).collect()
    }

    /// The rows of a table: how many of each value of a column.
    fn rows(&self, table: &str, column: &str) -> Vec<(String, usize)> {
        let base = rusqlite::Connection::open(self.place.data("all.sqlite")).unwrap();
        let sql = format!("SELECT \"{column}\", count(*) FROM {table} GROUP BY 1");
        let Ok(mut query) = base.prepare(&sql) else {
            return Vec::new();
        };
        let rows = query.query_map([], |row| {
            Ok((row.get::<_, rusqlite::types::Value>(0)?, row.get(1)?))
        });
        let word = |value| match value {
            rusqlite::types::Value::Integer(n) => n.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        let rows = rows.unwrap().map(Result::unwrap);
        rows.map(|(value, count)| (word(value), count)).collect()
    }
}

/// What a server was given, and what of it the server said yes to.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) ordered: BTreeSet<usize>,
    pub(crate) sent: BTreeSet<usize>,
    /// Lines of the file that grows.
    pub(crate) lines: usize,
    next_order: usize,
    next_hook: usize,
}

/// Asks for some runs and sends some webhooks, until that is done or the server is gone.
pub(crate) async fn give(server: &Server, given: &mut Given) {
    let Given {
        ordered,
        sent,
        next_order,
        next_hook,
        ..
    } = given;
    tokio::join!(
        order(server, next_order, ordered),
        send_hooks(server, next_hook, sent)
    );
}

async fn order(server: &Server, next: &mut usize, taken: &mut BTreeSet<usize>) {
    let mut left = ORDERS;
    for _ in 0..TRIES {
        let body = json!({"parameters": {"n": *next}});
        let request = server.request("POST", "/api/v1/pipelines/orders/runs");
        let request = request.json(&body);
        let request = request.header("Idempotency-Key", &format!("order-{next}"));
        match http::send(server.host, &request).await {
            Ok(answer) if answer.status == 202 => {
                taken.insert(*next);
                *next += 1;
                left -= 1;
                if left == 0 {
                    return;
                }
            }
            // It has as many as it may have, or no store or no room for them; or it goes.
            Ok(answer) => assert!([503, 507].contains(&answer.status), "{}", answer.text()),
            Err(_) => return,
        }
    }
}

async fn send_hooks(server: &Server, next: &mut usize, taken: &mut BTreeSet<usize>) {
    for _ in 0..HOOKS {
        let n = *next;
        // What is not answered may have been kept: it is not sent again.
        *next += 1;
        match http::send(server.host, &hook(n)).await {
            Ok(answer) if answer.status == 200 => drop(taken.insert(n)),
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
            Err(_) => return,
        }
    }
}

/// A signed payload.
pub(crate) fn hook(n: usize) -> Request {
    let body = format!("{{\"n\":{n}}}");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = mac.finalize().into_bytes();
    let signature: String = signature.iter().map(|b| format!("{b:02x}")).collect();
    let request = Request::new("POST", "/webhooks/hooks").body(body.into_bytes());
    request.header("x-webhook-signature", &signature)
}

/// Orders in one of these states.
async fn orders_in(server: &Server, states: &[&str]) -> Vec<Value> {
    let mut found = Vec::new();
    for state in states {
        let path = format!("/api/v1/runs?state={state}&limit=500&pipeline=orders");
        let page: Value = server.get(&path).await.json();
        found.extend(page["runs"].as_array().unwrap().clone());
    }
    found
}

async fn check(store: String, seed: u64) {
    let world = World::new(store).await;
    let mut chance = Chance(seed);
    let mut given = Given::default();
    let mut setup = Setup::new();
    for _ in 0..KILLS {
        let server = world.start(setup).await;
        let life = chance.below(LIFE);
        let watch = Stopwatch::start();
        world.grow(&mut given.lines);
        let end = async {
            until("its end", LAST, async || {
                (watch.elapsed() >= life).then_some(())
            })
            .await;
            server.signal(Signal::KILL);
        };
        tokio::join!(give(&server, &mut given), end);
        world.check_files();
        setup = server.into_setup().await;
    }
    let server = world.start(setup).await;
    assert!(
        given.ordered.len() > KILLS,
        "{} orders",
        given.ordered.len()
    );
    assert!(given.sent.len() > KILLS, "{} webhooks", given.sent.len());
    check_all(&world, &server, &given).await;
}

/// All that the server said yes to takes place, and nothing is there twice or in part.
pub(crate) async fn check_all(world: &World, server: &Server, given: &Given) {
    until("all runs are over", LAST, async || {
        let open = orders_in(server, &["queued", "running"]).await;
        open.is_empty().then_some(())
    })
    .await;
    until("all webhooks are delivered", LAST, async || {
        given.sent.is_subset(&world.numbers("hooks")).then_some(())
    })
    .await;
    until("the whole file is delivered", LAST, async || {
        (world.numbers("grows") == (0..given.lines).collect()).then_some(())
    })
    .await;
    let bad = orders_in(server, &["partial", "failed", "cancelled"]).await;
    assert!(bad.is_empty(), "{:#}", json!(bad));
    let orders = world.rows("orders", "order");
    for (order, count) in &orders {
        assert_eq!(*count, RECORDS, "of order {order}");
    }
    let there: BTreeSet<usize> = orders.iter().map(|(n, _)| n.parse().unwrap()).collect();
    // One that was killed before it answered may have taken it as well.
    let lost: Vec<_> = given.ordered.difference(&there).collect();
    assert!(lost.is_empty(), "lost: {lost:?}\n{}", server.log());
    for order in &given.ordered {
        assert!(
            world.out().join(format!("{order}.ndjson")).exists(),
            "{order}"
        );
    }
    world.check_files();
    let ticks = world.rows("ticks", "run");
    assert!(!ticks.is_empty());
    assert!(
        ticks.iter().all(|(_, count)| *count == RECORDS),
        "{ticks:?}"
    );
}

/// The configuration of a store in this database.
pub(crate) fn store_in(postgres: &Postgres) -> String {
    let url = format!("postgres://postgres@{}/postgres", postgres.address());
    format!("[store]\nurl = {url:?}\npassword = \"${{env:WEIR_TEST_PASSWORD}}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_with_a_store_in_a_file() {
    check(String::new(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_with_a_store_in_postgresql() {
    let postgres = Postgres::start();
    check(store_in(&postgres), 2).await;
}
