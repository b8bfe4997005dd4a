//! `[pipelines]`, checked: where specs lie, and what pipelines may reach. By default they reach nothing.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters::references::NamePattern;
use engine::Keep;
use model::access::{Access, Files};
use model::grants::HttpGrant;

use super::written::{OneOrMore, WrittenPipelines};
use super::{Folders, parse_all};

/// The folder of specs where none is named, if it is there.
const DEFAULT_FOLDER: &str = "pipelines";

/// What pipelines on this server are and may.
#[derive(Debug)]
pub(crate) struct Pipelines {
    /// Folders of specs; those that come over the API go to the first.
    pub(crate) folders: Folders,
    pub(crate) access: Access,
    pub(crate) references: ReferenceRules,
    /// How many runs move data at once, and how many that are over are remembered; none: as many as the engine takes by itself.
    pub(crate) parallel_runs: Option<NonZeroUsize>,
    pub(crate) history: Option<NonZeroUsize>,
    /// How long what runs leave behind is kept.
    pub(crate) keep: Keep,
}

/// What references in specs may name.
#[derive(Debug)]
pub(crate) struct ReferenceRules {
    pub(crate) names: Vec<NamePattern>,
    /// Real paths.
    pub(crate) files: Vec<PathBuf>,
}

impl WrittenPipelines {
    /// Checks every value; what is wrong is pushed to `said`, with its key.
    pub(super) fn check(self, data: &Path, said: &mut Vec<String>) -> Pipelines {
        Pipelines {
            folders: folders(self.folders, data, said),
            access: Access {
                files: Files::Within(real("pipelines.files", &self.files, said)),
                http: Some(HttpGrant {
                    allow: parse_all("pipelines.http.allow", &self.http.allow, said),
                    private: parse_all("pipelines.http.private", &self.http.private, said),
                }),
                databases: Some(databases(self.databases, said)),
            },
            references: ReferenceRules {
                names: parse_all("pipelines.references.env", &self.references.env, said),
                files: real("pipelines.references.files", &self.references.files, said),
            },
            parallel_runs: at_least_one("pipelines.parallel_runs", self.parallel_runs, said),
            history: at_least_one("pipelines.history", self.history, said),
            keep: keep(self.keep_runs, self.keep_days, said),
        }
    }
}

/// Those named; else `pipelines` if it is there; else one in the data folder, for what comes over the API.
fn folders(written: Option<OneOrMore>, data: &Path, said: &mut Vec<String>) -> Folders {
    let default = || {
        let usual = PathBuf::from(DEFAULT_FOLDER);
        let first = if usual.is_dir() {
            usual
        } else {
            data.join("specs")
        };
        Folders {
            first,
            others: Vec::new(),
        }
    };
    let Some(written) = written else {
        return default();
    };
    Folders::of(Vec::from(written)).unwrap_or_else(|| {
        said.push(
            "pipelines.folders: an empty list was given; one folder or more is needed".into(),
        );
        default()
    })
}

/// The paths without links in them. Each has to be there.
fn real(key: &str, paths: &[PathBuf], said: &mut Vec<String>) -> Vec<PathBuf> {
    let found = paths.iter().filter_map(|path| match path.canonicalize() {
        Ok(real) => Some(real),
        Err(e) => {
            said.push(format!("{key}: {}: {e}", path.display()));
            None
        }
    });
    found.collect()
}

fn databases(written: Vec<String>, said: &mut Vec<String>) -> Vec<String> {
    for text in &written {
        let parts = text.rsplit_once(':');
        let good = parts.is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !good {
            said.push(format!(
                "pipelines.databases: {text:?} was given; host:port is needed"
            ));
        }
    }
    written
}

fn keep(runs: Option<usize>, days: Option<u32>, said: &mut Vec<String>) -> Keep {
    let default = Keep::default();
    let days = days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
    Keep {
        runs: at_least_one("pipelines.keep_runs", runs, said).unwrap_or(default.runs),
        age: days.unwrap_or(default.age),
    }
}

fn at_least_one(key: &str, value: Option<usize>, said: &mut Vec<String>) -> Option<NonZeroUsize> {
    let checked = NonZeroUsize::new(value?);
    if checked.is_none() {
        said.push(format!("{key}: 0 was given; at least 1 is needed"));
    }
    checked
}
