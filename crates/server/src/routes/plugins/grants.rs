//! What a plugin asks for, what it was granted, what it used, and the lines that would grant the rest.

use engine::PluginStatus;
use model::grants::{Capability, Grants};
use model::manifest::Manifest;
use serde_json::{Map, Value, json};

/// All of it.
pub(super) fn view(p: &PluginStatus) -> Value {
    let about = p.about.as_deref();
    let grants = p.settings.as_deref().map(|s| &s.grants);
    let asked = about.map(|a| a.asks.iter().map(|c| c.name()).collect::<Vec<_>>());
    let missing = about.zip(grants).map(|(about, grants)| {
        let lines = about
            .asks
            .iter()
            .filter_map(|c| missing(*c, &about.manifest, grants));
        lines.collect::<Vec<_>>()
    });
    json!({
        "asked": asked,
        "details": about.map(|a| details(&a.manifest, grants.unwrap_or(&Grants::default()))),
        "granted": grants,
        "used": used(p),
        "missing": missing,
    })
}

/// Hooks, topics and dependencies in the manifest, and which of them its grants cover.
fn details(manifest: &Manifest, grants: &Grants) -> Value {
    let hooks = manifest.hooks.iter().map(|h| {
        let granted = grants.cover_hook(&h.point);
        json!({"point": h.point, "mode": h.mode, "granted": granted})
    });
    let topics = manifest.topics.iter().map(|t| {
        let granted = grants.cover_topic(t);
        json!({"topic": t, "granted": granted})
    });
    let dependencies = manifest.dependencies.iter().map(|d| {
        let may_call = grants.calls.as_ref().is_some_and(|g| g.covers(&d.id));
        json!({"id": d.id, "version": d.version, "optional": d.optional, "may_call": may_call})
    });
    json!({
        "hooks": hooks.collect::<Vec<_>>(),
        "topics": topics.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

/// For each capability, how often it was used and how often that was denied.
fn used(p: &PluginStatus) -> Value {
    let counts = Capability::ALL.iter().zip(&p.usage.capabilities);
    let one = |(capability, count): (&Capability, &model::plugin::CapabilityUse)| {
        let count = json!({"used": count.used, "denied": count.denied});
        (capability.name().to_owned(), count)
    };
    counts.map(one).collect::<Map<_, _>>().into()
}

/// What is asked for and not granted, with the line that would grant it.
fn missing(capability: Capability, manifest: &Manifest, grants: &Grants) -> Option<Value> {
    (!grants.cover(capability, manifest)).then(|| {
        let line = grants.line_for(capability, manifest);
        json!({"capability": capability.name(), "to_grant": line})
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::limits::Limits;
    use model::settings::WrittenSettings;

    fn grants(json: &str) -> Grants {
        let json = format!(r#"{{"grants":{json}}}"#);
        let written: WrittenSettings = serde_json::from_str(&json).unwrap();
        let settings = written.check(&Limits::defaults(), &Limits::ceilings());
        settings.unwrap().grants
    }

    #[test]
    fn the_lines_grant_what_is_asked_for() {
        let manifest = Manifest::parse(
            r#"{"id": "p", "version": "1.0.0", "dependencies": [{"id": "bridge"}], "topics": ["a.*"],
                "hooks": [{"point": "inlet", "mode": "before"}, {"point": "chat_request", "mode": "after"}]}"#,
        )
        .unwrap();
        let check = |capability, granted: &str, line: Option<&str>| {
            let found = missing(capability, &manifest, &grants(granted));
            let found = found.map(|m| m["to_grant"].as_str().unwrap().to_owned());
            assert_eq!(found.as_deref(), line, "{capability:?} {granted}");
        };
        let all = Some(r#"grants.hooks = ["chat_request", "inlet"]"#);
        check(Capability::Hooks, "{}", all);
        check(Capability::Hooks, r#"{"hooks": ["inlet"]}"#, all);
        check(Capability::Hooks, r#"{"hooks": true}"#, None);
        let both = Some(r#"grants.events = { emit = ["x"], subscribe = ["a.*"] }"#);
        check(Capability::Events, r#"{"events": {"emit": ["x"]}}"#, both);
        let hear = Some(r#"grants.events = { subscribe = ["a.*"] }"#);
        check(Capability::Events, "{}", hear);
        check(Capability::Events, r#"{"events": true}"#, None);
        check(
            Capability::Calls,
            "{}",
            Some(r#"grants.calls = ["bridge"]"#),
        );
        check(Capability::State, "{}", Some("grants.state = true"));
    }
}
