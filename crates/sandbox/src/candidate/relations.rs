//! Does what a manifest says of hooks and topics fit the roles that the component exports and the grants that the operator gave?

use std::collections::BTreeSet;

use model::error::LoadError;
use model::grants::{Capability, Grants};
use model::manifest::Manifest;
use model::plugin::Role;

use crate::admission::{self, Interfaces};

/// What a manifest asks for, beside the imports.
pub(super) fn asks(manifest: &Manifest) -> impl Iterator<Item = Capability> {
    let hooks = (!manifest.hooks.is_empty()).then_some(Capability::Hooks);
    let topics = (!manifest.topics.is_empty()).then_some(Capability::Events);
    hooks.into_iter().chain(topics)
}

/// A manifest can name only hooks and topics that the component has a role for.
pub(super) fn check_roles(manifest: &Manifest, roles: &BTreeSet<Role>) -> Result<(), LoadError> {
    for (key, named, role) in [
        ("hooks", !manifest.hooks.is_empty(), Role::Hooks),
        ("topics", !manifest.topics.is_empty(), Role::Subscriber),
    ] {
        if named && !roles.contains(&role) {
            return Err(LoadError::Manifest(format!(
                "it has {key}, and the component does not export weir:plugin/{}",
                role.name()
            )));
        }
    }
    Ok(())
}

/// What an operator should know before any grant is looked at.
pub(super) fn notes(manifest: &Manifest, roles: &BTreeSet<Role>) -> Vec<String> {
    let mut notes = Vec::new();
    if roles.contains(&Role::Hooks) && manifest.hooks.is_empty() {
        notes.push("its role hooks is never called: its manifest names no hooks".into());
    }
    let hears_nothing = manifest.topics.is_empty() && manifest.dependencies.is_empty();
    if roles.contains(&Role::Subscriber) && hears_nothing {
        notes.push("its role subscriber is never called: its manifest names no topics".into());
    }
    notes
}

/// Every import that needs a grant has one, or is optional.
pub(super) fn check_imports(
    interfaces: &Interfaces,
    grants: &Grants,
    settings_file: &str,
) -> Result<(), LoadError> {
    for import in &interfaces.imports {
        if let Some(capability) = Capability::of_interface(import)
            && !grants.links(capability)
        {
            return Err(admission::missing_grant(import, capability, settings_file));
        }
    }
    Ok(())
}

/// Every hook and topic is granted, or optional. Returns notes on those that are inactive for want of a grant.
pub(super) fn check_grants(
    manifest: &Manifest,
    grants: &Grants,
    settings_file: &str,
) -> Result<Vec<String>, LoadError> {
    let hooks = BTreeSet::from_iter(manifest.hooks.iter().map(|h| &h.point));
    let hooks = hooks
        .into_iter()
        .filter(|point| !grants.cover_hook(point))
        .map(|point| format!("the hook at {point}"));
    let topics = manifest
        .topics
        .iter()
        .filter(|topic| !grants.cover_topic(topic))
        .map(|topic| format!("the topic {topic}"));
    let mut notes = Vec::new();
    for (missing, capability) in [
        (hooks.collect::<Vec<_>>(), Capability::Hooks),
        (topics.collect(), Capability::Events),
    ] {
        let Some(first) = missing.first() else {
            continue;
        };
        let line = grants.line_for(capability, manifest);
        if !grants.optional.contains(&capability) {
            return Err(LoadError::MissingGrant {
                interface: first.clone(),
                file: settings_file.into(),
                line,
            });
        }
        notes.extend(missing.iter().map(|what| {
            format!("{what} is inactive: it is not granted; to grant it, write in {settings_file}: {line}")
        }));
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use model::events::TopicPattern;
    use model::grants::{EventsGrant, HooksGrant};
    use model::hooks::PointName;

    use super::*;

    fn manifest() -> Manifest {
        Manifest::parse(
            r#"{"id":"a","version":"1.0.0","topics":["orders.*","x"],"hooks":[
                {"point":"chat_request","mode":"before"},{"point":"b/p","mode":"after"}]}"#,
        )
        .unwrap()
    }

    fn patterns(texts: &[&str]) -> Vec<TopicPattern> {
        let all = texts.iter().map(|t| TopicPattern::new(t).unwrap());
        all.collect()
    }

    #[test]
    fn one_line_grants_every_hook() {
        let mut grants = Grants {
            hooks: Some(HooksGrant::Points(vec![
                PointName::new("chat_request").unwrap(),
            ])),
            ..Grants::default()
        };
        let error = check_grants(&manifest(), &grants, "a.toml").unwrap_err();
        assert_eq!(
            error,
            LoadError::MissingGrant {
                interface: "the hook at b/p".into(),
                file: "a.toml".into(),
                line: r#"grants.hooks = ["b/p", "chat_request"]"#.into(),
            }
        );
        grants.hooks = Some(HooksGrant::All);
        let error = check_grants(&manifest(), &grants, "a.toml").unwrap_err();
        assert!(error.to_string().contains("the topic orders.*"), "{error}");
        grants.events = Some(EventsGrant {
            emit: patterns(&["y"]),
            subscribe: patterns(&["x"]),
        });
        let error = check_grants(&manifest(), &grants, "a.toml").unwrap_err();
        let line = r#"grants.events = { emit = ["y"], subscribe = ["orders.*", "x"] }"#;
        assert!(error.to_string().contains(line), "{error}");
        grants.events = Some(EventsGrant {
            emit: Vec::new(),
            subscribe: patterns(&["*"]),
        });
        assert_eq!(check_grants(&manifest(), &grants, "a.toml"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_optional_is_inactive_and_noted() {
        let grants = Grants {
            optional: vec![Capability::Hooks, Capability::Events],
            ..Grants::default()
        };
        let notes = check_grants(&manifest(), &grants, "a.toml").unwrap();
        assert_eq!(notes.len(), 4, "{notes:?}");
        assert!(
            notes[0].contains("the hook at chat_request is inactive") || notes[0].contains("b/p")
        );
    }

    #[test]
    fn what_has_no_role_is_the_authors_mistake() {
        let both = BTreeSet::from([Role::Hooks, Role::Subscriber]);
        assert_eq!(check_roles(&manifest(), &both), Ok(()));
        for role in [Role::Hooks, Role::Subscriber] {
            let error = check_roles(&manifest(), &BTreeSet::from([role])).unwrap_err();
            assert_eq!(error.code(), "bad_manifest", "{error}");
        }
        let empty = Manifest::parse(r#"{"id":"a","version":"1.0.0"}"#).unwrap();
        assert_eq!(notes(&empty, &both).len(), 2);
        assert_eq!(asks(&empty).count(), 0);
        assert_eq!(asks(&manifest()).count(), 2);
    }
}
