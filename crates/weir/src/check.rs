//! `weir check`: reads host configurations and pipeline specs and loads components as a host would, and says what they are and all that is wrong with them.

pub(crate) mod asked;
mod report;
mod spec;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use engine::PluginStatus;
use model::component::ComponentFile;
use model::error::LoadError;
use model::grants::Capability;
use model::limits::Limits;
use model::plugin::{About, Admission};
use model::settings::{PluginSettings, WrittenSettings};

use crate::cli::{CheckArgs, ServeArgs};
use crate::config::Config;
use crate::one_file::{NoValves, OneFile, file_name};
use crate::wiring::Reach;
use crate::{Failure, config, logs, say, wiring};
use report::Report;
use spec::Specs;

/// Checks every file; fails at the end if any was bad.
pub(crate) fn run(arguments: &CheckArgs) -> Result<(), Failure> {
    logs::start(Some("error"));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let specs = Specs::new(&arguments.files, arguments.config.as_deref())?;
    let (mut bad, mut reports) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        let report = if file.extension().is_some_and(|e| e == "toml") {
            Report::of_config(file, check_config(file))
        } else if spec::is_spec(file) {
            Report::of_spec(file, specs.check(file))
        } else {
            runtime.block_on(check_component(file, arguments.config.as_deref()))
        };
        if !arguments.json {
            if report.is_good() {
                say(&report.to_string());
            } else {
                bad.push(report.to_string());
            }
        }
        reports.push(report);
    }
    if arguments.json {
        let all = serde_json::to_string_pretty(&reports).context("a report is no JSON")?;
        say(&all);
        bad.push("not every file would do; the reasons are in \"refused\" and \"problems\"".into());
    }
    if reports.iter().all(Report::is_good) {
        Ok(())
    } else {
        Err(Failure::Data(bad.join("\n")))
    }
}

fn check_config(file: &Path) -> Result<String, String> {
    let config = host_config(Some(file), None)?;
    Ok(format!(
        "listens on {}, plugins in {}, data in {}, settings for {} plugins",
        config.listen,
        config.plugins,
        config.data.display(),
        config.settings.len()
    ))
}

/// The configuration that a host would have.
pub(crate) fn host_config(file: Option<&Path>, data: Option<&Path>) -> Result<Config, String> {
    let arguments = ServeArgs {
        config: file.map(Path::to_owned),
        data: data.map(Path::to_owned),
        ..ServeArgs::default()
    };
    config::load(&arguments, &|name| std::env::var(name).ok())
}

/// Prints the schema of pipeline specs.
pub(crate) fn schema() -> Result<(), Failure> {
    let schema = engine::spec::schema(&spec::stages()?);
    let text = serde_json::to_string_pretty(&schema).context("the schema is no JSON")?;
    say(&text);
    Ok(())
}

/// Loads one component in a host of its own, whose data is thrown away.
async fn check_component(file: &Path, config: Option<&Path>) -> Report {
    let failed = |reason: String| Report::refused(file, reason);
    let seen = match Seen::of(file, config).await {
        Ok(seen) => seen,
        Err(e) => return failed(format!("{e:#}")),
    };
    let about = match &seen.about {
        Ok(about) => about,
        Err(e) => return failed(e.to_string()),
    };
    let settings = match &seen.settings {
        Ok(settings) => settings,
        Err(e) => return Report::new(file, about, &seen.imports, None).with_refusal(e.clone()),
    };
    let report = Report::new(file, about, &seen.imports, Some((settings, &seen.place)));
    let loaded = load(file, &[], config, None).await;
    match loaded {
        Ok(loaded) => {
            let report = report.with_load(&loaded.plugin);
            let within = std::time::Duration::from_secs(5);
            loaded.host.engine.shutdown(within).await;
            report
        }
        Err(e) => report.with_refusal(format!("{e:#}")),
    }
}

/// A component as it is before any grant is looked at, and the settings it would have.
pub(crate) struct Seen {
    pub(crate) about: Result<Arc<About>, LoadError>,
    /// Interfaces it imports.
    pub(crate) imports: Vec<String>,
    /// All that is wrong with its settings, if something is.
    settings: Result<PluginSettings, String>,
    /// Where they are, or would be, written.
    place: String,
}

