//! `weir build`: makes the component of a project with the tools of its language, and puts it into the project's folder `dist`, which is
//! then a plugins folder. What the tools say is theirs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow};

use super::kind::Language;
use super::toolchain::{self, TARGET};
use crate::{Failure, complain, say};

/// The options of `build`.
#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// A component that was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The component, `<project>/dist/<name>.wasm`. The operator's settings, where the project has some, are beside it.
    pub(crate) component: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Builds, and says what and how large it is.
pub(crate) fn run(arguments: &BuildArgs) -> Result<(), Failure> {
    let built = build(&arguments.dir)?;
    say(&format!(
        "{}: {} KiB",
        built.component.display(),
        built.bytes.div_ceil(1024)
    ));
    Ok(())
}

/// Builds the project in a folder.
///
/// # Errors
/// The folder holds no project; a tool is missing, and how to get it; or the build fails.
pub(crate) fn build(folder: &Path) -> Result<Built, Failure> {
    let (name, built) = match language(folder)? {
        Language::Rust => rust(folder)?,
        Language::Python => python(folder)?,
        Language::Js => js(folder)?,
    };
    let dist = folder.join("dist");
    let component = dist.join(format!("{name}.wasm"));
    let bytes = place(&built, &component)?;
    let (settings, beside) = (
        folder.join(format!("{name}.toml")),
        component.with_extension("toml"),
    );
    if settings.is_file() {
        place(&settings, &beside)?;
    } else if beside.exists() {
        std::fs::remove_file(&beside).with_context(|| beside.display().to_string())?;
    }
    Ok(Built { component, bytes })
}

/// The language of the project in a folder.
///
/// # Errors
/// The folder holds no project.
pub(crate) fn language(folder: &Path) -> Result<Language, Failure> {
    let there = |name: &str| folder.join(name).is_file();
    if there("Cargo.toml") {
        Ok(Language::Rust)
    } else if there("app.py") && folder.join("wit").is_dir() {
        Ok(Language::Python)
    } else if there("package.json") && there("build.mjs") {
        Ok(Language::Js)
    } else {
        Err(Failure::Data(format!(
            "{}: no project; there must be Cargo.toml (Rust), app.py and wit/ (Python), or package.json and build.mjs (JavaScript)",
            folder.display()
        )))
    }
}

/// The name of the package in a folder, and the component that cargo makes of it.
fn rust(folder: &Path) -> Result<(String, PathBuf), Failure> {
    let manifest = folder.join("Cargo.toml");
    let name = name_in(&manifest, "package")?;
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--lib", "--target", TARGET])
        .current_dir(folder);
    if let Some(rustc) = toolchain::rustc(folder)? {
        complain(&format!("weir build: with {}", rustc.display()));
        cargo.env("RUSTC", rustc);
    }
    announce(&cargo);
    let messages = toolchain::run(cargo.arg("--message-format=json-render-diagnostics"))?;
    let manifest = manifest
        .canonicalize()
        .with_context(|| manifest.display().to_string())?;
    let of_package = |message: &serde_json::Value| {
        let text = |key: &str| message.get(key).and_then(serde_json::Value::as_str);
        text("reason") == Some("compiler-artifact")
            && text("manifest_path").map(Path::new) == Some(&manifest)
    };
    let component = String::from_utf8_lossy(&messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(of_package)
        .filter_map(|message| message.get("filenames")?.as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension() == Some(OsStr::new("wasm")))
        .with_context(|| format!("{}: the package makes no component; its Cargo.toml must say [lib] crate-type = [\"cdylib\"]", folder.display()))?;
    Ok((name, component))
}

fn python(folder: &Path) -> Result<(String, PathBuf), Failure> {
    let name = name_in(&folder.join("pyproject.toml"), "project")?;
    let output = output(folder, &name)?;
    let mut tool = Command::new(toolchain::componentize_py(folder)?);
    tool.args([
        "--quiet",
        "--wit-path",
        "wit",
        "--world",
        "plugin",
        "componentize",
        "app",
        "--output",
    ])
    .arg(&output)
    .current_dir(folder);
    announce(&tool);
    toolchain::run(&mut tool)?;
    Ok((name, folder.join(output)))
}

fn js(folder: &Path) -> Result<(String, PathBuf), Failure> {
    let file = folder.join("package.json");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let package: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| Failure::Data(format!("{}: {e}", file.display())))?;
    let name = file_name(
        &file,
        package.get("name").and_then(serde_json::Value::as_str),
    )?;
    toolchain::check_node(folder)?;
    let output = output(folder, &name)?;
    let mut tool = Command::new("node");
    tool.arg("build.mjs").arg(&output).current_dir(folder);
    announce(&tool);
    toolchain::run(&mut tool)?;
    Ok((name, folder.join(output)))
}

