//! `weir run`: one run of a pipeline on this machine, with the rights of whoever types it; what it did is shown on standard error, data goes to standard output.

mod local;
mod progress;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context;
use clap::Args;
use engine::parameters::from_texts;
use engine::{Engine, Trigger, Which};
use model::run::{RunId, RunRecord, RunState, StagePreview};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use crate::wiring::Host;
use crate::{Failure, ending, logs, say};
use local::Local;
use progress::Progress;

/// Exit code of a run that was asked to end (128 and SIGTERM).
const TERMINATED: u8 = 143;

/// The options of `run`.
#[derive(Debug, Args)]
#[command(after_help = ending::HELP)]
pub(crate) struct RunArgs {
    /// The pipeline's spec, YAML or JSON; pipelines that it names are looked for beside it
    #[arg(value_name = "SPEC")]
    pub(crate) spec: PathBuf,
    /// A parameter of the pipeline; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// The span of time to cover: 2026-11-22T15, 2026-11-22, 2026-W47, 2026-11, 2026-Q4, 2026 or START..END [default: the last one that is over]
    #[arg(long, value_name = "WINDOW")]
    pub(crate) window: Option<String>,
    /// Stop after so many records of the source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Open no sinks; what would go to them is counted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Show the first records after each stage, up to 100
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "5", require_equals = true, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) preview: Option<u32>,
    /// Print the run as JSON, for machines, and nothing else; sinks `console` go to standard error then
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// A plugin that is a stage; may be repeated. Without it, those in the plugins folder of the host configuration, else in ./plugins
    #[arg(long = "plugin", value_name = "FILE.wasm")]
    pub(crate) plugins: Vec<PathBuf>,
    /// Host configuration whose limits, secrets and `[plugins.<id>]` apply
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for records that were rejected or not delivered; made when there are some
    #[arg(long, value_name = "DIR", default_value = "weir-runs")]
    pub(crate) work: PathBuf,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("it has the form NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

/// Runs the pipeline and says how it went.
pub(crate) fn run(arguments: RunArgs) -> Result<(), Failure> {
    logs::start(Some("error"));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let outcome = runtime.block_on(run_once(arguments));
    runtime.shutdown_background();
    outcome
}

async fn run_once(arguments: RunArgs) -> Result<(), Failure> {
    let local = Local::new(&arguments).await?;
    let outcome = show_run(&local, &arguments).await;
    local.host.engine.shutdown(local::STOP_WITHIN).await;
    outcome
}

async fn show_run(local: &Local, arguments: &RunArgs) -> Result<(), Failure> {
    let engine = &local.host.engine;
    let id = engine
        .submit(trigger(local, arguments))
        .await
        .map_err(|error| Failure::Data(format!("{}: {error}", arguments.spec.display())))?;
    let (record, asked) = follow(&local.host, &id, arguments).await?;
    let preview = arguments.preview.map(|_| previews(engine, &record));
    if arguments.json {
        say(&as_json(&record, preview)?);
    } else {
        if let Some(preview) = preview.filter(|stages| !stages.is_empty()) {
            say(report::preview(&preview).trim_end());
        }
        crate::complain(reported(engine, &record).trim_end());
    }
    match record.state {
        RunState::Cancelled => Err(Failure::Ended(asked)),
        state => ending::of(state),
    }
}

/// The report of a run, after those of the runs it is made of, on all levels.
fn reported(engine: &Engine, record: &RunRecord) -> String {
    let mut text = String::new();
    let mut forgotten = 0_usize;
    for part in &record.children {
        match engine.run(part) {
            Some(part) => text += &reported(engine, &part),
            None => forgotten += 1,
        }
    }
    if forgotten > 0 {
        text += &format!(
            "{forgotten} more parts of {} are not remembered\n",
            record.pipeline
        );
    }
    let rejects = engine.rejects(&record.id).unwrap_or_default();
    text + &report::report(record, &rejects)
}

/// The first records after each stage; those of the runs it is made of begin with the name of their pipeline.
fn previews(engine: &Engine, record: &RunRecord) -> Vec<StagePreview> {
    let mut all = engine.preview(&record.id).unwrap_or_default();
    for part in record.children.iter().filter_map(|part| engine.run(part)) {
        let moves = part.children.is_empty();
        all.extend(previews(engine, &part).into_iter().map(|mut shown| {
            if moves {
                shown.stage = format!("{}/{}", part.pipeline, shown.stage);
            }
            shown
        }));
    }
    all
}

fn trigger(local: &Local, arguments: &RunArgs) -> Trigger {
    let declared = &local.pipeline.parameters;
    Trigger {
        parameters: from_texts(declared, &arguments.parameters),
        window: arguments.window.clone(),
        limit: arguments.limit,
        preview: arguments.preview,
        dry_run: arguments.dry_run,
        ..Trigger::of(Which::Given(Arc::clone(&local.pipeline)))
    }
}

/// Shows the run until it is over. Answers the exit code of what it was asked to end by, too.
async fn follow(host: &Host, id: &RunId, arguments: &RunArgs) -> anyhow::Result<(RunRecord, u8)> {
    let mut progress = Progress::new(arguments.quiet || arguments.json);
    let mut follow = host.engine.follow_run(id).context("the run is gone")?;
    let interrupts = signal(SignalKind::interrupt()).context("cannot hear interrupts")?;
    let saying = Arc::new(Mutex::new(()));
    tokio::spawn(heed(
        interrupts,
        Arc::clone(&host.engine),
        id.clone(),
        Arc::clone(&saying),
    ));
    let mut last = None;
    let asked = Arc::new(AtomicU8::new(ending::CANCELLED));
    let ends = signal(SignalKind::terminate()).context("cannot hear signals")?;
    tokio::spawn(end_in_order(
        ends,
        Arc::clone(&host.engine),
        id.clone(),
        Arc::clone(&asked),
    ));
    while let Some(record) = follow.next().await {
        progress.show(&record);
        last = Some(record);
    }
    // What an interrupt says comes out before the end.
    drop(saying.lock().await);
    progress.end();
    let mut record = last.context("the run is gone")?;
    if progress.tells() {
        // What was told is not told again.
        let log = std::mem::take(&mut record.log);
        let kept = log
            .into_iter()
            .filter(|line| progress::waits(line, &record));
        record.log = kept.collect();
    }
    Ok((record, asked.load(Ordering::SeqCst)))
}

/// Whoever runs this process asks for its end: the run is cancelled, and puts away in order what it has under way.
async fn end_in_order(mut ends: Signal, engine: Arc<Engine>, run: RunId, asked: Arc<AtomicU8>) {
    if ends.recv().await.is_some() {
        asked.store(TERMINATED, Ordering::SeqCst);
        let _over_already = engine.cancel(&run);
    }
}

/// The first interrupt cancels the run, which puts away in order what it has under way; the second ends the process, whatever it does by then. `saying` is held while the
/// first is told.
async fn heed(mut interrupts: Signal, engine: Arc<Engine>, run: RunId, saying: Arc<Mutex<()>>) {
    if interrupts.recv().await.is_some() {
        let saying = saying.lock_owned().await;
        let _over_already = engine.cancel(&run);
        // Nobody may read it, which must not keep the second one from being heard.
        tokio::task::spawn_blocking(move || {
            crate::complain("interrupted: the run ends in order; once more ends it at once");
            drop(saying);
        });
    }
    if interrupts.recv().await.is_some() {
        std::process::exit(ending::CANCELLED.into());
    }
}

fn as_json(record: &RunRecord, preview: Option<Vec<StagePreview>>) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(record)?;
    if let (Some(preview), Some(object)) = (preview, value.as_object_mut()) {
        object.insert("preview".into(), serde_json::to_value(preview)?);
    }
    Ok(serde_json::to_string_pretty(&value)?)
}
