//! What an operator lets a plugin use beyond the base: one optional grant for each capability.

use crate::egress::{Network, OriginRule};

/// A host interface that needs a grant.
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
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Http,
        Self::State,
        Self::Events,
        Self::Calls,
        Self::Secrets,
        Self::Metrics,
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

    /// Does this version of Weir have an engine side for it?
    #[must_use]
    pub fn is_implemented(self) -> bool {
        matches!(self, Self::Http | Self::State)
    }

    /// The line that would grant it, as it is written in the configuration; of one that is not implemented, the line with which a plugin is loaded without it.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Http => r#"grants.http = { allow = ["https://api.example.com"] }"#,
            Self::State => "grants.state = true",
            Self::Events => r#"grants.optional = ["events"]"#,
            Self::Calls => r#"grants.optional = ["calls"]"#,
            Self::Secrets => r#"grants.optional = ["secrets"]"#,
            Self::Metrics => r#"grants.optional = ["metrics"]"#,
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
            Capability::Events | Capability::Calls | Capability::Secrets | Capability::Metrics => {
                false
            }
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
