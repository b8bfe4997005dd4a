//! What an operator lets a plugin use beyond the base: one optional grant for each capability.

mod asked;

use crate::egress::{Network, OriginRule};
use crate::events::{Topic, TopicPattern};
use crate::hooks::PointName;
use crate::id::PluginId;

/// What needs a grant: a host interface that a component imports, or what its manifest declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// `wasi:http/outgoing-handler`.
    Http,
    /// `weir:host/state`.
    State,
    /// `weir:host/events`.
    Events,
    /// `weir:host/calls`.
    Calls,
    /// `weir:host/secrets`.
    Secrets,
    /// `weir:host/metrics`.
    Metrics,
    /// Hooks in the manifest.
    Hooks,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Http,
        Self::State,
        Self::Events,
        Self::Calls,
        Self::Secrets,
        Self::Metrics,
        Self::Hooks,
    ];

    /// Its name in configuration, and what a plugin asks `grants.granted` with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::State => "state",
            Self::Events => "events",
            Self::Calls => "calls",
            Self::Secrets => "secrets",
            Self::Metrics => "metrics",
            Self::Hooks => "hooks",
        }
    }

    /// The capability behind an interface a component imports, whatever its version.
    #[must_use]
    pub fn of_interface(interface: &str) -> Option<Self> {
        let name = interface.split('@').next().unwrap_or(interface);
        match name {
            "wasi:http/types" | "wasi:http/outgoing-handler" => Some(Self::Http),
            "weir:host/state" => Some(Self::State),
            "weir:host/events" => Some(Self::Events),
            "weir:host/calls" => Some(Self::Calls),
            "weir:host/secrets" => Some(Self::Secrets),
            "weir:host/metrics" => Some(Self::Metrics),
            _ => None,
        }
    }

    /// A line that would grant it, as it is written in the configuration.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Http => r#"grants.http = { allow = ["https://api.example.com"] }"#,
            Self::State => "grants.state = true",
            Self::Events => r#"grants.events = { emit = ["orders.*"], subscribe = ["orders.*"] }"#,
            Self::Calls => r#"grants.calls = ["other-plugin"]"#,
            Self::Secrets => r#"grants.secrets = ["name-of-the-secret"]"#,
            Self::Metrics => "grants.metrics = true",
            Self::Hooks => r#"grants.hooks = ["chat_request"]"#,
        }
    }
}

/// What one plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Grants {
    /// Outgoing HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpGrant>,
    /// Durable key-value state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateGrant>,
    /// The event bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsGrant>,
    /// Calls to other plugins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallsGrant>,
    /// Names of secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// Metrics of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub metrics: bool,
    /// Hooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HooksGrant>,
    /// Capabilities that the plugin may do without: linked, answering `denied`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<Capability>,
}

impl Grants {
    /// Is this capability granted?
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Http => self.http.is_some(),
            Capability::State => self.state.is_some(),
            Capability::Events => self.events.is_some(),
            Capability::Calls => self.calls.is_some(),
            Capability::Secrets => self.secrets.is_some(),
            Capability::Metrics => self.metrics,
            Capability::Hooks => self.hooks.is_some(),
        }
    }

    /// May a component that imports it be loaded: granted, or denied politely?
    #[must_use]
    pub fn links(&self, capability: Capability) -> bool {
        self.has(capability) || self.optional.contains(&capability)
    }
}

/// Where a plugin may send HTTP requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct HttpGrant {
    /// Origins it may reach.
    pub allow: Vec<OriginRule>,
    /// Networks that are not public and that it may reach all the same, after the name was resolved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<Network>,
}

/// Which keys of its state a plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct StateGrant {
    /// Prefixes of the keys; all keys if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
}

impl StateGrant {
    /// Longest key, in bytes.
    pub const MAX_KEY: usize = 512;

    /// May this key be used?
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        (1..=Self::MAX_KEY).contains(&key.len())
            && (self.prefixes.is_empty()
                || self.prefixes.iter().any(|p| key.starts_with(p.as_str())))
    }
}

/// Which topics a plugin may use. `true` in the configuration: all, but not to emit the host's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct EventsGrant {
    /// Topics it may emit. The host's own cannot be granted.
    pub emit: Vec<TopicPattern>,
    /// Topics it may hear.
    pub subscribe: Vec<TopicPattern>,
}

impl EventsGrant {
    /// May it emit on this topic?
    #[must_use]
    pub fn may_emit(&self, topic: &Topic) -> bool {
        !topic.is_of_host() && self.emit.iter().any(|p| p.matches(topic))
    }

    /// May it hear everything this pattern stands for?
    #[must_use]
    pub fn may_hear(&self, pattern: &TopicPattern) -> bool {
        self.subscribe.iter().any(|p| p.covers(pattern))
    }
}

/// Which plugins a plugin may call; of those only the ones its manifest declares as dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallsGrant {
    /// Every dependency. `true` in the configuration.
    Dependencies,
    /// These.
    Plugins(Vec<PluginId>),
}

impl CallsGrant {
    /// May it call this plugin?
    #[must_use]
    pub fn covers(&self, plugin: &PluginId) -> bool {
        match self {
            Self::Dependencies => true,
            Self::Plugins(plugins) => plugins.contains(plugin),
        }
    }
}

impl serde::Serialize for CallsGrant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Dependencies => serializer.serialize_bool(true),
            Self::Plugins(plugins) => plugins.serialize(serializer),
        }
    }
}

/// At which points a plugin may have hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HooksGrant {
    /// At every point. `true` in the configuration.
    All,
    /// At these.
    Points(Vec<PointName>),
}

impl HooksGrant {
    /// May it have hooks at this point?
    #[must_use]
    pub fn covers(&self, point: &PointName) -> bool {
        match self {
            Self::All => true,
            Self::Points(points) => points.contains(point),
        }
    }
}

impl serde::Serialize for HooksGrant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_bool(true),
            Self::Points(points) => points.serialize(serializer),
        }
    }
}
