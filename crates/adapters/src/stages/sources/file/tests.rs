//! The source `file` on real files, good and bad.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use flate2::write::GzEncoder;
use model::data::{Encoding, Unreadable};
use model::stage::Convert;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::stages::given::context;
use crate::stages::{ArrowConvert, conformance};

const MANY: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

/// A folder with these files in it.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}

/// Records 0 to 9 with a number and a text, in row groups of three.
fn parquet() -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
    ]));
    let numbers = Int64Array::from_iter((0..10).map(|n| (n != 4).then_some(n)));
    let texts = StringArray::from_iter((0..10).map(|n| Some(format!("t{n}"))));
    let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(numbers), Arc::new(texts)];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3));
    let properties = Some(properties.build());
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, properties).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn opened(
    dir: &Path,
    options: &Value,
    cursor: Option<String>,
) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
    let opening = Opening {
        config: options.to_string(),
        cursor,
        window: None,
    };
    FileSource.open(opening, context(dir))
}

/// Records, what was unreadable, and the fault that ended it.
async fn read(dir: &Path, options: &Value) -> (Vec<String>, Vec<Unreadable>, Option<Fault>) {
    let (mut records, mut rejects) = (vec![], vec![]);
    let mut reader = match opened(dir, options, None).await {
        Ok(reader) => reader,
        Err(fault) => return (records, rejects, Some(fault)),
    };
    loop {
        let pulled = match reader.pull(MANY).await {
            Ok(pulled) => pulled,
            Err(fault) => return (records, rejects, Some(fault)),
        };
        let batch = ArrowConvert
            .convert(pulled.batch, Encoding::Ndjson)
            .unwrap();
        let text = std::str::from_utf8(&batch.data).unwrap();
        records.extend(text.lines().map(str::to_owned));
        rejects.extend(pulled.rejects);
        if pulled.done {
            return (records, rejects, None);
        }
    }
}

