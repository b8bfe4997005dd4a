//! `weir run`: real files through native stages and plugins, what is shown of it, and what becomes of bad input.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::bench::{Bench, Running, stage};
use e2e::guests;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const EVENTS: &str = r#"{"id":1,"ts":"2026-01-01T00:00:00Z","event":"click","status":200,"amount":1.23,"user":{"id":7,"name":"ana"},"tags":["a","b"],"msg":"x"}
{"id":2,"ts":"2026-01-01T00:00:01Z","event":"debug","status":200,"amount":1,"user":{"id":8,"name":"bob"},"tags":[],"msg":"x"}
{"id":3,"ts":"2026-01-01T00:00:02Z","event":"view","status":404,"amount":2,"user":{"id":9,"name":"eve"},"tags":[],"msg":"x"}
{"id":4,"ts":"2026-01-01T00:00:03Z","event":"view","status":301,"amount":20.5,"user":{"id":10,"name":"kim"},"tags":["c"],"msg":"x"}
"#;
const CLEAN: &str = r#"{"id":1,"ts":"2026-01-01T00:00:00Z","event":"CLICK","status":200,"amount_cents":123,"user_id":7,"tags":["a","b"]}
{"id":4,"ts":"2026-01-01T00:00:03Z","event":"VIEW","status":301,"amount_cents":2050,"user_id":10,"tags":["c"]}
"#;
const NATIVE: &str = r#"
source: {type: file, path: in.ndjson}
transforms:
  - {type: filter, where: status < 400 && event != "debug"}
  - type: map
    fields:
      id: id
      ts: ts
      event: {path: event, apply: [upper]}
      status: status
      amount_cents: {path: amount, apply: [{multiply: 100}, round, integer]}
      user_id: user.id
      tags: tags
sinks:
  - {type: file, path: out.ndjson}
"#;
const PLUGIN: &str = r"
source: {type: file, path: in.ndjson}
transforms:
  - {type: plugin, plugin: clean-events}
sinks:
  - {type: file, path: out.ndjson}
";

