//! The files of a plugin in Python or JavaScript: they bring their own world and the contract.

use serde_json::{Value, json};

use super::super::capability::Capability;
use super::super::contract;
use super::{File, Project};

/// Pinned as the ones that the guest examples are built with.
const PACKAGE_JSON: &str = include_str!("../../../../../guest-examples/javascript/package.json");
const PACKAGE_LOCK: &str =
    include_str!("../../../../../guest-examples/javascript/package-lock.json");
/// The name in both.
const PACKAGE_NAME: &str = "weir-javascript-guests";

/// What makes components of Python programs. A test compares it with the one that the guest examples are built with.
pub(crate) const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

pub(super) const PYTHON_SETUP: &str =
    "python3 -m venv .venv && .venv/bin/pip install {{componentize-py}}\n";

pub(super) fn python_files(project: &Project) -> Vec<File> {
    let mut files = own(project.kind.templates().python);
    if project.asks(Capability::Http) {
        files.push(own_one(
            "weir_http.py",
            include_str!("../../../templates/python/weir_http.py"),
        ));
    }
    files.push(own_one(
        "pyproject.toml",
        include_str!("../../../templates/python/pyproject.toml"),
    ));
    files.extend(wit(project, true));
    files
}

pub(super) fn python_values(project: &Project) -> Vec<(&'static str, String)> {
    let templates = project.kind.templates();
    let uses = project.uses(|snippet| snippet.python);
    let mut imports = imports(project);
    let (mut manifest, mut modules) = (vec![templates.manifest.0], "");
    if project.asks(Capability::Calls) {
        imports.push("grants");
        manifest.push("\"dependencies\": [{\"id\": \"neighbour\", \"optional\": True}],");
    }
    if project.asks(Capability::Http) {
        modules = "import weir_http";
    }
    imports.sort_unstable();
    let imports = imports.join(", ");
    let raises = if uses.contains("except Err") {
        "from componentize_py_types import Err"
    } else {
        ""
    };
    vec![
        (
            "head",
            include_str!("../../../templates/python/head.py").to_owned(),
        ),
        ("imports", prefixed(", ", &imports)),
        (
            "imports_alone",
            prefixed("from wit_world.imports import ", &imports),
        ),
        ("modules", modules.to_owned()),
        ("err", raises.to_owned()),
        ("manifest", lines(&manifest)),
        // Stages use what they ask for when they start, everybody else in a call.
        (
            "start",
            if templates.call.is_empty() {
                uses.clone()
            } else {
                String::new()
            },
        ),
        ("use", uses),
        ("componentize-py", COMPONENTIZE_PY.to_owned()),
    ]
}

/// The host interfaces that the capabilities stand for. HTTP has its own way in each language.
fn imports(project: &Project) -> Vec<&'static str> {
    let asked = project.capabilities.iter();
    let own = asked.filter(|c| **c != Capability::Http);
    own.map(|c| c.name()).collect()
}

pub(super) fn js_files(project: &Project) -> Vec<File> {
    let mut files = own(project.kind.templates().js);
    files.push(("package.json".to_owned(), package_json(project)));
    files.push((
        "package-lock.json".to_owned(),
        PACKAGE_LOCK.replace(PACKAGE_NAME, &project.name),
    ));
    files.push(own_one(
        "build.mjs",
        include_str!("../../../templates/js/build.mjs"),
    ));
    // HTTP is `fetch`: the engine brings it.
    files.extend(wit(project, false));
    files
}

pub(super) fn js_values(project: &Project) -> Vec<(&'static str, String)> {
    let templates = project.kind.templates();
    let uses = project.uses(|snippet| snippet.js);
    let mut imports = imports(project);
    let mut manifest = vec![templates.manifest.1];
    if project.asks(Capability::Calls) {
        imports.push("grants");
        manifest.push("dependencies: [{ id: 'neighbour', optional: true }],");
    }
    // The template imports what the kind itself needs.
    imports.retain(|name| {
        !templates
            .js
            .iter()
            .any(|(_, text)| text.contains(&format!("import * as {name} ")))
    });
    imports.sort_unstable();
    let imports: Vec<_> = imports
        .iter()
        .map(|name| format!("import * as {name} from 'weir:host/{name}@0.1.0';"))
        .collect();
    let http = project.asks(Capability::Http);
    let wait = if http { "async " } else { "" };
    let start = if uses.is_empty() {
        "start() {},".to_owned()
    } else {
        format!("{wait}start() {{\n  {}\n}},", uses.replace('\n', "\n  "))
    };
    let features = if http {
        "'fetch-event'"
    } else {
        "'http', 'fetch-event'"
    };
    vec![
        (
            "head",
            include_str!("../../../templates/js/head.js").to_owned(),
        ),
        ("imports", imports.join("\n")),
        ("async", wait.to_owned()),
        ("features", features.to_owned()),
        ("manifest", lines(&manifest)),
        // Stages use what they ask for when they start, everybody else in a call.
        (
            "start",
            if templates.call.is_empty() {
                start
            } else {
                "start() {},".to_owned()
            },
        ),
        ("use", uses),
    ]
}

/// `package.json`: that of the guest examples, with the project's own name, version and description.
fn package_json(project: &Project) -> String {
    let mut package: Value = serde_json::from_str(PACKAGE_JSON).unwrap_or_default();
    if let Value::Object(package) = &mut package {
        package.shift_remove("license");
        package.insert("name".to_owned(), json!(project.name));
        package.insert("version".to_owned(), json!("0.1.0"));
        package.insert(
            "description".to_owned(),
            json!(project.kind.templates().description),
        );
        package.insert(
            "scripts".to_owned(),
            json!({"build": "node build.mjs dist/{{name}}.wasm", "test": "node --test"}),
        );
    }
    format!("{package:#}\n")
}

/// The world and the contract it builds on. `wasi`: does the language need WASI's HTTP spelled out?
fn wit(project: &Project, wasi: bool) -> Vec<File> {
    let templates = project.kind.templates();
    let mut imports: Vec<_> = project
        .capabilities
        .iter()
        .filter(|c| wasi || **c != Capability::Http)
        .map(|c| c.snippet().import)
        .collect();
    if templates.grants.starts_with("state") && !project.asks(Capability::State) {
        imports.push(Capability::State.snippet().import);
    }
    let mut files = vec![(
        "wit/world.wit".to_owned(),
        contract::world(templates.roles, &imports),
    )];
    files.extend(own(contract::FILES));
    if wasi && project.asks(Capability::Http) {
        files.extend(own(contract::WASI_HTTP));
    }
    files
}

fn own(files: &[(&str, &str)]) -> Vec<File> {
    files
        .iter()
        .map(|(path, text)| own_one(path, text))
        .collect()
}

fn own_one(path: &str, text: &str) -> File {
    (path.to_owned(), text.to_owned())
}

fn lines(given: &[&str]) -> String {
    let given: Vec<_> = given
        .iter()
        .copied()
        .filter(|line| !line.is_empty())
        .collect();
    given.join("\n")
}

fn prefixed(prefix: &str, list: &str) -> String {
    if list.is_empty() {
        String::new()
    } else {
        format!("{prefix}{list}")
    }
}
