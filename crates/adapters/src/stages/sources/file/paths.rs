//! The files that a `path` of a spec means: names and patterns, looked up within what the pipeline may reach.

use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use model::access::Files;
use model::error::Fault;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Its size when it was looked up.
    pub(super) bytes: u64,
}

/// No names that begin with a dot unless they are written so, and `*` stays within a folder.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// All files that are meant, once each, in the order of their paths.
///
/// # Errors
/// What is not there (unless that is `optional`), is no file, or may not be read.
pub(super) fn find(paths: &[String], optional: bool, files: &Files) -> Result<Vec<Found>, Fault> {
    let mut found = vec![];
    for path in paths {
        if path.contains("://") {
            return Err(Fault::Invalid(format!(
                "`{path}` is an address and no file; the source `http` reads from there"
            )));
        }
        let before = found.len();
        let literal = resolve(Path::new(path), files)?;
        if literal.exists() || !path.contains(['*', '?', '[']) {
            found.extend(regular(literal, optional)?);
        } else {
            look_up(path, files, &mut found)?;
        }
        if found.len() == before && !optional {
            let what = if path.contains(['*', '?', '[']) {
                "no file has a name like"
            } else {
                "there is no file"
            };
            return Err(Fault::Invalid(format!(
                "{what} {path}; if that is no mistake: `optional: true`"
            )));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

fn resolve(path: &Path, files: &Files) -> Result<PathBuf, Fault> {
    files.resolve(path).map_err(Fault::Denied)
}

/// A file by its name, if it is there and one that can be read from its beginning to its end.
fn regular(path: PathBuf, optional: bool) -> Result<Option<Found>, Fault> {
    let meta = match path.metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && optional => return Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Fault::Invalid(format!(
                "there is no file {}; if that is no mistake: `optional: true`",
                path.display()
            )));
        }
        Err(e) => {
            return Err(Fault::Invalid(format!(
                "cannot read {}: {e}",
                path.display()
            )));
        }
    };
    if meta.is_dir() {
        return Err(Fault::Invalid(format!(
            "{0} is a folder; to read what is in it: {0}/*",
            path.display()
        )));
    }
    if !meta.is_file() {
        return Err(Fault::Invalid(format!(
            "{} is no regular file",
            path.display()
        )));
    }
    Ok(Some(Found {
        path,
        bytes: meta.len(),
    }))
}

/// The files that a pattern means. Folders and other things that it also means are left out.
fn look_up(pattern: &str, files: &Files, found: &mut Vec<Found>) -> Result<(), Fault> {
    let wrong = |e: &dyn std::fmt::Display| Fault::Invalid(format!("the pattern {pattern}: {e}"));
    let is_pattern =
        |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let parts: Vec<_> = Path::new(pattern).components().collect();
    let at = parts.iter().position(is_pattern).unwrap_or(parts.len());
    let (base, rest) = parts.split_at(at);
    if rest.contains(&Component::ParentDir) {
        return Err(wrong(&"`..` may not come after `*`, `?` or `[`"));
    }
    let base = resolve(&base.iter().collect::<PathBuf>(), files)?;
    let rest: PathBuf = rest.iter().collect();
    let whole = Path::new(&Pattern::escape(&base.to_string_lossy())).join(rest);
    let matches = glob::glob_with(&whole.to_string_lossy(), OPTIONS).map_err(|e| wrong(&e))?;
    for path in matches {
        let path = path.map_err(|e| wrong(&e))?;
        if path.is_file() {
            found.extend(regular(resolve(&path, files)?, false)?);
        }
    }
    Ok(())
}
