//! `weir run` into sinks that are down for a while or for good, disks that are full, and tables that are made otherwise: every record is in the sink, rejected with a
//! reason, or in the file of what was not delivered, and none of them twice.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;

use e2e::bench::{Bench, check_sums, stage};
use e2e::postgres::Postgres;
use e2e::upstream::{Reply, Upstream, head};
use e2e::wait::{PATIENCE, until};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Retries that do not wait for long.
const PATIENT: &str = "errors: {retry: {first: 1ms, max_delay: 20ms, max_retries: 100000}}\n";
const HASTY: &str = "errors: {retry: {first: 1ms, max_delay: 2ms, max_retries: 2}}\n";

/// So many records.
fn lines(from: usize, to: usize) -> String {
    (from..=to).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// The records in a text, which holds none twice.
#[track_caller]
fn numbers(text: &str) -> BTreeSet<u64> {
    let all = text.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        record["n"].as_u64().unwrap()
    });
    let all: Vec<u64> = all.collect();
    let set: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(all.len(), set.len(), "some are there twice");
    set
}

/// A source that gives some records, and the others when the gate is opened.
async fn in_two_parts(first: &str, second: &str) -> (Upstream, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let first = [head("application/x-ndjson"), first.as_bytes().to_vec()].concat();
    let reply = Reply::Gated(first, Arc::clone(&gate), second.into());
    (Upstream::start(vec![("/data", reply)]).await, gate)
}

