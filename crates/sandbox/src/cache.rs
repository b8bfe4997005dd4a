//! The compiled-code cache. Compiled code is native code: it is only ever read from a folder that nobody else can write, and
//! never accepted from outside. A file's name is the component's SHA-256 and a hash of the engine's settings.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::error::LoadError;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compile::Compiler;
use crate::runtime::SetupError;

/// The cache and the compiler that fills it.
pub(crate) struct Cache {
    folder: PathBuf,
    max_bytes: u64,
    engine: Engine,
    engine_hash: u64,
    compiler: Compiler,
}

impl Cache {
    /// Opens the folder: makes it with mode 0700, or checks that it belongs to us and nobody else can write to it.
    pub(crate) fn open(
        folder: PathBuf,
        max_bytes: u64,
        engine: &Engine,
        compiler: Compiler,
    ) -> Result<Self, SetupError> {
        secure(&folder).map_err(|reason| SetupError::Cache {
            path: folder.display().to_string(),
            reason,
        })?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Self {
            folder,
            max_bytes,
            engine: engine.clone(),
            engine_hash: hasher.finish(),
            compiler,
        };
        cache.prune();
        Ok(cache)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder
            .join(format!("{digest}-{:016x}.cwasm", self.engine_hash))
    }

    /// The compiled component, if it is in the cache.
    pub(crate) fn get(&self, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        if !path.exists() {
            return None;
        }
        if !is_ours(&path) {
            tracing::warn!(path = %path.display(), "a file in the code cache is not ours alone, compiling anew");
            let _gone = fs::remove_file(&path);
            return None;
        }
        match self.map(&path) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %format!("{error:#}"), "unusable file in the code cache, compiling anew");
                let _gone = fs::remove_file(&path);
                None
            }
        }
    }

    /// Compiles a component and keeps the code.
    pub(crate) async fn compile(
        &self,
        digest: &str,
        component: Bytes,
    ) -> Result<Component, LoadError> {
        let code = self.compiler.compile(component).await?;
        let path = self.path(digest);
        let host = |e: &dyn std::fmt::Display| LoadError::Host(format!("{}: {e}", path.display()));
        self.keep(&path, &code).map_err(|e| host(&e))?;
        // It compiled, and does not fit into a slot of the pool.
        self.map(&path)
            .map_err(|e| LoadError::Compile(format!("{e:#}")))
    }

    #[allow(
        unsafe_code,
        reason = "the file was written by our own compiler into a folder that only we can write (checked at start)"
    )]
    fn map(&self, path: &Path) -> wasmtime::Result<Component> {
        // SAFETY: see the reason above; wasmtime checks version and settings, and files are replaced, never rewritten.
        unsafe { Component::deserialize_file(&self.engine, path) }
    }

    /// Writes in one step: a reader sees all of it or nothing.
    fn keep(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.folder)?;
        file.write_all(code)?;
        file.persist(path)?;
        self.prune();
        Ok(())
    }

    /// Removes code of other engines and, above the cap, what was made first.
    fn prune(&self) {
        let suffix = format!("-{:016x}.cwasm", self.engine_hash);
        let mut ours = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(meta) = entry.metadata() else { continue };
            if name.ends_with(&suffix) {
                ours.push((meta.modified().ok(), meta.len(), entry.path()));
            } else if name.ends_with(".cwasm") {
                let _gone = fs::remove_file(entry.path());
            }
        }
        ours.sort();
        let mut total: u64 = ours.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in ours {
            if total <= self.max_bytes {
                break;
            }
            total = total.saturating_sub(size);
            let _gone = fs::remove_file(path);
        }
    }
}

fn secure(folder: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|e| e.to_string())?;
    let meta = fs::symlink_metadata(folder).map_err(|e| e.to_string())?;
    if !meta.is_dir() {
        return Err("it is not a folder".into());
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(format!(
            "it belongs to user {}, and this process runs as {me}",
            meta.uid()
        ));
    }
    let mode = meta.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(|e| e.to_string())?;
    }
    if mode & 0o022 != 0 {
        tracing::warn!(folder = %folder.display(), "others could write to the code cache, emptying it");
        empty(folder).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Is this a plain file that only we could have written?
fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        let ours = meta.uid() == rustix::process::geteuid().as_raw();
        meta.is_file() && ours && meta.permissions().mode() & 0o022 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_could_write_to_is_emptied() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("compiled");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.join("planted.cwasm"), b"native code").unwrap();
        secure(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn only_plain_files_of_ours_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.cwasm");
        fs::write(&file, b"x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(is_ours(&file));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!is_ours(&file));
        let link = folder.path().join("b.cwasm");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(!is_ours(&link));
    }
}
