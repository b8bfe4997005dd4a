//! What the sink `console` shows.

use std::io;
use std::sync::{Arc, Mutex};

use model::data::Encoding;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::stages::conformance::{self, Shows};
use crate::stages::given::context;

/// What was written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

async fn open(paper: Paper, width: Option<u16>, options: serde_json::Value) -> Box<dyn Writer> {
    let dir = TempDir::new().unwrap();
    let sink = ConsoleSink::new(Console::new(paper, width));
    let opened = sink.open(options.to_string(), context(dir.path()));
    opened.await.unwrap()
}

/// These lines are shown so.
#[track_caller]
fn check(options: serde_json::Value, width: Option<u16>, lines: &str, shown: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let paper = Paper::default();
    runtime.block_on(async {
        let mut writer = open(paper.clone(), width, options).await;
        for (number, line) in lines.split_inclusive('\n').enumerate() {
            let batch = Batch {
                encoding: Encoding::Ndjson,
                count: 1,
                data: line.to_owned().into(),
            };
            assert_eq!(writer.push(batch, number.to_string()).await, Ok(vec![]));
        }
        writer.finish().await.unwrap();
    });
    assert_eq!(paper.text(), shown);
}

#[test]
fn a_table_has_columns_as_wide_as_what_is_in_them() {
    check(json!({}), None, "", "0 records\n");
    check(
        json!({}),
        None,
        "{\"name\":\"\u{6771}\u{4eac}\",\"n\":5}\n{\"n\":-12.50,\"name\":\"a\",\"tags\":[1,\"x\"]}\n3\n",
        "name       n  tags     value\n────  ──────  ───────  ─────\n\u{6771}\u{4eac}       5\na     -12.50  [1,\"x\"]\n                       3\n3 records\n",
    );
    check(
        json!({"limit": 1}),
        None,
        "{\"a\":null}\n{\"a\":2}\n",
        "a\n─\n\n1 of 2 records\n",
    );
    check(
        json!({}),
        Some(20),
        "{\"a\":\"aaaaaaaaaaaaaaaaaaaa\",\"b\":\"bbbbbbbbbb\",\"c\":10000000}\n",
        "a         b\n────────  ────────\naaaaaaa…  bbbbbbb…\ncolumns that do not fit: c\n1 record\n",
    );
}

#[test]
fn nothing_in_a_record_steers_the_terminal() {
    let evil = "{\"a\":\"\\u001b[2J\u{202e}x\\ny\",\"\\u001b]0;t\\u0007\":1}\n";
    for format in ["table", "json", "ndjson"] {
        let paper = Paper::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut writer = open(paper.clone(), Some(80), json!({"format": format})).await;
            let batch = Batch {
                encoding: Encoding::Ndjson,
                count: 1,
                data: evil.into(),
            };
            writer.push(batch, "1".into()).await.unwrap();
            writer.finish().await.unwrap();
        });
        let text = paper.text();
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(bad), "{format}: {text:?}");
        assert!(text.to_lowercase().contains("1b"), "{format}: {text:?}");
    }
    check(
        json!({"format": "json"}),
        None,
        "{\"a\":[1]}\n",
        "{\n  \"a\": [\n    1\n  ]\n}\n",
    );
}

#[tokio::test]
async fn it_does_what_every_sink_has_to() {
    let paper = Paper::default();
    let records: Vec<_> = (0..7).map(|n| json!({"n": n, "s": "x"})).collect();
    let shown = || {
        let text = paper.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        Some(lines.collect())
    };
    let clear = || paper.0.lock().unwrap().clear();
    let opening = || -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        let paper = paper.clone();
        Box::pin(async move { Ok(open(paper, None, json!({"format": "ndjson"})).await) })
    };
    let said = conformance::sink(
        &opening,
        &shown,
        &clear,
        Shows::AsItComes,
        Encoding::Ndjson,
        &records,
    )
    .await;
    assert_eq!(said, Ok(()));
}

/// The lines of a run's log.
#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl RunNotes for Lines {
    fn say(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

#[tokio::test]
async fn on_a_server_it_shows_records_in_the_log_of_the_run_and_no_more_than_it_holds() {
    let dir = TempDir::new().unwrap();
    let evil = "{\"a\":\"\\u001b[2J\\nERROR forged\"}\n";
    let many = 1_000;
    for (format, limit, first, lines) in [
        ("ndjson", None, r#"{"a":"\u001b[2J\nERROR forged"}"#, 101),
        ("ndjson", Some(3), r#"{"a":"\u001b[2J\nERROR forged"}"#, 4),
        ("json", None, "{", 301),
        // Its head, a rule, the rows and how many there are.
        ("table", None, "a", 23),
    ] {
        let log = Arc::new(Lines::default());
        let context = Context {
            notes: Arc::<Lines>::clone(&log),
            ..context(dir.path())
        };
        let sink = ConsoleSink::new(Console::in_run_log());
        let options = json!({"format": format, "limit": limit});
        let mut writer = sink.open(options.to_string(), context).await.unwrap();
        let batch = Batch {
            encoding: Encoding::Ndjson,
            count: many,
            data: evil.repeat(many as usize).into(),
        };
        writer.push(batch, "1".into()).await.unwrap();
        writer.finish().await.unwrap();
        let said = log.0.lock().unwrap();
        assert_eq!(said.len(), lines, "{format}: {said:?}");
        assert_eq!(said[0], first);
        assert!(
            said.last().unwrap().ends_with("of 1000 records"),
            "{said:?}"
        );
        assert!(!said.iter().any(|line| line.contains(char::is_control)));
    }
}
