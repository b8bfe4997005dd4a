//! What a manifest says of others: capabilities, dependencies, hooks, points, topics. Reading and checking; nothing is looked up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::events::TopicPattern;
use crate::hooks::{DEFAULT_PRIORITY, HookDeclaration, Mode, OnFailure, PointName, is_own_name};
use crate::id::PluginId;

/// A capability that a plugin provides.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Provided {
    /// Its option `type`, which groups providers: `llm`, `storage`, ..
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// All other options.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

/// A plugin that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Dependency {
    /// Its id.
    pub id: PluginId,
    /// Versions that do.
    pub version: semver::VersionReq,
    /// Can the plugin do without?
    pub optional: bool,
}

impl std::fmt::Display for Dependency {
    /// `bridge ^1.2`; `bridge` where every version does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.version == semver::VersionReq::STAR {
            write!(f, "{}", self.id)
        } else {
            write!(f, "{} {}", self.id, self.version)
        }
    }
}

/// A hook point that a plugin defines.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct OwnPoint {
    /// `<plugin id>/<name>`.
    #[serde(rename = "name")]
    pub full_name: String,
    /// For people.
    pub description: Option<String>,
    /// JSON Schema of the context.
    pub schema: Option<Value>,
}

/// Most entries of each list. A plugin that needs more is better split.
const MOST: usize = 100;

/// The keys as they are written.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct WrittenRelations {
    provides: BTreeMap<String, Value>,
    dependencies: Vec<WrittenDependency>,
    hooks: Vec<WrittenHook>,
    points: Vec<WrittenPoint>,
    topics: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDependency {
    id: String,
    version: Option<String>,
    #[serde(default)]
    optional: bool,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHook {
    point: String,
    mode: Mode,
    priority: Option<i32>,
    on_failure: Option<OnFailure>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPoint {
    name: String,
    description: Option<String>,
    schema: Option<Value>,
}

/// The keys, checked.
pub(super) struct Relations {
    pub(super) provides: BTreeMap<String, Provided>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) hooks: Vec<HookDeclaration>,
    pub(super) points: Vec<OwnPoint>,
    pub(super) topics: Vec<TopicPattern>,
}

impl WrittenRelations {
    pub(super) fn check(self, id: &PluginId) -> Result<Relations, String> {
        for (key, len) in [
            ("provides", self.provides.len()),
            ("dependencies", self.dependencies.len()),
            ("hooks", self.hooks.len()),
            ("points", self.points.len()),
            ("topics", self.topics.len()),
        ] {
            if len > MOST {
                return Err(format!("{key}: {len} entries; at most {MOST} are allowed"));
            }
        }
        let relations = Relations {
            provides: provides(self.provides)?,
            dependencies: each("dependencies", self.dependencies, |d| dependency(&d, id))?,
            hooks: each("hooks", self.hooks, |h| hook(&h))?,
            points: each("points", self.points, |p| point(p, id))?,
            topics: each("topics", self.topics, |t| {
                TopicPattern::new(&t).map_err(|e| e.to_string())
            })?,
        };
        let ids = relations.dependencies.iter().map(|d| d.id.to_string());
        once("dependencies", ids)?;
        let hooks = relations.hooks.iter();
        once(
            "hooks",
            hooks.map(|h| format!("{} {}", h.mode.as_str(), h.point)),
        )?;
        once(
            "points",
            relations.points.iter().map(|p| p.full_name.clone()),
        )?;
        Ok(relations)
    }
}

/// Checks each entry, and names the one that is wrong.
fn each<W, T>(
    key: &str,
    written: Vec<W>,
    check: impl Fn(W) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let one = |(index, entry)| check(entry).map_err(|e| format!("{key}[{index}]: {e}"));
    written.into_iter().enumerate().map(one).collect()
}

fn once(key: &str, names: impl Iterator<Item = String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if seen.contains(&name) {
            return Err(format!("{key}: {name} is there twice"));
        }
        seen.insert(name);
    }
    Ok(())
}

fn provides(written: BTreeMap<String, Value>) -> Result<BTreeMap<String, Provided>, String> {
    let one = |(name, value): (String, Value)| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
            let name: String = name.chars().take(64).collect();
            return Err(format!(
                "provides: {name:?} is no name of a capability: 1 to 64 of a-z 0-9 _ - . are allowed"
            ));
        }
        let mut options = match value {
            Value::Bool(true) => Map::new(),
            Value::Object(options) => options,
            _ => {
                return Err(format!(
                    "provides.{name}: true or an object of options is needed"
                ));
            }
        };
        let kind = match options.shift_remove("type") {
            None => None,
            Some(Value::String(kind)) if kind.len() <= 64 => Some(kind),
            Some(_) => {
                return Err(format!(
                    "provides.{name}.type: a text of at most 64 bytes is needed"
                ));
            }
        };
        Ok((name, Provided { kind, options }))
    };
    written.into_iter().map(one).collect()
}

fn dependency(written: &WrittenDependency, own: &PluginId) -> Result<Dependency, String> {
    let id = PluginId::new(&written.id).map_err(|e| format!("id: {e}"))?;
    if id == *own {
        return Err("a plugin cannot depend on itself".into());
    }
    let range = written.version.as_deref().unwrap_or("*");
    let version = semver::VersionReq::parse(range).map_err(|e| {
        let range: String = range.chars().take(100).collect();
        format!("version: {range:?} is not a version range such as ^1.2 or >=1.0, <3.0: {e}")
    })?;
    Ok(Dependency {
        id,
        version,
        optional: written.optional,
    })
}

fn hook(written: &WrittenHook) -> Result<HookDeclaration, String> {
    let point = PointName::new(&written.point).map_err(|e| format!("point: {e}"))?;
    if let Some(core) = point.core()
        && !core.spec().modes.contains(&written.mode)
    {
        let modes: Vec<_> = core.spec().modes.iter().map(|m| m.as_str()).collect();
        return Err(format!(
            "mode: {} is not possible at {point}; there are {}",
            written.mode.as_str(),
            modes.join(", ")
        ));
    }
    Ok(HookDeclaration {
        point,
        mode: written.mode,
        priority: written.priority.unwrap_or(DEFAULT_PRIORITY),
        on_failure: written.on_failure.unwrap_or(written.mode.on_failure()),
    })
}

fn point(written: WrittenPoint, own: &PluginId) -> Result<OwnPoint, String> {
    if !is_own_name(&written.name) {
        let name: String = written.name.chars().take(64).collect();
        return Err(format!(
            "name: {name:?} is no name of a point: 1 to 64 of a-z 0-9 _ are allowed"
        ));
    }
    Ok(OwnPoint {
        full_name: format!("{own}/{}", written.name),
        description: written.description,
        schema: written.schema,
    })
}
