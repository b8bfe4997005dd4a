//! The sink `file`: what is in the files it writes, and what is there when something goes wrong.

use std::path::Path;

use model::data::{Most, Opening, Reader};
use model::stage::{Convert, SourceKind};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::stages::ArrowConvert;
use crate::stages::conformance::{self, Shows};
use crate::stages::given::context;
use crate::stages::sources::FileSource;
use model::data::Encoding;

fn opened(dir: &Path, options: &Value) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
    FileSink::default().open(options.to_string(), context(dir))
}

fn batch(lines: &str) -> Batch {
    Batch {
        encoding: Encoding::Ndjson,
        count: u32::try_from(lines.lines().count()).unwrap(),
        data: lines.to_owned().into(),
    }
}

/// Writes batches; what was rejected, by batch.
async fn write(dir: &Path, options: &Value, batches: &[&str]) -> Result<Vec<Vec<Reject>>, Fault> {
    let mut writer = opened(dir, options).await?;
    let mut rejects = vec![];
    for (number, lines) in batches.iter().enumerate() {
        rejects.push(writer.push(batch(lines), number.to_string()).await?);
    }
    writer.finish().await?;
    Ok(rejects)
}

/// All files in the folder and below, with what is in them.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![];
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                all.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    all.sort();
    all
}

/// Written so, these files are there, and again when it is written anew.
#[track_caller]
fn check(options: impl Into<Value>, batches: &[&str], wanted: &[(&str, &str)]) {
    let options = options.into();
    let dir = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for _ in 0..2 {
        let rejects = runtime
            .block_on(write(dir.path(), &options, batches))
            .unwrap();
        assert_eq!(rejects.concat(), []);
        let came = files(dir.path());
        let came: Vec<_> = came
            .iter()
            .map(|(name, bytes)| (name.as_str(), std::str::from_utf8(bytes).unwrap()))
            .collect();
        assert_eq!(came, wanted, "{options}");
    }
}

const AB: &str =
    "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y,\\\"z\\\"\\n\",\"a\":null}\n{\"a\":{\"c\":[1]}}\n";

#[test]
fn files_hold_the_records_in_their_format() {
    check(
        json!({"path": "o/p/a.ndjson"}),
        &[AB, "{\"c\":3}\n"],
        &[("o/p/a.ndjson", &format!("{AB}{{\"c\":3}}\n"))],
    );
    check(json!({"path": "a.ndjson"}), &[], &[("a.ndjson", "")]);
    check(
        json!({"path": "a.csv"}),
        &[AB],
        &[(
            "a.csv",
            "a,b\n1,x\n,\"y,\"\"z\"\"\n\"\n\"{\"\"c\"\":[1]}\",\n",
        )],
    );
    check(
        json!({"path": "a.tsv", "csv": {"columns": ["b", "z"], "extra": "ignore", "null": "NA"}}),
        &["{\"a\":1,\"b\":\"x,y\"}\n"],
        &[("a.tsv", "b\tz\nx,y\tNA\n")],
    );
    check(
        json!({"path": "a.csv", "csv": {"columns": ["b"]}}),
        &[],
        &[("a.csv", "b\n")],
    );
    check(
        json!({"path": "a.json"}),
        &["{\"a\":1}\n", "{\"a\":2}\n"],
        &[("a.json", "[\n{\"a\":1},\n{\"a\":2}\n]\n")],
    );
    check(json!({"path": "a.json"}), &[], &[("a.json", "[]\n")]);
    check(json!({"path": "a.parquet"}), &[], &[]);
}

#[test]
fn a_new_file_begins_when_one_is_full() {
    let three = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
    check(
        json!({"path": "a.csv", "max_file_records": 2}),
        &[three],
        &[("a-0001.csv", "a\n1\n2\n"), ("a-0002.csv", "a\n3\n")],
    );
    check(
        json!({"path": "x.y.json", "max_file_bytes": 17}),
        &[three],
        &[
            ("x.y-0001.json", "[\n{\"a\":1},\n{\"a\":2}\n]\n"),
            ("x.y-0002.json", "[\n{\"a\":3}\n]\n"),
        ],
    );
}