/// Waits until somebody tries to reach a server that is down.
async fn until_tried(address: &str) {
    let place = TcpListener::bind(address).unwrap();
    place.set_nonblocking(true).unwrap();
    until("a try", PATIENCE, async || place.accept().ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_for_a_while_gets_every_record_once() {
    for kill in [false, true] {
        let mut db = Postgres::start();
        assert_eq!(db.query("CREATE TABLE t (n int)"), "");
        let (up, gate) = in_two_parts(&lines(1, 3000), &lines(3001, 6000)).await;
        let bench = Bench::new();
        bench.spec(&format!(
            "source: {{type: http, url: 'http://{}/data'}}\nsinks: [{{type: postgres, url: '{}', table: t}}, {{type: file, path: out.ndjson}}]\n{PATIENT}",
            up.host,
            db.url()
        ));
        let run = bench.start(&["run", "p.pipeline.yaml", "--json"], |_| ());
        until("rows", PATIENCE, async || {
            (db.query("SELECT count(*) >= 1000 FROM t") == "t").then_some(())
        })
        .await;
        if kill {
            db.kill()
        } else {
            db.stop()
        }
        gate.add_permits(1);
        until_tried(&db.address()).await;
        db.start_again();
        let ended = run.wait();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(
            db.query("SELECT count(*), count(DISTINCT n) FROM t"),
            "6000|6000"
        );
        assert_eq!(bench.read("out.ndjson"), lines(1, 6000));
        let record: Value = serde_json::from_str(&ended.out).unwrap();
        check_sums(&record);
        assert!(stage(&record, "postgres")["retries"].as_u64() > Some(0));
        let log = record["log"].to_string();
        assert!(
            log.contains(&db.address()) && log.contains("tried again"),
            "{log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_database_that_does_not_come_back_the_rest_is_kept() {
    for alone in [true, false] {
        let mut db = Postgres::start();
        assert_eq!(db.query("CREATE TABLE t (n int)"), "");
        let (up, gate) = in_two_parts(&lines(1, 3000), &lines(3001, 9000)).await;
        let bench = Bench::new();
        let other = if alone {
            ""
        } else {
            ", {type: file, path: out.ndjson}"
        };
        bench.spec(&format!(
            "source: {{type: http, url: 'http://{}/data'}}\nsinks: [{{type: postgres, url: '{}', table: t}}{other}]\n{HASTY}",
            up.host,
            db.url()
        ));
        let run = bench.start(
            &["run", "p.pipeline.yaml", "--json", "--work", "work"],
            |_| (),
        );
        until("rows", PATIENCE, async || {
            (db.query("SELECT count(*) >= 1000 FROM t") == "t").then_some(())
        })
        .await;
        db.stop();
        gate.add_permits(1);
        let ended = run.wait();
        let record: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(ended.code, if alone { 1 } else { 3 }, "{record:#}");
        check_sums(&record);
        let said = format!("{}{}", record["error"], record["log"]);
        for words in ["postgres", &db.address(), "after 3 tries"] {
            assert!(said.contains(words), "{words} in {said}");
        }
        let sink = stage(&record, "postgres");
        let kept = numbers(&bench.only("work", "postgres.undelivered.ndjson"));
        let file = sink["undelivered_file"].as_str().unwrap();
        assert!(file.ends_with("postgres.undelivered.ndjson"), "{file}");
        assert_eq!(sink["undelivered"], json!(kept.len()));
        db.start_again();
        let there = numbers(&db.query("SELECT json_build_object('n', n) FROM t"));
        assert_eq!(sink["records_out"], json!(there.len()));
        assert!(there.is_disjoint(&kept));
        let read = stage(&record, "http")["records_out"].as_u64().unwrap();
        assert_eq!(
            there.union(&kept).copied().collect::<Vec<_>>(),
            (1..=read).collect::<Vec<_>>()
        );
        if !alone {
            assert_eq!(bench.read("out.ndjson"), lines(1, 9000));
        }
    }
}

fn busy() -> Reply {
    Reply::answer("503 Service Unavailable", "text/plain", "back soon")
}

fn fine() -> Reply {
    Reply::answer("200 OK", "application/json", "{}")
}

/// The records that a server took, of which the requests at these places were answered with an error.
fn taken(up: &Upstream, refused: impl Fn(usize) -> bool) -> String {
    let bodies = up.seen().into_iter().enumerate();
    let bodies = bodies.filter(|(at, _)| !refused(*at));
    bodies
        .map(|(_, r)| r.split_once("\r\n\r\n").unwrap().1.to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_busy_for_a_while_gets_every_record_once() {
    let replies = Reply::InTurn(vec![fine(), busy(), busy(), fine(), busy(), fine()]);
    let up = Upstream::start(vec![("/in", replies)]).await;
    let bench = Bench::new().file("in.ndjson", lines(1, 1500));
    let spec = format!(
        "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: http_api, url: 'http://{}/in', body: ndjson, batch: 400}}]\n{PATIENT}",
        up.host
    );
    let (code, record) = bench.record(&spec, &[]);
    assert_eq!(code, 0, "{record:#}");
    check_sums(&record);
    assert_eq!(taken(&up, |at| [1, 2, 4].contains(&at)), lines(1, 1500));
    assert_eq!(stage(&record, "http_api")["retries"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_api_that_stays_busy_the_rest_is_kept_and_what_it_took_is_not() {
    // It takes two requests of the first batch, and nothing after them.
    let replies = Reply::InTurn(vec![fine(), fine(), busy()]);
    let up = Upstream::start(vec![("/in", replies)]).await;
    let bench = Bench::new().file("in.ndjson", lines(1, 2500));
    let spec = format!(
        "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: http_api, name: api, url: 'http://{}/in', body: ndjson, batch: 300}}, {{type: file, path: out.ndjson}}]\n{HASTY}",
        up.host
    );
    let ended = bench.run(&spec, &["--work", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for words in [
        "api: given up",
        "answered 503",
        "back soon",
        "after 3 tries",
        "p partial",
    ] {
        assert!(ended.error.contains(words), "{words} in {}", ended.error);
    }
    assert_eq!(taken(&up, |at| at > 1), lines(1, 600));
    assert_eq!(
        bench.only("work", "api.undelivered.ndjson"),
        lines(601, 2500)
    );
    assert_eq!(bench.read("out.ndjson"), lines(1, 2500));
    // Nobody is left to deliver to: the run fails, and what was read is kept all the same.
    let up = Upstream::start(vec![("/in", busy())]).await;
    let spec = format!(
        "source: {{type: file, name: in, path: in.ndjson}}\nsinks: [{{type: http_api, name: api, url: 'http://{}/in'}}]\n{HASTY}",
        up.host
    );
    let (code, record) = bench.record(&spec, &["--work", "alone"]);
    assert_eq!(code, 1, "{record:#}");
    check_sums(&record);
    let read = stage(&record, "in")["records_out"].as_u64().unwrap();
    assert_eq!(
        bench.only("alone", "api.undelivered.ndjson"),
        lines(1, usize::try_from(read).unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_nothing_half_written_shows() {
    let bench = Bench::new()
        .file("in.ndjson", lines(1, 20_000))
        .with_room(64);
    let ended = bench.run(
        &format!("source: {{type: file, path: in.ndjson}}\nsinks: [{{type: file, name: out, path: out.ndjson}}]\n{HASTY}"),
        &[],
    );
    assert_eq!(ended.code, 1, "{ended:?}");
    for words in ["out.ndjson", "too large", "after 3 tries", "p failed"] {
        assert!(ended.error.contains(words), "{words} in {}", ended.error);
    }
    assert!(!bench.path("out.ndjson").exists());
    assert_eq!(bench.leftovers(), [""; 0]);
    // With another sink, which still gets everything.
    let up = Upstream::start(vec![("/in", fine())]).await;
    let spec = format!(
        "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: file, name: out, path: out.ndjson}}, {{type: http_api, url: 'http://{}/in', body: ndjson}}]\n{HASTY}",
        up.host
    );
    let bench = Bench::new()
        .file("in.ndjson", lines(1, 10_000))
        .with_room(64);
    let (code, record) = bench.record(&spec, &["--work", "work"]);
    assert_eq!(code, 3, "{record:#}");
    check_sums(&record);
    assert_eq!(taken(&up, |_| false), lines(1, 10_000));
    let out = stage(&record, "out");
    assert_eq!(
        (&out["records_out"], &out["undelivered"]),
        (&json!(0), &json!(10_000))
    );
    let log = record["log"].to_string();
    assert!(
        log.contains("appear nowhere either") && log.contains("run it again"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_has_room_again_gets_every_record_once() {
    let all = lines(1, 20_000);
    let bench = Bench::new().file("in.ndjson", &all).with_room(64);
    bench.spec(&format!(
        "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: file, path: out.ndjson}}]\n{PATIENT}"
    ));
    let run = bench.start(&["run", "p.pipeline.yaml"], |_| ());
    // It has written as much as there is room for.
    until("the file", PATIENCE, async || {
        let mut left = bench.leftovers().into_iter();
        left.find(|name| std::fs::metadata(bench.path(name)).is_ok_and(|m| m.len() == 64 << 10))
    })
    .await;
    run.make_room();
    let ended = run.wait();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(bench.read("out.ndjson"), all);
}

#[test]
fn a_full_device_behind_the_console_is_named() {
    let bench = Bench::new().file("in.ndjson", lines(1, 10));
    bench.spec(&format!(
        "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: console, format: json}}]\n{HASTY}"
    ));
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let run = bench.start(&["run", "p.pipeline.yaml"], |weir| {
        weir.stdout(full);
    });
    let ended = run.wait();
    assert_eq!(ended.code, 1, "{ended:?}");
    for words in ["console", "No space left on device"] {
        assert!(ended.error.contains(words), "{words} in {}", ended.error);
    }
}

const PEOPLE: &str = r#"{"id":1,"name":"Ada","born":"1815-12-10"}
{"id":2,"name":null,"born":"1906-12-09"}
{"id":"three","name":"Mary","born":"1797-08-30"}
{"id":4,"name":"Grace","born":"long ago"}
{"id":1,"name":"Ada again","born":null}
{"id":6,"name":"Hedy","born":"1914-11-09","patent":2292387}
{"id":7,"name":"Katherine","born":"1918-08-26"}
"#;

#[test]
fn records_that_a_table_does_not_take_are_kept_with_the_databases_words() {
    let db = Postgres::start();
    assert_eq!(
        db.query("CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, born date)"),
        ""
    );
    let bench = Bench::new().file("in.ndjson", PEOPLE);
    // The first batch may not have a field of its own: one record each.
    let spec = format!(
        "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: postgres, url: '{}', table: people}}]\nlimits: {{batch_records: 1}}\n",
        db.url()
    );
    let (code, record) = bench.record(&spec, &["--work", "work"]);
    assert_eq!(code, 3, "{record:#}");
    check_sums(&record);
    assert_eq!(
        db.query("SELECT string_agg(name, ' ' ORDER BY id) FROM people"),
        "Ada Katherine"
    );
    let kept = bench.only("work", "rejects.ndjson");
    let kept: Vec<Value> = kept
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let given: Vec<&str> = PEOPLE.lines().collect();
    let wanted = [
        (2, "`name` is null, and its column is NOT NULL"),
        (3, "`id` does not fit its column (integer)"),
        (4, "`born` does not fit its column (date)"),
        (5, "(id)=(1) already exists"),
        (6, "patent"),
    ];
    assert_eq!(kept.len(), wanted.len(), "{kept:#?}");
    for (one, (number, words)) in kept.iter().zip(wanted) {
        assert_eq!(
            (&one["stage"], &one["number"]),
            (&json!("postgres"), &json!(number))
        );
        assert!(one["reason"].as_str().unwrap().contains(words), "{one}");
        assert_eq!(one["record"], given[number - 1]);
    }
}

#[test]
fn a_table_that_will_not_do_at_all_says_what_is_there() {
    let db = Postgres::start();
    assert_eq!(db.query("CREATE TABLE other (day date, rain float)"), "");
    let bench = Bench::new().file("in.ndjson", PEOPLE);
    for (options, words) in [
        ("table: people", &["no table", "people", "create: true"][..]),
        ("table: other", &["other", "`id`", "day", "rain"]),
        ("table: other, mode: upsert, key: [id]", &["upsert", "`id`"]),
    ] {
        let spec = format!(
            "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: postgres, url: '{}', {options}}}]\n",
            db.url()
        );
        let ended = bench.run(&spec, &["--work", "work"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        for words in words {
            assert!(
                ended.error.contains(words),
                "{options}: {words} in {}",
                ended.error
            );
        }
        assert_eq!(db.query("SELECT count(*) FROM other"), "0");
    }
}
