//! Answers are kept as they came, and give the same records when nobody is asked any more.

use std::io::Write;

use model::bronze::{Bronze, KeptInput, RUN, RawRecord, Reading};
use model::data::{Most, Reader};
use model::id::PipelineId;
use model::stage::{Context, KeepRaw};

use super::*;
use crate::bronze::{BronzeLog, Options as LogOptions};

const MANY: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

/// Keeps in a log, or nothing at all.
#[derive(Debug, Clone)]
struct Keeper {
    log: Arc<dyn Bronze>,
    run: &'static str,
    full: bool,
}

impl KeepRaw for Keeper {
    fn keep(
        &self,
        mut headers: Vec<(String, Bytes)>,
        bytes: Bytes,
    ) -> BoxFuture<'static, Result<(), Fault>> {
        if self.full {
            return Box::pin(async { Err(Fault::Internal("no room".into())) });
        }
        headers.push((model::bronze::OF_STAGE.into(), Bytes::from_static(b"s")));
        headers.push((RUN.into(), Bytes::from_static(self.run.as_bytes())));
        let record = RawRecord {
            headers,
            received_ms: 1_795_348_800_000,
            bytes,
        };
        let appended = self.log.append(id(), vec![record]);
        Box::pin(async {
            appended
                .await
                .map(drop)
                .map_err(|e| Fault::Internal(e.to_string()))
        })
    }
}

fn id() -> PipelineId {
    PipelineId::new("p").unwrap()
}

fn keeper(folder: &tempfile::TempDir, run: &'static str) -> Keeper {
    let log = BronzeLog::open(folder.path(), LogOptions::default(), None).unwrap();
    Keeper {
        log: Arc::new(log),
        run,
        full: false,
    }
}

fn keeping(keeper: &Keeper) -> Context {
    Context {
        raw: Some(Arc::new(keeper.clone())),
        ..context(None)
    }
}

/// What a source with these options gives while it is kept.
async fn live(up: &Upstream, options: &Value, keeper: &Keeper) -> Got {
    let mut options = options.clone();
    options["url"] = format!("{}/?page=1", up.origin).into();
    let (web, _) = web();
    read(&Http(web), &options, None, keeping(keeper), 1000).await
}

/// What it gives of what was kept, from a server that is not there.
async fn again(options: &Value, keeper: &Keeper) -> Vec<String> {
    let mut options = options.clone();
    options["url"] = "http://127.0.0.1:9/".into();
    let opening = Opening {
        config: options.to_string(),
        cursor: None,
        window: None,
    };
    let input = KeptInput {
        log: Arc::clone(&keeper.log),
        pipeline: id(),
        from_ms: None,
        until_ms: None,
    };
    let (web, _) = web();
    let mut reader: Box<dyn Reader> = Http(web)
        .open_kept(opening, context(None), input)
        .await
        .unwrap();
    let mut lines = Vec::new();
    loop {
        let pulled = reader.pull(MANY).await.unwrap();
        let text = String::from_utf8(pulled.batch.data.to_vec()).unwrap();
        lines.extend(text.lines().map(str::to_owned));
        if pulled.done {
            return lines;
        }
    }
}

async fn kept(keeper: &Keeper) -> Vec<RawRecord> {
    let reading = Reading {
        after: None,
        from_ms: None,
        until_ms: None,
        most: Most {
            records: 1000,
            bytes: 64 << 20,
        },
    };
    let page = keeper.log.read(id(), reading).await.unwrap();
    page.records.into_iter().map(|k| k.record).collect()
}

fn page(n: usize) -> Reply {
    let next = if n < 2 {
        format!("{}", n + 2)
    } else {
        String::new()
    };
    let next = if n < 2 { next } else { "null".into() };
    Reply::json(format!(
        "{{\"next\":{next},\"items\":[{{\"n\":{n}}},{{\"n\":{}}}]}}",
        n + 10
    ))
}

#[tokio::test]
async fn pages_are_kept_and_read_again() {
    let up = Upstream::start(|n, _| page(n)).await;
    let options = json!({
        "records": "items",
        "pagination": {"type": "cursor", "path": "next", "parameter": "page"},
    });
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&folder, "run_1");
    let got = live(&up, &options, &keeper).await.whole();
    assert_eq!(got.len(), 6);
    let asked = up.lines().len();
    assert_eq!(again(&options, &keeper).await, got);
    assert_eq!(up.lines().len(), asked, "nobody is asked");
    let kept = kept(&keeper).await;
    assert_eq!(kept.len(), 3);
    assert_eq!(
        kept[0].bytes,
        "{\"next\":2,\"items\":[{\"n\":0},{\"n\":10}]}"
    );
    assert_eq!(kept[0].header("weir-status"), Some(&b"200"[..]));
    let url = String::from_utf8(kept[0].header("weir-url").unwrap().to_vec()).unwrap();
    assert!(!url.contains('?'), "the query may hold secrets: {url}");
}

#[tokio::test]
async fn an_answer_is_kept_as_it_came_over_the_wire() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"a,b\n1,2\n3,4\n").unwrap();
    let packed = packed.finish().unwrap();
    let head = [
        "200 OK",
        CSV,
        "content-encoding: gzip",
        "set-cookie: s3cret=1",
    ];
    let reply = Reply::new(&head, &packed);
    let up = Upstream::replies(vec![reply]).await;
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&folder, "run_1");
    let got = live(&up, &json!({}), &keeper).await.whole();
    assert_eq!(got.len(), 2);
    let kept = kept(&keeper).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].bytes, packed);
    assert_eq!(kept[0].header("set-cookie"), None);
    assert_eq!(again(&json!({}), &keeper).await, got);
}

#[tokio::test]
async fn a_large_answer_is_kept_in_parts() {
    let lines: String = (0..200_000)
        .map(|n| format!("{{\"number\":{n},\"text\":\"abcdefghijklmnopqrstuvwxyz\"}}\n"))
        .collect();
    let reply = Reply::new(&["200 OK", NDJSON], &lines);
    let up = Upstream::replies(vec![reply]).await;
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&folder, "run_1");
    let got = live(&up, &json!({}), &keeper).await.whole();
    assert_eq!(got.len(), 200_000);
    let parts = kept(&keeper).await;
    assert!(parts.len() > 1);
    let whole: Vec<u8> = parts.iter().flat_map(|p| p.bytes.to_vec()).collect();
    assert_eq!(whole, lines.as_bytes());
    assert!(again(&json!({}), &keeper).await == got);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_read() {
    let up = Upstream::start(|_, _| Reply::json("[{\"n\":1}]")).await;
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(&folder, "run_1");
    keeper.full = true;
    let got = live(&up, &json!({}), &keeper).await;
    assert_eq!(got.records, Vec::<String>::new());
    assert!(got.failed().contains("kept"), "{}", got.failed());
}

#[tokio::test]
async fn an_answer_that_broke_off_gives_what_it_gave() {
    let head = ["200 OK", NDJSON, "content-length: 1000"];
    let lines = "{\"n\":1}\n{\"n\":2}\n";
    let up = Upstream::start(move |n, _| match n {
        0 => Reply::raw(&head, lines).closing(),
        _ => Reply::new(&["200 OK", NDJSON], "{\"n\":3}\n"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&folder, "run_1");
    let first = live(&up, &json!({}), &keeper).await;
    assert!(first.fault.is_some());
    let second = live(&up, &json!({}), &keeper).await.whole();
    let mut both = first.records;
    both.extend(second);
    assert_eq!(again(&json!({}), &keeper).await, both);
}
