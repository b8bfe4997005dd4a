//! The tools that make components: which ones, where they are, and what to do where they are not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow};

use super::project::COMPONENTIZE_PY;
use crate::Failure;

/// What components are built for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// The compiler that cargo must be told to use; none where the one it takes by itself has std for the target.
///
/// # Errors
/// There is none: how to get one.
pub(super) fn rustc(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    if !runs(Command::new("cargo").arg("--version").current_dir(folder)) {
        return Err(
            anyhow!("there is no cargo here; install Rust with rustup: https://rustup.rs").into(),
        );
    }
    if let Some(named) = std::env::var_os("RUSTC") {
        let named = PathBuf::from(named);
        return if has_std(&named, folder) {
            Ok(None)
        } else {
            Err(no_target(&format!("RUSTC is {}, which", named.display())))
        };
    }
    if configured(folder) || has_std(Path::new("rustc"), folder) {
        return Ok(None);
    }
    let private = private_toolchain().map(|dir| dir.join("bin/rustc"));
    private
        .filter(|rustc| has_std(rustc, folder))
        .map(Some)
        .ok_or_else(|| no_target("rustc"))
}

/// The program that makes components of Python programs.
///
/// # Errors
/// There is none: how to get it.
pub(super) fn componentize_py(folder: &Path) -> Result<PathBuf, Failure> {
    let named = std::env::var_os("WEIR_COMPONENTIZE_PY").map(PathBuf::from);
    let own = folder.join(".venv/bin/componentize-py");
    let candidates = named
        .into_iter()
        .chain([own, PathBuf::from("componentize-py")]);
    for candidate in candidates {
        let program = candidate.canonicalize().unwrap_or(candidate);
        if runs(Command::new(&program).arg("--version")) {
            return Ok(program);
        }
    }
    Err(anyhow!(
        "there is no componentize-py: not in WEIR_COMPONENTIZE_PY, .venv/bin or PATH; install it with\n  \
         python3 -m venv {0}/.venv && {0}/.venv/bin/pip install {COMPONENTIZE_PY}",
        folder.display()
    )
    .into())
}

/// Are Node and the project's packages there?
///
/// # Errors
/// They are not: how to get them.
pub(super) fn check_node(folder: &Path) -> Result<(), Failure> {
    if !runs(Command::new("node").arg("--version")) {
        return Err(anyhow!(
            "there is no node here; install Node.js 18 or newer: https://nodejs.org"
        )
        .into());
    }
    if !folder
        .join("node_modules/@bytecodealliance/componentize-js")
        .is_dir()
    {
        return Err(anyhow!(
            "componentize-js is not in {}; install it with\n  (cd {} && npm ci)",
            folder.join("node_modules").display(),
            folder.display()
        )
        .into());
    }
    Ok(())
}

/// Runs a tool and lets it say what it has to say on standard error.
///
/// # Errors
/// It cannot be started, or it fails.
pub(super) fn run(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::Data(format!(
            "the build failed: {program} ended with {}; its words are above",
            output.status
        )))
    }
}

fn runs(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Has this compiler std for the target?
fn has_std(rustc: &Path, folder: &Path) -> bool {
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = asked else { return false };
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    std::fs::read_dir(library).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

/// Does a cargo configuration above the folder choose the compiler? Then it is the user's word.
fn configured(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.ancestors().any(|above| {
        ["config.toml", "config"].iter().any(|name| {
            std::fs::read_to_string(above.join(".cargo").join(name))
                .ok()
                .and_then(|text| text.parse::<toml::Table>().ok())
                .and_then(|table| table.get("build")?.get("rustc").cloned())
                .is_some()
        })
    })
}

/// Where `scripts/setup-guest-toolchain.sh` puts a compiler with the target.
fn private_toolchain() -> Option<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    folder("WEIR_GUEST_TOOLCHAIN").or_else(|| {
        let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
        Some(caches.join("weir/guest-toolchain"))
    })
}

fn no_target(who: &str) -> Failure {
    anyhow!(
        "{who} has no std for {TARGET}; get it with\n  rustup target add {TARGET}\n\
         or, where rustup's server is out of reach, on Debian, in a checkout of Weir:\n  WEIR_GUEST_STD=registries ./setup.sh"
    )
    .into()
}
