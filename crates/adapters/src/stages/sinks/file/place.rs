//! Where files go: names, numbers and folders by the values of fields.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use model::access::Access;
use model::error::Fault;

use super::super::super::format::{Compression, Fields, named, plain};

/// The value of a field that a record does not have, as Hive names it.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";
/// Names in common file systems are no longer.
const MOST_NAME: usize = 255;

/// The place of the file that a spec names, from which all others are told.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    /// The name up to its extensions, and those.
    stem: OsString,
    extensions: String,
    numbered: bool,
}

impl Place {
    /// `path` is where it really is; `numbered`: there may be several.
    pub(super) fn new(path: &Path, numbered: bool) -> Self {
        let mut stem = path.file_name().unwrap_or_default().to_owned();
        let mut extensions = String::new();
        let count = 1 + usize::from(named(path).compression != Compression::None);
        for _ in 0..count {
            let name = PathBuf::from(&stem);
            if let (Some(rest), Some(last)) = (name.file_stem(), name.extension()) {
                extensions = format!(".{}{extensions}", last.to_string_lossy());
                stem = rest.to_owned();
            }
        }
        Self {
            folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
            stem,
            extensions,
            numbered,
        }
    }

    /// The folder in which, or below which, all of them are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of this number (from 1) in this folder below (may be empty). The first one has no number where there is to be only one.
    pub(super) fn file(&self, below: &str, number: u64) -> PathBuf {
        let mut name = self.stem.clone();
        if self.numbered || number > 1 {
            name.push(format!("-{number:04}"));
        }
        name.push(&self.extensions);
        self.folder.join(below).join(name)
    }
}

/// The folder for a record: `field=value/…` for each field.
///
/// # Errors
/// Why the record has none.
pub(super) fn folder_of(fields: &[String], line: &[u8]) -> Result<String, String> {
    let record = Fields::of(line)?;
    let mut folder = String::new();
    for field in fields {
        let value = record.get(field);
        if value.is_some_and(|v| v.starts_with(['{', '['])) {
            return Err(format!(
                "the field `{field}` holds a list or an object, which gives no name for a folder (`partition_by`)"
            ));
        }
        let value = value.and_then(plain).unwrap_or_default();
        let mut part = escaped(field);
        part.push('=');
        match value.as_ref() {
            "" => part.push_str(NO_VALUE),
            value => part.push_str(&escaped(value)),
        }
        if part.len() > MOST_NAME {
            return Err(format!(
                "the field `{field}` gives a folder a name of {} bytes; at most {MOST_NAME} are possible (`partition_by`)",
                part.len()
            ));
        }
        if !folder.is_empty() {
            folder.push('/');
        }
        folder.push_str(&part);
    }
    Ok(folder)
}

/// As Hive escapes it: what could be taken for something else in a path, as `%XX`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() || "\"#%'*/:=?\\{}[]^".contains(c) {
            out.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// The real path of a file that a spec names: where a link leads, and in a folder that may be written to.
pub(super) fn real(path: &Path, access: &Access) -> Result<PathBuf, Fault> {
    let path = access.files.resolve(path).map_err(Fault::Denied)?;
    let path = followed(&path);
    match path.metadata() {
        Ok(meta) if meta.is_dir() => Err(Fault::Invalid(format!(
            "{} is a folder; name a file in it",
            path.display()
        ))),
        Ok(meta) if !meta.is_file() => Err(Fault::Invalid(format!(
            "{} is no regular file, and cannot be put in place as a whole; the sink `console` shows records",
            path.display()
        ))),
        _ => Ok(path),
    }
}

/// With links followed as far as the path exists, so that a file has one path.
fn followed(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    for part in path.ancestors() {
        match (part.canonicalize(), part.file_name()) {
            (Ok(found), _) => return rest.iter().rev().fold(found, |p, name| p.join(name)),
            (Err(_), Some(name)) => rest.push(name),
            (Err(_), None) => break,
        }
    }
    path.to_owned()
}

/// Why a file cannot be had, with what may be done.
pub(super) fn fault(what: &str, path: &Path, needed: usize, error: &std::io::Error) -> Fault {
    use std::io::ErrorKind::{
        IsADirectory, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    let shown = path.display();
    match error.kind() {
        StorageFull | QuotaExceeded => {
            let free = path.ancestors().find_map(|p| rustix::fs::statvfs(p).ok());
            let free = free.map_or_else(String::new, |f| {
                format!(", {} are free", f.f_bavail.saturating_mul(f.f_frsize))
            });
            Fault::Transient {
                message: format!(
                    "cannot {what} {shown}: the disk is full ({needed} bytes are needed{free}; {error})"
                ),
                retry_after_ms: None,
            }
        }
        PermissionDenied | NotFound | NotADirectory | IsADirectory | ReadOnlyFilesystem => {
            Fault::Invalid(format!("cannot {what} {shown}: {error}"))
        }
        _ => Fault::Transient {
            message: format!("cannot {what} {shown}: {error}"),
            retry_after_ms: None,
        },
    }
}
