//! The manifest: what a plugin says it is, as `describe` returns it, checked. What it says of others is in `manifest/relations.rs`.

mod relations;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::events::TopicPattern;
use crate::hooks::HookDeclaration;
use crate::id::PluginId;

use relations::WrittenRelations;
pub use relations::{Dependency, OwnPoint, Provided};

/// What a plugin says it is.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Manifest {
    /// Its id, unique on a host.
    pub id: PluginId,
    /// Its semantic version.
    pub version: semver::Version,
    /// What people read; the id where the plugin gave none.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// An SPDX expression, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Is it offered as a model?
    pub listed: bool,
    /// First values of its valves, where they differ from the defaults in the spec.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub valves: Map<String, Value>,
    /// Capabilities it provides to others, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub provides: BTreeMap<String, Provided>,
    /// Plugins it needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Where its `hooks` role is called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookDeclaration>,
    /// Hook points it defines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<OwnPoint>,
    /// What its `subscriber` role hears.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicPattern>,
    /// Keys that mean nothing to this version of the host.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The manifest as it is written.
#[derive(serde::Deserialize)]
#[serde(expecting = "a manifest, which is a JSON object")]
struct Written {
    id: String,
    version: String,
    name: Option<String>,
    description: Option<String>,
    author: Option<String>,
    license: Option<String>,
    #[serde(default = "yes")]
    listed: bool,
    #[serde(default)]
    valves: Map<String, Value>,
    #[serde(flatten)]
    relations: WrittenRelations,
    #[serde(flatten)]
    other: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// Longest text in a manifest that is for people, in bytes.
const MAX_TEXT: usize = 4096;
/// Longest manifest, in bytes.
const MAX_MANIFEST: usize = 256 * 1024;

impl Manifest {
    /// Reads a manifest from the JSON that `describe` returned.
    ///
    /// # Errors
    /// A sentence that names the key, what was given and what is allowed.
    pub fn parse(json: &str) -> Result<Self, String> {
        if json.len() > MAX_MANIFEST {
            return Err(format!(
                "it has {} bytes; at most {MAX_MANIFEST} are allowed",
                json.len()
            ));
        }
        let written: Written = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let id = PluginId::new(&written.id).map_err(|e| format!("id: {e}"))?;
        let version = semver::Version::parse(&written.version).map_err(|e| {
            format!(
                "version: {:?} is not a semantic version such as 1.2.3: {e}",
                written.version
            )
        })?;
        for (key, text) in [
            ("name", &written.name),
            ("description", &written.description),
            ("author", &written.author),
            ("license", &written.license),
        ] {
            if text.as_ref().is_some_and(|t| t.len() > MAX_TEXT) {
                return Err(format!("{key}: at most {MAX_TEXT} bytes are allowed"));
            }
        }
        let relations = written.relations.check(&id)?;
        Ok(Self {
            provides: relations.provides,
            dependencies: relations.dependencies,
            hooks: relations.hooks,
            points: relations.points,
            topics: relations.topics,
            name: written.name.unwrap_or_else(|| id.to_string()),
            id,
            version,
            description: written.description,
            author: written.author,
            license: written.license,
            listed: written.listed,
            valves: written.valves,
            other: written.other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_manifest_gets_its_defaults() {
        let m = Manifest::parse(r#"{"id":"a","version":"1.2.3","color":["x"]}"#).unwrap();
        assert_eq!((m.name.as_str(), m.listed), ("a", true));
        assert_eq!(m.other["color"][0], "x");
        assert_eq!(m.other.len(), 1);
    }

    #[test]
    fn what_it_says_of_others_is_read() {
        let m = Manifest::parse(
            r#"{"id":"a","version":"1.2.3","provides":{"x":true,"y":{"type":"llm","models":[1]}},
                "dependencies":[{"id":"b","version":"^1.2","optional":true},{"id":"c"}],
                "hooks":[{"point":"chat_request","mode":"after"},{"point":"b/p","mode":"around","priority":1,"on_failure":"skip"}],
                "points":[{"name":"p"}],"topics":["t.*"]}"#,
        )
        .unwrap();
        assert_eq!(m.provides["y"].kind.as_deref(), Some("llm"));
        assert!(m.dependencies[0].optional && !m.dependencies[1].optional);
        assert_eq!(m.hooks[0].priority, 50);
        assert_eq!(m.hooks[0].on_failure, crate::hooks::OnFailure::Skip);
        assert_eq!(m.points[0].full_name, "a/p");
        assert_eq!(m.topics[0].to_string(), "t.*");
        assert!(m.other.is_empty(), "{:?}", m.other);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |json: &str, word: &str| {
            let e = Manifest::parse(json).unwrap_err();
            assert!(e.contains(word), "{e}");
        };
        check("{}", "id");
        check(r#"{"id":"../x","version":"1.0.0"}"#, "../x");
        check(r#"{"id":"x","version":"one"}"#, "semantic version");
        check(r#"{"id":"x","version":"1.0.0","valves":[]}"#, "a map");
        check("[]", "JSON object");
        let rel = |rest: &str, word: &str| {
            check(&format!(r#"{{"id":"x","version":"1.0.0",{rest}}}"#), word)
        };
        rel(r#""dependencies":[{"id":"x"}]"#, "itself");
        rel(r#""dependencies":[{"id":"b"},{"id":"b"}]"#, "twice");
        rel(r#""dependencies":[{"id":"b","version":"one"}]"#, "range");
        rel(r#""dependencies":[{"id":"b","versoin":"1"}]"#, "versoin");
        rel(
            r#""hooks":[{"point":"chat","mode":"before"}]"#,
            "chat_request",
        );
        rel(
            r#""hooks":[{"point":"chat_reply","mode":"replace"}]"#,
            "before, after",
        );
        rel(
            r#""hooks":[{"point":"chat_reply","mode":"after"},{"point":"chat_reply","mode":"after"}]"#,
            "twice",
        );
        rel(r#""points":[{"name":"P"}]"#, "a-z");
        rel(r#""topics":["a b"]"#, "topics[0]");
        rel(r#""provides":{"A":true}"#, "provides");
        rel(r#""provides":{"a":false}"#, "provides");
    }
}
