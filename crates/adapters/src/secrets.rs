//! The operator's named secrets: values that were read at the start, and files that are read at each use. How they are named in a
//! configuration is the binary's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::ports::SecretStore;

/// Largest file with a secret, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Where a secret comes from. Printing it shows no value.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// This text.
    Value(String),
    /// The text of a file, without the white space at its end. It is read at each use, so that it may be replaced at any time.
    File(PathBuf),
}

impl SecretSource {
    /// The secret.
    ///
    /// # Errors
    /// The file cannot be read, is no regular file, is larger than 64 KiB or no UTF-8.
    pub fn read(&self) -> io::Result<String> {
        match self {
            Self::Value(text) => Ok(text.clone()),
            Self::File(path) => read(path),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Reads a secret's file. Links are followed: secrets are often mounted as links.
fn read(path: &Path) -> io::Result<String> {
    // NONBLOCK: opening a pipe must not wait for a writer.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let size = file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if size as u64 > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {MAX_BYTES} bytes"),
        ));
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// The secrets of a host, by their names.
#[derive(Debug)]
pub struct NamedSecrets {
    sources: BTreeMap<String, SecretSource>,
    /// Those that could not be read the last time: each is warned about once, until it can be read again.
    broken: Mutex<BTreeSet<String>>,
}

impl NamedSecrets {
    /// These secrets.
    #[must_use]
    pub fn new(sources: BTreeMap<String, SecretSource>) -> Self {
        Self {
            sources,
            broken: Mutex::default(),
        }
    }
}

impl SecretStore for NamedSecrets {
    fn get(&self, name: &str) -> Option<String> {
        let read = self.sources.get(name)?.read();
        // A set is whole at any time, so a poisoned one is still good.
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(text) => {
                broken.remove(name);
                Some(text)
            }
            Err(error) => {
                if broken.insert(name.to_owned()) {
                    tracing::warn!(secret = name, %error, "a secret cannot be read");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: SecretSource) -> NamedSecrets {
        NamedSecrets::new(BTreeMap::from([("k".into(), source)]))
    }

    #[test]
    fn values_are_given_by_name_and_never_shown() {
        let secrets = named(SecretSource::Value("s3cret".into()));
        assert_eq!(secrets.get("k").as_deref(), Some("s3cret"));
        assert_eq!(secrets.get("other"), None);
        assert!(!format!("{secrets:?}").contains("s3cret"));
    }

    #[test]
    fn a_file_is_read_at_each_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let secrets = named(SecretSource::File(path.clone()));
        assert_eq!(secrets.get("k"), None, "not there yet");
        std::fs::write(&path, " old\n\n").unwrap();
        assert_eq!(secrets.get("k").as_deref(), Some(" old"));
        std::fs::write(&path, "new").unwrap();
        assert_eq!(secrets.get("k").as_deref(), Some("new"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let linked = named(SecretSource::File(link));
        assert_eq!(linked.get("k").as_deref(), Some("new"));
    }

    #[test]
    fn what_is_no_small_text_file_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let source = SecretSource::File(path.clone());
        std::fs::write(&path, "x".repeat(65_537)).unwrap();
        assert!(source.read().unwrap_err().to_string().contains("65536"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(source.read().is_err());
        assert!(SecretSource::File(folder.path().into()).read().is_err());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let e = source.read().unwrap_err().to_string();
        assert!(e.contains("not a regular file"), "{e}");
    }
}