#[test]
fn records_go_to_folders_by_the_values_of_fields() {
    let dir = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lines = "{\"k\":\"a/b\",\"n\":1}\n{\"k\":\"..\",\"n\":2}\n{\"k\":null,\"n\":3}\n{\"n\":3}\n{\"k\":[1],\"n\":4}\n{\"k\":true,\"n\":1.50}\n";
    let options = json!({"path": "o.ndjson", "partition_by": ["k", "n"]});
    let rejects = runtime
        .block_on(write(dir.path(), &options, &[lines]))
        .unwrap();
    assert_eq!(rejects[0].len(), 1);
    assert_eq!(rejects[0][0].index, 4);
    assert!(rejects[0][0].reason.contains("the field `k` holds a list"));
    let names: Vec<_> = files(dir.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "k=../n=2/o.ndjson",
            "k=__HIVE_DEFAULT_PARTITION__/n=3/o.ndjson",
            "k=a%2Fb/n=1/o.ndjson",
            "k=true/n=1.50/o.ndjson"
        ]
    );
    // More folders than are open at once, each come back to: whole files all the same.
    for name in ["o.csv.gz", "o.json.zst", "o.parquet", "o.ndjson"] {
        let dir = TempDir::new().unwrap();
        let lines: String = (0..3)
            .flat_map(|_| (0..20).map(|k| format!("{{\"k\":{k},\"s\":\"x\"}}\n")))
            .collect();
        let options = json!({"path": name, "partition_by": ["k"]});
        let came = runtime.block_on(async {
            let rejects = write(dir.path(), &options, &[&lines, &lines])
                .await
                .unwrap();
            assert_eq!(rejects.concat(), []);
            read(dir.path(), "*/*").await
        });
        assert_eq!(came.len(), 120, "{name}");
        let sevens = came.iter().filter(|r| **r == json!({"k": 7, "s": "x"}));
        assert_eq!(sevens.count(), 6, "{name}");
    }
}

/// What the source `file` reads there.
async fn read(dir: &Path, path: &str) -> Vec<Value> {
    let opening = Opening {
        config: json!({"path": path, "optional": true}).to_string(),
        cursor: None,
        window: None,
    };
    let mut reader: Box<dyn Reader> = FileSource.open(opening, context(dir)).await.unwrap();
    let mut all = vec![];
    loop {
        let most = Most {
            records: 1000,
            bytes: 1 << 20,
        };
        let pulled = reader.pull(most).await.unwrap();
        let lines = ArrowConvert
            .convert(pulled.batch, Encoding::Ndjson)
            .unwrap();
        let lines = std::str::from_utf8(&lines.data).unwrap().to_owned();
        all.extend(
            lines
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()),
        );
        if pulled.done {
            return all;
        }
    }
}

