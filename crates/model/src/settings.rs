//! An operator's settings for one plugin: limits, grants, reuse, its own configuration and start valves.
//!
//! Written as `[plugins.<id>]` in `weir.toml`, or as `<name>.toml` beside the component. Reading files is the binary's business.

mod grants;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::grants::Grants;
use crate::limits::Limits;
use grants::WrittenGrants;

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

/// When a plugin that crashed is started again. A crash is too many faults in a short time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Always; also when its start said no, unless that was its configuration.
    Permanent,
    /// After a crash, and after a start that failed for a reason that may pass.
    #[default]
    Transient,
    /// Never.
    Temporary,
}

/// What happens when more events come than a plugin hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The oldest that waits is dropped and counted.
    #[default]
    DropOldest,
    /// Plugins that emit wait for it, up to a second, and are then told that there is no room. The host's own events never wait.
    BackPressure,
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
    /// When it is started again.
    pub restart: Restart,
    /// What happens when more events come than it hears.
    pub overflow: Overflow,
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
    restart: Restart,
    #[serde(default)]
    overflow: Overflow,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    #[serde(default)]
    grants: WrittenGrants,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    valves: Map<String, Value>,
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
            restart: self.restart,
            overflow: self.overflow,
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

/// Is it a name for a secret: 1 to 64 of `A-Z a-z 0-9 _ - .`?
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Topic;
    use crate::grants::Capability;

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
    #[test]
    fn grants_of_what_reaches_other_plugins_are_read() {
        let s = check(
            r#"{"restart":"permanent","overflow":"back_pressure","grants":{"events":true,"calls":["b"],
                "secrets":["k"],"metrics":true,"hooks":["chat_request","b/p"]}}"#,
        )
        .unwrap();
        for capability in Capability::ALL {
            let given = !matches!(capability, Capability::Http | Capability::State);
            assert_eq!(s.grants.has(capability), given, "{capability:?}");
        }
        let events = s.grants.events.unwrap();
        assert!(events.may_emit(&Topic::new("a.b").unwrap()));
        assert!(!events.may_emit(&Topic::new("weir.plugin.started").unwrap()));
        let e = check(
            r#"{"grants":{"events":{"emit":["a b"],"subscribe":["*x"]},"calls":["../x"],"secrets":["a b"],"hooks":["chat"]}}"#,
        )
        .unwrap_err();
        for part in [
            "events.emit",
            "events.subscribe",
            "calls",
            "secrets",
            "hooks",
        ] {
            assert!(e.contains(&format!("grants.{part}:")), "{part} in {e}");
        }
    }
}
