//! What a run on this machine needs: the spec, the pipelines that it names, from beside it, and a host with the plugins that are its stages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapters::references::AllowedReferences;
use adapters::stages::Console;
use anyhow::Context;
use engine::spec::{self, Alone, Known, Problem, id_of_file};
use model::access::{Access, Files};
use model::id::PipelineId;
use model::pipeline::{Flow, Pipeline, StageKind, Step, Work};

use crate::config::Config;
use crate::one_file::{NoValves, OneFile};
use crate::wiring::{self, Host, Reach};
use crate::{Failure, check};

use super::RunArgs;

/// How long plugins may take to stop.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A host for one run.
pub(super) struct Local {
    pub(super) host: Host,
    pub(super) pipeline: Arc<Pipeline>,
    /// Where plugins' state lies, as long as this is not dropped.
    _data: tempfile::TempDir,
}

impl Local {
    pub(super) async fn new(arguments: &RunArgs) -> Result<Self, Failure> {
        let data = tempfile::tempdir().context("no folder for temporary files")?;
        let config = check::host_config(arguments.config.as_deref(), Some(data.path()));
        let config = config.map_err(Failure::Data)?;
        let here = std::env::current_dir().context("there is no folder here")?;
        let compiled = check::cache_folder().unwrap_or_else(|| data.path().join("compiled"));
        let plugins = plugin_files(&arguments.plugins, &config)?;
        let reach = Reach {
            access: Access {
                files: Files::Anywhere(here.clone()),
                http: None,
                databases: None,
            },
            references: Arc::new(AllowedReferences::all(here, |name| {
                std::env::var(name).ok()
            })),
            work: arguments.work.clone(),
            console: console(arguments.json),
            // What is in the folder is whose folder it is.
            keep: None,
            durability: None,
            raw: None,
            state: None,
            silver: None,
        };
        let components = Arc::new(OneFile::of(&plugins)?);
        let host = wiring::host_with(&config, components, Arc::new(NoValves), &compiled, reach)?;
        // Of those that were killed: others may be under way.
        host.engine.tidy_runs().await;
        let pipeline = Specs { host: &host }.load(&arguments.spec).await?;
        Ok(Self {
            host,
            pipeline: Arc::new(pipeline),
            _data: data,
        })
    }
}

/// Where the sink `console` shows records: standard output is the run's, if that is asked for as JSON.
fn console(json: bool) -> Console {
    if json {
        Console::new(std::io::stderr(), None)
    } else {
        Console::new(std::io::stdout(), None)
    }
}

/// The plugins to choose from: those named, else those in the plugins folders.
fn plugin_files(named: &[PathBuf], config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let mut files = BTreeMap::new();
    for folder in config.plugins.all() {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| folder.display().to_string()),
        };
        for entry in entries {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            if path.extension().is_some_and(|e| e == "wasm")
                && let Some(name) = path.file_name()
            {
                // Of two of one name the first folder's counts, as on a server.
                files.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    Ok(files.into_values().collect())
}

/// Reads specs into a host.
struct Specs<'a> {
    host: &'a Host,
}

impl Specs<'_> {
    /// Reads the spec; first by itself, to learn what it needs: the pipelines that it names are registered, and plugins loaded if it or they name one.
    async fn load(&self, path: &Path) -> Result<Pipeline, Failure> {
        let engine = &self.host.engine;
        let pipeline = self.read(path, &Alone)?;
        let (mut wanted, mut found) = (used(&pipeline), BTreeMap::new());
        while let Some(id) = wanted.pop() {
            if id == pipeline.id || found.contains_key(&id) {
                continue;
            }
            // One that is not there is told with its place in the spec, below.
            if let Some(file) = beside(path, &id) {
                let other = self.read(&file, &Alone)?;
                wanted.extend(used(&other));
                found.insert(id, (file, other));
            }
        }
        if names_plugin(&pipeline) || found.values().any(|(_, p)| names_plugin(p)) {
            let report = engine.sync().await;
            if let Some(error) = report.error {
                return Err(Failure::Other(error.into()));
            }
            for (file, error) in report.failed {
                crate::complain(&format!("{file}: {error}"));
            }
        }
        for (file, other) in found.into_values() {
            let text = text(&file)?;
            let added = engine.register(other, &text).await;
            added.map_err(|e| Failure::Data(format!("{}: {e}", file.display())))?;
        }
        self.read(path, &**engine)
    }

    fn read(&self, path: &Path, known: &dyn Known) -> Result<Pipeline, Failure> {
        let file = path.display().to_string();
        let natives = self.host.engine.natives();
        spec::read(&text(path)?, &file, natives, known).map_err(|problems| wrong(&problems))
    }
}

/// The pipelines that one names.
fn used(pipeline: &Pipeline) -> Vec<PipelineId> {
    spec::uses(pipeline).into_iter().cloned().collect()
}

/// All problems, a line each.
fn wrong(problems: &[Problem]) -> Failure {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    Failure::Data(lines.join("\n"))
}

fn text(path: &Path) -> Result<String, Failure> {
    let read = std::fs::read_to_string(path);
    read.map_err(|e| Failure::Data(format!("{}: {e}", path.display())))
}

/// The spec of this pipeline in the folder of another.
fn beside(path: &Path, id: &PipelineId) -> Option<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.to_str()
                .is_some_and(|p| p.contains(".pipeline.") && id_of_file(p) == id.as_str())
        })
        .collect();
    files.sort();
    files.into_iter().next()
}

/// Is a stage of it, or of a pipeline written within it, a plugin?
fn names_plugin(pipeline: &Pipeline) -> bool {
    let within = |step: &Step| match step {
        Step::Named { .. } => false,
        Step::Inline(pipeline) => names_plugin(pipeline),
    };
    match &pipeline.work {
        Work::Flow(Flow {
            source,
            transforms,
            sinks,
            incremental: _,
        }) => {
            let mut stages = std::iter::once(source).chain(transforms).chain(sinks);
            stages.any(|stage| matches!(stage.kind, StageKind::Plugin { .. }))
        }
        Work::Sequential { pipelines, .. } | Work::Parallel { pipelines, .. } => {
            pipelines.iter().any(within)
        }
        Work::Conditional {
            then, otherwise, ..
        } => within(then) || otherwise.as_deref().is_some_and(within),
        Work::Retry { pipeline, .. } => within(pipeline),
    }
}
