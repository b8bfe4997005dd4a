//! The manifest: what a plugin says it is, as `describe` returns it, checked.

use crate::id::PluginId;

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
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub valves: serde_json::Map<String, serde_json::Value>,
    /// Keys that mean nothing to this version of the host.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
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
    valves: serde_json::Map<String, serde_json::Value>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
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
        Ok(Self {
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
        let m = Manifest::parse(r#"{"id":"a","version":"1.2.3","topics":["x"]}"#).unwrap();
        assert_eq!((m.name.as_str(), m.listed), ("a", true));
        assert_eq!(m.other["topics"][0], "x");
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
    }
}
