//! Payloads out of a real log, good and bad.

use model::id::PipelineId;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::bronze::BronzeLog;
use crate::stages::conformance;
use crate::stages::given::context;

const NDJSON: &str = "application/x-ndjson; charset=utf-8";
const MANY: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

fn id() -> PipelineId {
    PipelineId::new("p").unwrap()
}

fn payload(kind: &str, bytes: &'static [u8]) -> RawRecord {
    RawRecord {
        headers: vec![("content-type".into(), kind.to_owned().into())],
        received_ms: 1_795_348_800_000,
        bytes: Bytes::from_static(bytes),
    }
}

fn marked(name: &str, bytes: &'static [u8]) -> RawRecord {
    let mut record = payload("application/json", bytes);
    record.headers.push((name.into(), Bytes::from_static(b"x")));
    record
}

/// A log with these payloads.
async fn log(payloads: Vec<RawRecord>) -> (TempDir, KeptInput) {
    let folder = TempDir::new().unwrap();
    let log: Arc<dyn model::bronze::Bronze> =
        Arc::new(BronzeLog::open(folder.path(), crate::bronze::Options::default(), None).unwrap());
    if !payloads.is_empty() {
        log.append(id(), payloads).await.unwrap();
    }
    let input = KeptInput {
        log,
        pipeline: id(),
        from_ms: None,
        until_ms: None,
    };
    (folder, input)
}

async fn open(
    folder: &TempDir,
    input: &KeptInput,
    options: &Value,
    cursor: Option<String>,
) -> Result<Box<dyn Reader>, Fault> {
    let opening = Opening {
        config: options.to_string(),
        cursor,
        window: None,
    };
    let context = context(folder.path());
    WebhookSource
        .open_kept(opening, context, input.clone())
        .await
}

/// Records as lines, and what is none: its number, reason and bytes.
async fn read(payloads: Vec<RawRecord>, options: Value) -> (Vec<String>, Vec<Unreadable>) {
    let (folder, input) = log(payloads).await;
    let mut reader = open(&folder, &input, &options, None).await.unwrap();
    let (mut lines, mut rejects) = (vec![], vec![]);
    loop {
        let pulled = reader.pull(MANY).await.unwrap();
        let text = String::from_utf8(pulled.batch.data.to_vec()).unwrap();
        assert_eq!(text.lines().count(), pulled.batch.count as usize);
        lines.extend(text.lines().map(str::to_owned));
        rejects.extend(pulled.rejects);
        if pulled.done {
            return (lines, rejects);
        }
    }
}

#[tokio::test]
async fn what_is_no_json_is_set_aside_with_its_bytes() {
    let json = "application/json";
    let bad: [&[u8]; 7] = [
        b"",
        b"  \n",
        b"{",
        b"[1,",
        b"\xff\xfe\x00",
        b"a=1&b=2",
        b"<xml/>",
    ];
    let mut payloads = vec![payload(json, b"{\"n\":1}")];
    payloads.extend(bad.iter().map(|bytes| payload(json, bytes)));
    payloads.push(payload(json, b"{\"n\":2}"));
    let (lines, rejects) = read(payloads, json!({})).await;
    assert_eq!(lines, [r#"{"n":1}"#, r#"{"n":2}"#]);
    let kept: Vec<&[u8]> = rejects.iter().map(|r| &*r.raw).collect();
    assert_eq!(kept, bad, "{rejects:#?}");
    for reject in &rejects {
        assert!(reject.reason.starts_with("payload 0"), "{}", reject.reason);
    }
    // One bad line of many is set aside alone.
    let lines = payload(NDJSON, b"{\"n\":1}\nnot json\n{\"n\":3}\n");
    let (lines, rejects) = read(vec![lines], json!({})).await;
    assert_eq!(lines, [r#"{"n":1}"#, r#"{"n":3}"#]);
    assert_eq!((rejects.len(), rejects[0].number), (1, 2));
    assert_eq!(rejects[0].raw, "not json");
}

#[tokio::test]
async fn options_that_do_not_fit() {
    let (folder, input) = log(vec![]).await;
    for options in [
        json!({"records": "a..b"}),
        json!({"format": "ndjson", "records": "a"}),
        json!({"format": "csv"}),
        json!({"path": "x"}),
    ] {
        let opened = open(&folder, &input, &options, None).await.err();
        assert!(matches!(opened, Some(Fault::Invalid(_))), "{options}");
    }
    for cursor in ["", "7", r#"{"after":"x"}"#] {
        let opened = open(&folder, &input, &json!({}), Some(cursor.into())).await;
        assert!(matches!(opened.err(), Some(Fault::Invalid(_))), "{cursor}");
    }
    let opening = Opening {
        config: "{}".into(),
        cursor: None,
        window: None,
    };
    let opened = WebhookSource.open(opening, context(folder.path())).await;
    let said = opened.err().unwrap().to_string();
    assert!(said.contains("a server has one"), "{said}");
}

#[tokio::test]
async fn a_list_is_many_records_and_an_object_one() {
    let json = "application/json";
    let payloads = || {
        vec![
            payload(json, b"{\"n\": 1}"),
            payload(json, b"[{\"n\":2},{\"n\":3}]"),
            payload(json, b"[]"),
            payload(NDJSON, b"{\"n\":4}\n{\"n\":5}"),
            // What a stage asked for, and what hooks replaced, is not the inbox's.
            marked("weir-stage", b"{\"n\":90}"),
            marked("weir-replaced", b"{\"n\":91}"),
            payload("", b"6"),
        ]
    };
    let (lines, rejects) = read(payloads(), json!({})).await;
    let squeezed: Vec<_> = lines.iter().map(|l| l.replace(' ', "")).collect();
    let want = [
        r#"{"n":1}"#,
        r#"{"n":2}"#,
        r#"{"n":3}"#,
        r#"{"n":4}"#,
        r#"{"n":5}"#,
        "6",
    ];
    assert_eq!(
        (squeezed, rejects),
        (want.map(str::to_owned).to_vec(), vec![])
    );
    let nested = payload(json, br#"{"id":7,"data":{"items":[{"n":1},{"n":2}]}}"#);
    let (lines, _) = read(vec![nested], json!({"records": "data.items"})).await;
    assert_eq!(lines, [r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[tokio::test]
async fn it_does_what_every_source_does() {
    let json = "application/json";
    let (folder, input) = log(vec![
        payload(json, b"{\"n\":1}"),
        payload(json, b"[{\"n\":2},{\"n\":3},{\"n\":4},{\"n\":5}]"),
        payload(NDJSON, b"{\"n\":6}\n{\"n\":7}\n"),
    ])
    .await;
    let folder = Arc::new(folder);
    let open = |cursor: Option<String>| -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        let (folder, input) = (Arc::clone(&folder), input.clone());
        Box::pin(async move { open(&folder, &input, &json!({}), cursor).await })
    };
    let wanted: Vec<Value> = (1..=7).map(|n| json!({"n": n})).collect();
    conformance::source(&open, &wanted).await.unwrap();
    // What comes later is the next run's.
    let mut reader = open(None).await.unwrap();
    let pulled = reader.pull(MANY).await.unwrap();
    assert!(pulled.done && pulled.batch.count == 7);
    let more = vec![payload(json, b"{\"n\":8}")];
    input.log.append(id(), more).await.unwrap();
    let mut reader = open(pulled.cursor).await.unwrap();
    let pulled = reader.pull(MANY).await.unwrap();
    assert_eq!(pulled.batch.data, "{\"n\":8}\n");
}
