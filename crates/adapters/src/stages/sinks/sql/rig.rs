//! What tests of both sinks share: opening one, pushing lines, reading what is said.

use std::sync::Arc;

use bytes::Bytes;
use e2e::guests::root;
use model::access::{Access, Files};
use model::data::{Batch, Encoding, Writer};
use model::error::Fault;
use model::id::PipelineId;
use model::run::RunId;
use model::stage::{Context, Progress, SinkKind};
use serde_json::{Map, Value, json};

use crate::stages::conformance::{self, Shows};

/// A context that reaches everything, or these.
pub(in super::super) fn context(files: Files, databases: Option<Vec<String>>) -> Context {
    Context {
        pipeline: PipelineId::new("test").unwrap(),
        run: RunId::of(1),
        stage: "sink".into(),
        access: Arc::new(Access {
            files,
            http: None,
            databases,
        }),
        record_bytes: 16 << 20,
        parsed_next: false,
        secrets: Arc::default(),
        progress: Arc::new(Progress::default()),
        notes: Arc::new(model::stage::Unheard),
        raw: None,
    }
}

/// A sink of a test.
pub(in super::super) struct Sink(Box<dyn Writer>);

impl Sink {
    /// Opens one that reaches everything; relative paths start at the temporary folder.
    pub(in super::super) async fn open(
        kind: &dyn SinkKind,
        options: &Value,
    ) -> Result<Self, Fault> {
        let everything = context(Files::Anywhere(std::env::temp_dir()), None);
        Self::open_in(kind, options, everything).await
    }

    /// Opens one with this access. Options that are wrong for `check` must be so for `open`.
    pub(in super::super) async fn open_in(
        kind: &dyn SinkKind,
        options: &Value,
        context: Context,
    ) -> Result<Self, Fault> {
        let checked = kind.check(options);
        let opened = kind.open(options.to_string(), context).await;
        assert!(checked.is_empty() || opened.is_err(), "{checked:?}");
        opened.map(Self)
    }

    /// Pushes lines; returns places and reasons of those rejected.
    pub(in super::super) async fn push(
        &mut self,
        key: &str,
        lines: &[&str],
    ) -> Result<Vec<(u32, String)>, Fault> {
        let data: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        let batch = Batch {
            encoding: Encoding::Ndjson,
            count: u32::try_from(lines.len()).unwrap(),
            data: Bytes::from(data),
        };
        let rejects = self.0.push(batch, key.to_owned()).await?;
        Ok(rejects.into_iter().map(|r| (r.index, r.reason)).collect())
    }

    /// Pushes lines that are all taken.
    pub(in super::super) async fn take(&mut self, key: &str, lines: &[&str]) {
        let rejects = self.push(key, lines).await.unwrap();
        assert_eq!(rejects, [], "{lines:?}");
    }

    /// Pushes lines of which just these are rejected, with reasons that say this.
    pub(in super::super) async fn reject(
        &mut self,
        key: &str,
        lines: &[&str],
        expected: &[(u32, &str)],
    ) {
        let rejects = self.push(key, lines).await.unwrap();
        let found: Vec<_> = rejects.iter().map(|r| r.0).collect();
        let wanted: Vec<_> = expected.iter().map(|e| e.0).collect();
        assert_eq!(found, wanted, "{rejects:?}");
        for ((_, reason), (_, said)) in rejects.iter().zip(expected) {
            assert!(reason.contains(said), "{reason:?} should say {said:?}");
        }
    }

    pub(in super::super) async fn finish(mut self) {
        self.0.finish().await.unwrap();
    }
}

/// What a fault says, and that it is of this kind.
#[track_caller]
pub(in super::super) fn check_fault<T>(result: Result<T, Fault>, code: &str, said: &[&str]) {
    let Err(fault) = result else {
        panic!("it worked, where {code} was expected");
    };
    let text = fault.to_string();
    assert_eq!(fault.code(), code, "{text}");
    for part in said {
        assert!(text.contains(part), "{text:?} should say {part:?}");
    }
}

/// The options of the example on a sink's page of the guide.
pub(in super::super) fn example(kind: &dyn SinkKind) -> Map<String, Value> {
    let described = kind.described();
    let page = root().join(format!("docs/pipeline-guide/sinks/{}.md", described.name));
    let page = std::fs::read_to_string(page).unwrap();
    let yaml = page
        .split("```yaml spec\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let spec: Value = serde_saphyr::from_str(yaml.unwrap()).unwrap();
    let mut sink = spec["sinks"][0].as_object().unwrap().clone();
    assert_eq!(sink.shift_remove("type"), Some(described.name.into()));
    assert_eq!(kind.check(&Value::Object(sink.clone())), []);
    sink
}

/// Checks what every sink has to do, with a table of `n`, `text` and `doc` that has records only with a text. `shown` gives its rows as JSON, a line each.
pub(in super::super) async fn conform(
    kind: &dyn SinkKind,
    options: &Value,
    clear: &(dyn Fn() + Sync),
    shown: &(dyn Fn() -> String + Sync),
) {
    let records: Vec<Value> = (0..10)
        .map(|n| match n {
            4 => json!({"n": n, "text": null, "doc": null}),
            _ => json!({"n": n, "text": format!("text {n}"), "doc": {"a": [n, null]}}),
        })
        .collect();
    let open = || {
        let everything = context(Files::Anywhere(std::env::temp_dir()), None);
        kind.open(options.to_string(), everything)
    };
    let rows = || {
        let rows = shown();
        let rows: Vec<Value> = rows
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        (!rows.is_empty()).then_some(rows)
    };
    let said = conformance::sink(
        &open,
        &rows,
        clear,
        Shows::AsItComes,
        Encoding::Ndjson,
        &records,
    )
    .await;
    assert_eq!(said, Ok(()), "{options}");
}
