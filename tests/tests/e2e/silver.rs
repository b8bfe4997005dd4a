//! Cleaned records that a server keeps as Parquet files: each run's once, also when the server is killed in the middle of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::json::writer::{LineDelimited, WriterBuilder};
use e2e::server::{Server, Setup, command};
use e2e::upstream::{Reply, Upstream, head};
use e2e::wait::{PATIENCE, until};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::pipelines::{Place, run, send_spec};
use crate::webhooks::{serve, signed, taken};

const RECORDS: u64 = 1_000;

/// The files of a pipeline on disk, hidden ones too.
fn on_disk(server: &Server, pipeline: &str) -> Vec<PathBuf> {
    let folder = server.data().join("silver").join(pipeline);
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let mut files: Vec<_> = entries(&folder).iter().flat_map(|f| entries(f)).collect();
    files.sort();
    files
}

/// The records of a file.
fn read(path: &Path) -> Vec<Value> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut writer = WriterBuilder::new().build::<_, LineDelimited>(Vec::new());
    for batch in reader.build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The numbers of all records of a pipeline, sorted. What is on disk is what the API lists, day by day.
async fn numbers(server: &Server, pipeline: &str) -> Vec<u64> {
    let files = on_disk(server, pipeline);
    let path = format!("/api/v1/pipelines/{pipeline}/silver");
    let listed = server.get(&path).await.json();
    let listed = listed["files"].as_array().unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|f| {
            format!(
                "day={}/{}",
                f["day"].as_str().unwrap(),
                f["name"].as_str().unwrap()
            )
        })
        .collect();
    let base = server.data().join("silver").join(pipeline);
    let below = |file: &PathBuf| file.strip_prefix(&base).unwrap().display().to_string();
    assert_eq!(names, files.iter().map(below).collect::<Vec<_>>());
    numbers_in(&files)
}

fn numbers_in(files: &[PathBuf]) -> Vec<u64> {
    let records = files.iter().flat_map(|file| read(file));
    let mut numbers: Vec<_> = records.map(|r| r["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_server_is_killed_in_the_middle_leaves_each_record_once() {
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
    place.spec("a", &format!(
        "id: a\ntrigger: {{every: 1h}}\npersistence: {{silver: true}}\nlimits: {{batch_records: 10, queue: 1}}\nsource: {{type: file, path: in.ndjson}}\n\
         transforms: [{{type: map, rest: true, fields: {{run: {{value: '{{{{run.id}}}}'}}}}}}]\nsink: {{type: http_api, url: 'http://{here}/', body: ndjson}}\n"
    ));
    gate.add_permits(5);
    until("it delivers", PATIENCE, async || {
        (upstream.seen().len() > 5).then_some(())
    })
    .await;
    assert_eq!(
        server.get("/api/v1/pipelines/a/silver").await.json(),
        json!({"files": [], "next": null})
    );
    server.signal(Signal::KILL);
    let setup = server.into_setup().await;
    gate.add_permits(usize::try_from(RECORDS).unwrap());
    let server = setup.config(&config).start().await;
    let run = until("the run is over", PATIENCE, async || {
        let page = server.get("/api/v1/runs?pipeline=a").await.json();
        let run = page["runs"].as_array()?.first()?.clone();
        (run["state"] == "succeeded").then_some(run)
    })
    .await;
    assert_eq!(
        numbers(&server, "a").await,
        (0..RECORDS).collect::<Vec<_>>()
    );
    let files = on_disk(&server, "a");
    assert_eq!(files.len(), 1, "{files:?}");
    let id = run["id"].as_str().unwrap();
    assert!(files[0].ends_with(format!("{id}.parquet")), "{files:?}");
    assert!(read(&files[0]).iter().all(|r| r["run"] == id));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_runs_are_listed_page_by_page_and_those_that_fail_have_none() {
    let place = Place::new().await;
    let server = place.serve().await;
    let spec = |errors: &str| {
        format!(
            "id: a\npersistence: {{silver: true}}\nerrors: {{{errors}}}\nsource: {{type: file, path: in.ndjson, validate: true}}\nsink: {{type: file, path: 'out-{{{{run.id}}}}.ndjson'}}\n"
        )
    };
    let put = async |text: &str| {
        let answer = send_spec(&server, "PUT", "/api/v1/pipelines/a", text).await;
        assert!(answer.status < 300, "{}", answer.text());
    };
    put(&spec("on_reject: fail")).await;
    let failed = run(&server, "a", &json!({})).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert_eq!(on_disk(&server, "a"), Vec::<PathBuf>::new());
    put(&spec("on_reject: reject")).await;
    for _ in 0..3 {
        let run = run(&server, "a", &json!({})).await;
        assert_eq!(run["state"], "partial", "{run:#}");
    }
    let dry = run(&server, "a", &json!({"dry_run": true})).await;
    assert_eq!(dry["state"], "partial", "{dry:#}");
    assert_eq!(numbers(&server, "a").await, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    let path = "/api/v1/pipelines/a/silver";
    let first = server.get(&format!("{path}?limit=2")).await.json();
    assert_eq!(first["files"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let second = server.get(&format!("{path}?after={next}")).await.json();
    assert_eq!(second["next"], Value::Null);
    let all = server.get(path).await.json()["files"].clone();
    let pages = [first["files"].as_array(), second["files"].as_array()];
    let pages: Vec<_> = pages.into_iter().flatten().flatten().cloned().collect();
    assert_eq!(Value::from(pages), all);
    let bad = server.get(&format!("{path}?after=x")).await;
    assert_eq!(bad.status, 400, "{}", bad.text());
    let unknown = server.get("/api/v1/pipelines/b/silver").await;
    assert_eq!(unknown.json(), json!({"files": [], "next": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_adds_nothing() {
    let place = Place::new().await;
    let server = serve(&place).await;
    place.spec("hooks", "id: hooks\ntrigger: {webhook: {secret: '${env:WEIR_TEST_HOOK}'}}\npersistence: {silver: true}\nsink: {type: file, path: 'out-{{run.id}}.ndjson'}\n");
    until("it is registered", PATIENCE, async || {
        let answer = server.get("/api/v1/pipelines/hooks").await;
        (answer.status == 200).then_some(())
    })
    .await;
    for n in 0..20 {
        let body = format!("{{\"n\":{n}}}");
        taken(&server, &signed("hooks", body.as_bytes()), "hooks").await;
    }
    let all: Vec<u64> = (0..20).collect();
    // Whole ones: runs are under way beside it.
    until("all are kept", PATIENCE, async || {
        let mut files = on_disk(&server, "hooks");
        files.retain(|file| file.extension().is_some_and(|e| e == "parquet"));
        (numbers_in(&files) == all).then_some(())
    })
    .await;
    let replay = server
        .post("/api/v1/pipelines/hooks/replay", &json!({}))
        .await;
    assert_eq!(replay.status, 202, "{}", replay.text());
    let id = replay.json()["id"].as_str().unwrap().to_owned();
    until("the replay is over", PATIENCE, async || {
        let run = server.get(&format!("/api/v1/runs/{id}")).await.json();
        (run["state"] == "succeeded").then_some(())
    })
    .await;
    assert_eq!(numbers(&server, "hooks").await, all);
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_at_the_start_by_its_name() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let folder = file.join("silver");
    let config = home.path().join("weir.toml");
    std::fs::write(&config, format!("[silver]\nfolder = {folder:?}\n")).unwrap();
    let output = command()
        .current_dir(home.path())
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let named = said.contains("[silver]") && said.contains(&folder.display().to_string());
    assert!(named, "{said}");
}
