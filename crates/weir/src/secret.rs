//! References in configuration values: `${env:NAME}` and `${file:path}`. Secrets are named there, never written.

use std::path::Path;

use adapters::secrets::SecretSource;

/// Finds what a reference stands for: where it comes from, and its value now. The path of a file is relative to `base`.
///
/// # Errors
/// What is wrong, without the value it would have had: the reference itself, no such name or file, nothing in it.
pub(crate) fn source(
    reference: &str,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(SecretSource, String), String> {
    let inner = reference
        .strip_prefix("${")
        .and_then(|v| v.strip_suffix('}'));
    let (source, place) = match inner.and_then(|v| v.split_once(':')) {
        Some(("env", name)) => {
            let value = env(name).ok_or_else(|| format!("the environment has no {name}"))?;
            (SecretSource::Value(value), name)
        }
        Some(("file", path)) => (SecretSource::File(base.join(path)), path),
        _ => return Err("a secret is named, not written: ${env:NAME} or ${file:path}".into()),
    };
    let value = source.read().map_err(|e| format!("{place}: {e}"))?;
    if value.is_empty() {
        return Err(format!("{place} is empty"));
    }
    Ok((source, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_only_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "s3cret\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let env = |name: &str| (name == "SET").then(|| "v4lue".to_owned());
        let find = |reference: &str| source(reference, folder.path(), &env);
        let path = folder.path().join("k");
        assert_eq!(
            find("${file:k}").unwrap(),
            (SecretSource::File(path), "s3cret".into())
        );
        assert_eq!(find("${env:SET}").unwrap().1, "v4lue");
        for (wrong, words) in [
            ("${env:UNSET}", "UNSET"),
            ("${file:missing}", "missing"),
            ("${file:empty}", "empty is empty"),
            ("${dir:k}", "${env:NAME}"),
            ("s3cret", "${env:NAME}"),
        ] {
            let e = find(wrong).unwrap_err();
            assert!(e.contains(words) && !e.contains("s3cret"), "{wrong}: {e}");
        }
    }
}
