//! Plugins held against what every source, transform and sink has to do, native ones too: real components, in the engine and the sandbox of a server, and opened as a
//! run opens them. In NDJSON, and in Arrow where they take it.

use std::sync::atomic::{AtomicU32, Ordering};

use adapters::stages::ArrowConvert;
use adapters::stages::conformance::{self, Shows, Subject};
use bytes::Bytes;
use model::BoxFuture;
use model::data::{Batch, Encoding, Opening, Reader, Transformer, Writer};
use model::error::Fault;
use model::exchange::Cause;
use model::stage::Convert;
use serde_json::{Value, json};

use crate::Kit;
use crate::running::Running;

const STAGE: &str = "hostile/system/stage";
const SHELF: &str = "examples/shelf";
const BOTH: [Encoding; 2] = [Encoding::Ndjson, Encoding::ArrowIpc];

async fn started(component: &str) -> Running {
    let dist = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/dist");
    let kit = Kit::new().plugin(format!("{dist}/{component}.wasm"));
    kit.start().await.unwrap()
}

type Opened<T> = BoxFuture<'static, Result<Box<T>, Fault>>;

impl Running {
    fn source(&self, config: &Value, cursor: Option<String>) -> Opened<dyn Reader> {
        let opening = Opening {
            config: config.to_string(),
            cursor,
            window: None,
        };
        let opened = self.plugin().unwrap();
        let opened = opened.open_source(opening, Cause::default());
        Box::pin(async move { opened.await.map_err(|e| e.fault) })
    }

    fn transformer(&self, config: &Value) -> Opened<dyn Transformer> {
        let plugin = self.plugin().unwrap();
        let opened = plugin.open_transform(config.to_string(), Cause::default());
        Box::pin(async move { opened.await.map_err(|e| e.fault) })
    }

    fn writer(&self, config: &Value) -> Opened<dyn Writer> {
        let plugin = self.plugin().unwrap();
        let opened = plugin.open_sink(config.to_string(), Cause::default());
        Box::pin(async move { opened.await.map_err(|e| e.fault) })
    }
}

fn records(count: u32) -> Vec<Value> {
    let record = |n| json!({"n": n, "text": format!("Zo\u{eb} \"{n}\"\n"), "half": f64::from(n) / 2.0, "of": {"list": [n, null]}});
    (0..count).map(record).collect()
}

fn batch(records: &[Value], encoding: Encoding) -> Batch {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let batch = Batch {
        encoding: Encoding::Ndjson,
        count: u32::try_from(records.len()).unwrap(),
        data: lines.into(),
    };
    ArrowConvert.convert(batch, encoding).unwrap()
}

/// What lies on a shelf.
fn shelved(running: &Running, shelf: &str, encoding: Encoding) -> Vec<Value> {
    let state = running.state();
    let batches = state
        .iter()
        .filter(|(key, _)| key.starts_with(&format!("{shelf}/batch/")));
    let mut all = Vec::new();
    for (_, data) in batches {
        let batch = Batch {
            encoding,
            count: 0,
            data: Bytes::copy_from_slice(data),
        };
        let batch = ArrowConvert.convert(batch, Encoding::Ndjson).unwrap();
        let lines = serde_json::Deserializer::from_slice(&batch.data).into_iter();
        all.extend(lines.map(|line| line.unwrap()));
    }
    all
}

#[tokio::test]
async fn sources_do_what_every_source_has_to() {
    let counts = started(STAGE).await;
    let open = |cursor| counts.source(&json!({"records": 10}), cursor);
    let numbers: Vec<_> = (0..10).map(|n| json!({"n": n})).collect();
    assert_eq!(conformance::source(&open, &numbers).await, Ok(()));
    for encoding in BOTH {
        let shelf = started(SHELF).await;
        let config = json!({"shelf": "a"});
        let wanted = records(10);
        let mut writer = shelf.writer(&config).await.unwrap();
        for (number, some) in wanted.chunks(4).enumerate() {
            let pushed = writer.push(batch(some, encoding), format!("k{number}"));
            assert_eq!(pushed.await, Ok(vec![]));
        }
        writer.finish().await.unwrap();
        let open = |cursor| shelf.source(&config, cursor);
        let said = conformance::source(&open, &wanted).await;
        assert_eq!(said, Ok(()), "{encoding:?}");
    }
}

#[tokio::test]
async fn transforms_do_what_every_transform_has_to() {
    let same = |does: &str| json!({"does": does});
    let between = "examples/between";
    for (component, config, parses, encoding) in [
        (STAGE, json!({}), false, Encoding::Ndjson),
        (STAGE, json!({}), false, Encoding::ArrowIpc),
        (STAGE, same("hold"), false, Encoding::Ndjson),
        (STAGE, same("leave_out"), false, Encoding::Ndjson),
        ("examples/shape", json!({}), true, Encoding::Ndjson),
        (
            "examples/shape",
            json!({"require": ["n"], "rename": {"text": "t"}, "keep": ["t", "n"]}),
            true,
            Encoding::Ndjson,
        ),
        (between, json!({"column": "n"}), true, Encoding::ArrowIpc),
        (
            between,
            json!({"column": "n", "min": 2, "max": 900.5}),
            true,
            Encoding::ArrowIpc,
        ),
    ] {
        let running = started(component).await;
        let open = || running.transformer(&config);
        let subject = Subject {
            open: &open,
            parses,
            encoding,
        };
        let said = conformance::transform(&subject).await;
        assert_eq!(said, Ok(()), "{component} with {config} in {encoding:?}");
    }
}

#[tokio::test]
async fn sinks_do_what_every_sink_has_to() {
    for encoding in BOTH {
        let running = started(SHELF).await;
        // A shelf that is clear is another one.
        let number = AtomicU32::new(0);
        let name = || format!("shelf-{}", number.load(Ordering::Relaxed));
        let open = || running.writer(&json!({"shelf": name()}));
        let shown = || Some(shelved(&running, &name(), encoding));
        let clear = || {
            number.fetch_add(1, Ordering::Relaxed);
        };
        let shows = Shows::AsItComes;
        let said = conformance::sink(&open, &shown, &clear, shows, encoding, &records(7)).await;
        assert_eq!(said, Ok(()), "{encoding:?}");
    }
}

#[tokio::test]
async fn what_is_between_goes_on_and_what_is_no_number_is_rejected() {
    let running = started("examples/between").await;
    let config = json!({"column": "n", "min": 2.5});
    let mut transformer = running.transformer(&config).await.unwrap();
    let given = [
        json!({"n": 1}),
        json!({"n": null}),
        json!({"n": 3.5}),
        json!({"n": 2.5}),
    ];
    let done = transformer
        .apply(batch(&given, Encoding::ArrowIpc))
        .await
        .unwrap();
    let out = ArrowConvert.convert(done.batch, Encoding::Ndjson).unwrap();
    assert_eq!(out.data, "{\"n\":3.5}\n{\"n\":2.5}\n");
    let rejects: Vec<_> = done
        .rejects
        .iter()
        .map(|r| (r.index, r.reason.as_str()))
        .collect();
    assert_eq!(rejects, [(0, ""), (1, "column \"n\" is null")]);
    let texts = batch(&[json!({"n": "x"})], Encoding::ArrowIpc);
    let done = transformer.apply(texts).await.unwrap();
    assert_eq!(
        done.rejects[0].reason,
        "column \"n\" holds no numbers, but Utf8"
    );
    let lines = batch(&given, Encoding::Ndjson);
    let fault = transformer.apply(lines).await.unwrap_err();
    assert!(fault.to_string().contains("encoding: arrow"), "{fault}");
}
