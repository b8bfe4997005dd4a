//! Native stages for tests of runs: a source that counts, a transform and a sink that do what their options say, and a timer that does not wait but remembers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use model::BoxFuture;
use model::access::{Access, Files};
use model::data::{
    Batch, Encoding, Most, Opening, Pulled, Reader, Reject, Transformed, Transformer, Unreadable,
    Writer,
};
use model::error::Fault;
use model::id::PipelineId;
use model::pipeline::{
    Backoff, ErrorPolicy, Flow, Persistence, Pipeline, RunLimits, StageKind, StageSpec, Status,
    TriggerSpec, Work,
};
use model::ports::{References, Timer};
use model::run::{RunRecord, StageReport};
use model::stage::{
    Context, Convert, Described, Kind, Misfit, Natives, SinkKind, SourceKind, TransformKind,
};
use serde_json::{Value, json};

use super::fake::{World, world};
use crate::{Durability, Engine, Options, RunOptions, Stages, Trigger, Which};

/// What the stages did.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What each sink took: the records' numbers, in order, and whether it was finished.
    pub(super) taken: Mutex<BTreeMap<String, (Vec<u64>, bool)>>,
    /// The same, of all runs together: what is there for good.
    pub(super) there: Mutex<BTreeMap<String, Vec<u64>>>,
    /// Keys of pushes.
    pub(super) keys: Mutex<Vec<String>>,
    /// Waits, in milliseconds.
    pub(super) waits: Mutex<Vec<u128>>,
    /// Failures so far, by stage.
    failures: Mutex<BTreeMap<String, u64>>,
    /// Configurations that stages were opened with.
    pub(super) configs: Mutex<Vec<Value>>,
    /// Most transformers alive at once, and now.
    pub(super) alive: AtomicU64,
    pub(super) opened: AtomicU64,
}

impl Seen {
    pub(super) fn taken(&self, sink: &str) -> Vec<u64> {
        let all = self.taken.lock().unwrap();
        all.get(sink).map_or_else(Vec::new, |(n, _)| n.clone())
    }

    pub(super) fn there(&self, sink: &str) -> Vec<u64> {
        let all = self.there.lock().unwrap();
        all.get(sink).cloned().unwrap_or_default()
    }

    fn adds(&self, sink: &str, numbers: impl IntoIterator<Item = u64>) {
        let mut all = self.there.lock().unwrap();
        all.entry(sink.into()).or_default().extend(numbers);
    }

    pub(super) fn is_finished(&self, sink: &str) -> bool {
        self.taken
            .lock()
            .unwrap()
            .get(sink)
            .is_some_and(|(_, f)| *f)
    }

