//! Grants as they are written, and how they become [`Grants`].

use crate::egress::{Network, OriginRule};
use crate::events::TopicPattern;
use crate::grants::{
    CallsGrant, Capability, EventsGrant, Grants, HooksGrant, HttpGrant, StateGrant,
};
use crate::hooks::PointName;
use crate::id::PluginId;

#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenGrants {
    http: Option<WrittenHttp>,
    state: Option<YesOr<WrittenState>>,
    events: Option<YesOr<WrittenEvents>>,
    calls: Option<YesOr<Vec<String>>>,
    secrets: Option<Vec<String>>,
    #[serde(default)]
    metrics: bool,
    hooks: Option<YesOr<Vec<String>>>,
    #[serde(default)]
    optional: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHttp {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    private: Vec<String>,
}

/// `true` or `false`, or what is granted in particular.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged)]
enum YesOr<T> {
    Plain(bool),
    These(T),
}

#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenState {
    #[serde(default)]
    prefixes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEvents {
    #[serde(default)]
    emit: Vec<String>,
    #[serde(default)]
    subscribe: Vec<String>,
}

impl WrittenGrants {
    /// Reads every value; what is wrong is pushed to `wrong`, with its key.
    pub(super) fn check(&self, wrong: &mut Vec<String>) -> Grants {
        let http = self.http.as_ref().map(|h| HttpGrant {
            allow: all("http.allow", &h.allow, str::parse::<OriginRule>, wrong),
            private: all("http.private", &h.private, str::parse::<Network>, wrong),
        });
        let state = these(self.state.as_ref(), StateGrant::default(), |t| StateGrant {
            prefixes: t.prefixes.clone(),
        });
        let every = || TopicPattern::new("*").into_iter().collect();
        let events = these(
            self.events.as_ref(),
            EventsGrant {
                emit: every(),
                subscribe: every(),
            },
            |t| EventsGrant {
                emit: all("events.emit", &t.emit, TopicPattern::new, wrong),
                subscribe: all("events.subscribe", &t.subscribe, TopicPattern::new, wrong),
            },
        );
        let calls = these(self.calls.as_ref(), CallsGrant::Dependencies, |ids| {
            CallsGrant::Plugins(all("calls", ids, PluginId::new, wrong))
        });
        let hooks = these(self.hooks.as_ref(), HooksGrant::All, |points| {
            HooksGrant::Points(all("hooks", points, PointName::new, wrong))
        });
        let secrets = self.secrets.as_ref();
        Grants {
            http,
            state,
            events,
            calls,
            secrets: secrets.map(|names| all("secrets", names, secret_name, wrong)),
            metrics: self.metrics,
            hooks,
            optional: all("optional", &self.optional, capability, wrong),
        }
    }
}

/// What a grant comes to: nothing, everything, or what is named.
fn these<W, T>(
    written: Option<&YesOr<W>>,
    everything: T,
    named: impl FnOnce(&W) -> T,
) -> Option<T> {
    match written? {
        YesOr::Plain(true) => Some(everything),
        YesOr::Plain(false) => None,
        YesOr::These(names) => Some(named(names)),
    }
}

/// Reads a list; what is wrong is pushed to `wrong`.
fn all<T, E: std::fmt::Display>(
    key: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, E>,
    wrong: &mut Vec<String>,
) -> Vec<T> {
    let one = |text: &String| match parse(text) {
        Ok(value) => Some(value),
        Err(e) => {
            wrong.push(format!("grants.{key}: {e}"));
            None
        }
    };
    texts.iter().filter_map(one).collect()
}

fn secret_name(text: &str) -> Result<String, String> {
    if super::is_secret_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no name of a secret: 1 to 64 of A-Z a-z 0-9 _ - . are allowed"
        ))
    }
}

fn capability(name: &str) -> Result<Capability, String> {
    let found = Capability::ALL.into_iter().find(|c| c.name() == name);
    found.ok_or_else(|| {
        let known: Vec<_> = Capability::ALL.iter().map(|c| c.name()).collect();
        format!(
            "no capability is called {name:?}; there are: {}",
            known.join(", ")
        )
    })
}
