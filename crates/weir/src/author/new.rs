//! `weir new`: writes a project that builds, has tests and says what to do next. Nothing that is there is changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::capability::Capability;
use super::kind::{Kind, Language};
use super::project::Project;
use crate::{Failure, say};

/// The options of `new`.
#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The plugin's name and id: 1 to 64 of `a-z 0-9 -`, first a letter
    #[arg(value_parser = check_name)]
    name: String,
    /// What it is
    #[arg(long, value_enum, default_value = "pipe")]
    kind: Kind,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// What it asks the host for; may be given more than once
    #[arg(long, value_enum, value_name = "CAPABILITY")]
    capability: Vec<Capability>,
    /// The project's folder [default: the name, in this folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where weir-sdk is, for Rust [default: the checkout this program was built from, else crates.io]
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// The version of weir-sdk to take from crates.io.
const SDK_VERSION: &str = "0.1";
/// The longest name.
const NAME_BYTES: usize = 64;
/// What cargo takes for no package, or for another one.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "weir-sdk",
    "where",
    "while",
    "yield",
];

/// Writes the project.
pub(crate) fn run(arguments: NewArgs) -> Result<(), Failure> {
    let NewArgs {
        name,
        kind,
        lang,
        capability,
        dir,
        sdk,
    } = arguments;
    let folder = dir.unwrap_or_else(|| PathBuf::from(&name));
    check_folder(&folder)?;
    let sdk = match (lang, sdk) {
        (Language::Rust, sdk) => sdk_source(sdk.as_deref())?,
        (_, None) => String::new(),
        (_, Some(_)) => return Err(Failure::Data("--sdk is for --lang rust only".to_owned())),
    };
    let capabilities: BTreeSet<_> = capability.into_iter().collect();
    let project = Project {
        name,
        kind,
        language: lang,
        capabilities,
        sdk,
    };
    for (path, text) in project.files() {
        write(&folder.join(path), &text)?;
    }
    say(&format!(
        "{}: {} in {}\nnext: cd {}; README.md says what to do",
        folder.display(),
        kind.templates().name,
        lang.title(),
        folder.display()
    ));
    Ok(())
}

fn check_name(text: &str) -> Result<String, String> {
    let letters = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let ends = text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--");
    if !letters || !ends || text.len() > NAME_BYTES {
        return Err(format!(
            "a name is 1 to {NAME_BYTES} of a-z, 0-9 and single -, first a letter, last no -"
        ));
    }
    if RESERVED.contains(&text) {
        return Err("cargo keeps this name for itself".to_owned());
    }
    Ok(text.to_owned())
}

/// The folder must be empty, or not be there.
fn check_folder(folder: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Data(format!(
            "{}: the folder is not empty; name another one with --dir",
            folder.display()
        ))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Failure::Data(format!("{}: {e}", folder.display()))),
    }
}

/// What `Cargo.toml` says of weir-sdk: the folder named, the one in the checkout, or the published one.
fn sdk_source(named: Option<&Path>) -> Result<String, Failure> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weir-sdk");
    let folder = match named {
        Some(folder) => {
            if !folder.join("Cargo.toml").is_file() {
                return Err(Failure::Data(format!(
                    "--sdk {}: there is no Cargo.toml",
                    folder.display()
                )));
            }
            folder.to_owned()
        }
        None if checkout.join("Cargo.toml").is_file() => checkout,
        None => return Ok(format!("version = \"{SDK_VERSION}\"")),
    };
    let folder = folder
        .canonicalize()
        .with_context(|| folder.display().to_string())?;
    // Debug writes the quotes and escapes of TOML's basic strings for what paths hold.
    Ok(format!("path = {:?}", folder.display().to_string()))
}

/// Writes a new file, and the folders it is in.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::File::create_new(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    write().with_context(|| path.display().to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "word-count", "a1-2b", &"a".repeat(64)] {
            assert_eq!(check_name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "A",
            "1a",
            "-a",
            "a-",
            "a--b",
            "a_b",
            "a b",
            "../a",
            "ä",
            &"a".repeat(65),
        ] {
            assert!(
                check_name(bad)
                    .unwrap_err()
                    .starts_with("a name is 1 to 64"),
                "{bad}"
            );
        }
        assert!(check_name("fn").is_err());
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_folder(folder.path()).is_ok());
        assert!(check_folder(&folder.path().join("new")).is_ok());
        std::fs::write(folder.path().join("x"), "").unwrap();
        assert!(check_folder(folder.path()).is_err());
        assert!(check_folder(&folder.path().join("x")).is_err());
    }
}
