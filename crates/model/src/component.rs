//! A component file and where it came from. Reading and writing folders is an adapter's business.

use bytes::Bytes;

/// The content of a component file.
#[derive(Clone)]
pub struct ComponentFile {
    /// The file's name in its folder, without the path: `echo.wasm`, or `echo.wasm.py` through Open WebUI's admin page.
    pub name: FileName,
    /// Its bytes.
    pub bytes: Bytes,
}

impl std::fmt::Debug for ComponentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// The name of a component file: one path segment, checked, so that nothing can be written outside its folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct FileName(String);

/// Why a text is no file name for a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a file name for a plugin: 1 to 200 characters of A-Z a-z 0-9 _ - . and space are allowed, not starting with a dot, ending in .wasm or .wasm.py"
)]
pub struct FileNameError {
    /// The text, cut after 200 characters.
    pub given: String,
}

impl FileName {
    const MAX: usize = 200;

    /// Checks a file name.
    ///
    /// # Errors
    /// [`FileNameError`] when it is not one plain path segment that ends in `.wasm` or `.wasm.py`.
    pub fn new(name: &str) -> Result<Self, FileNameError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
        let good = (1..=Self::MAX).contains(&name.len())
            && !name.starts_with('.')
            && name.chars().all(plain)
            && Self::stem_of(name).is_some_and(|s| !s.is_empty());
        if good {
            Ok(Self(name.into()))
        } else {
            Err(FileNameError {
                given: name.chars().take(Self::MAX).collect(),
            })
        }
    }

    fn stem_of(name: &str) -> Option<&str> {
        name.strip_suffix(".wasm.py")
            .or_else(|| name.strip_suffix(".wasm"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its ending: `echo` for `echo.wasm` and for `echo.wasm.py`.
    #[must_use]
    pub fn stem(&self) -> &str {
        Self::stem_of(&self.0).unwrap_or(&self.0)
    }

    /// The name of the settings file that may lie beside it: `echo.toml`.
    #[must_use]
    pub fn settings_file(&self) -> String {
        format!("{}.toml", self.stem())
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a component came from. What comes by upload or URL can never bring settings of its own.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "from", content = "at")]
pub enum Origin {
    /// It lies in the plugins folder.
    Folder,
    /// A client uploaded it.
    Upload,
    /// It was fetched from this URL.
    Url(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(FileName::new("a b.wasm").unwrap().stem(), "a b");
        assert_eq!(
            FileName::new("x.wasm.py").unwrap().settings_file(),
            "x.toml"
        );
        for bad in [
            "",
            ".wasm",
            "a.py",
            "../a.wasm",
            "a/b.wasm",
            "a\\b.wasm",
            ".a.wasm",
            "a.WASM",
            "a\0.wasm",
        ] {
            assert!(FileName::new(bad).is_err(), "{bad:?}");
        }
    }
}
