//! The host configuration: `weir.toml`, then the environment, then the command line. All that is wrong is reported at once, with
//! file and key, before a socket opens.

mod bronze;
mod pipelines;
mod silver;
mod written;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters::secrets::SecretSource;
use engine::{Quarantine, Supervision};
use model::egress::{Network, OriginRule};
use model::id::PluginId;
use model::limits::Limits;
use model::settings::{WrittenSettings, is_secret_name, limits_from};
use sandbox::{Allocation, CompileLimits};
use server::{Compat, Cors, HttpLimits};

use crate::cli::{CompatArg, ServeArgs};
use crate::secret;
use written::{OneOrMore, Written, WrittenStore};

pub(crate) use bronze::{ArchivePlace, Bronze};
pub(crate) use pipelines::Pipelines;
pub(crate) use silver::Silver;

/// A checked host configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// The plugins folders; new files go to the first.
    pub(crate) plugins: Folders,
    pub(crate) data: PathBuf,
    pub(crate) compat: Compat,
    /// The operator's key and where it was set.
    pub(crate) key: Option<(String, String)>,
    pub(crate) http: HttpLimits,
    pub(crate) cors: Cors,
    pub(crate) defaults: Limits,
    pub(crate) ceilings: Limits,
    pub(crate) add: Add,
    pub(crate) quarantine: Quarantine,
    pub(crate) supervision: Supervision,
    pub(crate) pipelines: Pipelines,
    pub(crate) store: Store,
    pub(crate) bronze: Bronze,
    pub(crate) silver: Silver,
    pub(crate) runtime: Runtime,
    /// Named secrets that plugins may be granted.
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    /// Of plugins that provide the same capability, those to prefer.
    pub(crate) preferences: BTreeMap<String, Vec<PluginId>>,
    pub(crate) settings: BTreeMap<String, WrittenSettings>,
    /// Components to fetch at start (`PIPELINES_URLS`).
    pub(crate) urls: Vec<String>,
}

/// One folder or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folders {
    pub(crate) first: PathBuf,
    pub(crate) others: Vec<PathBuf>,
}

impl Folders {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.first)
            .chain(&self.others)
            .map(PathBuf::as_path)
    }

    /// None of nothing.
    fn of(paths: impl IntoIterator<Item = PathBuf>) -> Option<Self> {
        let mut paths = paths.into_iter();
        Some(Self {
            first: paths.next()?,
            others: paths.collect(),
        })
    }
}

impl std::fmt::Display for Folders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first.display())?;
        self.others
            .iter()
            .try_for_each(|folder| write!(f, ", {}", folder.display()))
    }
}

/// Where plugins may be added from by URL.
#[derive(Debug, Default)]
pub(crate) struct Add {
    pub(crate) allow: Vec<OriginRule>,
    pub(crate) private: Vec<Network>,
}

/// What the sandbox may use.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) max_instances: u32,
    pub(crate) cache_bytes: u64,
    pub(crate) allocation: Option<Allocation>,
    pub(crate) compile: CompileLimits,
    pub(crate) load_parallel: usize,
    pub(crate) boot_wait: Duration,
}

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "weir.toml";

/// Reads the configuration for `serve`.
///
/// # Errors
/// All that is wrong, a line each.
pub(crate) fn load(
    arguments: &ServeArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, String> {
    let (file, written) = read(arguments.config.as_deref())?;
    let mut wrong = Vec::new();
    let config = check(arguments, env, &file, written, &mut wrong);
    if wrong.is_empty() {
        Ok(config)
    } else {
        Err(wrong.join("\n"))
    }
}

/// The API key of the server that would run here: by the key in `weir.toml`, else the one `weir serve` made in the data folder.
///
/// # Errors
/// Where it was looked for.
pub(crate) fn local_key(env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (file, written) = read(None)?;
    let base = file.parent().unwrap_or(Path::new("."));
    if let Some(reference) = &written.key {
        return match secret::source(reference, base, env) {
            Ok((_, key)) => Ok(key),
            Err(e) => Err(format!("{}: key: {e}", file.display())),
        };
    }
    let data = path(None, env("WEIR_DATA"), written.data_dir, "data");
    let place = crate::key::place(&data);
    match std::fs::read_to_string(&place) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(e) => Err(format!("{}: {e}", place.display())),
    }
}

