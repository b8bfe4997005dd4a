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

/// `corpus/gen_words` as another build of it would be: version 0.2.0, and words in capital letters.
///
/// # Panics
/// When the guest does not hold the texts that are changed.
#[must_use]
pub fn rebuilt_words() -> Vec<u8> {
    let mut bytes = bytes("corpus/gen_words.wasm");
    for (old, new) in [
        (&b"one two drei "[..], &b"ONE TWO DREI "[..]),
        (b"\"quoted\"", b"\"QUOTED\""),
        (b"gen_words0.1.0", b"gen_words0.2.0"),
        (b"corpus0.1.0", b"corpus0.2.0"),
    ] {
        while let Some(at) = bytes.windows(old.len()).position(|w| w == old) {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
    let has = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
    assert!(
        has(b"ONE TWO DREI ") && has(b"0.2.0"),
        "gen_words.wasm has another layout"
    );
    bytes
}
