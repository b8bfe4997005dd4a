//! Names of things: plugin ids, plugin references, request ids. Checked once, when they are made.

use std::fmt;
use std::sync::Arc;

/// A plugin's id: 1 to 128 characters of `A-Z a-z 0-9 _ - . : /`, the first a letter or digit, and no `..`, so that it can
/// stand in a URL and can never climb out of a folder.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginId(Arc<str>);

/// Why a text is no plugin id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a plugin id: 1 to 128 characters of A-Z a-z 0-9 _ - . : / are allowed, the first a letter or digit, and no `..` or `//`"
)]
pub struct IdError {
    /// The text, cut after 128 characters.
    pub given: String,
}

impl PluginId {
    /// Longest id, in bytes.
    pub const MAX: usize = 128;

    /// Checks and wraps an id.
    ///
    /// # Errors
    /// [`IdError`] when the text does not follow the rules above.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
        let good = (1..=Self::MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(plain)
            && !text.contains("..")
            && !text.contains("//")
            && !text.ends_with('/');
        if good {
            Ok(Self(text.into()))
        } else {
            Err(IdError {
                given: text.chars().take(Self::MAX).collect(),
            })
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for PluginId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A pipeline's id: 1 to 64 characters of `a-z 0-9 _ - .`, the first a letter or digit, and no `..`: it stands in URLs and file names.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineId(Arc<str>);

/// Why a text is no pipeline id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a pipeline id: 1 to 64 characters of a-z 0-9 _ - . are allowed, the first a letter or digit, and no `..`"
)]
pub struct PipelineIdError {
    /// The text, cut after 64 characters.
    pub given: String,
}

impl PipelineId {
    /// Longest id, in bytes.
    pub const MAX: usize = 64;

    /// Checks and wraps an id.
    ///
    /// # Errors
    /// [`PipelineIdError`] when the text does not follow the rules above.
    pub fn new(text: &str) -> Result<Self, PipelineIdError> {
        let low = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = (1..=Self::MAX).contains(&text.len())
            && text.starts_with(low)
            && text.chars().all(|c| low(c) || "_-.".contains(c))
            && !text.contains("..");
        if good {
            Ok(Self(text.into()))
        } else {
            Err(PipelineIdError {
                given: text.chars().take(Self::MAX).collect(),
            })
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> serde::Deserialize<'de> for PipelineId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for PipelineId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// One version of one plugin, as errors and logs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRef {
    /// The plugin.
    pub id: PluginId,
    /// Its semantic version.
    pub version: semver::Version,
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, good: bool) {
        assert_eq!(PluginId::new(text).is_ok(), good, "{text:?}");
    }

    #[test]
    fn ids_that_pass() {
        check("ok", true);
        check("org/p.2:x", true);
        check(&"a".repeat(128), true);
    }

    #[test]
    fn ids_of_pipelines() {
        for good in ["a", "flights.daily-2", "0_x"] {
            assert!(PipelineId::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "A", "-a", "a..b", "a/b", "ü", "a b"] {
            assert!(PipelineId::new(bad).is_err(), "{bad:?}");
        }
        assert!(PipelineId::new(&"a".repeat(65)).is_err());
    }

    #[test]
    fn ids_that_do_not() {
        for bad in [
            "", "-a", "../up", "a/../b", "a//b", "a/", "a b", "ü", "/etc", "a\0",
        ] {
            check(bad, false);
        }
        check(&"a".repeat(129), false);
    }
}