    /// Fails as often as the options say.
    fn fail(&self, stage: &str, options: &Value) -> Result<(), Fault> {
        let most = options["transient"].as_u64().unwrap_or(0);
        let mut failures = self.failures.lock().unwrap();
        let so_far = failures.entry(stage.into()).or_default();
        if *so_far < most {
            *so_far += 1;
            return Err(Fault::Transient {
                message: "not now".into(),
                retry_after_ms: options["after"].as_u64().map(|n| u32::try_from(n).unwrap()),
            });
        }
        match options["invalid"].as_str() {
            Some(text) => Err(Fault::Invalid(text.into())),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone)]
struct Test {
    seen: Arc<Seen>,
    world: Arc<World>,
    /// Does its timer wait for the world's clock?
    clocked: bool,
}

impl Kind for Test {
    fn described(&self) -> Described {
        Described {
            name: "test",
            summary: "For tests.",
            options: json!({}),
        }
    }
    fn check(&self, options: &Value) -> Vec<Misfit> {
        match options.get("misfit") {
            Some(_) => vec![Misfit::new("/misfit", "it does not fit")],
            None => Vec::new(),
        }
    }
}

/// Gives `count` records `{"n":1}`, `{"n":2}` ...; every `unreadable`th is none.
struct Counts {
    seen: Arc<Seen>,
    world: Arc<World>,
    name: String,
    options: Value,
    next: u64,
}

impl SourceKind for Test {
    fn goes_on(&self, _: &Value) -> bool {
        true
    }
    fn open(
        &self,
        opening: Opening,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Reader>, Fault>> {
        let options: Value = serde_json::from_str(&opening.config).unwrap();
        self.seen.configs.lock().unwrap().push(options.clone());
        let reader = Counts {
            seen: Arc::clone(&self.seen),
            world: Arc::clone(&self.world),
            name: context.stage.to_string(),
            options,
            // It is a number where it says where it is.
            next: opening.cursor.map_or(1, |at| at.parse().unwrap()),
        };
        Box::pin(async { Ok(Box::new(reader) as Box<dyn Reader>) })
    }
}

impl Reader for Counts {
    fn pull(&mut self, most: Most) -> BoxFuture<'_, Result<Pulled, Fault>> {
        Box::pin(async move {
            self.seen.fail(&self.name, &self.options)?;
            if self.options["hold"] == self.next {
                self.world.note("source holds");
                self.world.hold.acquire().await.unwrap().forget();
            }
            if self.options["panic"] == true {
                panic!("source panics");
            }
            let count = self.options["count"].as_u64().unwrap();
            let every = self.options["unreadable"].as_u64().unwrap_or(u64::MAX);
            let (mut text, mut records, mut rejects) = (String::new(), 0, Vec::new());
            let most = most.records + u32::from(self.options["greedy"] == true);
            while records < most && self.next <= count {
                if self.next.is_multiple_of(every) {
                    rejects.push(Unreadable {
                        number: self.next,
                        reason: "no record".into(),
                        raw: Bytes::from_static(b"?"),
                    });
                } else {
                    writeln!(text, r#"{{"n":{}}}"#, self.next).unwrap();
                    records += 1;
                }
                self.next += 1;
            }
            Ok(Pulled {
                batch: batch(text),
                cursor: (self.options["cursors"] == true).then(|| self.next.to_string()),
                done: self.next > count,
                rejects,
            })
        })
    }
}

fn batch(text: String) -> Batch {
    Batch {
        encoding: Encoding::Ndjson,
        count: u32::try_from(text.lines().count()).unwrap(),
        data: Bytes::from(text),
    }
}

pub(super) fn numbers(batch: &Batch) -> Vec<u64> {
    let text = std::str::from_utf8(&batch.data).unwrap();
    let of = |line| {
        serde_json::from_str::<Value>(line).unwrap()["n"]
            .as_u64()
            .unwrap()
    };
    text.lines().map(of).collect()
}

/// Leaves out and rejects by number; may hold all back, lie, or panic.
struct Sieve {
    seen: Arc<Seen>,
    name: String,
    options: Value,
    held: String,
}

impl TransformKind for Test {
    fn sees_all(&self, options: &Value) -> bool {
        options["sees_all"] == true
    }
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Transformer>, Fault>> {
        let alive = self.seen.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.opened.fetch_max(alive, Ordering::SeqCst);
        let sieve = Sieve {
            seen: Arc::clone(&self.seen),
            name: context.stage.to_string(),
            options: serde_json::from_str(&config).unwrap(),
            held: String::new(),
        };
        Box::pin(async { Ok(Box::new(sieve) as Box<dyn Transformer>) })
    }
}

impl Drop for Sieve {
    fn drop(&mut self) {
        self.seen.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Transformer for Sieve {
    fn apply(&mut self, given: Batch) -> BoxFuture<'_, Result<Transformed, Fault>> {
        Box::pin(async move {
            self.seen.fail(&self.name, &self.options)?;
            assert!(self.options["panic"] != true, "transform panics");
            let every = |key: &str| self.options[key].as_u64().unwrap_or(u64::MAX);
            let (mut text, mut rejects) = (String::new(), Vec::new());
            for (index, n) in (0..).zip(numbers(&given)) {
                let reject = |reason: &str| Reject {
                    index,
                    reason: reason.into(),
                };
                if n.is_multiple_of(every("reject")) {
                    rejects.push(reject("bad number"));
                } else if n.is_multiple_of(every("leave_out")) {
                    rejects.push(reject(""));
                } else {
                    writeln!(text, r#"{{"n":{n}}}"#).unwrap();
                }
            }
            match self.options["lie"].as_str() {
                Some("more") => text.push_str("{\"n\":0}\n"),
                Some("place") => {
                    text = text.split_inclusive('\n').skip(1).collect();
                    rejects.push(Reject {
                        index: given.count,
                        reason: "beyond".into(),
                    });
                }
                Some("twice") => {
                    text.clear();
                    rejects = vec![
                        Reject {
                            index: 0,
                            reason: "a".into()
                        };
                        2
                    ];
                }
                Some("less") => text.clear(),
                _ => {}
            }
            if self.options["hold_back"] == true {
                self.held.push_str(&std::mem::take(&mut text));
            }
            tokio::task::yield_now().await;
            Ok(Transformed {
                batch: batch(text),
                rejects,
            })
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Option<Batch>, Fault>> {
        let held = std::mem::take(&mut self.held);
        Box::pin(async move { Ok((!held.is_empty()).then(|| batch(held))) })
    }
}

/// Takes numbers, and does what its options say.
struct Takes {
    test: Test,
    name: String,
    options: Value,
}

impl SinkKind for Test {
    fn open(
        &self,
        config: String,
        context: Context,
    ) -> BoxFuture<'static, Result<Box<dyn Writer>, Fault>> {
        let test = self.clone();
        Box::pin(async move {
            let options: Value = serde_json::from_str(&config).unwrap();
            let name = context.stage.to_string();
            test.seen.configs.lock().unwrap().push(options.clone());
            test.seen.fail(&format!("open {name}"), &options["open"])?;
            test.seen
                .taken
                .lock()
                .unwrap()
                .insert(name.clone(), (Vec::new(), false));
            Ok(Box::new(Takes {
                test,
                name,
                options,
            }) as Box<dyn Writer>)
        })
    }
}

impl Writer for Takes {
    fn push(&mut self, given: Batch, key: String) -> BoxFuture<'_, Result<Vec<Reject>, Fault>> {
        Box::pin(async move {
            if self.options["hold"] == true {
                self.test.world.note(format!("{} holds", self.name));
                self.test.world.hold.acquire().await.unwrap().forget();
            }
            let all = numbers(&given);
            if self.options["from"]
                .as_u64()
                .is_none_or(|from| all[0] >= from)
            {
                self.test.seen.fail(&self.name, &self.options)?;
            }
            let every = self.options["reject"].as_u64().unwrap_or(u64::MAX);
            let rejects: Vec<_> = (0..)
                .zip(&all)
                .filter(|(_, n)| n.is_multiple_of(every))
                .map(|(index, _)| Reject {
                    index,
                    reason: "not wanted".into(),
                })
                .collect();
            if self
                .test
                .world
                .broken
                .lock()
                .unwrap()
                .contains(self.name.as_str())
            {
                return Err(Fault::Transient {
                    message: "it is down".into(),
                    retry_after_ms: None,
                });
            }
            self.test.seen.keys.lock().unwrap().push(key);
            let good = all.into_iter().filter(|n| !n.is_multiple_of(every));
            let good: Vec<_> = good.collect();
            if !self.is_whole() {
                self.test.seen.adds(&self.name, good.iter().copied());
            }
            let mut taken = self.test.seen.taken.lock().unwrap();
            taken.get_mut(&self.name).unwrap().0.extend(good);
            Ok(rejects)
        })
    }

    fn is_whole(&self) -> bool {
        self.options["whole"] == true
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            self.test
                .seen
                .fail(&format!("finish {}", self.name), &self.options["finish"])?;
            if self.is_whole() {
                let all = self.test.seen.taken(&self.name);
                self.test.seen.adds(&self.name, all);
            }
            self.test
                .seen
                .taken
                .lock()
                .unwrap()
                .get_mut(&self.name)
                .unwrap()
                .1 = true;
            Ok(())
        })
    }
}

impl Convert for Test {
    fn convert(&self, batch: Batch, to: Encoding) -> Result<Batch, Fault> {
        Ok(Batch {
            encoding: to,
            ..batch
        })
    }
}

impl References for Test {
    fn get(&self, reference: &str) -> Result<String, String> {
        match reference {
            "env:SECRET" => Ok("hidden".into()),
            other => Err(format!("{other} is not there")),
        }
    }
}

impl Timer for Test {
    fn wait(&self, span: Duration) -> BoxFuture<'static, ()> {
        if self.clocked {
            let world = Arc::clone(&self.world);
            return Box::pin(async move { world.passed(span).await });
        }
        self.seen.waits.lock().unwrap().push(span.as_millis());
        Box::pin(tokio::task::yield_now())
    }
}

/// An engine with these stages.
pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) seen: Arc<Seen>,
    pub(super) engine: Arc<Engine>,
    pub(super) work: std::path::PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.work);
    }
}

