//! Every project that can be asked for is whole.

use clap::ValueEnum;

use super::*;

fn all() -> Vec<Project> {
    let mut projects = Vec::new();
    for kind in Kind::value_variants() {
        for language in Language::value_variants() {
            for capabilities in [&[][..], Capability::value_variants()] {
                projects.push(Project {
                    name: "word-count".to_owned(),
                    kind: *kind,
                    language: *language,
                    capabilities: capabilities.iter().copied().collect(),
                    sdk: "version = \"0.1\"".to_owned(),
                });
            }
        }
    }
    projects
}

#[test]
fn nothing_is_left_to_put_in() {
    for project in all() {
        for (path, text) in project.files() {
            assert!(!text.contains("{{"), "{project:?} {path}: {text}");
            assert!(
                text.ends_with('\n') && !text.ends_with("\n\n"),
                "{project:?} {path}"
            );
        }
    }
}

#[test]
fn what_is_toml_or_json_can_be_read() {
    for project in all() {
        for (path, text) in project.files() {
            if path.ends_with(".toml") {
                text.parse::<toml::Table>()
                    .unwrap_or_else(|e| panic!("{project:?} {path}: {e}"));
            } else if path.ends_with(".json") {
                serde_json::from_str::<serde_json::Value>(&text)
                    .unwrap_or_else(|e| panic!("{project:?} {path}: {e}"));
            }
        }
    }
}

#[test]
fn grants_are_what_a_host_reads() {
    for project in all() {
        let files = project.files();
        let settings = files.iter().find(|(path, _)| path == "word-count.toml");
        let needs =
            !project.capabilities.is_empty() || matches!(project.kind, Kind::Hook | Kind::Sink);
        assert_eq!(settings.is_some(), needs, "{project:?}");
        if let Some((_, text)) = settings {
            toml::from_str::<model::settings::WrittenSettings>(text)
                .unwrap_or_else(|e| panic!("{project:?}: {e}"));
        }
    }
}

#[test]
fn the_readme_names_every_file() {
    for project in all() {
        let files = project.files();
        let (_, readme) = files.iter().find(|(path, _)| path == "README.md").unwrap();
        for (path, _) in &files {
            let hidden =
                path.starts_with("wit/deps") || path.starts_with('.') || path == "README.md";
            assert!(
                hidden || readme.contains(&format!("| `{path}` | ")),
                "{project:?} {path}"
            );
            assert!(
                !readme.contains(&format!("| `{path}` |  |")),
                "{project:?} {path} has no purpose"
            );
        }
    }
}

#[test]
fn tools_are_those_of_the_guest_examples() {
    let requirements = include_str!("../../../../../scripts/requirements.txt");
    assert!(requirements.lines().any(|line| line == COMPONENTIZE_PY));
}

#[test]
fn names_for_code_and_people() {
    assert_eq!(pascal("word-count2"), "WordCount2");
    assert_eq!(title("word-count2"), "Word count2");
}
