//! The pages of the guide on files and the console: each example is run, and gives what the page shows.

#![cfg(test)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use adapters::clock::SystemClock;
use adapters::http::HyperEgress;
use adapters::stages::{ArrowConvert, Console, StagePorts, natives};
use model::access::{Access, Files};
use model::data::{Batch, Encoding, Most, Opening};
use model::id::PipelineId;
use model::run::RunId;
use model::stage::{Context, Kind, Natives};
use serde_json::Value;
use tempfile::TempDir;

/// What was shown.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn all(paper: Paper) -> Natives {
    let ports = StagePorts {
        egress: Arc::new(HyperEgress::new().unwrap()),
        clock: Arc::new(SystemClock::new()),
        timer: Arc::new(SystemClock::new()),
        program: PathBuf::from("weir"),
        console: Console::new(paper, None),
    };
    natives(&ports, Arc::new(ArrowConvert))
}

fn context(folder: &Path) -> Context {
    Context {
        pipeline: PipelineId::new("guide").unwrap(),
        run: RunId::of(1),
        stage: "stage".into(),
        access: Arc::new(Access {
            files: Files::Anywhere(folder.to_owned()),
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

/// A fenced block: what stands after its fence, and in it.
struct Block {
    says: Vec<String>,
    text: String,
}

/// The examples of a page: each begins with a spec.
fn examples(page: &str) -> Vec<Vec<Block>> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipeline-guide");
    let text = std::fs::read_to_string(guide.join(page)).unwrap();
    let mut examples: Vec<Vec<Block>> = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(says) = line.strip_prefix("```") else {
            continue;
        };
        let text = lines.by_ref().take_while(|line| *line != "```");
        let block = Block {
            says: says.split(' ').map(str::to_owned).collect(),
            text: text.map(|line| format!("{line}\n")).collect(),
        };
        if block.says[1] == "spec" {
            examples.push(vec![]);
        }
        examples.last_mut().unwrap().push(block);
    }
    examples
}

/// The options of a stage, which its schema and its own check take.
fn options(kind: &dyn Kind, stage: &Value) -> String {
    let mut options = stage.as_object().unwrap().clone();
    assert_eq!(options.remove("type"), Some(kind.described().name.into()));
    let options = Value::from(options);
    let schema = jsonschema::validator_for(&kind.described().options).unwrap();
    let wrong = schema.iter_errors(&options).map(|e| e.to_string());
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new(), "{options}");
    assert_eq!(kind.check(&options), [], "{options}");
    options.to_string()
}

fn spec(example: &[Block]) -> Value {
    serde_saphyr::from_str(&example[0].text).unwrap()
}

#[tokio::test]
async fn the_examples_of_the_source_give_what_the_page_shows() {
    let examples = examples("sources/file.md");
    assert_eq!(examples.len(), 2);
    for example in examples {
        let dir = TempDir::new().unwrap();
        let (mut wanted, mut unreadable) = (String::new(), String::new());
        for block in &example[1..] {
            match block.says[1].as_str() {
                "input" => std::fs::write(dir.path().join(&block.says[2]), &block.text).unwrap(),
                "output" => wanted.clone_from(&block.text),
                "unreadable" => unreadable.clone_from(&block.text),
                other => panic!("a block says {other}"),
            }
        }
        let kinds = all(Paper::default()).sources;
        let kind = kinds.iter().find(|k| k.described().name == "file").unwrap();
        let opening = Opening {
            config: options(kind.as_ref(), &spec(&example)["source"]),
            cursor: None,
            window: None,
        };
        let mut reader = kind.open(opening, context(dir.path())).await.unwrap();
        let most = Most {
            records: 1000,
            bytes: 1 << 20,
        };
        let pulled = reader.pull(most).await.unwrap();
        assert!(pulled.done);
        assert_eq!(std::str::from_utf8(&pulled.batch.data).unwrap(), wanted);
        let base = format!("{}/", dir.path().display());
        let said = pulled.rejects.iter();
        let said: String = said
            .map(|r| format!("{}: {}\n", r.number, r.reason.replace(&base, "")))
            .collect();
        assert_eq!(said, unreadable);
    }
}

#[tokio::test]
async fn the_examples_of_the_sinks_give_what_the_pages_show() {
    for (page, count) in [("sinks/file.md", 2), ("sinks/console.md", 1)] {
        let examples = examples(page);
        assert_eq!(examples.len(), count);
        for example in examples {
            let dir = TempDir::new().unwrap();
            let paper = Paper::default();
            let stage = &spec(&example)["sinks"][0];
            let kinds = all(paper.clone()).sinks;
            let kind = kinds.iter().find(|k| k.described().name == stage["type"]);
            let kind = kind.unwrap();
            let config = options(kind.as_ref(), stage);
            let mut writer = kind.open(config, context(dir.path())).await.unwrap();
            let input = &example[1];
            assert_eq!(input.says[1], "input");
            let batch = Batch {
                encoding: Encoding::Ndjson,
                count: u32::try_from(input.text.lines().count()).unwrap(),
                data: input.text.clone().into(),
            };
            assert_eq!(writer.push(batch, "1".into()).await, Ok(vec![]));
            writer.finish().await.unwrap();
            for block in &example[2..] {
                let came = match block.says.get(2) {
                    Some(path) => std::fs::read(dir.path().join(path)).unwrap(),
                    None => paper.0.lock().unwrap().clone(),
                };
                assert_eq!(
                    String::from_utf8(came).unwrap(),
                    block.text,
                    "{:?}",
                    block.says
                );
            }
        }
    }
}
