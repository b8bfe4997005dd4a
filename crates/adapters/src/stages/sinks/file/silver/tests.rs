//! The sink `silver`: records of any shape come back as they were, files appear as a whole or not at all, and go when their time is over.

use std::os::unix::fs::symlink;

use model::data::{Batch, Encoding, Most, Reject};
use model::run::RunId;
use tempfile::TempDir;

use super::*;
use crate::stages::format::{ParquetFile, to_ipc, to_lines};
use crate::stages::given::context;

/// 2026-11-23, 12:00.
const NOON: u128 = 1_795_435_200_000;
const DAY_MS: u128 = 86_400_000;

fn run_at(ms: u128) -> RunId {
    RunId::of(ms << 80)
}

fn batch(lines: &str) -> Batch {
    Batch {
        encoding: Encoding::Ndjson,
        count: u32::try_from(lines.lines().count()).unwrap(),
        data: lines.to_owned().into(),
    }
}

/// The same records as columns of their own.
fn columns(lines: &str) -> Batch {
    let mut rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let table = crate::stages::format::Shape::default().of(&mut rows);
    Batch {
        encoding: Encoding::ArrowIpc,
        data: to_ipc(&table.batch(&rows).unwrap()).unwrap(),
        ..batch(lines)
    }
}

struct Home {
    dir: TempDir,
    silver: SilverFolder,
}

impl Home {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let silver = SilverFolder::open(&dir.path().join("silver")).unwrap();
        Self { dir, silver }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("silver").join(below)
    }

    async fn opened(&self, pipeline: &str, run: &RunId) -> Result<Box<dyn Writer>, Fault> {
        let context = Context {
            pipeline: PipelineId::new(pipeline).unwrap(),
            run: run.clone(),
            ..context(self.dir.path())
        };
        SinkKind::open(&self.silver, "{}".into(), context).await
    }

    async fn write(&self, pipeline: &str, ms: u128, batches: &[Batch]) -> Vec<Reject> {
        let mut writer = self.opened(pipeline, &run_at(ms)).await.unwrap();
        let mut rejects = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let key = number.to_string();
            rejects.extend(writer.push(batch.clone(), key).await.unwrap());
        }
        writer.finish().await.unwrap();
        rejects
    }

    async fn files(&self, pipeline: &str) -> Vec<SilverFile> {
        let pipeline = PipelineId::new(pipeline).unwrap();
        self.silver.files(pipeline).await.unwrap()
    }

    /// The records of each file, as lines.
    async fn records(&self, pipeline: &str) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for file in self.files(pipeline).await {
            let path = format!("{pipeline}/day={}/{}", file.day, file.name);
            let opened = fs::File::open(self.path(&path)).unwrap();
            let most = Most {
                records: 10_000,
                bytes: 1 << 20,
            };
            let mut parquet = ParquetFile::open(opened, 0, most).unwrap();
            let mut lines = Vec::new();
            while let Some(records) = parquet.next(most).unwrap() {
                let text = String::from_utf8(to_lines(&records).unwrap()).unwrap();
                lines.extend(text.lines().map(str::to_owned));
            }
            all.push(lines);
        }
        all
    }

    async fn sweep(&self, now_ms: u128, days: Option<u32>, bytes: Option<u64>) -> Swept {
        let now = Duration::from_millis(u64::try_from(now_ms).unwrap());
        let retention = Retention {
            now: SystemTime::UNIX_EPOCH + now,
            age: days.map(|days| Duration::from_secs(86_400) * days),
            bytes,
        };
        self.silver.sweep(retention).await.unwrap()
    }
}

/// Batches of these shapes give these files, the same for an attempt after it.
async fn check(batches: &[Batch], wanted: &[&[&str]]) {
    let home = Home::new();
    for _ in 0..2 {
        assert_eq!(home.write("p", NOON, batches).await, []);
        assert_eq!(home.records("p").await, wanted);
    }
}

#[tokio::test]
async fn records_of_one_shape_are_one_file() {
    let home = Home::new();
    let batches = [batch("{\"a\":1,\"b\":\"x\"}\n"), batch("{\"b\":\"y\"}\n")];
    home.write("orders.eu", NOON, &batches).await;
    let files = home.files("orders.eu").await;
    let name = format!("{}.parquet", run_at(NOON));
    let path = home.path(&format!("orders.eu/day=2026-11-23/{name}"));
    let bytes = path.metadata().unwrap().len();
    let day = "2026-11-23".to_owned();
    assert_eq!(files, [SilverFile { day, name, bytes }]);
    let wanted = [["{\"a\":1,\"b\":\"x\"}", "{\"a\":null,\"b\":\"y\"}"]];
    assert_eq!(home.records("orders.eu").await, wanted);
    assert_eq!(home.files("orders").await, []);
}

