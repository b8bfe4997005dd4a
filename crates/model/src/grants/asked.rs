//! Grants beside what a plugin asks for in its manifest: what they cover, and the line that would grant the rest.

use std::collections::BTreeSet;

use super::{Capability, Grants, HooksGrant};
use crate::events::TopicPattern;
use crate::hooks::PointName;
use crate::manifest::Manifest;

impl Grants {
    /// May the plugin have hooks at this point?
    #[must_use]
    pub fn cover_hook(&self, point: &PointName) -> bool {
        self.hooks.as_ref().is_some_and(|g| g.covers(point))
    }

    /// May it hear everything this pattern stands for?
    #[must_use]
    pub fn cover_topic(&self, pattern: &TopicPattern) -> bool {
        self.events.as_ref().is_some_and(|g| g.may_hear(pattern))
    }

    /// Do they cover all that a plugin with this manifest asks for with this capability?
    #[must_use]
    pub fn cover(&self, capability: Capability, manifest: &Manifest) -> bool {
        self.has(capability)
            && match capability {
                Capability::Hooks => manifest.hooks.iter().all(|h| self.cover_hook(&h.point)),
                Capability::Events => manifest.topics.iter().all(|t| self.cover_topic(t)),
                Capability::Http
                | Capability::State
                | Capability::Calls
                | Capability::Secrets
                | Capability::Metrics => true,
            }
    }

    /// The line of the configuration that grants what the manifest names, and what is granted already; an example where it names nothing.
    #[must_use]
    pub fn line_for(&self, capability: Capability, manifest: &Manifest) -> String {
        match capability {
            Capability::Hooks if !manifest.hooks.is_empty() => {
                let mut points = texts(manifest.hooks.iter().map(|h| &h.point));
                if let Some(HooksGrant::Points(granted)) = &self.hooks {
                    points.extend(texts(granted));
                }
                format!("grants.hooks = [{}]", quoted(&points))
            }
            Capability::Events if !manifest.topics.is_empty() => {
                let granted = self.events.clone().unwrap_or_default();
                let topics = texts(manifest.topics.iter().chain(&granted.subscribe));
                let (topics, emit) = (quoted(&topics), quoted(&texts(&granted.emit)));
                if emit.is_empty() {
                    format!("grants.events = {{ subscribe = [{topics}] }}")
                } else {
                    format!("grants.events = {{ emit = [{emit}], subscribe = [{topics}] }}")
                }
            }
            Capability::Calls if !manifest.dependencies.is_empty() => {
                let ids = texts(manifest.dependencies.iter().map(|d| &d.id));
                format!("grants.calls = [{}]", quoted(&ids))
            }
            other => other.example().to_owned(),
        }
    }
}

fn texts<'a, T: ToString + 'a>(names: impl IntoIterator<Item = &'a T>) -> BTreeSet<String> {
    names.into_iter().map(ToString::to_string).collect()
}

fn quoted(names: &BTreeSet<String>) -> String {
    let names: Vec<_> = names.iter().map(|n| format!("{n:?}")).collect();
    names.join(", ")
}