#[test]
fn native_stages_move_a_file() {
    let bench = Bench::new().file("in.ndjson", EVENTS);
    let ended = bench.run(NATIVE, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(bench.read("out.ndjson"), CLEAN);
    assert_eq!(ended.out, "", "standard output is for data");
    for words in ["STAGE", "filter", "map", "p succeeded"] {
        assert!(ended.error.contains(words), "{words} in {}", ended.error);
    }
}

#[test]
fn a_plugin_does_the_same() {
    let bench = Bench::new().file("in.ndjson", EVENTS);
    let plugin = guests::path("examples/clean-events.wasm");
    let (code, record) = bench.record(PLUGIN, &["--plugin", plugin.to_str().unwrap()]);
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(bench.read("out.ndjson"), CLEAN);
    let stage = stage(&record, "plugin");
    assert!(
        stage["kind"]
            .as_str()
            .unwrap()
            .contains("clean-events@0.1.0")
    );
    assert!(stage["fuel"].as_u64().unwrap() > 0, "{stage:#}");
    assert_eq!(
        (&stage["records_in"], &stage["left_out"]),
        (&json!(4), &json!(2))
    );
}

#[test]
fn nothing_is_opened_in_a_dry_run() {
    let bench = Bench::new().file("in.ndjson", EVENTS);
    let ended = bench.run(NATIVE, &["--dry-run", "--preview=1", "--limit", "3"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!bench.path("out.ndjson").exists());
    assert!(ended.out.contains("amount_cents"), "{}", ended.out);
}

#[test]
fn a_wrong_spec_is_told_with_its_lines() {
    let bench = Bench::new();
    let spec = "source: {type: fiel, path: in.ndjson}\ntransforms:\n  - {type: filter, wher: a}\nsinks: []\n";
    let ended = bench.run(spec, &[]);
    assert_eq!(ended.code, 65, "{ended:?}");
    for words in ["p.pipeline.yaml:1:", "file", "p.pipeline.yaml:3:", "where"] {
        assert!(ended.error.contains(words), "{words} in {}", ended.error);
    }
    let ended = bench.weir(&["run", "none.yaml"]);
    assert!(
        ended.code == 65 && ended.error.contains("none.yaml"),
        "{ended:?}"
    );
}

#[test]
fn a_bad_line_in_the_middle_is_kept_aside() {
    let events = EVENTS.replacen("{\"id\":3", "{\"id\":", 1);
    let bench = Bench::new().file("in.ndjson", &events);
    let ended = bench.run(NATIVE, &["--work", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(bench.read("out.ndjson"), CLEAN);
    assert!(ended.error.contains("p partial"), "{}", ended.error);
    let kept = bench.only("work", "rejects.ndjson");
    assert!(kept.contains("2026-01-01T00:00:02Z"), "{kept}");
    // The same, where a plugin reads the lines.
    let plugin = guests::path("examples/clean-events.wasm");
    let ended = bench.run(PLUGIN, &["--plugin", plugin.to_str().unwrap()]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(bench.read("out.ndjson"), CLEAN);
}

#[test]
fn too_many_rejects_fail_the_run() {
    let bench = Bench::new().file("in.ndjson", "{\"a\":1}\nx\n{\"a\":2}\n");
    let spec = "source: {type: file, path: in.ndjson}\ntransforms: [{type: columns, keep: [a]}]\nsinks: [{type: file, path: out.ndjson}]\n";
    let (code, record) = bench.record(&format!("{spec}errors: {{max_rejects: 0}}\n"), &[]);
    assert_eq!(
        (code, &record["state"]),
        (1, &json!("failed")),
        "{record:#}"
    );
    assert!(
        !bench.path("out.ndjson").exists(),
        "half a file must not show"
    );
    let (code, record) = bench.record(&format!("{spec}errors: {{max_rejects: 50%}}\n"), &[]);
    assert_eq!(
        (code, &record["state"]),
        (3, &json!("partial")),
        "{record:#}"
    );
    assert_eq!(bench.read("out.ndjson"), "{\"a\":1}\n{\"a\":2}\n");
    let (code, _) = bench.record(&format!("{spec}errors: {{on_reject: fail}}\n"), &[]);
    assert_eq!(code, 1);
}

#[test]
fn a_record_of_a_gibibyte_is_not_held() {
    use std::io::{Seek, SeekFrom, Write};
    let bench = Bench::new();
    let mut file = fs::File::create(bench.path("in.ndjson")).unwrap();
    file.write_all(b"{\"a\":1}\n{\"a\":\"").unwrap();
    // Sparse: it takes no room on the disk.
    file.seek(SeekFrom::Current(1 << 30)).unwrap();
    file.write_all(b"\"}\n{\"a\":2}\n").unwrap();
    let spec = "source: {type: file, path: in.ndjson}\ntransforms: [{type: columns, keep: [a]}]\nsinks: [{type: file, path: out.ndjson}]\n";
    let ended = bench.run(spec, &[]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(bench.read("out.ndjson"), "{\"a\":1}\n{\"a\":2}\n");
    assert!(ended.error.contains("record 2"), "{}", ended.error);
    assert!(ended.peak_mib < 128, "{} MiB", ended.peak_mib);
}

#[test]
fn csv_with_ragged_rows_and_bad_encoding_goes_on() {
    let bench = Bench::new().file("in.csv", b"a,b\n1,2\n3\n4,5,6\n\xff,7\n8,9\n");
    let spec = "source: {type: file, path: in.csv}\nsinks: [{type: file, path: out.ndjson}]\n";
    let (code, record) = bench.record(spec, &[]);
    assert_eq!(code, 3, "{record:#}");
    assert_eq!(stage(&record, "file")["rejected"], 3, "{record:#}");
    assert_eq!(bench.read("out.ndjson").lines().count(), 2);
}

#[test]
fn a_plugin_that_breaks_the_contract_ends_the_run_and_nothing_shows() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n{\"n\":1}\n");
    let plugin = bench.actor();
    for (does, words) in [
        ("count", "records that holds"),
        ("double", "4 records and 0 rejects for 2 records"),
        ("no_end", "does not end"),
        ("arrow", "arrow-ipc"),
        ("last_twice", "twice"),
        ("past_end", "of 2"),
        ("lose", "held back 2 records and returned 0"),
        ("trap", "trapped"),
        ("spin", "limit"),
    ] {
        let spec = format!(
            "source: {{type: file, path: in.ndjson}}\ntransforms: [{{type: plugin, plugin: stage, config: {{does: {does}}}}}]\nsinks: [{{type: file, path: out.ndjson}}]\n"
        );
        bench.broken(&spec, &plugin, words);
    }
}

#[test]
fn a_plugin_that_returns_no_json_is_found_out_by_who_reads_it() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n{\"n\":1}\n");
    let plugin = bench.actor();
    let spec = "source: {type: file, path: in.ndjson}\ntransforms: [{type: plugin, plugin: stage, config: {does: no_json}}, {type: columns, keep: [n]}]\nsinks: [{type: file, path: out.ndjson}]\n";
    let (code, record) = bench.record(spec, &["--plugin", &plugin]);
    assert_eq!(code, 3, "{record:#}");
    assert_eq!(stage(&record, "columns")["rejected"], 2, "{record:#}");
}

#[test]
fn a_plugin_may_be_source_and_sink() {
    let bench = Bench::new();
    let plugin = bench.actor();
    let spec = "source: {type: plugin, plugin: stage, config: {records: 2500}}\nsinks: [{type: plugin, name: taken, plugin: stage}, {type: file, path: out.ndjson}]\n";
    let (code, record) = bench.record(spec, &["--plugin", &plugin]);
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(bench.read("out.ndjson").lines().count(), 2500);
    assert_eq!(stage(&record, "taken")["records_out"], 2500);
}

#[test]
fn a_sink_that_is_broken_does_not_stop_the_other() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n{\"n\":1}\n");
    let plugin = bench.actor();
    let spec = "source: {type: file, path: in.ndjson}\nsinks:\n  - {type: plugin, name: bad, plugin: stage, config: {does: trap}}\n  - {type: file, name: good, path: out.ndjson}\n";
    let (code, record) = bench.record(spec, &["--plugin", &plugin, "--work", "work"]);
    assert_eq!(
        (code, &record["state"]),
        (3, &json!("partial")),
        "{record:#}"
    );
    assert_eq!(bench.read("out.ndjson").lines().count(), 2);
    assert_eq!(stage(&record, "bad")["undelivered"], 2, "{record:#}");
    let kept = bench.only("work", "bad.undelivered.ndjson");
    assert_eq!(kept.lines().count(), 2, "{kept}");
}

#[test]
fn json_is_all_there_is_on_standard_output() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n");
    let spec = "source: {type: file, path: in.ndjson}\nsinks: [{type: console, format: ndjson}, {type: console, name: again}]\n";
    let ended = bench.run(spec, &["--json"]);
    let record: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &record["state"]), (0, &json!("succeeded")));
    assert!(ended.error.contains("{\"n\":0}"), "{}", ended.error);
    // What cannot be written is told.
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let run = ["run", "p.pipeline.yaml", "--json"];
    let ended = bench
        .start(&run, |command| {
            command.stdout(full.unwrap());
        })
        .wait();
    let said = ended.error;
    assert_eq!(ended.code, 1, "{said}");
    assert!(said.contains("weir: standard output: "), "{said}");
}