impl Seen {
    /// Looks into a component.
    pub(crate) async fn of(file: &Path, config: Option<&Path>) -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("no folder for temporary files")?;
        let config = host_config(config, Some(data.path())).map_err(anyhow::Error::msg)?;
        let compiled = cache_folder().unwrap_or_else(|| data.path().join("compiled"));
        let none = Arc::new(OneFile::new(file, &[])?);
        let host = wiring::host_with(
            &config,
            none,
            Arc::new(NoValves),
            &compiled,
            Reach::configured(&config),
        )?;
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        let name = file_name(file)?;
        let settings_file = name.settings_file();
        let component = ComponentFile {
            name,
            bytes: bytes.clone().into(),
        };
        let admission = Admission {
            limits: Limits::defaults(),
            grantable: BTreeSet::from(Capability::ALL),
            settings_file: settings_file.clone(),
        };
        let inspected = host.loader.inspect(component, admission).await;
        let about = inspected.map(|candidate| Arc::clone(candidate.about()));
        let id = about.as_ref().map_or("", |a| a.manifest.id.as_str());
        let beside = file.with_file_name(&settings_file);
        let (settings, place) = settings(&config, &beside, id);
        Ok(Self {
            about,
            imports: asked::imports(&bytes),
            settings,
            place,
        })
    }
}

/// The settings of a component, and where they are written: the file beside it, if there is one, else the host configuration's entry.
fn settings(config: &Config, beside: &Path, id: &str) -> (Result<PluginSettings, String>, String) {
    let file = beside.display().to_string();
    let check = |written: &WrittenSettings, place: &str| {
        let checked = written.check(&config.defaults, &config.ceilings);
        checked.map_err(|wrong| format!("{place}: {}", wrong.join("; ")))
    };
    match std::fs::read_to_string(beside) {
        Ok(text) => {
            let written = toml::from_str(&text).map_err(|e| format!("{file}: {e}"));
            (written.and_then(|w| check(&w, &file)), file)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => match config.settings.get(id) {
            Some(written) => {
                let place = format!("[plugins.{id:?}] of the host configuration");
                (check(written, &place), place)
            }
            None => (Ok(PluginSettings::default()), file),
        },
        Err(e) => (Err(format!("{file}: {e}")), file),
    }
}

/// A component in a host of its own.
pub(crate) struct Loaded {
    pub(crate) host: wiring::Host,
    pub(crate) plugin: PluginStatus,
    /// Where its state lies, as long as this is not dropped.
    pub(crate) _data: tempfile::TempDir,
}

/// Loads a component as a host with this configuration would, and those it works with. `valves`: start values over all others.
pub(crate) async fn load(
    file: &Path,
    with: &[PathBuf],
    config: Option<&Path>,
    valves: Option<&str>,
) -> anyhow::Result<Loaded> {
    let data = tempfile::tempdir().context("no folder for temporary files")?;
    let config = host_config(config, Some(data.path())).map_err(anyhow::Error::msg)?;
    let compiled = cache_folder().unwrap_or_else(|| data.path().join("compiled"));
    let components = Arc::new(OneFile::new(file, with)?);
    let host = wiring::host_with(
        &config,
        components,
        Arc::new(NoValves),
        &compiled,
        Reach::configured(&config),
    )?;
    let report = host.engine.sync().await;
    if let Some(error) = report.error {
        return Err(error.into());
    }
    let name = file_name(file)?;
    let plugin = host
        .engine
        .plugins()
        .into_iter()
        .find(|p| p.file == name)
        .context("the file is gone")?;
    if let (Some(json), Some(id)) = (valves, &plugin.id) {
        let values = serde_json::from_str(json).context("--valves is not a JSON object")?;
        host.engine.update_valves(id.as_str(), values).await?;
    }
    Ok(Loaded {
        host,
        plugin,
        _data: data,
    })
}

/// Compiled code is kept between runs, where the user's caches are.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    Some(base.join("weir/compiled"))
}