/// Where runs, schedules and checkpoints are kept.
#[derive(Clone)]
pub(crate) enum Store {
    /// A file in the data folder.
    File,
    /// A PostgreSQL database, which servers may share.
    Postgres {
        url: String,
        password: Option<String>,
    },
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "File",
            Self::Postgres { .. } => "Postgres(..)",
        })
    }
}

/// The configuration file's content; an empty one where none was named and none is there.
fn read(named: Option<&Path>) -> Result<(PathBuf, Written), String> {
    let file = named.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(format!("{}: {e}", file.display())),
    };
    let written = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok((file, written))
}

fn check(
    arguments: &ServeArgs,
    env: &dyn Fn(&str) -> Option<String>,
    file: &Path,
    written: Written,
    wrong: &mut Vec<String>,
) -> Config {
    let mut said = Vec::new();
    let base = file.parent().unwrap_or(Path::new("."));
    let mut ceilings = Limits::ceilings();
    for (name, value) in &written.ceilings {
        // A ceiling may be raised as well as lowered: it is the operator's own machine.
        let free = Limits::unlimited();
        if let Err(e) = ceilings.set(name, *value, &free) {
            said.push(format!("ceilings.{name}: {e}"));
        }
    }
    let defaults = limits_from(&written.limits, &Limits::defaults(), &ceilings, &mut said);
    for (id, settings) in &written.plugins {
        if let Err(problems) = settings.check(&defaults, &ceilings) {
            said.extend(problems.into_iter().map(|p| format!("plugins.{id}.{p}")));
        }
    }
    let key = operator_key(env, written.key.as_deref(), base, &mut said);
    let secrets = secrets(env, &written.secrets, base, &mut said);
    let preferences = preferences(&written.capabilities, &mut said);
    let plugins = folders(arguments, env, written.plugins_dir, &mut said);
    let add = Add {
        allow: parse_all("add.allow", &written.add.allow, &mut said),
        private: parse_all("add.private", &written.add.private, &mut said),
    };
    let data = path(
        arguments.data.clone(),
        env("WEIR_DATA"),
        written.data_dir,
        "data",
    );
    let pipelines = written.pipelines.check(&data, &mut said);
    let store = store(env, written.store, base, &mut said);
    let bronze = written.bronze.check(&data, base, env, &mut said);
    let silver = written.silver.check(&data);
    let runtime = written.runtime.check(&mut said);
    wrong.extend(said.into_iter().map(|s| format!("{}: {s}", file.display())));
    Config {
        listen: listen(arguments, env, written.listen, wrong),
        plugins,
        data,
        compat: match arguments.compat.or(written.compat) {
            Some(CompatArg::Strict) => Compat::Strict,
            Some(CompatArg::Default) | None => Compat::Default,
        },
        key,
        http: written.http.limits(),
        cors: Cors {
            allow: written.http.cors,
        },
        defaults,
        ceilings,
        add,
        quarantine: written.quarantine.value(),
        supervision: written.supervision.value(),
        pipelines,
        store,
        bronze,
        silver,
        runtime,
        secrets,
        preferences,
        settings: written.plugins,
        urls: urls(env),
    }
}

/// The password is read once, at the start.
fn store(
    env: &dyn Fn(&str) -> Option<String>,
    written: WrittenStore,
    base: &Path,
    said: &mut Vec<String>,
) -> Store {
    let Some(url) = written.url else {
        if written.password.is_some() {
            said.push(
                "store.password: given without store.url, whose database it would be for".into(),
            );
        }
        return Store::File;
    };
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        said.push(
            "store.url: the URL of a PostgreSQL database is needed, postgres://user@host/database"
                .into(),
        );
    }
    let password = written.password.and_then(|reference| {
        let found = secret::source(&reference, base, env);
        found
            .map_err(|e| said.push(format!("store.password: {e}")))
            .ok()
    });
    Store::Postgres {
        url,
        password: password.map(|(_, value)| value),
    }
}

/// `PIPELINES_URLS` is separated by semicolons, as the reference's start script has it.
fn urls(env: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let list = env("PIPELINES_URLS").unwrap_or_default();
    let trimmed = list
        .split(';')
        .map(|u| u.trim().trim_matches('"').to_owned());
    trimmed.filter(|u| !u.is_empty()).collect()
}