#[tokio::test]
async fn a_record_that_does_not_fit_begins_a_further_file() {
    // A field more, a number that is none of the integers before, a list: then text, and it stays so.
    check(
        &[
            batch("{\"a\":1}\n"),
            batch("{\"a\":2,\"b\":[1]}\n"),
            batch("{\"a\":0.5}\n{\"a\":3}\n"),
            batch("{\"a\":\"x\"}\n"),
            batch("{\"a\":{\"c\":1}}\n{\"a\":1.50}\n{\"a\":null}\n"),
            batch("{\"a\":18446744073709551616}\n"),
        ],
        &[
            &["{\"a\":1}"],
            &["{\"a\":2,\"b\":[1]}"],
            &["{\"a\":0.5,\"b\":null}", "{\"a\":3.0,\"b\":null}"],
            &[
                "{\"a\":\"\\\"x\\\"\",\"b\":null}",
                "{\"a\":\"{\\\"c\\\":1}\",\"b\":null}",
                "{\"a\":\"1.50\",\"b\":null}",
                "{\"a\":null,\"b\":null}",
                "{\"a\":\"18446744073709551616\",\"b\":null}",
            ],
        ],
    )
    .await;
}

#[tokio::test]
async fn where_a_batch_does_not_agree_the_column_is_text() {
    check(
        &[batch(
            "{\"a\":1,\"b\":1}\n{\"a\":\"x\",\"b\":2}\n{\"a\":{\"y\":[]},\"b\":3}\n",
        )],
        &[&[
            "{\"a\":\"1\",\"b\":1}",
            "{\"a\":\"\\\"x\\\"\",\"b\":2}",
            "{\"a\":\"{\\\"y\\\":[]}\",\"b\":3}",
        ]],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_record_with_fields_is_a_text_as_a_whole() {
    check(
        &[
            batch("{\"a\":1}\n"),
            batch("[1,2]\n{\"a\":1}\n7\n"),
            batch("{\"a\":2}\n"),
        ],
        &[
            &["{\"a\":1}"],
            &[
                "{\"record\":\"[1,2]\"}",
                "{\"record\":\"{\\\"a\\\":1}\"}",
                "{\"record\":\"7\"}",
                "{\"record\":\"{\\\"a\\\":2}\"}",
            ],
        ],
    )
    .await;
    let home = Home::new();
    let rejects = home
        .write("p", NOON, &[batch("{\"a\":1}\nno json\n")])
        .await;
    assert_eq!(rejects.iter().map(|r| r.index).collect::<Vec<_>>(), [1]);
    assert_eq!(home.records("p").await, [["{\"a\":1}"]]);
}

#[tokio::test]
async fn columns_that_come_as_such_stay_as_they_are() {
    check(
        &[
            columns("{\"a\":1}\n{\"a\":2}\n"),
            columns("{\"a\":3}\n"),
            columns("{\"b\":\"x\"}\n"),
            batch("{\"b\":\"y\"}\n"),
        ],
        &[
            &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"],
            &["{\"b\":\"x\"}"],
            &["{\"b\":\"y\"}"],
        ],
    )
    .await;
}

#[tokio::test]
async fn shapes_without_end_are_files_with_an_end() {
    let home = Home::new();
    let mut batches: Vec<_> = (0..500)
        .map(|n| batch(&format!("{{\"n\":{n},\"f{n}\":{{\"k{n}\":true}}}}\n")))
        .collect();
    // Kinds that take turns.
    for n in 500..1_000 {
        let line = format!("{{\"n\":{n}}}\n");
        batches.push(if n % 2 == 0 {
            columns(&line)
        } else {
            batch(&line)
        });
    }
    home.write("p", NOON, &batches).await;
    let files = home.records("p").await;
    assert_eq!(files.len(), 65);
    let numbers: Vec<_> = files
        .concat()
        .iter()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            match record["record"].as_str() {
                Some(text) => serde_json::from_str::<Value>(text).unwrap()["n"].as_u64(),
                None => record["n"].as_u64(),
            }
        })
        .collect();
    assert_eq!(numbers, (0..1_000).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_field_whose_keys_change_is_soon_text() {
    let home = Home::new();
    let batches: Vec<_> = (0..100)
        .map(|n| batch(&format!("{{\"n\":{n},\"by\":{{\"id{n}\":1}}}}\n")))
        .collect();
    home.write("p", NOON, &batches).await;
    let files = home.records("p").await;
    assert_eq!(files.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 98]);
    assert_eq!(files[2][97], "{\"n\":99,\"by\":\"{\\\"id99\\\":1}\"}");
}

#[tokio::test]
async fn nothing_is_seen_before_the_end_and_nothing_is_left_without_one() {
    let home = Home::new();
    let mut writer = home.opened("p", &run_at(NOON)).await.unwrap();
    assert!(writer.is_whole());
    writer.push(batch("{\"a\":1}\n"), "1".into()).await.unwrap();
    writer.push(batch("{\"b\":1}\n"), "2".into()).await.unwrap();
    assert_eq!(home.files("p").await, []);
    home.sweep(NOON + 90 * DAY_MS, Some(1), Some(0)).await;
    // A sweep takes nothing away from who writes.
    writer.push(batch("{\"c\":1}\n"), "3".into()).await.unwrap();
    drop(writer);
    assert_eq!(names(&home.path("")).unwrap(), Vec::<String>::new());
    // One without records is no file.
    home.write("p", NOON, &[]).await;
    assert_eq!(home.files("p").await, []);
}

#[tokio::test]
async fn another_attempt_leaves_its_own_files_only() {
    let home = Home::new();
    let two = [batch("{\"a\":1}\n"), batch("{\"b\":1}\n")];
    home.write("p", NOON, &two).await;
    home.write("p", NOON + 1, &two).await;
    assert_eq!(home.files("p").await.len(), 4);
    home.write("p", NOON, &two[1..]).await;
    let files = home.records("p").await;
    assert_eq!(
        files,
        [["{\"b\":1}"], ["{\"a\":1}"], ["{\"a\":null,\"b\":1}"]]
    );
    // One that fails leaves nothing of the one before.
    drop(home.opened("p", &run_at(NOON)).await.unwrap());
    assert_eq!(home.files("p").await.len(), 2);
}

#[tokio::test]
async fn files_go_by_the_end_of_their_day_and_the_oldest_first_by_size() {
    let home = Home::new();
    for (pipeline, day) in [("a", 0), ("a", 1), ("a", 1), ("a", 2), ("b", 1)] {
        let many = home.files(pipeline).await.len();
        let at = NOON + day * DAY_MS + many as u128;
        home.write(pipeline, at, &[batch("{\"a\":1}\n")]).await;
    }
    let bytes = home.files("a").await[0].bytes;
    let days = async |pipeline: &str| {
        let files = home.files(pipeline).await;
        files.into_iter().map(|f| f.day).collect::<Vec<_>>()
    };
    // Of the first day, which is over since half a day: not yet a whole one.
    let nothing = Swept::default();
    assert_eq!(home.sweep(NOON + DAY_MS, Some(1), None).await, nothing);
    assert_eq!(home.sweep(NOON, None, Some(4 * bytes)).await, nothing);
    let one = Swept { files: 1, bytes };
    assert_eq!(home.sweep(NOON + 2 * DAY_MS, Some(1), None).await, one);
    assert_eq!(days("a").await, ["2026-11-24", "2026-11-24", "2026-11-25"]);
    assert!(!home.path("a/day=2026-11-23").exists());
    assert_eq!(home.sweep(NOON, None, Some(2 * bytes)).await, one);
    assert_eq!(days("a").await, ["2026-11-24", "2026-11-25"]);
    assert_eq!(days("b").await, ["2026-11-24"]);
    assert_eq!(home.sweep(NOON, None, Some(0)).await.files, 3);
    // A run of that day may be about to write there.
    assert!(home.path("a/day=2026-11-25").exists());
}

#[tokio::test]
async fn what_a_killed_run_left_is_removed_and_what_is_not_ours_stays() {
    let home = Home::new();
    home.write("p", NOON, &[batch("{\"a\":1}\n")]).await;
    let day = home.path("p/day=2026-11-23");
    fs::create_dir(day.join(".weir-killed.tmp")).unwrap();
    fs::write(day.join(".weir-killed.tmp/.weir-x.tmp"), "half").unwrap();
    fs::write(day.join("mine.parquet"), "mine").unwrap();
    fs::create_dir_all(home.path("p/other")).unwrap();
    fs::write(home.path("p/other/run_x.parquet"), "mine").unwrap();
    home.sweep(NOON + 90 * DAY_MS, Some(1), Some(0)).await;
    assert_eq!(names(&day).unwrap(), ["mine.parquet"]);
    assert!(home.path("p/other/run_x.parquet").exists());
}

#[tokio::test]
async fn no_pipeline_and_no_link_leads_out_of_the_folder() {
    for id in ["..", "../x", "a/b", "/etc", "a..b", ".p", ""] {
        assert!(PipelineId::new(id).is_err(), "{id}");
    }
    let home = Home::new();
    let outside = home.dir.path().join("outside");
    fs::create_dir_all(outside.join("day=2026-11-23")).unwrap();
    let file = format!("day=2026-11-23/{}.parquet", run_at(NOON + 1));
    fs::write(outside.join(&file), "not ours").unwrap();
    symlink(&outside, home.path("p")).unwrap();
    let Err(refused) = home.opened("p", &run_at(NOON)).await else {
        panic!("it was opened");
    };
    assert!(matches!(refused, Fault::Denied(_)), "{refused}");
    home.sweep(NOON + 90 * DAY_MS, Some(1), Some(0)).await;
    assert!(outside.join(&file).exists());
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let said = SilverFolder::open(&file.join("silver")).unwrap_err();
    let shown = file.join("silver").display().to_string();
    assert!(said.to_string().contains(&shown), "{said}");
}
