//! What runs on a server leave behind: lines in their log, and folders on disk.

use std::fmt::Write as _;
use std::path::Path;

use e2e::server::Server;
use e2e::wait::{PATIENCE, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pipelines::{Place, copy, events, run, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_console_writes_into_the_log_of_its_run_and_not_into_the_servers() {
    let place = Place::new().await;
    let mut lines = String::new();
    for n in 0..500 {
        writeln!(lines, "{{\"n\":{n},\"s\":\"\\u001b[2J forged\"}}").unwrap();
    }
    std::fs::write(place.data("many.ndjson"), lines).unwrap();
    let spec = |id: &str, options: &str| {
        format!(
            "id: {id}\nsource: {{type: file, path: many.ndjson}}\nsink: {{type: console, {options}}}\n"
        )
    };
    place.spec("table", &spec("table", "limit: 2"));
    place.spec("all", &spec("all", "format: ndjson"));
    let server = place.serve().await;
    let said = |record: &Value| -> Vec<String> {
        let log = record["log"].as_array().unwrap().iter();
        let of_sink = log.filter(|l| l["stage"] == "console" && l["level"] == "info");
        of_sink
            .map(|l| l["message"].as_str().unwrap().to_owned())
            .collect()
    };
    let table = said(&run(&server, "table", &json!({})).await);
    assert_eq!(table.first().unwrap(), "n  s");
    assert_eq!(table.last().unwrap(), "2 of 500 records");
    let all = said(&run(&server, "all", &json!({})).await);
    assert_eq!(all.len(), 101, "{all:?}");
    assert_eq!(all[0], r#"{"n":0,"s":"\u001b[2J forged"}"#);
    assert_eq!(all[100], "100 of 500 records");
    let log = server.log();
    assert!(!log.contains("forged") && !log.contains("of 500"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composition_shows_the_stages_of_its_pipelines() {
    let place = Place::new().await;
    place.spec("quick", &copy("quick", "quick.ndjson"));
    place.spec("slow", &place.stuck("slow", "slow.ndjson"));
    place.spec(
        "both",
        "id: both\nparallel: {pipelines: [quick, slow], on_error: collect}\n",
    );
    let server = place.serve().await;
    let id = start(&server, "both").await;
    let path = format!("/api/v1/runs/{id}");
    let members = |run: &Value| -> Vec<(Value, Value)> {
        let members = run["members"].as_array().cloned().unwrap_or_default();
        let told = members
            .iter()
            .map(|m| (m["pipeline"].clone(), m["state"].clone()));
        told.collect()
    };
    let shown = until("both are shown", PATIENCE, async || {
        let run = server.get(&path).await.json();
        let wanted = [
            (json!("quick"), json!("partial")),
            (json!("slow"), json!("running")),
        ];
        let there = members(&run) == wanted;
        let read = run["members"][1]["stages"][0]["records_out"].as_u64();
        (there && read > Some(0)).then_some(run)
    })
    .await;
    assert_eq!(shown["stages"], json!([]));
    assert_eq!(shown["members"][0]["stages"][1]["records_out"], 3);
    let list = server.get("/api/v1/runs").await.json();
    assert!(!list.to_string().contains("members"), "{list}");
    server.post(&format!("{path}/cancel"), &json!({})).await;
    let stream = server.get(&format!("{path}/events")).await;
    let (name, last) = events(&stream).pop().unwrap();
    assert_eq!((name.as_str(), members(&last).len()), ("over", 2), "{last}");
}

/// The folders of runs there are.
fn folders(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("runs")).into_iter().flatten();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Unfinished files in a folder.
fn unfinished(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".weir-")).count()
}

async fn again(server: Server, config: &str) -> Server {
    let setup = server.into_setup().await.config(config);
    setup
        .env("WEIR_TEST_PASSWORD", "s3cret-value")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_runs_are_bounded() {
    let place = Place::new().await;
    place.spec("copy", &copy("copy", "out.ndjson"));
    place.spec("slow", &place.stuck("slow", "slow.ndjson"));
    let server = place.serve().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let record = run(&server, "copy", &json!({})).await;
        ids.push(record["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(folders(&server.data()), ids);
    // A run from the first hour of 1970, and something that is none of ours.
    let old = format!("run_{:032x}", 1_u128 << 80);
    for name in [old.as_str(), "keep-me"] {
        std::fs::create_dir(server.data().join("runs").join(name)).unwrap();
    }
    let killed = start(&server, "slow").await;
    let data = place.data("");
    until("a file is begun", PATIENCE, async || {
        (unfinished(&data) == 1).then_some(())
    })
    .await;
    assert!(folders(&server.data()).contains(&killed));
    server.signal(Signal::KILL);
    let server = again(server, &place.config()).await;
    // What the killed run rejected is kept, as that of the others.
    let mut left = ids.clone();
    left.insert(0, "keep-me".into());
    left.push(killed);
    assert_eq!(folders(&server.data()), left, "by age");
    let config = format!("{}keep_runs = 1\n", place.config());
    let server = again(server, &config).await;
    left.drain(1..4);
    assert_eq!(folders(&server.data()), left, "by number");
}
