//! The rules the code keeps: who may depend on whom, how files look, and what they never name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::guests::root;
use serde_json::Value;

/// What a crate may use: its own fellow crates, and what must not be anywhere below it.
struct Layer {
    name: &'static str,
    fellows: &'static [&'static str],
    never: &'static [&'static str],
}

const LAYERS: [Layer; 8] = [
    Layer {
        name: "model",
        fellows: &[],
        never: &["tokio", "wasmtime", "hyper", "axum", "rusqlite"],
    },
    Layer {
        name: "engine",
        fellows: &["model"],
        never: &["wasmtime", "hyper", "axum", "rusqlite"],
    },
    Layer {
        name: "sandbox",
        fellows: &["model"],
        never: &["axum", "rusqlite"],
    },
    Layer {
        name: "adapters",
        fellows: &["model"],
        never: &["wasmtime", "axum"],
    },
    Layer {
        name: "server",
        fellows: &["engine", "model"],
        never: &["wasmtime", "rusqlite"],
    },
    Layer {
        name: "weir",
        fellows: &[
            "adapters",
            "engine",
            "model",
            "sandbox",
            "server",
            "weir-testkit",
        ],
        never: &["openssl", "openssl-sys"],
    },
    Layer {
        name: "weir-testkit",
        fellows: &["engine", "model", "sandbox"],
        never: &["axum", "rusqlite"],
    },
    Layer {
        name: "weir-sdk",
        fellows: &[],
        never: &["tokio", "wasmtime", "hyper"],
    },
];

/// What `cargo metadata` knows: of each package by id its name, and what it needs to run.
struct Graph {
    names: BTreeMap<String, String>,
    needs: BTreeMap<String, Vec<String>>,
    members: BTreeSet<String>,
}

impl Graph {
    fn read() -> Self {
        // Offline, so only what was fetched for this platform is there.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--offline"])
            .args(["--filter-platform", &platform])
            .current_dir(root())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {error}");
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let list = |v: &Value| v.as_array().unwrap().clone();
        let normal = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|k| k["kind"].is_null());
        Self {
            names: list(&all["packages"])
                .iter()
                .map(|p| (text(&p["id"]), text(&p["name"])))
                .collect(),
            needs: list(&all["resolve"]["nodes"])
                .iter()
                .map(|n| {
                    let deps = list(&n["deps"]);
                    let deps = deps.iter().filter(|d| normal(d)).map(|d| text(&d["pkg"]));
                    (text(&n["id"]), deps.collect())
                })
                .collect(),
            members: list(&all["workspace_members"]).iter().map(text).collect(),
        }
    }

    fn member(&self, name: &str) -> &String {
        let found = self.members.iter().find(|id| self.names[*id] == name);
        found.unwrap_or_else(|| panic!("no crate {name} in the workspace"))
    }

    /// The fellow crates it names itself.
    fn fellows(&self, name: &str) -> BTreeSet<&str> {
        self.needs[self.member(name)]
            .iter()
            .filter(|id| self.members.contains(*id))
            .map(|id| self.names[id].as_str())
            .collect()
    }

    /// All it needs, however far down.
    fn below(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut next = vec![self.member(name)];
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                next.extend(&self.needs[id]);
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn crates_depend_downwards_only() {
    let graph = Graph::read();
    for layer in LAYERS {
        let allowed: BTreeSet<_> = layer.fellows.iter().copied().collect();
        let extra: Vec<_> = graph
            .fellows(layer.name)
            .difference(&allowed)
            .copied()
            .collect();
        assert!(extra.is_empty(), "{} depends on {extra:?}", layer.name);
        let below = graph.below(layer.name);
        for never in layer.never {
            assert!(
                !below.contains(never),
                "{} has {never} below it",
                layer.name
            );
        }
    }
    let known: BTreeSet<_> = LAYERS.iter().map(|l| l.name).chain(["e2e"]).collect();
    for id in &graph.members {
        let name = graph.names[id].as_str();
        assert!(known.contains(name), "{name} has no place in the layers");
    }
}

/// Files of the project that people wrote, of these kinds.
fn files(kinds: &[&str]) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 8] = [
        "target",
        "node_modules",
        ".git",
        ".cargo",
        ".tools",
        "dist",
        "openwebui",
        "__pycache__",
    ];
    fn walk(folder: &Path, kinds: &[&str], found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            let kind = path.extension().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                walk(&path, kinds, found);
            } else if kinds.contains(&&*kind) || (kinds.contains(&"") && kind.is_empty()) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), kinds, &mut found);
    assert!(!found.is_empty());
    found
}

/// Reads each file and collects what the rule says of it.
fn check(kinds: &[&str], rule: impl Fn(&Path, &str) -> Vec<String>) {
    let mut wrong = Vec::new();
    for path in files(kinds) {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        for complaint in rule(&path, &text) {
            wrong.push(format!("{}: {complaint}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn source_files_say_what_they_are_and_stay_short() {
    check(&["rs"], |path, text| {
        let mut wrong = Vec::new();
        if !text.starts_with("//!") {
            wrong.push("it does not open with //!".into());
        }
        let lines = text.lines().count();
        if lines > 800 {
            wrong.push(format!("it has {lines} lines; 800 are allowed"));
        }
        if path.file_name().is_some_and(|n| n == "mod.rs") {
            wrong.push("write foo.rs beside foo/, not foo/mod.rs".into());
        }
        wrong
    });
}

#[test]
fn types_have_names_that_say_something() {
    let vague =
        regex::Regex::new(r"\b(struct|enum|trait|type) \w*(Manager|Handler|Helper|Util|Utils)\b")
            .unwrap();
    let ignored = regex::Regex::new(r"(?m)^\s*#\[ignore").unwrap();
    check(&["rs"], |_, text| {
        let mut wrong: Vec<_> = vague.find_iter(text).map(|m| m.as_str().into()).collect();
        if ignored.is_match(text) {
            wrong.push("a test is ignored".into());
        }
        wrong
    });
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/."),
        concat!("/tmp/ba", "sh_jobs"),
        concat!("/tmp/bri", "ef"),
        concat!("/tmp/tar", "get-"),
    ];
    let kinds = [
        "rs", "toml", "md", "sh", "py", "js", "mjs", "json", "yml", "yaml", "wit", "lock", "txt",
        "",
    ];
    check(&kinds, |_, text| {
        let found = words.iter().filter(|w| text.contains(**w));
        found.map(|w| format!("it names {w}")).collect()
    });
}
