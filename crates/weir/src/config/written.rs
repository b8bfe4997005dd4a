//! `weir.toml` as it is written: every key, each with its default. Checking is the parent's business.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::{Quarantine, Supervision};
use model::settings::WrittenSettings;
use sandbox::{Allocation, CompileLimits};
use serde::Deserialize;
use server::HttpLimits;

use super::Runtime;
use super::bronze::WrittenBronze;
use super::silver::WrittenSilver;
use crate::cli::CompatArg;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    pub(super) listen: Option<SocketAddr>,
    pub(super) plugins_dir: Option<OneOrMore>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) compat: Option<CompatArg>,
    /// `${env:NAME}` or `${file:path}`.
    pub(super) key: Option<String>,
    pub(super) http: WrittenHttp,
    /// Limits of plugins whose settings say nothing.
    pub(super) limits: BTreeMap<String, u64>,
    /// The highest limits settings may ask for.
    pub(super) ceilings: BTreeMap<String, u64>,
    pub(super) add: WrittenOrigins,
    pub(super) quarantine: WrittenQuarantine,
    pub(super) supervision: WrittenSupervision,
    pub(super) pipelines: WrittenPipelines,
    pub(super) store: WrittenStore,
    pub(super) bronze: WrittenBronze,
    pub(super) silver: WrittenSilver,
    pub(super) runtime: WrittenRuntime,
    /// Named secrets: `${env:NAME}` or `${file:path}` each.
    pub(super) secrets: BTreeMap<String, String>,
    /// Of plugins that provide the same capability, those to prefer, the first first.
    pub(super) capabilities: BTreeMap<String, Vec<String>>,
    pub(super) plugins: BTreeMap<String, WrittenSettings>,
}

/// `"x"` or `["x", "y"]`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a path, or a list of paths")]
pub(super) enum OneOrMore {
    One(PathBuf),
    More(Vec<PathBuf>),
}

impl OneOrMore {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::More(paths) if paths.is_empty())
    }
}

impl From<OneOrMore> for Vec<PathBuf> {
    fn from(written: OneOrMore) -> Self {
        match written {
            OneOrMore::One(path) => vec![path],
            OneOrMore::More(paths) => paths,
        }
    }
}

/// `[add]`, and `http` of `[pipelines]`: where requests may go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenOrigins {
    pub(super) allow: Vec<String>,
    pub(super) private: Vec<String>,
}

/// `[pipelines]`: where specs lie, what pipelines may reach, and how many run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenPipelines {
    pub(super) folders: Option<OneOrMore>,
    /// Folders that stages may read and write.
    pub(super) files: Vec<PathBuf>,
    pub(super) http: WrittenOrigins,
    /// `host:port` each.
    pub(super) databases: Vec<String>,
    pub(super) references: WrittenReferences,
    pub(super) parallel_runs: Option<usize>,
    pub(super) history: Option<usize>,
    pub(super) keep_runs: Option<usize>,
    pub(super) keep_days: Option<u32>,
}

/// `[store]`: where runs, schedules and checkpoints are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenStore {
    /// Of a PostgreSQL database; without it a file in the data folder.
    pub(super) url: Option<String>,
    /// `${env:NAME}` or `${file:path}`.
    pub(super) password: Option<String>,
}

/// What `${env:..}` and `${file:..}` in specs may name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenReferences {
    pub(super) env: Vec<String>,
    pub(super) files: Vec<PathBuf>,
}

/// `[http]`: time-outs and sizes of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenHttp {
    header_timeout_ms: Option<u64>,
    body_timeout_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    drain_ms: Option<u64>,
    max_connections: Option<usize>,
    max_body_bytes: Option<usize>,
    max_upload_bytes: Option<usize>,
    max_bodies_bytes: Option<usize>,
    max_listeners: Option<usize>,
    pub(super) cors: Vec<String>,
}

impl WrittenHttp {
    pub(super) fn limits(&self) -> HttpLimits {
        let default = HttpLimits::default();
        let time = |ms: Option<u64>, or: Duration| ms.map_or(or, Duration::from_millis);
        HttpLimits {
            header_timeout: time(self.header_timeout_ms, default.header_timeout),
            body_timeout: time(self.body_timeout_ms, default.body_timeout),
            idle_timeout: time(self.idle_timeout_ms, default.idle_timeout),
            drain: time(self.drain_ms, default.drain),
            max_connections: self
                .max_connections
                .unwrap_or(default.max_connections)
                .max(1),
            max_body_bytes: self.max_body_bytes.unwrap_or(default.max_body_bytes),
            max_upload_bytes: self.max_upload_bytes.unwrap_or(default.max_upload_bytes),
            max_bodies_bytes: self.max_bodies_bytes.unwrap_or(default.max_bodies_bytes),
            max_listeners: self.max_listeners.unwrap_or(default.max_listeners),
            ..default
        }
    }
}

/// `[quarantine]`: when a plugin has crashed, and how long it is left alone then.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenQuarantine {
    faults: Option<u32>,
    within_s: Option<u64>,
    first_s: Option<u64>,
    longest_s: Option<u64>,
}

impl WrittenQuarantine {
    pub(super) fn value(&self) -> Quarantine {
        let default = Quarantine::default();
        let time = |s: Option<u64>, or: Duration| s.map_or(or, Duration::from_secs);
        Quarantine {
            faults: self.faults.unwrap_or(default.faults),
            within: time(self.within_s, default.within),
            first: time(self.first_s, default.first),
            longest: time(self.longest_s, default.longest),
        }
    }
}

/// `[supervision]`: how often a plugin that crashed is started again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSupervision {
    restarts: Option<u32>,
    within_s: Option<u64>,
}

impl WrittenSupervision {
    pub(super) fn value(&self) -> Supervision {
        let default = Supervision::default();
        Supervision {
            restarts: self.restarts.unwrap_or(default.restarts),
            within: self.within_s.map_or(default.within, Duration::from_secs),
        }
    }
}

/// `[runtime]`: what the sandbox may use.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenRuntime {
    max_instances: Option<u32>,
    cache_bytes: Option<u64>,
    allocation: Option<String>,
    compile_memory_bytes: Option<u64>,
    compile_cpu_s: Option<u64>,
    compile_time_s: Option<u64>,
    load_parallel: Option<usize>,
    boot_wait_s: Option<u64>,
}

impl WrittenRuntime {
    pub(super) fn check(&self, said: &mut Vec<String>) -> Runtime {
        let compile = CompileLimits::default();
        let allocation = self.allocation.as_deref().and_then(|name| {
            let found = Allocation::by_name(name);
            if found.is_none() && name != "auto" {
                said.push(format!(
                    "runtime.allocation: {name:?} is none of \"auto\", \"pooling\", \"on-demand\""
                ));
            }
            found
        });
        let max_instances = self.max_instances.unwrap_or(1_000);
        if !(1..=10_000).contains(&max_instances) {
            said.push(format!(
                "runtime.max_instances: {max_instances} is not in 1 to 10000"
            ));
        }
        Runtime {
            max_instances,
            cache_bytes: self.cache_bytes.unwrap_or(4 << 30),
            allocation,
            compile: CompileLimits {
                memory_bytes: self.compile_memory_bytes.unwrap_or(compile.memory_bytes),
                cpu: self.compile_cpu_s.map_or(compile.cpu, Duration::from_secs),
                time: self
                    .compile_time_s
                    .map_or(compile.time, Duration::from_secs),
            },
            load_parallel: self.load_parallel.unwrap_or(2).max(1),
            boot_wait: Duration::from_secs(self.boot_wait_s.unwrap_or(30)),
        }
    }
}
