//! What a component asks for, and the lines of configuration that would grant it. What is not known of it is left to the operator to fill in.

use model::grants::Capability;
use model::plugin::About;
use wasmparser::{Parser, Payload};

/// Something that needs a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) capability: Capability,
    /// What it gives, for people.
    pub(crate) gives: &'static str,
    /// The line that grants it, in the table `grants`.
    pub(crate) line: String,
    /// Must somebody write something in its place, since the component does not say what it needs?
    pub(crate) fill_in: bool,
}

/// The interfaces that a component imports.
pub(crate) fn imports(component: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentImportSection(section)) if depth == 0 => {
                let imports = section.into_iter().filter_map(Result::ok);
                names.extend(imports.map(|import| import.name.name.to_owned()));
            }
            Ok(_) => {}
            // Not a component after all: whoever loads it says so.
            Err(_) => break,
        }
    }
    names
}

/// All that a component asks for, in the order of the capabilities.
pub(crate) fn of(about: &About, imports: &[String]) -> Vec<Asked> {
    let capabilities = Capability::ALL.into_iter();
    let asked = capabilities.filter(|c| about.asks.contains(c));
    asked.map(|c| line(c, about, imports)).collect()
}

fn line(capability: Capability, about: &About, imports: &[String]) -> Asked {
    let manifest = &about.manifest;
    let (gives, line, fill_in) = match capability {
        Capability::Http => (
            "HTTP requests to these origins and no others",
            r#"http = { allow = ["https://api.example.com"] }"#.to_owned(),
            true,
        ),
        Capability::State => (
            "keys and values of its own that last",
            "state = true".into(),
            false,
        ),
        Capability::Events => {
            let emits = imports.iter().any(|i| i.starts_with("weir:host/events"));
            let own = emits.then(|| format!("{}.*", manifest.id));
            let topics = manifest.topics.iter().map(ToString::to_string);
            let pairs = [("emit", list(own)), ("subscribe", list(topics))];
            let there = pairs.iter().filter(|(_, topics)| topics != "[]");
            let keys: Vec<_> = there
                .map(|(key, topics)| format!("{key} = {topics}"))
                .collect();
            let gives = if emits {
                "it does not say on which topics it emits; these are the ones that begin with its id"
            } else {
                "the topics that it subscribes to"
            };
            (gives, format!("events = {{ {} }}", keys.join(", ")), false)
        }
        Capability::Calls => {
            let plugins = manifest.dependencies.iter().map(|d| d.id.to_string());
            let gives = if manifest.dependencies.is_empty() {
                "calls of other plugins: it names none that it depends on, so it can call nobody"
            } else {
                "calls of the plugins that it depends on"
            };
            (gives, format!("calls = {}", list(plugins)), false)
        }
        Capability::Secrets => (
            "the values of these secrets of the host's [secrets]",
            r#"secrets = ["name-of-the-secret"]"#.to_owned(),
            true,
        ),
        Capability::Metrics => (
            "metrics of its own beside the host's",
            "metrics = true".into(),
            false,
        ),
        Capability::Hooks => {
            let mut points: Vec<_> = manifest.hooks.iter().map(|h| h.point.to_string()).collect();
            points.sort();
            points.dedup();
            (
                "it may look into, change or refuse what happens at these points",
                format!("hooks = {}", list(points)),
                false,
            )
        }
    };
    Asked {
        capability,
        gives,
        line,
        fill_in,
    }
}

/// A list of texts as TOML.
fn list(texts: impl IntoIterator<Item = String>) -> String {
    let quoted: Vec<_> = texts
        .into_iter()
        .map(|t| toml::Value::String(t).to_string())
        .collect();
    format!("[{}]", quoted.join(", "))
}