#[test]
fn a_failure_is_told_once() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n");
    for (spec, words) in [
        (
            "source: {type: file, path: none.ndjson}\nsinks: [{type: console}]\n",
            "there is no file",
        ),
        (
            "source: {type: file, path: in.ndjson}\nsinks: [{type: file, path: in.ndjson/x.ndjson}]\n",
            "Not a directory",
        ),
    ] {
        let ended = bench.run(spec, &[]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let times = ended.error.matches(words).count();
        assert_eq!(times, 1, "{}", ended.error);
    }
}

#[test]
fn two_sinks_of_one_file_and_secrets_in_records_are_found_before_anything_runs() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n");
    let spec = "source: {type: file, path: in.ndjson}\ntransforms:\n  - {type: columns, add: {k: 'x ${env:HOME}'}}\n  - {type: map, fields: {k: {value: '${env:HOME}'}}}\nsinks:\n  - {type: file, path: same.ndjson}\n  - {type: file, path: ./same.ndjson}\n  - {type: file, path: same.ndjson, partition_by: [n]}\n";
    let ended = bench.run(spec, &[]);
    assert_eq!(ended.code, 65, "{ended:?}");
    let said: Vec<_> = ended.error.lines().collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    for (line, (place, words)) in said.iter().zip([
        ("p.pipeline.yaml:3:", "goes into records"),
        ("p.pipeline.yaml:4:", "goes into records"),
        (
            "p.pipeline.yaml:7:",
            "writes same.ndjson, as `sinks.0` does",
        ),
    ]) {
        assert!(line.starts_with(place) && line.contains(words), "{said:#?}");
    }
    // A path that is known later.
    let spec = "parameters: {to: {type: string, default: same}}\nsource: {type: file, path: in.ndjson}\nsinks: [{type: file, path: same.ndjson}, {type: file, path: '{{params.to}}.ndjson'}]\n";
    let (code, record) = bench.record(spec, &[]);
    let said = record["error"].to_string();
    assert!(code != 0 && said.contains("of this run, too"), "{record:#}");
}

