//! An operator's settings for one plugin: limits, grants, reuse, its own configuration and start valves.
//!
//! Written as `[plugins.<id>]` in `weir.toml`, or as `<name>.toml` beside the component. Reading files is the binary's business.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::egress::{Network, OriginRule};
use crate::grants::{Capability, Grants, HttpGrant, StateGrant};
use crate::limits::Limits;

/// How instances are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// Several warm instances; each serves one call at a time and is replaced after a number of calls.
    #[default]
    Pool,
    /// A fresh instance for each call.
    Call,
    /// One instance that lives as long as the version; calls come in order.
    Single,
}

/// Checked settings of one plugin.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PluginSettings {
    /// The only component these settings are for, by its SHA-256, 64 lower-case hex digits; none: any that has the id or the name.
    pub digest: Option<String>,
    /// What it may use up.
    pub limits: Limits,
    /// What it may reach.
    pub grants: Grants,
    /// How its instances are used.
    pub reuse: Reuse,
    /// Handed to `init` as `config`.
    pub config: Map<String, Value>,
    /// Values of its valves that the operator starts it with.
    pub valves: Map<String, Value>,
}

/// Settings as they are written. [`WrittenSettings::check`] turns them into [`PluginSettings`].
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenSettings {
    digest: Option<String>,
    #[serde(default)]
    reuse: Reuse,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    #[serde(default)]
    grants: WrittenGrants,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    valves: Map<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGrants {
    http: Option<WrittenHttp>,
    state: Option<WrittenState>,
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

/// `true`, or a table.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged)]
enum WrittenState {
    Plain(bool),
    Table(WrittenStateTable),
}

#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStateTable {
    #[serde(default)]
    prefixes: Vec<String>,
}

impl WrittenSettings {
    /// Checks every value; all that is wrong is reported at once, each with its key.
    ///
    /// `defaults` are the host's limits for plugins that say nothing, `ceilings` the highest values a plugin may have.
    ///
    /// # Errors
    /// One sentence for each value that is wrong.
    pub fn check(
        &self,
        defaults: &Limits,
        ceilings: &Limits,
    ) -> Result<PluginSettings, Vec<String>> {
        let mut wrong = Vec::new();
        let digest = self.digest.as_deref().map(str::to_ascii_lowercase);
        if digest.as_deref().is_some_and(|d| !is_sha256(d)) {
            let given = self.digest.as_deref().unwrap_or_default();
            let given: String = given.chars().take(100).collect();
            wrong.push(format!(
                "digest: {given:?} is no SHA-256; allowed are 64 hex digits, as sha256sum prints them"
            ));
        }
        let limits = limits_from(&self.limits, defaults, ceilings, &mut wrong);
        let grants = self.grants.check(&mut wrong);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(PluginSettings {
            digest,
            limits,
            grants,
            reuse: self.reuse,
            config: self.config.clone(),
            valves: self.valves.clone(),
        })
    }
}

impl PluginSettings {
    /// Are these settings for a component with this SHA-256, 64 lower-case hex digits?
    ///
    /// # Errors
    /// A sentence with the digest that is expected and the one found.
    pub fn covers(&self, found: &str) -> Result<(), String> {
        match &self.digest {
            Some(expected) if expected != found => Err(format!(
                "digest: they are for the component with the SHA-256 {expected}, but this one has {found}; if it is meant to have these settings, write its digest there"
            )),
            Some(_) | None => Ok(()),
        }
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Reads a table of limits over `defaults`. What is wrong is pushed to `wrong`.
#[must_use]
pub fn limits_from(
    written: &BTreeMap<String, u64>,
    defaults: &Limits,
    ceilings: &Limits,
    wrong: &mut Vec<String>,
) -> Limits {
    let mut limits = defaults.clone();
    for (name, value) in written {
        if let Err(e) = limits.set(name, *value, ceilings) {
            wrong.push(format!("limits.{name}: {e}"));
        }
    }
    limits
}

impl WrittenGrants {
    fn check(&self, wrong: &mut Vec<String>) -> Grants {
        let mut list = |key: &str, texts: &[String]| -> Vec<OriginRule> {
            texts
                .iter()
                .filter_map(|t| {
                    t.parse()
                        .map_err(|e| wrong.push(format!("grants.{key}: {e}")))
                        .ok()
                })
                .collect()
        };
        let allow = self.http.as_ref().map(|h| list("http.allow", &h.allow));
        let private = self.http.as_ref().map(|h| {
            h.private
                .iter()
                .filter_map(|t| {
                    t.parse::<Network>()
                        .map_err(|e| wrong.push(format!("grants.http.private: {e}")))
                        .ok()
                })
                .collect()
        });
        let optional = self
            .optional
            .iter()
            .filter_map(|name| {
                let found = Capability::ALL.into_iter().find(|c| c.name() == name);
                if found.is_none() {
                    let known: Vec<_> = Capability::ALL.iter().map(|c| c.name()).collect();
                    wrong.push(format!(
                        "grants.optional: no capability is called {name:?}; there are: {}",
                        known.join(", ")
                    ));
                }
                found
            })
            .collect();
        Grants {
            http: allow
                .zip(private)
                .map(|(allow, private)| HttpGrant { allow, private }),
            state: match &self.state {
                Some(WrittenState::Plain(true)) => Some(StateGrant::default()),
                Some(WrittenState::Table(t)) => Some(StateGrant {
                    prefixes: t.prefixes.clone(),
                }),
                Some(WrittenState::Plain(false)) | None => None,
            },
            optional,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<PluginSettings, String> {
        let written: WrittenSettings = serde_json::from_str(json).map_err(|e| e.to_string())?;
        written
            .check(&Limits::defaults(), &Limits::ceilings())
            .map_err(|w| w.join("\n"))
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let e = check(r#"{"limits":{"fule":1},"grants":{"http":{"allow":["x"],"private":["y"]},"optional":["z"]}}"#).unwrap_err();
        for part in ["limits.fule", "http.allow", "http.private", "\"z\""] {
            assert!(e.contains(part), "{part} in {e}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(
            check(r#"{"reuse":"pool","limts":{}}"#)
                .unwrap_err()
                .contains("limts")
        );
        assert!(check(r#"{"reuse":"never"}"#).unwrap_err().contains("never"));
    }

    #[test]
    fn a_digest_is_whole_and_names_one_component() {
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            let e = check(&format!(r#"{{"digest":"{bad}"}}"#)).unwrap_err();
            assert!(e.contains("digest") && e.contains("64 hex digits"), "{e}");
        }
        let (mine, other) = ("ab".repeat(32), "cd".repeat(32));
        for written in [mine.clone(), mine.to_uppercase()] {
            let settings = check(&format!(r#"{{"digest":"{written}"}}"#)).unwrap();
            assert_eq!(settings.covers(&mine), Ok(()));
            let e = settings.covers(&other).unwrap_err();
            assert!(e.contains(&mine) && e.contains(&other), "{e}");
        }
        assert_eq!(check("{}").unwrap().covers(&other), Ok(()));
    }

    #[test]
    fn grants_are_read() {
        let s =
            check(r#"{"reuse":"single","grants":{"state":true,"http":{"allow":["https://a.b"]}}}"#)
                .unwrap();
        assert!(s.grants.has(Capability::State) && s.grants.has(Capability::Http));
        assert_eq!(s.reuse, Reuse::Single);
        assert!(
            !check(r#"{"grants":{"state":false}}"#)
                .unwrap()
                .grants
                .has(Capability::State)
        );
    }
}