/// Where a tool may write, from the project's folder: not where a watching host would see half a file.
fn output(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let target = folder.join("target");
    std::fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
    Ok(Path::new("target").join(format!("{name}.wasm")))
}

/// The project's name, from a table of a TOML file.
fn name_in(file: &Path, table: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let whole: toml::Table = text
        .parse()
        .map_err(|e| Failure::Data(format!("{}: {e}", file.display())))?;
    file_name(
        file,
        whole
            .get(table)
            .and_then(|table| table.get("name")?.as_str()),
    )
}

/// Checks that a project's name can be a file's.
fn file_name(file: &Path, name: Option<&str>) -> Result<String, Failure> {
    let good = |name: &&str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    name.filter(good).map(str::to_owned).ok_or_else(|| {
        Failure::Data(format!(
            "{}: it must name the project, in letters, digits, - _ and .; it names {name:?}",
            file.display()
        ))
    })
}

/// Copies a file to its place in one step, unless the same is there already: hosts watch that folder.
fn place(from: &Path, to: &Path) -> Result<u64, Failure> {
    let place = || -> anyhow::Result<u64> {
        let bytes = std::fs::read(from).with_context(|| from.display().to_string())?;
        let folder = to
            .parent()
            .ok_or_else(|| anyhow!("{}: no folder", to.display()))?;
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        if std::fs::read(to).is_ok_and(|there| there == bytes) {
            return Ok(bytes.len() as u64);
        }
        // Under a name first that hosts do not look at: whoever watches the folder never sees half a file.
        let half = folder.join(format!(".{}.new", std::process::id()));
        std::fs::write(&half, &bytes)
            .and_then(|()| std::fs::rename(&half, to))
            .with_context(|| to.display().to_string())?;
        Ok(bytes.len() as u64)
    };
    Ok(place()?)
}

/// Says what is run.
fn announce(command: &Command) {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    complain(&format!("weir build: {}", words.join(" ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(outcome: Result<impl std::fmt::Debug, Failure>) -> String {
        match outcome {
            Err(failure) => failure.to_string(),
            Ok(built) => panic!("{built:?}"),
        }
    }

    #[test]
    fn a_folder_without_a_project_says_what_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = complaint(build(folder.path()));
        assert!(
            text.contains("Cargo.toml (Rust), app.py and wit/ (Python)"),
            "{text}"
        );
    }

    #[test]
    fn a_project_needs_a_name_that_can_be_a_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pyproject.toml");
        for (text, given) in [
            ("[project]\nname = \"../x\"", "Some(\"../x\")"),
            ("[project]\nname = \".x\"", "Some(\".x\")"),
            ("[project]\nname = 3", "None"),
            ("", "None"),
        ] {
            std::fs::write(&file, text).unwrap();
            let said = complaint(name_in(&file, "project"));
            assert!(said.ends_with(&format!("it names {given}")), "{said}");
        }
        std::fs::write(&file, "[project]\nname = \"a-1_b.c\"").unwrap();
        assert!(name_in(&file, "project").is_ok_and(|name| name == "a-1_b.c"));
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("dist/to"));
        std::fs::write(&from, "one").unwrap();
        assert!(place(&from, &to).is_ok_and(|bytes| bytes == 3));
        let first = std::fs::metadata(&to).unwrap().modified().unwrap();
        assert!(place(&from, &to).is_ok());
        assert_eq!(std::fs::metadata(&to).unwrap().modified().unwrap(), first);
        std::fs::write(&from, "three").unwrap();
        assert!(place(&from, &to).is_ok_and(|bytes| bytes == 5));
        assert_eq!(std::fs::read(&to).unwrap(), b"three");
        // Nothing half-written stays.
        assert_eq!(
            std::fs::read_dir(folder.path().join("dist"))
                .unwrap()
                .count(),
            1
        );
    }
}
