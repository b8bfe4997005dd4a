//! What the stages of a pipeline may reach: files, hosts, references. A spec that comes over the network must not get at everything the server can: on a
//! server the operator names what pipelines may use, and the default is nothing; `weir run` works with the rights of whoever runs it.

use std::path::{Component, Path, PathBuf};

use crate::grants::HttpGrant;

/// What a pipeline may reach.
#[derive(Debug, Clone)]
pub struct Access {
    /// Files and folders.
    pub files: Files,
    /// HTTP servers; `None`: all, also on private networks.
    pub http: Option<HttpGrant>,
    /// Database servers, `host:port`; `None`: all.
    pub databases: Option<Vec<String>>,
}

/// Which files may be read and written.
#[derive(Debug, Clone)]
pub enum Files {
    /// All that the process may; relative paths start here.
    Anywhere(PathBuf),
    /// Below these folders only (their real paths); relative paths start in the first. None: no files at all.
    Within(Vec<PathBuf>),
}

impl Files {
    /// The path to use for one that a spec names. Links are followed as far as the path exists, so that none leads out.
    ///
    /// # Errors
    /// A sentence with the path and the folders that are allowed.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, String> {
        let folders = match self {
            Self::Anywhere(base) => return Ok(base.join(path)),
            Self::Within(folders) => folders,
        };
        let denied = || {
            let listed: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
            let listed = match listed.as_slice() {
                [] => "none".into(),
                some => some.join(", "),
            };
            format!(
                "{} is not in a folder that pipelines may use; allowed: {listed} (`[pipelines] files` of the host configuration)",
                path.display()
            )
        };
        let first = folders.first().ok_or_else(denied)?;
        let whole = first.join(path);
        if whole.components().any(|c| c == Component::ParentDir) {
            return Err(denied());
        }
        let real = real(&whole).ok_or_else(denied)?;
        let inside = folders.iter().any(|folder| real.starts_with(folder));
        if inside { Ok(real) } else { Err(denied()) }
    }
}

/// The path with links resolved, as far as it exists.
fn real(path: &Path) -> Option<PathBuf> {
    let mut rest = Vec::new();
    for part in path.ancestors() {
        // A link to nowhere is a name that exists: writing through it would follow it.
        match (part.canonicalize(), part.symlink_metadata()) {
            (Ok(found), _) => return Some(rest.iter().rev().fold(found, |p, name| p.join(name))),
            (Err(_), Ok(_)) => return None,
            (Err(_), Err(_)) => rest.push(part.file_name()?.to_owned()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_a_folder_is_reached() {
        let dir = std::env::temp_dir().join(format!("weir-access-{}", std::process::id()));
        let (inside, outside) = (dir.join("in"), dir.join("out"));
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        std::os::unix::fs::symlink(dir.join("nowhere"), inside.join("dangling")).unwrap();
        let inside = inside.canonicalize().unwrap();
        let files = Files::Within(vec![inside.clone()]);
        let check = |path: &str| files.resolve(Path::new(path));
        assert_eq!(check("a/b.csv"), Ok(inside.join("a/b.csv")));
        assert_eq!(
            check(inside.join("x").to_str().unwrap()),
            Ok(inside.join("x"))
        );
        for bad in [
            "../out/x",
            "link/x",
            "dangling",
            "/etc/passwd",
            "a/../../out/x",
        ] {
            let said = check(bad).unwrap_err();
            assert!(said.contains(bad) && said.contains("allowed: "), "{said}");
        }
        let none = Files::Within(Vec::new()).resolve(Path::new("a"));
        assert!(none.unwrap_err().contains("allowed: none"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
