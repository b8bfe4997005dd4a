//! What a plugin says it is. The checks are the host's.

use serde::Serialize;
use serde_json::{Map, Value};

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
    #[serde(skip_serializing_if = "Map::is_empty")]
    provides: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Dependency>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hooks: Vec<Hook>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    points: Vec<Point>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    topics: Vec<String>,
}

/// A hook, as the manifest declares it: where [`Hooks`](crate::Hooks) is called, and how. At most one of each mode at a point.
///
/// ```
/// # use weir_sdk::Hook;
/// // Outside the hooks of others, and not worth failing a chat for.
/// let hook = Hook::before("chat_request").priority(10).skip_on_failure();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    point: String,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_failure: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Dependency {
    id: String,
    version: String,
    #[serde(skip_serializing_if = "is_false")]
    optional: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Point {
    name: String,
    description: String,
    schema: Value,
}

impl Hook {
    /// Runs before the step at a point: one of the host's such as `chat_request`, or `<plugin id>/<name>` of one that a plugin defines.
    #[must_use]
    pub fn before(point: impl Into<String>) -> Self {
        Self::of("before", point.into())
    }

    /// Runs after the step.
    #[must_use]
    pub fn after(point: impl Into<String>) -> Self {
        Self::of("after", point.into())
    }

    /// Runs around the step.
    #[must_use]
    pub fn around(point: impl Into<String>) -> Self {
        Self::of("around", point.into())
    }

    /// Takes the place of the step.
    #[must_use]
    pub fn replace(point: impl Into<String>) -> Self {
        Self::of("replace", point.into())
    }

    /// The lowest is outermost and first; 50 if this is not called. Plugins of the same priority go by their ids.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// If the hook traps or runs into a limit, the step goes on without it. So it is for `after` anyway.
    #[must_use]
    pub fn skip_on_failure(mut self) -> Self {
        self.on_failure = Some("skip");
        self
    }

    /// If the hook traps or runs into a limit, the step fails. So it is for all but `after` anyway.
    #[must_use]
    pub fn fail_on_failure(mut self) -> Self {
        self.on_failure = Some("fail");
        self
    }

    fn of(mode: &'static str, point: String) -> Self {
        Self {
            point,
            mode,
            priority: None,
            on_failure: None,
        }
    }
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
            provides: Map::new(),
            dependencies: Vec::new(),
            hooks: Vec::new(),
            points: Vec::new(),
            topics: Vec::new(),
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

    /// A capability that the plugin provides to others, 1 to 64 of `a-z 0-9 _ - .`: `true`, or an object of options, of which `type` groups providers. Others
    /// find it with [`grants::providers`](crate::grants::providers).
    ///
    /// ```
    /// # use weir_sdk::{Manifest, serde_json::json};
    /// # fn with(manifest: Manifest) -> Manifest {
    /// manifest.provides("streaming", true).provides("embeddings", json!({"type": "llm", "models": ["small"]}))
    /// # }
    /// ```
    #[must_use]
    pub fn provides(mut self, capability: impl Into<String>, options: impl Into<Value>) -> Self {
        self.provides.insert(capability.into(), options.into());
        self
    }

    /// A plugin that must be there, in a range of versions such as `^1.2`, or `*` for any. This plugin is started after it, and not without it.
    #[must_use]
    pub fn depends_on(self, id: impl Into<String>, versions: impl Into<String>) -> Self {
        self.dependency(id.into(), versions.into(), false)
    }

    /// A plugin that may be there, in a range of versions. If it is, this plugin is started after it; ask with
    /// [`grants::present`](crate::grants::present).
    #[must_use]
    pub fn depends_on_optionally(self, id: impl Into<String>, versions: impl Into<String>) -> Self {
        self.dependency(id.into(), versions.into(), true)
    }

    /// A hook. The plugin needs the role `hooks`, and the grant `hooks`.
    #[must_use]
    pub fn hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// A hook point of the plugin's own, for [`points::fire`](crate::points::fire): its name, 1 to 64 of `a-z 0-9 _`, a sentence for
    /// people, and the JSON Schema of its context. Others call it `<plugin id>/<name>`.
    #[must_use]
    pub fn point(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
        schema: Value,
    ) -> Self {
        self.points.push(Point {
            name: name.into(),
            description: description.into(),
            schema,
        });
        self
    }

    /// What the role `subscriber` hears: a topic, or a prefix that ends in `*`. Needs the grant `events`.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    fn dependency(mut self, id: String, version: String, optional: bool) -> Self {
        self.dependencies.push(Dependency {
            id,
            version,
            optional,
        });
        self
    }
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
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

    #[test]
    fn says_how_it_goes_with_others() {
        let manifest = Manifest::of(&PACKAGE)
            .provides("streaming", true)
            .provides("embeddings", json!({"models": ["a"]}))
            .depends_on("bridge", "^1.2")
            .depends_on_optionally("provider", "*")
            .hook(Hook::after("chat_reply"))
            .hook(
                Hook::around("bridge/before_send")
                    .priority(-1)
                    .skip_on_failure(),
            )
            .point("sent", "After a letter", json!({"type": "object"}))
            .topic("orders.*");
        let manifest = serde_json::to_value(manifest).unwrap();
        let expected = [
            (
                "provides",
                json!({"streaming": true, "embeddings": {"models": ["a"]}}),
            ),
            (
                "dependencies",
                json!([{"id": "bridge", "version": "^1.2"}, {"id": "provider", "version": "*", "optional": true}]),
            ),
            (
                "hooks",
                json!([{"point": "chat_reply", "mode": "after"},
                {"point": "bridge/before_send", "mode": "around", "priority": -1, "on_failure": "skip"}]),
            ),
            (
                "points",
                json!([{"name": "sent", "description": "After a letter", "schema": {"type": "object"}}]),
            ),
            ("topics", json!(["orders.*"])),
        ];
        for (key, value) in expected {
            assert_eq!(manifest[key], value, "{key}");
        }
    }
}