#[tokio::test]
async fn it_does_what_every_source_has_to() {
    let lines: String = (0..10)
        .map(|n| format!("{{\"n\":{n},\"s\":\"t{n}\"}}\n"))
        .collect();
    let rows: String = (0..10).map(|n| format!("{n},t{n}\r\n")).collect();
    let rows = format!("n,s\r\n{rows}");
    let list: Vec<_> = lines.lines().collect();
    let list = format!("{{\"data\": [{}]}}", list.join(",\n"));
    let (first, second) = lines.split_at(lines.len() / 2);
    let utf16: Vec<u8> = rows.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let dir = folder(&[
        ("a.ndjson", lines.as_bytes()),
        ("b.csv", rows.as_bytes()),
        ("c.json", list.as_bytes()),
        (
            "d.ndjson.gz",
            &[gzip(first.as_bytes()), gzip(second.as_bytes())].concat(),
        ),
        (
            "e.csv.zst",
            &[
                zstandard(&rows.as_bytes()[..20]),
                zstandard(&rows.as_bytes()[20..]),
            ]
            .concat(),
        ),
        ("f.csv", &utf16),
        ("g.parquet", &parquet()),
        ("h/1.csv", b"n,s\n0,t0\n1,t1\n2,t2\n"),
        ("h/2.csv", b"s,n\n"),
        (
            "h/3.jsonl",
            &lines.as_bytes()[lines.find("{\"n\":3").unwrap()..],
        ),
    ]);
    let wanted: Vec<Value> = (0..10)
        .map(|n| json!({"n": n, "s": format!("t{n}")}))
        .collect();
    let mut nulled = wanted.clone();
    nulled[4]["n"] = Value::Null;
    let check = async |options: Value, wanted: &[Value]| {
        let open = |cursor| opened(dir.path(), &options, cursor);
        let said = conformance::source(&open, wanted).await;
        assert_eq!(said, Ok(()), "{options}");
    };
    check(json!({"path": "a.ndjson"}), &wanted).await;
    check(json!({"path": "b.csv"}), &wanted).await;
    check(json!({"path": "c.json", "records": "data"}), &wanted).await;
    check(json!({"path": "d.*"}), &wanted).await;
    check(json!({"path": "e.csv.zst"}), &wanted).await;
    check(json!({"path": "f.csv", "encoding": "utf-16le"}), &wanted).await;
    check(json!({"path": "g.parquet"}), &nulled).await;
    check(json!({"path": "g.parquet", "batches": "arrow"}), &nulled).await;
    check(json!({"path": ["h/[2-9]*", "h/1.csv", "h/*.csv"]}), &wanted).await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_what_may_be_done() {
    let dir = folder(&[("a.csv", b"a\n1\n"), ("b.dat", b"x"), ("c.parquet", b"x")]);
    let check = async |options: Value, part: &str| {
        let (_, _, fault) = read(dir.path(), &options).await;
        let said = fault.map(|f| f.to_string()).unwrap_or_default();
        assert!(said.contains(part), "{options}: {said:?}");
    };
    check(
        json!({"path": "z.csv"}),
        "z.csv; if that is no mistake: `optional: true`",
    )
    .await;
    check(json!({"path": "*.json"}), "no file has a name like *.json").await;
    check(
        json!({"path": "../*.csv"}),
        "is not in a folder that pipelines may use",
    )
    .await;
    check(json!({"path": "*/../../*.csv"}), "is not in a folder").await;
    check(
        json!({"path": "/etc/x.csv"}),
        "is not in a folder that pipelines may use",
    )
    .await;
    check(
        json!({"path": "https://x/a.csv"}),
        "the source `http` reads from there",
    )
    .await;
    check(json!({"path": "b.dat"}), "add `format: csv`").await;
    check(json!({"path": "*"}), "add `format: csv`").await;
    check(
        json!({"path": ".", "format": "csv"}),
        "is a folder; to read what is in it",
    )
    .await;
    check(json!({"path": "c.parquet"}), "no Parquet file").await;
    check(
        json!({"path": "a.csv", "compression": "gzip"}),
        "the gzip data",
    )
    .await;
    let said = FileSource.check(&json!({
        "path": "x", "encoding": "klingon", "batches": "arrow", "format": "csv",
        "csv": {"delimiter": "ab", "quote": "\u{e4}", "header": []}
    }));
    let places: Vec<_> = said.iter().map(|m| m.pointer.as_str()).collect();
    let wanted = [
        "/encoding",
        "/batches",
        "/csv/delimiter",
        "/csv/quote",
        "/csv/header",
    ];
    assert_eq!(places, wanted);
    assert_eq!(
        FileSource.check(&json!({"path": "in/{{window.start}}", "encoding": "${env:E}"})),
        []
    );
    let none = json!({"path": ["z.csv", "*.json"], "optional": true});
    assert_eq!(read(dir.path(), &none).await, (vec![], vec![], None));
}

#[tokio::test]
async fn what_is_whole_is_read_before_what_is_cut() {
    let lines: String = (0..50_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let dir = folder(&[
        ("a.ndjson.gz", &cut(gzip(lines.as_bytes()))),
        ("b.ndjson.zst", &cut(zstandard(lines.as_bytes()))),
        (
            "c.ndjson.gz",
            &[gzip(lines.as_bytes()), b"xyz".to_vec()].concat(),
        ),
        ("d.json", b"[{\"n\":0},{\"n\":1},{\"n"),
    ]);
    let check = async |name: &str, least: usize, part: &str| {
        let (records, rejects, fault) = read(dir.path(), &json!({"path": name})).await;
        assert!(records.len() >= least, "{name}: {}", records.len());
        for (n, record) in records.iter().enumerate() {
            assert_eq!(record, &format!("{{\"n\":{n}}}"));
        }
        assert_eq!(rejects, []);
        let Some(Fault::Invalid(said)) = fault else {
            panic!("{name}: {fault:?}");
        };
        assert!(said.contains(name) && said.contains(part), "{said}");
    };
    check(
        "a.ndjson.gz",
        1000,
        "the gzip data ends in its middle, by byte",
    )
    .await;
    check(
        "b.ndjson.zst",
        1,
        "the zstd data ends in its middle, by byte",
    )
    .await;
    check("c.ndjson.gz", 50_000, "the gzip data").await;
    check(
        "d.json",
        2,
        "the document ends in its middle, after 2 whole records",
    )
    .await;
}

#[tokio::test]
async fn unreadable_records_are_numbered_through_all_files() {
    let large = format!("{{\"a\":\"{}\"}}\n", "x".repeat(3 << 20));
    let dir = folder(&[
        ("1.csv", b"a,b\n1,2\n3\n5,6\n"),
        (
            "2.ndjson",
            format!("{large}{{\"a\":}}\n{{\"a\":1}}\n").as_bytes(),
        ),
    ]);
    let (records, rejects, fault) = read(dir.path(), &json!({"path": "*.*"})).await;
    assert_eq!(fault, None);
    assert_eq!(
        records,
        ["{\"a\":1,\"b\":2}", "{\"a\":5,\"b\":6}", "{\"a\":1}"]
    );
    let said: Vec<_> = rejects
        .iter()
        .map(|r| (r.number, r.reason.as_str()))
        .collect();
    let base = dir.path().canonicalize().unwrap();
    let at = |name: &str, what: &str| format!("{}, {what}", base.join(name).display());
    assert_eq!(
        said,
        [
            (
                2,
                at("1.csv", "line 3: 1 fields, where the header has 2").as_str()
            ),
            (
                4,
                at(
                    "2.ndjson",
                    "line 1: larger than a record may be: the limit record_bytes is 1048576 bytes"
                )
                .as_str()
            ),
            (
                5,
                at("2.ndjson", "line 2: not JSON: no value at byte 5").as_str()
            ),
        ]
    );
    assert_eq!(rejects[1].raw.len(), 4096);
}

#[tokio::test]
async fn what_was_added_since_is_read_from_the_cursor_on() {
    let dir = folder(&[("a.ndjson", b"{\"n\":0}\n{\"n\":1}\n")]);
    let all = json!({"path": "*.ndjson"});
    let mut reader = opened(dir.path(), &all, None).await.unwrap();
    let pulled = reader.pull(MANY).await.unwrap();
    assert!(pulled.done && pulled.batch.count == 2);
    let path = dir.path().join("a.ndjson");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(b"{\"n\":2}\n").unwrap();
    std::fs::write(dir.path().join("b.ndjson"), b"{\"n\":3}\n").unwrap();
    let mut reader = opened(dir.path(), &all, pulled.cursor.clone())
        .await
        .unwrap();
    let more = reader.pull(MANY).await.unwrap();
    assert_eq!(&more.batch.data[..], b"{\"n\":2}\n{\"n\":3}\n");
    std::fs::write(&path, b"{}\n").unwrap();
    let mut reader = opened(dir.path(), &all, pulled.cursor).await.unwrap();
    let fault = reader.pull(MANY).await.unwrap_err();
    assert!(
        fault.to_string().contains("it is another file now"),
        "{fault}"
    );
}

#[tokio::test]
async fn progress_counts_bytes_of_the_files() {
    let lines: String = (0..3000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let zipped = gzip(lines.as_bytes());
    let files: [(&str, &[u8]); 3] = [
        ("a.ndjson", lines.as_bytes()),
        ("b.ndjson.gz", &zipped),
        ("c.parquet", &parquet()),
    ];
    let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let dir = folder(&files);
    let context = context(dir.path());
    let progress = context.progress.clone();
    let opening = Opening {
        config: json!({"path": "*"}).to_string(),
        cursor: None,
        window: None,
    };
    let mut reader = FileSource.open(opening, context).await.unwrap();
    let total = u64::try_from(total).unwrap();
    assert_eq!(progress.now(), (0, Some(total)));
    while !reader.pull(MANY).await.unwrap().done {
        assert!(progress.now().0 <= total);
    }
    assert_eq!(progress.now(), (total, Some(total)));
}
