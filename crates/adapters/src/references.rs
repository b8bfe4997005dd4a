//! What `${env:NAME}` and `${file:path}` in a pipeline's spec stand for. Which names are allowed is the operator's word; finding references in a spec is the
//! engine's business.

use std::fmt;
use std::path::{Path, PathBuf};

use model::access::Files;
use model::ports::References;

use crate::secrets::SecretSource;

/// Names of variables: one, or all that begin with what stands before a `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    fn covers(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => self.0 == name,
        }
    }
}

impl std::str::FromStr for NamePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('*').unwrap_or(text);
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain && !text.is_empty() {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "{text:?} is no name of a variable, nor the beginning of one and a `*`: A-Z a-z 0-9 _ are allowed"
        ))
    }
}

/// Reads variables, each when it is asked for.
pub type Environment = fn(&str) -> Option<String>;

/// The references that specs may use.
#[derive(Clone)]
pub struct AllowedReferences {
    /// None: all variables.
    names: Option<Vec<NamePattern>>,
    files: Files,
    environment: Environment,
}

impl AllowedReferences {
    /// All there are, for whoever works with rights of their own; relative paths start at `base`.
    #[must_use]
    pub fn all(base: PathBuf, environment: Environment) -> Self {
        Self {
            names: None,
            files: Files::Anywhere(base),
            environment,
        }
    }

    /// Variables of these names, and files at or below these real paths.
    #[must_use]
    pub fn only(names: Vec<NamePattern>, files: Vec<PathBuf>, environment: Environment) -> Self {
        Self {
            names: Some(names),
            files: Files::Within(files),
            environment,
        }
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        if let Some(names) = &self.names
            && !names.iter().any(|n| n.covers(name))
        {
            let listed: Vec<_> = names.iter().map(|n| n.0.as_str()).collect();
            return Err(not_allowed("env", &listed.join(", ")));
        }
        (self.environment)(name).ok_or_else(|| "the environment has no such variable".into())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let real = self.files.resolve(Path::new(path)).map_err(|_| {
            let listed: Vec<_> = match &self.files {
                Files::Within(folders) => folders.iter().map(|f| f.display().to_string()).collect(),
                Files::Anywhere(_) => Vec::new(),
            };
            not_allowed("files", &listed.join(", "))
        })?;
        SecretSource::File(real).read().map_err(|e| e.to_string())
    }
}

fn not_allowed(key: &str, listed: &str) -> String {
    let listed = if listed.is_empty() { "none" } else { listed };
    format!(
        "specs may not refer to it; allowed: {listed} (`[pipelines] references.{key}` of the host configuration)"
    )
}

impl References for AllowedReferences {
    fn get(&self, reference: &str) -> Result<String, String> {
        let value = match reference.split_once(':') {
            Some(("env", name)) => self.variable(name),
            Some(("file", path)) => self.file(path),
            _ => Err("a reference is ${env:NAME} or ${file:path}".into()),
        };
        value.map_err(|e| format!("${{{reference}}}: {e}"))
    }
}

impl fmt::Debug for AllowedReferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllowedReferences")
            .field("names", &self.names)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        name.starts_with("PG_").then(|| format!("v4lue of {name}"))
    }

    #[test]
    fn only_what_is_allowed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().canonicalize().unwrap().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("k"), "s3cret\n").unwrap();
        std::fs::write(folder.path().join("out"), "s3cret\n").unwrap();
        std::os::unix::fs::symlink(folder.path().join("out"), inside.join("link")).unwrap();
        let names = ["PG_*", "ONE"].map(|n| n.parse().unwrap()).to_vec();
        let some = AllowedReferences::only(names, vec![inside.clone()], environment);
        let none = AllowedReferences::only(Vec::new(), Vec::new(), environment);
        let all = AllowedReferences::all(folder.path().into(), environment);
        let check = |from: &AllowedReferences, reference: &str, want: Result<&str, &str>| match (
            from.get(reference),
            want,
        ) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(said), Err(want)) => {
                assert!(said.contains(want), "{said}");
                assert!(said.starts_with(&format!("${{{reference}}}: ")), "{said}");
                assert!(
                    !said.contains("s3cret") && !said.contains("v4lue"),
                    "{said}"
                );
            }
            (got, want) => panic!("{reference}: {got:?}, not {want:?}"),
        };
        check(&some, "env:PG_A", Ok("v4lue of PG_A"));
        check(&some, "env:ONE", Err("no such variable"));
        check(&some, "env:ONE_MORE", Err("allowed: PG_*, ONE "));
        check(&none, "env:PG_A", Err("allowed: none"));
        check(&all, "env:PG_B", Ok("v4lue of PG_B"));
        check(&some, "file:k", Ok("s3cret"));
        let absolute = format!("file:{}", inside.join("k").display());
        check(&some, &absolute, Ok("s3cret"));
        for out in ["file:link", "file:../out", "file:/etc/passwd"] {
            check(&some, out, Err("references.files"));
        }
        check(&none, "file:k", Err("allowed: none"));
        check(&some, "file:missing", Err("No such file"));
        check(&all, "file:out", Ok("s3cret"));
        for bad in ["", "env", "dir:x"] {
            check(&all, bad, Err("${env:NAME}"));
        }
    }

    #[test]
    fn patterns_are_names() {
        for good in ["A", "a_1", "PG_*", "*"] {
            assert!(good.parse::<NamePattern>().is_ok(), "{good}");
        }
        for bad in ["", "A B", "*A", "A**", "ü"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }
}
