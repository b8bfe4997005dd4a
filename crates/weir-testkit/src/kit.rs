//! What a test says before plugins start: which ones, with which settings, and what the world around them is like. Starting is `world.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::component::FileName;
use serde_json::Value;

use crate::blocking;
use crate::error::KitError;
use crate::fakes::clock;
use crate::running::Running;
use crate::upstream::Upstream;
use crate::watch::Seeds;
use crate::world::World;

/// A host for tests: plugins, and a world around them that a test has in its hands.
///
/// Nothing is granted that the settings do not grant: a plugin that would be refused by a server is refused here, with the same words.
/// Without [`Kit::settings`] the file `<name>.toml` beside the component counts, as in a plugins folder.
///
/// ```no_run
/// use weir_testkit::Kit;
///
/// # fn main() -> Result<(), weir_testkit::KitError> {
/// let hello = Kit::new().plugin("hello.wasm").start_blocking()?;
/// hello.chat("hi").assert_text("hello hi").assert_fuel_below(1_000_000);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a kit does nothing until it is started"]
pub struct Kit {
    pub(crate) plugins: Vec<PluginFile>,
    pub(crate) upstream: Vec<Upstream>,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) preferences: BTreeMap<String, Vec<String>>,
    pub(crate) now: SystemTime,
    pub(crate) clock_runs: bool,
    pub(crate) patience: Duration,
    pub(crate) cache: Option<PathBuf>,
    /// What was said before there was a plugin to say it of.
    pub(crate) too_early: Option<&'static str>,
}

/// One plugin of a kit.
#[derive(Debug)]
pub(crate) struct PluginFile {
    pub(crate) path: PathBuf,
    /// The settings a test gave; none: the file beside the component.
    pub(crate) settings: Option<String>,
    pub(crate) seeds: Seeds,
}

impl Default for Kit {
    fn default() -> Self {
        Self::new()
    }
}

impl Kit {
    /// A kit without plugins. Its clock stands at 2026-01-01 00:00:00 UTC.
    pub fn new() -> Self {
        Self {
            plugins: Vec::new(),
            upstream: Vec::new(),
            secrets: BTreeMap::new(),
            preferences: BTreeMap::new(),
            now: clock::default(),
            clock_runs: false,
            patience: Duration::from_secs(10),
            cache: None,
            too_early: None,
        }
    }

    /// Adds a plugin: the path of its component. The first one is the one that calls go to ([`Running::on`] chooses another); plugins start
    /// in the order of their dependencies. `settings`, `valves` and `state` after it are about it.
    pub fn plugin(mut self, component: impl AsRef<Path>) -> Self {
        self.plugins.push(PluginFile {
            path: component.as_ref().to_owned(),
            settings: None,
            seeds: Seeds::default(),
        });
        self
    }

    /// The operator's settings of the plugin added last, as TOML text: what would be in `<name>.toml` beside it, in whose place it is taken.
    pub fn settings(self, toml: &str) -> Self {
        self.last("settings", |plugin| plugin.settings = Some(toml.to_owned()))
    }

    /// Values for valves of the plugin added last, as people set them, kept from before its start. An object.
    pub fn valves(self, values: &Value) -> Self {
        self.last("valves", |plugin| {
            plugin.seeds.valves = Some(values.to_string())
        })
    }

    /// A key of the state of the plugin added last that is there before it starts.
    pub fn state(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let entry = (key.to_owned(), value.as_ref().to_vec());
        self.last("state", |plugin| plugin.seeds.state.push(entry))
    }

    /// A route of the fake upstream. A request that no route covers fails, and the failure names it.
    pub fn upstream(mut self, route: Upstream) -> Self {
        self.upstream.push(route);
        self
    }

    /// A secret of the host. A plugin gets it only with a grant of its name.
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Of several plugins that provide a capability, the ones to prefer, the first first.
    pub fn prefer(mut self, capability: &str, plugins: &[&str]) -> Self {
        let plugins = plugins.iter().map(|p| (*p).to_owned()).collect();
        self.preferences.insert(capability.to_owned(), plugins);
        self
    }

    /// Sets the clock. It stands still until [`Running::advance`] moves it. Deadlines of calls are real time all the same.
    pub fn now(mut self, now: SystemTime) -> Self {
        self.now = now;
        self
    }

    /// Lets the clock run on from where it was set.
    pub fn clock_runs(mut self) -> Self {
        self.clock_runs = true;
        self
    }

    /// How long a call waits for events and casts that it caused, 10 seconds if nothing is said.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The folder for compiled code, so that the next run is quick; a folder `weir/testkit` in the user's caches if nothing is said. Only
    /// its owner may be able to write to it.
    pub fn cache(mut self, folder: impl AsRef<Path>) -> Self {
        self.cache = Some(folder.as_ref().to_owned());
        self
    }

    /// Starts the plugins, on threads of the kit's own, and waits until those who subscribe to it have heard of it.
    ///
    /// # Errors
    /// [`KitError`]; plugins that do not start are all named with their reasons.
    pub async fn start(self) -> Result<Running, KitError> {
        let running = World::start(self).await.map(Running::new)?;
        running.settle().await;
        Ok(running)
    }

    /// Starts the plugins, for tests that are not `async`.
    ///
    /// # Errors
    /// As [`Kit::start`]; and if it is called from `async` code, where [`Kit::start`] is the one to use.
    pub fn start_blocking(self) -> Result<blocking::Running, KitError> {
        if tokio::runtime::Handle::try_current().is_ok() {
            let words =
                "Kit::start_blocking is for code that is not async; here use Kit::start().await";
            return Err(KitError::Given(words.into()));
        }
        blocking::start(self)
    }

    fn last(mut self, what: &'static str, change: impl FnOnce(&mut PluginFile)) -> Self {
        match self.plugins.last_mut() {
            Some(plugin) => change(plugin),
            None => self.too_early = self.too_early.or(Some(what)),
        }
        self
    }
}

impl PluginFile {
    /// The file's name, as a plugins folder would have it.
    pub(crate) fn name(&self) -> Result<FileName, KitError> {
        let name = self.path.file_name().and_then(|n| n.to_str());
        FileName::new(name.unwrap_or_default()).map_err(|e| KitError::Unusable {
            path: self.path.display().to_string(),
            reason: e.to_string(),
        })
    }

    /// The component's bytes.
    pub(crate) fn read(&self) -> Result<Vec<u8>, KitError> {
        let path = || self.path.display().to_string();
        std::fs::read(&self.path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => KitError::NoFile { path: path() },
            _ => KitError::Unusable {
                path: path(),
                reason: e.to_string(),
            },
        })
    }

    /// Its settings: given by the test, or the file beside the component, if there is one.
    pub(crate) fn settings_text(&self, name: &FileName) -> Result<Option<String>, KitError> {
        if self.settings.is_some() {
            return Ok(self.settings.clone());
        }
        let beside = self.path.with_file_name(name.settings_file());
        match std::fs::read_to_string(&beside) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(KitError::Unusable {
                path: beside.display().to_string(),
                reason: e.to_string(),
            }),
        }
    }
}
