//! Which API key is in use: the operator's, in strict mode the reference's, else a random one that is made once and kept.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use server::{ApiKey, Compat};

/// A key and how to speak of it.
pub(crate) struct Key {
    pub(crate) key: ApiKey,
    /// What to show at start: the key itself only where the operator has no other way to learn it.
    pub(crate) shown: String,
    /// What stands for the key in an example for a shell.
    pub(crate) in_shell: String,
}

/// Chooses the key. `given` is the operator's, with where it came from.
pub(crate) fn choose(
    given: Option<(String, String)>,
    compat: Compat,
    data: &Path,
) -> anyhow::Result<Key> {
    if let Some((text, origin)) = given {
        let key = ApiKey::new(&text).with_context(|| origin.clone())?;
        return Ok(Key {
            key,
            in_shell: if origin == "PIPELINES_API_KEY" {
                "$PIPELINES_API_KEY"
            } else {
                "$KEY"
            }
            .into(),
            shown: format!("as set by {origin}"),
        });
    }
    let (text, remark) = match compat {
        Compat::Strict => (
            ApiKey::REFERENCE.to_owned(),
            "the reference server's, known to everybody".to_owned(),
        ),
        Compat::Default => {
            let path = place(data);
            (
                kept_as(&path, "weir")?,
                format!("made for this host, kept in {}", path.display()),
            )
        }
    };
    Ok(Key {
        key: ApiKey::new(&text).with_context(|| format!("the key in {}", place(data).display()))?,
        in_shell: text.clone(),
        shown: format!("{text} ({remark})"),
    })
}

/// Where the key that was made for a host is kept.
pub(crate) fn place(data: &Path) -> PathBuf {
    data.join("api-key")
}

/// The text kept in a file, readable by its owner only; a new one if there is none: the prefix, `-` and 128 random bits.
pub(crate) fn kept_as(path: &Path, prefix: &str) -> anyhow::Result<String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return make(path, prefix),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if text.is_empty() {
        return make(path, prefix);
    }
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, private)
        .with_context(|| format!("cannot make {} private", path.display()))?;
    Ok(text)
}

/// Makes one and keeps it, in one step.
fn make(path: &Path, prefix: &str) -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    let key = format!("{prefix}-{:032x}", u128::from_be_bytes(random));
    let write = || {
        // Temporary files have mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        writeln!(file, "{key}")?;
        file.persist(path)?;
        std::io::Result::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_key_is_made_once_and_private() {
        let data = tempfile::tempdir().unwrap();
        let first = choose(None, Compat::Default, data.path()).unwrap();
        let second = choose(None, Compat::Default, data.path()).unwrap();
        assert_eq!(first.shown, second.shown);
        assert!(first.key.is(&first.in_shell));
        let mode = fs::metadata(data.path().join("api-key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(
            data.path().join("api-key"),
            fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        choose(None, Compat::Default, data.path()).unwrap();
        let mode = fs::metadata(data.path().join("api-key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "made private again");
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("api-key"), "").unwrap();
        assert_ne!(
            choose(None, Compat::Default, other.path())
                .unwrap()
                .in_shell,
            first.in_shell
        );
    }

    #[test]
    fn only_strict_mode_knows_the_reference_key() {
        let data = tempfile::tempdir().unwrap();
        assert!(
            choose(None, Compat::Strict, data.path())
                .unwrap()
                .key
                .is(ApiKey::REFERENCE)
        );
        assert!(
            !choose(None, Compat::Default, data.path())
                .unwrap()
                .key
                .is(ApiKey::REFERENCE)
        );
        let given = choose(
            Some(("abc".into(), "X".into())),
            Compat::Strict,
            data.path(),
        )
        .unwrap();
        assert!(given.key.is("abc") && !given.shown.contains("abc"));
    }
}
