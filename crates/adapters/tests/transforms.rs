//! The native transforms, each as a run has it: opened by its kind with options, given batches.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on stops"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::clock::SystemClock;
use adapters::http::HyperEgress;
use adapters::stages::{Console, StagePorts, conformance, natives};
use model::access::{Access, Files};
use model::data::{Batch, Encoding, Transformer};
use model::error::Fault;
use model::id::PipelineId;
use model::run::RunId;
use model::stage::{Context, Convert, TransformKind};
use serde_json::{Value, json};

#[path = "transforms/guide.rs"]
mod guide;
#[path = "transforms/jq.rs"]
mod jq;
#[path = "transforms/kinds.rs"]
mod kinds;

#[derive(Debug)]
struct NoConvert;

impl Convert for NoConvert {
    fn convert(&self, _: Batch, _: Encoding) -> Result<Batch, Fault> {
        Err(Fault::Internal("no conversion here".into()))
    }
}

fn kind(name: &str) -> Arc<dyn TransformKind> {
    let ports = StagePorts {
        egress: Arc::new(HyperEgress::new().unwrap()),
        clock: Arc::new(SystemClock::new()),
        timer: Arc::new(SystemClock::new()),
        program: PathBuf::from(env!("CARGO_BIN_EXE_jq-worker")),
        console: Console::new(std::io::sink(), None),
    };
    let kinds = natives(&ports, Arc::new(NoConvert)).transforms;
    let found = kinds.into_iter().find(|kind| kind.described().name == name);
    found.unwrap_or_else(|| panic!("there is no transform {name}"))
}

fn context() -> Context {
    Context {
        pipeline: PipelineId::new("test").unwrap(),
        run: RunId::of(1),
        stage: "stage".into(),
        access: Arc::new(Access {
            files: Files::Within(Vec::new()),
            http: None,
            databases: None,
        }),
        record_bytes: 16 << 20,
        parsed_next: false,
        secrets: Arc::default(),
        progress: Arc::default(),
        notes: Arc::new(model::stage::Unheard),
        raw: None,
    }
}

/// Checks options against their schema and by the kind, then opens one.
async fn open(name: &str, options: &Value) -> Result<Box<dyn Transformer>, Fault> {
    let kind = kind(name);
    let schema = kind.described().options;
    let schema = jsonschema::validator_for(&schema).unwrap();
    let misfits: Vec<_> = schema
        .iter_errors(options)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert_eq!(
        misfits,
        Vec::<String>::new(),
        "{name} with {options}: the schema does not take it"
    );
    assert_eq!(kind.check(options), [], "{name} with {options}");
    kind.open(options.to_string(), context()).await
}

fn batch(lines: &str) -> Batch {
    Batch {
        encoding: Encoding::Ndjson,
        count: u32::try_from(lines.lines().count()).unwrap(),
        data: lines.to_owned().into(),
    }
}

/// What a transform makes of lines: those that go on, and `index: reason` of the others.
async fn run(name: &str, options: &Value, lines: &str) -> (String, Vec<String>) {
    let mut transformer = open(name, options).await.unwrap();
    let gave = transformer.apply(batch(lines)).await.unwrap();
    assert_eq!(
        usize::try_from(gave.batch.count).unwrap(),
        gave.batch.data.iter().filter(|b| **b == b'\n').count()
    );
    let rejects = gave
        .rejects
        .into_iter()
        .map(|r| format!("{}: {}", r.index, r.reason))
        .collect();
    (
        String::from_utf8(gave.batch.data.to_vec()).unwrap(),
        rejects,
    )
}

/// One record, and what becomes of it.
async fn check(name: &str, options: Value, line: &str, expected: &str) {
    let (out, rejects) = run(name, &options, &format!("{line}\n")).await;
    let said = if out.is_empty() {
        rejects.join("; ")
    } else {
        out.trim_end().to_owned()
    };
    assert_eq!(said, expected, "{name} with {options} of {line}");
}

/// Options that do not fit, and what is said of them.
fn check_misfit(name: &str, options: &Value, pointer: &str, expected: &str) {
    let misfits = kind(name).check(options);
    let said = misfits.iter().find(|misfit| misfit.pointer == pointer);
    let said =
        said.unwrap_or_else(|| panic!("{name} with {options}: nothing at {pointer}: {misfits:?}"));
    assert!(
        said.message.contains(expected),
        "{name} with {options}: {said:?}"
    );
}

#[tokio::test]
async fn every_transform_keeps_to_what_all_do() {
    for (name, options) in [
        ("filter", json!({"where": "n >= 0"})),
        ("filter", json!({"where": "n == 1"})),
        ("filter", json!({"where": "size(text) > 0"})),
        (
            "map",
            json!({"fields": {"n": "n", "t": {"path": "text", "apply": ["upper"]}}}),
        ),
        ("map", json!({"fields": {"t": "text"}, "rest": true})),
        ("convert", json!({"fields": {"n": "string"}})),
        (
            "convert",
            json!({"fields": {"text": "integer"}, "mode": "lenient"}),
        ),
        ("columns", json!({"rename": {"text": "t"}, "add": {"x": 1}})),
        ("dedupe", json!({"keys": ["n"]})),
        ("dedupe", json!({})),
        ("jq", json!({"filter": "{n, t: .text}"})),
    ] {
        let open = || -> model::BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
            let options = options.clone();
            Box::pin(async move { open(name, &options).await })
        };
        let subject = conformance::Subject {
            open: &open,
            parses: true,
            encoding: Encoding::Ndjson,
        };
        assert_eq!(
            conformance::transform(&subject).await,
            Ok(()),
            "{name} with {options}"
        );
    }
}

fn guide_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipeline-guide/transforms")
}
