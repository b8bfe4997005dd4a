//! `weir check`: reads host configurations and loads components as a host would, and says all that is wrong with them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use engine::PluginStatus;
use model::limits::Limit;

use crate::cli::{CheckArgs, ServeArgs};
use crate::one_file::{NoValves, OneFile};
use crate::{Failure, config, logs, say, wiring};

/// Checks every file; fails at the end if any was bad.
pub(crate) fn run(arguments: &CheckArgs) -> Result<(), Failure> {
    logs::start(Some("error"));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let mut bad = Vec::new();
    for file in &arguments.files {
        let outcome = if file.extension().is_some_and(|e| e == "toml") {
            check_config(file)
        } else {
            runtime.block_on(check_component(file, arguments.config.as_deref()))
        };
        match outcome {
            Ok(text) => say(&format!("{}: ok\n{text}", file.display())),
            Err(text) => bad.push(format!("{}: {text}", file.display())),
        }
    }
    if bad.is_empty() {
        Ok(())
    } else {
        Err(Failure::Data(bad.join("\n")))
    }
}

fn check_config(file: &Path) -> Result<String, String> {
    let arguments = ServeArgs {
        config: Some(file.to_owned()),
        ..ServeArgs::default()
    };
    let config = config::load(&arguments, &|name| std::env::var(name).ok())?;
    Ok(format!(
        "  listens on {}, plugins in {}, data in {}, settings for {} plugins",
        config.listen,
        config.plugins.display(),
        config.data.display(),
        config.settings.len()
    ))
}

/// Loads one component in a host of its own, whose data is thrown away.
async fn check_component(file: &Path, config: Option<&Path>) -> Result<String, String> {
    let loaded = load(file, config, None)
        .await
        .map_err(|e| format!("{e:#}"))?;
    let Loaded {
        host,
        plugin,
        _data,
    } = loaded;
    let text = describe(&plugin);
    host.engine
        .shutdown(std::time::Duration::from_secs(5))
        .await;
    match plugin.reason {
        Some(reason) => Err(reason.message),
        None => Ok(text),
    }
}

/// A component in a host of its own.
pub(crate) struct Loaded {
    pub(crate) host: wiring::Host,
    pub(crate) plugin: PluginStatus,
    /// Where its state lies, as long as this is not dropped.
    pub(crate) _data: tempfile::TempDir,
}

/// Loads a component as a host with this configuration would. `valves`: start values over all others.
pub(crate) async fn load(
    file: &Path,
    config: Option<&Path>,
    valves: Option<&str>,
) -> anyhow::Result<Loaded> {
    let data = tempfile::tempdir().context("no folder for temporary files")?;
    let arguments = ServeArgs {
        config: config.map(Path::to_owned),
        data: Some(data.path().to_owned()),
        ..ServeArgs::default()
    };
    let config =
        config::load(&arguments, &|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
    let compiled = cache_folder().unwrap_or_else(|| data.path().join("compiled"));
    let components = Arc::new(OneFile::new(file)?);
    let host = wiring::host_with(&config, components, Arc::new(NoValves), &compiled)?;
    let report = host.engine.sync().await;
    if let Some(error) = report.error {
        return Err(error.into());
    }
    let plugin = host
        .engine
        .plugins()
        .into_iter()
        .next()
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
fn cache_folder() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    Some(base.join("weir/compiled"))
}

fn describe(plugin: &PluginStatus) -> String {
    let Some(about) = &plugin.about else {
        return String::new();
    };
    let list = |names: Vec<&str>| {
        if names.is_empty() {
            "none".into()
        } else {
            names.join(", ")
        }
    };
    let manifest = &about.manifest;
    let mut text = format!(
        "  {} {} ({})\n",
        manifest.id, manifest.version, manifest.name
    );
    // Writing to a String cannot fail.
    let _infallible = writeln!(
        text,
        "  roles: {}",
        list(about.roles.iter().map(|r| r.name()).collect())
    );
    let _infallible = writeln!(
        text,
        "  asks for: {}",
        list(about.asks.iter().map(|c| c.name()).collect())
    );
    if let Some(settings) = &plugin.settings {
        let fuel = settings.limits.get(Limit::StartFuel);
        let memory = settings.limits.get(Limit::MemoryBytes);
        let _infallible = writeln!(
            text,
            "  start used {} of {fuel} fuel and {} of {memory} bytes of memory",
            plugin.usage.fuel, plugin.usage.memory_high_water
        );
    }
    for note in &about.notes {
        let _infallible = writeln!(text, "  note: {note}");
    }
    text.trim_end().to_owned()
}
