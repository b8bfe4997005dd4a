//! References in configuration values: `${env:NAME}` and `${file:path}`. Secrets are named there, never written.

use std::path::Path;

/// Reads the reference a secret's value must be.
///
/// # Errors
/// What is wrong, without the value it would have had.
pub(crate) fn read(value: &str, base: &Path) -> Result<String, String> {
    let inner = value.strip_prefix("${").and_then(|v| v.strip_suffix('}'));
    match inner.and_then(|v| v.split_once(':')) {
        Some(("env", name)) => {
            std::env::var(name).map_err(|_| format!("the environment has no {name}"))
        }
        Some(("file", path)) => std::fs::read_to_string(base.join(path))
            .map(|text| text.trim_end().to_owned())
            .map_err(|e| format!("{path}: {e}")),
        _ => Err("a secret is named, not written: ${env:NAME} or ${file:path}".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_only_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "s3cret\n").unwrap();
        assert_eq!(read("${file:k}", folder.path()).unwrap(), "s3cret");
        assert!(
            read("${env:WEIR_NO_SUCH_NAME}", folder.path())
                .unwrap_err()
                .contains("WEIR_NO_SUCH_NAME")
        );
        let written = read("s3cret", folder.path()).unwrap_err();
        assert!(!written.contains("s3cret"), "{written}");
    }
}
