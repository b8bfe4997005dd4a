//! The built guests. A missing one fails the test that needs it; nothing is skipped.

use std::path::{Path, PathBuf};

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies in the checkout")
        .to_path_buf()
}

/// A file below `guest-examples/dist`, such as `corpus/ok.wasm`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let path = root().join("guest-examples/dist").join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `just guests guests-other`",
        path.display()
    );
    path
}

/// Its content.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("a readable guest")
}

/// The guests in a folder of `guest-examples/dist`, by file name, sorted.
#[must_use]
pub fn list(folder: &str) -> Vec<String> {
    let path = root().join("guest-examples/dist").join(folder);
    let entries = std::fs::read_dir(&path)
        .unwrap_or_else(|e| panic!("{}: {e}: run `just guests guests-other`", path.display()));
    let mut names: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".wasm"))
        .collect();
    names.sort();
    names
}
