//! `weir run` against HTTP sources that fail, stall, are cut, or answer with something else than was asked for: an exit code, words that say where and why, and every record once.

use e2e::bench::{Bench, check_sums, stage};
use e2e::upstream::{Reply, Upstream, head};
use serde_json::{Value, json};

const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";
const THREE: &str = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";

/// What a run of one URL came to.
struct Ran {
    code: i32,
    record: Value,
    bench: Bench,
    asked: usize,
}

/// Reads the reply into a file, with options of the source and retries that do not wait for long.
async fn run(reply: Reply, options: &str) -> Ran {
    let up = Upstream::start(vec![("/data", reply)]).await;
    let bench = Bench::new();
    let (code, record) = bench.record(&spec(&up, options), &["--work", "work"]);
    Ran {
        code,
        record,
        bench,
        asked: up.seen().len(),
    }
}

fn spec(up: &Upstream, options: &str) -> String {
    format!(
        "source: {{type: http, url: 'http://{}/data'{options}}}\nsinks: [{{type: file, path: out.ndjson}}]\nerrors: {{retry: {{first: 1ms, max_delay: 1s, max_retries: 3}}}}\n",
        up.host
    )
}

/// It ends well after so many requests.
#[track_caller]
fn check_whole(ran: &Ran, asked: usize) {
    assert_eq!(ran.code, 0, "{:#}", ran.record);
    assert_eq!(ran.bench.read("out.ndjson"), THREE);
    assert_eq!(ran.asked, asked, "{:#}", ran.record);
    check_sums(&ran.record);
}

/// It fails after so many requests, in these words, and nothing shows.
#[track_caller]
fn check_failed(ran: &Ran, asked: usize, words: &[&str]) {
    assert_eq!(ran.code, 1, "{:#}", ran.record);
    assert_eq!(ran.record["state"], "failed");
    let said = ran.record["error"].to_string();
    for word in [&["source http", "http://127.0.0.1:"], words].concat() {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert_eq!(ran.asked, asked, "{said}");
    assert!(!ran.bench.path("out.ndjson").exists());
    assert_eq!(ran.bench.leftovers(), [""; 0]);
    check_sums(&ran.record);
}

/// It comes to its end, with these records and these rejected: their numbers, words of the reasons, and what they were.
#[track_caller]
fn check_partial(ran: &Ran, wanted: &str, rejected: &[(u64, &str, &str)]) {
    assert_eq!(ran.code, 3, "{:#}", ran.record);
    assert_eq!(ran.bench.read("out.ndjson"), wanted);
    check_sums(&ran.record);
    let kept = ran.bench.only("work", "rejects.ndjson");
    let kept: Vec<Value> = kept
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        stage(&ran.record, "http")["rejected"],
        json!(rejected.len())
    );
    assert_eq!(kept.len(), rejected.len(), "{kept:?}");
    for (one, (number, words, record)) in kept.iter().zip(rejected) {
        assert_eq!(
            (&one["stage"], &one["number"]),
            (&json!("http"), &json!(number))
        );
        assert!(one["reason"].as_str().unwrap().contains(words), "{one}");
        assert!(one["record"].as_str().unwrap().starts_with(record), "{one}");
    }
}

