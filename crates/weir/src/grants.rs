//! `weir grants suggest`: the lines of configuration that grant what a plugin asks for, ready to be pasted. Granting is the operator's: nothing is written.

use std::path::PathBuf;

use anyhow::Context;

use crate::check::Seen;
use crate::check::asked::{self, Asked};
use crate::{Failure, logs, say};

/// The options of `grants suggest`.
#[derive(Debug, clap::Args)]
pub(crate) struct SuggestArgs {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    component: PathBuf,
    /// Write it as for the settings file beside the component, not as for the host configuration
    #[arg(long)]
    beside: bool,
}

/// Prints what a plugin asks for.
pub(crate) fn suggest(arguments: &SuggestArgs) -> Result<(), Failure> {
    logs::start(Some("error"));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let seen = runtime.block_on(Seen::of(&arguments.component, None))?;
    let about = seen
        .about
        .map_err(|e| Failure::Data(format!("{}: {e}", arguments.component.display())))?;
    let asked = asked::of(&about, &seen.imports);
    let id = about.manifest.id.as_str();
    let head = if arguments.beside {
        let file = arguments.component.with_extension("toml");
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        (
            format!("in {name}, beside the component"),
            "[grants]".to_owned(),
        )
    } else {
        let key = toml::Value::String(id.to_owned());
        (
            "in the host configuration, weir.toml".to_owned(),
            format!("[plugins.{key}.grants]"),
        )
    };
    let version = &about.manifest.version;
    say(&text(&format!("{id} {version}"), &head, &asked));
    Ok(())
}

fn text(plugin: &str, (place, table): &(String, String), asked: &[Asked]) -> String {
    if asked.is_empty() {
        return format!("# {plugin} asks for nothing");
    }
    let mut lines = vec![
        format!("# What {plugin} asks for; write it {place}"),
        table.clone(),
    ];
    for asked in asked {
        let name = asked.capability.name();
        lines.push(format!("# {name}: {}", asked.gives));
        if asked.fill_in {
            lines.push("# it does not say which: fill them in, and take the # away".into());
            lines.push(format!("# {}", asked.line));
        } else {
            lines.push(asked.line.clone());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use model::grants::Capability;
    use model::limits::Limits;
    use model::settings::WrittenSettings;

    use super::*;

    #[test]
    fn placeholders_are_accepted_once_they_are_filled_in() {
        let asked = [Asked {
            capability: Capability::Http,
            gives: "HTTP",
            line: r#"http = { allow = ["https://api.example.com"] }"#.into(),
            fill_in: true,
        }];
        let head = (String::new(), "[grants]".to_owned());
        let text = text("a 1.0.0", &head, &asked);
        let check = |text: &str| {
            let written: WrittenSettings = toml::from_str(text).unwrap();
            written
                .check(&Limits::defaults(), &Limits::ceilings())
                .unwrap()
                .grants
        };
        assert!(!check(&text).has(Capability::Http), "{text}");
        let filled = text.replace("# http =", "http =");
        assert!(check(&filled).has(Capability::Http), "{filled}");
    }
}