#[tokio::test]
async fn it_does_what_every_sink_has_to() {
    let records: Vec<_> = (0..20)
        .map(|n| json!({"n": n, "s": format!("t{n}"), "f": f64::from(n) + 0.5}))
        .collect();
    for options in [
        json!({"path": "x/a.ndjson"}),
        json!({"path": "x/a.ndjson.gz"}),
        json!({"path": "x/a.jsonl.zst"}),
        json!({"path": "x/a.json"}),
        json!({"path": "x/a.csv", "max_file_records": 8}),
        json!({"path": "x/a.csv.gz"}),
        json!({"path": "x/a.parquet"}),
        json!({"path": "x/a.parquet", "max_file_records": 7, "schema": {"n": "integer"}}),
    ] {
        let dir = TempDir::new().unwrap();
        let handle = tokio::runtime::Handle::current();
        let shown = || {
            if files(dir.path())
                .iter()
                .all(|(name, _)| name.contains(".weir-"))
            {
                return None;
            }
            let folder = dir.path().to_owned();
            let handle = handle.clone();
            let reading = move || handle.block_on(read(&folder, "x/*"));
            Some(std::thread::spawn(reading).join().unwrap())
        };
        let clear = || {
            let folder = dir.path().join("x");
            assert!(!folder.exists(), "{options}: something was left");
        };
        let open = || opened(dir.path(), &options);
        for encoding in [Encoding::Ndjson, Encoding::ArrowIpc] {
            if FileSink::default()
                .takes(&options)
                .wants(encoding)
                .is_some()
            {
                continue;
            }
            let shows = Shows::AtTheEnd;
            let said = conformance::sink(&open, &shown, &clear, shows, encoding, &records).await;
            assert_eq!(said, Ok(()), "{options} in {encoding:?}");
            // Two runs into one folder would be one on top of the other.
            std::fs::remove_dir_all(dir.path().join("x")).unwrap();
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_the_first_records_is_rejected() {
    let dir = TempDir::new().unwrap();
    let rejects = async |options: Value, batches: &[&str]| {
        let rejects = write(dir.path(), &options, batches).await.unwrap();
        let rejects = rejects.into_iter().enumerate();
        let rejects =
            rejects.flat_map(|(at, r)| r.into_iter().map(move |r| (at, r.index, r.reason)));
        rejects.collect::<Vec<_>>()
    };
    let came = rejects(
        json!({"path": "a.csv"}),
        &[
            "{\"a\":1}\n3\n{\"b\":1}\n",
            "{\"b\":2,\"c\":1}\n{\"a\":5}\n",
        ],
    )
    .await;
    assert_eq!(came.len(), 2, "{came:?}");
    assert_eq!((came[0].0, came[0].1), (0, 1));
    assert!(
        came[0].2.starts_with("is no record with fields"),
        "{came:?}"
    );
    assert_eq!((came[1].0, came[1].1), (1, 0));
    assert!(
        came[1]
            .2
            .starts_with("has the field `c`, which is no column; there are: a, b."),
        "{came:?}"
    );
    let came = rejects(
        json!({"path": "a.parquet", "schema": {"d": "date", "t": "timestamp", "j": "json"}}),
        &[
            "{\"a\":1,\"d\":\"2024-02-29\",\"j\":[1,\"x\"]}\n",
            "{\"a\":2.5}\n{\"a\":\"2\"}\n{\"d\":\"2023-02-29\"}\n{\"t\":\"2024-05-01T10:00:00.5+02:00\"}\n{\"z\":1}\n",
        ],
    )
    .await;
    let said: Vec<_> = came.iter().map(|(at, index, _)| (*at, *index)).collect();
    assert_eq!(said, [(1, 0), (1, 1), (1, 2), (1, 4)], "{came:?}");
    assert!(
        came[0]
            .2
            .contains("the field `a` holds 2.5, where the column has an integer"),
        "{came:?}"
    );
    assert!(
        came[3].2.contains("has the field `z`, which is no column"),
        "{came:?}"
    );
    let came = read(dir.path(), "a.parquet").await;
    assert_eq!(
        came,
        [
            json!({"d": "2024-02-29", "t": null, "j": "[1,\"x\"]", "a": 1}),
            json!({"d": null, "t": "2024-05-01T08:00:00.500Z", "j": null, "a": null}),
        ]
    );
}

#[tokio::test]
async fn a_number_is_held_exactly_or_rejected() {
    let dir = TempDir::new().unwrap();
    let check = async |numbers: &[&str], rejected: &[usize]| {
        let lines = numbers.iter().map(|n| format!("{{\"a\":{n}}}\n"));
        let lines: String = lines.collect();
        let options = json!({"path": "a.parquet", "schema": {"a": "number"}});
        let rejects = write(dir.path(), &options, &[&lines]).await.unwrap();
        let said: Vec<_> = rejects[0].iter().map(|r| r.index as usize).collect();
        assert_eq!(said, rejected, "{numbers:?}: {rejects:?}");
        let came = read(dir.path(), "a.parquet").await;
        let kept = numbers.iter().enumerate();
        let kept = kept.filter(|(at, _)| !rejected.contains(at));
        let kept: Vec<f64> = kept.map(|(_, n)| n.parse().unwrap()).collect();
        let came: Vec<_> = came.iter().map(|r| r["a"].as_f64().unwrap()).collect();
        assert_eq!(came, kept);
    };
    check(
        &[
            "1.0",
            "9223372036854775809",
            "123456789012345678901234567890.123456789",
            "0.1",
            "-1.50e-7",
            "0.30000000000000004",
            "0.300000000000000041",
        ],
        &[1, 2, 6],
    )
    .await;
    let long = format!("1.{}1", "0".repeat(900));
    check(
        &[
            "9007199254740992",
            "9007199254740993",
            "9223372036854775808",
            "1e300",
            "1e-400",
            "1e400",
            "-0.0",
            &long,
        ],
        &[1, 4, 5, 7],
    )
    .await;
    let options = json!({"path": "t.parquet", "schema": {"t": "timestamp", "j": "json"}});
    let lines = "{\"t\":\"2024-05-01T10:00:00.123456Z\",\"j\":12345678901234567890123}\n{\"t\":\"2024-05-01T10:00:00.1234567Z\"}\n";
    let rejects = write(dir.path(), &options, &[lines]).await.unwrap();
    assert_eq!(rejects[0].len(), 1, "{rejects:?}");
    let came = read(dir.path(), "t.parquet").await;
    assert_eq!(came[0]["j"], "12345678901234567890123", "{came:?}");
}

#[tokio::test]
async fn csv_takes_the_last_of_equal_fields_and_no_halves_of_characters() {
    let dir = TempDir::new().unwrap();
    let lines = [
        r#"{"a":1,"b":0,"a":2}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"b":["\udc00"]}"#,
        r#"{"b":"\u00e4\\ud800"}"#,
        "",
    ]
    .join("\n");
    let rejects = write(dir.path(), &json!({"path": "a.csv"}), &[&lines]).await;
    let rejects = rejects.unwrap().concat();
    let said: Vec<_> = rejects.iter().map(|r| r.index).collect();
    assert_eq!(said, [1, 2], "{rejects:?}");
    assert!(
        rejects[0].reason.contains("half of a surrogate pair"),
        "{rejects:?}"
    );
    let came = std::fs::read_to_string(dir.path().join("a.csv")).unwrap();
    assert_eq!(came, "a,b\n2,0\n,\u{e4}\\ud800\n");
}

#[tokio::test]
async fn two_sinks_of_a_run_cannot_write_the_same_file() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    let kind = FileSink::default();
    let open = async |stage: &str, run: u128, options: Value| {
        let context = Context {
            stage: stage.into(),
            run: model::run::RunId::of(run),
            ..context(dir.path())
        };
        kind.open(options.to_string(), context).await
    };
    let real = json!({"path": "real/a.ndjson"});
    let first = open("one", 1, real.clone()).await.unwrap();
    for path in ["real/a.ndjson", "./real//a.ndjson", "link/a.ndjson"] {
        let said = open("two", 1, json!({"path": path})).await.err().unwrap();
        let said = said.to_string();
        assert!(
            said.contains("real/a.ndjson is written by the sink one of this run, too"),
            "{said}"
        );
    }
    // The same sink once more, another run, another file.
    assert!(open("one", 1, real.clone()).await.is_ok());
    assert!(open("two", 2, real.clone()).await.is_ok());
    let other = json!({"path": "real/b.ndjson"});
    assert!(open("two", 1, other).await.is_ok());
    // Those by values are known when they are begun.
    let by = json!({"path": "p.ndjson", "partition_by": ["x"]});
    let mut by = open("by", 1, by).await.unwrap();
    let one = open("one", 1, json!({"path": "x=1/p.ndjson"}));
    let one = one.await.unwrap();
    let said = by.push(batch("{\"x\":1}\n"), "k".into()).await.unwrap_err();
    assert!(said.to_string().contains("x=1/p.ndjson"), "{said}");
    drop((first, by, one));
    assert!(open("two", 1, real).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_written_is_named_with_what_may_be_done() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("there.csv"), b"old").unwrap();
    std::fs::create_dir(dir.path().join("folder.csv")).unwrap();
    std::os::unix::fs::symlink("/dev/null", dir.path().join("null.csv")).unwrap();
    let check = async |options: Value, part: &str| {
        let fault = write(dir.path(), &options, &["{\"a\":1}\n"])
            .await
            .unwrap_err();
        assert!(fault.to_string().contains(part), "{options}: {fault}");
    };
    check(
        json!({"path": "/tmp/x.csv"}),
        "is not in a folder that pipelines may use",
    )
    .await;
    check(
        json!({"path": "../x.csv"}),
        "is not in a folder that pipelines may use",
    )
    .await;
    check(
        json!({"path": "null.csv"}),
        "is not in a folder that pipelines may use",
    )
    .await;
    check(
        json!({"path": "folder.csv"}),
        "is a folder; name a file in it",
    )
    .await;
    check(json!({"path": "there.csv/x.csv"}), "cannot write").await;
    check(
        json!({"path": "there.csv", "if_exists": "fail"}),
        "exists already",
    )
    .await;
    check(json!({"path": "x.dat"}), "add `format: csv`").await;
    assert_eq!(std::fs::read(dir.path().join("there.csv")).unwrap(), b"old");
    // One that comes to be while it is written.
    let mut writer = opened(
        dir.path(),
        &json!({"path": "late.csv", "if_exists": "fail"}),
    )
    .await
    .unwrap();
    writer.push(batch("{\"a\":1}\n"), "1".into()).await.unwrap();
    std::fs::write(dir.path().join("late.csv"), b"other").unwrap();
    let fault = writer.finish().await.unwrap_err();
    assert!(fault.to_string().contains("exists already"), "{fault}");
    drop(writer);
    let names: Vec<_> = files(dir.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["late.csv", "null.csv", "there.csv"]);
    let said = FileSink::default().check(&json!({
        "path": "a.parquet.gz", "max_file_bytes": 5, "partition_by": ["a", "a"], "schema": {"x": "int"},
        "csv": {"delimiter": "\"", "columns": []}
    }));
    let places: Vec<_> = said.iter().map(|m| m.pointer.as_str()).collect();
    assert_eq!(
        places,
        [
            "/compression",
            "/max_file_bytes",
            "/partition_by/1",
            "/schema/x",
            "/csv/delimiter",
            "/csv/columns"
        ]
    );
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let fault = place::fault("write", &dir.path().join("x"), 17, &full);
    assert!(fault.is_retryable());
    assert!(
        fault
            .to_string()
            .contains("the disk is full (17 bytes are needed, "),
        "{fault}"
    );
}

#[tokio::test]
async fn files_of_an_earlier_run_that_had_more_of_them_go() {
    let dir = TempDir::new().unwrap();
    let options = json!({"path": "a.ndjson", "max_file_records": 1});
    let names = || -> Vec<String> {
        files(dir.path())
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    write(dir.path(), &options, &["{}\n{}\n{}\n"])
        .await
        .unwrap();
    assert_eq!(names(), ["a-0001.ndjson", "a-0002.ndjson", "a-0003.ndjson"]);
    write(dir.path(), &options, &["{}\n"]).await.unwrap();
    assert_eq!(names(), ["a-0001.ndjson"]);
}
