//! `weir run` on files and plugins whose records are no records: what is sound goes on, the rest is kept with its reason and its bytes.

use e2e::bench::{Bench, check_sums, stage};
use serde_json::{Value, json};

/// What was rejected: stage, number, reason, and what it was.
fn rejects(bench: &Bench) -> Vec<Value> {
    let kept = bench.only("work", "rejects.ndjson");
    let lines = kept.lines().map(|l| serde_json::from_str(l).unwrap());
    lines.collect()
}

/// Copies a file: which records arrive, and what is said of the others.
#[track_caller]
fn check(name: &str, content: &[u8], options: &str, wanted: &str, rejected: &[(u64, &str, Value)]) {
    let bench = Bench::new().file(name, content);
    let spec = format!(
        "source: {{type: file, name: in, path: {name}{options}}}\nsinks: [{{type: file, name: out, path: out.ndjson}}]\n"
    );
    let (code, record) = bench.record(&spec, &["--work", "work"]);
    assert_eq!(code, if rejected.is_empty() { 0 } else { 3 }, "{record:#}");
    assert_eq!(bench.read("out.ndjson"), wanted);
    check_sums(&record);
    let rejects = if rejected.is_empty() {
        Vec::new()
    } else {
        rejects(&bench)
    };
    assert_eq!(rejects.len(), rejected.len(), "{rejects:#?}");
    assert_eq!(stage(&record, "in")["rejected"], json!(rejected.len()));
    for (kept, (number, words, was)) in rejects.iter().zip(rejected) {
        assert_eq!(kept["number"], json!(number), "{kept}");
        assert!(kept["reason"].as_str().unwrap().contains(words), "{kept}");
        assert!(kept["reason"].as_str().unwrap().contains(name), "{kept}");
        let (text, bytes) = (&was["text"], &was["bytes"]);
        assert!(text.is_null() || *text == kept["record"], "{kept}");
        assert_eq!(*bytes, kept["bytes"], "{kept}");
    }
}

#[test]
fn ragged_rows_are_kept_as_they_were() {
    check(
        "in.csv",
        b"a,b\n1,2\n3\n4,5,6\n\"7\",\"x,y\"\n",
        "",
        "{\"a\":1,\"b\":\"2\"}\n{\"a\":7,\"b\":\"x,y\"}\n",
        &[
            (
                2,
                "line 3: 1 fields, where the header has 2",
                json!({"text": "3"}),
            ),
            (3, "line 4: 3 fields", json!({"text": "4,5,6"})),
        ],
    );
    // A quote that is never closed takes its line, and no more.
    let rest: String = (0..2000).map(|n| format!("{n},{n}\n")).collect();
    let text = format!("\"oops,1\n{rest}");
    let rows = (0..2000).map(|n| format!("{{\"a\":\"{n}\",\"b\":\"{n}\"}}\n"));
    let rows: String = rows.collect();
    check(
        "in.csv",
        format!("a,b\nx,y\n{text}").as_bytes(),
        "",
        &format!("{{\"a\":\"x\",\"b\":\"y\"}}\n{rows}"),
        &[(
            2,
            "line 3: the quote on line 3 is never closed",
            json!({"text": "\"oops,1"}),
        )],
    );
}

#[test]
fn bytes_in_another_encoding_are_kept_and_the_option_is_named() {
    check(
        "in.csv",
        b"name,n\nAda,1\nJos\xe9,2\n",
        "",
        "{\"name\":\"Ada\",\"n\":1}\n",
        // The bytes of the row, in Base64.
        &[(2, "encoding: windows-1252", json!({"bytes": "Sm9z6Swy"}))],
    );
    check(
        "in.csv",
        b"name,n\nAda,1\nJos\xe9,2\n",
        ", encoding: windows-1252",
        "{\"name\":\"Ada\",\"n\":1}\n{\"name\":\"José\",\"n\":2}\n",
        &[],
    );
    check(
        "in.ndjson",
        b"{\"a\":1}\n{\"a\":\"\xff\"}\n{\"a\":2}\n",
        "",
        "{\"a\":1}\n{\"a\":2}\n",
        &[(
            2,
            "line 2: has bytes that are no UTF-8",
            json!({"bytes": "eyJhIjoi/yJ9"}),
        )],
    );
}

