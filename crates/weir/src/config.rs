//! The host configuration: `weir.toml`, then the environment, then the command line. All that is wrong is reported at once, with
//! file and key, before a socket opens.

mod written;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Quarantine;
use model::egress::{Network, OriginRule};
use model::limits::Limits;
use model::settings::{WrittenSettings, limits_from};
use sandbox::{Allocation, CompileLimits};
use server::{Compat, Cors, HttpLimits};

use crate::cli::{CompatArg, ServeArgs};
use crate::secret;
use written::Written;

/// A checked host configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) plugins: PathBuf,
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
    pub(crate) runtime: Runtime,
    pub(crate) settings: BTreeMap<String, WrittenSettings>,
    /// Components to fetch at start (`PIPELINES_URLS`).
    pub(crate) urls: Vec<String>,
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
    let add = Add {
        allow: parse_all("add.allow", &written.add.allow, &mut said),
        private: parse_all("add.private", &written.add.private, &mut said),
    };
    let runtime = written.runtime.check(&mut said);
    wrong.extend(said.into_iter().map(|s| format!("{}: {s}", file.display())));
    Config {
        listen: listen(arguments, env, written.listen, wrong),
        plugins: path(
            arguments.plugins.clone(),
            env("PIPELINES_DIR"),
            written.plugins_dir,
            "plugins",
        ),
        data: path(
            arguments.data.clone(),
            env("WEIR_DATA"),
            written.data_dir,
            "data",
        ),
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
        runtime,
        settings: written.plugins,
        urls: urls(env),
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
    match secret::read(written, base) {
        Ok(key) => Some((key, format!("key = {written:?}"))),
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