fn out_of_order() -> Reply {
    Reply::answer("500 Internal Server Error", "text/plain", "out of order")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_asked_again_until_it_answers() {
    let good = Reply::answer("200 OK", NDJSON, THREE);
    let reply = Reply::InTurn(vec![out_of_order(), out_of_order(), good]);
    let ran = run(reply, "").await;
    check_whole(&ran, 3);
    assert_eq!(stage(&ran.record, "http")["retries"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_fails_is_named_with_what_it_said() {
    let ran = run(out_of_order(), "").await;
    check_failed(&ran, 4, &["answered 500", "out of order", "after 4 tries"]);
    // What will not get better is not asked again.
    let gone = Reply::answer("404 Not Found", "text/plain", "no such table");
    check_failed(&run(gone, "").await, 1, &["answered 404", "no such table"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_time_gets_it() {
    let busy = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let good = Reply::answer("200 OK", NDJSON, THREE);
    let busy = Reply::Raw(vec![busy.as_bytes().to_vec()]);
    let ran = run(Reply::InTurn(vec![busy, good]), "").await;
    check_whole(&ran, 2);
    let log = ran.record["log"].to_string();
    assert!(
        log.contains("429") && log.contains("tried again in 1.000 s"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let silent = || Reply::Stall(Vec::new());
    let ran = run(silent(), ", timeout: 100ms").await;
    check_failed(&ran, 4, &["100", "after 4 tries"]);
    let good = Reply::answer("200 OK", NDJSON, THREE);
    let reply = Reply::InTurn(vec![silent(), good]);
    check_whole(&run(reply, ", timeout: 1s").await, 2);
    // One that begins and then says nothing is the same.
    let begun = Reply::Stall([head(NDJSON), b"{\"n\":1}\n{\"n\"".to_vec()].concat());
    let good = Reply::answer("200 OK", NDJSON, THREE);
    let ran = run(Reply::InTurn(vec![begun, good]), ", timeout: 1s").await;
    check_whole(&ran, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_is_asked_for_again_as_long_as_nothing_was_handed_on() {
    let good = || Reply::answer("200 OK", NDJSON, THREE);
    let cut = Reply::cut(NDJSON, "{\"n\":1}\n{\"n\"", 100);
    check_whole(&run(Reply::InTurn(vec![cut, good()]), "").await, 2);
    let chunk = b"8\r\n{\"n\":1}\n\r\n5\r\n{\"n\"";
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    let cut = Reply::Raw(vec![chunked.as_bytes().to_vec(), chunk.to_vec()]);
    check_whole(&run(Reply::InTurn(vec![cut, good()]), "").await, 2);
    let cut = Reply::cut(NDJSON, "{\"n\":1}\n{\"n\"", 100);
    check_failed(&run(cut, "").await, 4, &["after 4 tries"]);
}

/// So many records.
fn lines(from: usize, to: usize) -> String {
    (from..=to).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_answer_that_is_cut_later_all_that_came_is_delivered_once_and_then_the_run_fails() {
    let cut = Reply::cut(NDJSON, &(lines(1, 5500) + "{\"n\":55"), 1000);
    let taken = Reply::answer("200 OK", JSON, "{}");
    let up = Upstream::start(vec![("/data", cut), ("/taken", taken)]).await;
    let bench = Bench::new();
    let spec = format!(
        "source: {{type: http, url: 'http://{0}/data'}}\ntransforms: [{{type: columns, keep: [n]}}]\nsinks:\n  - {{type: file, path: out.ndjson}}\n  - {{type: http_api, url: 'http://{0}/taken', body: ndjson}}\n",
        up.host
    );
    let (code, record) = bench.record(&spec, &[]);
    assert_eq!(code, 1, "{record:#}");
    let said = record["error"].to_string();
    let read = stage(&record, "http")["records_out"].as_u64().unwrap();
    let words = format!("{read} records of the page had been handed on");
    assert!(said.contains(&words), "{said}");
    assert!(read >= 1000, "{record:#}");
    assert_eq!(up.seen().iter().filter(|r| r.starts_with("GET")).count(), 1);
    let posted = up.seen().into_iter().filter(|r| r.starts_with("POST"));
    let posted: String = posted
        .map(|r| r.split_once("\r\n\r\n").unwrap().1.to_owned())
        .collect();
    assert_eq!(posted, lines(1, usize::try_from(read).unwrap()));
    assert!(
        !bench.path("out.ndjson").exists(),
        "half a file must not show"
    );
    check_sums(&record);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_content_type_is_shown_with_what_to_write() {
    let page = "<!doctype html><title>Please sign in</title>";
    let ran = run(Reply::answer("200 OK", "text/html", page), "").await;
    check_failed(
        &ran,
        1,
        &[
            "text/html",
            "JSON, NDJSON and CSV",
            "format: json",
            "Please sign in",
        ],
    );
    // The same where JSON was asked for, whatever it calls itself.
    let ran = run(Reply::answer("200 OK", JSON, page), ", format: json").await;
    check_failed(&ran, 1, &["neither JSON nor NDJSON", "Please sign in"]);
    // A type that only is a little off is taken for what was asked.
    let plain = Reply::answer("200 OK", "text/plain", THREE);
    check_whole(&run(plain, ", format: ndjson").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_in_the_middle_is_set_aside_and_the_rest_goes_on() {
    let body = "[{\"n\":1},{\"n\":oops},{\"n\":2},{\"n\":3}]";
    let ran = run(Reply::answer("200 OK", JSON, body), "").await;
    check_partial(&ran, THREE, &[(2, "line 1: is no JSON", "{\"n\":oops}")]);
    let body = "{\"n\":1}\n{\"n\":2}\n{\"n\":\n{\"n\":3}\nnull and void\n";
    let ran = run(Reply::answer("200 OK", NDJSON, body), "").await;
    check_partial(
        &ran,
        THREE,
        &[
            (3, "line 3: not JSON", "{\"n\":"),
            (5, "line 5", "null and"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_breaks_off_fails_with_the_place() {
    let body = "[{\"n\":1},\n{\"n\":2} {\"n\":3}]";
    let ran = run(Reply::answer("200 OK", JSON, body), "").await;
    check_failed(
        &ran,
        1,
        &[
            "line 2, byte 19",
            "expected `,` or `]`",
            "2 records were read",
        ],
    );
    let ran = run(Reply::answer("200 OK", JSON, "[{\"n\":1},{\"n\":2},"), "").await;
    check_failed(&ran, 1, &["ends in its middle, after 2 whole records"]);
}

/// A gibibyte of one text, in pieces of a mebibyte.
fn gibibyte(content_type: &str, before: &str, after: &str) -> Reply {
    let first = [head(content_type), before.as_bytes().to_vec()].concat();
    Reply::Repeat(first, vec![b'x'; 1 << 20], 1 << 10, after.into())
}

async fn check_large(content_type: &str, before: &str, after: &str, wanted: &str) {
    let reply = gibibyte(content_type, before, after);
    let up = Upstream::start(vec![("/data", reply)]).await;
    let bench = Bench::new();
    let ended = bench.run(&spec(&up, ""), &[]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(bench.read("out.ndjson"), wanted);
    for words in ["http, record 2:", "larger than a record may be", "16777216"] {
        assert!(ended.error.contains(words), "{words} in {}", ended.error);
    }
    assert!(ended.peak_mib < 128, "{} MiB", ended.peak_mib);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_gibibyte_in_an_answer_is_not_held() {
    let both = "{\"n\":1}\n{\"n\":3}\n";
    let (before, after) = ("{\"n\":1}\n{\"n\":\"", "\"}\n{\"n\":3}\n");
    check_large(NDJSON, before, after, both).await;
    let (before, after) = ("[{\"n\":1},{\"n\":\"", "\"},{\"n\":3}]");
    check_large(JSON, before, after, both).await;
    check_large("text/csv", "n\n1\n", "\n3\n", both).await;
}