#[test]
fn malformed_json_is_kept_whole() {
    let long = format!("{{\"a\": \"{}\" oops}}", "x".repeat(10_000));
    check(
        "in.ndjson",
        format!("{{\"a\":1}}\n{long}\n{{\"a\":2}}\n").as_bytes(),
        "",
        "{\"a\":1}\n{\"a\":2}\n",
        &[(2, "line 2: not JSON", json!({"text": long}))],
    );
    check(
        "in.json",
        b"[{\"a\":1},\n{\"a\":tru},\n{\"a\":2}]\n",
        "",
        "{\"a\":1}\n{\"a\":2}\n",
        &[(2, "line 2: is no JSON", json!({"text": "{\"a\":tru}"}))],
    );
}

#[test]
fn what_a_plugin_makes_that_is_no_json_goes_into_no_file() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n{\"n\":1}\n");
    let plugin = bench.actor();
    let from_file = "source: {type: file, path: in.ndjson}\ntransforms: [{type: plugin, plugin: stage, config: {does: no_json}}]\n";
    let made = "source: {type: plugin, plugin: stage, config: {does: no_json, records: 2}}\n";
    for (work, start) in [("transform", from_file), ("source", made)] {
        let spec = format!("{start}sinks: [{{type: file, name: out, path: out.ndjson}}]\n");
        let (code, record) = bench.record(&spec, &["--plugin", &plugin, "--work", work]);
        assert_eq!(code, 3, "{record:#}");
        assert_eq!(bench.read("out.ndjson"), "");
        let kept = bench.only(work, "rejects.ndjson");
        let kept: Vec<Value> = kept
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        let reason = kept[0]["reason"].as_str().unwrap();
        assert!(reason.contains("the record it made is no JSON"), "{reason}");
        assert_eq!(kept[1]["record"], "{");
    }
}

#[test]
fn a_source_that_breaks_the_contract_ends_the_run_and_nothing_shows() {
    let bench = Bench::new();
    let plugin = bench.actor();
    for (does, records, words) in [
        ("count", 5, "6 records that holds 5"),
        (
            "too_many",
            5000,
            "returned 129 records where at most 128 were asked for",
        ),
        ("no_end", 5, "does not end"),
        ("arrow", 5, "arrow-ipc"),
        ("trap", 5, "trapped"),
    ] {
        let spec = format!(
            "source: {{type: plugin, plugin: stage, config: {{does: {does}, records: {records}}}}}\nsinks: [{{type: file, path: out.ndjson}}]\n"
        );
        bench.broken(&spec, &plugin, words);
    }
}

#[test]
fn a_sink_that_breaks_the_contract_is_named_and_its_records_are_kept() {
    let lines: String = (0..300).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let bench = Bench::new().file("in.ndjson", &lines);
    let plugin = bench.actor();
    for (does, words, kept) in [
        ("last_twice", "twice", true),
        ("past_end", "of 128", true),
        ("silent", "without a reason", true),
        ("trap", "trapped", true),
    ] {
        let spec = format!(
            "source: {{type: file, path: in.ndjson}}\nsinks: [{{type: plugin, name: bad, plugin: stage, config: {{does: {does}}}}}]\n"
        );
        let (code, record) = bench.record(&spec, &["--plugin", &plugin, "--work", does]);
        let said = record["error"].to_string();
        assert_eq!(code, 1, "{does}: {record:#}");
        assert!(
            said.contains(words) && said.contains("stage@1.0.0"),
            "{does}: {said}"
        );
        if kept {
            assert_eq!(bench.only(does, "bad.undelivered.ndjson"), lines, "{does}");
            check_sums(&record);
        }
    }
}

#[test]
fn a_plugin_that_returns_nothing_is_told_apart_from_one_that_leaves_out() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n{\"n\":1}\n");
    let plugin = bench.actor();
    let run = |does: &str| {
        let spec = format!(
            "source: {{type: file, path: in.ndjson}}\ntransforms: [{{type: plugin, name: t, plugin: stage, config: {{does: {does}}}}}]\nsinks: [{{type: file, path: out.ndjson}}]\n"
        );
        bench.record(&spec, &["--plugin", &plugin])
    };
    let (code, record) = run("lose");
    let said = record["error"].to_string();
    assert!(
        code == 1 && said.contains("held back 2 records and returned 0"),
        "{said}"
    );
    assert!(!bench.path("out.ndjson").exists());
    let (code, record) = run("leave_out");
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(stage(&record, "t")["left_out"], 2);
    assert_eq!(bench.read("out.ndjson"), "");
    check_sums(&record);
    // A source without records is no failure either.
    let spec = "source: {type: plugin, plugin: stage}\nsinks: [{type: file, path: none.ndjson}]\n";
    let (code, record) = bench.record(spec, &["--plugin", &plugin]);
    assert_eq!(
        (code, bench.read("none.ndjson").as_str()),
        (0, ""),
        "{record:#}"
    );
}