/// A run of a pipeline of this name that writes to the folder `out` until it is ended, once it has begun to.
fn writing<'a>(bench: &'a Bench, plugin: &str, name: &str) -> Running<'a> {
    let spec = format!(
        "source: {{type: plugin, plugin: stage, config: {{records: 100000000}}}}\nsinks: [{{type: file, path: out/{name}.ndjson}}]\n"
    );
    let file = format!("{name}.pipeline.yaml");
    fs::write(bench.path(&file), spec).unwrap();
    let before = left(&bench.path("out")).len();
    let mut running = bench.start(&["run", &file, "--plugin", plugin], |_| ());
    while left(&bench.path("out")).len() == before {
        let ended = running.child.try_wait().unwrap();
        assert!(ended.is_none(), "{}", bench.read("stderr"));
        std::thread::park_timeout(Duration::from_millis(5));
    }
    running
}

/// What is in a folder.
fn left(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn what_a_killed_run_leaves_goes_with_the_next_one() {
    let bench = Bench::new().file("in.ndjson", "{\"n\":0}\n");
    let plugin = bench.actor();
    let mut living = writing(&bench, &plugin, "living");
    let mine = left(&bench.path("out"));
    assert!(mine.len() == 1 && mine[0].starts_with(".weir-"), "{mine:?}");
    let mut killed = writing(&bench, &plugin, "killed");
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert_eq!(left(&bench.path("out")).len(), 2);
    // What the dead one left goes, what the living one writes stays.
    let spec = "source: {type: file, path: in.ndjson}\nsinks: [{type: file, path: out/b.ndjson}]\n";
    let ended = bench.run(spec, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut names = left(&bench.path("out"));
    names.sort();
    assert_eq!(names, [mine[0].as_str(), "b.ndjson"]);
    living.child.kill().unwrap();
    living.child.wait().unwrap();
    assert_eq!(bench.run(spec, &[]).code, 0);
    assert_eq!(left(&bench.path("out")), ["b.ndjson"]);
}

#[test]
fn a_run_that_is_asked_to_end_leaves_nothing() {
    let bench = Bench::new();
    let plugin = bench.actor();
    let running = writing(&bench, &plugin, "p");
    let pid = Pid::from_child(&running.child);
    kill_process(pid, Signal::TERM).unwrap();
    let ended = running.wait();
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(ended.error.contains("p cancelled"), "{}", ended.error);
    assert_eq!(left(&bench.path("out")), Vec::<String>::new());
}