pub(super) fn bench() -> Bench {
    bench_with(RunOptions::default())
}

pub(super) fn bench_with(runs: RunOptions) -> Bench {
    bench_over(&world(), &Arc::default(), runs, None)
}

/// One in a world that is there, where runs are kept if there is a place for that.
pub(super) fn bench_over(
    world: &Arc<World>,
    seen: &Arc<Seen>,
    runs: RunOptions,
    durability: Option<Durability>,
) -> Bench {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let work = std::env::temp_dir().join(format!("weir-runs-{}-{number}", std::process::id()));
    let (world, seen) = (Arc::clone(world), Arc::clone(seen));
    let test = Arc::new(Test {
        seen: Arc::clone(&seen),
        world: Arc::clone(&world),
        clocked: durability.is_some(),
    });
    let stages = Stages {
        natives: Natives {
            sources: vec![test.clone()],
            transforms: vec![test.clone()],
            sinks: vec![test.clone()],
            convert: test.clone(),
        },
        access: Arc::new(Access {
            files: Files::Within(Vec::new()),
            http: None,
            databases: None,
        }),
        references: test.clone(),
        timer: test,
        work: work.clone(),
    };
    let options = Options {
        runs,
        ..Options::default()
    };
    let engine = world.engine_kept(options, stages, durability);
    Bench {
        world,
        seen,
        engine,
        work,
    }
}

