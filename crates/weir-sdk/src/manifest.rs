//! What a plugin says it is. The checks are the host's.

use serde::Serialize;
use serde_json::Value;

use crate::plugin::Package;

/// The plugin's manifest: what `describe` answers. Starts with the package's name, version, description, authors and license
/// from `Cargo.toml`; change what should differ.
///
/// ```
/// # use weir_sdk::{Manifest, Plugin};
/// # #[derive(Default)] struct Echo;
/// impl Plugin for Echo {
///     fn manifest(manifest: Manifest) -> Manifest {
///         manifest.name("Echo").description("Says what you said")
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Manifest {
    id: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(skip_serializing_if = "is_true")]
    listed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    valves: Option<Value>,
}

impl Manifest {
    pub(crate) fn of(package: &Package) -> Self {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            id: package.name.to_owned(),
            version: package.version.to_owned(),
            name: None,
            description: given(package.description),
            author: given(package.authors),
            license: given(package.license),
            listed: true,
            valves: None,
        }
    }

    /// The id, unique on a host; users see it as the model's id. 1 to 128 of `A-Z a-z 0-9 _ - . : /`, first a letter or digit.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The semantic version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// What people read; the id if it is not given. A manifold's name is put before its models' names.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A sentence for people.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Whether the plugin is offered as a model; it is unless this says `false`.
    #[must_use]
    pub fn listed(mut self, listed: bool) -> Self {
        self.listed = listed;
        self
    }

    /// First values of the valves, an object, where they differ from the defaults in the spec.
    #[must_use]
    pub fn valves(mut self, values: Value) -> Self {
        self.valves = Some(values);
        self
    }
}

fn is_true(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PACKAGE: Package = Package {
        name: "echo",
        version: "1.2.3",
        description: "",
        authors: "Ann:Bob",
        license: "Apache-2.0",
    };

    #[test]
    fn starts_with_the_package() {
        let manifest = serde_json::to_value(Manifest::of(&PACKAGE)).unwrap();
        assert_eq!(
            manifest,
            json!({"id": "echo", "version": "1.2.3", "author": "Ann:Bob", "license": "Apache-2.0"})
        );
    }

    #[test]
    fn says_what_differs() {
        let manifest = Manifest::of(&PACKAGE)
            .id("e")
            .version("2.0.0")
            .name("Echo")
            .listed(false)
            .valves(json!({"a": 1}));
        let expected = json!({"id": "e", "version": "2.0.0", "name": "Echo", "author": "Ann:Bob", "license": "Apache-2.0",
            "listed": false, "valves": {"a": 1}});
        assert_eq!(serde_json::to_value(manifest).unwrap(), expected);
    }
}
