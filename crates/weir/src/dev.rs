//! `weir dev`: builds a project, serves it, and builds it again whenever its sources change. Serving and reloading are the server's own: a build
//! that fails, or a component that does not load, leaves the version before at work.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, anyhow};
use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::author::build::{self, Built};
use crate::cli::ServeArgs;
use crate::{Failure, complain, say, serve};

/// Quiet time after the last change: an editor that saves several files causes one build.
const SETTLE: Duration = Duration::from_millis(200);
/// Folders in which nothing is a source.
const NO_SOURCES: [&str; 8] = [
    "target",
    "dist",
    "node_modules",
    "__pycache__",
    "venv",
    ".venv",
    ".git",
    ".mypy_cache",
];
/// Endings of sources.
const SOURCES: [&str; 9] = ["rs", "toml", "py", "js", "mjs", "ts", "json", "wit", "txt"];
/// Files that builds write.
const WRITTEN: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// The options of `dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The port on 127.0.0.1; 0: any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Host configuration, for limits, secrets and `[plugins.<id>]`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder with other plugins that are there, too, such as those it depends on
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
}

/// Builds and serves until told to stop.
pub(crate) fn run(arguments: &DevArgs) -> Result<(), Failure> {
    let dir = arguments
        .dir
        .canonicalize()
        .with_context(|| arguments.dir.display().to_string())?;
    build::language(&dir)?;
    // Changes during the first build count.
    let (changed, changes) = channel();
    let watcher = watch(&dir, changed)?;
    let built = first_build(&dir, &changes)?;
    let dist = built
        .component
        .parent()
        .ok_or_else(|| anyhow!("the component has no folder"))?;
    say(&format!(
        "{}: {} KiB",
        built.component.display(),
        built.bytes.div_ceil(1024)
    ));
    tell_grants(&built.component);
    let project = dir.clone();
    std::thread::Builder::new()
        .name("weir-dev".into())
        .spawn(move || rebuild(&project, &changes))
        .context("cannot start a thread")?;
    let plugins = std::iter::once(dist.to_owned()).chain(arguments.plugins.iter().cloned());
    let served = serve::run(&ServeArgs {
        config: arguments.config.clone(),
        listen: Some(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            arguments.port,
        )),
        plugins: plugins.collect(),
        data: Some(dir.join("target").join("weir-dev")),
        compat: None,
    });
    // Until here: dropping it would end the events.
    drop(watcher);
    served
}

/// What the plugin is granted here: what is in its own settings file.
fn tell_grants(component: &Path) {
    let settings = component.with_extension("toml");
    match std::fs::read_to_string(&settings) {
        Ok(text) => {
            say(&format!("Settings and grants, {}:", settings.display()));
            for line in text.lines().filter(|l| !l.trim().is_empty()) {
                say(&format!("  {line}"));
            }
        }
        Err(_) => say(
            "Settings: none, so nothing is granted; `weir grants suggest` says what it asks for",
        ),
    }
}

fn watch(dir: &Path, changed: Sender<()>) -> Result<RecommendedWatcher, Failure> {
    let root = dir.to_owned();
    let tell = move |event: notify::Result<Event>| {
        let is_source = |path: &PathBuf| is_source(path.strip_prefix(&root).unwrap_or(path));
        let counts = event.is_ok_and(|e| {
            !matches!(e.kind, EventKind::Access(_)) && e.paths.iter().any(is_source)
        });
        if counts {
            // Nobody listens any more: then the command is ending.
            let _ending = changed.send(());
        }
    };
    let mut watcher = notify::recommended_watcher(tell).context("cannot watch the project")?;
    watcher
        .watch(dir, RecursiveMode::Recursive)
        .with_context(|| format!("cannot watch {}", dir.display()))?;
    Ok(watcher)
}

/// Is it a file that people write? The path is the one in the project.
fn is_source(path: &Path) -> bool {
    let inside = path.components().any(|part| match part {
        Component::Normal(name) => NO_SOURCES.iter().any(|n| name == *n),
        _ => false,
    });
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    !inside && !name.starts_with('.') && !WRITTEN.contains(&name) && SOURCES.contains(&ending)
}

/// Builds until it goes well for the first time, again after each change: there is nothing to serve before.
fn first_build(dir: &Path, changes: &Receiver<()>) -> Result<Built, Failure> {
    loop {
        let failure = match build::build(dir) {
            Ok(built) => return Ok(built),
            Err(failure) => failure,
        };
        complain(&format!(
            "{}\nnot built: tried again when a source changes",
            failure
        ));
        if !settled(changes) {
            return Err(failure);
        }
    }
}

/// Builds after each change, until nobody tells of changes any more.
fn rebuild(dir: &Path, changes: &Receiver<()>) {
    while settled(changes) {
        match build::build(dir) {
            Ok(built) => say(&format!(
                "{}: {} KiB, and is loaded now",
                built.component.display(),
                built.bytes.div_ceil(1024)
            )),
            Err(failure) => complain(&format!(
                "{}\nnot built: the version before goes on",
                failure
            )),
        }
    }
}

/// Waits for a change, and then until no more follow; false if nobody tells of changes any more.
fn settled(changes: &Receiver<()>) -> bool {
    let changed = changes.recv().is_ok();
    while changes.recv_timeout(SETTLE).is_ok() {}
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_what_builds_write() {
        for source in [
            "src/lib.rs",
            "Cargo.toml",
            "hello.toml",
            "app.py",
            "wit/world.wit",
            "tests/a.toml",
        ] {
            assert!(is_source(Path::new(source)), "{source}");
        }
        for other in [
            "target/x/lib.rs",
            "dist/hello.toml",
            "Cargo.lock",
            ".lib.rs.swp",
            "src/.#lib.rs",
            "README.md",
            "node_modules/a/b.js",
        ] {
            assert!(!is_source(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_saved_source_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("src")).unwrap();
        let (changed, changes) = channel();
        let Ok(_watcher) = watch(&dir, changed) else {
            panic!("no watcher")
        };
        std::fs::write(dir.join("notes.md"), "no source").unwrap();
        std::fs::write(dir.join("src/lib.rs"), "//! A source").unwrap();
        changes.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
