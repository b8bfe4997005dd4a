//! The files of a new plugin. Writing them is the caller's business.

mod script;

use std::collections::BTreeSet;

use super::capability::Capability;
use super::kind::{Kind, Language, Templates};
use super::template::expand;
pub(super) use script::COMPONENTIZE_PY;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Project {
    /// The plugin's id, and the package's name.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) language: Language,
    pub(super) capabilities: BTreeSet<Capability>,
    /// What `Cargo.toml` says of weir-sdk, without features: `version = ".."` or `path = ".."`.
    pub(super) sdk: String,
}

/// A file's path in the project, and its text.
pub(super) type File = (String, String);

impl Project {
    /// All files, in the order in which a reader wants them.
    pub(super) fn files(&self) -> Vec<File> {
        let templates = self.kind.templates();
        let (mut files, values) = match self.language {
            Language::Rust => (self.rust_files(), self.rust_values()),
            Language::Python => (script::python_files(self), script::python_values(self)),
            Language::Js => (script::js_files(self), script::js_values(self)),
        };
        let grants = self.grants(templates);
        if !grants.is_empty() {
            files.push((format!("{}.toml", self.name), grants));
        }
        files.push(("tests/cases.toml".to_owned(), self.cases(templates)));
        files.push((
            ".gitignore".to_owned(),
            include_str!("../../templates/gitignore").to_owned(),
        ));
        files.push(("README.md".to_owned(), self.readme(&files)));
        let mut all = self.values(templates);
        all.extend(values);
        for (path, text) in &mut files {
            // The contract and lock files are as they are.
            if !path.starts_with("wit/") && !path.ends_with("lock.json") {
                *text = expand(text, &all);
            }
        }
        files
    }

    fn values(&self, templates: &Templates) -> Vec<(&'static str, String)> {
        vec![
            ("name", self.name.clone()),
            ("Type", pascal(&self.name)),
            ("Title", title(&self.name)),
            ("kind", templates.name.to_owned()),
            ("language", self.language.title().to_owned()),
            ("description", templates.description.to_owned()),
        ]
    }

    fn rust_files(&self) -> Vec<File> {
        let cargo = include_str!("../../templates/rust/Cargo.toml");
        vec![
            (
                "src/lib.rs".to_owned(),
                self.kind.templates().rust.to_owned(),
            ),
            ("Cargo.toml".to_owned(), cargo.to_owned()),
        ]
    }

    fn rust_values(&self) -> Vec<(&'static str, String)> {
        let uses = self.uses(|snippet| snippet.rust);
        let start = if uses.is_empty() {
            String::new()
        } else {
            format!(
                "\nfn start(&mut self) -> Result<(), Failure> {{\n    {}\n    Ok(())\n}}",
                uses.replace('\n', "\n    ")
            )
        };
        let manifest = if self.asks(Capability::Calls) {
            ".depends_on_optionally(\"neighbour\", \"*\")"
        } else {
            ""
        };
        let features = if self.asks(Capability::Http) {
            ", features = [\"http\"]"
        } else {
            ""
        };
        vec![
            ("sdk", format!("{{ {}{features} }}", self.sdk)),
            ("manifest", manifest.to_owned()),
            ("use", uses),
            ("start", start),
        ]
    }

    /// The operator's settings that the plugin needs. Empty if it needs none.
    fn grants(&self, templates: &Templates) -> String {
        let mut lines: Vec<_> = self
            .capabilities
            .iter()
            .map(|c| c.snippet().grant)
            .collect();
        if !templates.grants.is_empty() && !lines.contains(&templates.grants) {
            lines.push(templates.grants);
        }
        if lines.is_empty() {
            return String::new();
        }
        format!(
            "# The operator's settings for {{{{name}}}}: what it may use. Lies beside the component in the plugins folder.\n[grants]\n{}\n",
            lines.join("\n")
        )
    }

    fn cases(&self, templates: &Templates) -> String {
        let mut text = format!(
            "# Test cases for `weir test`: calls of the built component, and what must come of them.\n\n{}",
            templates.tests
        );
        if !templates.call.is_empty() {
            for capability in &self.capabilities {
                let case = capability.snippet().case;
                if !case.is_empty() {
                    text.push_str(&format!(
                        "\n[[case]]\nname = \"uses {}\"\n{}\n{case}\n",
                        capability.name(),
                        templates.call
                    ));
                }
            }
        }
        text
    }

    /// What the use of its capabilities is in a language.
    fn uses(&self, of: impl Fn(&super::capability::Snippet) -> &'static str) -> String {
        let uses: Vec<_> = self.capabilities.iter().map(|c| of(c.snippet())).collect();
        uses.join("\n")
    }

    fn asks(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// Has it tests that need no component?
    fn has_native_tests(&self, files: &[File]) -> bool {
        self.language == Language::Rust
            || files
                .iter()
                .any(|(path, _)| path.contains("test") && path.contains("logic"))
    }

    fn readme(&self, files: &[File]) -> String {
        let templates = self.kind.templates();
        let name = &self.name;
        let (setup, native) = match self.language {
            Language::Rust => ("", "cargo test"),
            Language::Python => (script::PYTHON_SETUP, "python3 -m unittest"),
            Language::Js => (
                "npm ci              # componentize-js, into node_modules/\n",
                "npm test",
            ),
        };
        let mut commands = format!(
            "{setup}weir build          # makes dist/{name}.wasm\nweir test           # tests/*.toml against it\n"
        );
        if self.has_native_tests(files) {
            commands.push_str(&format!("{native:<20}# its parts, without a host\n"));
        }
        if !templates.invoke.is_empty() {
            commands.push_str(&format!(
                "weir invoke dist/{name}.wasm {}\n",
                templates.invoke
            ));
        }
        commands.push_str("weir serve --plugins dist");
        let list: Vec<_> = files
            .iter()
            .filter(|(path, _)| !path.starts_with("wit/deps") && !path.starts_with('.'))
            .map(|(path, _)| format!("| `{path}` | {} |", purpose(path, name)))
            .collect();
        let values = [
            ("commands", commands),
            ("files", list.join("\n")),
            (
                "contract",
                if self.language == Language::Rust {
                    ", `wit/v0.1`"
                } else {
                    ": `wit/deps`"
                }
                .to_owned(),
            ),
        ];
        expand(include_str!("../../templates/README.md"), &values)
    }
}

/// What a file of a project is for.
fn purpose(path: &str, name: &str) -> &'static str {
    match path {
        "src/lib.rs" => "the plugin, and tests of its parts",
        "app.py" | "plugin.js" => "the plugin",
        "source.py" | "transform.py" | "sink.py" => "its role",
        "logic.py" | "logic.js" => "what it does, without the host",
        "test_logic.py" | "logic.test.js" => "tests of that",
        "weir_http.py" => "outgoing HTTP",
        "wit/world.wit" => "what it is and uses; the contract it builds on is beside it",
        "Cargo.toml" | "pyproject.toml" | "package.json" => {
            "its name and version, and what it needs to be built"
        }
        "package-lock.json" => "the same, to the last digit",
        "build.mjs" => "makes the component",
        "tests/cases.toml" => "calls of the component, and what must come of them",
        other if other.strip_suffix(".toml") == Some(name) => {
            "the operator's settings: what it may use"
        }
        _ => "",
    }
}

/// `word-count` as `WordCount`.
fn pascal(name: &str) -> String {
    name.split('-').map(capital).collect()
}

/// `word-count` as `Word count`.
fn title(name: &str) -> String {
    capital(&name.replace('-', " "))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests;