/// By the command line, else by `PIPELINES_DIR` (several separated as in `PATH`), else by the file.
fn folders(
    arguments: &ServeArgs,
    env: &dyn Fn(&str) -> Option<String>,
    written: Option<OneOrMore>,
    said: &mut Vec<String>,
) -> Folders {
    if written.as_ref().is_some_and(OneOrMore::is_empty) {
        said.push("plugins_dir: an empty list was given; one folder or more is needed".into());
    }
    let named =
        |paths: Vec<PathBuf>| Folders::of(paths.into_iter().filter(|p| !p.as_os_str().is_empty()));
    named(arguments.plugins.clone())
        .or_else(|| named(std::env::split_paths(&env("PIPELINES_DIR")?).collect()))
        .or_else(|| named(written?.into()))
        .unwrap_or_else(|| Folders {
            first: "plugins".into(),
            others: Vec::new(),
        })
}

/// Every secret's source. A file is read once to see that it can be.
fn secrets(
    env: &dyn Fn(&str) -> Option<String>,
    written: &BTreeMap<String, String>,
    base: &Path,
    said: &mut Vec<String>,
) -> BTreeMap<String, SecretSource> {
    let mut sources = BTreeMap::new();
    for (name, reference) in written {
        let source = if is_secret_name(name) {
            secret::source(reference, base, env)
        } else {
            Err("a name of a secret is 1 to 64 of A-Z a-z 0-9 _ - .".into())
        };
        match source {
            Ok((source, _)) => {
                sources.insert(name.clone(), source);
            }
            Err(e) => said.push(format!("secrets.{name}: {e}")),
        }
    }
    sources
}

fn preferences(
    written: &BTreeMap<String, Vec<String>>,
    said: &mut Vec<String>,
) -> BTreeMap<String, Vec<PluginId>> {
    let mut all = BTreeMap::new();
    for (capability, ids) in written {
        let mut preferred: Vec<PluginId> = Vec::new();
        for id in ids {
            match PluginId::new(id) {
                Ok(id) if preferred.contains(&id) => {
                    said.push(format!("capabilities.{capability}: {id} is named twice"));
                }
                Ok(id) => preferred.push(id),
                Err(e) => said.push(format!("capabilities.{capability}: {e}")),
            }
        }
        all.insert(capability.clone(), preferred);
    }
    all
}

fn path(
    argument: Option<PathBuf>,
    env: Option<String>,
    written: Option<PathBuf>,
    default: &str,
) -> PathBuf {
    argument
        .or_else(|| env.filter(|e| !e.is_empty()).map(PathBuf::from))
        .or(written)
        .unwrap_or_else(|| default.into())
}

fn listen(
    arguments: &ServeArgs,
    env: &dyn Fn(&str) -> Option<String>,
    written: Option<SocketAddr>,
    wrong: &mut Vec<String>,
) -> SocketAddr {
    let default = written.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9099));
    if let Some(address) = arguments.listen {
        return address;
    }
    let given = |name: &str| env(name).filter(|v| !v.is_empty());
    let host = given("HOST").map_or(Ok(default.ip()), |h| match h.as_str() {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        other => other
            .parse()
            .map_err(|_| format!("HOST: {h:?} is not an IP address")),
    });
    let port = given("PORT").map_or(Ok(default.port()), |p| {
        p.parse()
            .map_err(|_| format!("PORT: {p:?} is not a port, 0 to 65535"))
    });
    match (host, port) {
        (Ok(host), Ok(port)) => SocketAddr::new(host, port),
        (host, port) => {
            wrong.extend(host.err());
            wrong.extend(port.err());
            default
        }
    }
}

fn operator_key(
    env: &dyn Fn(&str) -> Option<String>,
    written: Option<&str>,
    base: &Path,
    said: &mut Vec<String>,
) -> Option<(String, String)> {
    if let Some(key) = env("PIPELINES_API_KEY").filter(|k| !k.is_empty()) {
        return Some((key, "PIPELINES_API_KEY".into()));
    }
    let written = written?;
    match secret::source(written, base, env) {
        Ok((_, key)) => Some((key, format!("key = {written:?}"))),
        Err(e) => {
            said.push(format!("key: {e}"));
            None
        }
    }
}

fn parse_all<T: std::str::FromStr>(key: &str, texts: &[String], said: &mut Vec<String>) -> Vec<T>
where
    T::Err: std::fmt::Display,
{
    let parsed = texts.iter().filter_map(|t| match t.parse() {
        Ok(value) => Some(value),
        Err(e) => {
            said.push(format!("{key}: {e}"));
            None
        }
    });
    parsed.collect()
}

#[cfg(test)]
mod tests;
