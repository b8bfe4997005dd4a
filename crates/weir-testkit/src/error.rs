//! Why a kit does not start: in words for somebody who writes a first plugin.

use std::fmt;

/// Why a kit did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KitError {
    /// No plugin was added.
    #[error("the kit has no plugin; add one with Kit::plugin(\"path/to/plugin.wasm\")")]
    NoPlugin,
    /// There is no such component.
    #[error(
        "no file {path}; build it first, with `weir build` or `cargo build --release --target wasm32-wasip2`"
    )]
    NoFile {
        /// The path that was given.
        path: String,
    },
    /// A file is there and cannot be used.
    #[error("cannot use {path}: {reason}")]
    Unusable {
        /// The path that was given.
        path: String,
        /// What the system said, or what is wrong with it.
        reason: String,
    },
    /// Two plugins have the same file name, which a plugins folder could not hold.
    #[error("two plugins of the kit have the file name {0}; a folder holds it once")]
    SameFile(String),
    /// Something that was given to the kit does not fit; a sentence.
    #[error("{0}")]
    Given(String),
    /// Plugins that did not start, each with its reason.
    #[error("{}", list(.0))]
    NotStarted(Vec<NotStarted>),
    /// This machine cannot run the kit.
    #[error("the kit cannot run here: {0}")]
    Setup(String),
}

/// A plugin that did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotStarted {
    /// Its component file.
    pub file: String,
    /// A stable word: `missing_grant`, `bad_manifest`, `dependency`, `start_failed`, .. as in the API of a server.
    pub code: String,
    /// A sentence.
    pub reason: String,
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} did not start: {}", self.file, self.reason)?;
        match self.code.as_str() {
            "missing_grant" => {
                f.write_str("; in the kit, give that line to Kit::settings after Kit::plugin")
            }
            "dependency" => {
                f.write_str("; in the kit, add what it depends on with another Kit::plugin")
            }
            _ => Ok(()),
        }
    }
}

fn list(plugins: &[NotStarted]) -> String {
    let lines: Vec<_> = plugins.iter().map(NotStarted::to_string).collect();
    lines.join("\n")
}