impl Bench {
    /// Runs a pipeline to its end.
    pub(super) async fn run(&self, pipeline: Pipeline) -> RunRecord {
        self.run_with(Trigger::of(Which::Given(Arc::new(pipeline))))
            .await
    }

    pub(super) async fn run_with(&self, trigger: Trigger) -> RunRecord {
        let id = self.engine.submit(trigger).await.unwrap();
        self.ended(&id).await
    }

    pub(super) async fn ended(&self, id: &model::run::RunId) -> RunRecord {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.engine.finished(id)).await;
        let Ok(run) = ended else {
            panic!("{:?} {:?}", self.engine.run(id), self.world.log());
        };
        run.unwrap()
    }
}

pub(super) fn id(text: &str) -> PipelineId {
    PipelineId::new(text).unwrap()
}

/// A stage: a native one; with `plugin` in the options that plugin.
pub(super) fn stage(name: &str, mut options: Value) -> StageSpec {
    let plugin = options.as_object_mut().unwrap().remove("plugin");
    let kind = match plugin {
        None => StageKind::Native("test".into()),
        Some(plugin) => StageKind::Plugin {
            plugin: model::id::PluginId::new(plugin.as_str().unwrap()).unwrap(),
            sees_all: false,
            arrow: false,
        },
    };
    StageSpec {
        name: name.into(),
        kind,
        options: options.as_object().unwrap().clone(),
        on_reject: None,
    }
}

/// A pipeline with small batches; stages are named `source`, `t0`, `t1`, .., `s0`, `s1`, ..
pub(super) fn flow(source: Value, transforms: &[Value], sinks: &[Value]) -> Pipeline {
    let named = |prefix: &str, all: &[Value]| {
        let named = all.iter().enumerate();
        named
            .map(|(i, o)| stage(&format!("{prefix}{i}"), o.clone()))
            .collect()
    };
    pipeline(
        "p",
        Work::Flow(Flow {
            source: stage("source", source),
            transforms: named("t", transforms),
            sinks: named("s", sinks),
            incremental: false,
        }),
    )
}

pub(super) fn pipeline(name: &str, work: Work) -> Pipeline {
    Pipeline {
        id: id(name),
        name: name.into(),
        description: String::new(),
        tags: Vec::new(),
        status: Status::Active,
        trigger: TriggerSpec::Manual,
        parameters: Vec::new(),
        timescope: None,
        persistence: Persistence::default(),
        errors: ErrorPolicy {
            retry: Backoff {
                jitter: 0.0,
                ..Backoff::default()
            },
            ..ErrorPolicy::default()
        },
        limits: RunLimits {
            batch_records: std::num::NonZeroU32::new(10).unwrap(),
            workers: std::num::NonZeroU32::new(3),
            ..RunLimits::default()
        },
        work,
    }
}

pub(super) fn source(count: u64) -> Value {
    json!({ "count": count })
}

pub(super) fn report<'a>(run: &'a RunRecord, stage: &str) -> &'a StageReport {
    run.stages.iter().find(|s| s.name == stage).unwrap()
}

/// Every record that came in is accounted for.
pub(super) fn conserved(run: &RunRecord) {
    for stage in run.stages.iter().skip(1) {
        let there = stage.records_out + stage.rejected + stage.left_out + stage.undelivered;
        assert_eq!(stage.records_in, there, "{stage:?}");
    }
}

pub(super) fn without(count: u64, gone: impl Fn(u64) -> bool) -> Vec<u64> {
    (1..=count).filter(|n| !gone(*n)).collect()
}
